//! Every error of a database at every place of every kind of transaction: nothing is lost or done twice, nobody is
//! told that it failed, and nobody tries again without a pause.

use serde_json::json;
use sim::world::life::End;

use crate::bench::{self, Bench, HOSTS};
use crate::sabotage::Trouble;

/// What a database says when it is full, shut down, starting, a standby, out of sessions, in conflict, too slow, ….
const SQLSTATES: [&str; 14] = [
    "40001", "40P01", "25006", "57P01", "57P02", "57P03", "53300", "53100", "25P03", "57014", "55P03",
    "08006", "23505", "XX000",
];
/// Pipelines that a day of this test has at least.
const PLACES: u64 = 50;
/// Answers to one pipeline come within some milliseconds: who tries again at once does so hundreds of times a second.
const PIPELINES_MAX: u64 = 400;

/// Two instances start, claim and acquire, then there is one of each kind of input.
async fn small_day(bench: &Bench, what: &str) {
    HOSTS.iter().for_each(|host| bench.world.kill(*host, 0, End::Process));
    bench.wait_us(1_000_000).await;
    HOSTS.iter().for_each(|host| bench.world.start(*host, 0));
    let commands = async {
        for (path, name) in [("increments", "a"), ("ticks", "b"), ("pings", "c")] {
            let key = format!("k-{name}");
            let first = bench.post_until_decided(path, &key, &json!({ "name": name, "by": 2 })).await;
            let again = bench.post_until_decided(path, &key, &json!({ "name": name, "by": 2 })).await;
            assert!(first.0 < 300 && first == again, "{what}: {first:?}, {again:?}");
        }
    };
    let messages = bench.send(&[("x", 1), ("x", 3), ("x", 2), ("y", 1)]);
    futures::future::join(commands, messages).await;
    let done = || {
        let added = ["a", "b", "c", "x", "y"].map(|name| bench.added(name));
        let empty = ["timers", "effects", "parked", "dead_letters", "attempts"];
        added == [vec![2], vec![1, 1], vec![100], vec![1, 2, 3], vec![1]]
            && empty.iter().all(|table| bench.rows(table) == 0)
            && bench.unsent() == 0
            && bench.published().len() == 8
    };
    bench.eventually(400, what, done).await;
    assert_eq!(bench.first_visible("x"), [1, 2, 3], "{what}");
    bench.assert_no_gap(what);
}

fn at_every_place(trouble: Trouble, times: u64) {
    for at in 0..PLACES {
        bench::run(2, async move |bench: Bench| {
            let what = format!("{trouble:?}, {times} times from pipeline {at} on");
            bench.sabotage.begin(at, trouble, times);
            let begun = bench.world.now_ns();
            small_day(&bench, &what).await;
            let seconds = (bench.world.now_ns() - begun).unsigned_abs() / 1_000_000_000;
            let pipelines = bench.sabotage.pipelines.get();
            assert!(pipelines < PIPELINES_MAX + 2 * seconds, "{what}: {pipelines} pipelines in {seconds} s");
        });
    }
}

#[test]
fn a_day_has_as_many_pipelines_as_are_tried() {
    bench::run(2, async |bench: Bench| {
        bench.sabotage.begin(u64::MAX, Trouble::LostAfter, 0);
        small_day(&bench, "no trouble").await;
        assert!(bench.sabotage.pipelines.get() >= PLACES, "{} pipelines", bench.sabotage.pipelines.get());
    });
}

#[test]
fn every_sqlstate_once() {
    SQLSTATES.iter().for_each(|sqlstate| at_every_place(Trouble::Sqlstate(sqlstate), 1));
}

#[test]
fn every_sqlstate_many_times_in_a_row() {
    for sqlstate in ["40001", "25006", "57P03", "53100"] {
        at_every_place(Trouble::Sqlstate(sqlstate), 40);
    }
}

#[test]
fn a_connection_that_breaks_before_or_after_the_deed() {
    for times in [1, 3] {
        at_every_place(Trouble::LostBefore, times);
        at_every_place(Trouble::LostAfter, times);
    }
}
