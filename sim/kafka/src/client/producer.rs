//! producer
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use std::rc::Rc;
use thiserror::Error;

use super::Link;
use crate::cluster::TimestampMs;

/// A producer's settings, by Kafka's names. `enable.idempotence` is on and `acks` is all, always.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// Broker ids to ask for metadata.
    pub bootstrap_servers: Vec<i32>,
    pub client_id: String,
    pub delivery_timeout_ms: i64,
    pub request_timeout_ms: i64,
    pub retry_backoff_ms: i64,
    pub retry_backoff_max_ms: i64,
    /// Largest batch, in bytes of keys, values and headers; a single larger record still goes out.
    pub batch_size: usize,
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
    pub offset: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProduceError {
    /// Time ran out before any attempt can have reached a leader: certainly not written.
    #[error("not written: no attempt reached a leader in time")]
    TimedOut,
    /// Time ran out with an attempt unanswered: perhaps written.
    #[error("outcome unknown: an attempt was never answered")]
    Unknown,
    /// The leader refused it: certainly not written.
    #[error("refused by the leader: {0}")]
    Refused(ResponseError),
    /// A record before it in the same partition failed, so it was not sent.
    #[error("not sent: an earlier record of its partition failed")]
    NotSent,
}

pub struct Producer<L: Link + ?Sized> {
    link: Rc<L>,
    config: ProducerConfig,
}

impl<L: Link + ?Sized> Producer<L> {
    pub fn new(link: Rc<L>, config: ProducerConfig) -> Producer<L> {
        Producer { link, config }
    }
    /// Writes records; one outcome each, in the given order.
    pub async fn send(&mut self, records: Vec<ProducerRecord>) -> Vec<Result<RecordMetadata, ProduceError>> {
        let _ = (&self.link, &self.config, records);
        todo!()
    }
}
