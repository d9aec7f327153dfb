//! An orderly end: nothing is lost, nothing is done twice, and the other instance goes on at once.

use serde_json::json;
use sim::world::life::End;

use crate::bench::{self, Bench, HOSTS, POSTGRES};
use crate::outside::Step;

const DONE: u64 = 10;

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
