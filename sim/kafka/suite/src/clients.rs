//! Clients as librdkafka's are: what the suite's behaviours hold in hands.
//!
//! Methods that take a time-out wait for brokers, and give up then. Dropped without [`Consumer::close`], a client
//! is gone like a process that died.

use std::rc::Rc;

use async_trait::async_trait;
use bytes::Bytes;
use kafka::{ResponseError, TopicPartition};

/// What is said of an error, by a broker's code or by librdkafka's own, which begins with an underscore there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    Broker(ResponseError),
    /// As in `_FENCED`.
    Local(String),
}

/// An error with the class that programs branch on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code:?}{}{}{}", if *.fatal {", fatal"} else {""}, if *.abortable {", abort"} else {""}, if *.retriable {", retriable"} else {""})]
pub struct ClientError {
    pub code: Code,
    /// The client is of no use any more.
    pub fatal: bool,
    /// The transaction can only be aborted (`txn_requires_abort`).
    pub abortable: bool,
    pub retriable: bool,
}

impl ClientError {
    pub fn is_local(&self, name: &str) -> bool {
        matches!(&self.code, Code::Local(local) if local == name)
    }

    pub fn is_broker(&self, error: ResponseError) -> bool {
        self.code == Code::Broker(error)
    }
}

/// A record to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToSend {
    pub topic: String,
    /// `None`: the partitioner decides.
    pub partition: Option<i32>,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Bytes)>,
    pub timestamp: Option<i64>,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The number that [`Producer::produce`] gave it.
    pub number: u64,
    pub partition: i32,
    /// -1 where the broker did not tell.
    pub offset: i64,
    pub error: Option<ClientError>,
}

/// Which member of which group sends offsets: opaque, as in librdkafka.
pub type GroupMetadata = Rc<dyn std::any::Any>;

#[async_trait(?Send)]
pub trait Producer {
    /// Puts a record into the queue. Records are numbered from 0 in the order of calls that succeed.
    fn produce(&self, record: ToSend) -> Result<u64, ClientError>;
    /// Waits until every record has its report.
    async fn flush(&self, timeout_ms: i64) -> Result<(), ClientError>;
    /// Reports since the last call, in the order they came.
    fn reports(&self) -> Vec<Report>;
    /// The error after which nothing goes any more.
    fn fatal_error(&self) -> Option<ClientError>;

    async fn init_transactions(&self, timeout_ms: i64) -> Result<(), ClientError>;
    fn begin_transaction(&self) -> Result<(), ClientError>;
    /// Offsets are those of the next record to read.
    async fn send_offsets_to_transaction(
        &self,
        offsets: &[(TopicPartition, i64)],
        group: &GroupMetadata,
        timeout_ms: i64,
    ) -> Result<(), ClientError>;
    async fn commit_transaction(&self, timeout_ms: i64) -> Result<(), ClientError>;
    async fn abort_transaction(&self, timeout_ms: i64) -> Result<(), ClientError>;
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Bytes)>,
}

/// What a poll brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    Record(Read),
    /// These partitions came to this member. With the cooperative protocol: these more.
    Assigned(Vec<TopicPartition>),
    /// These partitions went from this member.
    Revoked(Vec<TopicPartition>),
    Error(ClientError),
}

#[async_trait(?Send)]
pub trait Consumer {
    fn subscribe(&self, topics: &[&str]) -> Result<(), ClientError>;
    /// The next thing that happens, if any does in this time.
    async fn poll(&self, timeout_ms: i64) -> Option<Polled>;
    fn assignment(&self) -> Vec<TopicPartition>;
    /// The offset after the last record that was handed out.
    fn position(&self, partition: &TopicPartition) -> Option<i64>;
    async fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<(), ClientError>;
    /// For the next commit by itself, where `enable.auto.offset.store` is off.
    fn store_offset(&self, partition: &TopicPartition, offset: i64) -> Result<(), ClientError>;
    /// Commits offsets, each of the next record to read, and waits for the answer.
    async fn commit(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), ClientError>;
    /// `None`: nothing is committed.
    async fn committed(
        &self,
        partition: &TopicPartition,
        timeout_ms: i64,
    ) -> Result<Option<i64>, ClientError>;
    /// First offset and end, as far as the isolation level lets see.
    async fn watermarks(
        &self,
        partition: &TopicPartition,
        timeout_ms: i64,
    ) -> Result<(i64, i64), ClientError>;
    fn group_metadata(&self) -> GroupMetadata;
    /// Leaves the group.
    async fn close(&self);
}
