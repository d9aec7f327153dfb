//! A client's view of who leads what. It grows old and is asked for again when a broker says so; there is no
//! `metadata.max.age.ms`, since partitions are neither added nor moved here.

use std::collections::BTreeMap;

use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::{MetadataResponse, TopicName};

use super::{Caller, Link, LinkError};
use crate::cluster::TopicPartition;

/// Leaders by topic and partition number. Unknown topics are absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Metadata {
    leaders: BTreeMap<TopicName, Vec<i32>>,
}

impl Metadata {
    pub fn knows(&self, topic: &TopicName) -> bool {
        self.leaders.contains_key(topic)
    }

    pub fn partitions(&self, topic: &TopicName) -> i32 {
        let count = self.leaders.get(topic).map_or(0, Vec::len);
        i32::try_from(count).expect("a partition count came as an i32")
    }

    pub fn leader(&self, partition: &TopicPartition) -> Option<i32> {
        let index = usize::try_from(partition.partition).ok()?;
        self.leaders.get(&partition.topic)?.get(index).copied().filter(|leader| *leader >= 0)
    }

    /// Newer answers replace older ones, topic by topic.
    pub fn merge(&mut self, newer: Metadata) {
        self.leaders.extend(newer.leaders);
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
    let mut leaders = BTreeMap::new();
    for topic in response.topics.into_iter().filter(|topic| topic.error_code == 0) {
        let Some(name) = topic.name else { continue };
        let mut partitions = topic.partitions;
        partitions.sort_by_key(|partition| partition.partition_index);
        leaders.insert(name, partitions.iter().map(|partition| partition.leader_id.0).collect());
    }
    Metadata { leaders }
}
