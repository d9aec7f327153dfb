//! The platform's Kafka: its cluster and its clients, with the settings of a scenario.

use kafka::client::{Acks, Assignor, IsolationLevel};
use kafka::{Broker, BrokerConfig, ClusterSettings, ClusterSpec, Controller, TopicSpec};
use scenario::{Scenario, Setting};

use super::layout::{CONTROLLER, Layout};
use crate::adapters::log::KafkaClientSettings;
use crate::nodes::broker::{BrokerSeat, Brokers, Cluster};
use crate::nodes::controller::ControllerSeat;
use crate::world::World;

pub fn cluster(world: &World, layout: &Layout, scenario: &Scenario) -> Cluster {
    let brokers = i32::try_from(scenario.topology.kafka.brokers).expect("clusters are small");
    let mut spec = ClusterSpec::new((0..brokers).collect(), topics(scenario));
    spec.settings = cluster_settings(scenario);
    let broker = |id| Broker::new(broker_config(id, &spec, scenario));
    let nodes = layout.brokers();
    let seats = (0..brokers).zip(nodes.iter()).map(|(id, node)| BrokerSeat::new(broker(id), *node));
    let now_ms = world.now_ns().div_euclid(1_000_000);
    let controller = Controller::new(spec.clone(), now_ms);
    Brokers::new(seats.collect(), ControllerSeat::new(controller, layout.index(CONTROLLER)))
}

fn topics(scenario: &Scenario) -> Vec<TopicSpec> {
    let retention_ms = integer(scenario, "retention.ms");
    let retention_bytes = integer(scenario, "retention.bytes");
    let segment_bytes = integer(scenario, "segment.bytes").map(narrow);
    let flush_messages = integer(scenario, "flush.messages");
    let topics = contracts::TOPICS.iter().map(|topic| {
        let days_ms = i64::from(topic.retention_days) * 24 * 3_600_000;
        let spec = TopicSpec::new(topic.name, topic.partitions);
        TopicSpec {
            retention_ms: retention_ms.unwrap_or(days_ms),
            retention_bytes: retention_bytes.unwrap_or(spec.retention_bytes),
            segment_bytes: segment_bytes.unwrap_or(spec.segment_bytes),
            flush_messages: flush_messages.unwrap_or(spec.flush_messages),
            ..spec
        }
    });
    topics.collect()
}

fn broker_config(id: i32, spec: &ClusterSpec, scenario: &Scenario) -> BrokerConfig {
    let config = BrokerConfig::new(id, spec.clone());
    let delay = integer(scenario, "group.initial.rebalance.delay.ms");
    let largest = integer(scenario, "message.max.bytes").map(narrow);
    BrokerConfig {
        group_initial_rebalance_delay_ms: delay.unwrap_or(config.group_initial_rebalance_delay_ms),
        message_max_bytes: largest.unwrap_or(config.message_max_bytes),
        ..config
    }
}

/// The profile of scenarios: three replicas, two of which must be in sync, and waits that let an idle cluster sleep.
pub fn profile() -> ClusterSettings {
    ClusterSettings {
        default_replication_factor: 3,
        min_insync_replicas: 2,
        replica_fetch_wait_max_ms: 30_000,
        replica_lag_time_max_ms: 60_000,
        broker_heartbeat_interval_ms: 10_000,
        broker_session_timeout_ms: 30_000,
        ..ClusterSettings::default()
    }
}

/// A scenario can name others.
fn cluster_settings(scenario: &Scenario) -> ClusterSettings {
    let mut settings = profile();
    for (name, setting) in &scenario.topology.kafka.settings {
        let value = match setting {
            Setting::Integer(value) => value.to_string(),
            Setting::Flag(value) => value.to_string(),
            Setting::Text(value) => value.clone(),
        };
        // Names that are not of the cluster are of its clients.
        settings.set(name, &value);
    }
    settings
}

pub fn clients(scenario: &Scenario) -> KafkaClientSettings {
    let default = KafkaClientSettings::default();
    let long = |name, default: i64| integer(scenario, name).unwrap_or(default);
    let short = |name, default: i32| integer(scenario, name).map_or(default, narrow);
    let named = &scenario.topology.kafka.settings;
    let size = |name| integer(scenario, name).and_then(|size| usize::try_from(size).ok());
    KafkaClientSettings {
        fetch_max_wait_ms: short("fetch.max.wait.ms", default.fetch_max_wait_ms),
        fetch_min_bytes: short("fetch.min.bytes", default.fetch_min_bytes),
        fetch_max_bytes: short("fetch.max.bytes", default.fetch_max_bytes),
        max_partition_fetch_bytes: short("max.partition.fetch.bytes", default.max_partition_fetch_bytes),
        max_poll_records: size("max.poll.records").unwrap_or(default.max_poll_records),
        heartbeat_interval_ms: long("heartbeat.interval.ms", default.heartbeat_interval_ms),
        session_timeout_ms: short("session.timeout.ms", default.session_timeout_ms),
        max_poll_interval_ms: short("max.poll.interval.ms", default.max_poll_interval_ms),
        partition_assignment_strategy: text(scenario, "partition.assignment.strategy")
            .and_then(Assignor::named)
            .unwrap_or(default.partition_assignment_strategy),
        isolation_level: match text(scenario, "isolation.level") {
            Some("read_committed") => IsolationLevel::ReadCommitted,
            _ => default.isolation_level,
        },
        request_timeout_ms: long("request.timeout.ms", default.request_timeout_ms),
        retry_backoff_ms: long("retry.backoff.ms", default.retry_backoff_ms),
        delivery_timeout_ms: long("delivery.timeout.ms", default.delivery_timeout_ms),
        batch_size: size("batch.size").unwrap_or(default.batch_size),
        linger_ms: long("linger.ms", default.linger_ms),
        acks: match text(scenario, "acks") {
            Some("0") => Acks::None,
            Some("1") => Acks::Leader,
            _ => default.acks,
        },
        enable_idempotence: match named.get("enable.idempotence") {
            Some(Setting::Flag(wanted)) => Some(*wanted),
            _ => default.enable_idempotence,
        },
    }
}

fn narrow(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn integer(scenario: &Scenario, name: &str) -> Option<i64> {
    match scenario.topology.kafka.settings.get(name)? {
        Setting::Integer(value) => Some(*value),
        _ => None,
    }
}

fn text<'a>(scenario: &'a Scenario, name: &str) -> Option<&'a str> {
    match scenario.topology.kafka.settings.get(name)? {
        Setting::Text(value) => Some(value),
        _ => None,
    }
}
