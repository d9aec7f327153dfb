//! After a leader change: is what was read still in the log (KIP-320)?
//!
//! The new leader says where the epoch that was read last ends in its log. Where that is before the position, the log
//! was truncated: Java's consumer goes on from there, librdkafka's by `auto.offset.reset`.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::OffsetForLeaderEpochResponse;

use super::{AutoOffsetReset, Consumer, ConsumerError, ConsumerEvent, Done, Failure, Slot};
use crate::client::{Link, LinkError, Profile};
use crate::cluster::TopicPartition;
use crate::protocol::check;

/// One leader's answer about a partition: where the epoch ends; `None`: it does not know the epoch.
pub(super) struct EpochEnd {
    broker: i32,
    partition: TopicPartition,
    end: Result<Option<i64>, Failure>,
}

impl<L: Link + ?Sized + 'static> Consumer<L> {
    pub(super) fn start_validation(&mut self, by_leader: BTreeMap<i32, Vec<TopicPartition>>) {
        let mut requests = Vec::with_capacity(by_leader.len());
        for (broker, partitions) in by_leader {
            let topics = partitions.iter().filter_map(|name| {
                let partition = self.partitions.get(name)?;
                let wanted = OffsetForLeaderPartition::default()
                    .with_partition(name.partition)
                    .with_current_leader_epoch(self.metadata.leader_epoch(name))
                    .with_leader_epoch(partition.epoch);
                let topic = OffsetForLeaderTopic::default().with_topic(name.topic.clone());
                Some(topic.with_partitions(vec![wanted]))
            });
            let request = OffsetForLeaderEpochRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_topics(topics.collect());
            requests.push((broker, partitions, request));
        }
        let (caller, timeout_ms) = (self.caller.clone(), self.config.request_timeout_ms);
        self.tasks.start(Slot::Validation, async move {
            let mut ends = Vec::new();
            for (broker, partitions, request) in requests {
                let answer = caller.call(broker, request, timeout_ms).await;
                let end = |partition| EpochEnd { broker, end: end_of(&answer, &partition), partition };
                ends.extend(partitions.into_iter().map(end));
            }
            Done::Validated(ends)
        });
    }

    pub(super) fn validated(&mut self, ends: Vec<EpochEnd>) {
        for EpochEnd { broker, partition, end } in ends {
            let Some(state) = self.partitions.get_mut(&partition).filter(|state| state.needs_validation)
            else {
                continue;
            };
            match end {
                Ok(end) => {
                    let lost = state.truncate(end.unwrap_or(0));
                    if state.buffered() == 0 {
                        self.ready.retain(|ready| *ready != partition);
                    }
                    if let Some(position) = lost {
                        self.truncated(partition, position, end);
                    }
                }
                Err(Failure::Broker(error)) if !error.is_retriable() => {
                    state.needs_validation = false;
                    self.events.push_back(ConsumerEvent::Error(ConsumerError::Broker(error)));
                }
                Err(_) => self.shun(broker),
            }
        }
    }

    /// Records that were delivered are not in the log any more.
    fn truncated(&mut self, partition: TopicPartition, position: i64, end: Option<i64>) {
        let Some(state) = self.partitions.get_mut(&partition) else { return };
        match (self.config.auto_offset_reset, self.config.profile, end) {
            (AutoOffsetReset::None, _, _) => {
                state.stand_still();
                let diverges_at = end.unwrap_or(0);
                let error = ConsumerError::LogTruncation { partition, offset: position, diverges_at };
                self.events.push_back(ConsumerEvent::Error(error));
            }
            (_, Profile::Java | Profile::Platform, Some(end)) => state.seek(end),
            _ => {
                state.stand_still();
                state.needs_reset = true;
            }
        }
    }
}

fn end_of(
    answer: &Result<OffsetForLeaderEpochResponse, LinkError>,
    name: &TopicPartition,
) -> Result<Option<i64>, Failure> {
    let response = answer.as_ref().map_err(|error| Failure::from(*error))?;
    let topics = response.topics.iter().filter(|topic| topic.topic == name.topic);
    let found = topics.flat_map(|topic| &topic.partitions).find(|end| end.partition == name.partition);
    let found = found.ok_or(Failure::Broker(ResponseError::UnknownTopicOrPartition))?;
    check(found.error_code).map_err(Failure::Broker)?;
    Ok(Some(found.end_offset).filter(|end| *end >= 0))
}
