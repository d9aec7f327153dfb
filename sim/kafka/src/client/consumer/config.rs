//! What a consumer is given and what it gives back.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use thiserror::Error;

use super::super::LinkError;
use crate::cluster::TopicPartition;

/// `auto.offset.reset`: where to read without a committed offset, or with one outside of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoOffsetReset {
    Earliest,
    /// Records written before the first assignment are skipped.
    #[default]
    Latest,
    /// Reports an error and reads nothing of the partition until the host seeks.
    None,
}

/// `partition.assignment.strategy`, both of the eager kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Assignor {
    #[default]
    Range,
    RoundRobin,
}

/// A consumer's settings, by Kafka's names. `enable.auto.commit` is off, `isolation.level` is `read_uncommitted`.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// Broker ids to ask for metadata and coordinator, in this order.
    pub bootstrap_servers: Vec<i32>,
    pub group_id: String,
    pub client_id: String,
    pub group_instance_id: Option<String>,
    pub topics: Vec<String>,
    pub partition_assignment_strategy: Assignor,
    pub auto_offset_reset: AutoOffsetReset,
    pub session_timeout_ms: i32,
    pub heartbeat_interval_ms: i64,
    /// Becomes the rebalance time-out. A consumer that is not polled does not heartbeat either, so it is out after
    /// `session.timeout.ms` already.
    pub max_poll_interval_ms: i32,
    /// Records of one event.
    pub max_poll_records: usize,
    pub fetch_max_wait_ms: i32,
    pub fetch_min_bytes: i32,
    pub fetch_max_bytes: i32,
    pub max_partition_fetch_bytes: i32,
    pub request_timeout_ms: i64,
    pub retry_backoff_ms: i64,
    pub retry_backoff_max_ms: i64,
}

impl ConsumerConfig {
    /// Kafka's defaults, except for the three that decide what an idle consumer costs (Kafka: session 45 s,
    /// heartbeat 3 s, fetch wait 500 ms).
    pub fn new(
        bootstrap_servers: Vec<i32>,
        group_id: impl Into<String>,
        client_id: impl Into<String>,
        topics: Vec<String>,
    ) -> ConsumerConfig {
        ConsumerConfig {
            bootstrap_servers,
            group_id: group_id.into(),
            client_id: client_id.into(),
            group_instance_id: None,
            topics,
            partition_assignment_strategy: Assignor::Range,
            auto_offset_reset: AutoOffsetReset::Latest,
            session_timeout_ms: 60_000,
            heartbeat_interval_ms: 15_000,
            max_poll_interval_ms: 300_000,
            max_poll_records: 500,
            fetch_max_wait_ms: 30_000,
            fetch_min_bytes: 1,
            fetch_max_bytes: 50 * 1024 * 1024,
            max_partition_fetch_bytes: 1024 * 1024,
            request_timeout_ms: 30_000,
            retry_backoff_ms: 100,
            retry_backoff_max_ms: 1_000,
        }
    }
}

/// A record read: key, value and header names and values are slices of the fetched bytes.
pub type ConsumerRecord = crate::records::Record;

/// What a poll brings.
#[derive(Debug, Clone, PartialEq)]
pub enum ConsumerEvent {
    /// A new generation: these partitions, all of them, are this member's now. Seek before polling again to begin
    /// elsewhere than at the committed offset.
    Assigned(Vec<TopicPartition>),
    /// These partitions, all there were, are no longer this member's; nothing more of them is delivered. Offsets may
    /// still be committed before polling again, if the group allows.
    Revoked(Vec<TopicPartition>),
    /// Never empty, in rising order of offsets.
    Records {
        topic: TopicName,
        partition: i32,
        records: Vec<ConsumerRecord>,
    },
    Error(ConsumerError),
}

/// The consumer goes on by itself after any of these but `Fenced`; the first two wait for a seek.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConsumerError {
    #[error("offset {offset} of {partition} is out of range and auto.offset.reset is none")]
    OffsetOutOfRange { partition: TopicPartition, offset: i64 },
    #[error("{0} has no committed offset and auto.offset.reset is none")]
    NoOffsetForPartition(TopicPartition),
    /// Fatal: polls never return again.
    #[error("another instance has taken this group.instance.id")]
    Fenced,
    #[error("the cluster does not know a topic of the subscription: {0:?}")]
    UnknownTopics(Vec<TopicName>),
    #[error("refused by a broker: {0}")]
    Broker(ResponseError),
    /// The partition stands still until the host seeks.
    #[error("corrupt batch in {0}")]
    Corrupt(TopicPartition),
}

/// Why offsets were not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CommitError {
    #[error("not a member of the group")]
    NotAMember,
    #[error("refused by the coordinator: {0}")]
    Refused(ResponseError),
    #[error("outcome unknown: {0}")]
    Unknown(LinkError),
}
