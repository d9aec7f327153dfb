//! `EndTxn`.

use super::*;

fn ongoing(transaction_version: i16) -> (Desk, Producer) {
    let mut desk = Desk::new(transaction_version);
    let me = desk.init(None).expect("a producer");
    desk.add(me, &[0, 1]).expect("a transaction");
    (desk, me)
}

#[test]
fn c28_a_commit_is_answered_when_prepare_is_written_and_complete_after_the_markers() {
    let (mut desk, me) = ongoing(1);
    let asked = desk.ask_end(3, me, true);
    assert!(desk.answers.is_empty() && desk.sends.is_empty(), "nothing before PREPARE is written");
    desk.ack();
    assert_eq!(desk.end_answer(asked), Ok(producer(-1, -1)));
    assert_eq!(desk.state(), "PrepareCommit");
    let marker = &desk.markers()[0];
    assert_eq!((marker.producer_id.0, marker.producer_epoch, marker.coordinator_epoch), (1, 0, EPOCH));
    assert!(marker.transaction_result);
    desk.deliver(Ok(()));
    assert_eq!(desk.state(), "PrepareCommit", "until COMPLETE is written");
    desk.ack();
    assert_eq!(desk.state(), "CompleteCommit");
}

#[test]
fn c26_the_answers_of_every_state_before_version_2() {
    let (mut desk, me) = ongoing(1);
    let invalid = Err(ResponseError::InvalidTxnState);
    assert_eq!(desk.end(producer(9, 0), true), Err(ResponseError::InvalidProducerIdMapping));
    assert_eq!(desk.end(producer(1, 1), true), Err(ResponseError::ProducerFenced));
    assert_eq!(desk.end(me, true), Ok(()));
    assert_eq!(desk.end(me, true), Err(ResponseError::ConcurrentTransactions), "markers are under way");
    desk.settle();
    assert_eq!(desk.end(me, true), Ok(()), "a repetition");
    assert_eq!(desk.end(me, false), invalid);
    desk.add(me, &[0]).expect("the next transaction");
    assert_eq!(desk.end(me, false), Ok(()));
    desk.settle();
    assert_eq!(desk.end(me, false), Ok(()), "a repetition");
    assert_eq!(desk.end(me, true), invalid);
    desk.init(None).expect("a new producer");
    assert_eq!(desk.end(producer(1, 1), true), invalid, "Empty");
    assert_eq!(desk.end(producer(1, 1), false), invalid, "Empty");
}

#[test]
fn c26_an_unknown_or_empty_id() {
    let mut desk = Desk::new(1);
    assert_eq!(desk.end(producer(1, 0), true), Err(ResponseError::InvalidProducerIdMapping));
    let asked = desk.ask(3, EndTxnRequest::default());
    assert_eq!(desk.end_answer(asked), Err(ResponseError::InvalidRequest));
}

#[test]
fn c29_an_end_that_was_not_written_leaves_the_transaction_open() {
    let (mut desk, me) = ongoing(1);
    for error in [ResponseError::NotEnoughReplicas, ResponseError::NotEnoughReplicasAfterAppend] {
        let asked = desk.ask_end(3, me, true);
        desk.fail_write(error);
        assert_eq!(desk.end_answer(asked), Err(ResponseError::CoordinatorNotAvailable));
        assert_eq!(desk.state(), "Ongoing");
    }
    assert_eq!(desk.end(me, true), Ok(()), "the client's retry");
}

#[test]
fn c33_every_end_bumps_the_epoch_and_the_answer_says_so() {
    let (mut desk, me) = ongoing(2);
    let next = desk.end_v2(me, true).expect("committed");
    assert_eq!(next, producer(1, 1));
    assert_eq!(desk.markers()[0].producer_epoch, 1);
    desk.settle();
    desk.add(next, &[0]).expect("the next transaction");
    assert_eq!(desk.end_v2(next, false), Ok(producer(1, 2)));
    desk.settle();
    assert_eq!(desk.state(), "CompleteAbort");
}

/// The table in `TransactionCoordinator.endTransaction`: a retry has the epoch before the current one.
#[test]
fn c26_the_answers_of_every_state_under_version_2() {
    let (invalid, fenced) = (Err(ResponseError::InvalidTxnState), Err(ResponseError::ProducerFenced));
    let completed = |commit: bool| {
        let (mut desk, me) = ongoing(2);
        let next = desk.end_v2(me, commit).expect("ended");
        desk.settle();
        (desk, me, next)
    };
    let (mut desk, old, current) = completed(true);
    assert_eq!(desk.end_v2(old, true), Ok(current), "CompleteCommit, retry");
    assert_eq!(desk.end_v2(old, false), invalid);
    assert_eq!(desk.end_v2(current, true), invalid);
    assert_eq!(desk.end_v2(current, false), Ok(producer(1, 2)), "an abort of nothing bumps");
    let (mut desk, old, current) = completed(false);
    assert_eq!(desk.end_v2(old, false), Ok(current), "CompleteAbort, retry");
    assert_eq!(desk.end_v2(old, true), invalid);
    assert_eq!(desk.end_v2(current, true), invalid);
    assert_eq!(desk.end_v2(current, false), Ok(producer(1, 2)));
    desk.settle();
    assert_eq!(desk.end_v2(old, false), fenced, "two epochs ago");
    let mut desk = Desk::new(2);
    let first = desk.init(None).expect("a producer");
    let second = desk.init(None).expect("another");
    assert_eq!(desk.end_v2(first, false), fenced, "Empty, retry");
    assert_eq!(desk.end_v2(first, true), fenced);
    assert_eq!(desk.end_v2(second, true), invalid);
    assert_eq!(desk.end_v2(second, false), Ok(producer(1, 2)));
    assert!(desk.sends.is_empty(), "no partition, no marker");
    desk.settle();
    assert_eq!(desk.state(), "CompleteAbort");
}

#[test]
fn c33_in_an_ongoing_transaction_only_the_current_epoch_ends_it() {
    let (mut desk, me) = ongoing(2);
    assert_eq!(desk.end_v2(producer(1, 1), true), Err(ResponseError::ProducerFenced));
    assert_eq!(desk.end_v2(producer(2, 0), true), Err(ResponseError::InvalidProducerIdMapping));
    let asked = desk.ask_end(5, me, true);
    assert_eq!(desk.end_v2(me, true), Err(ResponseError::ConcurrentTransactions));
    assert_eq!(desk.end_answer(asked), Ok(producer(1, 1)));
}

#[test]
fn c33_when_the_epochs_are_used_up_the_end_brings_a_new_producer_id() {
    let (mut desk, _) = ongoing(2);
    desk.set_epoch(i16::MAX - 1);
    let last = producer(1, i16::MAX - 1);
    let next = desk.end_v2(last, true).expect("committed");
    assert_eq!(next, producer(2, 0));
    let marker = desk.markers().remove(0);
    assert_eq!((marker.producer_id.0, marker.producer_epoch), (1, i16::MAX), "the marker is the old one's");
    desk.settle();
    assert_eq!(desk.end_v2(last, true), Ok(next), "a retry");
    assert_eq!(desk.add(next, &[0]), Ok(()));
}

#[test]
fn c34_before_version_2_a_late_end_hits_the_next_transaction() {
    let (mut desk, me) = ongoing(1);
    // The first abort is delayed; the client sends it again and goes on.
    assert_eq!(desk.end(me, false), Ok(()));
    desk.settle();
    desk.add(me, &[0]).expect("the next transaction");
    assert_eq!(desk.end(me, false), Ok(()), "the delayed abort");
    assert_eq!(desk.state(), "PrepareAbort", "records of the next transaction are lost");
    desk.settle();
    assert_eq!(desk.end(me, true), Err(ResponseError::InvalidTxnState));
}

#[test]
fn c34_with_version_2_a_late_end_is_fenced() {
    let (mut desk, me) = ongoing(2);
    let next = desk.end_v2(me, false).expect("aborted");
    desk.settle();
    desk.add(next, &[0]).expect("the next transaction");
    assert_eq!(desk.end_v2(me, false), Err(ResponseError::ProducerFenced), "the delayed abort");
    assert_eq!(desk.state(), "Ongoing");
}

#[test]
fn d39_the_later_of_two_processes_wins() {
    let (mut desk, old) = ongoing(1);
    assert_eq!(desk.init(None), Err(ResponseError::ConcurrentTransactions));
    desk.settle();
    let new = desk.init(None).expect("the later one");
    assert_eq!(desk.add(old, &[2]), Err(ResponseError::ProducerFenced));
    assert_eq!(desk.end(old, true), Err(ResponseError::ProducerFenced));
    assert_eq!(desk.add(new, &[2]), Ok(()));
}

#[test]
fn an_answer_is_not_sent_on_a_connection_that_is_gone() {
    let (mut desk, me) = ongoing(1);
    desk.ask_end(3, me, true);
    desk.coordinator.drop_connection(ConnectionId(1));
    desk.ack_all();
    assert!(desk.answers.is_empty());
    assert_eq!(desk.state(), "PrepareCommit", "the commit goes on");
}
