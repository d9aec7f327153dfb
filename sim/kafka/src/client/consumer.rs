//! consumer
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use std::rc::Rc;
use thiserror::Error;

use super::{Link, LinkError};
use crate::cluster::{TimestampMs, TopicPartition};

/// `auto.offset.reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoOffsetReset {
    Earliest,
    #[default]
    Latest,
    /// Reports an error and stays silent until the host seeks.
    None,
}

/// `partition.assignment.strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Assignor {
    #[default]
    Range,
    RoundRobin,
}

/// A consumer's settings, by Kafka's names.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// Broker ids to ask for metadata.
    pub bootstrap_servers: Vec<i32>,
    pub group_id: String,
    pub client_id: String,
    pub group_instance_id: Option<String>,
    pub topics: Vec<String>,
    pub partition_assignment_strategy: Assignor,
    pub auto_offset_reset: AutoOffsetReset,
    pub session_timeout_ms: i32,
    pub heartbeat_interval_ms: i64,
    /// Becomes the rebalance time-out.
    pub max_poll_interval_ms: i32,
    pub max_poll_records: usize,
    pub fetch_max_wait_ms: i32,
    pub fetch_min_bytes: i32,
    pub fetch_max_bytes: i32,
    pub max_partition_fetch_bytes: i32,
    pub request_timeout_ms: i64,
    pub retry_backoff_ms: i64,
    pub retry_backoff_max_ms: i64,
}

/// A record read. Key, value and headers share the fetched buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRecord {
    pub offset: i64,
    pub timestamp_ms: TimestampMs,
    pub key: Option<Bytes>,
    /// `None`: a tombstone.
    pub value: Option<Bytes>,
    pub headers: Vec<(StrBytes, Bytes)>,
}

/// What a poll brings.
#[derive(Debug, Clone, PartialEq)]
pub enum ConsumerEvent {
    /// A new generation: these partitions, all of them, are this member's now.
    Assigned(Vec<TopicPartition>),
    /// These partitions are no longer this member's; nothing more of them is delivered.
    Revoked(Vec<TopicPartition>),
    Records {
        topic: TopicName,
        partition: i32,
        records: Vec<ConsumerRecord>,
    },
    Error(ConsumerError),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConsumerError {
    #[error("offset {offset} of {partition} is out of range and auto.offset.reset is none")]
    OffsetOutOfRange { partition: TopicPartition, offset: i64 },
    #[error("{0} has no committed offset and auto.offset.reset is none")]
    NoOffsetForPartition(TopicPartition),
    #[error("another instance has taken this group.instance.id")]
    Fenced,
    #[error("refused by the broker: {0}")]
    Broker(ResponseError),
    #[error("corrupt batch in {0}")]
    Corrupt(TopicPartition),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CommitError {
    /// Not a member at present.
    #[error("not a member of the group")]
    NotAMember,
    #[error("refused by the coordinator: {0}")]
    Refused(ResponseError),
    #[error("outcome unknown: {0}")]
    Unknown(LinkError),
}

pub struct Consumer<L: Link + ?Sized> {
    link: Rc<L>,
    config: ConsumerConfig,
}

impl<L: Link + ?Sized + 'static> Consumer<L> {
    pub fn new(link: Rc<L>, config: ConsumerConfig) -> Consumer<L> {
        Consumer { link, config }
    }
    /// The next thing that happened. Cancel-safe. Everything of the consumer advances only in here.
    pub async fn poll(&mut self) -> ConsumerEvent {
        let _ = (&self.link, &self.config);
        todo!()
    }
    /// Reads on from `offset`; fetched records of the partition that were not delivered are dropped.
    pub fn seek(&mut self, partition: &TopicPartition, offset: i64) {
        let _ = (partition, offset);
        todo!()
    }
    /// Stops fetching and delivering these partitions.
    pub fn pause(&mut self, partitions: &[TopicPartition]) {
        let _ = partitions;
        todo!()
    }
    pub fn resume(&mut self, partitions: &[TopicPartition]) {
        let _ = partitions;
        todo!()
    }
    /// The offset of the next record to be delivered; `None` if not assigned or not yet known.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        let _ = partition;
        todo!()
    }
    pub fn assignment(&self) -> Vec<TopicPartition> {
        todo!()
    }
    /// `commitSync`: offsets are those of the next records to read.
    pub async fn commit(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<(), CommitError> {
        let _ = offsets;
        todo!()
    }
    /// `commitAsync`: goes out with the next poll; a failure shows only in the group's state.
    pub fn commit_async(&mut self, offsets: &[(TopicPartition, i64)]) {
        let _ = offsets;
        todo!()
    }
    /// Leaves the group, best effort; the consumer may be polled again and then joins anew.
    pub async fn leave(&mut self) {
        todo!()
    }
}
