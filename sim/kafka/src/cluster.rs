//! What a cluster consists of: brokers, topics, and who leads what. Pure data and pure functions.
//!
//! Fakes a controller's assignment: leader = (partition + hash of the topic) mod brokers, replication factor 1,
//! never moved. Omits replicas, elections, topic deletion and added partitions.

use std::collections::BTreeMap;
use std::fmt;

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use crate::partitioner::{murmur2, to_positive};

/// Milliseconds since the Unix epoch, on the clock of whoever is asked.
pub type TimestampMs = i64;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: TopicName,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl AsRef<str>, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic_name(topic), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic.as_str(), self.partition)
    }
}

/// Kafka's newtype for a topic's name, from text.
pub fn topic_name(topic: impl AsRef<str>) -> TopicName {
    TopicName(StrBytes::from_string(topic.as_ref().to_owned()))
}

/// `cleanup.policy`. `Compact` is kept as data: keyless records are refused, nothing is compacted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CleanupPolicy {
    #[default]
    Delete,
    Compact,
}

/// `message.timestamp.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MessageTimestampType {
    #[default]
    CreateTime,
    LogAppendTime,
}

/// A topic and its settings, by Kafka's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: TopicName,
    pub partitions: i32,
    pub cleanup_policy: CleanupPolicy,
    /// -1: never.
    pub retention_ms: i64,
    pub segment_bytes: i32,
    pub segment_ms: i64,
    pub message_timestamp_type: MessageTimestampType,
}

impl TopicSpec {
    /// Kafka's defaults: delete after 7 days, segments of 1 GiB or 7 days, the client's timestamps.
    pub fn new(name: impl AsRef<str>, partitions: i32) -> TopicSpec {
        TopicSpec {
            name: topic_name(name),
            partitions,
            cleanup_policy: CleanupPolicy::Delete,
            retention_ms: 7 * DAY_MS,
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            message_timestamp_type: MessageTimestampType::CreateTime,
        }
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The brokers' ids in the order that the assignment counts them, and the topics of the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSpec {
    pub brokers: Vec<i32>,
    pub topics: Vec<TopicSpec>,
}

impl ClusterSpec {
    /// The broker that leads a partition.
    pub fn leader_of(&self, topic: &str, partition: i32) -> i32 {
        let hash = i64::from(to_positive(murmur2(topic.as_bytes())));
        let count = i64::try_from(self.brokers.len()).expect("a cluster has a handful of brokers");
        let index = (hash + i64::from(partition)) % count;
        self.brokers[usize::try_from(index).expect("a remainder of two positive numbers")]
    }

    /// The broker that coordinates a group at first: the leader of its partition of `__consumer_offsets`.
    pub fn coordinator_of(&self, group_id: &str) -> i32 {
        self.leader_of("__consumer_offsets", self.offsets_partition_of(group_id))
    }

    /// The group's partition of `__consumer_offsets`.
    pub fn offsets_partition_of(&self, group_id: &str) -> i32 {
        to_positive(java_hash(group_id)) % OFFSETS_TOPIC_NUM_PARTITIONS
    }

    /// The broker that accepts `CreateTopics`.
    pub fn controller(&self) -> i32 {
        self.brokers[0]
    }
}

/// `offsets.topic.num.partitions`.
pub(crate) const OFFSETS_TOPIC_NUM_PARTITIONS: i32 = 50;

/// Java's `String.hashCode`, which Kafka places groups by.
pub(crate) fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// A broker's settings, by Kafka's names. [`BrokerConfig::new`] gives Kafka's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Must be one of `cluster.brokers`.
    pub id: i32,
    pub cluster: ClusterSpec,
    pub group_initial_rebalance_delay_ms: i64,
    pub group_min_session_timeout_ms: i32,
    pub group_max_session_timeout_ms: i32,
    pub group_max_size: i32,
    /// Largest batch accepted, in bytes with its header.
    pub message_max_bytes: i32,
    pub offsets_retention_minutes: i64,
    pub offsets_retention_check_interval_ms: i64,
    pub producer_id_expiration_ms: i64,
    pub log_retention_check_interval_ms: i64,
    /// `advertised.listeners` of every broker of the cluster, as clients are told them.
    pub advertised_listeners: BTreeMap<i32, Listener>,
}

/// Where clients reach a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub host: StrBytes,
    pub port: i32,
}

impl Listener {
    /// `kafka-1:9092` and so on: names for networks that are not real.
    fn unreal(broker: i32) -> Listener {
        Listener { host: StrBytes::from_string(format!("kafka-{broker}")), port: 9092 }
    }
}

impl BrokerConfig {
    pub fn new(id: i32, cluster: ClusterSpec) -> BrokerConfig {
        assert!(cluster.brokers.contains(&id), "broker {id} is not in the cluster {:?}", cluster.brokers);
        BrokerConfig {
            id,
            advertised_listeners: cluster.brokers.iter().map(|id| (*id, Listener::unreal(*id))).collect(),
            cluster,
            group_initial_rebalance_delay_ms: 3_000,
            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 30 * 60 * 1000,
            group_max_size: i32::MAX,
            message_max_bytes: 1_048_588,
            offsets_retention_minutes: 7 * 24 * 60,
            offsets_retention_check_interval_ms: 10 * 60 * 1000,
            producer_id_expiration_ms: DAY_MS,
            log_retention_check_interval_ms: 5 * 60 * 1000,
        }
    }

    /// Where clients are sent who are to talk to this broker of the cluster.
    pub fn listener_of(&self, broker: i32) -> &Listener {
        self.advertised_listeners.get(&broker).expect("every broker of the cluster has a listener")
    }
}
