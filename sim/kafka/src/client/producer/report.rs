//! What a producer is given and what it gives back.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use thiserror::Error;

use crate::client::ErrorCode;
use crate::cluster::TimestampMs;

/// A record to be written.
#[derive(Debug, Clone)]
pub struct ProducerRecord {
    pub topic: TopicName,
    /// `None`: the partitioner's choice for the key, or the sticky partition where there is no key.
    pub partition: Option<i32>,
    pub key: Option<Bytes>,
    pub value: Bytes,
    pub headers: Vec<(String, Bytes)>,
    pub timestamp_ms: TimestampMs,
}

/// Where a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordMetadata {
    pub partition: i32,
    /// -1 where the leader recognised a repetition whose offset it has forgotten, and with `acks=0`.
    pub offset: i64,
}

/// Names a record that was queued: they count up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What became of a record. Reports of a partition come in the order of sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryReport {
    pub ticket: Ticket,
    pub topic: TopicName,
    pub result: Result<RecordMetadata, ProduceError>,
}

/// librdkafka's `RD_KAFKA_MSG_STATUS_…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageStatus {
    NotPersisted,
    /// It was sent, and nothing definite was heard.
    PossiblyPersisted,
    Persisted,
}

/// Why a record has no offset. `Unknown` and `PurgedInFlight` leave open whether it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProduceError {
    #[error("not written: no leader took it in time")]
    TimedOut,
    #[error("outcome unknown: an attempt was never answered")]
    Unknown,
    #[error("not written: refused with {0}")]
    Refused(ResponseError),
    #[error("not sent: an earlier record of its partition failed")]
    NotSent,
    #[error("not sent: the cluster does not know the topic")]
    UnknownTopic,
    #[error("not sent: dropped from the queue")]
    Purged,
    #[error("outcome unknown: dropped after it was sent")]
    PurgedInFlight,
    #[error("not written: the producer is of no more use: {0}")]
    Fatal(ErrorCode),
}

impl ProduceError {
    pub fn code(self) -> ErrorCode {
        match self {
            ProduceError::TimedOut | ProduceError::Unknown => ErrorCode::MsgTimedOut,
            ProduceError::Refused(error) => ErrorCode::Broker(error),
            ProduceError::NotSent | ProduceError::Purged => ErrorCode::PurgeQueue,
            ProduceError::UnknownTopic => ErrorCode::Broker(ResponseError::UnknownTopicOrPartition),
            ProduceError::PurgedInFlight => ErrorCode::PurgeInflight,
            ProduceError::Fatal(code) => code,
        }
    }

    pub fn status(self) -> MessageStatus {
        match self {
            ProduceError::Unknown | ProduceError::PurgedInFlight => MessageStatus::PossiblyPersisted,
            _ => MessageStatus::NotPersisted,
        }
    }
}
