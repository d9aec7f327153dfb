//! The names and keys that a scenario file may use.
//!
//! The caller fills it: invariants and marks come from the crate of that name, load profiles and fault actions
//! from the simulator or from a user's own crates. `Catalogue::standard` has what this crate knows itself.

use crate::calendar::Calendar;
use crate::fault::TargetKind;
use crate::guarantee::Doubts;
use crate::habits;
use crate::params::FromTable;
use crate::profiles;
use crate::read::Table;
use crate::scenario::Topology;

pub use crate::kafka_settings::{KafkaSetting, SettingKind};

#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    pub venues: Vec<Venue>,
    pub services: Vec<Service>,
    /// Services that have a database; `postgres/<name>` is a target.
    pub databases: Vec<String>,
    /// Parties outside the platform, by the name they have as targets.
    pub outside: Vec<String>,
    pub invariants: Vec<String>,
    pub marks: Vec<String>,
    pub profiles: Vec<Profile>,
    pub fault_actions: Vec<FaultAction>,
    pub habits: Vec<Habit>,
    pub kafka_settings: Vec<KafkaSetting>,
    /// What need not hold in a scenario. Without it `expect = "pass"` is never refused.
    pub doubts: Option<Doubts>,
}

#[derive(Clone, Debug)]
pub struct Venue {
    /// Market identifier code.
    pub name: String,
    pub calendar: Calendar,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub name: String,
    /// Where the file says nothing.
    pub instances: u32,
}

/// A load profile: what a `[[load]]` does, and the keys it takes.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    pub about: String,
    /// It brings its own times, so it takes neither `rate` nor `count`.
    pub own_times: bool,
    pub(crate) read: fn(&mut Table<'_>),
}

impl Profile {
    /// A profile whose keys are those that `P` reads.
    pub fn of<P: FromTable>(name: &str, about: &str) -> Self {
        Profile { name: name.to_owned(), about: about.to_owned(), own_times: false, read: discard::<P> }
    }

    pub fn with_own_times(self) -> Self {
        Profile { own_times: true, ..self }
    }
}

/// A fault action: what a `[[fault]]` does, what it can hit, and the keys it takes.
#[derive(Clone, Debug)]
pub struct FaultAction {
    pub name: String,
    pub about: String,
    /// Empty: it takes no target.
    pub hits: &'static [TargetKind],
    /// The only targets it has, by name; empty means all of its kinds.
    pub only: &'static [&'static str],
    /// It is over in a moment: `for` is refused.
    pub is_momentary: bool,
    /// It divides the world, so that its target can have the shapes `ring` and `one-way`.
    pub divides: bool,
    pub(crate) read: fn(&mut Table<'_>),
}

impl FaultAction {
    /// An action on targets of these kinds, whose keys are those that `P` reads.
    pub fn of<P: FromTable>(name: &str, hits: &'static [TargetKind], about: &str) -> Self {
        FaultAction {
            name: name.to_owned(),
            about: about.to_owned(),
            hits,
            only: &[],
            is_momentary: false,
            divides: false,
            read: discard::<P>,
        }
    }

    pub fn only(self, only: &'static [&'static str]) -> Self {
        FaultAction { only, ..self }
    }

    pub fn momentary(self) -> Self {
        FaultAction { is_momentary: true, ..self }
    }

    pub fn dividing(self) -> Self {
        FaultAction { divides: true, ..self }
    }
}

/// A wrong habit: what a `[[sabotage]]` plants, whose it can be, and the keys it takes.
#[derive(Clone, Debug)]
pub struct Habit {
    pub name: String,
    pub about: String,
    /// Services that can have it, at least one.
    pub of: Vec<String>,
    pub(crate) read: fn(&mut Table<'_>),
}

impl Habit {
    /// A habit of these services whose keys are those that `P` reads.
    pub fn of<P: FromTable>(name: &str, about: &str, services: &[&str]) -> Self {
        let of = services.iter().map(|service| (*service).to_owned()).collect();
        Habit { name: name.to_owned(), about: about.to_owned(), of, read: discard::<P> }
    }
}

fn discard<P: FromTable>(table: &mut Table<'_>) {
    P::read(table);
}

const SERVICES: [(&str, u32); 10] = [
    ("api-gateway", 2),
    ("market-integration-gateway", 2),
    ("reference-data", 1),
    ("trade", 2),
    ("position", 2),
    ("clearing", 2),
    ("settlement", 2),
    ("ledger", 1),
    ("payment", 2),
    ("notification", 1),
];

const WITHOUT_DATABASE: [&str; 2] = ["api-gateway", "market-integration-gateway"];

/// Parties outside the platform.
pub(crate) const OUTSIDE: [&str; 5] = ["bank", "venue", "identity", "webhooks", "participants"];

impl Catalogue {
    /// The platform's services, databases, outside parties and load profiles. Invariants and marks are the
    /// caller's to give, and so are fault actions.
    pub fn standard<'a>(
        invariants: impl IntoIterator<Item = &'a str>,
        marks: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let service =
            |(name, instances): &(&str, u32)| Service { name: (*name).to_owned(), instances: *instances };
        let with_database =
            SERVICES.iter().map(|(name, _)| *name).filter(|name| !WITHOUT_DATABASE.contains(name));
        Catalogue {
            venues: vec![Venue { name: "XNYS".to_owned(), calendar: Calendar::xnys() }],
            services: SERVICES.iter().map(service).collect(),
            databases: with_database.map(str::to_owned).collect(),
            outside: names(&OUTSIDE),
            invariants: invariants.into_iter().map(str::to_owned).collect(),
            marks: marks.into_iter().map(str::to_owned).collect(),
            profiles: profiles::all(),
            fault_actions: Vec::new(),
            habits: habits::all(),
            kafka_settings: crate::kafka_settings::all(),
            doubts: None,
        }
    }

    /// The calendar of a venue of this catalogue.
    pub fn calendar(&self, venue: &str) -> Option<&Calendar> {
        self.venues.iter().find(|known| known.name == venue).map(|venue| &venue.calendar)
    }

    /// Every target that faults of a scenario with this topology can name.
    pub fn targets(&self, topology: &Topology) -> Vec<String> {
        let numbered = |name: &str, count: u32| {
            let numbers = (1..=count).map(|number| format!("{name}/{number}"));
            std::iter::once(name.to_owned()).chain(numbers).collect::<Vec<_>>()
        };
        let services = topology.instances.iter().flat_map(|(name, count)| numbered(name, *count));
        let brokers = numbered("kafka", topology.kafka.brokers);
        let databases = self
            .databases
            .iter()
            .flat_map(|name| ["", "/primary", "/standby"].map(|server| format!("postgres/{name}{server}")));
        services.chain(brokers).chain(databases).chain(self.outside.iter().cloned()).collect()
    }

    pub(crate) fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }

    pub(crate) fn habit(&self, name: &str) -> Option<&Habit> {
        self.habits.iter().find(|habit| habit.name == name)
    }

    pub(crate) fn fault_action(&self, name: &str) -> Option<&FaultAction> {
        self.fault_actions.iter().find(|action| action.name == name)
    }
}
