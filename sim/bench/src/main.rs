//! How fast the simulated Kafka is, beside madsim-rdkafka's simulator and beside madsim's bare messages.
//!
//! Records of 120 bytes, written in batches and read by a group; and an idle cluster of three brokers with twenty consumers, in
//! simulated seconds. Counted in seconds of one core: the time that a run's only thread was on a processor, which other
//! work on the machine makes no longer, but for the caches it takes. All contestants run in turn, round after round; each
//! figure is the median of its rounds. Needs Linux, whose `schedstat` tells a thread's time.
//!
//! Run it with `cargo run --profile sim -p kafka-bench`. After `--`, a word runs only those that have it in their names,
//! and a number is that of rounds.

mod idle;
mod messages;
mod other;
mod ours;

use std::sync::Arc;

use sim::runner::pool::{self, Ended};

use crate::idle::Pulse;

/// Bytes of a record's value.
const RECORD_BYTES: usize = 120;
const ROUNDS: usize = 7;
/// Records of a batch, and of a run with such batches.
const BATCHES: [(usize, usize); 3] = [(1, 30_000), (100, 1_000_000), (1_000, 2_000_000)];
const MESSAGES: usize = 1_000_000;

struct Contestant {
    name: String,
    /// What it does much of, and how much in a run.
    unit: &'static str,
    amount: f64,
    run: Arc<dyn Fn() + Send + Sync>,
}

impl Contestant {
    fn new(name: String, unit: &'static str, amount: f64, run: impl Fn() + Send + Sync + 'static) -> Self {
        Self { name, unit, amount, run: Arc::new(run) }
    }

    /// What a run does in a second of its thread.
    fn rate(&self) -> f64 {
        let run = self.run.clone();
        let seconds = pool::alone(move || {
            let begun = seconds_on_a_processor();
            run();
            seconds_on_a_processor() - begun
        });
        match seconds.ended {
            Ended::Returned(seconds) => self.amount / seconds,
            Ended::Panicked(why) => panic!("{why}"),
            Ended::OverLimit(limit) => panic!("longer than {limit:?}"),
        }
    }
}

/// Of this thread so far.
fn seconds_on_a_processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    let nanoseconds = stat.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.expect("the first number is the time on a processor") / 1e9
}

fn contestants() -> Vec<Contestant> {
    let mut all = Vec::new();
    for (batch, records) in BATCHES {
        let amount = records as f64;
        let name = |who: &str| format!("{who}, {batch} a batch");
        all.push(Contestant::new(name("here"), "records", amount, move || ours::run(records, batch)));
        all.push(Contestant::new(name("madsim-rdkafka"), "records", amount, move || {
            other::run(records, batch);
        }));
    }
    let bare = Contestant::new("madsim's own messages".to_owned(), "messages", MESSAGES as f64, || {
        messages::run(MESSAGES);
    });
    all.push(bare);
    for (name, profile, hours) in idle::PROFILES {
        let run = move || {
            idle::run(profile(), *hours);
        };
        let name = format!("idle here, {name}");
        all.push(Contestant::new(name, "simulated seconds", hours * 3_600.0, run));
    }
    all
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() {
    let mut contestants = contestants();
    let mut rounds = ROUNDS;
    for argument in std::env::args().skip(1) {
        match argument.parse() {
            Ok(number) => rounds = number,
            Err(_) => contestants.retain(|contestant| contestant.name.contains(&argument)),
        }
    }
    let mut rates = vec![Vec::new(); contestants.len()];
    for _ in 0..rounds.max(1) {
        for (contestant, rates) in contestants.iter().zip(&mut rates) {
            rates.push(contestant.rate());
        }
    }
    println!("| | a second of one core | slowest, fastest |");
    println!("|---|---|---|");
    for (Contestant { name, unit, .. }, rates) in contestants.iter().zip(&mut rates) {
        let median = median(rates);
        let (slowest, fastest) = (rates[0], rates[rates.len() - 1]);
        println!("| {name} | {median:.0} {unit} | {slowest:.0}, {fastest:.0} |");
    }
    for (name, profile, _) in idle::PROFILES {
        let Ended::Returned(Pulse { messages, wakeups }) = pool::alone(|| idle::run(profile(), 1.0)).ended
        else {
            panic!("an idle hour ends");
        };
        println!("\nIdle, {name}: {messages:.1} messages and {wakeups:.1} wake-ups each simulated second.");
    }
}
