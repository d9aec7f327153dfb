//! The three clusters that the behaviours are shown on, and what cannot be shown where.

use crate::cluster::Power;
use crate::list::Behaviour;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// (a): simulated clients and brokers, on a virtual clock, with drawn schedules and faults.
    Simulated,
    /// (b): librdkafka and our brokers, over TCP.
    Tcp,
    /// (c): librdkafka and Apache Kafka.
    Apache,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Simulated, Kind::Tcp, Kind::Apache];

    /// Why a behaviour cannot be shown on this cluster. Everything else is run there, and has to pass.
    pub fn lacks(self, behaviour: &Behaviour) -> Option<&'static str> {
        let of_power = POWERS
            .iter()
            .find(|(kind, power, _)| *kind == self && behaviour.needs.contains(power))
            .map(|(.., why)| *why);
        let by_name = NAMES
            .iter()
            .find(|(kind, name, _)| *kind == self && behaviour.name == *name)
            .map(|(.., why)| *why);
        of_power.or(by_name)
    }
}

/// What a cluster cannot do.
const POWERS: &[(Kind, Power, &str)] = &[(
    Kind::Apache,
    Power::PowerOff,
    "(c): a process that is killed loses nothing, since the kernel keeps what was written",
)];

/// What is beyond one behaviour there.
const NAMES: &[(Kind, &str, &str)] =
    &[(Kind::Simulated, "h69_compaction_keeps_the_last_of_each_key", LATER_COMPACTION)];

const LATER_COMPACTION: &str = "(a), (b): logs are not compacted yet";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::all;

    #[test]
    fn every_reason_is_of_a_behaviour() {
        for (_, name, why) in NAMES {
            assert!(all().iter().any(|behaviour| behaviour.name == *name), "{name}: {why}");
        }
    }
}
