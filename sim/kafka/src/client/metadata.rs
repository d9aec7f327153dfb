//! A client's view of who leads what, and in which epoch.
//!
//! It grows old: when a broker says so, and after `metadata.max.age.ms`, which each client watches itself. An answer of a
//! broker that has fallen behind is not believed: a leader of an older epoch never replaces one of a newer (KIP-320).

use std::collections::BTreeMap;

use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{MetadataResponse, TopicName};

use super::{Caller, Link, LinkError};
use crate::cluster::TopicPartition;

/// A partition's leader, -1 where there is none, and its epoch, -1 where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leader {
    broker: i32,
    epoch: i32,
}

#[derive(Debug, Clone, Default)]
struct TopicView {
    /// All zeros where brokers do not tell. A topic that was deleted and made again has another.
    id: [u8; 16],
    /// By partition number.
    leaders: Vec<Leader>,
}

/// Leaders by topic and partition number. Unknown topics are absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Metadata {
    topics: BTreeMap<TopicName, TopicView>,
}

impl Metadata {
    pub fn knows(&self, topic: &TopicName) -> bool {
        self.topics.contains_key(topic)
    }

    pub fn partitions(&self, topic: &TopicName) -> i32 {
        let count = self.topics.get(topic).map_or(0, |view| view.leaders.len());
        i32::try_from(count).expect("a partition count came as an i32")
    }

    pub fn leader(&self, partition: &TopicPartition) -> Option<i32> {
        self.find(partition).map(|leader| leader.broker).filter(|broker| *broker >= 0)
    }

    /// The newest leader epoch heard of; -1 where none was.
    pub fn leader_epoch(&self, partition: &TopicPartition) -> i32 {
        self.find(partition).map_or(-1, |leader| leader.epoch)
    }

    fn find(&self, partition: &TopicPartition) -> Option<Leader> {
        let index = usize::try_from(partition.partition).ok()?;
        self.topics.get(&partition.topic)?.leaders.get(index).copied()
    }

    /// Newer answers replace older ones, topic by topic, except where they know less.
    pub fn merge(&mut self, newer: Metadata) {
        for (name, mut view) in newer.topics {
            if let Some(known) = self.topics.get(&name).filter(|known| known.id == view.id) {
                for (told, known) in view.leaders.iter_mut().zip(&known.leaders) {
                    if (0..known.epoch).contains(&told.epoch) {
                        *told = *known;
                    }
                }
            }
            self.topics.insert(name, view);
        }
    }
}

impl<L: Link + ?Sized> Caller<L> {
    /// Leaders of these topics, as any broker sees them.
    pub async fn metadata(
        &self,
        bootstrap_servers: &[i32],
        topics: impl IntoIterator<Item = &TopicName>,
        timeout_ms: i64,
    ) -> Result<Metadata, LinkError> {
        let topics =
            topics.into_iter().map(|name| MetadataRequestTopic::default().with_name(Some(name.clone())));
        let request = MetadataRequest::default()
            .with_topics(Some(topics.collect()))
            .with_allow_auto_topic_creation(false);
        let response = self.call_any::<MetadataResponse>(bootstrap_servers, request, timeout_ms).await?;
        Ok(read(response))
    }
}

fn read(response: MetadataResponse) -> Metadata {
    let mut topics = BTreeMap::new();
    for topic in response.topics.into_iter().filter(|topic| topic.error_code == 0) {
        let Some(name) = topic.name else { continue };
        let mut partitions = topic.partitions;
        partitions.sort_by_key(|partition| partition.partition_index);
        let leaders = partitions.iter().map(leader_of).collect();
        topics.insert(name, TopicView { id: topic.topic_id.into_bytes(), leaders });
    }
    Metadata { topics }
}

fn leader_of(partition: &MetadataResponsePartition) -> Leader {
    Leader { broker: partition.leader_id.0, epoch: partition.leader_epoch }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::topic_name;

    fn told(id: u8, broker: i32, epoch: i32) -> Metadata {
        let view = TopicView { id: [id; 16], leaders: vec![Leader { broker, epoch }] };
        Metadata { topics: BTreeMap::from([(topic_name("t"), view)]) }
    }

    #[test]
    fn i75_an_older_leader_epoch_is_never_believed_unless_the_topic_is_another() {
        let partition = TopicPartition::new("t", 0);
        let mut metadata = told(1, 0, 5);
        for (newer, leader, epoch) in [
            (told(1, 1, 4), 0, 5),
            (told(1, 1, 6), 1, 6),
            (told(1, 2, -1), 2, -1),
            (told(1, 1, 6), 1, 6),
            (told(2, 0, 0), 0, 0),
        ] {
            metadata.merge(newer);
            assert_eq!(
                (metadata.leader(&partition), metadata.leader_epoch(&partition)),
                (Some(leader), epoch)
            );
        }
    }
}
