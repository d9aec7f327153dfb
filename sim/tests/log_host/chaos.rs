//! Any interleaving of crashes, zombies, lost answers, rebalances and moving coordinators counts each input once and in
//! order. Scripts are drawn from a seed; one that fails is made shorter before it is shown. Hosts that are broken on
//! purpose show that the judge can see.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::bench::try_run;
use crate::play::{Coverage, play};
use crate::script::{Script, Step};
use crate::watched::Lie;

fn played(script: &Script, lie: Option<Lie>, coverage: &Arc<Coverage>) -> Result<u128, String> {
    let (script, coverage) = (script.clone(), coverage.clone());
    try_run(lie, async move |bench| play(bench, &script, &coverage).await)
}

/// The script without the steps that it does not need to fail, and why it fails then.
fn shrunk(script: &Script, lie: Option<Lie>) -> (Script, String) {
    let why = played(script, lie, &Arc::default()).expect_err("it failed before");
    let (mut shortest, mut length) = ((script.clone(), why), script.steps.len().div_ceil(2));
    loop {
        let before = shortest.0.steps.len();
        shortest = without_runs_of(length, shortest, lie);
        match length {
            1 if shortest.0.steps.len() == before => return shortest,
            // What stood in the way of a step may be gone now.
            _ => length = (length / 2).max(1),
        }
    }
}

/// Without the runs of so many steps that it does not need to fail.
fn without_runs_of(length: usize, failing: (Script, String), lie: Option<Lie>) -> (Script, String) {
    let (mut shortest, mut why) = failing;
    let mut from = 0;
    while from < shortest.steps.len() {
        let shorter = shortest.without(from, length);
        match played(&shorter, lie, &Arc::default()) {
            Err(failure) => (shortest, why) = (shorter, failure),
            Ok(_) => from += length,
        }
    }
    (shortest, why)
}

/// So many scripts; the first that fails, if one does.
fn explore(seeds: Range<u64>, lie: Option<Lie>, coverage: &Arc<Coverage>) -> Option<(u64, Script)> {
    let mut scripts = seeds.map(|seed| (seed, Script::draw(seed)));
    scripts.find(|(_, script)| played(script, lie, coverage).is_err())
}

/// `CASES` scripts, or from `FROM` on.
fn seeds() -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let from = number("FROM").unwrap_or(0);
    from..from + number("CASES").unwrap_or(200)
}

#[test]
fn any_interleaving_counts_each_input_once_and_in_order() {
    let seeds = seeds();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let scripts = seeds.clone().map(Script::draw);
    scripts.flat_map(|script| script.steps).for_each(|(_, step)| *kinds.entry(step.kind()).or_default() += 1);
    println!("{seeds:?}, {} steps: {kinds:?}", kinds.values().sum::<usize>());
    let coverage = Arc::default();
    if let Some((seed, script)) = explore(seeds.clone(), None, &coverage) {
        println!("seed {seed} fails");
        let (script, why) = shrunk(&script, None);
        panic!("seed {seed}: {why}\n{script}");
    }
    println!("{coverage:?}");
    if seeds.end - seeds.start >= 100 {
        assert_eq!(kinds.len(), Step::KINDS, "every kind of step is drawn: {kinds:?}");
        assert_eq!(coverage.lacks(), [""; 0], "these never happened");
    }
}

#[test]
fn a_script_gives_the_same_run_again() {
    for seed in 0..3 {
        let run = || played(&Script::draw(seed), None, &Arc::default()).expect("all is well");
        assert_eq!(run(), run(), "seed {seed}");
    }
}

/// ... in a script with at most so many steps.
const STEPS_MAX: usize = 8;

fn is_caught(lie: Lie, reason: &str) {
    let Some((seed, script)) = explore(0..60, Some(lie), &Arc::default()) else {
        panic!("{lie:?} is not noticed")
    };
    let (shortest, why) = shrunk(&script, Some(lie));
    println!(
        "{lie:?}: seed {seed}, {} steps shrunk to {}: {why}\n{shortest}",
        script.steps.len(),
        shortest.steps.len()
    );
    assert!(shortest.steps.len() <= STEPS_MAX, "{shortest}");
    assert!(why.contains(reason), "{why}\n{shortest}");
}

#[test]
fn a_host_without_group_metadata_is_caught() {
    is_caught(Lie::NoGroupMetadata, "by who did not own the partition");
}

#[test]
fn a_transactional_id_of_the_process_without_group_metadata_is_caught() {
    is_caught(Lie::IdOfProcess, "");
}

#[test]
fn a_host_that_commits_its_offset_first_is_caught() {
    is_caught(Lie::OffsetFirst, "what the changelog of partition");
}

#[test]
fn a_host_that_commits_its_offset_last_is_caught() {
    is_caught(Lie::OffsetLast, "not all is processed");
}

#[test]
fn a_host_that_recovers_from_what_is_not_committed_is_caught() {
    is_caught(Lie::ReadsUncommitted, "");
}

#[test]
fn a_host_that_takes_an_unknown_commit_for_aborted_is_caught() {
    is_caught(Lie::UnknownTakenForAborted, "");
}

#[test]
fn a_host_that_takes_an_unknown_commit_for_done_is_caught() {
    is_caught(Lie::UnknownTakenForCommitted, "");
}

#[test]
fn a_host_that_loses_events_is_caught() {
    is_caught(Lie::LosesEvents, "counts");
}

#[test]
fn a_host_that_loses_messages_is_caught() {
    is_caught(Lie::LosesMessages, "");
}

#[test]
fn a_host_that_publishes_out_of_order_is_caught() {
    is_caught(Lie::TurnsMessagesRound, "");
}
