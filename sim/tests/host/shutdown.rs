//! An orderly end: nothing is lost, nothing is done twice, and the other instance goes on at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use host::HostSettings;
use serde_json::json;
use sim::world::life::End;
use sim::world::network::rules::LinkEffect;

use crate::bench::{self, Bench, HOSTS, POSTGRES};
use crate::outside::Step;

const DONE: u64 = 10;
/// Longer than a lease, and than two looks at what is parked.
const TAKEN_OVER: u64 = 200;

#[test]
fn an_instance_that_is_asked_to_end_hands_everything_over() {
    bench::run(2, async |bench: Bench| {
        bench.eventually(DONE, "somebody has the duties", || bench.holder().is_some()).await;
        let (first, second) = match bench.holder() {
            Some(holder) if holder == HOSTS[0] => (HOSTS[0], HOSTS[1]),
            _ => (HOSTS[1], HOSTS[0]),
        };
        let keys: Vec<String> = (0..100).map(|number| format!("k-{number}")).collect();
        let add = json!({ "name": "a", "by": 1 });
        let calls = keys.iter().enumerate().map(async |(place, key)| {
            bench.wait_us(place as u64 * 1_000).await;
            bench.post_until_decided("increments", key, &add).await.0
        });
        let stop = async {
            bench.wait_us(50_000).await;
            bench.stop(first).await
        };
        let (answers, took) = futures::future::join(futures::future::join_all(calls), stop).await;
        assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
        assert_eq!(took, 0, "there was little to finish");
        // Much sooner than the lease would have run out.
        bench.eventually(DONE, "all is published", || bench.published().len() == 100).await;
        assert_eq!((bench.holder(), bench.versions("a").len()), (Some(second), 100));
        bench.send(&[("x", 1), ("y", 1)]).await;
        bench.eventually(60, "inputs go on", || bench.taken() == [("x", 1), ("y", 1)]).await;
    });
}

#[test]
fn a_call_that_is_out_is_waited_for() {
    bench::run(1, async |bench: Bench| {
        bench.outside.script([Step::SeeAndStaySilent]);
        assert_eq!(bench.post("pings", "k-1", &json!({ "name": "a", "by": 1 })).await.0, 202);
        bench.wait_us(100_000).await;
        assert_eq!(bench.stop(HOSTS[0]).await, 1, "the call's own time-out, less what had passed");
        assert_eq!(bench.rows("effects"), 1, "to be asked about");
        bench.world.start(HOSTS[0], 0);
        bench.eventually(60, "the outcome", || bench.added("a") == [100]).await;
        assert_eq!(bench.outside.seen(), ["PUT /pings/a", "GET /pings/a"]);
    });
}

#[test]
fn an_instance_without_its_database_ends_all_the_same() {
    bench::run(1, async |bench: Bench| {
        bench.world.kill(POSTGRES, 0, End::Process);
        let add = json!({ "name": "a", "by": 1 });
        let stop = async {
            bench.wait_us(1_000_000).await;
            bench.stop(HOSTS[0]).await
        };
        let (answer, took) = futures::future::join(bench.post("increments", "k-1", &add), stop).await;
        assert_eq!((answer.0, took), (503, 30));
        bench.world.start(POSTGRES, 0);
        bench.world.start(HOSTS[0], 0);
        bench.wait_us(5_000_000).await;
        assert_eq!(bench.post_until_decided("increments", "k-1", &add).await.1, json!({ "value": 1 }));
    });
}

const STREAMS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "x", "y"];

fn taken_in_all(bench: &Bench) -> u64 {
    bench.taken().iter().map(|(_, last)| last).sum()
}

/// Twelve messages of each stream at once, and a few requests; the instance is asked to end at different moments of
/// taking them in.
#[test]
fn what_an_instance_had_in_hand_when_it_was_asked_to_end_is_done_once_and_in_order() {
    const LAST: u64 = 12;
    let cut_short = Arc::new(AtomicU64::new(0));
    for after_us in (0..8).map(|step| 1_000 + step * 4_000) {
        let cut_short = cut_short.clone();
        let settings = HostSettings { batch_size: 2, ..HostSettings::default() };
        bench::run_with(2, settings, async move |bench: Bench| {
            let what = format!("after {after_us} us");
            let backlog: Vec<(&str, u64)> =
                (1..=LAST).flat_map(|at| STREAMS.map(|stream| (stream, at))).collect();
            let keys: Vec<String> = (0..20).map(|number| format!("k-{number}")).collect();
            let add = json!({ "name": "requests", "by": 1 });
            let calls = keys.iter().map(|key| bench.post_until_decided("increments", key, &add));
            let stop = async {
                bench.wait_us(after_us).await;
                let before = taken_in_all(&bench);
                let took = bench.stop(HOSTS[0]).await;
                if before > 0 && taken_in_all(&bench) < LAST * STREAMS.len() as u64 {
                    cut_short.fetch_add(1, Ordering::Relaxed);
                }
                took
            };
            let (answers, took, ()) =
                futures::future::join3(futures::future::join_all(calls), stop, bench.send(&backlog)).await;
            assert!(answers.iter().all(|(status, _)| *status == 200), "{what}: {answers:?}");
            assert_eq!(took, 0, "{what}: a batch is finished, not the backlog");
            let all = STREAMS.map(|stream| (stream, LAST));
            bench.eventually(60, &what, || bench.taken() == all).await;
            for stream in STREAMS {
                assert_eq!(bench.added(stream), (1..=LAST).collect::<Vec<_>>(), "{what}: {stream}");
            }
            assert_eq!(bench.added("requests"), [1; 20], "{what}");
            bench.eventually(60, &what, || bench.unsent() == 0).await;
            bench.assert_no_gap(&what);
        });
    }
    assert!(
        cut_short.load(Ordering::Relaxed) > 0,
        "the backlog was always done: the moments are badly chosen"
    );
}

#[test]
fn what_is_parked_when_an_instance_ends_flows_in_the_next() {
    bench::run(2, async |bench: Bench| {
        bench.send(&[("x", 2), ("x", 3), ("y", 1), ("y", 3)]).await;
        bench.eventually(DONE, "three are parked", || bench.rows("parked") == 3).await;
        assert_eq!(bench.stop(HOSTS[0]).await, 0, "what is parked is not waited for");
        bench.send(&[("x", 1)]).await;
        bench.eventually(60, "x flows", || bench.added("x") == [1, 2, 3]).await;
        assert_eq!(bench.stop(HOSTS[1]).await, 0);
        bench.send(&[("y", 2)]).await;
        HOSTS.iter().for_each(|host| bench.world.start(*host, 0));
        bench.eventually(60, "y flows", || bench.added("y") == [1, 2, 3]).await;
        assert_eq!(bench.rows("parked"), 0);
        bench.eventually(60, "all is published", || bench.unsent() == 0).await;
        bench.assert_no_gap("published");
    });
}

/// Far from its database an instance has more to finish than there is time for.
#[test]
fn what_does_not_end_in_time_is_left_and_done_by_the_next() {
    const LAST: u64 = 100;
    bench::run(1, async |bench: Bench| {
        let followers: Vec<(&str, u64)> = (2..=LAST).map(|sequence| ("x", sequence)).collect();
        bench.send(&followers).await;
        bench.eventually(DONE, "they are parked", || bench.rows("parked") == followers.len()).await;
        let effect = LinkEffect::Delay { by_ns: 200_000_000, jitter_ns: 0 };
        let pairs = [(HOSTS[0], POSTGRES), (POSTGRES, HOSTS[0])].into();
        bench.world.network.begin(1, pairs, effect);
        bench.send(&[("x", 1)]).await;
        bench.wait_us(5_000_000).await;
        assert_eq!(bench.stop(HOSTS[0]).await, 30, "the gap has closed, and what waited behind it is long");
        let left = bench.rows("parked");
        assert!(left > 0 && left < followers.len(), "cut short: {left} are left");
        bench.world.network.end(1);
        bench.world.start(HOSTS[0], 0);
        let all: Vec<u64> = (1..=LAST).collect();
        bench.eventually(TAKEN_OVER, "all flow", || bench.added("x") == all).await;
        assert_eq!(bench.rows("parked"), 0);
        bench.eventually(60, "all is published", || bench.unsent() == 0).await;
        bench.assert_no_gap("published");
    });
}
