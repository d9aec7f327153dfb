//! The log as a LogHost needs it: transactions, membership with its metadata, and reading a partition to its end.
//!
//! Everything is read at `read_committed`. What is told of positions and ends is as true as the broker that tells it:
//! one that was deposed and has not heard of it tells old ones, so whoever recovers compares them.

use std::borrow::Cow;

use async_trait::async_trait;
use bytes::Bytes;

use super::log::LogRecord;

/// A record to be appended within a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionalRecord {
    pub topic: &'static str,
    /// `None`: as follows from the key (murmur2).
    pub partition: Option<i32>,
    pub key: Option<Bytes>,
    pub value: Bytes,
    pub headers: Vec<(Cow<'static, str>, Bytes)>,
    pub timestamp_ms: i64,
}

/// How far an input partition has been processed: the offset of the next record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputOffset {
    pub topic: &'static str,
    pub partition: i32,
    pub next: i64,
}

/// A group's member in a generation (KIP-447): a coordinator takes offsets of a transaction from the current one only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupMetadata {
    pub group: String,
    /// -1 outside of a generation: nothing is checked then.
    pub generation: i32,
    /// Empty outside of the group.
    pub member: String,
    pub instance: Option<String>,
}

/// The way out of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The same call again: it goes on where this one ended.
    Retriable,
    /// Nothing of the transaction has been committed: only [`TransactionalProducer::abort`] helps.
    Abortable,
    /// The producer is of no more use: a newer one has its `transactional.id`, or the coordinator has given it up.
    Fatal,
    /// The end of the transaction was asked for and not answered: it may have been committed. Calling
    /// [`TransactionalProducer::commit`] again asks on; only a new producer's `init` decides otherwise.
    Unknown,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct TransactionError {
    pub class: ErrorClass,
    pub reason: String,
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader or coordinator answered as one.
    #[error("not answered: {0}")]
    Unanswered(String),
    /// A transaction that moves the committed offset is not decided (KIP-447).
    #[error("the committed offset is not stable yet")]
    Unstable,
    /// Below the log's start, or beyond its end.
    #[error("offset out of range")]
    OutOfRange,
    #[error("corrupt batch")]
    Corrupt,
}

/// Some records of a partition.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub records: Vec<LogRecord>,
    /// Where to read on: also past markers and aborted records, which are not shown.
    pub next: i64,
}

/// What a member of a group meets next.
#[derive(Debug)]
pub enum MemberEvent {
    /// Partitions are ours from now on. Where each begins is the host's to say: nothing is delivered before
    /// [`GroupMember::seek`].
    Assigned(Vec<i32>),
    /// Partitions are about to be somebody else's: until the next poll, what was begun may be finished.
    Revoked(Vec<i32>),
    /// Partitions are somebody else's already.
    Lost(Vec<i32>),
    Records {
        partition: i32,
        records: Vec<LogRecord>,
    },
    /// The position lies beyond the log's end, or below its start. The partition waits for a seek.
    OutOfRange {
        partition: i32,
        position: i64,
    },
}

pub trait TransactionalLog {
    /// A producer that has done nothing yet.
    fn transactional_producer(&self, transactional_id: &str) -> Box<dyn TransactionalProducer>;
    /// A member of a group that reads one topic.
    fn member(&self, group: &str, topic: &'static str) -> Box<dyn GroupMember>;
    fn reader(&self) -> Box<dyn LogReader>;
}

/// A producer with a `transactional.id`. Each call ends within some seconds, done or not.
#[async_trait(?Send)]
pub trait TransactionalProducer {
    /// `InitProducerId`: fences older producers of the id and ends what they left open; done once that is complete.
    async fn init(&mut self) -> Result<(), TransactionError>;
    fn begin(&mut self) -> Result<(), TransactionError>;
    /// Queues records. Whether they were written is told by [`TransactionalProducer::commit`].
    fn send(&mut self, records: Vec<TransactionalRecord>) -> Result<(), TransactionError>;
    /// Commits the offset of an input with the transaction.
    async fn send_offset(
        &mut self,
        offset: &InputOffset,
        member: &GroupMetadata,
    ) -> Result<(), TransactionError>;
    /// Waits for everything queued, then commits.
    async fn commit(&mut self) -> Result<(), TransactionError>;
    async fn abort(&mut self) -> Result<(), TransactionError>;
}

#[async_trait(?Send)]
pub trait GroupMember {
    /// Waits for the next event. Cancel-safe. Membership is kept alive in here.
    async fn poll(&mut self) -> MemberEvent;
    /// Reads on from `offset`.
    fn seek(&mut self, partition: i32, offset: i64);
    /// Delivers nothing of the partition for now.
    fn pause(&mut self, partition: i32);
    fn resume(&mut self, partition: i32);
    /// Who this member is at the moment.
    fn metadata(&self) -> GroupMetadata;
    /// Leaves the group, so that others take over at once. Without a broker's answer it takes a request's time-out.
    async fn leave(&mut self);
}

/// Reads partitions without being a member of a group.
#[async_trait(?Send)]
pub trait LogReader {
    /// The offsets of the log's first record and of its end, which is the last stable offset.
    async fn bounds(&mut self, topic: &'static str, partition: i32) -> Result<(i64, i64), ReadError>;
    /// Some records from `offset` on, as many as a fetch brings; none where the last stable offset is reached.
    async fn read(&mut self, topic: &'static str, partition: i32, offset: i64) -> Result<Page, ReadError>;
    /// The offset that a group has committed, with `require_stable`; `None` where there is none.
    async fn committed(
        &mut self,
        group: &str,
        topic: &'static str,
        partition: i32,
    ) -> Result<Option<i64>, ReadError>;
}
