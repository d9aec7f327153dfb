//! The suite's settings in the simulated brokers' words.

use kafka::BrokerConfig;

/// Panics at a name that neither has, unless it can have no effect here.
pub fn set(config: &mut BrokerConfig, name: &str, value: &str) {
    if !config.cluster.settings.set(name, value) && !set_broker(config, name, value) {
        assert!(WITHOUT_EFFECT.contains(&name), "the simulated brokers have no {name}");
    }
}

/// Delays of the real thing's own.
const WITHOUT_EFFECT: [&str; 2] = ["log.initial.task.delay.ms", "file.delete.delay.ms"];

fn number<T: std::str::FromStr>(value: &str) -> T {
    value.parse().unwrap_or_else(|_| panic!("{value} is no number"))
}

fn set_broker(config: &mut BrokerConfig, name: &str, value: &str) -> bool {
    let transactions = &mut config.transactions;
    match name {
        "group.initial.rebalance.delay.ms" => config.group_initial_rebalance_delay_ms = number(value),
        "group.min.session.timeout.ms" => config.group_min_session_timeout_ms = number(value),
        "producer.id.expiration.check.interval.ms" => {
            config.producer_id_expiration_check_interval_ms = number(value);
        }
        "producer.id.expiration.ms" => config.producer_id_expiration_ms = number(value),
        "offsets.retention.minutes" => config.offsets_retention_minutes = number(value),
        "offsets.retention.check.interval.ms" => config.offsets_retention_check_interval_ms = number(value),
        "log.cleaner.backoff.ms" => config.log_cleaner_backoff_ms = number(value),
        "log.retention.check.interval.ms" => config.log_retention_check_interval_ms = number(value),
        "transaction.abort.timed.out.transaction.cleanup.interval.ms" => {
            transactions.transaction_abort_timed_out_transaction_cleanup_interval_ms = number(value);
        }
        "transactional.id.expiration.ms" => transactions.transactional_id_expiration_ms = number(value),
        "transaction.remove.expired.transaction.cleanup.interval.ms" => {
            transactions.transaction_remove_expired_transaction_cleanup_interval_ms = number(value);
        }
        _ => return false,
    }
    true
}
