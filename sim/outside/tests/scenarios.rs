//! Every committed scenario has a plan, with as many operations as its loads say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use outside::plan::{Ask, Intent, Plan, Workloads};
use outside::{Draw, Streams};
use scenario::{Calendar, Catalogue, Drawn, Pace, Scenario};

/// Weyl's sequence, mixed a little: the simulator has better.
struct Mixed(u64);

impl Draw for Mixed {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 29)
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn scenarios() -> Vec<Scenario> {
    let invariants = invariants::oracles::all();
    let marks = invariants::marks::all();
    let catalogue = Catalogue::standard(
        invariants.iter().map(|invariant| invariant.name()),
        marks.iter().map(|mark| mark.name()),
    );
    let files =
        scenario::find(&[repository().join("scenarios/market")]).expect("the scenarios are committed");
    assert!(files.len() >= 12, "only {} scenarios", files.len());
    let load = |file: &PathBuf| {
        scenario::load(file, &catalogue, &[]).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    };
    files.iter().map(load).collect()
}

fn draw(scenario: &Scenario) -> Plan {
    // One execution, for scenarios that replay a file: the real one is tested elsewhere.
    let files = |_: &str| Ok("34201,4,1,100,5853300,1\n".to_owned());
    let streams: &mut Streams<'_> = &mut |label: &str| {
        let seed = label.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        Box::new(Mixed(seed))
    };
    let plan = Plan::draw(scenario, &Calendar::xnys(), &Workloads::standard(), &files, streams);
    plan.unwrap_or_else(|error| panic!("{}: {error}", scenario.name))
}

#[test]
fn counts_are_exact_in_every_scenario() {
    let calendar = Calendar::xnys();
    for scenario in scenarios() {
        let plan = draw(&scenario);
        let run = scenario.run(&calendar).expect("the loader has checked it");
        assert!(plan.operations.iter().all(|operation| operation.at >= run.start), "{}", scenario.name);
        for load in &scenario.loads {
            let Pace::Count(Drawn::Fixed(count)) = load.pace else { continue };
            let windows = load.windows(&run, &calendar).expect("the loader has checked it").len();
            let of_load = plan
                .operations
                .iter()
                .filter(|operation| operation.key.starts_with(&format!("{}-", load.name)));
            let keys: BTreeSet<&str> = of_load
                .filter(|operation| !matches!(operation.ask, Ask::Get { .. }))
                .map(|operation| operation.key.as_str())
                .collect();
            assert_eq!(keys.len() as u64, count * windows as u64, "{}: {}", scenario.name, load.name);
        }
    }
}

/// What the standard day promises about settled trades rests on this share of sound ones.
#[test]
fn nearly_all_trades_of_the_full_day_are_sound() {
    let full_day =
        scenarios().into_iter().find(|scenario| scenario.name == "full_day").expect("it is committed");
    let plan = draw(&full_day);
    let trades = plan.operations.iter().filter(|operation| operation.ask.trade().is_some());
    let sound = trades.filter(|operation| operation.intent == Intent::Ordinary).count();
    assert!((9_800..10_000).contains(&sound), "{sound}");
}
