//! A broker's settings for transactions, by Kafka's names. Those that all brokers share are in
//! [`crate::ClusterSettings`].

/// [`TransactionConfig::default`] gives Kafka's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionConfig {
    pub transaction_max_timeout_ms: i32,
    pub transactional_id_expiration_ms: i64,
    pub transaction_abort_timed_out_transaction_cleanup_interval_ms: i64,
    pub transaction_remove_expired_transaction_cleanup_interval_ms: i64,
    pub transaction_partition_verification_enable: bool,
}

const MINUTE_MS: i32 = 60 * 1000;
const HOUR_MS: i64 = 60 * 60 * 1000;

impl Default for TransactionConfig {
    fn default() -> TransactionConfig {
        TransactionConfig {
            transaction_max_timeout_ms: 15 * MINUTE_MS,
            transactional_id_expiration_ms: 7 * 24 * HOUR_MS,
            transaction_abort_timed_out_transaction_cleanup_interval_ms: 10 * 1000,
            transaction_remove_expired_transaction_cleanup_interval_ms: HOUR_MS,
            transaction_partition_verification_enable: true,
        }
    }
}
