//! An hour's queue: a service that was away takes it in, in order, page by page.

use sim::world::life::End;

use crate::bench::{self, Bench, HOSTS};

#[test]
fn ten_thousand_queued_messages_drain_in_order() {
    const STREAMS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "x", "y"];
    const EACH: u64 = 1_250;
    bench::run(2, async |bench: Bench| {
        HOSTS.iter().for_each(|host| bench.world.kill(*host, 0, End::Process));
        for first in (1..=EACH).step_by(50) {
            let sequences = first..first + 50;
            let chunk: Vec<(&str, u64)> =
                sequences.flat_map(|sequence| STREAMS.map(|stream| (stream, sequence))).collect();
            bench.send(&chunk).await;
            bench.wait_us(144_000_000).await;
        }
        HOSTS.iter().for_each(|host| bench.world.start(*host, 0));
        let drained = || bench.taken() == STREAMS.map(|stream| (stream, EACH));
        bench.eventually(120, "the queue is drained", drained).await;
        let in_order: Vec<u64> = (1..=EACH).collect();
        assert!(STREAMS.iter().all(|stream| bench.added(stream) == in_order));
        assert_eq!((bench.rows("parked"), bench.rows("dead_letters")), (0, 0));
        let transactions: u64 = bench.counters.iter().map(|host| host.transactions.get()).sum();
        assert!(transactions < 400, "batches, not single messages: {transactions}");
        bench.eventually(60, "all is published", || bench.published().len() == 10_000).await;
    });
}
