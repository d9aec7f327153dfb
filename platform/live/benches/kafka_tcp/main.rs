//! How fast librdkafka is on the simulated brokers over TCP, beside Apache Kafka on the same machine.
//!
//! Both are there from the beginning, three brokers each, and take turns round after round: a new topic of three partitions
//! with three replicas is written with acks=all and read by a group, each record of 120 bytes once. The first round warms up
//! both (and Java's compiler) and does not count. Each figure is the median of the others.
//!
//! Run it with `cargo bench --profile sim -p live --bench kafka_tcp`, or with a number of rounds after `--`. Needs Java 17 and
//! Maven, as `sim/kafka/tests/apache_kafka.sh` does; without them only our brokers are measured, and it says so.

mod apache;
mod client;

use kafka::tcp::{Server, ServerConfig};

use crate::apache::Apache;
use crate::client::Job;

const ROUNDS: usize = 5;
/// `batch.num.messages` of the producer, with the records of a round.
const JOBS: [Job; 2] = [Job { batch: 100, records: 300_000 }, Job { batch: 10_000, records: 1_000_000 }];

/// Settings that both have, beside their defaults: nobody waits for more members of a group.
const SETTINGS: [(&str, &str); 4] = [
    ("group.initial.rebalance.delay.ms", "0"),
    ("offsets.topic.num.partitions", "3"),
    ("min.insync.replicas", "2"),
    ("default.replication.factor", "3"),
];

struct Contestant {
    name: String,
    bootstrap: String,
    /// Records a second: written and read, by job.
    rates: [(Vec<f64>, Vec<f64>); JOBS.len()],
}

impl Contestant {
    fn new(name: String, bootstrap: String) -> Contestant {
        Contestant { name, bootstrap, rates: Default::default() }
    }
}

fn ours() -> Server {
    let set = |config: ServerConfig, (name, value): (&str, &str)| {
        config.with_setting(name, value).unwrap_or_else(|error| panic!("{error}"))
    };
    let config = SETTINGS.into_iter().fold(ServerConfig::loopback(3), set);
    Server::start(config).expect("ports are free")
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() {
    let rounds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    let server = ours();
    let mut contestants = vec![Contestant::new("here".to_owned(), server.bootstrap())];
    let apache = Apache::start(&SETTINGS);
    match &apache {
        Ok(apache) => contestants
            .push(Contestant::new(format!("Apache Kafka {}", apache.version), apache.bootstrap.clone())),
        Err(why) => eprintln!("Apache Kafka is not measured: {why}"),
    }
    for round in 0..=rounds {
        for contestant in &mut contestants {
            for (job, rates) in JOBS.iter().zip(&mut contestant.rates) {
                let (written, read) = job.run(&contestant.bootstrap);
                eprintln!(
                    "round {round}, {}, {} a batch: {written:.0} written, {read:.0} read a second",
                    contestant.name, job.batch
                );
                if round > 0 {
                    rates.0.push(written);
                    rates.1.push(read);
                }
            }
        }
    }
    print(&mut contestants);
}

fn print(contestants: &mut [Contestant]) {
    println!("| records a batch, at most | | records written a second | records read a second |");
    println!("|---|---|---|---|");
    for (number, job) in JOBS.iter().enumerate() {
        for contestant in &mut *contestants {
            let (written, read) = &mut contestant.rates[number];
            let (written, read) = (median(written), median(read));
            println!("| {} | {} | {written:.0} | {read:.0} |", job.batch, contestant.name);
        }
    }
}
