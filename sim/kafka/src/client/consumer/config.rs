//! A consumer's settings: real names, real defaults.

use crate::client::Profile;

/// `auto.offset.reset`: where to read without a committed offset, or with one outside of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoOffsetReset {
    Earliest,
    /// Records written before the first assignment are skipped.
    #[default]
    Latest,
    /// Reports an error and reads nothing of the partition until the host seeks. `error` in librdkafka.
    None,
}

/// `isolation.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationLevel {
    /// Also records of open and of aborted transactions.
    ReadUncommitted = 0,
    /// Up to the last stable offset, without records of aborted transactions.
    ReadCommitted = 1,
}

/// `partition.assignment.strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Assignor {
    #[default]
    Range,
    RoundRobin,
    /// Balanced, with as few partitions moved as possible; all are given up in between.
    Sticky,
    /// The same, but partitions that stay are read all the time (KIP-429).
    CooperativeSticky,
}

/// A consumer's settings, by Kafka's names.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    pub profile: Profile,
    /// Broker ids to ask for metadata and coordinator, in this order.
    pub bootstrap_servers: Vec<i32>,
    pub group_id: String,
    pub client_id: String,
    pub group_instance_id: Option<String>,
    pub topics: Vec<String>,
    /// In the order of preference. Rebalances are cooperative if all are.
    pub partition_assignment_strategy: Vec<Assignor>,
    pub auto_offset_reset: AutoOffsetReset,
    /// Without it the host says where each partition begins, as it may in librdkafka's rebalance callback: committed
    /// offsets are not asked for, so that no undecided transaction of the owner before is waited for either.
    pub begin_at_committed: bool,
    pub isolation_level: IsolationLevel,
    pub enable_auto_commit: bool,
    pub auto_commit_interval_ms: i64,
    /// librdkafka's: a record's offset is stored when it is delivered. Without it the host stores offsets.
    pub enable_auto_offset_store: bool,
    pub session_timeout_ms: i32,
    pub heartbeat_interval_ms: i64,
    /// Also the rebalance time-out. A consumer that is neither polled nor driven does not heartbeat either, so it is out
    /// after `session.timeout.ms` already.
    pub max_poll_interval_ms: i32,
    /// Records of one event.
    pub max_poll_records: usize,
    /// A partition is fetched while fewer than this many of its records wait to be delivered.
    pub queued_min_messages: usize,
    pub fetch_max_wait_ms: i32,
    pub fetch_min_bytes: i32,
    pub fetch_max_bytes: i32,
    pub max_partition_fetch_bytes: i32,
    /// Asks only for what changed since the last fetch, where brokers allow (KIP-227).
    pub fetch_sessions: bool,
    /// Asks a new leader whether what was read is still in its log (KIP-320).
    pub validate_positions: bool,
    pub metadata_max_age_ms: i64,
    pub request_timeout_ms: i64,
    pub retry_backoff_ms: i64,
    pub retry_backoff_max_ms: i64,
}

impl ConsumerConfig {
    /// The platform's: nothing is committed by itself, and an idle consumer costs little (Kafka: session 45 s, heartbeat
    /// 3 s, fetch wait 500 ms).
    pub fn new(
        bootstrap_servers: Vec<i32>,
        group_id: impl Into<String>,
        client_id: impl Into<String>,
        topics: Vec<String>,
    ) -> ConsumerConfig {
        ConsumerConfig {
            profile: Profile::Platform,
            bootstrap_servers,
            group_id: group_id.into(),
            client_id: client_id.into(),
            group_instance_id: None,
            topics,
            partition_assignment_strategy: vec![Assignor::Range],
            auto_offset_reset: AutoOffsetReset::Latest,
            begin_at_committed: true,
            isolation_level: IsolationLevel::ReadUncommitted,
            enable_auto_commit: false,
            auto_commit_interval_ms: 5_000,
            enable_auto_offset_store: false,
            session_timeout_ms: 60_000,
            heartbeat_interval_ms: 15_000,
            max_poll_interval_ms: 300_000,
            max_poll_records: 500,
            queued_min_messages: 1,
            fetch_max_wait_ms: 30_000,
            fetch_min_bytes: 1,
            fetch_max_bytes: 50 * 1024 * 1024,
            max_partition_fetch_bytes: 1024 * 1024,
            fetch_sessions: true,
            validate_positions: true,
            metadata_max_age_ms: i64::MAX,
            request_timeout_ms: 30_000,
            retry_backoff_ms: 100,
            retry_backoff_max_ms: 1_000,
        }
    }

    /// librdkafka's defaults (2.x).
    pub fn librdkafka(
        bootstrap_servers: Vec<i32>,
        group_id: impl Into<String>,
        client_id: impl Into<String>,
        topics: Vec<String>,
    ) -> ConsumerConfig {
        ConsumerConfig {
            profile: Profile::Librdkafka,
            partition_assignment_strategy: vec![Assignor::Range, Assignor::RoundRobin],
            isolation_level: IsolationLevel::ReadCommitted,
            enable_auto_commit: true,
            enable_auto_offset_store: true,
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 3_000,
            queued_min_messages: 100_000,
            fetch_max_wait_ms: 500,
            fetch_sessions: false,
            metadata_max_age_ms: 900_000,
            ..ConsumerConfig::new(bootstrap_servers, group_id, client_id, topics)
        }
    }

    /// Defaults of Java's client (4.x), classic protocol.
    pub fn java(
        bootstrap_servers: Vec<i32>,
        group_id: impl Into<String>,
        client_id: impl Into<String>,
        topics: Vec<String>,
    ) -> ConsumerConfig {
        ConsumerConfig {
            profile: Profile::Java,
            partition_assignment_strategy: vec![Assignor::Range, Assignor::CooperativeSticky],
            enable_auto_commit: true,
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 3_000,
            fetch_max_wait_ms: 500,
            metadata_max_age_ms: 300_000,
            ..ConsumerConfig::new(bootstrap_servers, group_id, client_id, topics)
        }
    }

    /// All assignors are cooperative.
    pub(super) fn is_cooperative(&self) -> bool {
        self.partition_assignment_strategy.iter().all(|assignor| *assignor == Assignor::CooperativeSticky)
    }
}
