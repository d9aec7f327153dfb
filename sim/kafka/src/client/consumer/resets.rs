//! Positions by `auto.offset.reset`, and what the log of a partition spans, asked of leaders.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::messages::list_offsets_response::ListOffsetsResponse;

use super::{AutoOffsetReset, Consumer, ConsumerError, ConsumerEvent, Done, Failure, IsolationLevel, Slot};
use crate::broker::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP};
use crate::client::{Link, LinkError};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::protocol::check;

/// One leader's answer about a partition it was asked for.
pub(super) struct ResetAnswer {
    broker: i32,
    partition: TopicPartition,
    offset: Result<i64, Failure>,
}

impl<L: Link + ?Sized + 'static> Consumer<L> {
    pub(super) fn start_reset(&mut self, by_leader: BTreeMap<i32, Vec<TopicPartition>>) {
        let timestamp = match self.config.auto_offset_reset {
            AutoOffsetReset::Earliest => EARLIEST_TIMESTAMP,
            AutoOffsetReset::Latest | AutoOffsetReset::None => LATEST_TIMESTAMP,
        };
        let (caller, timeout_ms) = (self.caller.clone(), self.config.request_timeout_ms);
        let isolation_level = self.config.isolation_level;
        self.tasks.start(Slot::Reset, async move {
            let mut answers = Vec::new();
            for (broker, partitions) in by_leader {
                let wanted = partitions.iter().map(|partition| (partition, timestamp));
                let request = list_offsets(wanted, isolation_level);
                let answer = caller.call::<ListOffsetsResponse>(broker, request, timeout_ms).await;
                answers.extend(partitions.into_iter().map(|partition| ResetAnswer {
                    broker,
                    offset: offset_of(&answer, &partition),
                    partition,
                }));
            }
            Done::Reset(answers)
        });
    }

    pub(super) fn reset_answered(&mut self, answers: Vec<ResetAnswer>) {
        for ResetAnswer { broker, partition, offset } in answers {
            let Some(state) = self.partitions.get_mut(&partition).filter(|state| state.needs_reset) else {
                continue;
            };
            match offset {
                Ok(offset) => {
                    state.seek(offset);
                    self.restart_fetch(&partition);
                }
                Err(Failure::Broker(error)) if !error.is_retriable() => {
                    self.events.push_back(ConsumerEvent::Error(ConsumerError::Broker(error)));
                    self.shun(broker);
                }
                Err(_) => self.shun(broker),
            }
        }
    }

    /// The offsets of the first record and of the end, which for `read_committed` is the last stable offset; `None` where
    /// the leader is not known or does not answer. Polling, which keeps the membership alive, waits meanwhile.
    pub async fn bounds(&mut self, partition: &TopicPartition) -> Option<(i64, i64)> {
        let mut bounds = [0; 2];
        for (bound, timestamp) in bounds.iter_mut().zip([EARLIEST_TIMESTAMP, LATEST_TIMESTAMP]) {
            *bound = self.offset_for(partition, timestamp).await.ok()?;
        }
        Some((bounds[0], bounds[1]))
    }

    /// For each partition, the first offset whose record has this timestamp or a later one; `None` where there is none,
    /// or the leader does not say. Polling waits meanwhile.
    pub async fn offsets_for_times(&mut self, times: &[(TopicPartition, TimestampMs)]) -> Vec<Option<i64>> {
        let mut offsets = Vec::with_capacity(times.len());
        for (partition, timestamp) in times {
            let offset = self.offset_for(partition, *timestamp).await;
            offsets.push(offset.ok().filter(|offset| *offset >= 0));
        }
        offsets
    }

    async fn offset_for(&mut self, partition: &TopicPartition, timestamp: i64) -> Result<i64, Failure> {
        let leader = self.metadata.leader(partition).ok_or(Failure::Unanswered)?;
        let request = list_offsets(std::iter::once((partition, timestamp)), self.config.isolation_level);
        let timeout_ms = self.config.request_timeout_ms;
        let answer = self.caller.call::<ListOffsetsResponse>(leader, request, timeout_ms).await;
        offset_of(&answer, partition)
    }

    /// Where the log began and ended when it was last fetched, without asking.
    pub fn cached_watermarks(&self, partition: &TopicPartition) -> Option<(i64, i64)> {
        self.partitions.get(partition).and_then(|state| state.watermarks)
    }
}

pub(super) fn list_offsets<'a>(
    wanted: impl Iterator<Item = (&'a TopicPartition, i64)>,
    isolation_level: IsolationLevel,
) -> ListOffsetsRequest {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (name, timestamp) in wanted {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(name.partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(timestamp);
        match topics.last_mut() {
            Some(topic) if topic.name == name.topic => topic.partitions.push(partition),
            _ => topics.push(
                ListOffsetsTopic::default().with_name(name.topic.clone()).with_partitions(vec![partition]),
            ),
        }
    }
    ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(isolation_level as i8)
        .with_topics(topics)
}

pub(super) fn offset_of(
    answer: &Result<ListOffsetsResponse, LinkError>,
    name: &TopicPartition,
) -> Result<i64, Failure> {
    let response = answer.as_ref().map_err(|error| Failure::from(*error))?;
    let topic = response.topics.iter().find(|topic| topic.name == name.topic);
    let found = topic.and_then(|topic| topic.partitions.iter().find(|p| p.partition_index == name.partition));
    let found = found.ok_or(Failure::Broker(ResponseError::UnknownTopicOrPartition))?;
    check(found.error_code).map_err(Failure::Broker)?;
    Ok(found.offset)
}
