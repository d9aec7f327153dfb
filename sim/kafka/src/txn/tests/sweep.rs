//! Time-outs, expiry, and the views for administrators.

use kafka_protocol::messages::{DescribeTransactionsRequest, ListTransactionsRequest};

use super::*;

#[test]
fn c30_a_transaction_that_takes_too_long_is_aborted_by_the_next_sweep_and_its_producer_fenced() {
    for version in [1, 2] {
        let mut desk = Desk::new(version);
        let me = desk.init(None).expect("a producer");
        desk.add(me, &[0]).expect("a transaction");
        desk.pass(i64::from(TIMEOUT_MS));
        assert!(desk.writes.is_empty(), "at 1 060 000 it is not over");
        desk.pass(9_999);
        assert!(desk.writes.is_empty(), "the sweep comes every 10 s");
        desk.pass(1);
        assert_eq!(desk.writes.len(), 1);
        desk.ack();
        assert_eq!((desk.markers()[0].producer_epoch, desk.markers()[0].transaction_result), (1, false));
        desk.settle();
        assert_eq!(desk.end(me, true), Err(ResponseError::ProducerFenced));
        assert_eq!(desk.add(me, &[0]), Err(ResponseError::ProducerFenced));
        assert_eq!(desk.state(), "CompleteAbort");
    }
}

#[test]
fn c30_the_clock_that_counts_is_the_start_of_the_transaction() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    desk.pass(10 * i64::from(TIMEOUT_MS));
    desk.add(me, &[0]).expect("a transaction");
    desk.pass(50_000);
    desk.add(me, &[1]).expect("does not prolong it");
    desk.pass(20_000);
    assert_eq!(desk.writes.len(), 1, "aborted");
}

#[test]
fn c30_a_loaded_transaction_times_out_too() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    desk.add(me, &[0]).expect("a transaction");
    desk.coordinator.crash();
    desk.pass(5_000);
    desk.elect(EPOCH + 1);
    desk.pass(66_000);
    desk.settle();
    assert_eq!(desk.state(), "CompleteAbort");
}

#[test]
fn c30_without_transactions_nothing_wakes_the_coordinator_for_a_sweep() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    desk.add(me, &[0]).expect("a transaction");
    desk.end(me, true).expect("decided");
    desk.settle();
    desk.pass(20_000);
    let next = desk.coordinator.next_deadline().expect("ids expire some day");
    assert!(next - desk.now > 600_000, "{}", next - desk.now);
}

#[test]
fn c35_an_unused_id_is_forgotten_after_seven_days() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    desk.pass(7 * DAY_MS - 1);
    assert!(desk.writes.is_empty());
    desk.pass(2 * 60 * 60 * 1000);
    desk.fail_write(ResponseError::NotEnoughReplicas);
    assert_eq!(desk.add(me, &[0]), Ok(()), "the tombstone could not be written");
    desk.end(me, true).expect("decided");
    desk.settle();
    desk.pass(7 * DAY_MS + 2 * 60 * 60 * 1000);
    assert_eq!(desk.writes.len(), 1);
    let asked = desk.ask_add(me, &[0]);
    assert_eq!(desk.add_answer(asked), Err(ResponseError::ConcurrentTransactions), "while it is dying");
    desk.ack();
    assert_eq!(desk.add(me, &[0]), Err(ResponseError::InvalidProducerIdMapping));
    assert_eq!(desk.end(me, true), Err(ResponseError::InvalidProducerIdMapping));
    desk.elect(EPOCH + 1);
    assert_eq!(desk.init(None), Ok(producer(2, 0)), "the log has a tombstone");
}

#[test]
fn c35_an_ongoing_transaction_keeps_its_id() {
    let mut desk = Desk::new(1);
    desk.coordinator.config.transaction_max_timeout_ms = i32::MAX;
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(transactional_id()))
        .with_transaction_timeout_ms(i32::MAX);
    desk.ask(4, request);
    desk.ack_all();
    desk.add(producer(1, 0), &[0]).expect("a transaction");
    desk.pass(10 * 24 * 60 * 60 * 1000);
    assert!(desk.writes.is_empty());
}

#[test]
fn transactions_are_described_and_listed() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    desk.add(me, &[2, 0]).expect("a transaction");
    desk.pass(5_000);
    let unknown = TransactionalId(StrBytes::from_static_str("unknown"));
    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![
        transactional_id(),
        unknown,
        TransactionalId::default(),
    ]);
    let states = desk.coordinator.describe(request).transaction_states;
    let seen = &states[0];
    assert_eq!((seen.error_code, seen.transaction_state.as_str()), (0, "Ongoing"));
    assert_eq!((seen.transaction_start_time_ms, seen.transaction_timeout_ms), (1_000_000, TIMEOUT_MS));
    assert_eq!(seen.topics[0].partitions, [0, 2]);
    assert_eq!(check(states[1].error_code), Err(ResponseError::TransactionalIdNotFound));
    assert_eq!(check(states[2].error_code), Err(ResponseError::InvalidRequest));

    let all = ListTransactionsRequest::default().with_duration_filter(-1);
    let now = desk.now;
    let listed = |request: &ListTransactionsRequest, desk: &Desk| {
        desk.coordinator.list(now, request).transaction_states.len()
    };
    assert_eq!(listed(&all, &desk), 1);
    assert_eq!(listed(&all.clone().with_duration_filter(5_000), &desk), 0);
    assert_eq!(listed(&all.clone().with_duration_filter(4_999), &desk), 1);
    assert_eq!(listed(&all.clone().with_producer_id_filters(vec![ProducerId(9)]), &desk), 0);
    let states = ["Ongoing", "Hanging"].map(StrBytes::from_static_str).to_vec();
    let response = desk.coordinator.list(now, &all.with_state_filters(states));
    assert_eq!(response.transaction_states.len(), 1);
    assert_eq!(response.unknown_state_filters, [StrBytes::from_static_str("Hanging")]);
}
