//! The behaviours of `store-suite`, on the simulated PostgreSQL: one test each, in one thread, on a manual clock.

mod bench;
mod servers;

use libtest_mimic::{Arguments, Failed, Trial};
use store_suite::{ALL, Stage, Store};

use crate::bench::SimulatedBench;

fn main() {
    let trials = ALL.iter().map(|behaviour| {
        let run = || {
            let mut bench = SimulatedBench::new(behaviour.setup);
            (behaviour.run)(&mut Stage::new(&mut bench));
            bench.check_at_rest().map_err(Failed::from)
        };
        // Why it cannot be shown here is in the README of the suite.
        let lacks = behaviour.needs.iter().any(|power| Store::Simulated.lacks(*power).is_some());
        Trial::test(behaviour.name, run).with_ignored_flag(lacks)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
