//! Brokers' settings, by their names in `server.properties`.

use super::config::{SettingError, number, refuse};
use crate::cluster::BrokerConfig;

pub(super) fn set(config: &mut BrokerConfig, name: &str, value: &str) -> Result<(), SettingError> {
    let transactions = &mut config.transactions;
    match name {
        "group.initial.rebalance.delay.ms" => {
            config.group_initial_rebalance_delay_ms = number(name, value)?;
        }
        "group.max.session.timeout.ms" => config.group_max_session_timeout_ms = number(name, value)?,
        "group.min.session.timeout.ms" => config.group_min_session_timeout_ms = number(name, value)?,
        "log.cleaner.backoff.ms" => config.log_cleaner_backoff_ms = number(name, value)?,
        "log.retention.check.interval.ms" => config.log_retention_check_interval_ms = number(name, value)?,
        "message.max.bytes" => config.message_max_bytes = number(name, value)?,
        "offsets.retention.check.interval.ms" => {
            config.offsets_retention_check_interval_ms = number(name, value)?;
        }
        "offsets.retention.minutes" => config.offsets_retention_minutes = number(name, value)?,
        "producer.id.expiration.check.interval.ms" => {
            config.producer_id_expiration_check_interval_ms = number(name, value)?;
        }
        "producer.id.expiration.ms" => config.producer_id_expiration_ms = number(name, value)?,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms" => {
            transactions.transaction_abort_timed_out_transaction_cleanup_interval_ms = number(name, value)?;
        }
        "transaction.max.timeout.ms" => transactions.transaction_max_timeout_ms = number(name, value)?,
        "transaction.remove.expired.transaction.cleanup.interval.ms" => {
            transactions.transaction_remove_expired_transaction_cleanup_interval_ms = number(name, value)?;
        }
        "transactional.id.expiration.ms" => {
            transactions.transactional_id_expiration_ms = number(name, value)?;
        }
        _ => return set_cluster(config, name, value),
    }
    Ok(())
}

fn set_cluster(config: &mut BrokerConfig, name: &str, value: &str) -> Result<(), SettingError> {
    let settings = &mut config.cluster.settings;
    if settings.set(name, value) {
        return Ok(());
    }
    let mut other = settings.clone();
    let is_known = ["1", "true"].iter().any(|value| other.set(name, value));
    Err(match is_known {
        true => refuse(name, value, "a value as Kafka has it"),
        false => SettingError::Unknown { name: name.to_owned() },
    })
}
