//! What a cluster consists of: brokers, topics, and who leads what. Pure data and pure functions.
//!
//! Fakes a controller's assignment: first replica = (partition + hash of the topic) mod brokers, the others follow it in
//! the order of the brokers. Omits racks.

use std::collections::BTreeMap;
use std::fmt;

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use crate::partitioner::{murmur2, to_positive};
use crate::producer_state::Expiration;
use crate::txn::TransactionConfig;

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

/// `cleanup.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CleanupPolicy {
    #[default]
    Delete,
    Compact,
    /// `compact,delete`
    CompactAndDelete,
}

impl CleanupPolicy {
    pub fn compacts(self) -> bool {
        self != CleanupPolicy::Delete
    }

    pub fn deletes(self) -> bool {
        self != CleanupPolicy::Compact
    }
}

/// `message.timestamp.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MessageTimestampType {
    #[default]
    CreateTime,
    LogAppendTime,
}

/// A topic and its settings, by Kafka's names. `None`: the broker's setting of the same meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: TopicName,
    pub partitions: i32,
    /// `None`: `default.replication.factor`. Never more than there are brokers.
    pub replication_factor: Option<i16>,
    pub cleanup_policy: CleanupPolicy,
    /// -1: never.
    pub retention_ms: i64,
    /// -1: unbounded.
    pub retention_bytes: i64,
    pub segment_bytes: i32,
    pub segment_ms: i64,
    pub message_timestamp_type: MessageTimestampType,
    pub min_insync_replicas: Option<i32>,
    pub unclean_leader_election_enable: Option<bool>,
    pub max_message_bytes: Option<i32>,
    pub delete_retention_ms: i64,
    pub min_compaction_lag_ms: i64,
    pub max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`, parts per million.
    pub min_cleanable_dirty_ratio_ppm: u32,
    /// After so many records the log is flushed to the disk.
    pub flush_messages: i64,
    /// What was set by name, for who asks.
    pub set: BTreeMap<String, String>,
}

impl TopicSpec {
    /// Kafka's defaults: delete after 7 days, segments of 1 GiB or 7 days, the client's timestamps.
    pub fn new(name: impl AsRef<str>, partitions: i32) -> TopicSpec {
        TopicSpec {
            name: topic_name(name),
            partitions,
            replication_factor: None,
            cleanup_policy: CleanupPolicy::Delete,
            retention_ms: 7 * DAY_MS,
            retention_bytes: -1,
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            message_timestamp_type: MessageTimestampType::CreateTime,
            min_insync_replicas: None,
            unclean_leader_election_enable: None,
            max_message_bytes: None,
            delete_retention_ms: DAY_MS,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_dirty_ratio_ppm: 500_000,
            flush_messages: i64::MAX,
            set: BTreeMap::new(),
        }
    }

    /// A segment that spans so much time is followed by another.
    pub(crate) fn roll_ms(&self) -> i64 {
        match self.cleanup_policy.compacts() {
            true => self.segment_ms.min(self.max_compaction_lag_ms),
            false => self.segment_ms,
        }
    }
}

/// `message.max.bytes`, as Kafka has it.
pub const MESSAGE_MAX_BYTES: i32 = 1_048_588;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The topic of committed offsets and groups.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// The topic of transactions' states.
pub const TRANSACTION_STATE: &str = "__transaction_state";

/// The brokers' ids in the order that the assignment counts them, the topics of the start, and what all brokers are set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSpec {
    pub brokers: Vec<i32>,
    pub topics: Vec<TopicSpec>,
    pub settings: ClusterSettings,
}

impl ClusterSpec {
    /// With Kafka's default settings.
    pub fn new(brokers: Vec<i32>, topics: Vec<TopicSpec>) -> ClusterSpec {
        ClusterSpec { brokers, topics, settings: ClusterSettings::default() }
    }

    /// The coordinators' own topics. They are there from the start; in Kafka, from the first use on.
    pub fn internal_topics(&self) -> [TopicSpec; 2] {
        let compacted = |name, partitions, replicas, segment_bytes| TopicSpec {
            cleanup_policy: CleanupPolicy::Compact,
            replication_factor: Some(replicas),
            segment_bytes,
            ..TopicSpec::new(name, partitions)
        };
        let settings = &self.settings;
        [
            compacted(
                CONSUMER_OFFSETS,
                settings.offsets_topic_num_partitions,
                settings.offsets_topic_replication_factor,
                settings.offsets_topic_segment_bytes,
            ),
            TopicSpec {
                min_insync_replicas: Some(settings.transaction_state_log_min_isr),
                ..compacted(
                    TRANSACTION_STATE,
                    settings.transaction_state_log_num_partitions,
                    settings.transaction_state_log_replication_factor,
                    settings.transaction_state_log_segment_bytes,
                )
            },
        ]
    }

    /// A new partition's replicas among these brokers, its preferred leader first.
    pub fn replicas_of(&self, spec: &TopicSpec, partition: i32, alive: &[i32]) -> Vec<i32> {
        let factor = spec.replication_factor.unwrap_or(self.settings.default_replication_factor);
        let factor = usize::try_from(factor).unwrap_or(1).clamp(1, alive.len().max(1));
        let first = ClusterSpec::place_of(alive.len(), &spec.name, partition);
        let replicas = alive.iter().cycle().skip(first).take(factor);
        if alive.is_empty() { Vec::new() } else { replicas.copied().collect() }
    }

    fn place_of(brokers: usize, topic: &str, partition: i32) -> usize {
        let hash = i64::from(to_positive(murmur2(topic.as_bytes())));
        let count = i64::try_from(brokers.max(1)).expect("a cluster has a handful of brokers");
        let index = (hash + i64::from(partition)) % count;
        usize::try_from(index).expect("a remainder of two positive numbers")
    }

    /// The broker that leads a partition at first.
    pub fn leader_of(&self, topic: &str, partition: i32) -> i32 {
        self.brokers[ClusterSpec::place_of(self.brokers.len(), topic, partition)]
    }

    /// The broker that coordinates a group at first: the leader of its partition of `__consumer_offsets`.
    pub fn coordinator_of(&self, group_id: &str) -> i32 {
        self.leader_of(CONSUMER_OFFSETS, self.offsets_partition_of(group_id))
    }

    /// The group's partition of `__consumer_offsets`.
    pub fn offsets_partition_of(&self, group_id: &str) -> i32 {
        place(group_id, self.settings.offsets_topic_num_partitions)
    }

    /// The transactional id's partition of `__transaction_state`.
    pub fn transaction_partition_of(&self, transactional_id: &str) -> i32 {
        place(transactional_id, self.settings.transaction_state_log_num_partitions)
    }
}

/// Settings that all brokers and the controller share, by Kafka's names; the default is Kafka's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    pub num_partitions: i32,
    pub default_replication_factor: i16,
    pub min_insync_replicas: i32,
    pub unclean_leader_election_enable: bool,
    pub auto_create_topics_enable: bool,
    pub auto_leader_rebalance_enable: bool,
    pub leader_imbalance_check_interval_seconds: i64,
    pub replica_lag_time_max_ms: i64,
    pub replica_fetch_wait_max_ms: i32,
    pub replica_fetch_min_bytes: i32,
    pub replica_fetch_max_bytes: i32,
    pub replica_fetch_response_max_bytes: i32,
    pub replica_fetch_backoff_ms: i64,
    pub replica_socket_timeout_ms: i64,
    pub broker_heartbeat_interval_ms: i64,
    pub broker_session_timeout_ms: i64,
    pub offsets_topic_num_partitions: i32,
    pub offsets_topic_replication_factor: i16,
    pub offsets_topic_segment_bytes: i32,
    pub offsets_commit_timeout_ms: i64,
    pub transaction_state_log_num_partitions: i32,
    pub transaction_state_log_replication_factor: i16,
    pub transaction_state_log_segment_bytes: i32,
    pub transaction_state_log_min_isr: i32,
    /// The finalised feature `eligible.leader.replicas.version`: 1 (KIP-966), or 0 without it.
    pub eligible_leader_replicas_version: i16,
    /// The finalised feature `transaction.version`: 1, or 2 (KIP-890 part 2).
    pub transaction_version: i16,
}

impl Default for ClusterSettings {
    fn default() -> ClusterSettings {
        ClusterSettings {
            num_partitions: 1,
            default_replication_factor: 1,
            min_insync_replicas: 1,
            unclean_leader_election_enable: false,
            auto_create_topics_enable: true,
            auto_leader_rebalance_enable: true,
            leader_imbalance_check_interval_seconds: 300,
            replica_lag_time_max_ms: 30_000,
            replica_fetch_wait_max_ms: 500,
            replica_fetch_min_bytes: 1,
            replica_fetch_max_bytes: 1 << 20,
            replica_fetch_response_max_bytes: 10 << 20,
            replica_fetch_backoff_ms: 1_000,
            replica_socket_timeout_ms: 30_000,
            broker_heartbeat_interval_ms: 2_000,
            broker_session_timeout_ms: 9_000,
            offsets_topic_num_partitions: 50,
            offsets_topic_replication_factor: 3,
            offsets_topic_segment_bytes: 100 << 20,
            offsets_commit_timeout_ms: 5_000,
            transaction_state_log_num_partitions: 50,
            transaction_state_log_replication_factor: 3,
            transaction_state_log_segment_bytes: 100 << 20,
            transaction_state_log_min_isr: 2,
            eligible_leader_replicas_version: 1,
            transaction_version: 2,
        }
    }
}

/// The partition of a coordinator's topic that keeps a key, of so many (`Utils.abs`, which is not `Utils.toPositive`).
pub(crate) fn place(key: &str, partitions: i32) -> i32 {
    java_hash(key).checked_abs().unwrap_or(0) % partitions.max(1)
}

/// Java's `String.hashCode`, which Kafka places groups by.
fn java_hash(text: &str) -> i32 {
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
    /// From the time stamp of a producer's last batch.
    pub producer_id_expiration_ms: i64,
    pub producer_id_expiration_check_interval_ms: i64,
    pub log_retention_check_interval_ms: i64,
    pub log_cleaner_backoff_ms: i64,
    pub transactions: TransactionConfig,
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
            message_max_bytes: MESSAGE_MAX_BYTES,
            offsets_retention_minutes: 7 * 24 * 60,
            offsets_retention_check_interval_ms: 10 * 60 * 1000,
            producer_id_expiration_ms: DAY_MS,
            producer_id_expiration_check_interval_ms: 10 * 60 * 1000,
            log_retention_check_interval_ms: 5 * 60 * 1000,
            log_cleaner_backoff_ms: 15_000,
            transactions: TransactionConfig::default(),
        }
    }

    pub(crate) fn producer_id_expiration(&self) -> Expiration {
        Expiration {
            after_ms: self.producer_id_expiration_ms,
            check_interval_ms: self.producer_id_expiration_check_interval_ms,
        }
    }

    /// Where clients are sent who are to talk to this broker of the cluster.
    pub fn listener_of(&self, broker: i32) -> &Listener {
        self.advertised_listeners.get(&broker).expect("every broker of the cluster has a listener")
    }
}
