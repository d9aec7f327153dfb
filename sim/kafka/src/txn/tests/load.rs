//! Coordinators that come and go.

use super::*;

#[test]
fn c23_the_next_coordinator_knows_the_producer() {
    for version in [0, 1, 2] {
        let mut desk = Desk::new(version);
        let me = desk.init(None).expect("a producer");
        desk.add(me, &[0, 1]).expect("a transaction");
        let before = desk.metadata().clone();
        desk.elect(EPOCH + 1);
        let after = desk.metadata();
        assert_eq!((after.producer_id, after.producer_epoch), (me.id, me.epoch));
        assert_eq!((after.state, &after.partitions), (before.state, &before.partitions));
        assert_eq!((after.start_timestamp, after.timeout_ms), (before.start_timestamp, before.timeout_ms));
        assert_eq!(desk.end(me, true), Ok(()));
        assert_eq!(desk.markers()[0].coordinator_epoch, EPOCH + 1);
    }
}

#[test]
fn c28_a_decided_transaction_goes_on_with_its_markers() {
    for commit in [true, false] {
        let mut desk = Desk::new(1);
        let me = desk.init(None).expect("a producer");
        desk.add(me, &[0]).expect("a transaction");
        desk.end(me, commit).expect("decided");
        desk.sends.clear();
        desk.elect(EPOCH + 1);
        let marker = desk.markers().remove(0);
        assert_eq!((marker.coordinator_epoch, marker.transaction_result), (EPOCH + 1, commit));
        assert_eq!(desk.end(me, commit), Err(ResponseError::ConcurrentTransactions));
        desk.settle();
        assert_eq!(desk.end(me, commit), Ok(()), "a repetition at the new coordinator");
    }
}

#[test]
fn c29_a_decision_that_timed_out_is_unknown_here_and_counts_for_the_next_coordinator() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    desk.add(me, &[0]).expect("a transaction");
    let asked = desk.ask_end(3, me, true);
    let write = desk.writes.pop_front().expect("the decision");
    desk.log.extend(write.records.into_iter().map(|record| (write.partition, record)));
    let timed_out = Err(ResponseError::RequestTimedOut);
    desk.with(|coordinator, env| coordinator.written(env, write.ticket, timed_out));
    assert_eq!(desk.end_answer(asked), Err(ResponseError::CoordinatorNotAvailable));
    // Unlike the group coordinator, this one is not told again when the record is replicated after all.
    desk.with(|coordinator, env| coordinator.written(env, write.ticket, Ok(0)));
    assert_eq!((desk.state(), desk.sends.len()), ("Ongoing", 0));
    desk.elect(EPOCH + 1);
    let marker = desk.markers().remove(0);
    assert_eq!((marker.coordinator_epoch, marker.transaction_result), (EPOCH + 1, true));
}

#[test]
fn c33_the_rotation_of_the_producer_id_survives() {
    let mut desk = Desk::new(2);
    desk.init(None).expect("a producer");
    desk.set_epoch(i16::MAX - 1);
    let last = producer(1, i16::MAX - 1);
    desk.add(last, &[0]).expect("a transaction");
    let next = desk.end_v2(last, true).expect("decided");
    desk.sends.clear();
    desk.elect(EPOCH + 1);
    desk.settle();
    assert_eq!(desk.end_v2(last, true), Ok(next), "a retry at the new coordinator");
    assert_eq!(desk.add(next, &[0]), Ok(()));
}

#[test]
fn c24_before_and_while_it_reads_a_coordinator_says_so() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    let partition = desk.coordinator.partition_of(ID);
    desk.with(|coordinator, env| coordinator.resigned(partition, env.todo));
    assert_eq!(desk.init(None), Err(ResponseError::NotCoordinator));
    assert_eq!(desk.add(me, &[0]), Err(ResponseError::NotCoordinator));
    assert_eq!(desk.end(me, true), Err(ResponseError::NotCoordinator));
    assert_eq!(desk.ask_as_leader(me, &[0], true), [Err(ResponseError::NotCoordinator)]);
    desk.with(|coordinator, env| coordinator.elected(partition, 6, env.todo));
    assert_eq!(desk.init(None), Err(ResponseError::CoordinatorLoadInProgress));
    assert_eq!(desk.end(me, true), Err(ResponseError::CoordinatorLoadInProgress));
}

#[test]
fn c29_whoever_waits_at_a_resigning_coordinator_must_ask_the_next_one() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    desk.add(me, &[0]).expect("a transaction");
    let asked = desk.ask_end(3, me, true);
    let partition = desk.coordinator.partition_of(ID);
    desk.with(|coordinator, env| coordinator.resigned(partition, env.todo));
    assert_eq!(desk.end_answer(asked), Err(ResponseError::NotCoordinator));
    // The record was in the log after all: the next coordinator goes on with it, and the retry finds it done.
    desk.ack();
    assert!(desk.sends.is_empty(), "the old coordinator does nothing more");
    desk.elect(EPOCH + 1);
    desk.settle();
    assert_eq!(desk.state(), "CompleteCommit");
    assert_eq!(desk.end(me, true), Ok(()));
}

#[test]
fn c28_answers_to_the_old_coordinators_markers_are_not_taken_for_the_new_ones() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    desk.add(me, &[0]).expect("a transaction");
    desk.end(me, true).expect("decided");
    desk.elect(EPOCH + 1);
    assert_eq!(desk.sends.len(), 2);
    desk.deliver(Ok(()));
    assert!(desk.writes.is_empty(), "it was the old one's");
    desk.deliver(Ok(()));
    desk.ack();
    assert_eq!(desk.state(), "CompleteCommit");
}

#[test]
fn a_crash_forgets_everything_but_what_is_written() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    desk.ask_add(me, &[0]);
    desk.coordinator.crash();
    desk.ack();
    assert!(desk.answers.is_empty());
    desk.elect(EPOCH + 1);
    assert_eq!(desk.state(), "Ongoing", "the record was in the log");
}
