//! Offsets in transactions: behaviours 41, 42, 50, 51.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{OffsetFetchResponse, ProducerId, TransactionalId, TxnOffsetCommitResponse};

use super::members::join;
use super::offsets::{fetch, fetched};
use super::{Desk, TOPIC, answer, group, text};
use crate::cluster::topic_name;

const PRODUCER: i64 = 7;

fn request(member_id: &str, generation: i32, offset: i64) -> TxnOffsetCommitRequest {
    let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name(TOPIC));
    TxnOffsetCommitRequest::default()
        .with_group_id(group())
        .with_transactional_id(TransactionalId(text("relay")))
        .with_producer_id(ProducerId(PRODUCER))
        .with_member_id(text(member_id))
        .with_generation_id(generation)
        .with_topics(vec![topic.with_partitions(vec![partition])])
}

impl Desk {
    fn commit_in_transaction(&mut self, request: TxnOffsetCommitRequest) -> Result<(), ResponseError> {
        let response: TxnOffsetCommitResponse = self.call_written(request);
        let code = response.topics[0].partitions[0].error_code;
        ResponseError::try_from_code(code).map_or(Ok(()), Err)
    }

    fn stable_offset(&mut self) -> (i64, i16) {
        let response: OffsetFetchResponse = self.call(fetch(true));
        let (offset, _, error) = fetched(&response);
        (offset, error)
    }
}

const UNSTABLE: (i64, i16) = (-1, 88);

#[test]
fn e51_an_offset_in_an_open_transaction_is_unstable_until_the_marker() {
    assert_eq!(ResponseError::UnstableOffsetCommit.code(), UNSTABLE.1);
    for (commits, expected) in [(true, 6), (false, 5)] {
        let mut desk = Desk::new();
        assert_eq!(desk.commit("", -1, 5), 0);
        assert_eq!(desk.commit_in_transaction(request("", -1, 6)), Ok(()));
        assert_eq!(desk.committed(), 5, "whoever does not ask for stability sees the last one");
        assert_eq!(desk.stable_offset(), UNSTABLE);
        desk.restart();
        assert_eq!(desk.stable_offset(), UNSTABLE, "also at a new coordinator");
        desk.end_transaction(PRODUCER, commits);
        assert_eq!(desk.stable_offset(), (expected, 0));
        desk.restart();
        assert_eq!(desk.stable_offset(), (expected, 0));
    }
}

#[test]
fn e50_a_plain_commit_that_came_later_is_not_overwritten() {
    let mut desk = Desk::new();
    assert_eq!(desk.commit_in_transaction(request("", -1, 6)), Ok(()));
    assert_eq!(desk.commit("", -1, 3), 0);
    desk.end_transaction(PRODUCER, true);
    assert_eq!(desk.stable_offset(), (3, 0));
    desk.restart();
    assert_eq!(desk.stable_offset(), (3, 0));
}

#[test]
fn e50_a_marker_ends_only_its_producers_transaction() {
    let mut desk = Desk::new();
    assert_eq!(desk.commit_in_transaction(request("", -1, 6)), Ok(()));
    let other = request("", -1, 9).with_producer_id(ProducerId(PRODUCER + 1));
    assert_eq!(desk.commit_in_transaction(other), Ok(()));
    desk.end_transaction(PRODUCER + 1, true);
    assert_eq!(desk.stable_offset(), UNSTABLE);
    assert_eq!(desk.committed(), 9);
    desk.end_transaction(PRODUCER, true);
    assert_eq!(desk.stable_offset(), (9, 0), "its record is the earlier one");
}

#[test]
fn d41_a_zombie_that_says_who_it_is_is_refused() {
    let mut desk = Desk::new();
    let members = desk.stable(1);
    let refused = |error| Err(error);
    assert_eq!(desk.commit_in_transaction(request(&members[0], 1, 6)), Ok(()));
    assert_eq!(
        desk.commit_in_transaction(request(&members[0], 0, 6)),
        refused(ResponseError::IllegalGeneration)
    );
    assert_eq!(desk.commit_in_transaction(request("nobody", 1, 6)), refused(ResponseError::UnknownMemberId));
    let fenced = request("nobody", 1, 6).with_group_instance_id(Some(text("instance")));
    assert_eq!(desk.commit_in_transaction(fenced), refused(ResponseError::UnknownMemberId));
}

#[test]
fn d42_a_zombie_that_does_not_is_not() {
    let mut desk = Desk::new();
    desk.stable(1);
    assert_eq!(desk.commit_in_transaction(request("", -1, 6)), Ok(()));
    desk.end_transaction(PRODUCER, true);
    assert_eq!(desk.stable_offset(), (6, 0));
}

#[test]
fn e48_in_a_transaction_the_groups_state_does_not_matter() {
    let mut desk = Desk::new();
    let members = desk.stable(1);
    desk.ask(join(&members[0]));
    assert_eq!(
        desk.commit_in_transaction(request(&members[0], 2, 6)),
        Ok(()),
        "the assignment is still to come"
    );
}

#[test]
fn d41_a_group_that_is_not_there_has_no_generation() {
    let mut desk = Desk::new();
    assert_eq!(desk.commit_in_transaction(request("nobody", 1, 6)), Err(ResponseError::IllegalGeneration));
    assert_eq!(desk.commit_in_transaction(request("", -1, 6)), Ok(()));
}

#[test]
fn the_log_is_told_whose_transaction_it_is() {
    let mut desk = Desk::new();
    desk.ask_in(4, request("", -1, 6));
    desk.ask_in(5, request("", -1, 7));
    let written: Vec<_> = desk.sent.iter().filter_map(|write| write.transaction.as_ref()).collect();
    assert_eq!(written.iter().map(|transaction| transaction.is_added).collect::<Vec<_>>(), [false, true]);
    assert!(written.iter().all(|transaction| transaction.transactional_id.as_str() == "relay"));
    let wanted = desk.correlation;
    desk.fail(ResponseError::NotEnoughReplicas);
    // What the log says of the transaction is passed on.
    let outputs = desk.fail(ResponseError::InvalidTxnState);
    let response: TxnOffsetCommitResponse = answer(&outputs, wanted).expect("refused");
    assert_eq!(response.topics[0].partitions[0].error_code, ResponseError::InvalidTxnState.code());
}

#[test]
fn an_open_transaction_keeps_its_group_and_its_offset() {
    let mut desk = Desk::new();
    assert_eq!(desk.commit("", -1, 5), 0);
    assert_eq!(desk.commit_in_transaction(request("", -1, 6)), Ok(()));
    desk.tick(8 * 24 * 60 * 60 * 1000);
    assert!(desk.sent.is_empty());
    desk.end_transaction(PRODUCER, false);
    desk.tick(10 * 60 * 1000);
    desk.replicate();
    assert_eq!(desk.committed(), -1);
}
