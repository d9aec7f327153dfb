//! Replication: a follower fetches from each leader, appends what comes, and truncates where the leader's log went another
//! way.
//!
//! Real: `ReplicaFetcherThread`, `AbstractFetcherThread` with truncation on fetch (KIP-595). One fetch per leader is under
//! way, in an incremental session (KIP-227); one that waits at the leader is overtaken by the next when there is more to ask for.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{
    FetchPartition, FetchRequest, FetchTopic, ForgottenTopic, ReplicaState,
};
use kafka_protocol::messages::fetch_response::{EpochEndOffset, FetchResponse, PartitionData};
use kafka_protocol::messages::{BrokerId, TopicName};

use super::leading::marker_of;
use super::peers::Purpose;
use super::{Broker, Output};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::peer::Peer;
use crate::protocol::{Response, check};
use crate::records::{BatchHeader, next_batch};
use crate::replica::{Replica, Role};

/// Replication from one leader.
#[derive(Default)]
struct Fetcher {
    partitions: BTreeSet<TopicPartition>,
    /// To be named in the next request: new, or with another position than the leader knows.
    changed: BTreeSet<TopicPartition>,
    forgotten: BTreeSet<TopicPartition>,
    session_id: i32,
    /// 0: the next request begins a session.
    session_epoch: i32,
    asked: Option<u64>,
    /// Nothing is asked before.
    retry_at: Option<TimestampMs>,
}

impl Fetcher {
    fn begin_anew(&mut self) {
        self.session_id = 0;
        self.session_epoch = 0;
        self.changed.clone_from(&self.partitions);
        self.forgotten.clear();
    }
}

#[derive(Default)]
pub(super) struct Following {
    is_started: bool,
    fetchers: BTreeMap<i32, Fetcher>,
    leaders: BTreeMap<TopicPartition, i32>,
    /// Partitions that a leader refused: they are asked for again then.
    delayed: BTreeMap<TopicPartition, TimestampMs>,
}

impl Following {
    pub fn start(&mut self) {
        self.is_started = true;
    }

    pub fn next_deadline(&self) -> Option<TimestampMs> {
        let busy = self.fetchers.values().filter(|fetcher| !fetcher.partitions.is_empty());
        let retries = busy.filter_map(|fetcher| fetcher.retry_at);
        retries.chain(self.delayed.values().copied()).min()
    }

    pub fn follow(&mut self, at: &TopicPartition, leader: i32) {
        if self.leaders.get(at).is_some_and(|known| *known != leader) {
            self.remove(at);
        }
        self.leaders.insert(at.clone(), leader);
        self.delayed.remove(at);
        let fetcher = self.fetchers.entry(leader).or_default();
        fetcher.partitions.insert(at.clone());
        fetcher.changed.insert(at.clone());
        fetcher.forgotten.remove(at);
    }

    pub fn remove(&mut self, at: &TopicPartition) {
        self.delayed.remove(at);
        let Some(leader) = self.leaders.remove(at) else { return };
        let fetcher = self.fetchers.entry(leader).or_default();
        fetcher.partitions.remove(at);
        fetcher.changed.remove(at);
        if fetcher.session_epoch > 0 {
            fetcher.forgotten.insert(at.clone());
        }
    }

    fn delay(&mut self, at: &TopicPartition, until: TimestampMs) {
        if let Some(leader) = self.leaders.get(at).copied() {
            self.remove(at);
            self.leaders.insert(at.clone(), leader);
            self.delayed.insert(at.clone(), until);
        }
    }

    /// Partitions whose delay is over are asked for again.
    fn resume(&mut self, now: TimestampMs) {
        let due: Vec<TopicPartition> =
            self.delayed.iter().filter(|(_, until)| **until <= now).map(|(at, _)| at.clone()).collect();
        for at in due {
            if let Some(leader) = self.leaders.get(&at).copied() {
                self.follow(&at, leader);
            }
        }
    }

    fn is_followed(&self, at: &TopicPartition, leader: i32) -> bool {
        self.leaders.get(at) == Some(&leader) && !self.delayed.contains_key(at)
    }
}

impl Broker {
    pub(super) fn send_fetches(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        if !self.following.is_started || !self.session.serves() {
            return;
        }
        self.following.resume(now);
        let is_ready = |fetcher: &Fetcher| {
            let has_news = !fetcher.changed.is_empty() || !fetcher.forgotten.is_empty();
            let may = fetcher.retry_at.is_none_or(|retry_at| retry_at <= now);
            may && match fetcher.asked {
                Some(_) => has_news,
                None => has_news || !fetcher.partitions.is_empty(),
            }
        };
        let ready = self.following.fetchers.iter().filter(|(_, fetcher)| is_ready(fetcher));
        for leader in ready.map(|(leader, _)| *leader).collect::<Vec<_>>() {
            let request = self.fetch_request(leader);
            let settings = &self.config.cluster.settings;
            let timeout_ms =
                settings.replica_socket_timeout_ms + i64::from(settings.replica_fetch_wait_max_ms);
            let purpose = Purpose::Fetch { leader };
            let asked = self.call(Peer::Broker(leader), request.into(), timeout_ms, purpose, outputs);
            let fetcher = self.following.fetchers.get_mut(&leader).expect("just seen");
            fetcher.asked = Some(asked);
            fetcher.retry_at = None;
            fetcher.session_epoch = fetcher.session_epoch.wrapping_add(1).max(1);
        }
    }

    fn fetch_request(&mut self, leader: i32) -> FetchRequest {
        let settings = &self.config.cluster.settings;
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(self.config.id))
            .with_replica_state(ReplicaState::default().with_replica_epoch(self.session.epoch()))
            .with_max_wait_ms(settings.replica_fetch_wait_max_ms)
            .with_min_bytes(settings.replica_fetch_min_bytes)
            .with_max_bytes(settings.replica_fetch_response_max_bytes);
        let max_bytes = settings.replica_fetch_max_bytes;
        let fetcher = self.following.fetchers.get_mut(&leader).expect("asked for one that is there");
        let changed = std::mem::take(&mut fetcher.changed);
        let forgotten = std::mem::take(&mut fetcher.forgotten);
        let (session_id, session_epoch) = (fetcher.session_id, fetcher.session_epoch);
        let wanted = changed.into_iter().filter_map(|at| {
            let (_, replica) = self.replica(&at.topic, at.partition)?;
            let partition = FetchPartition::default()
                .with_partition(at.partition)
                .with_current_leader_epoch(replica.leader_epoch)
                .with_fetch_offset(replica.log.end_offset())
                .with_last_fetched_epoch(replica.log.epochs.latest().unwrap_or(-1))
                .with_log_start_offset(replica.log.start_offset())
                .with_partition_max_bytes(max_bytes);
            Some((at.topic, partition))
        });
        let mut topics: Vec<FetchTopic> = Vec::new();
        for (topic, partition) in wanted {
            match topics.last_mut().filter(|last| last.topic == topic) {
                Some(last) => last.partitions.push(partition),
                None => topics.push(FetchTopic::default().with_topic(topic).with_partitions(vec![partition])),
            }
        }
        request
            .with_session_id(session_id)
            .with_session_epoch(session_epoch)
            .with_topics(topics)
            .with_forgotten_topics_data(by_topic(forgotten))
    }

    pub(super) fn fetch_answered(
        &mut self,
        now: TimestampMs,
        correlation: u64,
        leader: i32,
        response: Option<Response>,
        outputs: &mut Vec<Output>,
    ) {
        let backoff_ms = self.config.cluster.settings.replica_fetch_backoff_ms;
        let Some(fetcher) = self.following.fetchers.get_mut(&leader) else { return };
        if fetcher.asked != Some(correlation) {
            return;
        }
        fetcher.asked = None;
        let response = response.and_then(|response| FetchResponse::try_from(response).ok());
        let Some(response) = response else {
            fetcher.begin_anew();
            fetcher.retry_at = Some(now + backoff_ms);
            return;
        };
        if response.error_code != 0 {
            fetcher.begin_anew();
            let lost_session = matches!(
                check(response.error_code),
                Err(ResponseError::FetchSessionIdNotFound | ResponseError::InvalidFetchSessionEpoch)
            );
            fetcher.retry_at = (!lost_session).then_some(now + backoff_ms);
            return;
        }
        fetcher.session_id = response.session_id;
        if response.session_id == 0 {
            // The leader keeps no session for us.
            fetcher.begin_anew();
        }
        for topic in response.responses {
            for data in topic.partitions {
                let at = TopicPartition { topic: topic.topic.clone(), partition: data.partition_index };
                if self.following.is_followed(&at, leader) {
                    self.take_over(now, &at, data, outputs);
                }
            }
        }
    }

    /// What a leader says of one partition.
    fn take_over(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        data: PartitionData,
        outputs: &mut Vec<Output>,
    ) {
        let retry_at = now + self.config.cluster.settings.replica_fetch_backoff_ms;
        let has_records = data.records.as_ref().is_some_and(|records| !records.is_empty());
        if has_records && self.write_to_disk().is_err() {
            return;
        }
        let Some((spec, replica)) = self.replica_mut(&at.topic, at.partition) else { return };
        let Role::Follower { leader } = replica.role else { return };
        let before = replica.log.end_offset();
        let epoch_before = replica.log.epochs.latest();
        let segments = replica.log.segments();
        let (mut truncated, mut is_apart) = (false, false);
        match check(data.error_code) {
            Ok(()) if data.diverging_epoch.end_offset >= 0 || data.diverging_epoch.epoch >= 0 => {
                truncated = replica.truncate(&data.diverging_epoch);
                is_apart = true;
            }
            Ok(()) => {
                let spec = spec.clone();
                replica.append_fetched(now, &spec, data.records.unwrap_or_default());
                replica.learn_bounds(data.high_watermark, data.log_start_offset);
            }
            Err(ResponseError::OffsetOutOfRange) => {
                // A leader tells followers where its log starts and ends.
                truncated = replica.meet(data.log_start_offset, data.last_stable_offset);
                is_apart = true;
            }
            Err(_) => {
                self.following.delay(at, retry_at);
                return;
            }
        }
        let after = replica.log.end_offset();
        let is_rolled = replica.log.segments() > segments.max(1);
        if truncated {
            outputs.push(Output::Truncated { partition: at.clone(), from: after, to: before });
        }
        let has_moved = truncated || after != before || replica.log.epochs.latest() != epoch_before;
        if is_apart && !has_moved {
            // The same question would have the same answer.
            self.following.delay(at, retry_at);
        } else if has_moved && let Some(fetcher) = self.following.fetchers.get_mut(&leader) {
            fetcher.changed.insert(at.clone());
        }
        self.note_dirty(now, at, is_rolled);
    }
}

impl Replica {
    fn append_fetched(&mut self, now: TimestampMs, spec: &crate::cluster::TopicSpec, mut bytes: Bytes) {
        while let Some(batch) = next_batch(&mut bytes) {
            let Some(header) = BatchHeader::read(&batch) else { return };
            let marker = marker_of(&header, &batch);
            if !self.log.append_copy(now, spec, &header, batch) {
                continue;
            }
            self.producers.replay(&header, marker);
        }
        if self.log.end_offset() - self.log.flushed() >= spec.flush_messages {
            self.log.flush();
        }
    }

    fn learn_bounds(&mut self, high_watermark: i64, log_start_offset: i64) {
        if log_start_offset > self.log.start_offset() {
            self.log.delete_before(log_start_offset);
            self.producers.log_start_moved(self.log.start_offset());
        }
        let high_watermark = high_watermark.min(self.log.end_offset()).max(self.log.start_offset());
        if high_watermark != self.high_watermark {
            self.high_watermark = high_watermark;
            self.producers.high_watermark_moved(high_watermark);
        }
    }

    /// The leader's log ended this epoch earlier than ours, or never had it. True if anything was cut off.
    fn truncate(&mut self, leaders: &EpochEndOffset) -> bool {
        let end = self.log.end_offset();
        let to = if leaders.end_offset < 0 {
            self.high_watermark
        } else {
            let (epoch, ours) = self.log.epochs.end_of(leaders.epoch, end);
            match epoch {
                -1 => leaders.end_offset,
                _ => ours.min(leaders.end_offset),
            }
        };
        self.cut(to)
    }

    /// Our log's end lies outside of the leader's log.
    fn meet(&mut self, leader_start: i64, leader_end: i64) -> bool {
        if leader_start > self.log.end_offset() {
            self.log.start_over_at(leader_start);
            self.high_watermark = leader_start;
            self.rebuild_producers();
            return true;
        }
        self.cut(leader_end)
    }

    fn cut(&mut self, to: i64) -> bool {
        let is_cut = self.log.truncate_to(to);
        if is_cut {
            self.high_watermark = self.high_watermark.min(self.log.end_offset());
            self.rebuild_producers();
        }
        is_cut
    }
}

fn by_topic(partitions: BTreeSet<TopicPartition>) -> Vec<ForgottenTopic> {
    let mut topics: Vec<ForgottenTopic> = Vec::new();
    for at in partitions {
        let name: &TopicName = &at.topic;
        match topics.last_mut().filter(|last| last.topic == *name) {
            Some(last) => last.partitions.push(at.partition),
            None => topics
                .push(ForgottenTopic::default().with_topic(at.topic).with_partitions(vec![at.partition])),
        }
    }
    topics
}
