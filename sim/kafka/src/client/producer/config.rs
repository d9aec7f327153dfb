//! What a producer is given and what it gives back.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use thiserror::Error;

use crate::cluster::TimestampMs;

/// A producer's settings, by Kafka's names. `enable.idempotence` is on and `acks` is all, always.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// Broker ids to ask for metadata and producer ids, in this order.
    pub bootstrap_servers: Vec<i32>,
    pub client_id: String,
    pub delivery_timeout_ms: i64,
    pub request_timeout_ms: i64,
    pub retry_backoff_ms: i64,
    pub retry_backoff_max_ms: i64,
    /// Largest batch in bytes of keys, values and headers; a single larger record still goes out, alone. Kafka's
    /// default is 16 KiB, here it is `message.max.bytes` with some room, so that a partition gets one batch.
    pub batch_size: usize,
}

impl ProducerConfig {
    pub fn new(bootstrap_servers: Vec<i32>, client_id: impl Into<String>) -> ProducerConfig {
        ProducerConfig {
            bootstrap_servers,
            client_id: client_id.into(),
            delivery_timeout_ms: 120_000,
            request_timeout_ms: 30_000,
            retry_backoff_ms: 100,
            retry_backoff_max_ms: 1_000,
            batch_size: 900_000,
        }
    }
}

/// A record to be written.
#[derive(Debug, Clone)]
pub struct ProducerRecord {
    pub topic: TopicName,
    /// `None`: murmur2 of the key, or the sticky partition where there is no key.
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
    /// -1 where the leader recognised a repetition whose offset it has forgotten.
    pub offset: i64,
}

/// Why a record has no offset. Only `Unknown` leaves open whether it was written.
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
}
