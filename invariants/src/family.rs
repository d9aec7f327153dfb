//! Families of faults: what part of the world a fault is about, by the name of its action.

use std::fmt;

/// A family, as reports and marks name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The network between nodes.
    Links,
    /// Processes of services, brokers and outside parties.
    Processes,
    Clocks,
    /// Database servers, whatever is done to them but to their clocks and links.
    Databases,
    Kafka,
    /// Bank, venue, identity provider and webhooks.
    Rails,
    /// An action of somebody's own.
    Other,
}

/// The actions of each family, by their names in scenarios.
const ACTIONS: &[(Family, &[&str])] = &[
    (Family::Links, &["partition", "delay", "loss", "duplicate", "reorder", "bandwidth", "clog"]),
    (Family::Processes, &["kill", "pause", "stop", "rolling-restart", "slow-start", "crash-loop"]),
    (Family::Clocks, &["clock-bump", "clock-strobe", "clock-drift"]),
    (
        Family::Databases,
        &[
            "failover",
            "replica-lag",
            "db-error",
            "commit-unknown",
            "connection-exhaustion",
            "disk-full",
            "slow-disk",
            "fsync-fails",
        ],
    ),
    (
        Family::Kafka,
        &[
            "broker-down",
            "broker-pause",
            "leader-move",
            "isr-shrink",
            "unclean-election",
            "power-loss",
            "delayed-request",
            "repeated-request",
            "coordinator-move",
            "poison",
            "rebalance",
            "request-error",
            "redeliver",
            "slow-fetch",
            "retention",
        ],
    ),
    (
        Family::Rails,
        &[
            "ack-late",
            "ack-lost",
            "ack-duplicate",
            "reject",
            "pending",
            "contradict",
            "dedup-expired",
            "statement-mismatch",
            "cutoff-missed",
            "notice-late",
            "notice-lost",
            "notice-duplicate",
            "request-late",
            "request-lost",
            "bank-down",
            "venue-down",
            "end-of-day",
            "keys-rotated",
            "identity-down",
            "webhook-down",
            "webhook-error",
        ],
    ),
];

/// The family of a fault. What is done to a process is about databases where it is one of theirs, and what is done to a disk
/// about Kafka where it is a broker's.
pub fn family(action: &str, target: &str) -> Family {
    let known = ACTIONS.iter().find(|(_, actions)| actions.contains(&action));
    match known.map(|(family, _)| *family) {
        Some(Family::Processes) if is_database(target) => Family::Databases,
        Some(Family::Databases) if is_broker(target) => Family::Kafka,
        Some(family) => family,
        None => Family::Other,
    }
}

/// Whether a target, or the first of several, is a database server: `postgres/trade`, `one of postgres/trade`.
fn is_database(target: &str) -> bool {
    target.split([' ', ',', '(', ')']).any(|part| part.starts_with("postgres/"))
}

/// Whether a target, or the first of several, is a broker: `kafka/1`, `one of kafka`.
fn is_broker(target: &str) -> bool {
    target.split([' ', ',', '(', ')']).any(|part| part == "kafka" || part.starts_with("kafka/"))
}

impl Family {
    /// Those that Bellwether has actions of.
    pub const ALL: [Self; 6] =
        [Self::Links, Self::Processes, Self::Clocks, Self::Databases, Self::Kafka, Self::Rails];

    pub fn name(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Processes => "processes",
            Self::Clocks => "clocks",
            Self::Databases => "databases",
            Self::Kafka => "kafka",
            Self::Rails => "rails",
            Self::Other => "other",
        }
    }

    /// The names of its actions.
    pub fn actions(self) -> &'static [&'static str] {
        ACTIONS.iter().find(|(family, _)| *family == self).map_or(&[], |(_, actions)| actions)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_one_family() {
        let mut actions: Vec<&str> =
            Family::ALL.iter().flat_map(|family| family.actions()).copied().collect();
        let all = actions.len();
        actions.sort_unstable();
        actions.dedup();
        assert_eq!(actions.len(), all, "no action has two families");
        for family_of in Family::ALL {
            assert!(family_of.actions().iter().all(|action| family(action, "settlement") == family_of));
        }
        assert_eq!(family("meteor", "bank"), Family::Other);
    }

    #[test]
    fn a_disk_of_a_broker_is_kafka_s() {
        for target in ["kafka/1", "kafka", "one of kafka"] {
            assert_eq!(family("disk-full", target), Family::Kafka, "{target}");
        }
        assert_eq!(family("disk-full", "postgres/trade"), Family::Databases);
    }

    #[test]
    fn a_server_of_a_database_is_no_mere_process() {
        for target in
            ["postgres/trade", "postgres/trade/primary", "postgres/trade/standby, postgres/position"]
        {
            assert_eq!(family("kill", target), Family::Databases, "{target}");
            assert_eq!(family("clock-bump", target), Family::Clocks, "{target}");
            assert_eq!(family("partition", target), Family::Links, "{target}");
        }
        assert_eq!(family("kill", "position/2"), Family::Processes);
        assert_eq!(family("stop", "kafka/1"), Family::Processes);
    }
}
