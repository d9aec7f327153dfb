//! Every committed scenario has a plan, with as many operations as its loads say.

mod support;

use std::collections::BTreeSet;

use outside::plan::{Ask, Intent};
use scenario::{Calendar, Drawn, Pace};
use sim::runner::subject::{Subject, catalogue};

const SEED: u64 = 1;

fn subjects() -> Vec<Subject> {
    let root = support::root();
    std::env::set_current_dir(&root).expect("the workspace is there");
    let files = scenario::find(&[root.join("scenarios")]).expect("the scenarios are committed");
    let catalogue = catalogue();
    let load = |file: &std::path::PathBuf| {
        Subject::load(file, &catalogue, &[]).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    };
    files.iter().map(load).collect()
}

#[test]
fn counts_are_exact_in_every_scenario() {
    let calendar = Calendar::xnys();
    for subject in subjects() {
        let scenario = &subject.scenario;
        let plan = subject.plan(SEED).unwrap_or_else(|error| panic!("{}: {error}", scenario.name));
        let run = scenario.run(&calendar).expect("the loader has checked it");
        assert!(plan.operations.iter().all(|operation| operation.at >= run.start), "{}", scenario.name);
        for load in &scenario.loads {
            let Pace::Count(Drawn::Fixed(count)) = load.pace else { continue };
            let windows = load.windows(&run, &calendar).expect("the loader has checked it").len();
            let of_load = plan
                .operations
                .iter()
                .filter(|operation| operation.key.starts_with(&format!("{}-", load.name)));
            let keys: BTreeSet<(&str, &str)> = of_load
                .filter(|operation| !matches!(operation.ask, Ask::Get { .. }))
                .map(|operation| (operation.client.as_str(), operation.key.as_str()))
                .collect();
            assert_eq!(keys.len() as u64, count * windows as u64, "{}: {}", scenario.name, load.name);
        }
    }
}

/// What the standard day promises about settled trades rests on this share of sound ones.
#[test]
fn nearly_all_trades_of_the_full_day_are_sound() {
    let full_day = subjects().into_iter().find(|subject| subject.scenario.name == "full_day");
    let plan = full_day.expect("it is committed").plan(SEED).expect("it has a plan");
    let trades = plan.operations.iter().filter(|operation| operation.ask.trade().is_some());
    let sound = trades.filter(|operation| operation.intent == Intent::Ordinary).count();
    assert!((9_800..10_000).contains(&sound), "{sound}");
}
