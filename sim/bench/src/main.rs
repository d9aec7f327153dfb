//! How fast the simulated Kafka is, beside madsim-rdkafka's simulator and beside madsim's bare messages.
//!
//! Records of 120 bytes, written in batches and read by a group, counted in wall time on one core; each figure is the median
//! of five runs, taken in turn. And an idle cluster of three brokers with twenty consumers, in simulated per wall seconds.
//! Run it with `cargo run --profile sim -p kafka-bench`.

mod idle;
mod messages;
mod other;
mod ours;

use std::time::Duration;

use sim::runner::pool::{self, Ended};
use sim::runner::wall::Stopwatch;

/// Bytes of a record's value.
const RECORD_BYTES: usize = 120;
const RUNS: usize = 5;
const BATCHES: [usize; 3] = [1, 100, 1_000];
/// Records of a run, by the size of its batches.
const RECORDS: [usize; 3] = [30_000, 1_000_000, 2_000_000];

type Measured = Box<dyn Fn() -> f64>;

/// What a task did in a wall second, on a thread of its own.
fn rate(amount: f64, task: impl FnOnce() + Send + 'static) -> f64 {
    let watch = Stopwatch::start();
    match pool::alone(task).ended {
        Ended::Returned(()) => {}
        Ended::Panicked(why) => panic!("{why}"),
        Ended::OverLimit(limit) => panic!("longer than {limit:?}"),
    }
    amount / seconds(watch.elapsed())
}

fn seconds(took: Duration) -> f64 {
    took.as_secs_f64()
}

/// Medians of several runs of each, taken in turn so that a slow moment of the machine hits all.
fn medians(tasks: &[Measured]) -> Vec<f64> {
    let mut rates = vec![Vec::new(); tasks.len()];
    for _ in 0..RUNS {
        for (task, rates) in tasks.iter().zip(&mut rates) {
            rates.push(task());
        }
    }
    let median = |mut rates: Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    rates.into_iter().map(median).collect()
}

fn main() {
    println!("| records a batch | here: records a second | madsim-rdkafka: records a second |");
    println!("|---|---|---|");
    for (batch, records) in BATCHES.into_iter().zip(RECORDS) {
        let amount = records as f64;
        let ours: Measured = Box::new(move || rate(amount, move || ours::run(records, batch)));
        let other: Measured = Box::new(move || rate(amount, move || other::run(records, batch)));
        let found = medians(&[ours, other]);
        println!("| {batch} | {:.0} | {:.0} |", found[0], found[1]);
    }
    const MESSAGES: usize = 1_000_000;
    let bare: Measured = Box::new(|| rate(MESSAGES as f64, || messages::run(MESSAGES)));
    println!("\nmadsim, bare messages a second: {:.0}", medians(&[bare])[0]);
    for (name, profile, hours) in idle::PROFILES {
        let idle: Measured = Box::new(move || rate(*hours * 3_600.0, move || idle::run(profile(), *hours)));
        println!("idle, 3 brokers and 20 consumers, {name}: {:.0} times real time", medians(&[idle])[0]);
    }
}
