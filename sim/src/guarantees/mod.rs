//! What is guaranteed, under which settings and faults: the table in the README, and what the loader refuses.
//!
//! Every invariant holds under every setting and every family of faults, but for the [`cases`]. A case is a kind of
//! fault, perhaps under weak settings only, and says which invariants need not hold then. Pure: a function of the
//! scenario, of the names of its actions and of their keys. A scenario with sabotage never expects to pass, which the
//! loader knows by itself. Left out: several weaknesses that only together do harm
//! and have no case, and drawn times: a case counts wherever the scenario has its faults at all.

pub mod cases;
mod nobody_left;
pub mod page;
mod replication;

use invariants::{Family, oracles};
use scenario::{Doubt, Scenario};

pub use self::cases::{CASES, Case};

/// What may be said of an invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    Holds,
    /// Breaking it is what is expected to be found: a canary can ask for it.
    MayBreak,
    /// It follows from something that is broken already, and nothing is said of it.
    Outside,
}

impl Guarantee {
    pub fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::MayBreak => "may break",
            Self::Outside => "outside",
        }
    }
}

/// Settings of `[topology.postgres]` and `[topology.kafka]` that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    pub synchronous_standby: bool,
    pub synchronous_commit: &'a str,
    pub min_insync_replicas: i64,
    pub unclean_leader_election: bool,
}

/// The default, and every single departure from it.
pub const SETTINGS: &[Setting<'static>] = &[
    DEFAULT,
    Setting { synchronous_standby: false, ..DEFAULT },
    Setting { synchronous_commit: "off", ..DEFAULT },
    Setting { synchronous_commit: "local", ..DEFAULT },
    Setting { synchronous_commit: "remote_write", ..DEFAULT },
    Setting { synchronous_commit: "remote_apply", ..DEFAULT },
    Setting { min_insync_replicas: 1, ..DEFAULT },
    Setting { unclean_leader_election: true, ..DEFAULT },
];

pub const DEFAULT: Setting<'static> = Setting {
    synchronous_standby: true,
    synchronous_commit: "on",
    min_insync_replicas: 2,
    unclean_leader_election: false,
};

impl<'a> Setting<'a> {
    pub fn of(scenario: &'a Scenario) -> Self {
        let postgres = &scenario.topology.postgres;
        let kafka = |name: &str| scenario.topology.kafka.settings.get(name);
        Self {
            synchronous_standby: postgres.synchronous_standby,
            synchronous_commit: &postgres.synchronous_commit,
            min_insync_replicas: match kafka("min.insync.replicas") {
                Some(scenario::Setting::Integer(replicas)) => *replicas,
                _ => DEFAULT.min_insync_replicas,
            },
            unclean_leader_election: match kafka("unclean.leader.election.enable") {
                Some(scenario::Setting::Flag(enabled)) => *enabled,
                _ => DEFAULT.unclean_leader_election,
            },
        }
    }

    /// What departs from the default, as a scenario writes it.
    pub fn name(self) -> String {
        let named = [
            (self.synchronous_standby != DEFAULT.synchronous_standby)
                .then(|| format!("synchronous_standby = {}", self.synchronous_standby)),
            (self.synchronous_commit != DEFAULT.synchronous_commit)
                .then(|| format!("synchronous_commit = {}", self.synchronous_commit)),
            (self.min_insync_replicas != DEFAULT.min_insync_replicas)
                .then(|| format!("min.insync.replicas = {}", self.min_insync_replicas)),
            (self.unclean_leader_election != DEFAULT.unclean_leader_election)
                .then(|| format!("unclean.leader.election.enable = {}", self.unclean_leader_election)),
        ];
        let named: Vec<String> = named.into_iter().flatten().collect();
        if named.is_empty() { "default".to_owned() } else { named.join(", ") }
    }

    /// The family of faults that the departure from the default is about.
    pub fn family(self) -> Family {
        let of_databases = Setting {
            min_insync_replicas: DEFAULT.min_insync_replicas,
            unclean_leader_election: DEFAULT.unclean_leader_election,
            ..self
        };
        if of_databases == self { Family::Databases } else { Family::Kafka }
    }
}

/// The names of all invariants.
pub fn invariants() -> Vec<&'static str> {
    oracles::all().iter().map(|invariant| invariant.name()).collect()
}

/// The cases in which an invariant need not hold under a setting and faults of a family.
pub fn exceptions(
    invariant: &str,
    setting: Setting<'_>,
    family: Family,
) -> impl Iterator<Item = (&'static Case, Guarantee)> {
    let cases = CASES.iter().filter(move |case| case.families.contains(&family) && (case.when)(setting));
    cases.map(move |case| (case, case.guarantee(invariant))).filter(|(_, said)| *said != Guarantee::Holds)
}

/// What the loader must know before it lets a scenario expect to pass.
pub fn doubts(scenario: &Scenario) -> Vec<Doubt> {
    let setting = Setting::of(scenario);
    let met = CASES.iter().filter(|case| (case.when)(setting));
    let met = met.filter_map(|case| Some((case, (case.blames)(scenario)?)));
    let doubt = |case: &'static Case, path: String| {
        invariants().into_iter().filter_map(move |invariant| {
            let said = case.guarantee(invariant);
            (said != Guarantee::Holds).then(|| Doubt {
                invariant: invariant.to_owned(),
                path: path.clone(),
                why: case.why.to_owned(),
                may_break: said == Guarantee::MayBreak,
            })
        })
    };
    met.flat_map(|(case, path)| doubt(case, path)).collect()
}

/// The scenario without what a fault of it puts in doubt: without that fault, or only without its force.
pub fn without_doubtful(mut scenario: Scenario) -> Scenario {
    while let Some((fault, key)) = doubts(&scenario).iter().find_map(|doubt| blamed(&doubt.path)) {
        if key == "force" {
            scenario.faults[fault].params.remove(key);
        } else {
            scenario.faults.remove(fault);
        }
    }
    scenario
}

/// The fault that a path is about, and the key: `fault[2].force`.
fn blamed(path: &str) -> Option<(usize, &str)> {
    let (fault, key) = path.strip_prefix("fault[")?.split_once("].")?;
    Some((fault.parse().ok()?, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_only_what_is_forced_said_wrongly_or_dead_for_ever_is_in_doubt() {
        let doubtful = |family| {
            invariants()
                .into_iter()
                .filter(move |invariant| exceptions(invariant, DEFAULT, family).count() > 0)
                .count()
        };
        assert_eq!(Family::ALL.map(doubtful), [0, 9, 1, invariants().len(), 9, 4]);
    }

    #[test]
    fn every_fault_has_a_family_and_every_family_its_faults() {
        let mut actions: Vec<String> =
            crate::fault::kinds().into_iter().map(|kind| kind.action.name).collect();
        let mut known: Vec<&str> = Family::ALL.iter().flat_map(|family| family.actions()).copied().collect();
        actions.sort_unstable();
        known.sort_unstable();
        assert_eq!(actions, known);
    }

    #[test]
    fn remote_apply_is_as_good_as_on() {
        let default = &DEFAULT;
        let remote_apply = &Setting { synchronous_commit: "remote_apply", ..DEFAULT };
        for invariant in invariants() {
            for family in Family::ALL {
                let said = |setting| {
                    exceptions(invariant, setting, family)
                        .map(|(case, said)| (case.name, said))
                        .collect::<Vec<_>>()
                };
                assert_eq!(said(*default), said(*remote_apply), "{invariant} under {family}");
            }
        }
    }

    #[test]
    fn losing_a_commit_is_expected_of_one_invariant() {
        for case in CASES.iter().filter(|case| case.families == [Family::Databases]) {
            let expected: Vec<&str> = invariants()
                .into_iter()
                .filter(|invariant| case.guarantee(invariant) == Guarantee::MayBreak)
                .collect();
            assert_eq!(expected, ["acknowledged_is_durable"], "{}", case.name);
        }
    }
}
