//! What the log has lost: sources are asked for their heads, and for what is lacking.

use host::HostSettings;
use host::store_host::heads::StreamHead;
use sim::world::life::End;

use crate::bench::{self, Bench, HOSTS};

const DONE: u64 = 10;

fn wanted(stream: &str, from: u64, to: u64) -> String {
    format!(
        r#"POST /host/v1/republications {{"stream":"{stream}","topic":"payment-events","from":{from},"to":{to}}}"#
    )
}

fn head(stream: &str, last: u64) -> StreamHead {
    StreamHead { stream: stream.to_owned(), last }
}

#[test]
fn what_the_log_dropped_before_it_was_read_is_asked_of_its_source() {
    bench::run(2, async |bench: Bench| {
        bench.send(&[("x", 1), ("y", 1)]).await;
        bench.eventually(DONE, "both are taken", || bench.taken() == [("x", 1), ("y", 1)]).await;
        HOSTS.iter().for_each(|host| bench.world.kill(*host, 0, End::Process));
        bench.send(&[("x", 2), ("x", 3), ("x", 4), ("y", 2)]).await;
        bench.drop_records(-1).await;
        bench.send(&[("x", 5)]).await;
        bench.outside.tell_heads([head("x", 5), head("y", 2)]);
        HOSTS.iter().for_each(|host| bench.world.start(*host, 0));
        bench.eventually(60, "the log is read from its start", || bench.rows("parked") == 1).await;
        let asked = || {
            let seen = bench.outside.seen();
            [wanted("x", 2, 5), wanted("y", 2, 2)].iter().all(|wanted| seen.contains(wanted))
        };
        bench.eventually(180, "the sources are asked", asked).await;
        bench.send(&[("x", 2), ("x", 3), ("x", 4), ("x", 5), ("y", 2)]).await;
        bench.eventually(DONE, "all is taken", || bench.taken() == [("x", 5), ("y", 2)]).await;
        assert_eq!(bench.added("x"), [1, 2, 3, 4, 5]);
    });
}

#[test]
fn a_lost_tail_shows_although_no_later_message_comes() {
    bench::run(2, async |bench: Bench| {
        bench.send(&[("x", 1), ("x", 2), ("y", 1)]).await;
        bench.eventually(DONE, "all is taken", || bench.taken() == [("x", 2), ("y", 1)]).await;
        bench.outside.tell_heads([head("x", 3), head("y", 1)]);
        let asked = || bench.outside.seen().contains(&wanted("x", 3, 3));
        bench.eventually(900, "the source is asked", asked).await;
        let seen = bench.outside.seen();
        assert!(
            !seen.iter().any(|seen| seen.contains(r#""stream":"y""#)),
            "nothing is lacking of y: {seen:?}"
        );
        bench.send(&[("x", 3)]).await;
        bench.eventually(DONE, "x is complete", || bench.taken() == [("x", 3), ("y", 1)]).await;
        // The next check is an hour later, from where all was settled.
        let asked_before = bench.outside.seen().len();
        bench.wait_us(7_200_000_000).await;
        let later = bench.outside.seen().split_off(asked_before);
        assert!(
            later.len() <= 6 && later.iter().all(|seen| seen.starts_with("GET /host/v1/heads")),
            "{later:?}"
        );
    });
}

#[test]
fn every_gap_is_asked_about_however_many_there_are() {
    let settings = HostSettings { page_size: 3, ..HostSettings::default() };
    bench::run_with(1, settings, async |bench: Bench| {
        let streams = ["a", "b", "c", "d", "e", "f", "x", "y"];
        for sequence in 2..6 {
            bench.send(&streams.map(|stream| (stream, sequence))).await;
        }
        bench.eventually(DONE, "all are parked", || bench.rows("parked") == 32).await;
        let asked = || streams.iter().all(|stream| bench.outside.seen().contains(&wanted(stream, 1, 1)));
        bench.eventually(180, "all are asked about", asked).await;
    });
}

#[test]
fn what_was_parked_and_then_taken_from_the_log_is_parked_no_longer() {
    for after_us in (0..20).map(|step| step * 200) {
        bench::run(2, async move |bench: Bench| {
            bench.send(&[("x", 2)]).await;
            bench.eventually(DONE, "it is parked", || bench.rows("parked") == 1).await;
            bench.send(&[("x", 1)]).await;
            bench.wait_us(after_us).await;
            // Some of these moments are after the gap has closed, and before what waited behind it is taken.
            HOSTS.iter().for_each(|host| bench.world.kill(*host, 0, End::Process));
            bench.send(&[("x", 2)]).await;
            bench.wait_us(1_000_000).await;
            HOSTS.iter().for_each(|host| bench.world.start(*host, 0));
            bench.eventually(400, "nothing is parked", || bench.rows("parked") == 0).await;
            assert_eq!(
                (bench.added("x"), bench.outside.seen().len()),
                (vec![1, 2], 0),
                "after {after_us} us"
            );
        });
    }
}
