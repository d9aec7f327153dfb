//! The log: topics of ordered, keyed records, read in consumer groups (Kafka).

use async_trait::async_trait;
use bytes::Bytes;

/// A record to append; its partition follows from the key (murmur2).
#[derive(Clone, Debug)]
pub struct OutRecord {
    pub topic: &'static str,
    pub key: Bytes,
    pub value: Bytes,
    pub headers: Vec<(&'static str, Bytes)>,
    pub timestamp_ms: i64,
}

/// A record as read.
#[derive(Clone, Debug)]
pub struct LogRecord {
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<Bytes>,
    pub value: Bytes,
    /// Names are UTF-8.
    pub headers: Vec<(Bytes, Bytes)>,
}

/// Why a record was not acknowledged. It may be in the log all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not acknowledged: {0}")]
pub struct SendError(pub String);

/// What a consumer meets next.
#[derive(Debug)]
pub enum LogEvent {
    /// Partitions are ours from now on. Nothing of them is delivered before [`LogConsumer::seek`].
    Assigned(Vec<(String, i32)>),
    /// Partitions are no longer ours; what was fetched of them is dropped.
    Revoked(Vec<(String, i32)>),
    Records {
        topic: String,
        partition: i32,
        records: Vec<LogRecord>,
    },
    /// The position lies beyond the log's end, or below its start. The partition waits for a seek.
    OutOfRange {
        topic: String,
        partition: i32,
        position: i64,
    },
}

pub trait Log {
    fn producer(&self) -> Box<dyn LogProducer>;
    fn consumer(&self, group: &str, topics: &[&'static str]) -> Box<dyn LogConsumer>;
    /// Where a record with this key probably goes: as many partitions as the catalogue says.
    fn partition_of(&self, topic: &'static str, key: &[u8]) -> i32;
}

#[async_trait(?Send)]
pub trait LogProducer {
    /// Appends records with acks=all, idempotently within this producer; records of one partition keep
    /// their order. One result per record.
    async fn send(&mut self, records: Vec<OutRecord>) -> Vec<Result<(), SendError>>;
}

#[async_trait(?Send)]
pub trait LogConsumer {
    /// Waits for the next event. Cancel-safe.
    async fn poll(&mut self) -> LogEvent;
    /// The offsets of the log's first record and of its end; `None` while no leader tells.
    async fn bounds(&mut self, topic: &str, partition: i32) -> Option<(i64, i64)>;
    /// Reads on from `offset`.
    fn seek(&mut self, topic: &str, partition: i32, offset: i64);
    /// Tells whoever watches the group how far we are: the offset of the next record to process. The truth is in
    /// the store, so this may be late or lost.
    fn report(&mut self, topic: &str, partition: i32, next_offset: i64);
    /// Leaves the group, so that others take over at once. Without a broker's answer it takes a request's time-out.
    async fn leave(&mut self);
}
