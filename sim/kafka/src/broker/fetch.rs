//! `Fetch`: reads from the log, or waits as data until there is enough or time is up.
//!
//! Consumers read below the high watermark, with `read_committed` below the last stable offset; followers read to the log's
//! end, and tell by their offsets what they have.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchResponse, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{ProducerId, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::leading::Moved;
use super::sessions::{Context, FetchSession};
use super::{Broker, ConnectionId, Output, ReplyTo, check_leader_epoch};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::log::OutOfRange;
use crate::replica::Replica;

/// Who reads, and so how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Consumer { read_committed: bool },
    Follower,
}

impl Reader {
    fn of(request: &FetchRequest) -> Reader {
        match request.replica_id.0 {
            id if id >= 0 => Reader::Follower,
            _ => Reader::Consumer { read_committed: request.isolation_level == 1 },
        }
    }

    fn end(self, replica: &Replica) -> i64 {
        match self {
            Reader::Follower => replica.log.end_offset(),
            Reader::Consumer { read_committed: false } => replica.high_watermark,
            Reader::Consumer { read_committed: true } => replica.last_stable_offset(),
        }
    }
}

pub(super) struct ParkedFetch {
    pub reply: ReplyTo,
    pub client_id: StrBytes,
    /// Without partitions if it is of a session.
    pub request: FetchRequest,
    pub session: Option<i32>,
    deadline: TimestampMs,
}

/// Fetches that wait, by arrival, by deadline and, outside of sessions, by topic.
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

    pub fn park(&mut self, fetch: ParkedFetch) -> u64 {
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
        id
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

    /// Fetches of consumers without a session, in order of arrival.
    fn waiting_for(&self, at: &TopicPartition) -> BTreeSet<u64> {
        let waiting = self.by_topic.get(&at.topic).into_iter().flatten();
        waiting.filter(|(partition, _)| *partition == at.partition).map(|(_, fetch)| *fetch).collect()
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
        mut request: FetchRequest,
        client_id: StrBytes,
        outputs: &mut Vec<Output>,
    ) {
        let context = match self.fetch_sessions.context(now, &request) {
            Ok((context, overtaken)) => {
                overtaken.into_iter().for_each(|id| self.answer(id, outputs));
                context
            }
            Err(error) => {
                let response = FetchResponse::default().with_error_code(error.code());
                return outputs.push(reply.respond(response));
            }
        };
        if request.replica_id.0 >= 0 {
            self.note_follower(now, &request, outputs);
        }
        let session = match context {
            Context::Full => None,
            Context::Session(id) => {
                request.topics.clear();
                Some(id)
            }
        };
        let deadline = now + i64::from(request.max_wait_ms);
        let fetch = ParkedFetch { reply, client_id, request, session, deadline };
        if let Some(response) = self.read_again(&fetch) {
            return outputs.push(reply.respond(response));
        }
        let has_nothing_to_wait_for = session.is_none() && fetch.request.topics.is_empty();
        if fetch.request.max_wait_ms <= 0 || has_nothing_to_wait_for || self.is_fetch_ready(&fetch) {
            let response = self.read(&fetch);
            return outputs.push(reply.respond(response));
        }
        self.park(fetch);
    }

    pub(super) fn park(&mut self, fetch: ParkedFetch) {
        let session = fetch.session;
        let id = self.fetches.park(fetch);
        if let Some(session) = session.and_then(|session| self.fetch_sessions.get(session)) {
            session.parked = Some(id);
        }
    }

    /// A follower has everything below the offsets that it asks for.
    fn note_follower(&mut self, now: TimestampMs, request: &FetchRequest, outputs: &mut Vec<Output>) {
        let follower = request.replica_id.0;
        let broker_epoch = Some(request.replica_state.replica_epoch).filter(|epoch| *epoch >= 0);
        let known = self.image.brokers.get(&follower).map(|broker| broker.epoch);
        if broker_epoch.is_some() && broker_epoch < known {
            // A process that has ended, and may have had more than the next.
            return;
        }
        for topic in &request.topics {
            for wanted in &topic.partitions {
                let at = TopicPartition { topic: topic.topic.clone(), partition: wanted.partition };
                let Ok((_, replica)) = self.led(&at.topic, at.partition) else { continue };
                let is_current = check_leader_epoch(replica, wanted.current_leader_epoch).is_ok();
                if is_current && diverges(replica, wanted).is_ok_and(|diverging| diverging.is_none()) {
                    self.follower_fetched(now, (follower, broker_epoch), &at, wanted.fetch_offset, outputs);
                }
            }
        }
    }

    /// Answers the parked fetches for which something in this partition is enough.
    pub(super) fn wake(&mut self, at: &TopicPartition, moved: Moved, outputs: &mut Vec<Output>) {
        let mut waiting = self.fetches.waiting_for(at);
        waiting.extend(self.fetch_sessions.moved(at, moved));
        for id in waiting {
            let Some(fetch) = self.fetches.take(id) else { continue };
            if self.is_fetch_ready(&fetch) {
                self.answer_taken(fetch, outputs);
            } else {
                self.park_again(id, fetch);
            }
        }
    }

    /// A fetch that goes on waiting keeps its place.
    fn park_again(&mut self, id: u64, fetch: ParkedFetch) {
        let next_id = std::mem::replace(&mut self.fetches.next_id, id);
        self.park(fetch);
        self.fetches.next_id = next_id;
    }

    /// Answers the parked fetches whose `max_wait_ms` is over, with whatever there is.
    pub(super) fn expire_fetches(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        while let Some(&(deadline, id)) = self.fetches.by_deadline.first()
            && deadline <= now
        {
            self.answer(id, outputs);
        }
    }

    fn answer(&mut self, id: u64, outputs: &mut Vec<Output>) {
        if let Some(fetch) = self.fetches.take(id) {
            self.answer_taken(fetch, outputs);
        }
    }

    fn answer_taken(&mut self, fetch: ParkedFetch, outputs: &mut Vec<Output>) {
        if let Some(session) = fetch.session.and_then(|session| self.fetch_sessions.get(session)) {
            session.parked = None;
        }
        let response = self.read(&fetch);
        outputs.push(fetch.reply.respond(response));
    }

    /// Enough bytes are there, or an error that waiting does not cure.
    fn is_fetch_ready(&mut self, fetch: &ParkedFetch) -> bool {
        let request = &fetch.request;
        let reader = Reader::of(request);
        let enough = usize::try_from(request.min_bytes).unwrap_or(0);
        let mut sum = 0;
        let mut look = |broker: &Broker, topic: &TopicName, wanted: &FetchPartition| {
            match broker.available(topic, wanted, reader, enough) {
                Ok(available) => sum += available,
                Err(_) => sum = usize::MAX / 2,
            }
            sum >= enough && sum > 0
        };
        if enough == 0 {
            return true;
        }
        let Some(session) = fetch.session else {
            let mut partitions = request
                .topics
                .iter()
                .flat_map(|topic| topic.partitions.iter().map(move |wanted| (&topic.topic, wanted)));
            return partitions.any(|(topic, wanted)| look(self, topic, wanted));
        };
        let wanted = self.fetch_sessions.get(session).map(FetchSession::changed);
        wanted.is_none_or(|wanted| wanted.iter().any(|(topic, wanted)| look(self, topic, wanted)))
    }

    /// All that a fetch asks for.
    pub(super) fn wanted_by(&mut self, fetch: &ParkedFetch) -> Vec<(TopicName, FetchPartition)> {
        if let Some(session) = fetch.session {
            return self.fetch_sessions.get(session).map(FetchSession::all).unwrap_or_default();
        }
        let topics = fetch.request.topics.iter();
        let partitions = topics
            .flat_map(|topic| topic.partitions.iter().map(|wanted| (topic.topic.clone(), wanted.clone())));
        partitions.collect()
    }

    fn available(
        &self,
        topic: &TopicName,
        wanted: &FetchPartition,
        reader: Reader,
        enough: usize,
    ) -> Result<usize, ResponseError> {
        let (_, replica) = self.led(topic, wanted.partition)?;
        check_leader_epoch(replica, wanted.current_leader_epoch)?;
        if diverges(replica, wanted)?.is_some() {
            return Ok(enough.max(1));
        }
        let available = replica.log.available(wanted.fetch_offset, reader.end(replica), enough);
        available.map_err(|OutOfRange| ResponseError::OffsetOutOfRange)
    }

    /// KIP-74: partitions in the request's order, whole batches, within `max_bytes` and `partition_max_bytes`, but
    /// the first non-empty partition gives at least one batch.
    pub(super) fn read(&mut self, fetch: &ParkedFetch) -> FetchResponse {
        let reader = Reader::of(&fetch.request);
        let mut budget =
            Budget { left: usize::try_from(fetch.request.max_bytes).unwrap_or(0), nothing_yet: true };
        match fetch.session {
            Some(session) => self.read_session(session, reader, &mut budget),
            None => self.read_all(&fetch.request, reader, &mut budget),
        }
    }

    fn read_all(&self, request: &FetchRequest, reader: Reader, budget: &mut Budget) -> FetchResponse {
        let mut responses = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for wanted in &topic.partitions {
                partitions.push(self.read_partition(&topic.topic, wanted, reader, budget));
            }
            let response = FetchableTopicResponse::default().with_topic(topic.topic.clone());
            responses.push(response.with_partitions(partitions));
        }
        FetchResponse::default().with_responses(responses)
    }

    /// Only partitions of which there is something to say.
    fn read_session(&mut self, id: i32, reader: Reader, budget: &mut Budget) -> FetchResponse {
        let mut responses: Vec<FetchableTopicResponse> = Vec::new();
        let Some(session) = self.fetch_sessions.get(id) else { return FetchResponse::default() };
        for place in session.to_look_at() {
            if budget.left == 0 && !budget.nothing_yet {
                break;
            }
            let Some(session) = self.fetch_sessions.get(id) else { break };
            let Some(entry) = session.entry(place) else { continue };
            let (topic, wanted, told) = (entry.topic.clone(), entry.wanted.clone(), entry.told);
            let data = self.read_partition(&topic, &wanted, reader, budget);
            let bounds = Some((data.high_watermark, data.log_start_offset));
            let has_records = data.records.as_ref().is_some_and(|records| !records.is_empty());
            let has_more = has_records || data.error_code != 0 || data.diverging_epoch.epoch >= 0;
            let Some(session) = self.fetch_sessions.get(id) else { break };
            if let Some(entry) = session.entry(place) {
                entry.told = bounds;
            }
            if has_records {
                session.next = place + 1;
            }
            if !has_more {
                session.dirty.remove(&place);
            }
            if has_more || told != bounds {
                match responses.last_mut().filter(|last| last.topic == topic) {
                    Some(last) => last.partitions.push(data),
                    None => responses.push(
                        FetchableTopicResponse::default().with_topic(topic).with_partitions(vec![data]),
                    ),
                }
            }
        }
        FetchResponse::default().with_session_id(id).with_responses(responses)
    }

    fn read_partition(
        &self,
        topic: &TopicName,
        wanted: &FetchPartition,
        reader: Reader,
        budget: &mut Budget,
    ) -> PartitionData {
        let data = PartitionData::default().with_partition_index(wanted.partition);
        let found = self.led(topic, wanted.partition).and_then(|(_, replica)| {
            check_leader_epoch(replica, wanted.current_leader_epoch)?;
            Ok(replica)
        });
        let replica = match found {
            Ok(replica) => replica,
            Err(error) => return data.with_error_code(error.code()).with_high_watermark(-1),
        };
        let data = data
            .with_high_watermark(replica.high_watermark)
            .with_last_stable_offset(match reader {
                // A follower needs the log's end, to see where it stands.
                Reader::Follower => replica.log.end_offset(),
                Reader::Consumer { .. } => replica.last_stable_offset(),
            })
            .with_log_start_offset(replica.log.start_offset());
        match diverges(replica, wanted) {
            Ok(None) => {}
            Ok(Some(diverging)) => return data.with_diverging_epoch(diverging),
            Err(error) => return data.with_error_code(error.code()),
        }
        let limit = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(budget.left);
        let end = reader.end(replica);
        match replica.log.read(wanted.fetch_offset, end, limit, budget.nothing_yet) {
            Ok(records) => {
                budget.spend(records.len());
                let data = match reader {
                    Reader::Consumer { read_committed: true } => {
                        data.with_aborted_transactions(Some(aborted(replica, wanted.fetch_offset, &records)))
                    }
                    _ => data.with_aborted_transactions(None),
                };
                data.with_records(Some(records))
            }
            Err(OutOfRange) => data.with_error_code(ResponseError::OffsetOutOfRange.code()),
        }
    }
}

/// How much of a response is left.
struct Budget {
    left: usize,
    nothing_yet: bool,
}

impl Budget {
    fn spend(&mut self, size: usize) {
        self.nothing_yet &= size == 0;
        self.left = self.left.saturating_sub(size);
    }
}

/// Where the reader's log and the leader's part ways, if they do (KIP-595).
fn diverges(replica: &Replica, wanted: &FetchPartition) -> Result<Option<EpochEndOffset>, ResponseError> {
    if wanted.last_fetched_epoch < 0 {
        return Ok(None);
    }
    let log = &replica.log;
    let (epoch, end_offset) = log.epochs.end_of(wanted.last_fetched_epoch, log.end_offset());
    if end_offset < 0 {
        return Err(ResponseError::OffsetOutOfRange);
    }
    let is_other = epoch < wanted.last_fetched_epoch || end_offset < wanted.fetch_offset;
    Ok(is_other.then(|| EpochEndOffset::default().with_epoch(epoch).with_end_offset(end_offset)))
}

/// The aborted transactions that a reader of these batches meets.
fn aborted(replica: &Replica, from: i64, records: &Bytes) -> Vec<AbortedTransaction> {
    let mut rest = records.clone();
    let mut upto = from;
    while let Some(batch) = crate::records::next_batch(&mut rest) {
        let header = crate::records::BatchHeader::read(&batch).expect("stored batches were validated");
        upto = header.last_offset() + 1;
    }
    let aborted = replica.producers.aborted(from, upto).into_iter();
    aborted
        .map(|(producer_id, first_offset)| {
            let transaction = AbortedTransaction::default().with_producer_id(ProducerId(producer_id));
            transaction.with_first_offset(first_offset)
        })
        .collect()
}
