//! Reading: one long poll per leader of an assigned partition, resets, leaders that moved, and delivery.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::messages::list_offsets_response::ListOffsetsResponse;

use super::{
    AutoOffsetReset, Consumer, ConsumerError, ConsumerEvent, ConsumerRecord, Done, Failure, Phase, Slot,
};
use crate::broker::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP};
use crate::client::metadata::Metadata;
use crate::client::{Link, LinkError};
use crate::cluster::TopicPartition;
use crate::protocol::check;
use crate::records::{Corrupt, decode_batch, next_batch};

/// What a consumer knows of an assigned partition.
#[derive(Default)]
pub(super) struct Partition {
    /// The next record to deliver. `None`: waits for a reset, or for the host to seek.
    pub position: Option<i64>,
    pub paused: bool,
    pub needs_reset: bool,
    /// Looked up once per metadata: looking for work is done at every step.
    leader: Option<i32>,
    /// Fetched and not delivered.
    buffer: VecDeque<ConsumerRecord>,
    /// The position once the buffer is empty: past offsets that have no record.
    after_buffer: i64,
}

impl Partition {
    pub fn seek(&mut self, offset: i64) {
        self.position = Some(offset);
        self.needs_reset = false;
        self.buffer.clear();
    }

    /// Takes over what a fetch brought for the current position.
    fn fill(&mut self, from: i64, mut bytes: Bytes) -> Result<(), Corrupt> {
        let mut next = from;
        while let Some(batch) = next_batch(&mut bytes) {
            let (header, records) = decode_batch(&batch)?;
            if !header.is_control() {
                self.buffer.extend(records.into_iter().filter(|record| record.offset >= from));
            }
            next = header.last_offset() + 1;
        }
        self.after_buffer = next;
        if self.buffer.is_empty() {
            self.position = Some(next);
        }
        Ok(())
    }

    fn take(&mut self, max_records: usize) -> Vec<ConsumerRecord> {
        let count = self.buffer.len().min(max_records.max(1));
        let records: Vec<ConsumerRecord> = self.buffer.drain(..count).collect();
        let next = self.buffer.front().map_or(self.after_buffer, |record| record.offset);
        self.position = Some(next);
        records
    }
}

/// The end of a long poll.
pub(super) struct Fetched {
    broker: i32,
    /// What was asked for, to recognise answers that a seek has overtaken.
    wanted: BTreeMap<TopicPartition, i64>,
    result: Result<FetchResponse, LinkError>,
}

/// One leader's answer about the partitions it was asked for.
pub(super) struct ResetAnswer {
    broker: i32,
    partition: TopicPartition,
    offset: Result<i64, Failure>,
}

impl<L: Link + ?Sized + 'static> Consumer<L> {
    /// The next records, at most `max.poll.records` of one partition.
    pub(super) fn deliver(&mut self) -> Option<ConsumerEvent> {
        let place =
            self.ready.iter().position(|name| self.partitions.get(name).is_some_and(|p| !p.paused))?;
        let name = self.ready.remove(place)?;
        let partition = self.partitions.get_mut(&name)?;
        let records = partition.take(self.config.max_poll_records);
        if !partition.buffer.is_empty() {
            self.ready.push_front(name.clone());
        }
        Some(ConsumerEvent::Records { topic: name.topic, partition: name.partition, records })
    }

    /// Starts what is missing: resets, leaders, and a long poll at each leader.
    pub(super) fn advance_fetching(&mut self) {
        if self.phase != Phase::Stable {
            return;
        }
        let mut by_leader: BTreeMap<i32, BTreeMap<TopicPartition, i64>> = BTreeMap::new();
        let mut resets: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        let mut leaderless = false;
        for (name, partition) in &mut self.partitions {
            if partition.leader.is_none() {
                partition.leader = self.metadata.leader(name);
            }
            let Some(leader) = partition.leader else {
                leaderless = true;
                continue;
            };
            if self.shunned.contains(&leader) {
                continue;
            }
            match partition.position {
                Some(_) if self.tasks.is_running(Slot::Fetch(leader)) => {}
                Some(position) if !partition.paused && partition.buffer.is_empty() => {
                    by_leader.entry(leader).or_default().insert(name.clone(), position);
                }
                None if partition.needs_reset => resets.entry(leader).or_default().push(name.clone()),
                _ => {}
            }
        }
        for (leader, wanted) in by_leader {
            self.start_fetch(leader, wanted);
        }
        if !resets.is_empty() && !self.tasks.is_running(Slot::Reset) {
            self.start_reset(resets);
        }
        if (leaderless || !self.shunned.is_empty()) && !self.tasks.is_running(Slot::Metadata) {
            self.start_refresh();
        }
    }

    fn start_fetch(&mut self, broker: i32, wanted: BTreeMap<TopicPartition, i64>) {
        let mut topics: Vec<FetchTopic> = Vec::new();
        for (name, position) in &wanted {
            let partition = FetchPartition::default()
                .with_partition(name.partition)
                .with_current_leader_epoch(-1)
                .with_fetch_offset(*position)
                .with_partition_max_bytes(self.config.max_partition_fetch_bytes);
            match topics.last_mut() {
                Some(topic) if topic.topic == name.topic => topic.partitions.push(partition),
                _ => topics.push(
                    FetchTopic::default().with_topic(name.topic.clone()).with_partitions(vec![partition]),
                ),
            }
        }
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(self.config.fetch_max_wait_ms)
            .with_min_bytes(self.config.fetch_min_bytes)
            .with_max_bytes(self.config.fetch_max_bytes)
            .with_session_epoch(-1)
            .with_topics(topics);
        let timeout_ms = self.config.request_timeout_ms + i64::from(self.config.fetch_max_wait_ms);
        let caller = self.caller.clone();
        self.tasks.start(Slot::Fetch(broker), async move {
            let result = caller.call(broker, request, timeout_ms).await;
            Done::Fetched(Fetched { broker, wanted, result })
        });
    }

    pub(super) fn fetched(&mut self, fetched: Fetched) {
        let Fetched { broker, wanted, result } = fetched;
        let response = match result {
            Ok(response) => response,
            Err(_) => return self.shun(broker),
        };
        if let Err(error) = check(response.error_code) {
            self.events.push_back(ConsumerEvent::Error(ConsumerError::Broker(error)));
            return self.shun(broker);
        }
        for topic in response.responses {
            for data in topic.partitions {
                let is_empty = data.records.as_ref().is_none_or(Bytes::is_empty);
                if data.error_code == 0 && is_empty && data.diverging_epoch.end_offset < 0 {
                    continue;
                }
                let name = TopicPartition { topic: topic.topic.clone(), partition: data.partition_index };
                if let Some(position) = wanted.get(&name) {
                    self.take_over(broker, name, *position, data);
                }
            }
        }
        if !self.shunned.contains(&broker) {
            self.failing.retain(|failing| *failing != broker);
            if self.failing.is_empty() {
                self.fetch_backoff.reset();
            }
        }
    }

    fn take_over(&mut self, broker: i32, name: TopicPartition, position: i64, data: PartitionData) {
        let Some(partition) = self.partitions.get_mut(&name) else { return };
        if partition.position != Some(position) || !partition.buffer.is_empty() {
            return;
        }
        let diverges_at = data.diverging_epoch.end_offset;
        match check(data.error_code) {
            // The leader's log went another way from there on (KIP-320): read it.
            Ok(()) if (0..position).contains(&diverges_at) => partition.seek(diverges_at),
            Ok(()) => {
                if partition.fill(position, data.records.unwrap_or_default()).is_err() {
                    partition.position = None;
                    partition.buffer.clear();
                    self.events.push_back(ConsumerEvent::Error(ConsumerError::Corrupt(name)));
                } else if !partition.buffer.is_empty() {
                    self.ready.push_back(name);
                }
            }
            Err(ResponseError::OffsetOutOfRange) => {
                partition.position = None;
                partition.needs_reset = self.config.auto_offset_reset != AutoOffsetReset::None;
                if !partition.needs_reset {
                    let error = ConsumerError::OffsetOutOfRange { partition: name, offset: position };
                    self.events.push_back(ConsumerEvent::Error(error));
                }
            }
            Err(error) => {
                if !error.is_retriable() {
                    self.events.push_back(ConsumerEvent::Error(ConsumerError::Broker(error)));
                }
                self.shun(broker);
            }
        }
    }

    /// Leaves a broker alone until its partitions' leaders have been asked for again.
    fn shun(&mut self, broker: i32) {
        for list in [&mut self.shunned, &mut self.failing] {
            if !list.contains(&broker) {
                list.push(broker);
            }
        }
    }

    fn start_refresh(&mut self) {
        let (caller, config, topics) = (self.caller.clone(), self.config.clone(), self.topics.clone());
        let delay_ms = self.fetch_backoff.next();
        self.tasks.start(Slot::Metadata, async move {
            caller.link.sleep_ms(delay_ms).await;
            let servers = &config.bootstrap_servers;
            Done::Metadata(caller.metadata(servers, topics.iter(), config.request_timeout_ms).await)
        });
    }

    pub(super) fn leaders_answered(&mut self, result: Result<Metadata, LinkError>) {
        if let Ok(metadata) = result {
            self.metadata.merge(metadata);
            self.partitions.values_mut().for_each(|partition| partition.leader = None);
            self.shunned.clear();
        }
    }

    fn start_reset(&mut self, by_leader: BTreeMap<i32, Vec<TopicPartition>>) {
        let timestamp = match self.config.auto_offset_reset {
            AutoOffsetReset::Earliest => EARLIEST_TIMESTAMP,
            AutoOffsetReset::Latest | AutoOffsetReset::None => LATEST_TIMESTAMP,
        };
        let (caller, timeout_ms) = (self.caller.clone(), self.config.request_timeout_ms);
        self.tasks.start(Slot::Reset, async move {
            let mut answers = Vec::new();
            for (broker, partitions) in by_leader {
                let request = list_offsets(&partitions, timestamp);
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

    /// The long poll under way does not ask for what this partition needs now.
    pub(super) fn restart_fetch(&mut self, partition: &TopicPartition) {
        if let Some(leader) = self.metadata.leader(partition) {
            self.tasks.cancel(Slot::Fetch(leader));
        }
    }
}

pub(super) fn list_offsets(partitions: &[TopicPartition], timestamp: i64) -> ListOffsetsRequest {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for name in partitions {
        let wanted = ListOffsetsPartition::default()
            .with_partition_index(name.partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(timestamp);
        match topics.last_mut() {
            Some(topic) if topic.name == name.topic => topic.partitions.push(wanted),
            _ => topics.push(
                ListOffsetsTopic::default().with_name(name.topic.clone()).with_partitions(vec![wanted]),
            ),
        }
    }
    ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(topics)
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
