//! What the LogHost promises, shown by a small service of its own on the simulated world.
//!
//! The service counts what its input topic holds. Brokers, their controller and the network are the simulator's own; the
//! world is broken around the service, never inside it.

#[path = "log_host/bench.rs"]
mod bench;
#[path = "log_host/chaos.rs"]
mod chaos;
#[path = "log_host/counter.rs"]
mod counter;
#[path = "log_host/coverage.rs"]
mod coverage;
#[path = "log_host/judge.rs"]
mod judge;
#[path = "log_host/play.rs"]
mod play;
#[path = "log_host/script.rs"]
mod script;
#[path = "log_host/watched.rs"]
mod watched;

use bench::{Bench, HOSTS};
use judge::judge;
use sim::world::life::End;

fn numbers(name: &'static str, count: u64) -> Vec<(&'static str, u64)> {
    (1..=count).map(|number| (name, number)).collect()
}

#[test]
fn every_input_is_counted_and_told_of_once() {
    bench::run(async |bench: &Bench| {
        for name in ["a", "b", "c", "d"] {
            bench.send(&numbers(name, 40)).await;
        }
        judge(bench).await;
        let inputs = bench.counters.each_ref().map(|host| host.inputs.get());
        assert!(inputs.iter().all(|inputs| *inputs > 0) && inputs.iter().sum::<u64>() == 160, "{inputs:?}");
    });
}

#[test]
fn a_host_that_dies_at_any_moment_counts_each_input_once() {
    for after_us in (0..60).map(|step| step * 150) {
        bench::run(async move |bench: &Bench| {
            bench.send(&numbers("a", 5)).await;
            bench.wait_us(after_us).await;
            HOSTS.iter().for_each(|host| bench.world.kill(*host, 0, End::Process));
            bench.wait_ms(1_000).await;
            HOSTS.iter().for_each(|host| bench.world.start(*host, 0));
            bench.send(&numbers("a", 5)).await;
            judge(bench).await;
        });
    }
}

/// Its owner is paused until the group has given its partitions away, and goes on.
#[test]
fn a_zombie_commits_nothing() {
    for after_us in (0..20).map(|step| step * 400) {
        bench::run(async move |bench: &Bench| {
            bench.send(&numbers("a", 20)).await;
            bench.wait_us(after_us).await;
            bench.world.pause(HOSTS[0], 1);
            bench.wait_ms(20_000).await;
            bench.send(&numbers("a", 20)).await;
            bench.world.resume(HOSTS[0], 1);
            judge(bench).await;
        });
    }
}

#[test]
fn what_cannot_be_decoded_is_set_aside_and_the_rest_goes_on() {
    bench::run(async |bench: &Bench| {
        bench.send(&numbers("a", 2)).await;
        bench.send_garbage("a", b"\xff\xff").await;
        bench.send(&numbers("a", 2)).await;
        judge(bench).await;
        let letters: u64 = bench.counters.iter().map(|host| host.dead_letters.get()).sum();
        assert_eq!(letters, 1);
    });
}

/// Nothing is read that the snapshot stands for.
#[test]
fn a_changelog_may_lose_what_is_before_its_snapshot() {
    bench::run(async |bench: &Bench| {
        for _ in 0..3 {
            bench.send(&numbers("a", 30)).await;
        }
        judge(bench).await;
        assert!(bench.counters.iter().any(|host| host.snapshots.get() > 0));
        bench.drop_changelogs(60);
        restart(bench).await;
        bench.send(&numbers("a", 1)).await;
        assert_eq!(bench.settle(60).await, [].into());
        let told = bench.read(counter::OUTPUT, 0).await.len() + bench.read(counter::OUTPUT, 1).await.len();
        assert_eq!(told, 91);
    });
}

/// A state that is not known is not begun with.
#[test]
fn a_changelog_without_its_beginning_and_without_a_snapshot_stops_the_partition() {
    bench::run(async |bench: &Bench| {
        bench.send(&numbers("a", 10)).await;
        judge(bench).await;
        bench.drop_changelogs(3);
        restart(bench).await;
        bench.send(&numbers("a", 1)).await;
        assert_eq!(
            bench.settle(60).await.len(),
            1,
            "the partition of a stands, the others have nothing to do"
        );
    });
}

async fn restart(bench: &Bench) {
    HOSTS.iter().for_each(|host| bench.world.kill(*host, 0, End::Process));
    bench.wait_ms(1_000).await;
    HOSTS.iter().for_each(|host| bench.world.start(*host, 0));
}

/// Half of the partitions are another's at once, without waiting for a session to end.
#[test]
fn a_host_that_is_asked_to_end_finishes_and_leaves() {
    bench::run(async |bench: &Bench| {
        bench.send(&numbers("a", 40)).await;
        bench.send(&numbers("b", 40)).await;
        bench.world.ask_to_stop(HOSTS[0], 0);
        bench.wait_ms(1_000).await;
        assert!(!bench.world.is_running(HOSTS[0]), "it has ended");
        assert_eq!(bench.settle(10).await, [].into());
        judge(bench).await;
    });
}
