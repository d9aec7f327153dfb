//! Any interleaving of retries, doubled and reordered messages, deaths, pauses, stops and broken connections gives each
//! effect once and in order. Scripts are drawn from a seed; one that fails is made shorter before it is shown.
//!
//! The model is what the script asks for: each request counts once, whoever repeats it; each stream's messages count
//! in order; each timer and each effect happens once. Hosts that are broken on purpose show that the judge can see.

#[path = "chaos/coverage.rs"]
mod coverage;
#[path = "chaos/judge.rs"]
mod judge;
#[path = "chaos/script.rs"]
mod script;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use coverage::Coverage;
use script::{Script, Step};

use crate::bench::{Bench, try_run};
use crate::sabotage::Lie;

/// What is wrong after the script, if something is.
fn failure_of(script: &Script, lie: Option<Lie>, coverage: &Arc<Coverage>) -> Option<String> {
    let (script, coverage) = (script.clone(), coverage.clone());
    let played = try_run(2, lie, async move |bench: Bench| {
        judge::play(&bench, &script, &coverage).await;
    });
    played.err()
}

/// The script without what it does not need to fail: steps, then time and numbers, and again while that helps.
fn shrunk(script: &Script, lie: Option<Lie>) -> (Script, String) {
    let coverage = Arc::default();
    let failure = |script: &Script| failure_of(script, lie, &coverage);
    let mut shortest = script.clone();
    let mut why = failure(script).expect("it failed before");
    loop {
        let before = shortest.clone();
        let mut length = shortest.steps.len().div_ceil(2);
        while length > 0 {
            let mut from = 0;
            while from < shortest.steps.len() {
                let shorter = shortest.without(from, length);
                match failure(&shorter) {
                    Some(failure) => (shortest, why) = (shorter, failure),
                    None => from += length,
                }
            }
            length /= 2;
        }
        let still_fails = |script: Script| Some((failure(&script)?, script));
        // One may be there only to make up for another.
        while let Some((failure, less)) = shortest.without_pairs().into_iter().find_map(still_fails) {
            (shortest, why) = (less, failure);
        }
        while let Some((failure, less)) = shortest.with_less().into_iter().find_map(still_fails) {
            (shortest, why) = (less, failure);
        }
        if shortest == before {
            return (shortest, why);
        }
    }
}

/// So many scripts; the first that fails, if one does.
fn explore(seeds: Range<u64>, lie: Option<Lie>, coverage: &Arc<Coverage>) -> Option<(u64, Script)> {
    let mut scripts = seeds.map(|seed| (seed, Script::draw(seed)));
    scripts.find(|(_, script)| failure_of(script, lie, coverage).is_some())
}

fn cases() -> u64 {
    std::env::var("CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60)
}

#[test]
fn any_interleaving_gives_each_effect_once_and_in_order() {
    let cases = cases();
    let mut kinds: BTreeMap<&'static str, usize> = BTreeMap::new();
    let scripts = (0..cases).map(Script::draw);
    scripts.flat_map(|script| script.steps).for_each(|(_, step)| *kinds.entry(step.kind()).or_default() += 1);
    println!("{cases} scripts, {} steps: {kinds:?}", kinds.values().sum::<usize>());
    assert_eq!(kinds.len(), Step::KINDS, "every kind of step is drawn: {kinds:?}");
    let coverage = Arc::default();
    if let Some((seed, script)) = explore(0..cases, None, &coverage) {
        println!("seed {seed} fails");
        let (script, why) = shrunk(&script, None);
        panic!("seed {seed}: {why}\n{script}");
    }
    println!("{coverage:?}");
    assert_eq!(coverage.lacks(), [""; 0], "these never happened");
}

/// What a shrunk script has at most: steps, and pauses and numbers in all.
const STEPS_MAX: usize = 3;
const SIZE_MAX: u64 = 100;

fn is_caught(lie: Lie) {
    let (shortest, _) = caught(lie);
    assert!(shortest.steps.len() <= STEPS_MAX && shortest.size() <= SIZE_MAX, "{shortest}");
}

/// ... because of this, in a script with so few steps. How long they take is the cluster's.
fn is_caught_for(lie: Lie, reason: &str) {
    let (shortest, why) = caught(lie);
    assert!(shortest.steps.len() <= STEPS_MAX, "{shortest}");
    assert!(why.contains(reason), "{why}\n{shortest}");
}

/// The shortest script that shows the lie, and what the judge says of it.
fn caught(lie: Lie) -> (Script, String) {
    let Some((seed, script)) = explore(0..40, Some(lie), &Arc::default()) else {
        panic!("{lie:?} is not noticed")
    };
    let (shortest, why) = shrunk(&script, Some(lie));
    println!(
        "{lie:?}: seed {seed}, {} steps shrunk to {}: {why}\n{shortest}",
        script.steps.len(),
        shortest.steps.len()
    );
    (shortest, why)
}

#[test]
fn a_host_that_forgets_requests_is_caught() {
    is_caught(Lie::ForgetsRequests);
}

#[test]
fn a_host_that_forgets_sequences_is_caught() {
    is_caught(Lie::ForgetsSequences);
}

#[test]
fn a_host_that_loses_messages_is_caught() {
    is_caught(Lie::LosesMessages);
}

#[test]
fn a_host_that_calls_twice_is_caught() {
    is_caught(Lie::CallsTwice);
}

#[test]
fn a_host_that_gives_its_calls_new_keys_is_caught() {
    is_caught(Lie::RenamesCalls);
}

#[test]
fn a_host_that_decides_again_what_it_did_not_hear_of_is_caught() {
    is_caught(Lie::RenamesUnheard);
}

#[test]
fn a_host_that_takes_an_unknown_commit_for_failed_is_caught() {
    is_caught(Lie::Habit("unknown-taken-for-failed"));
}

#[test]
fn a_host_that_takes_an_unknown_commit_for_done_is_caught() {
    is_caught(Lie::Habit("unknown-taken-for-committed"));
}

#[test]
fn a_host_that_publishes_out_of_order_is_caught() {
    is_caught(Lie::Habit("outbox-reversed"));
}

#[test]
fn a_host_that_applies_out_of_order_is_caught() {
    is_caught(Lie::AppliesBackwards);
}

#[test]
fn a_host_that_ignores_claims_is_caught() {
    is_caught_for(Lie::Habit("claim-ignored"), "moved under a claim that was void");
}

#[test]
fn a_host_that_commits_its_position_first_is_caught() {
    is_caught(Lie::Habit("position-first"));
}

#[test]
fn a_host_whose_timers_fire_twice_is_caught() {
    is_caught(Lie::FiresTwice);
}
