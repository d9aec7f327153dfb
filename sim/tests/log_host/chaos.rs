//! Any interleaving of crashes, zombies, lost answers, rebalances and moving coordinators counts each input once and in
//! order. Scripts are drawn from a seed; one that fails is made shorter before it is shown. Hosts that are broken on
//! purpose show that the judge can see.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use kafka::ApiKey;

use crate::bench::{Setup, Transactions, try_run};
use crate::coverage::{Coverage, of_any_script, of_late_requests};
use crate::play::play;
use crate::script::{Script, Step};
use crate::watched::Lie;

fn played(script: &Script, setup: Setup, coverage: &Arc<Coverage>) -> Result<u128, String> {
    let (script, coverage) = (script.clone(), coverage.clone());
    try_run(setup, async move |bench| play(bench, &script, &coverage).await)
}

/// The script without the steps that it does not need to fail, and why it fails then.
fn shrunk(script: &Script, setup: Setup) -> (Script, String) {
    let why = played(script, setup, &Arc::default()).expect_err("it failed before");
    let (mut shortest, mut length) = ((script.clone(), why), script.steps.len().div_ceil(2));
    loop {
        let before = shortest.0.steps.len();
        shortest = without_runs_of(length, shortest, setup);
        match length {
            1 if shortest.0.steps.len() == before => return shortest,
            // What stood in the way of a step may be gone now.
            _ => length = (length / 2).max(1),
        }
    }
}

/// Without the runs of so many steps that it does not need to fail.
fn without_runs_of(length: usize, failing: (Script, String), setup: Setup) -> (Script, String) {
    let (mut shortest, mut why) = failing;
    let mut from = 0;
    while from < shortest.steps.len() {
        let shorter = shortest.without(from, length);
        match played(&shorter, setup, &Arc::default()) {
            Err(failure) => (shortest, why) = (shorter, failure),
            Ok(_) => from += length,
        }
    }
    (shortest, why)
}

/// So many scripts; the first that fails, if one does.
fn explore(
    seeds: Range<u64>,
    draw: fn(u64) -> Script,
    setup: Setup,
    coverage: &Arc<Coverage>,
) -> Option<(u64, Script)> {
    let mut scripts = seeds.map(|seed| (seed, draw(seed)));
    scripts.find(|(_, script)| played(script, setup, coverage).is_err())
}

/// So many scripts, or `CASES` of them, from 0 or `FROM` on.
fn seeds(cases: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let from = number("FROM").unwrap_or(0);
    from..from + number("CASES").unwrap_or(cases)
}

/// Plays so many scripts, all of which must end well; what happened in them.
fn explored(seeds: Range<u64>, draw: fn(u64) -> Script, transactions: Transactions) -> Arc<Coverage> {
    let setup = Setup { lie: None, transactions };
    let coverage = Arc::default();
    if let Some((seed, script)) = explore(seeds, draw, setup, &coverage) {
        println!("seed {seed} fails");
        let (script, why) = shrunk(&script, setup);
        panic!("seed {seed}: {why}\n{script}");
    }
    println!("{coverage}");
    coverage
}

/// Fewer show that all is well, and not that everything was met.
const ENOUGH: u64 = 100;

#[test]
fn any_interleaving_counts_each_input_once_and_in_order() {
    let seeds = seeds(200);
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let scripts = seeds.clone().map(Script::draw);
    scripts.flat_map(|script| script.steps).for_each(|(_, step)| *kinds.entry(step.kind()).or_default() += 1);
    println!("{seeds:?}, {} steps: {kinds:?}", kinds.values().sum::<usize>());
    let coverage = explored(seeds.clone(), Script::draw, Transactions::V1);
    if seeds.end - seeds.start >= ENOUGH {
        assert_eq!(kinds.len(), Step::KINDS, "every kind of step is drawn: {kinds:?}");
        assert_eq!(coverage.lacks(&of_any_script()), [""; 0], "these never happened");
    }
}

/// ... also where requests come late and twice.
#[test]
fn with_transactions_of_version_2_late_requests_change_nothing() {
    let seeds = seeds(ENOUGH);
    let coverage = explored(seeds.clone(), Script::draw_late, Transactions::V2);
    if seeds.end - seeds.start >= ENOUGH {
        assert_eq!(coverage.lacks(&of_late_requests()), [""; 0], "these never happened");
    }
}

/// A script in which transactions take long, and each `EndTxn` may come once more, while the next one is under way.
fn with_late_ends(seed: u64) -> Script {
    let late_ends = Step::RepeatedRequests { api: ApiKey::EndTxn, by_ms: 300, for_ms: 120_000 };
    let long_transactions = Step::Slow { api: ApiKey::AddOffsetsToTxn, for_ms: 120_000 };
    let steps = [(0, late_ends), (0, long_transactions)].into_iter().chain(Script::draw(seed).steps);
    Script { steps: steps.collect() }
}

/// The hole that version 2 closes (KIP-890): a transaction is ended by the one before.
#[test]
fn an_end_that_comes_late_is_caught_with_version_1_and_refused_with_version_2() {
    let [v1, v2] = [Transactions::V1, Transactions::V2].map(|transactions| Setup { lie: None, transactions });
    let Some((seed, script)) = explore(0..60, with_late_ends, v1, &Arc::default()) else {
        panic!("transactions were ended by others, and nobody noticed")
    };
    let (shortest, why) = shrunk(&script, v1);
    println!(
        "seed {seed}, {} steps shrunk to {}: {why}\n{shortest}",
        script.steps.len(),
        shortest.steps.len()
    );
    let is_late = |(_, step): &(u64, Step)| matches!(step, Step::RepeatedRequests { .. });
    assert!(shortest.steps.iter().any(is_late), "it is the late end: {shortest}");
    let coverage = Arc::default();
    let refused = played(&script, v2, &coverage);
    assert!(refused.is_ok(), "with version 2: {refused:?}\n{script}");
    assert_eq!(coverage.lacks(&["repeated EndTxn".to_owned()]), [""; 0]);
}

fn goes_well(seed: u64) {
    let outcome = played(&Script::draw(seed), Setup::default(), &Arc::default());
    assert!(outcome.is_ok(), "seed {seed}: {outcome:?}");
}

/// A marker that a new group coordinator had read was told to it again, and ended the producer's next transaction.
#[test]
fn an_aborted_offset_stays_aborted_where_the_groups_coordinator_moves() {
    goes_well(932);
}

/// A transaction's coordinator that restarted within its session sent markers for a decision that only its own log had.
#[test]
fn a_transaction_ends_in_one_way_where_its_coordinator_dies() {
    goes_well(955);
}

#[test]
fn a_script_gives_the_same_run_again() {
    for seed in 0..3 {
        let run = || played(&Script::draw(seed), Setup::default(), &Arc::default()).expect("all is well");
        assert_eq!(run(), run(), "seed {seed}");
    }
}

/// ... in a script with at most so many steps.
const STEPS_MAX: usize = 8;

fn is_caught(lie: Lie, reason: &str) {
    let setup = Setup { lie: Some(lie), ..Setup::default() };
    let Some((seed, script)) = explore(0..60, Script::draw, setup, &Arc::default()) else {
        panic!("{lie:?} is not noticed")
    };
    let (shortest, why) = shrunk(&script, setup);
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
