//! `Fetch`: reads from the log, or waits as data until there is enough or time is up.
//!
//! Without fetch sessions (KIP-227): every request names all its partitions and is answered with session 0.
//! Isolation `read_committed` is refused until there are transactions.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use kafka_protocol::messages::fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData};
use kafka_protocol::protocol::StrBytes;

use super::{Broker, ConnectionId, Output, ReplyTo};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::log::OutOfRange;

pub(super) struct ParkedFetch {
    pub reply: ReplyTo,
    client_id: StrBytes,
    pub request: FetchRequest,
    deadline: TimestampMs,
}

/// Fetches that wait, by arrival, by deadline and by topic.
#[derive(Default)]
pub(super) struct ParkedFetches {
    parked: BTreeMap<u64, ParkedFetch>,
    by_deadline: BTreeSet<(TimestampMs, u64)>,
    /// Partition and fetch, by topic: a request names many partitions of few topics.
    by_topic: BTreeMap<TopicName, Vec<(i32, u64)>>,
    next_id: u64,
}

impl ParkedFetches {
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    pub fn park(&mut self, fetch: ParkedFetch) {
        let id = self.next_id;
        self.next_id += 1;
        self.by_deadline.insert((fetch.deadline, id));
        for topic in &fetch.request.topics {
            if !self.by_topic.contains_key(&topic.topic) {
                self.by_topic.insert(topic.topic.clone(), Vec::new());
            }
            if let Some(waiting) = self.by_topic.get_mut(&topic.topic) {
                waiting.extend(topic.partitions.iter().map(|partition| (partition.partition, id)));
            }
        }
        self.parked.insert(id, fetch);
    }

    pub fn take(&mut self, id: u64) -> Option<ParkedFetch> {
        let fetch = self.parked.remove(&id)?;
        self.by_deadline.remove(&(fetch.deadline, id));
        for topic in &fetch.request.topics {
            if let Some(waiting) = self.by_topic.get_mut(&topic.topic) {
                waiting.retain(|(_, fetch)| *fetch != id);
            }
        }
        Some(fetch)
    }

    /// In order of arrival.
    fn waiting_for(&self, partitions: &[TopicPartition]) -> BTreeSet<u64> {
        let waiting = |at: &TopicPartition| {
            let (waiting, wanted) = (self.by_topic.get(&at.topic), at.partition);
            let waiting = waiting.into_iter().flatten();
            waiting.filter(move |(partition, _)| *partition == wanted).map(|(_, fetch)| *fetch)
        };
        partitions.iter().flat_map(waiting).collect()
    }

    pub fn of_client(&self, client_id: &StrBytes) -> Vec<u64> {
        let theirs = self.parked.iter().filter(|(_, fetch)| fetch.client_id == *client_id);
        theirs.map(|(id, _)| *id).collect()
    }

    pub fn drop_connection(&mut self, conn: ConnectionId) {
        let gone: Vec<u64> =
            self.parked.iter().filter(|(_, fetch)| fetch.reply.conn == conn).map(|(id, _)| *id).collect();
        for id in gone {
            self.take(id);
        }
    }
}

impl Broker {
    pub(super) fn fetch(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: FetchRequest,
        client_id: StrBytes,
    ) -> Vec<Output> {
        let refusal = if request.isolation_level != 0 {
            Some(ResponseError::UnsupportedVersion)
        } else if request.session_id != 0 {
            Some(ResponseError::FetchSessionIdNotFound)
        } else {
            None
        };
        if let Some(error) = refusal {
            return vec![reply.respond(FetchResponse::default().with_error_code(error.code()))];
        }
        if let Some(response) = self.read_again(&client_id, &request) {
            return vec![reply.respond(response)];
        }
        if request.max_wait_ms <= 0 || request.topics.is_empty() || self.is_fetch_ready(&request) {
            return vec![reply.respond(self.read(&request))];
        }
        let deadline = now + i64::from(request.max_wait_ms);
        self.fetches.park(ParkedFetch { reply, client_id, request, deadline });
        Vec::new()
    }

    /// Answers the parked fetches that have enough after these appends.
    pub(super) fn wake_fetches(&mut self, appended: &[TopicPartition], outputs: &mut Vec<Output>) {
        for id in self.fetches.waiting_for(appended) {
            let ready = self.fetches.parked.get(&id).is_some_and(|fetch| self.is_fetch_ready(&fetch.request));
            if ready {
                self.answer(id, outputs);
            }
        }
    }

    /// Answers the parked fetches whose `max_wait_ms` is over, with whatever there is.
    pub(super) fn expire_fetches(&mut self, now: TimestampMs) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(&(deadline, id)) = self.fetches.by_deadline.first()
            && deadline <= now
        {
            self.answer(id, &mut outputs);
        }
        outputs
    }

    fn answer(&mut self, id: u64, outputs: &mut Vec<Output>) {
        if let Some(fetch) = self.fetches.take(id) {
            outputs.push(fetch.reply.respond(self.read(&fetch.request)));
        }
    }

    /// Enough bytes are there, or an error that waiting does not cure.
    fn is_fetch_ready(&self, request: &FetchRequest) -> bool {
        let enough = usize::try_from(request.min_bytes).unwrap_or(0);
        let mut sum = 0;
        for topic in &request.topics {
            for partition in &topic.partitions {
                let limit = usize::try_from(partition.partition_max_bytes).unwrap_or(0).max(enough);
                match self.available(&topic.topic, partition, limit) {
                    Ok(available) => sum += available,
                    Err(_) => return true,
                }
            }
        }
        sum >= enough
    }

    fn available(
        &self,
        topic: &TopicName,
        wanted: &FetchPartition,
        limit: usize,
    ) -> Result<usize, ResponseError> {
        self.check_leader_epoch(wanted.current_leader_epoch)?;
        let (_, partition) = self.partition(topic, wanted.partition)?;
        let available = partition.log.available(wanted.fetch_offset, limit);
        available.map_err(|OutOfRange| ResponseError::OffsetOutOfRange)
    }

    /// KIP-74: partitions in the request's order, whole batches, within `max_bytes` and `partition_max_bytes`, but
    /// the first non-empty partition gives at least one batch.
    pub(super) fn read(&self, request: &FetchRequest) -> FetchResponse {
        let mut left = usize::try_from(request.max_bytes).unwrap_or(0);
        let mut nothing_yet = true;
        let mut responses = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for wanted in &topic.partitions {
                let data = self.read_partition(&topic.topic, wanted, left, nothing_yet);
                let size = data.records.as_ref().map_or(0, Bytes::len);
                nothing_yet &= size == 0;
                left = left.saturating_sub(size);
                partitions.push(data);
            }
            responses.push(
                FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_partitions(partitions),
            );
        }
        FetchResponse::default().with_responses(responses)
    }

    fn read_partition(
        &self,
        topic: &TopicName,
        wanted: &FetchPartition,
        left: usize,
        at_least_one: bool,
    ) -> PartitionData {
        let data = PartitionData::default().with_partition_index(wanted.partition);
        let found = self.check_leader_epoch(wanted.current_leader_epoch);
        let partition = match found.and_then(|()| self.partition(topic, wanted.partition)) {
            Ok((_, partition)) => partition,
            Err(error) => return data.with_error_code(error.code()).with_high_watermark(-1),
        };
        let limit = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(left);
        let log = &partition.log;
        let data = data
            .with_high_watermark(log.end_offset())
            .with_last_stable_offset(log.end_offset())
            .with_log_start_offset(log.start_offset());
        match log.read(wanted.fetch_offset, limit, at_least_one) {
            Ok(records) => data.with_records(Some(records)),
            Err(OutOfRange) => data.with_error_code(ResponseError::OffsetOutOfRange.code()),
        }
    }
}
