//! The behaviours of `kafka-suite` on simulated clients and brokers: one test each, under several seeds.
//!
//! A seed draws latencies, stalls, lost answers of clients that bear them, and every choice of the clients. A random workload's
//! history is judged too, and the histories of set-ups that are wrong on purpose. `KAFKA_SUITE_SEEDS=100` runs more seeds.

mod canaries;
mod cluster;
mod consumer;
mod producer;
mod settings;
mod state;
mod world;

use std::rc::Rc;

use futures::future::LocalBoxFuture;
use kafka_suite::history::{Plan, check, workload};
use kafka_suite::{Kind, Stage};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::cluster::{Peculiar, SimCluster};

const SEEDS: u64 = 4;

fn seeds() -> u64 {
    let asked = std::env::var("KAFKA_SUITE_SEEDS").ok();
    asked.map_or(SEEDS, |asked| asked.parse().expect("KAFKA_SUITE_SEEDS is a number"))
}

fn show(run: impl Fn(Stage) -> LocalBoxFuture<'static, ()>) -> Result<(), Failed> {
    for seed in 1..=seeds() {
        let (world, cluster) = SimCluster::new(seed, Peculiar::default());
        let stage = Stage::new(Rc::new(cluster), "suite");
        let future = run(stage);
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run(future)));
        shown.map_err(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panics");
            format!("seed {seed}: {said}")
        })?;
    }
    Ok(())
}

async fn random_history(stage: Stage) {
    let history = workload(&stage, Plan { processes: 4, partitions: 3, transactions: 60 }).await;
    assert_eq!(check(&history), []);
    assert!(history.logs.values().flatten().count() > 100, "it says something");
}

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for behaviour in kafka_suite::all() {
        let is_ignored = Kind::Simulated.lacks(behaviour).is_some();
        trials.push(Trial::test(behaviour.name, || show(behaviour.run)).with_ignored_flag(is_ignored));
    }
    let history = || show(|stage| Box::pin(random_history(stage)));
    trials.push(Trial::test("a_random_history_has_no_anomaly", history));
    trials.extend(canaries::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
