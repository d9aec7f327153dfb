//! Fetch sessions (KIP-227): a broker remembers which partitions are read from where, and is told only what changed.
//!
//! A broker that has no sessions answers with session 0, and is told everything each time.

use std::collections::BTreeMap;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};

use crate::cluster::TopicPartition;

/// From where a partition is read: offset, and the leader epoch that the client knows.
pub(super) type Wanted = BTreeMap<TopicPartition, (i64, i32)>;

/// A session at one broker. The default has none yet.
#[derive(Default)]
pub(super) struct Session {
    id: i32,
    /// Of the next request; 0 asks for a new session.
    epoch: i32,
    known: Wanted,
}

impl Session {
    /// Puts into a request what the broker has to be told.
    pub fn ask(&self, request: FetchRequest, wanted: &Wanted, max_bytes: i32) -> FetchRequest {
        let news =
            wanted.iter().filter(|(name, from)| self.epoch == 0 || self.known.get(*name) != Some(*from));
        let mut topics: Vec<FetchTopic> = Vec::new();
        for (name, (offset, leader_epoch)) in news {
            let partition = FetchPartition::default()
                .with_partition(name.partition)
                .with_current_leader_epoch(*leader_epoch)
                .with_fetch_offset(*offset)
                .with_partition_max_bytes(max_bytes);
            match topics.last_mut() {
                Some(topic) if topic.topic == name.topic => topic.partitions.push(partition),
                _ => topics.push(
                    FetchTopic::default().with_topic(name.topic.clone()).with_partitions(vec![partition]),
                ),
            }
        }
        let mut forgotten: Vec<ForgottenTopic> = Vec::new();
        for name in self.known.keys().filter(|name| self.epoch > 0 && !wanted.contains_key(*name)) {
            match forgotten.last_mut() {
                Some(topic) if topic.topic == name.topic => topic.partitions.push(name.partition),
                _ => forgotten.push(
                    ForgottenTopic::default()
                        .with_topic(name.topic.clone())
                        .with_partitions(vec![name.partition]),
                ),
            }
        }
        request
            .with_session_id(self.id)
            .with_session_epoch(self.epoch)
            .with_topics(topics)
            .with_forgotten_topics_data(forgotten)
    }

    /// The broker has answered with this session.
    pub fn answered(&mut self, id: i32, wanted: Wanted) {
        if id == 0 {
            *self = Session::default();
            return;
        }
        self.epoch = if id == self.id { self.epoch.checked_add(1).unwrap_or(1) } else { 1 };
        self.id = id;
        self.known = wanted;
    }

    /// What the broker knows is not known any more: the next request replaces the session.
    pub fn start_over(&mut self) {
        self.epoch = 0;
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(session: &Session, wanted: &Wanted) -> (i32, i32, usize, usize) {
        let request = session.ask(FetchRequest::default(), wanted, 1_000);
        let partitions = request.topics.iter().map(|topic| topic.partitions.len()).sum();
        let forgotten = request.forgotten_topics_data.iter().map(|topic| topic.partitions.len()).sum();
        (request.session_id, request.session_epoch, partitions, forgotten)
    }

    #[test]
    fn a_session_is_told_only_what_changed() {
        let mut session = Session::default();
        let name = |partition| TopicPartition::new("t", partition);
        let mut wanted: Wanted = (0..3).map(|partition| (name(partition), (0, 1))).collect();
        assert_eq!(asked(&session, &wanted), (0, 0, 3, 0));
        session.answered(9, wanted.clone());
        assert_eq!(asked(&session, &wanted), (9, 1, 0, 0));
        session.answered(9, wanted.clone());
        wanted.insert(name(1), (5, 1));
        wanted.remove(&name(2));
        assert_eq!(asked(&session, &wanted), (9, 2, 1, 1));
        session.start_over();
        assert_eq!(asked(&session, &wanted), (9, 0, 2, 0), "closes the old session and begins another");
        session.answered(0, wanted.clone());
        assert_eq!(asked(&session, &wanted), (0, 0, 2, 0), "the broker has none");
    }
}
