//! Kafka's settings by their real names, with the values that the simulated cluster can keep to.
//!
//! A setting that is real but not built is named here with the reason, so that the loader can say why it
//! refuses it.

/// A setting that `[topology.kafka]` takes.
#[derive(Clone, Debug)]
pub struct KafkaSetting {
    /// Kafka's name, with dots.
    pub name: &'static str,
    pub kind: SettingKind,
    /// The only value that can be kept to for now (as written; none at all if empty), and why.
    pub only: Option<(&'static str, &'static str)>,
}

#[derive(Clone, Copy, Debug)]
pub enum SettingKind {
    Flag,
    Integer { min: i64, max: i64 },
    Choice(&'static [&'static str]),
    Text,
}

const NO_TRANSACTIONS: &str = "no service uses transactions yet";
const NO_GUARANTEE: &str =
    "without them one broker that loses power can lose what min.insync.replicas had acknowledged";
const NO_GROUP_OFFSETS: &str = "a service keeps its positions in its own database, and goes on there";

pub(crate) fn all() -> Vec<KafkaSetting> {
    let setting = |name, kind| KafkaSetting { name, kind, only: None };
    let only = |name, kind, value, why| KafkaSetting { name, kind, only: Some((value, why)) };
    let millis = SettingKind::Integer { min: 0, max: 604_800_000 };
    let count = SettingKind::Integer { min: 1, max: i32::MAX as i64 };
    let replicas = SettingKind::Integer { min: 1, max: 9 };
    vec![
        setting("fetch.max.wait.ms", millis),
        setting("fetch.min.bytes", count),
        setting("fetch.max.bytes", count),
        setting("max.partition.fetch.bytes", count),
        setting("max.poll.records", count),
        setting("heartbeat.interval.ms", millis),
        setting("session.timeout.ms", millis),
        setting("max.poll.interval.ms", millis),
        setting(
            "partition.assignment.strategy",
            SettingKind::Choice(&["range", "roundrobin", "sticky", "cooperative-sticky"]),
        ),
        setting("group.initial.rebalance.delay.ms", millis),
        setting("request.timeout.ms", millis),
        setting("retry.backoff.ms", millis),
        setting("delivery.timeout.ms", millis),
        setting("linger.ms", millis),
        setting("batch.size", count),
        setting("message.max.bytes", count),
        setting("retention.ms", SettingKind::Integer { min: -1, max: i64::MAX }),
        setting("retention.bytes", SettingKind::Integer { min: -1, max: i64::MAX }),
        setting("segment.bytes", count),
        only(
            "auto.offset.reset",
            SettingKind::Choice(&["earliest", "latest", "none"]),
            "none",
            NO_GROUP_OFFSETS,
        ),
        setting("acks", SettingKind::Choice(&["all", "1", "0"])),
        setting("enable.idempotence", SettingKind::Flag),
        setting("replication.factor", replicas),
        setting("default.replication.factor", replicas),
        setting("min.insync.replicas", replicas),
        setting("replica.fetch.wait.max.ms", millis),
        setting("replica.lag.time.max.ms", millis),
        setting("replica.fetch.backoff.ms", millis),
        setting("broker.heartbeat.interval.ms", millis),
        setting("broker.session.timeout.ms", millis),
        setting("auto.leader.rebalance.enable", SettingKind::Flag),
        setting("leader.imbalance.check.interval.seconds", millis),
        setting("offsets.topic.num.partitions", count),
        setting("offsets.topic.replication.factor", replicas),
        setting("offsets.topic.segment.bytes", count),
        setting("flush.messages", SettingKind::Integer { min: 1, max: i64::MAX }),
        setting("unclean.leader.election.enable", SettingKind::Flag),
        only("eligible.leader.replicas.version", SettingKind::Integer { min: 0, max: 1 }, "1", NO_GUARANTEE),
        only("transactional.id", SettingKind::Text, "", NO_TRANSACTIONS),
        only("transaction.timeout.ms", millis, "", NO_TRANSACTIONS),
        setting("isolation.level", SettingKind::Choice(&["read_uncommitted", "read_committed"])),
    ]
}
