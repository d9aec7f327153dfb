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
        let of_power =
            POWERS.iter().find(|(kind, power, _)| *kind == self && behaviour.needs.contains(power));
        of_power.map(|(.., why)| *why)
    }
}

/// What a cluster cannot do.
const POWERS: &[(Kind, Power, &str)] = &[(
    Kind::Apache,
    Power::PowerOff,
    "(c): a process that is killed loses nothing, since the kernel keeps what was written",
)];
