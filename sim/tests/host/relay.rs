//! The relay while the log is in trouble: what can be published is, and nothing is lost or out of order.

use host::HostSettings;
use serde_json::json;

use crate::bench::{self, Bench};

#[test]
fn a_partition_without_a_leader_holds_up_nothing_but_itself() {
    // The rows of the stuck partition fill many pages.
    let settings = HostSettings { page_size: 5, ..HostSettings::default() };
    bench::run_with(1, settings, async |bench: Bench| {
        let streams = ["a", "b", "c", "d", "e", "f"];
        let stuck = bench.partition_of_counter("a");
        let flowing: Vec<&str> =
            streams.into_iter().filter(|stream| bench.partition_of_counter(stream) != stuck).collect();
        assert!(flowing.len() >= 2, "keys spread over partitions: {flowing:?}");
        bench.sabotage.leaderless.borrow_mut().insert((contracts::topics::NOTIFICATION_EVENTS, stuck));
        for number in 0..40 {
            bench.post("increments", &format!("a-{number}"), &json!({ "name": "a", "by": 1 })).await;
        }
        for number in 0..8 {
            for stream in &flowing {
                let key = format!("{stream}-{number}");
                bench.post("increments", &key, &json!({ "name": stream, "by": 1 })).await;
            }
        }
        let in_order: Vec<u64> = (1..=8).collect();
        let all_flow = || flowing.iter().all(|stream| bench.first_visible(stream) == in_order);
        bench.eventually(20, "the others are published", all_flow).await;
        assert_eq!(bench.visible("a"), [0; 0]);
        bench.sabotage.leaderless.borrow_mut().clear();
        let all: Vec<u64> = (1..=40).collect();
        bench.eventually(200, "the rest is published", || bench.first_visible("a") == all).await;
        bench.eventually(60, "all is marked", || bench.unsent() == 0).await;
        // One producer again, and quick.
        bench.post("increments", "last", &json!({ "name": "a", "by": 1 })).await;
        bench.eventually(5, "the last", || bench.first_visible("a").len() == 41).await;
    });
}
