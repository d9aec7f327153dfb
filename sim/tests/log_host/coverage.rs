//! What happened over all scripts, and how often: where nothing of a kind ever did, the test has shown nothing of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bench::Bench;
use crate::script::{APIS, LATE_APIS};
use crate::watched::CALLS;

/// How often something happened, by what it is called. Runs have threads of their own.
#[derive(Default)]
pub struct Coverage(Mutex<BTreeMap<String, u64>>);

/// What the runs of any script must meet.
pub fn of_any_script() -> Vec<String> {
    let counted = [INPUTS, RECOVERIES, ABORTS, UNKNOWN, FENCINGS, VOID, DEAD_LETTERS, SNAPSHOTS];
    let counted = counted.into_iter().map(str::to_owned);
    let ends = CALLS.iter().flat_map(|call| [died(call), stood_still(call)]);
    let unanswered = APIS.iter().map(|api| format!("no answer to {api:?}"));
    let moves = MOVES.iter().map(|what| format!("{what} moves during a call"));
    counted.chain(ends).chain(unanswered).chain(moves).collect()
}

/// ... of a script with late requests.
pub fn of_late_requests() -> Vec<String> {
    let late = LATE_APIS.iter().flat_map(|api| [format!("late {api:?}"), format!("repeated {api:?}")]);
    late.collect()
}

const INPUTS: &str = "inputs";
const RECOVERIES: &str = "recoveries";
const ABORTS: &str = "aborts";
const UNKNOWN: &str = "unknown commits";
const FENCINGS: &str = "fencings";
const VOID: &str = "offsets asked for by who was not the owner";
const DEAD_LETTERS: &str = "dead letters";
const SNAPSHOTS: &str = "snapshots";
pub const MOVES: [&str; 3] = ["the group's coordinator", "a transaction's coordinator", "a leader"];

pub fn died(call: &str) -> String {
    format!("a host dies in {call}")
}

pub fn stood_still(call: &str) -> String {
    format!("a host stands still in {call}")
}

impl Coverage {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        // A run that failed has left whole counts behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, what: impl Into<String>, times: u64) {
        *self.counts().entry(what.into()).or_default() += times;
    }

    /// What the hosts of a run have done.
    pub fn note(&self, bench: &Bench) {
        for host in &bench.counters {
            let counted = [
                (INPUTS, &host.inputs),
                (RECOVERIES, &host.recoveries),
                (ABORTS, &host.aborts),
                (UNKNOWN, &host.unknown_commits),
                (FENCINGS, &host.fencings),
                (DEAD_LETTERS, &host.dead_letters),
                (SNAPSHOTS, &host.snapshots),
            ];
            counted.into_iter().for_each(|(what, times)| self.add(what, times.get()));
        }
        self.add(VOID, bench.watch.void.get());
    }

    /// What of this never happened.
    pub fn lacks(&self, wanted: &[String]) -> Vec<String> {
        let counts = self.counts();
        let never = wanted.iter().filter(|what| counts.get(*what).is_none_or(|times| *times == 0));
        never.cloned().collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts();
        counts.iter().try_for_each(|(what, times)| writeln!(out, "{times:>8} {what}"))
    }
}
