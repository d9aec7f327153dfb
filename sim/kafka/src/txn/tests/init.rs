//! `InitProducerId`.

use super::*;

#[test]
fn c23_a_new_producer_has_the_same_id_and_the_next_epoch() {
    let mut desk = Desk::new(1);
    assert_eq!(desk.init(None), Ok(producer(1, 0)));
    assert_eq!(desk.init(None), Ok(producer(1, 1)));
    assert_eq!(desk.state(), "Empty");
    assert_eq!(desk.add(producer(1, 0), &[0]), Err(ResponseError::ProducerFenced));
}

#[test]
fn c23_an_ongoing_transaction_is_aborted_first() {
    for (version, fenced_epoch) in [(0, 1), (1, 1), (2, 1)] {
        let mut desk = Desk::new(version);
        let old = desk.init(None).expect("the first");
        desk.add(old, &[0, 1]).expect("a transaction");
        let asked = desk.ask_init(None);
        assert!(desk.answers.is_empty(), "only when PREPARE_ABORT is written");
        desk.ack();
        assert_eq!(desk.init_answer(asked), Err(ResponseError::ConcurrentTransactions));
        assert_eq!(desk.state(), "PrepareAbort");
        assert_eq!(
            (desk.markers()[0].producer_epoch, desk.markers()[0].transaction_result),
            (fenced_epoch, false)
        );
        assert_eq!(
            desk.init(None),
            Err(ResponseError::ConcurrentTransactions),
            "until the markers are written"
        );
        assert_eq!(desk.end(old, true), Err(ResponseError::ProducerFenced));
        desk.settle();
        assert_eq!(desk.state(), "CompleteAbort");
        assert_eq!(desk.init(None), Ok(producer(1, fenced_epoch + 1)));
    }
}

#[test]
fn c23_a_fence_that_cannot_be_written_still_fences_and_bumps_once() {
    let mut desk = Desk::new(1);
    let old = desk.init(None).expect("the first");
    desk.add(old, &[0]).expect("a transaction");
    for _ in 0..3 {
        let asked = desk.ask_init(None);
        desk.fail_write(ResponseError::NotEnoughReplicas);
        assert_eq!(desk.init_answer(asked), Err(ResponseError::CoordinatorNotAvailable));
        assert_eq!(desk.end(old, true), Err(ResponseError::ProducerFenced));
    }
    assert_eq!(desk.init(None), Err(ResponseError::ConcurrentTransactions));
    assert_eq!(desk.markers()[0].producer_epoch, 1);
    desk.settle();
    assert_eq!(desk.init(None), Ok(producer(1, 2)));
}

#[test]
fn c24_a_transition_under_way_is_concurrent_transactions() {
    let mut desk = Desk::new(1);
    let first = desk.ask_init(None);
    let second = desk.ask_init(None);
    assert_eq!(desk.init_answer(second), Err(ResponseError::ConcurrentTransactions));
    desk.ack_all();
    assert_eq!(desk.init_answer(first), Ok(producer(1, 0)));
}

#[test]
fn c25_time_outs_and_ids_are_checked() {
    let mut desk = Desk::new(1);
    let mut init = |id: Option<&'static str>, timeout_ms: i32, producer_id: i64| {
        let id = id.map(|id| TransactionalId(StrBytes::from_static_str(id)));
        let request = InitProducerIdRequest::default()
            .with_transactional_id(id)
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id(ProducerId(producer_id));
        let asked = desk.ask(4, request);
        desk.ack_all();
        desk.init_answer(asked)
    };
    assert_eq!(init(Some(""), 60_000, -1), Err(ResponseError::InvalidRequest));
    assert_eq!(init(Some("t"), 900_001, -1), Err(ResponseError::InvalidTransactionTimeout));
    assert_eq!(init(Some("t"), 0, -1), Err(ResponseError::InvalidTransactionTimeout));
    assert_eq!(init(Some("t"), 60_000, 7), Err(ResponseError::InvalidRequest), "an id without an epoch");
    assert_eq!(init(Some("t"), 900_000, -1), Ok(producer(1, 0)));
    assert_eq!(
        init(None, 0, -1),
        Ok(producer(2, 0)),
        "without a transactional id: another producer each time"
    );
}

#[test]
fn c23_with_its_epoch_a_producer_goes_on_after_an_error() {
    let mut desk = Desk::new(1);
    let first = desk.init(None).expect("the first");
    let next = desk.init(Some(first)).expect("KIP-360");
    assert_eq!(next, producer(1, 1));
    assert_eq!(desk.init(Some(first)), Ok(next), "a retry: no second bump");
    assert_eq!(desk.init(None), Ok(producer(1, 2)), "another process");
    assert_eq!(desk.init(Some(next)), Err(ResponseError::ProducerFenced));
    assert_eq!(desk.init(Some(producer(99, 2))), Err(ResponseError::ProducerFenced), "another producer id");
}

#[test]
fn c23_of_an_id_that_is_forgotten_a_known_producer_gets_a_new_producer_id() {
    let mut desk = Desk::new(1);
    assert_eq!(desk.init(Some(producer(99, 4))), Ok(producer(1, 0)));
}

#[test]
fn c23_when_the_epochs_are_used_up_there_is_a_new_producer_id() {
    let mut desk = Desk::new(1);
    desk.init(None).expect("the first");
    desk.set_epoch(i16::MAX - 2);
    assert_eq!(desk.init(None), Ok(producer(1, i16::MAX - 1)), "the last one that is given out");
    assert_eq!(desk.init(None), Ok(producer(2, 0)));
    let mut desk = Desk::new(1);
    desk.init(None).expect("the first");
    desk.set_epoch(i16::MAX - 1);
    let last = producer(1, i16::MAX - 1);
    assert_eq!(desk.init(Some(last)), Ok(producer(2, 0)));
    assert_eq!(desk.init(Some(last)), Ok(producer(2, 0)), "a retry");
}

#[test]
fn c23_the_last_epoch_can_still_be_fenced() {
    for version in [1, 2] {
        let mut desk = Desk::new(version);
        desk.init(None).expect("the first");
        desk.set_epoch(i16::MAX - 1);
        let last = producer(1, i16::MAX - 1);
        desk.add(last, &[0]).expect("a transaction");
        assert_eq!(desk.init(None), Err(ResponseError::ConcurrentTransactions));
        assert_eq!(desk.markers()[0].producer_epoch, i16::MAX);
        desk.settle();
        let next = desk.init(None).expect("a new producer id");
        assert_eq!(next.id, 2, "transaction.version {version}");
        assert!(desk.end(last, true).is_err());
    }
}

#[test]
fn c23_a_producer_that_cannot_be_written_is_not_answered_with_an_id() {
    let mut desk = Desk::new(1);
    let asked = desk.ask_init(None);
    desk.fail_write(ResponseError::RequestTimedOut);
    assert_eq!(desk.init_answer(asked), Err(ResponseError::CoordinatorNotAvailable));
    let asked = desk.ask_init(None);
    desk.fail_write(ResponseError::NotLeaderOrFollower);
    assert_eq!(desk.init_answer(asked), Err(ResponseError::NotCoordinator));
    assert_eq!(desk.init(None), Ok(producer(1, 0)));
}
