//! What a cluster is at one moment, as the controller says it: brokers, topics, leaders, in-sync replicas.
//!
//! Real: `MetadataImage`. Brokers get it whole and shared; in Kafka they replay the records of `__cluster_metadata`.
//! Images are immutable and numbered, and a broker takes only newer ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use crate::cluster::{ClusterSpec, TopicPartition, TopicSpec};
use crate::partitioner::murmur2;

/// No broker.
pub const NO_LEADER: i32 = -1;

/// A cluster's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Rises with each change; 0 is the cluster's beginning.
    pub version: u64,
    pub brokers: BTreeMap<i32, BrokerImage>,
    pub topics: BTreeMap<TopicName, Arc<TopicImage>>,
}

/// A registered broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerImage {
    /// Of its registration: an earlier process of the same broker has a smaller one.
    pub epoch: i64,
    /// Out of session: it leads nothing and is in sync with nothing.
    pub fenced: bool,
    /// About to stop, for as long as this process lasts: it leads nothing and comes into no in-sync set.
    pub in_controlled_shutdown: bool,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicImage {
    pub id: Uuid,
    pub spec: TopicSpec,
    pub partitions: Vec<PartitionImage>,
}

/// A partition's replicas and who of them leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionImage {
    /// The first is the preferred leader.
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    /// Eligible leader replicas (KIP-966): not in sync, but they have everything that was acknowledged.
    pub elr: Vec<i32>,
    /// Who led last, while nobody is in sync (in Kafka, the only member of `LastKnownElr`).
    pub last_known_leader: Option<i32>,
    /// [`NO_LEADER`] where nobody may lead.
    pub leader: i32,
    pub leader_epoch: i32,
    /// Rises with each change of leader or in-sync replicas.
    pub partition_epoch: i32,
}

impl Image {
    /// A new cluster whose brokers are all there, with the topics of its start and the coordinators' own.
    pub fn first(cluster: &ClusterSpec) -> Image {
        let brokers = cluster.brokers.iter().map(|id| (*id, BrokerImage::of(0, false)));
        let topics = cluster.topics.iter().cloned().chain(cluster.internal_topics());
        let topics = topics.map(|spec| {
            let id = topic_id(&spec.name, 0);
            (spec.name.clone(), Arc::new(TopicImage::new(id, spec, cluster, &cluster.brokers)))
        });
        Image { version: 0, brokers: brokers.collect(), topics: topics.collect() }
    }

    pub fn partition(&self, at: &TopicPartition) -> Option<&PartitionImage> {
        let index = usize::try_from(at.partition).ok()?;
        self.topics.get(&at.topic)?.partitions.get(index)
    }

    pub fn topic_of_id(&self, id: Uuid) -> Option<&TopicName> {
        self.topics.iter().find(|(_, topic)| topic.id == id).map(|(name, _)| name)
    }

    /// In session.
    pub fn is_alive(&self, broker: i32) -> bool {
        self.brokers.get(&broker).is_some_and(|broker| !broker.fenced)
    }

    /// In session, and not about to stop: it may lead, and may be in sync.
    pub fn is_active(&self, broker: i32) -> bool {
        self.brokers.get(&broker).is_some_and(|broker| broker.is_active())
    }
}

impl BrokerImage {
    pub fn of(epoch: i64, fenced: bool) -> BrokerImage {
        BrokerImage { epoch, fenced, in_controlled_shutdown: false }
    }

    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }
}

impl TopicImage {
    /// A new topic on these brokers: the first replica of a partition is the one that [`ClusterSpec::leader_of`] names,
    /// the others follow it in order.
    pub fn new(id: Uuid, spec: TopicSpec, cluster: &ClusterSpec, alive: &[i32]) -> TopicImage {
        let partitions = (0..spec.partitions)
            .map(|index| PartitionImage::new(cluster.replicas_of(&spec, index, alive)))
            .collect();
        TopicImage { id, spec, partitions }
    }
}

impl PartitionImage {
    pub fn new(replicas: Vec<i32>) -> PartitionImage {
        let leader = replicas.first().copied().unwrap_or(NO_LEADER);
        PartitionImage {
            isr: replicas.clone(),
            elr: Vec::new(),
            last_known_leader: None,
            replicas,
            leader,
            leader_epoch: 0,
            partition_epoch: 0,
        }
    }
}

/// A topic's id, made of its name and of how many topics were made before: no two are the same, also of one name.
pub fn topic_id(name: &TopicName, serial: u64) -> Uuid {
    let hash = u64::from(murmur2(name.as_bytes()).cast_unsigned());
    Uuid::from_u64_pair(serial + 1, (hash << 32) | u64::from(crc32c::crc32c(name.as_bytes())))
}
