//! A broker's settings for transactions, by Kafka's names.

/// [`TransactionConfig::default`] gives Kafka's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionConfig {
    /// The finalised level of the feature `transaction.version`: 0, 1 (records of the state topic in their flexible
    /// format) or 2 (KIP-890 part 2: the epoch is bumped at the end of every transaction).
    pub transaction_version: i16,
    pub transaction_max_timeout_ms: i32,
    pub transactional_id_expiration_ms: i64,
    pub transaction_abort_timed_out_transaction_cleanup_interval_ms: i64,
    pub transaction_remove_expired_transaction_cleanup_interval_ms: i64,
    pub transaction_partition_verification_enable: bool,
    pub transaction_state_log_num_partitions: i32,
    pub transaction_state_log_replication_factor: i16,
    pub transaction_state_log_min_isr: i32,
}

const MINUTE_MS: i32 = 60 * 1000;
const HOUR_MS: i64 = 60 * 60 * 1000;

impl Default for TransactionConfig {
    fn default() -> TransactionConfig {
        TransactionConfig {
            transaction_version: 2,
            transaction_max_timeout_ms: 15 * MINUTE_MS,
            transactional_id_expiration_ms: 7 * 24 * HOUR_MS,
            transaction_abort_timed_out_transaction_cleanup_interval_ms: 10 * 1000,
            transaction_remove_expired_transaction_cleanup_interval_ms: HOUR_MS,
            transaction_partition_verification_enable: true,
            transaction_state_log_num_partitions: 50,
            transaction_state_log_replication_factor: 3,
            transaction_state_log_min_isr: 2,
        }
    }
}
