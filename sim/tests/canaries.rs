//! Every canary is found by the invariant that it names, and passes without what it plants; every invariant, every
//! habit and every case of the guarantees has a canary.
//!
//! Cheap on purpose: a canary stops at its first hit. `cargo sim canaries` runs them all under twenty seeds.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use invariants::oracles;
use libtest_mimic::{Arguments, Failed, Trial};
use scenario::{Expect, Scenario};
use sim::guarantees::{CASES, Case, Setting};
use sim::runner::pool;
use sim::runner::report::RunReport;
use sim::runner::subject::{Subject, catalogue};
use sim::runner::verdict::{Exit, Weight};

/// Under how many seeds each must be found.
const SEEDS: u64 = 10;

fn main() {
    let arguments = Arguments::from_args();
    std::env::set_current_dir(support::root()).expect("the workspace is there");
    let files = scenario::find(&["scenarios/canaries".into()]).expect("the canaries are in the repository");
    let catalogue = catalogue();
    let load = |file| Subject::load(file, &catalogue, &[]).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let canaries: Vec<Arc<Subject>> = files.iter().map(|file| Arc::new(load(file))).collect();
    let mut trials: Vec<Trial> = canaries.iter().map(|canary| found(canary.clone())).collect();
    let (all, habits) = (canaries.clone(), catalogue.habits.iter().map(|habit| habit.name.clone()).collect());
    trials.push(Trial::test("every_invariant_has_a_canary", move || every_invariant(&all)));
    let all = canaries.clone();
    trials.push(Trial::test("the_table_has_every_canary", move || in_the_table(&all)));
    let all = canaries.clone();
    trials.push(Trial::test("every_case_of_the_guarantees_has_a_canary", move || every_case(&all)));
    trials.push(Trial::test("every_habit_has_a_canary", move || every_habit(&canaries, &habits)));
    libtest_mimic::run(&arguments, trials).exit();
}

fn found(canary: Arc<Subject>) -> Trial {
    let name = format!("{}::is_found_and_passes_without_sabotage", canary.scenario.name);
    Trial::test(name, move || {
        let seed = first_hit(&canary)?;
        let clean = Arc::new(Subject::clone(&canary).without_sabotage());
        let report = run(&clean, seed);
        match report.weight.alone() {
            Exit::AsExpected => Ok(()),
            _ => Err(report.line().into()),
        }
    })
}

/// The first seed under which the named invariant breaks; no other may break before.
fn first_hit(canary: &Arc<Subject>) -> Result<u64, Failed> {
    for seed in 1..=SEEDS {
        let report = run(canary, seed);
        match report.weight {
            Weight::Met => return Ok(seed),
            Weight::NotMet => {}
            Weight::Exit(_) => return Err(report.line().into()),
        }
    }
    let invariant = &canary.scenario.expect;
    Err(format!("{} is not found under {SEEDS} seeds: {invariant:?}", canary.scenario.name).into())
}

fn run(subject: &Arc<Subject>, seed: u64) -> RunReport {
    let ran = subject.clone();
    let finished = pool::alone(move || ran.run(seed, Vec::new()));
    RunReport::of(subject.clone(), seed, finished)
}

/// Figures are what `cargo sim canaries --write` measured; which canaries there are is checked here.
fn in_the_table(canaries: &[Arc<Subject>]) -> Result<(), Failed> {
    let readme = std::fs::read_to_string("scenarios/canaries/README.md")?;
    let is_missing = |name: &str, invariant: &str| {
        !readme.lines().any(|line| line.starts_with(&format!("| [{name}]({name}.toml) | {invariant} |")))
    };
    let missing = canaries.iter().filter_map(|canary| match &canary.scenario.expect {
        Expect::Violation(invariant) => {
            let name = canary.scenario.name.as_str();
            is_missing(name, invariant).then_some(name)
        }
        Expect::Pass => None,
    });
    nothing_in(missing.collect(), "scenarios/canaries/README.md does not tell of")
}

fn every_invariant(canaries: &[Arc<Subject>]) -> Result<(), Failed> {
    let expected: BTreeSet<&str> = canaries
        .iter()
        .filter_map(|canary| match &canary.scenario.expect {
            Expect::Violation(invariant) => Some(invariant.as_str()),
            Expect::Pass => None,
        })
        .collect();
    let invariants = oracles::all();
    let without = invariants.iter().map(|invariant| invariant.name()).filter(|name| !expected.contains(name));
    nothing_in(without.collect(), "no canary expects a violation of")
}

/// What the table of guarantees says may break breaks: a canary has the settings and the faults of the case, plants
/// no habit, and expects an invariant that the case names.
fn every_case(canaries: &[Arc<Subject>]) -> Result<(), Failed> {
    let shows = |case: &Case, canary: &Scenario| {
        let Expect::Violation(expected) = &canary.expect else { return false };
        canary.sabotage.is_empty()
            && case.may_break.contains(&expected.as_str())
            && (case.when)(Setting::of(canary))
            && (case.blames)(canary).is_some()
    };
    let is_shown = |case: &Case| canaries.iter().any(|canary| shows(case, &canary.scenario));
    let without = CASES.iter().filter(|case| !case.may_break.is_empty() && !is_shown(case));
    nothing_in(without.map(|case| case.name).collect(), "no canary shows the case")
}

fn every_habit(canaries: &[Arc<Subject>], habits: &BTreeSet<String>) -> Result<(), Failed> {
    let planted = canaries.iter().flat_map(|canary| &canary.scenario.sabotage);
    let planted: BTreeSet<&str> = planted.map(|planted| planted.habit.as_str()).collect();
    let unused = habits.iter().map(String::as_str).filter(|habit| !planted.contains(habit));
    nothing_in(unused.collect(), "no canary plants")
}

fn nothing_in(names: Vec<&str>, complaint: &str) -> Result<(), Failed> {
    if names.is_empty() { Ok(()) } else { Err(format!("{complaint} {}", names.join(", ")).into()) }
}
