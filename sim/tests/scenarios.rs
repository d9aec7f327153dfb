//! Every scenario is a test, once per seed; outcomes of the seeds that a scenario names are committed snapshots.
//!
//! `SEEDS=1..200 cargo test --test scenarios` runs more seeds. A scenario whose recorded data is not there is ignored.

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use outside::plan::PlanError;
use scenario::Expect;
use sim::runner::evidence::Evidence;
use sim::runner::outcome::Outcome;
use sim::runner::pool;
use sim::runner::report::RunReport;
use sim::runner::seeds::Seeds;
use sim::runner::subject::{Subject, catalogue};
use sim::runner::verdict::Exit;

/// Runs with more operations take long: they have one seed, unless more are asked for.
const LONG: usize = 2_000;
/// Scenarios with this tag are there to measure with; what they run is run by others too.
const BENCH: &str = "bench";

fn main() {
    let arguments = Arguments::from_args();
    // Commands that are shown can be pasted in the workspace's root.
    std::env::set_current_dir(support::root()).expect("the workspace is there");
    let files = scenario::find(&["scenarios".into()]).expect("the scenarios are in the repository");
    let catalogue = catalogue();
    let subjects = files.iter().map(|file| {
        Arc::new(Subject::load(file, &catalogue, &[]).unwrap_or_else(|mistakes| panic!("{mistakes}")))
    });
    // Canaries are judged over many seeds, elsewhere.
    let passing = subjects.filter(|subject| subject.scenario.expect == Expect::Pass);
    let judged = passing.filter(|subject| !subject.scenario.tags.iter().any(|tag| tag == BENCH));
    let mut judged: Vec<Case> = judged.map(Case::of).collect();
    // The long ones first, so that no processor is left without work at the end.
    judged.sort_by_key(|case| std::cmp::Reverse(case.operations));
    let trials = judged.iter().flat_map(Case::trials).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

struct Case {
    subject: Arc<Subject>,
    /// In the plan of seed 1.
    operations: usize,
    data_is_missing: bool,
}

impl Case {
    fn of(subject: Arc<Subject>) -> Self {
        let plan = subject.plan(1);
        let data_is_missing = matches!(plan, Err(PlanError::File { .. }));
        Self { subject, operations: plan.map_or(0, |plan| plan.operations.len()), data_is_missing }
    }

    fn trials(&self) -> Vec<Trial> {
        let scenario = &self.subject.scenario;
        let trial = |seed| {
            let subject = self.subject.clone();
            let trial = Trial::test(format!("{}::seed_{seed}", scenario.name), move || run(&subject, seed));
            trial.with_ignored_flag(self.data_is_missing)
        };
        self.seeds().into_iter().map(trial).collect()
    }

    fn seeds(&self) -> Vec<u64> {
        if let Ok(asked) = std::env::var("SEEDS") {
            let asked: Seeds = asked.parse().expect("SEEDS reads like 1..200");
            return asked.iter().collect();
        }
        let few = if self.operations > LONG { Seeds::only(1) } else { Seeds { first: 1, last: 2 } };
        let mut seeds: Vec<u64> =
            few.iter().chain(self.subject.scenario.snapshot.seeds.iter().copied()).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    }
}

fn run(subject: &Arc<Subject>, seed: u64) -> Result<(), Failed> {
    let ran = subject.clone();
    let finished = pool::alone(move || ran.run(seed, Vec::new()));
    let report = RunReport::of(subject.clone(), seed, finished);
    if report.weight.alone() != Exit::AsExpected {
        let broken = report.end.violations.first();
        let evidence = broken.map(|broken| Evidence::of(subject, seed, broken)).unwrap_or_default();
        return Err(report.failure(&evidence).into());
    }
    if subject.scenario.snapshot.seeds.contains(&seed) {
        let name = format!("{}-seed-{seed}", subject.scenario.name);
        insta::with_settings!({
            snapshot_path => support::root().join("snapshots/outcomes"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
            description => format!("Settlement outcome of {}", subject.command("run", seed)),
        }, {
            insta::assert_snapshot!(name, rendered(&report, &report.end.outcome));
        });
    }
    Ok(())
}

/// The counts, and a line per account: its cash at the bank and its settled shares of each instrument.
fn rendered(report: &RunReport, outcome: &Outcome) -> String {
    let counts = &report.end.counts;
    let minute = outcome.at.get(..16).expect("a timestamp has minutes");
    let mut out = format!(
        "at rest {minute} UTC: {} trades, {} settled, {} failed, {} rejected, {} carried\n\n",
        counts.trades, counts.settled, counts.failed, counts.rejected, counts.carried
    );
    let instruments: BTreeSet<&String> = outcome.shares.values().flat_map(|held| held.keys()).collect();
    let _ = write!(out, "{:<8} {:>14}", "account", "cash");
    instruments.iter().for_each(|instrument| out += &format!(" {instrument:>5}"));
    out.push('\n');
    for (account, cash) in &outcome.cash {
        let held = outcome.shares.get(account);
        let _ = write!(out, "{account:<8} {cash:>14}");
        for instrument in &instruments {
            let shares = held.and_then(|held| held.get(*instrument)).map_or(String::new(), i64::to_string);
            let _ = write!(out, " {shares:>5}");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}
