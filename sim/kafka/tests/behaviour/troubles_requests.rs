//! Trouble with requests and with the disk: carried out late, carried out twice, written slowly, not written at all.

use kafka::trouble::writes;
use kafka::{ApiKey, Output, Trouble};
use kafka_protocol::messages::produce_response::ProduceResponse;
use kafka_protocol::messages::{FetchResponse, HeartbeatRequest, HeartbeatResponse};

use crate::bench::{Bench, CONN, answer, fetch_request, idempotent, plain, produce_request};
use crate::troubles::{ALWAYS, counting};

fn delayed(min_ms: u64, max_ms: u64) -> Trouble {
    Trouble::DelayedRequest { api: ApiKey::Produce, min_ms, max_ms, odds_ppm: ALWAYS }
}

#[test]
fn only_what_writes_is_delayed_or_repeated() {
    assert!(writes(ApiKey::EndTxn) && !writes(ApiKey::Fetch));
    assert!(delayed(0, 5).is_possible() && !delayed(5, 0).is_possible());
    let read = Trouble::RepeatedRequest { api: ApiKey::Fetch, min_ms: 0, max_ms: 0, odds_ppm: ALWAYS };
    assert!(!read.is_possible());
}

#[test]
fn a_delayed_request_is_carried_out_late_and_what_follows_on_its_connection_later_still() {
    let mut bench = Bench::new();
    bench.broker.begin_trouble(0, delayed(500, 500), counting());
    assert_eq!(bench.ask(produce_request(-1, 0, plain(&["a"]))), [], "not even the fact");
    let produce = bench.correlation;
    bench.broker.end_trouble(0);
    assert_eq!(bench.ask(HeartbeatRequest::default()), [], "a broker reads on when it has answered");
    let heartbeat = bench.correlation;
    assert_eq!(bench.pass(499), []);
    let outputs = bench.pass(1);
    assert!(answer::<ProduceResponse>(&outputs, produce).is_some());
    assert!(answer::<HeartbeatResponse>(&outputs, heartbeat).is_some());
    assert_eq!((bench.broker.met(0), bench.broker.next_deadline()), (1, None));
    assert_eq!(bench.append(0, plain(&["b"])), Ok(1), "nothing waits any more");
}

#[test]
fn a_delayed_request_is_carried_out_though_its_client_has_gone() {
    let mut bench = Bench::new();
    bench.broker.begin_trouble(0, delayed(500, 500), counting());
    bench.ask(produce_request(-1, 0, plain(&["a"])));
    bench.ask(fetch_request(&[(0, 0)], 0, 1_000));
    let fetch = bench.correlation;
    bench.broker.end_trouble(0);
    bench.broker.disconnected(CONN);
    let outputs = bench.pass(500);
    assert!(outputs.iter().any(|output| matches!(output, Output::Visible { .. })), "{outputs:?}");
    assert_eq!(answer::<FetchResponse>(&outputs, fetch), None, "nobody reads for who has gone");
    let to_the_dead = |output: &Output| matches!(output, Output::Respond { conn, .. } if *conn == CONN);
    assert!(!outputs.iter().any(to_the_dead), "{outputs:?}");
}

#[test]
fn b16_a_repeated_request_is_a_duplicate_without_a_producer_id_and_recognised_with_one() {
    for (batch, end) in [(plain(&["a"]), 2), (idempotent(7, 0, 0, &["a"]), 1)] {
        let mut bench = Bench::new();
        let trouble =
            Trouble::RepeatedRequest { api: ApiKey::Produce, min_ms: 40, max_ms: 40, odds_ppm: ALWAYS };
        bench.broker.begin_trouble(0, trouble, counting());
        assert_eq!(bench.append(0, batch), Ok(0));
        bench.pass(40);
        assert_eq!(bench.read(0, 0, 1_000).high_watermark, end);
        assert_eq!(bench.broker.met(0), 1);
    }
}

#[test]
fn a_slow_disk_holds_what_is_written_and_not_what_is_read() {
    let mut bench = Bench::new();
    bench.append(0, plain(&["a"])).expect("appended");
    bench.broker.begin_trouble(0, Trouble::SlowDisk { min_ms: 300, max_ms: 300 }, counting());
    assert_eq!(bench.read(0, 0, 1_000).high_watermark, 1);
    assert_eq!(bench.ask(produce_request(-1, 0, plain(&["b"]))), []);
    let outputs = bench.pass(300);
    assert!(answer::<ProduceResponse>(&outputs, bench.correlation).is_some());
}

#[test]
fn a_full_disk_halts_the_broker_at_its_next_write() {
    let mut bench = Bench::new();
    bench.append(0, plain(&["a"])).expect("appended");
    bench.broker.begin_trouble(0, Trouble::DiskFull, counting());
    assert_eq!(bench.read(0, 0, 1_000).high_watermark, 1, "it goes on reading");
    assert_eq!(bench.ask(produce_request(-1, 0, plain(&["b"]))), [Output::Halt]);
    bench.broker.crash();
    let restarted = bench.broker.restart(bench.now);
    assert!(!restarted.contains(&Output::Halt), "until it writes again");
    bench.broker.end_trouble(0);
    assert_eq!(bench.broker.met(0), 1);
}
