//! A topic's settings by Kafka's names: set, taken back, and told.

use crate::cluster::{BrokerConfig, CleanupPolicy, ClusterSettings, MessageTimestampType, TopicSpec};

/// No such setting, or not with such a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// Sets a topic's setting.
pub(crate) fn set(spec: &mut TopicSpec, name: &str, value: &str) -> Result<(), Refused> {
    apply(spec, name, value).ok_or(Refused)?;
    spec.set.insert(name.to_owned(), value.to_owned());
    Ok(())
}

/// Takes a topic's setting back: the default is in force again.
pub(crate) fn unset(spec: &mut TopicSpec, name: &str) -> Result<(), Refused> {
    let fresh = TopicSpec {
        replication_factor: spec.replication_factor,
        ..TopicSpec::new(spec.name.as_str(), spec.partitions)
    };
    let settings = ClusterSettings::default();
    if !all(&fresh, &settings).iter().any(|(known, _)| *known == name) {
        return Err(Refused);
    }
    let kept = spec.set.iter().filter(|(kept, _)| kept.as_str() != name);
    let mut rebuilt = fresh;
    for (name, value) in kept {
        set(&mut rebuilt, name, value)?;
    }
    *spec = rebuilt;
    Ok(())
}

fn apply(spec: &mut TopicSpec, name: &str, value: &str) -> Option<()> {
    match name {
        "cleanup.policy" => spec.cleanup_policy = cleanup_policy(value)?,
        "message.timestamp.type" => {
            spec.message_timestamp_type = match value {
                "CreateTime" => MessageTimestampType::CreateTime,
                "LogAppendTime" => MessageTimestampType::LogAppendTime,
                _ => return None,
            }
        }
        "retention.ms" => spec.retention_ms = at_least(value, -1)?,
        "retention.bytes" => spec.retention_bytes = at_least(value, -1)?,
        "segment.bytes" => spec.segment_bytes = i32::try_from(at_least(value, 14)?).ok()?,
        "segment.ms" => spec.segment_ms = at_least(value, 1)?,
        "min.insync.replicas" => {
            spec.min_insync_replicas = Some(i32::try_from(at_least(value, 1)?).ok()?);
        }
        "unclean.leader.election.enable" => spec.unclean_leader_election_enable = Some(value.parse().ok()?),
        "max.message.bytes" => spec.max_message_bytes = Some(i32::try_from(at_least(value, 0)?).ok()?),
        "delete.retention.ms" => spec.delete_retention_ms = at_least(value, 0)?,
        "min.compaction.lag.ms" => spec.min_compaction_lag_ms = at_least(value, 0)?,
        "max.compaction.lag.ms" => spec.max_compaction_lag_ms = at_least(value, 1)?,
        "min.cleanable.dirty.ratio" => spec.min_cleanable_dirty_ratio_ppm = ratio_ppm(value)?,
        "flush.messages" => spec.flush_messages = at_least(value, 1)?,
        // Taken, and without effect here.
        "compression.type" => drop(["producer", "uncompressed"].contains(&value).then_some(())?),
        "file.delete.delay.ms"
        | "flush.ms"
        | "index.interval.bytes"
        | "segment.index.bytes"
        | "segment.jitter.ms" => drop(at_least(value, 0)?),
        _ => return None,
    }
    Some(())
}

fn at_least(value: &str, least: i64) -> Option<i64> {
    value.trim().parse().ok().filter(|number| *number >= least)
}

/// A fraction of one as a decimal number, in parts per million.
fn ratio_ppm(value: &str) -> Option<u32> {
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let whole: u32 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let ppm = whole.checked_mul(1_000_000)?.checked_add(digits.parse().ok()?)?;
    (ppm <= 1_000_000).then_some(ppm)
}

fn cleanup_policy(value: &str) -> Option<CleanupPolicy> {
    let mut names: Vec<&str> = value.split(',').map(str::trim).collect();
    names.sort_unstable();
    match names[..] {
        ["delete"] => Some(CleanupPolicy::Delete),
        ["compact"] => Some(CleanupPolicy::Compact),
        ["compact", "delete"] => Some(CleanupPolicy::CompactAndDelete),
        _ => None,
    }
}

/// All settings in force for a topic.
pub(crate) fn all(spec: &TopicSpec, cluster: &ClusterSettings) -> Vec<(&'static str, String)> {
    let policy = match spec.cleanup_policy {
        CleanupPolicy::Delete => "delete",
        CleanupPolicy::Compact => "compact",
        CleanupPolicy::CompactAndDelete => "compact,delete",
    };
    let timestamps = match spec.message_timestamp_type {
        MessageTimestampType::CreateTime => "CreateTime",
        MessageTimestampType::LogAppendTime => "LogAppendTime",
    };
    let min_insync = spec.min_insync_replicas.unwrap_or(cluster.min_insync_replicas);
    let unclean = spec.unclean_leader_election_enable.unwrap_or(cluster.unclean_leader_election_enable);
    let max_bytes = spec.max_message_bytes.unwrap_or(crate::cluster::MESSAGE_MAX_BYTES);
    let taken = |name: &str, default: &str| spec.set.get(name).map_or(default, String::as_str).to_owned();
    vec![
        ("cleanup.policy", policy.to_owned()),
        ("compression.type", taken("compression.type", "producer")),
        ("delete.retention.ms", spec.delete_retention_ms.to_string()),
        ("file.delete.delay.ms", taken("file.delete.delay.ms", "60000")),
        ("flush.messages", spec.flush_messages.to_string()),
        ("flush.ms", taken("flush.ms", "9223372036854775807")),
        ("index.interval.bytes", taken("index.interval.bytes", "4096")),
        ("max.compaction.lag.ms", spec.max_compaction_lag_ms.to_string()),
        ("max.message.bytes", max_bytes.to_string()),
        ("message.timestamp.type", timestamps.to_owned()),
        ("min.cleanable.dirty.ratio", taken("min.cleanable.dirty.ratio", "0.5")),
        ("min.compaction.lag.ms", spec.min_compaction_lag_ms.to_string()),
        ("min.insync.replicas", min_insync.to_string()),
        ("retention.bytes", spec.retention_bytes.to_string()),
        ("retention.ms", spec.retention_ms.to_string()),
        ("segment.bytes", spec.segment_bytes.to_string()),
        ("segment.index.bytes", taken("segment.index.bytes", "10485760")),
        ("segment.jitter.ms", taken("segment.jitter.ms", "0")),
        ("segment.ms", spec.segment_ms.to_string()),
        ("unclean.leader.election.enable", unclean.to_string()),
    ]
}

impl ClusterSettings {
    /// Sets one by its real name. False where it is not one of the cluster's, or not with such a value.
    pub fn set(&mut self, name: &str, value: &str) -> bool {
        fn to<T: std::str::FromStr>(setting: &mut T, value: &str) -> bool {
            value.trim().parse().map(|value| *setting = value).is_ok()
        }
        match name {
            "num.partitions" => to(&mut self.num_partitions, value),
            "default.replication.factor" | "replication.factor" => {
                to(&mut self.default_replication_factor, value)
            }
            "min.insync.replicas" => to(&mut self.min_insync_replicas, value),
            "unclean.leader.election.enable" => to(&mut self.unclean_leader_election_enable, value),
            "auto.create.topics.enable" => to(&mut self.auto_create_topics_enable, value),
            "auto.leader.rebalance.enable" => to(&mut self.auto_leader_rebalance_enable, value),
            "leader.imbalance.check.interval.seconds" => {
                to(&mut self.leader_imbalance_check_interval_seconds, value)
            }
            "replica.lag.time.max.ms" => to(&mut self.replica_lag_time_max_ms, value),
            "replica.fetch.wait.max.ms" => to(&mut self.replica_fetch_wait_max_ms, value),
            "replica.fetch.min.bytes" => to(&mut self.replica_fetch_min_bytes, value),
            "replica.fetch.max.bytes" => to(&mut self.replica_fetch_max_bytes, value),
            "replica.fetch.response.max.bytes" => to(&mut self.replica_fetch_response_max_bytes, value),
            "replica.fetch.backoff.ms" => to(&mut self.replica_fetch_backoff_ms, value),
            "replica.socket.timeout.ms" => to(&mut self.replica_socket_timeout_ms, value),
            "broker.heartbeat.interval.ms" => to(&mut self.broker_heartbeat_interval_ms, value),
            "broker.session.timeout.ms" => to(&mut self.broker_session_timeout_ms, value),
            "offsets.topic.num.partitions" => to(&mut self.offsets_topic_num_partitions, value),
            "offsets.topic.replication.factor" => to(&mut self.offsets_topic_replication_factor, value),
            "offsets.topic.segment.bytes" => to(&mut self.offsets_topic_segment_bytes, value),
            "offsets.commit.timeout.ms" => to(&mut self.offsets_commit_timeout_ms, value),
            "transaction.state.log.num.partitions" => {
                to(&mut self.transaction_state_log_num_partitions, value)
            }
            "transaction.state.log.replication.factor" => {
                to(&mut self.transaction_state_log_replication_factor, value)
            }
            "transaction.state.log.segment.bytes" => to(&mut self.transaction_state_log_segment_bytes, value),
            "transaction.state.log.min.isr" => to(&mut self.transaction_state_log_min_isr, value),
            "eligible.leader.replicas.version" => to(&mut self.eligible_leader_replicas_version, value),
            "transaction.version" => to(&mut self.transaction_version, value),
            _ => false,
        }
    }
}

/// A broker's settings.
pub(crate) fn of_broker(config: &BrokerConfig) -> Vec<(&'static str, String)> {
    let cluster = &config.cluster.settings;
    vec![
        ("auto.create.topics.enable", cluster.auto_create_topics_enable.to_string()),
        ("auto.leader.rebalance.enable", cluster.auto_leader_rebalance_enable.to_string()),
        ("broker.heartbeat.interval.ms", cluster.broker_heartbeat_interval_ms.to_string()),
        ("broker.session.timeout.ms", cluster.broker_session_timeout_ms.to_string()),
        ("default.replication.factor", cluster.default_replication_factor.to_string()),
        ("group.initial.rebalance.delay.ms", config.group_initial_rebalance_delay_ms.to_string()),
        ("group.max.session.timeout.ms", config.group_max_session_timeout_ms.to_string()),
        ("group.min.session.timeout.ms", config.group_min_session_timeout_ms.to_string()),
        ("log.cleaner.backoff.ms", config.log_cleaner_backoff_ms.to_string()),
        ("log.retention.check.interval.ms", config.log_retention_check_interval_ms.to_string()),
        ("message.max.bytes", config.message_max_bytes.to_string()),
        ("min.insync.replicas", cluster.min_insync_replicas.to_string()),
        ("node.id", config.id.to_string()),
        ("num.partitions", cluster.num_partitions.to_string()),
        ("offsets.retention.minutes", config.offsets_retention_minutes.to_string()),
        ("offsets.topic.num.partitions", cluster.offsets_topic_num_partitions.to_string()),
        ("offsets.topic.replication.factor", cluster.offsets_topic_replication_factor.to_string()),
        ("offsets.topic.segment.bytes", cluster.offsets_topic_segment_bytes.to_string()),
        (
            "producer.id.expiration.check.interval.ms",
            config.producer_id_expiration_check_interval_ms.to_string(),
        ),
        ("producer.id.expiration.ms", config.producer_id_expiration_ms.to_string()),
        ("replica.fetch.wait.max.ms", cluster.replica_fetch_wait_max_ms.to_string()),
        ("replica.lag.time.max.ms", cluster.replica_lag_time_max_ms.to_string()),
        ("transaction.state.log.min.isr", cluster.transaction_state_log_min_isr.to_string()),
        ("transaction.state.log.num.partitions", cluster.transaction_state_log_num_partitions.to_string()),
        (
            "transaction.state.log.replication.factor",
            cluster.transaction_state_log_replication_factor.to_string(),
        ),
        ("transaction.state.log.segment.bytes", cluster.transaction_state_log_segment_bytes.to_string()),
        ("transaction.max.timeout.ms", config.transactions.transaction_max_timeout_ms.to_string()),
        ("transactional.id.expiration.ms", config.transactions.transactional_id_expiration_ms.to_string()),
        (
            "transaction.abort.timed.out.transaction.cleanup.interval.ms",
            config.transactions.transaction_abort_timed_out_transaction_cleanup_interval_ms.to_string(),
        ),
        (
            "transaction.remove.expired.transaction.cleanup.interval.ms",
            config.transactions.transaction_remove_expired_transaction_cleanup_interval_ms.to_string(),
        ),
        (
            "transaction.partition.verification.enable",
            config.transactions.transaction_partition_verification_enable.to_string(),
        ),
        ("unclean.leader.election.enable", cluster.unclean_leader_election_enable.to_string()),
    ]
}
