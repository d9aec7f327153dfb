//! Fetch sessions (KIP-227): a client names its partitions once, and then only what has changed.
//!
//! Real: `FetchSession`, `IncrementalFetchContext`. A partition is looked at again only after something has happened to it, so
//! an idle session costs nothing. Sessions are few: a full cache evicts the one that was not used for longest, as Kafka does
//! after `min.incremental.fetch.session.eviction.ms`.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest};

use super::leading::Moved;
use crate::cluster::{TimestampMs, TopicPartition};

/// `max.incremental.fetch.session.cache.slots`.
const SLOTS: usize = 1_000;
/// `min.incremental.fetch.session.eviction.ms`.
const EVICTION_MS: i64 = 120_000;

/// What is asked of a partition, and what the client was told of it last.
pub(super) struct Entry {
    pub topic: TopicName,
    pub wanted: FetchPartition,
    /// High watermark and log start.
    pub told: Option<(i64, i64)>,
}

pub(super) struct FetchSession {
    /// The epoch that the next request must name.
    next_epoch: i32,
    entries: BTreeMap<u32, Entry>,
    by_name: BTreeMap<TopicPartition, u32>,
    next_entry: u32,
    /// To be looked at.
    pub dirty: BTreeSet<u32>,
    /// Where the next look begins, so that every partition gets its turn.
    pub next: u32,
    /// A fetch that waits.
    pub parked: Option<u64>,
    used_at: TimestampMs,
    is_replica: bool,
}

impl FetchSession {
    pub fn entry(&mut self, entry: u32) -> Option<&mut Entry> {
        self.entries.get_mut(&entry)
    }

    /// What is asked of partitions that are to be looked at.
    pub fn changed(&mut self) -> Vec<(TopicName, FetchPartition)> {
        let entries = self.dirty.iter().filter_map(|entry| self.entries.get(entry));
        entries.map(|entry| (entry.topic.clone(), entry.wanted.clone())).collect()
    }

    /// What is asked of all partitions.
    pub fn all(&mut self) -> Vec<(TopicName, FetchPartition)> {
        self.entries.values().map(|entry| (entry.topic.clone(), entry.wanted.clone())).collect()
    }

    /// What is to be looked at, in order.
    pub fn to_look_at(&self) -> Vec<u32> {
        self.dirty.range(self.next..).chain(self.dirty.range(..self.next)).copied().collect()
    }
}

#[derive(Default)]
pub(super) struct FetchSessions {
    sessions: BTreeMap<i32, FetchSession>,
    /// Partition, session and entry, by topic.
    watchers: BTreeMap<TopicName, Vec<(i32, i32, u32)>>,
    last_id: i32,
    /// When a follower fetched last.
    seen: BTreeMap<i32, TimestampMs>,
}

/// How a request is to be answered.
pub(super) enum Context {
    /// It names all that it wants.
    Full,
    Session(i32),
}

impl FetchSessions {
    pub fn seen(&self, follower: i32) -> Option<TimestampMs> {
        self.seen.get(&follower).copied()
    }

    pub fn get(&mut self, id: i32) -> Option<&mut FetchSession> {
        self.sessions.get_mut(&id)
    }

    /// Begins, goes on with or ends a session, as the request says. A fetch that was parked in the session is given back.
    pub fn context(
        &mut self,
        now: TimestampMs,
        request: &FetchRequest,
    ) -> Result<(Context, Option<u64>), ResponseError> {
        if request.replica_id.0 >= 0 {
            self.seen.insert(request.replica_id.0, now);
        }
        match (request.session_id, request.session_epoch) {
            (id, epoch @ (-1 | 0)) => {
                let parked = self.close(id);
                if epoch == -1 {
                    return Ok((Context::Full, parked));
                }
                Ok((self.begin(now, request).map_or(Context::Full, Context::Session), parked))
            }
            (id, epoch) => {
                let session = self.sessions.get_mut(&id).ok_or(ResponseError::FetchSessionIdNotFound)?;
                if session.next_epoch != epoch {
                    return Err(ResponseError::InvalidFetchSessionEpoch);
                }
                session.next_epoch = epoch.checked_add(1).unwrap_or(1);
                session.used_at = now;
                let parked = session.parked.take();
                self.update(id, request);
                Ok((Context::Session(id), parked))
            }
        }
    }

    fn close(&mut self, id: i32) -> Option<u64> {
        let session = self.sessions.remove(&id)?;
        for at in session.by_name.keys() {
            if let Some(watchers) = self.watchers.get_mut(&at.topic) {
                watchers.retain(|(_, watching, _)| *watching != id);
            }
        }
        session.parked
    }

    fn begin(&mut self, now: TimestampMs, request: &FetchRequest) -> Option<i32> {
        if self.sessions.len() >= SLOTS {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used_at);
            let (id, _) = oldest.filter(|(_, session)| now - session.used_at > EVICTION_MS)?;
            let id = *id;
            self.close(id);
        }
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        let session = FetchSession {
            next_epoch: 1,
            entries: BTreeMap::new(),
            by_name: BTreeMap::new(),
            next_entry: 0,
            dirty: BTreeSet::new(),
            next: 0,
            parked: None,
            used_at: now,
            is_replica: request.replica_id.0 >= 0,
        };
        self.sessions.insert(self.last_id, session);
        self.update(self.last_id, request);
        Some(self.last_id)
    }

    /// What the request says of single partitions.
    fn update(&mut self, id: i32, request: &FetchRequest) {
        let session = self.sessions.get_mut(&id).expect("just seen");
        for topic in &request.forgotten_topics_data {
            for partition in &topic.partitions {
                let at = TopicPartition { topic: topic.topic.clone(), partition: *partition };
                let Some(entry) = session.by_name.remove(&at) else { continue };
                session.entries.remove(&entry);
                session.dirty.remove(&entry);
                if let Some(watchers) = self.watchers.get_mut(&at.topic) {
                    watchers.retain(|watcher| *watcher != (*partition, id, entry));
                }
            }
        }
        for topic in &request.topics {
            for wanted in &topic.partitions {
                let at = TopicPartition { topic: topic.topic.clone(), partition: wanted.partition };
                let entry = session.by_name.get(&at).copied().unwrap_or_else(|| {
                    let entry = session.next_entry;
                    session.next_entry += 1;
                    let watchers = self.watchers.entry(at.topic.clone()).or_default();
                    watchers.push((wanted.partition, id, entry));
                    session.by_name.insert(at, entry);
                    entry
                });
                let told = session.entries.get(&entry).and_then(|entry| entry.told);
                let kept = Entry { topic: topic.topic.clone(), wanted: wanted.clone(), told };
                session.entries.insert(entry, kept);
                session.dirty.insert(entry);
            }
        }
    }

    /// Something has happened to a partition. Gives the parked fetches of sessions that may have waited for that.
    pub fn moved(&mut self, at: &TopicPartition, moved: Moved) -> Vec<u64> {
        let Some(watchers) = self.watchers.get(&at.topic) else { return Vec::new() };
        let mut parked = Vec::new();
        for (_, id, entry) in watchers.iter().filter(|(partition, ..)| *partition == at.partition) {
            let Some(session) = self.sessions.get_mut(id) else { continue };
            let (concerned, wakes) = match moved {
                Moved::End => (session.is_replica, session.is_replica),
                // A follower hears of the high watermark with the next records, or when its wait is over.
                Moved::Visible => (true, !session.is_replica),
                Moved::State => (true, true),
            };
            if concerned {
                session.dirty.insert(*entry);
            }
            parked.extend(session.parked.filter(|_| wakes));
        }
        parked
    }
}
