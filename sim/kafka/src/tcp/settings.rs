//! Brokers' settings, by their names in `server.properties`.

use super::config::{SettingError, number, refuse};
use crate::cluster::BrokerConfig;

pub(super) fn set(config: &mut BrokerConfig, name: &str, value: &str) -> Result<(), SettingError> {
    let cluster = &mut config.cluster.settings;
    match name {
        "auto.create.topics.enable" => cluster.auto_create_topics_enable = switch(name, value)?,
        "auto.leader.rebalance.enable" => cluster.auto_leader_rebalance_enable = switch(name, value)?,
        "broker.heartbeat.interval.ms" => cluster.broker_heartbeat_interval_ms = number(name, value)?,
        "broker.session.timeout.ms" => cluster.broker_session_timeout_ms = number(name, value)?,
        "default.replication.factor" => cluster.default_replication_factor = number(name, value)?,
        "group.initial.rebalance.delay.ms" => {
            config.group_initial_rebalance_delay_ms = number(name, value)?;
        }
        "group.max.session.timeout.ms" => config.group_max_session_timeout_ms = number(name, value)?,
        "group.min.session.timeout.ms" => config.group_min_session_timeout_ms = number(name, value)?,
        "leader.imbalance.check.interval.seconds" => {
            cluster.leader_imbalance_check_interval_seconds = number(name, value)?;
        }
        "log.retention.check.interval.ms" => config.log_retention_check_interval_ms = number(name, value)?,
        "message.max.bytes" => config.message_max_bytes = number(name, value)?,
        "min.insync.replicas" => cluster.min_insync_replicas = number(name, value)?,
        "num.partitions" => cluster.num_partitions = number(name, value)?,
        "offsets.commit.timeout.ms" => cluster.offsets_commit_timeout_ms = number(name, value)?,
        "offsets.retention.minutes" => config.offsets_retention_minutes = number(name, value)?,
        "offsets.topic.num.partitions" => cluster.offsets_topic_num_partitions = number(name, value)?,
        "offsets.topic.replication.factor" => {
            cluster.offsets_topic_replication_factor = number(name, value)?;
        }
        "producer.id.expiration.ms" => config.producer_id_expiration_ms = number(name, value)?,
        "replica.fetch.backoff.ms" => cluster.replica_fetch_backoff_ms = number(name, value)?,
        "replica.fetch.max.bytes" => cluster.replica_fetch_max_bytes = number(name, value)?,
        "replica.fetch.min.bytes" => cluster.replica_fetch_min_bytes = number(name, value)?,
        "replica.fetch.response.max.bytes" => {
            cluster.replica_fetch_response_max_bytes = number(name, value)?;
        }
        "replica.fetch.wait.max.ms" => cluster.replica_fetch_wait_max_ms = number(name, value)?,
        "replica.lag.time.max.ms" => cluster.replica_lag_time_max_ms = number(name, value)?,
        "replica.socket.timeout.ms" => cluster.replica_socket_timeout_ms = number(name, value)?,
        "transaction.state.log.min.isr" => cluster.transaction_state_log_min_isr = number(name, value)?,
        "transaction.state.log.num.partitions" => {
            cluster.transaction_state_log_num_partitions = number(name, value)?;
        }
        "transaction.state.log.replication.factor" => {
            cluster.transaction_state_log_replication_factor = number(name, value)?;
        }
        "unclean.leader.election.enable" => {
            cluster.unclean_leader_election_enable = switch(name, value)?;
        }
        _ => return Err(SettingError::Unknown { name: name.to_owned() }),
    }
    Ok(())
}

fn switch(name: &str, value: &str) -> Result<bool, SettingError> {
    value.parse().map_err(|_| refuse(name, value, "true or false"))
}
