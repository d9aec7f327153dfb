//! When a batch starts, what it takes, when it closes; the opening; and what is read of it.

use insta::assert_snapshot;

use super::*;
use crate::settlement::{BATCHES, OBLIGATIONS, opening};
use crate::support::contract;

#[test]
fn an_instruction_is_filed_once_and_arms_nothing_before_the_seal() {
    let mut bench = bench();
    assert_snapshot!(bench.message(instruction("T-1")), @r"
    event    obligation/T-1 Instructed{trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 settlement_date=2026-03-09 amount=1025.00}
    put      obligations T-1 | 0 | 2026-03-09 | 2026-03-09 | 2026-03-06 | A-1 | A-2 | IBM | 100 | 1025.00 | USD | 0 | -
    ");
    assert_eq!(bench.message(instruction("T-1")), "nothing\n");
    assert_eq!(bench.armed(), "");
    assert_snapshot!(bench.message(seal(FRIDAY, MONDAY, 1)), @r"
    event    seals/2026-03-09 SealReceived{trade_date=2026-03-06 settlement_date=2026-03-09 instructions=1}
    arm      batch/2026-03-09 no later than 2026-03-09T22:00:00Z
    ");
    assert_eq!(bench.message(seal(FRIDAY, MONDAY, 1)), "nothing\n");
}

#[test]
fn the_batch_starts_at_1800_venue_time_and_attempts_each_obligation() {
    let mut bench = bench();
    for trade in ["T-1", "T-2"] {
        bench.message(instruction(trade));
    }
    bench.message(seal(FRIDAY, MONDAY, 2));
    bench.at("2026-03-09T17:59:59.999-04:00");
    assert_eq!(bench.due_timers(), "", "an hour before what EST would say, and not yet");
    // Fired early by a clock that is ahead, it waits on.
    assert_snapshot!(bench.timer("batch/2026-03-09"), @"arm      batch/2026-03-09 no later than 2026-03-09T22:00:00Z");
    bench.at(MONDAY_1800);
    assert_snapshot!(bench.due_timers(), @r"
    fire     batch/2026-03-09
    event    settlement/2026-03-09 BatchStarted{settlement_date=2026-03-09 at_ms=1773093600000 instructions=2}
    event    settlement/open DateOpened{settlement_date=2026-03-09 at_ms=1773093600000 instructions=2}
    put      batches 2026-03-09 | 1773093600000 | 2 | 0
    arm      page/2026-03-09/ at 2026-03-09T22:00:00Z
    fire     page/2026-03-09/
    arm      attempt/2026-03-09/T-1 at 2026-03-09T22:00:00Z
    arm      attempt/2026-03-09/T-2 at 2026-03-09T22:00:00Z
    arm      close/2026-03-09 at 2026-03-09T22:00:01Z
    fire     attempt/2026-03-09/T-1
    event    obligation/T-1 AttemptStarted{attempt=1 batch=2026-03-09}
    publish  delivery-requests #1 from obligation/T-1 key A-2 date 2026-03-06 DeliveryRequest{action=Block trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 attempt=1}
    fire     attempt/2026-03-09/T-2
    event    obligation/T-2 AttemptStarted{attempt=1 batch=2026-03-09}
    publish  delivery-requests #1 from obligation/T-2 key A-2 date 2026-03-06 DeliveryRequest{action=Block trade=T-2 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 attempt=1}
    ");
    assert_snapshot!(bench.armed(), @"close/2026-03-09 at 2026-03-09T22:00:01Z");
    assert_eq!(bench.timer("batch/2026-03-09"), "nothing\n", "it has started");
    assert_eq!(bench.timer("attempt/2026-03-09/T-1"), "nothing\n", "its attempt is under way");
}

#[test]
fn it_waits_for_every_instruction_that_the_seal_names() {
    let mut bench = bench();
    bench.message(seal(FRIDAY, MONDAY, 2));
    bench.message(instruction("T-1"));
    bench.at(MONDAY_1800);
    assert_snapshot!(bench.due_timers(), @r"
    fire     batch/2026-03-09
    arm      batch/2026-03-09 no later than 2026-03-09T22:01:00Z
    ");
    bench.at("2026-03-09T18:00:20-04:00");
    assert!(
        bench
            .message(instruction("T-2"))
            .contains("arm      batch/2026-03-09 no later than 2026-03-09T22:00:20Z")
    );
    assert!(
        bench
            .due_timers()
            .contains("BatchStarted{settlement_date=2026-03-09 at_ms=1773093620000 instructions=2}")
    );
}

#[test]
fn it_waits_for_the_seal_of_every_trade_date_that_settles_on_it() {
    let mut bench = Bench::new(Settlement::new(Calendar::xnys()), "2025-10-10T17:00:00-04:00");
    // Columbus Day trades and does not settle: two trade dates settle on Tuesday.
    bench.message(seal("2025-10-10", "2025-10-14", 0));
    bench.at("2025-10-14T18:00:00-04:00");
    assert_snapshot!(bench.due_timers(), @r"
    fire     batch/2025-10-14
    arm      batch/2025-10-14 no later than 2025-10-14T22:01:00Z
    ");
    bench.message(seal("2025-10-13", "2025-10-14", 0));
    assert!(bench.due_timers().contains("BatchStarted{settlement_date=2025-10-14"));
}

#[test]
fn a_batch_without_instructions_starts_and_closes() {
    let mut bench = started(&[]);
    assert_eq!(bench.rows(&BATCHES), "2026-03-09 | 1773093600000 | 0 | 0\n");
    bench.at("2026-03-09T18:00:01-04:00");
    assert_snapshot!(bench.due_timers(), @r"
    fire     close/2026-03-09
    event    settlement/2026-03-09 BatchClosed{settlement_date=2026-03-09}
    put      batches 2026-03-09 | 1773093600000 | 0 | 1
    ");
    assert_eq!(bench.armed(), "");
    assert_eq!(bench.timer("page/2026-03-09/"), "nothing\n", "a late page of a closed batch");
}

#[test]
fn pages_take_what_is_due_on_or_before_the_date_each_once() {
    let mut bench = bench();
    bench.service.page_size = 2;
    let trades = ["T-1", "T-2", "T-3", "T-4", "T-5"];
    for trade in trades {
        bench.message(instruction(trade));
    }
    bench.message(seal(FRIDAY, MONDAY, 5));
    bench.at(MONDAY_1800);
    let lines = bench.due_timers();
    let fired: String =
        lines.lines().filter(|line| line.starts_with("fire")).map(|line| format!("{line}\n")).collect();
    assert_snapshot!(fired, @r"
    fire     batch/2026-03-09
    fire     page/2026-03-09/
    fire     attempt/2026-03-09/T-1
    fire     attempt/2026-03-09/T-2
    fire     page/2026-03-09/2026-03-09/T-2
    fire     attempt/2026-03-09/T-3
    fire     attempt/2026-03-09/T-4
    fire     page/2026-03-09/2026-03-09/T-4
    fire     attempt/2026-03-09/T-5
    ");
    for trade in trades {
        let event = format!("event    obligation/{trade} AttemptStarted{{attempt=1 batch=2026-03-09}}");
        assert_eq!(lines.matches(&event).count(), 1, "{trade}");
    }
}

#[test]
fn a_later_batch_does_not_wait_for_an_earlier_one_and_takes_what_is_left() {
    let mut bench = bench();
    bench.message(instruction("T-1"));
    // Monday's seal is late: Tuesday's batch starts first, and takes Monday's obligation.
    bench.message(seal(MONDAY, TUESDAY, 0));
    bench.at(TUESDAY_1800);
    assert_snapshot!(bench.due_timers(), @r"
    fire     batch/2026-03-10
    event    settlement/2026-03-10 BatchStarted{settlement_date=2026-03-10 at_ms=1773180000000}
    event    settlement/open DateOpened{settlement_date=2026-03-10 at_ms=1773180000000}
    put      batches 2026-03-10 | 1773180000000 | 0 | 0
    arm      page/2026-03-10/ at 2026-03-10T22:00:00Z
    fire     page/2026-03-10/
    arm      attempt/2026-03-10/T-1 at 2026-03-10T22:00:00Z
    arm      close/2026-03-10 at 2026-03-10T22:00:01Z
    fire     attempt/2026-03-10/T-1
    event    obligation/T-1 AttemptStarted{attempt=1 batch=2026-03-10}
    publish  delivery-requests #1 from obligation/T-1 key A-2 date 2026-03-06 DeliveryRequest{action=Block trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 attempt=1}
    ");
    bench.message(seal(FRIDAY, MONDAY, 1));
    let lines = bench.due_timers();
    assert!(lines.contains("BatchStarted{settlement_date=2026-03-09"), "{lines}");
    assert!(!lines.contains("DateOpened"), "a later date has opened already: {lines}");
    assert!(!lines.contains("AttemptStarted"), "Tuesday's attempt is under way: {lines}");
    // A carry goes past both.
    assert!(bench.message(block_refused(1)).contains("Carried{from=2026-03-09 to=2026-03-11"));
}

#[test]
fn a_close_looks_again_after_a_quarter_of_the_time_it_has_waited() {
    let mut bench = started(&["T-1"]);
    for (at, again) in [
        ("2026-03-09T18:00:01-04:00", "2026-03-09T22:00:02Z"),
        ("2026-03-09T18:00:20-04:00", "2026-03-09T22:00:25Z"),
        ("2026-03-09T19:00:00-04:00", "2026-03-09T23:01:00Z"),
    ] {
        bench.at(at);
        assert_eq!(bench.timer("close/2026-03-09"), format!("arm      close/2026-03-09 at {again}\n"));
    }
}

#[test]
fn an_attempt_outside_a_running_batch_does_nothing() {
    let mut bench = bench();
    bench.message(instruction("T-1"));
    assert_eq!(bench.timer("attempt/2026-03-09/T-1"), "nothing\n", "the batch has not started");
    assert_eq!(bench.timer("attempt/2026-03-09/T-9"), "nothing\n", "no such trade");
    assert_eq!(bench.timer("page/2026-03-09/"), "nothing\n");
    assert_eq!(bench.timer("close/2026-03-09"), "nothing\n");
}

#[test]
fn the_opening_seals_what_was_traded_before() {
    let opened = |first: &str| -> String {
        let events = opening(Calendar::xnys(), contract::date(first));
        events.iter().map(|(stream, event)| format!("{stream} {event:?}\n")).collect()
    };
    assert_snapshot!(opened("2025-10-13"), @r#"seals/2025-10-14 SealReceived(TradeDateCleared { trade_date: "2025-10-10", settlement_date: "2025-10-14", instructions: 0 })"#);
    // With it, the batch of two trade dates needs only the one of the run.
    let mut bench = Bench::new(Settlement::new(Calendar::xnys()), "2025-10-13T17:00:00-04:00");
    for (stream, event) in opening(Calendar::xnys(), contract::date("2025-10-13")) {
        bench.seed(stream.as_str(), event);
    }
    bench.message(seal("2025-10-13", "2025-10-14", 0));
    bench.at("2025-10-14T18:00:00-04:00");
    assert!(bench.due_timers().contains("BatchStarted{settlement_date=2025-10-14"));
}

#[test]
fn a_settlement_date_is_read_with_counts_and_pages() {
    let mut bench = bench();
    assert_snapshot!(bench.get("/api/v1/settlements/2026-03-09"), @r#"answer   200 {"batch":{"state":"NOT_STARTED"},"counts":{"failed":0,"instructed":0,"open":0,"settled":0},"next":null,"obligations":[],"settlementDate":"2026-03-09"}"#);
    let mut bench = started(&["T-1", "T-2"]);
    bench.message(block_refused(1));
    assert_snapshot!(bench.rows(&OBLIGATIONS), @r"
    T-1 | 0 | 2026-03-10 | 2026-03-09 | 2026-03-06 | A-1 | A-2 | IBM | 100 | 1025.00 | USD | 1 | shares missing
    T-2 | 0 | 2026-03-09 | 2026-03-09 | 2026-03-06 | A-1 | A-2 | IBM | 100 | 1025.00 | USD | 0 | -
    ");
    assert_snapshot!(bench.get("/api/v1/settlements/2026-03-09?limit=1"), @r#"answer   200 {"batch":{"instructions":2,"startedAt":"2026-03-09T22:00:00Z","state":"STARTED"},"counts":{"failed":0,"instructed":2,"open":1,"settled":0},"next":"0.T-2","obligations":[{"amount":"1025.00","buyerAccountId":"A-1","carries":0,"currency":"USD","dueDate":"2026-03-09","instrumentId":"IBM","originalDate":"2026-03-09","quantity":"100","reason":"","sellerAccountId":"A-2","status":"OPEN","tradeDate":"2026-03-06","tradeId":"T-2"}],"settlementDate":"2026-03-09"}"#);
    assert_snapshot!(bench.get("/api/v1/settlements/2026-03-09?limit=1&after=0.T-2"), @r#"answer   200 {"batch":{"instructions":2,"startedAt":"2026-03-09T22:00:00Z","state":"STARTED"},"counts":{"failed":0,"instructed":2,"open":1,"settled":0},"next":null,"obligations":[],"settlementDate":"2026-03-09"}"#);
    for wrong in ["9th", "2026-03-09?limit=0", "2026-03-09?limit=1001", "2026-03-09?after=T-2"] {
        let answer = bench.get(&format!("/api/v1/settlements/{}", wrong));
        assert!(answer.starts_with("answer   400 "), "{wrong}: {answer}");
    }
    assert!(bench.get("/api/v1/settlements").starts_with("answer   404 "));
}
