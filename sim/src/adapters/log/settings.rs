//! Settings of the platform's Kafka clients.

use kafka::client::{Acks, Assignor, ConsumerConfig, IsolationLevel, ProducerConfig};

/// Clients' settings, by Kafka's names. The default lets an idle client sleep.
#[derive(Clone, Copy, Debug)]
pub struct KafkaClientSettings {
    pub fetch_max_wait_ms: i32,
    pub fetch_min_bytes: i32,
    pub fetch_max_bytes: i32,
    pub max_partition_fetch_bytes: i32,
    pub max_poll_records: usize,
    pub heartbeat_interval_ms: i64,
    pub session_timeout_ms: i32,
    pub max_poll_interval_ms: i32,
    pub partition_assignment_strategy: Assignor,
    pub isolation_level: IsolationLevel,
    pub request_timeout_ms: i64,
    pub retry_backoff_ms: i64,
    pub delivery_timeout_ms: i64,
    pub linger_ms: i64,
    pub batch_size: usize,
    pub acks: Acks,
    /// `None`: as `acks` allows.
    pub enable_idempotence: Option<bool>,
}

impl Default for KafkaClientSettings {
    fn default() -> Self {
        Self {
            fetch_max_wait_ms: 30_000,
            fetch_min_bytes: 1,
            fetch_max_bytes: 50 * 1024 * 1024,
            max_partition_fetch_bytes: 1024 * 1024,
            max_poll_records: 500,
            heartbeat_interval_ms: 15_000,
            session_timeout_ms: 60_000,
            max_poll_interval_ms: 300_000,
            partition_assignment_strategy: Assignor::Range,
            isolation_level: IsolationLevel::ReadUncommitted,
            request_timeout_ms: 30_000,
            retry_backoff_ms: 100,
            delivery_timeout_ms: 120_000,
            linger_ms: 0,
            batch_size: 900_000,
            acks: Acks::All,
            enable_idempotence: None,
        }
    }
}

impl KafkaClientSettings {
    pub(super) fn producer(&self, brokers: Vec<i32>, client_id: &str) -> ProducerConfig {
        ProducerConfig {
            acks: Some(self.acks),
            enable_idempotence: Some(self.enable_idempotence.unwrap_or(self.acks == Acks::All)),
            request_timeout_ms: self.request_timeout_ms,
            retry_backoff_ms: self.retry_backoff_ms,
            delivery_timeout_ms: Some(self.delivery_timeout_ms),
            linger_ms: self.linger_ms,
            batch_size: self.batch_size,
            ..ProducerConfig::new(brokers, client_id)
        }
    }

    pub(super) fn consumer(
        &self,
        brokers: Vec<i32>,
        group: &str,
        client_id: &str,
        topics: Vec<String>,
    ) -> ConsumerConfig {
        ConsumerConfig {
            fetch_max_wait_ms: self.fetch_max_wait_ms,
            fetch_min_bytes: self.fetch_min_bytes,
            fetch_max_bytes: self.fetch_max_bytes,
            max_partition_fetch_bytes: self.max_partition_fetch_bytes,
            max_poll_records: self.max_poll_records,
            heartbeat_interval_ms: self.heartbeat_interval_ms,
            session_timeout_ms: self.session_timeout_ms,
            partition_assignment_strategy: vec![self.partition_assignment_strategy],
            max_poll_interval_ms: self.max_poll_interval_ms,
            isolation_level: self.isolation_level,
            request_timeout_ms: self.request_timeout_ms,
            retry_backoff_ms: self.retry_backoff_ms,
            ..ConsumerConfig::new(brokers, group, client_id, topics)
        }
    }
}
