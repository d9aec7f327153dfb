//! The same random scripts on the simulated and on the real store: every session is told the same.
//!
//! `SCRIPTS` is how many there are, `SCRIPTS_SEED` which: a failure is shrunk to a short script and shown as what
//! the two stores told, side by side.

use std::cell::RefCell;
use std::collections::BTreeMap;

use libtest_mimic::Failed;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use store_suite::script::{Script, play, scripts};
use store_suite::{Setup, Stage, tables};

use crate::bench::RealBench;
use crate::place::Ground;
use crate::simulated::SimulatedBench;

/// Deadlocks are not looked for: the script ends where all wait.
const SETUP: Setup = Setup { deadlock_timeout_ms: 600_000, ..Setup::DEFAULT };

pub fn run(ground: &Ground) -> Result<(), Failed> {
    let place = ground.database("scripts", SETUP)?;
    let mut real = RealBench::new(place);
    let names: Vec<&str> = tables::ALL.iter().map(|table| table.name).collect();
    let names = names.join(", ");
    let config = Config { cases: number("SCRIPTS", 60), failure_persistence: None, ..Config::default() };
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&number("SCRIPTS_SEED", 1).to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let (real, seen) = (RefCell::new(&mut real), RefCell::new(BTreeMap::new()));
    let result = runner.run(&scripts(), |script| {
        let real = &mut **real.borrow_mut();
        real.clear(&names).map_err(TestCaseError::fail)?;
        let told = compare(real, &script)?;
        note(&told, &mut seen.borrow_mut());
        Ok(())
    });
    result.map_err(|error| match error {
        // The statements are told in it, line by line.
        TestError::Fail(why, _) => Failed::from(why.message()),
        TestError::Abort(why) => Failed::from(why.message()),
    })?;
    let seen = seen.into_inner();
    println!("met by random scripts: {seen:?}");
    let missed: Vec<&str> = MUST_SEE.iter().copied().filter(|mark| !seen.contains_key(mark)).collect();
    if missed.is_empty() { Ok(()) } else { Err(format!("never met: {missed:?}").into()) }
}

/// Without these the scripts say little.
const MUST_SEE: [&str; 6] = ["23505", "40001", "55P03", "Changed(0)", "Changed(1)", WAITED];
const WAITED: &str = "answered after waiting";

fn note(told: &[String], seen: &mut BTreeMap<&'static str, usize>) {
    for mark in MUST_SEE {
        let waited = |pair: &[String]| pair[0].contains(" is told ") && pair[1].contains(" is told ");
        let is_met = match mark {
            WAITED => told.windows(2).any(waited),
            mark => told.iter().any(|line| line.contains(mark)),
        };
        *seen.entry(mark).or_default() += usize::from(is_met);
    }
    seen.retain(|_, count| *count > 0);
}

/// What both were told.
fn compare(real: &mut RealBench, script: &Script) -> Result<Vec<String>, TestCaseError> {
    let on_real = play(&mut Stage::new(real), script);
    let mut simulated = SimulatedBench::new(SETUP);
    let on_simulated = play(&mut Stage::new(&mut simulated), script);
    simulated.check_at_rest().map_err(TestCaseError::fail)?;
    if on_real == on_simulated {
        return Ok(on_real);
    }
    let same = on_real.iter().zip(&on_simulated).take_while(|(real, simulated)| real == simulated).count();
    let list = |lines: &[String]| lines.iter().map(|line| format!("\n    {line}")).collect::<String>();
    Err(TestCaseError::fail(format!(
        "after{}\n  the real store says{}\n  the simulated store says{}",
        list(&on_real[..same]),
        list(&on_real[same..]),
        list(&on_simulated[same..])
    )))
}

fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}
