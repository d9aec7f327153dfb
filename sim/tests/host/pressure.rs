//! An hour's queue before a service, or behind it: it drains in order, and a host holds no more of it at a time than
//! its settings say.
//!
//! What a host holds is counted at its ports, and measured: a process whose hosts were away for an hour peaks hardly
//! higher than one whose hosts took each message as it came. All else (log, database, clients) is the same in both.

use std::process::Command;

use host::HostSettings;
use serde_json::json;
use sim::world::life::End;

use crate::bench::{self, Bench, HOSTS, KAFKA};

const STREAMS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "x", "y"];
/// Messages of each stream.
const EACH: u64 = 1_250;
/// The client's `max.poll.records`, which is Kafka's own default.
const POLL_RECORDS_MAX: usize = 500;
/// What fills a message. All of them are 39 MiB.
const PADDING: usize = 4_096;
/// What the clients of two hosts may have fetched ahead: `max.partition.fetch.bytes` of each of six partitions; and
/// the allocator's noise.
const GROWTH_KIB_MAX: u64 = 2 * 6 * 1_024 + 4_096;
/// Tells a child process whether its hosts are `away` or `there`.
const HOSTS_ARE: &str = "BELLWETHER_HOSTS_ARE";

/// An hour of messages.
async fn an_hour_of_messages(bench: &Bench, padding: usize) {
    for first in (1..=EACH).step_by(50) {
        let sequences = first..first + 50;
        let chunk: Vec<(&str, u64)> =
            sequences.flat_map(|sequence| STREAMS.map(|stream| (stream, sequence))).collect();
        bench.send_padded(&chunk, padding).await;
        bench.wait_us(144_000_000).await;
    }
}

async fn drains_in_order(bench: &Bench) {
    let drained = || bench.taken() == STREAMS.map(|stream| (stream, EACH));
    bench.eventually(120, "the queue is drained", drained).await;
    let in_order: Vec<u64> = (1..=EACH).collect();
    assert!(STREAMS.iter().all(|stream| bench.added(stream) == in_order));
    assert_eq!((bench.rows("parked"), bench.rows("dead_letters")), (0, 0));
    bench.eventually(60, "all is published", || bench.published().len() == 10_000).await;
}

#[test]
fn ten_thousand_queued_messages_drain_in_order() {
    bench::run(2, async |bench: Bench| {
        HOSTS.iter().for_each(|host| bench.world.kill(*host, 0, End::Process));
        an_hour_of_messages(&bench, 0).await;
        HOSTS.iter().for_each(|host| bench.world.start(*host, 0));
        drains_in_order(&bench).await;
        let transactions: u64 = bench.counters.iter().map(|host| host.transactions.get()).sum();
        assert!(transactions < 400, "batches, not single messages: {transactions}");
        let (settings, tally) = (HostSettings::default(), &bench.sabotage.tally);
        assert_eq!(tally.events_max.get(), settings.batch_size, "full batches, and none fuller");
        assert!(tally.polled_max.get() <= POLL_RECORDS_MAX, "{} records at a time", tally.polled_max.get());
        assert!(tally.polled_max.get() > settings.batch_size, "there was more than a batch to be had");
        assert!(tally.rows_max.get() <= settings.page_size, "{} rows at a time", tally.rows_max.get());
        assert!(
            tally.sending_max.get() <= 2 * settings.page_size,
            "{} on their way",
            tally.sending_max.get()
        );
    });
}

#[test]
fn an_outbox_that_grew_while_the_broker_was_away_drains_in_order() {
    const ROUNDS: u64 = 100;
    let settings = HostSettings { page_size: 50, ..HostSettings::default() };
    bench::run_with(2, settings.clone(), async move |bench: Bench| {
        bench.world.kill(KAFKA, 0, End::Process);
        for round in 0..ROUNDS {
            let keys = STREAMS.map(|stream| format!("{stream}-{round}"));
            let bodies = STREAMS.map(|stream| json!({ "name": stream, "by": 1 }));
            let calls = keys.iter().zip(&bodies).map(|(key, body)| bench.post("increments", key, body));
            let answers = futures::future::join_all(calls).await;
            assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
            bench.wait_us(36_000_000).await;
        }
        let waiting = STREAMS.len() * ROUNDS as usize;
        assert_eq!(bench.unsent(), waiting, "decisions need no broker");
        bench.world.start(KAFKA, 0);
        bench.eventually(300, "all is published", || bench.unsent() == 0).await;
        bench.assert_no_gap("an hour's outbox");
        assert_eq!(bench.published().len(), waiting);
        let tally = &bench.sabotage.tally;
        assert_eq!(tally.rows_max.get(), settings.page_size, "full pages, and none fuller");
        // A lane takes rows until a page of them is found, from pages of which each may add as many; two partitions.
        let lanes_max = 2 * 2 * settings.page_size;
        assert!(tally.sending_max.get() <= lanes_max, "{} on their way", tally.sending_max.get());
        assert!(lanes_max < waiting / 2, "much less than what waits");
    });
}

/// The most memory that a process had whose hosts were away, or there, in KiB.
fn peak_of_a_child(hosts_are: &str) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this is a program"));
    child.args(["--exact", "pressure::takes_an_hour_of_messages", "--ignored", "--nocapture"]);
    let output = child.env(HOSTS_ARE, hosts_are).output().expect("this program starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let peak =
        said.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok());
    peak.unwrap_or_else(|| panic!("the child says no peak: {said}"))
}

#[test]
#[cfg(target_os = "linux")]
fn an_hour_that_waited_takes_hardly_more_memory_than_one_that_flowed() {
    let (flowed, waited) = (peak_of_a_child("there"), peak_of_a_child("away"));
    println!("flowed: peak at {flowed} KiB, waited: {waited} KiB");
    let queue = (STREAMS.len() as u64 * EACH) * PADDING as u64 / 1_024;
    assert!(flowed > queue, "the log holds all of it: {flowed} KiB");
    assert!(waited <= flowed + GROWTH_KIB_MAX, "flowed: peak at {flowed} KiB, waited: {waited} KiB");
    assert!(GROWTH_KIB_MAX < queue / 2, "who held the whole queue would be seen");
}

#[test]
#[ignore = "the child of an_hour_that_waited_takes_hardly_more_memory_than_one_that_flowed"]
fn takes_an_hour_of_messages() {
    let Ok(hosts_are) = std::env::var(HOSTS_ARE) else { return };
    bench::run(2, async move |bench: Bench| {
        let away: &[_] = if hosts_are == "away" { &HOSTS } else { &[] };
        away.iter().for_each(|host| bench.world.kill(*host, 0, End::Process));
        an_hour_of_messages(&bench, PADDING).await;
        away.iter().for_each(|host| bench.world.start(*host, 0));
        drains_in_order(&bench).await;
    });
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let peak = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux tells a peak");
    println!("\n{peak}");
}
