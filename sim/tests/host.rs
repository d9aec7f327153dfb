//! What the StoreHost promises, shown by a small service of its own on the simulated world.
//!
//! The service counts: over HTTP, from messages, by timer, and with a call to somebody outside. It runs under the
//! name `notification`, for topics and their consumers are a fixed catalogue. Brokers, database and network are the
//! simulator's own; the world is broken around the service, never inside it.

#[path = "host/bench.rs"]
mod bench;
#[path = "host/chaos.rs"]
mod chaos;
#[path = "host/counter.rs"]
mod counter;
#[path = "host/errors.rs"]
mod errors;
#[path = "host/gaps.rs"]
mod gaps;
#[path = "host/letters.rs"]
mod letters;
#[path = "host/outage.rs"]
mod outage;
#[path = "host/outside.rs"]
mod outside;
#[path = "host/panics.rs"]
mod panics;
#[path = "host/pressure.rs"]
mod pressure;
#[path = "host/programs.rs"]
mod programs;
#[path = "host/relay.rs"]
mod relay;
#[path = "host/sabotage.rs"]
mod sabotage;
#[path = "host/shutdown.rs"]
mod shutdown;
#[path = "host/tally.rs"]
mod tally;

use sim::world::life::End;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bench::{Bench, HOSTS, POSTGRES};
use host::HostSettings;
use outside::Step;
use serde_json::json;
use sim::world::network::rules::LinkEffect;

const DONE: u64 = 10;
/// Longer than a lease.
const TAKEN_OVER: u64 = 200;

#[test]
fn a_retry_gets_the_first_answer_and_changes_nothing() {
    bench::run(2, async |bench: Bench| {
        let add = json!({ "name": "a", "by": 5 });
        let first = bench.post("increments", "k-1", &add).await;
        assert_eq!(first, (200, json!({ "value": 5 })));
        let other = bench.post("increments", "k-2", &add).await;
        assert_eq!(other, (200, json!({ "value": 10 })));
        // The instances take turns: both were asked.
        assert_eq!(
            [bench.post("increments", "k-1", &add).await, bench.post("increments", "k-1", &add).await],
            [first.clone(), first]
        );
        assert_eq!(bench.value("a").await, 10);
        assert_eq!(bench.versions("a"), [1, 2]);
        bench.eventually(DONE, "two messages", || bench.published() == ["5", "10"]).await;
    });
}

#[test]
fn a_refusal_is_remembered_like_any_answer() {
    bench::run(1, async |bench: Bench| {
        let nothing = json!({ "name": "a", "by": 0 });
        let (status, problem) = bench.post("increments", "k-1", &nothing).await;
        assert_eq!((status, problem["title"].as_str()), (422, Some("nothing to add")));
        assert_eq!(bench.post("increments", "k-1", &nothing).await, (422, problem));
        assert_eq!(bench.decisions(), 1, "the second answer was read, not decided");
        assert_eq!(bench.versions("a"), [0; 0]);
    });
}

#[test]
fn a_key_with_another_payload_is_refused() {
    bench::run(2, async |bench: Bench| {
        assert_eq!(bench.post("increments", "k-1", &json!({ "name": "a", "by": 5 })).await.0, 200);
        let (status, problem) = bench.post("increments", "k-1", &json!({ "name": "a", "by": 6 })).await;
        assert_eq!((status, problem["title"].as_str()), (422, Some("idempotency key reused")));
        // In another scope the same key is another key.
        assert_eq!(bench.post("ticks", "k-1", &json!({ "name": "b", "by": 1 })).await.0, 202);
        assert_eq!(bench.value("a").await, 5);
        assert_eq!(bench.versions("a"), [1]);
    });
}

#[test]
fn two_instances_lose_no_increment() {
    bench::run(2, async |bench: Bench| {
        let keys: Vec<String> = (0..200).map(|number| format!("k-{number}")).collect();
        let add = json!({ "name": "a", "by": 1 });
        let calls = keys.iter().map(|key| bench.post("increments", key, &add));
        let answers = futures::future::join_all(calls).await;
        let values: BTreeSet<u64> = answers.iter().filter_map(|(_, body)| body["value"].as_u64()).collect();
        assert_eq!(values, (1..=200).collect(), "each saw all before it");
        assert_eq!(bench.value("a").await, 200);
        assert_eq!(bench.versions("a"), (1..=200).collect::<Vec<_>>());
        assert!(
            bench.counters.iter().all(|one| one.decisions.get() > 0),
            "both took part: {:?}",
            bench.counters
        );
    });
}

#[test]
fn a_database_that_dies_under_way_counts_each_request_once() {
    let unheard = Arc::new(AtomicU64::new(0));
    for after_us in (0..40).map(|step| 200 + step * 100) {
        let unheard = unheard.clone();
        bench::run(1, async move |bench: Bench| {
            let keys: Vec<String> = (0..5).map(|number| format!("k-{number}")).collect();
            let add = json!({ "name": "a", "by": 1 });
            let calls = futures::future::join_all(keys.iter().map(|key| bench.post("increments", key, &add)));
            let crash = async {
                bench.wait_us(after_us).await;
                bench.world.kill(POSTGRES, 0, End::Process);
                bench.wait_us(1_000_000).await;
                bench.world.start(POSTGRES, 0);
            };
            let (answers, ()) = futures::future::join(calls, crash).await;
            assert!(answers.iter().all(|(status, _)| *status == 200), "after {after_us} us: {answers:?}");
            assert_eq!(bench.value("a").await, 5, "after {after_us} us");
            bench.eventually(DONE, "its messages", || bench.published() == ["1", "2", "3", "4", "5"]).await;
            unheard.fetch_add(bench.counters[0].duplicates.get(), Ordering::Relaxed);
        });
    }
    assert!(
        unheard.load(Ordering::Relaxed) > 0,
        "no commit's answer was ever lost: the moments are badly chosen"
    );
}

#[test]
fn a_gap_parks_what_follows_and_then_all_flows_in_order() {
    bench::run(2, async |bench: Bench| {
        bench.send(&[("x", 1), ("x", 3), ("x", 4), ("y", 1)]).await;
        bench.eventually(DONE, "y flows, x waits", || bench.taken() == [("x", 1), ("y", 1)]).await;
        bench.eventually(DONE, "two are parked", || bench.rows("parked") == 2).await;
        bench.send(&[("x", 2)]).await;
        bench.eventually(DONE, "x flows", || bench.taken() == [("x", 4), ("y", 1)]).await;
        assert_eq!(bench.rows("parked"), 0);
        // Each message adds its sequence number; the log of events shows their order.
        assert_eq!(bench.added("x"), [1, 2, 3, 4]);
    });
}

#[test]
fn messages_that_overtook_each_other_flow_at_once() {
    bench::run(1, async |bench: Bench| {
        // All in one fetch: the gap opens and closes within a batch.
        bench.send(&[("x", 1), ("x", 4), ("x", 3), ("x", 2), ("x", 5)]).await;
        bench.eventually(DONE, "x flows", || bench.taken() == [("x", 5)]).await;
        assert_eq!(bench.added("x"), [1, 2, 3, 4, 5]);
        assert_eq!(bench.rows("parked"), 0);
    });
}

#[test]
fn more_parked_messages_than_a_page_flow_too() {
    let settings = HostSettings { page_size: 3, ..HostSettings::default() };
    bench::run_with(1, settings, async |bench: Bench| {
        bench.send(&(2..=12).map(|sequence| ("x", sequence)).collect::<Vec<_>>()).await;
        bench.eventually(DONE, "all are parked", || bench.rows("parked") == 11).await;
        bench.send(&[("x", 1)]).await;
        bench.eventually(DONE, "all flow", || bench.taken() == [("x", 12)]).await;
        assert_eq!(bench.added("x"), (1..=12).collect::<Vec<_>>());
    });
}

#[test]
fn parked_messages_flow_although_the_instance_died_when_the_gap_closed() {
    for after_us in (0..40).map(|step| step * 100) {
        bench::run(2, async move |bench: Bench| {
            bench.send(&[("x", 2), ("x", 3), ("x", 4)]).await;
            bench.eventually(DONE, "three are parked", || bench.rows("parked") == 3).await;
            bench.send(&[("x", 1)]).await;
            bench.wait_us(after_us).await;
            HOSTS.iter().for_each(|host| bench.world.kill(*host, 0, End::Process));
            bench.wait_us(1_000_000).await;
            HOSTS.iter().for_each(|host| bench.world.start(*host, 0));
            // At the latest the next scan but one finds that the gap is closed.
            bench.eventually(180, "all flow", || bench.taken() == [("x", 4)]).await;
            assert_eq!(bench.added("x"), [1, 2, 3, 4], "after {after_us} us");
            assert_eq!(bench.rows("parked"), 0);
        });
    }
}

#[test]
fn a_gap_that_stays_is_asked_of_its_source() {
    bench::run(2, async |bench: Bench| {
        bench.send(&[("x", 1), ("x", 4), ("x", 5)]).await;
        bench.wait_us(50_000_000).await;
        assert_eq!(bench.outside.seen(), [""; 0], "most gaps close by themselves");
        bench.wait_us(80_000_000).await;
        let asked = bench.outside.seen();
        let wanted =
            r#"POST /host/v1/republications {"stream":"x","topic":"payment-events","from":2,"to":3}"#;
        assert!(!asked.is_empty() && asked.iter().all(|asked| asked == wanted), "{asked:?}");
        bench.send(&[("x", 2), ("x", 3)]).await;
        bench.eventually(DONE, "x flows", || bench.taken() == [("x", 5)]).await;
    });
}

#[test]
fn what_was_published_is_published_again_on_request() {
    bench::run(2, async |bench: Bench| {
        for key in ["k-1", "k-2", "k-3"] {
            bench.post("increments", key, &json!({ "name": "a", "by": 1 })).await;
        }
        bench.eventually(DONE, "three messages", || bench.visible("a") == [1, 2, 3]).await;
        let topic = contracts::topics::NOTIFICATION_EVENTS;
        let wanted = json!({ "stream": "counter/a", "topic": topic, "from": 2, "to": 3 });
        assert_eq!(bench.republish(&wanted).await, (200, json!({ "republished": 2 })));
        bench.eventually(DONE, "two of them again", || bench.visible("a") == [1, 2, 3, 2, 3]).await;
    });
}

#[test]
fn what_cannot_be_decoded_is_kept_aside_and_only_its_stream_waits() {
    bench::run(2, async |bench: Bench| {
        bench.send(&[("x", 1)]).await;
        bench.send_unreadable("x", 2).await;
        bench.send(&[("x", 3), ("y", 1), ("y", 2)]).await;
        bench.eventually(DONE, "y flows, x stands", || bench.taken() == [("x", 1), ("y", 2)]).await;
        assert_eq!((bench.rows("dead_letters"), bench.rows("parked")), (1, 1));
        let (status, letters) = bench.get("dead-letters").await;
        let letter = &letters["deadLetters"][0];
        assert_eq!((status, &letter["source"], &letter["sequence"]), (200, &json!("payment/x"), &json!(2)));
        let (status, problem) =
            bench.post(&format!("dead-letters/{}/replay", letter["id"]), "-", &json!({})).await;
        assert_eq!((status, &problem["title"]), (409, &json!("still dead")));
        assert_eq!(bench.rows("dead_letters"), 1);
    });
}

#[test]
fn a_message_that_comes_again_is_dropped() {
    bench::run(1, async |bench: Bench| {
        bench.send(&[("x", 1), ("x", 1), ("x", 2)]).await;
        bench.eventually(DONE, "both are taken", || bench.taken() == [("x", 2)]).await;
        bench.send(&[("x", 2), ("x", 1), ("x", 3)]).await;
        bench.eventually(DONE, "the third is taken", || bench.taken() == [("x", 3)]).await;
        assert_eq!(bench.added("x"), [1, 2, 3]);
        assert_eq!(bench.counters[0].duplicates.get(), 3);
    });
}

#[test]
fn a_timer_fires_once_and_can_be_armed_again_by_its_own_firing() {
    bench::run(2, async |bench: Bench| {
        assert_eq!(bench.post("ticks", "k-1", &json!({ "name": "a", "by": 3 })).await.0, 202);
        bench.wait_us(counter::TICK_US - 500_000).await;
        assert_eq!(bench.added("a"), [0; 0], "not before it is due");
        for fired in 1..=3 {
            bench.wait_us(1_000_000).await;
            assert_eq!(bench.added("a"), vec![1; fired], "once when it is due");
            assert_eq!(bench.rows("timers"), usize::from(fired < 3));
            bench.wait_us(counter::TICK_US - 1_000_000).await;
        }
        bench.wait_us(5 * counter::TICK_US).await;
        assert_eq!(bench.added("a"), [1, 1, 1]);
    });
}

#[test]
fn an_effect_that_is_not_answered_is_asked_about_and_not_sent_again() {
    bench::run(2, async |bench: Bench| {
        bench.outside.script([Step::SeeAndStaySilent]);
        bench.post("pings", "k-1", &json!({ "name": "a", "by": 1 })).await;
        bench.eventually(60, "the outcome", || bench.added("a") == [100]).await;
        assert_eq!(bench.outside.seen(), ["PUT /pings/a", "GET /pings/a"]);
        assert_eq!(bench.rows("effects"), 0);
        bench.wait_us(200_000_000).await;
        assert_eq!(bench.outside.seen().len(), 2, "it is over");
    });
}

#[test]
fn an_effect_that_was_never_seen_is_sent_again_as_it_was() {
    bench::run(1, async |bench: Bench| {
        bench.outside.script([Step::Lose, Step::Lose]);
        bench.post("pings", "k-1", &json!({ "name": "a", "by": 1 })).await;
        bench.eventually(60, "the outcome", || bench.added("a") == [100]).await;
        // Sent and lost; asked, and that is lost; asked: not found; sent again.
        assert_eq!(bench.outside.seen(), ["PUT /pings/a", "GET /pings/a", "GET /pings/a", "PUT /pings/a"]);
    });
}

/// What the holder thinks of the database's clock is as far off as an answer was late. Nobody who comes just then may
/// take its lease for one that lasts too long to be true.
#[test]
fn a_lease_that_was_renewed_after_late_answers_is_not_void() {
    bench::run(2, async |bench: Bench| {
        let holder = bench.holder().expect("somebody has the duties");
        let other = HOSTS.into_iter().find(|host| *host != holder).expect("there are two");
        bench.world.kill(other, 0, End::Process);
        let renewed = async || {
            let before = bench.lease();
            for _ in 0..20_000 {
                if bench.lease() != before {
                    return;
                }
                bench.wait_us(10_000).await;
            }
            panic!("the lease is not renewed");
        };
        let pairs = [(holder, POSTGRES), (POSTGRES, holder)].into();
        let effect = LinkEffect::Delay { by_ns: 1_000_000_000, jitter_ns: 0 };
        bench.world.network.begin(1, pairs, effect);
        renewed().await;
        // The answer comes, and nothing else is to be done for a while.
        bench.wait_us(20_000_000).await;
        bench.world.network.end(1);
        renewed().await;
        let (epoch, _) = bench.lease();
        bench.world.start(other, 0);
        bench.wait_us(5_000_000).await;
        assert_eq!((bench.holder(), bench.lease().0), (Some(holder), epoch));
    });
}

#[test]
fn duties_move_to_the_other_instance_when_their_holder_dies() {
    bench::run(2, async |bench: Bench| {
        bench.eventually(DONE, "somebody has the duties", || bench.holder().is_some()).await;
        let holder = bench.holder().expect("just seen");
        let other = HOSTS.into_iter().find(|host| *host != holder).expect("there are two");
        bench.world.kill(holder, 0, End::Process);
        assert_eq!(bench.post("increments", "k-1", &json!({ "name": "a", "by": 1 })).await.0, 200);
        assert_eq!(bench.post("ticks", "k-2", &json!({ "name": "b", "by": 1 })).await.0, 202);
        assert_eq!(bench.post("pings", "k-3", &json!({ "name": "c", "by": 1 })).await.0, 202);
        assert_eq!(bench.published(), [""; 0], "the lease still stands");
        bench
            .eventually(TAKEN_OVER, "all duties are done", || {
                let added = ["a", "b", "c"].map(|name| bench.added(name));
                added == [[1], [1], [100]] && bench.published().len() == 3
            })
            .await;
        assert_eq!(bench.holder(), Some(other));
    });
}

#[test]
fn a_restarted_instance_goes_on_where_it_was() {
    bench::run(1, async |bench: Bench| {
        bench.send(&[("x", 1), ("x", 2)]).await;
        bench.eventually(DONE, "both are taken", || bench.taken() == [("x", 2)]).await;
        let before = bench.position();
        bench.world.kill(HOSTS[0], 0, End::Process);
        bench.send(&[("x", 3), ("x", 4)]).await;
        bench.wait_us(1_000_000).await;
        bench.world.start(HOSTS[0], 0);
        bench.eventually(60, "the rest is taken", || bench.taken() == [("x", 4)]).await;
        let after = bench.position();
        assert_eq!((before.next, after.next), (2, 4));
        assert!(after.claim > before.claim, "the former process is fenced: {before:?}, {after:?}");
        assert_eq!(bench.added("x"), [1, 2, 3, 4]);
        assert_eq!(bench.counters[0].duplicates.get(), 0, "nothing was read twice");
    });
}

#[test]
fn inputs_move_to_the_other_instance_when_their_owner_dies() {
    bench::run(2, async |bench: Bench| {
        let streams = ["a", "b", "c", "d", "e", "f"];
        let all = |sequence: u64| streams.map(|stream| (stream, sequence));
        bench.send(&all(1)).await;
        bench.eventually(DONE, "all are taken", || bench.taken() == all(1)).await;
        bench.world.kill(HOSTS[0], 0, End::Process);
        bench.send(&all(2)).await;
        bench.eventually(60, "all are taken by the other", || bench.taken() == all(2)).await;
        assert!(streams.iter().all(|stream| bench.added(stream) == [1, 2]));
    });
}
