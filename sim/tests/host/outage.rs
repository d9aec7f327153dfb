//! While the database is away callers are told to come again, and what they asked for is done once.

use serde_json::json;
use sim::world::life::End;

use crate::bench::{self, Bench, POSTGRES};

#[test]
fn callers_are_told_to_come_again_while_the_database_is_away() {
    bench::run(2, async |bench: Bench| {
        bench.world.kill(POSTGRES, 0, End::Process);
        let keys: Vec<String> = (0..20).map(|number| format!("k-{number}")).collect();
        let add = json!({ "name": "a", "by": 1 });
        let begun = bench.world.now_ns();
        let answers =
            futures::future::join_all(keys.iter().map(|key| bench.post("increments", key, &add))).await;
        let waited_s = (bench.world.now_ns() - begun) / 1_000_000_000;
        assert!(answers.iter().all(|(status, _)| *status == 503), "{answers:?}");
        assert_eq!(waited_s, 5, "within the patience of a gateway");
        let (status, _) = bench.get("counters/a").await;
        assert_eq!(status, 503);
        bench.wait_us(60_000_000).await;
        bench.world.start(POSTGRES, 0);
        bench.wait_us(20_000_000).await;
        assert_eq!(bench.value("a").await, 0, "what was given up is not done behind its caller's back");
        let retries = keys.iter().map(|key| bench.post_until_decided("increments", key, &add));
        let answers = futures::future::join_all(retries).await;
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
        assert_eq!(bench.value("a").await, 20);
    });
}
