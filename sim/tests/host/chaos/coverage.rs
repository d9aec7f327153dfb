//! What happened over all scripts: where nothing of a kind ever did, the test has shown nothing of it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::bench::Bench;

#[derive(Debug, Default)]
pub struct Coverage {
    unknown_commits: AtomicU64,
    fencings: AtomicU64,
    void_claims: AtomicU64,
    parked: AtomicU64,
    repeated_inputs: AtomicU64,
    conflicts: AtomicU64,
    dead_letters: AtomicU64,
    failovers: AtomicU64,
    repeated_calls: AtomicU64,
}

impl Coverage {
    /// Adds up what a script's hosts and ports have counted.
    pub fn note(&self, bench: &Bench) {
        let tally = &bench.sabotage.tally;
        let counted = [
            (&self.unknown_commits, tally.unknown_commits.get()),
            (&self.fencings, tally.fencings.get()),
            (&self.void_claims, bench.sabotage.claims.void.get()),
            (&self.parked, bench.counters.iter().map(|host| host.parked.get()).sum()),
            (&self.repeated_inputs, bench.counters.iter().map(|host| host.duplicates.get()).sum()),
            (&self.conflicts, bench.counters.iter().map(|host| host.conflicts.get()).sum()),
            (&self.dead_letters, bench.counters.iter().map(|host| host.dead_letters.get()).sum()),
            (&self.failovers, bench.failovers.get()),
            (&self.repeated_calls, bench.outside.repeated_calls()),
        ];
        for (sum, count) in counted {
            sum.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// What never happened.
    pub fn lacks(&self) -> Vec<&'static str> {
        let sums = [
            ("unknown commits", &self.unknown_commits),
            ("fencings", &self.fencings),
            ("batches under a void claim", &self.void_claims),
            ("parked messages", &self.parked),
            ("repeated inputs", &self.repeated_inputs),
            ("conflicts", &self.conflicts),
            ("dead letters", &self.dead_letters),
            ("failovers", &self.failovers),
            ("repeated calls", &self.repeated_calls),
        ];
        sums.into_iter().filter(|(_, sum)| sum.load(Ordering::Relaxed) == 0).map(|(what, _)| what).collect()
    }
}
