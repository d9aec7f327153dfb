//! Plain offsets: when they are seen, when not, and what remains of them.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{OffsetCommitResponse, OffsetFetchResponse};

use super::members::{join, protocols, subscription, sync};
use super::{Desk, TOPIC, answer, group, text};
use crate::broker::Output;
use crate::cluster::topic_name;

const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1000;
const CHECK_MS: i64 = 10 * 60 * 1000;

pub(super) fn commit(member_id: &str, generation: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name(TOPIC));
    OffsetCommitRequest::default()
        .with_group_id(group())
        .with_member_id(text(member_id))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![topic.with_partitions(vec![partition])])
}

pub(super) fn fetch(require_stable: bool) -> OffsetFetchRequest {
    let topic =
        OffsetFetchRequestTopics::default().with_name(topic_name(TOPIC)).with_partition_indexes(vec![0]);
    let wanted = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![topic]));
    OffsetFetchRequest::default().with_groups(vec![wanted]).with_require_stable(require_stable)
}

/// Offset, and the errors of group and partition.
pub(super) fn fetched(response: &OffsetFetchResponse) -> (i64, i16, i16) {
    let group = &response.groups[0];
    let partition = group.topics.first().map(|topic| &topic.partitions[0]);
    let offset = partition.map_or(-1, |partition| partition.committed_offset);
    (offset, group.error_code, partition.map_or(0, |partition| partition.error_code))
}

fn codes(response: &OffsetCommitResponse) -> i16 {
    response.topics[0].partitions[0].error_code
}

impl Desk {
    pub(super) fn committed(&mut self) -> i64 {
        let response: OffsetFetchResponse = self.call(fetch(false));
        fetched(&response).0
    }

    pub(super) fn commit(&mut self, member_id: &str, generation: i32, offset: i64) -> i16 {
        let response: OffsetCommitResponse = self.call_written(commit(member_id, generation, offset));
        codes(&response)
    }
}

#[test]
fn a_commit_is_seen_when_it_is_written_and_not_before() {
    let mut desk = Desk::new();
    assert_eq!(desk.commit("", -1, 5), 0);
    assert_eq!(desk.ask(commit("", -1, 6)), [], "its answer waits");
    let wanted = desk.correlation;
    assert_eq!(desk.committed(), 5);
    assert_eq!(desk.ask(fetch(true)), [], "a stable one waits too");
    let stable = desk.correlation;
    let outputs = desk.replicate();
    assert_eq!(codes(&answer(&outputs, wanted).expect("written")), 0);
    assert_eq!(fetched(&answer(&outputs, stable).expect("written")), (6, 0, 0));
    assert_eq!(desk.committed(), 6);
    desk.restart();
    assert_eq!(desk.committed(), 6);
}

#[test]
fn a_commit_that_cannot_be_written_is_refused_and_never_seen() {
    for (error, told, stable_error) in [
        (ResponseError::NotEnoughReplicas, ResponseError::CoordinatorNotAvailable, 0),
        (ResponseError::InvalidTxnState, ResponseError::InvalidTxnState, 0),
        (
            ResponseError::NotLeaderOrFollower,
            ResponseError::NotCoordinator,
            ResponseError::NotCoordinator.code(),
        ),
    ] {
        let mut desk = Desk::new();
        desk.ask(commit("", -1, 6));
        let wanted = desk.correlation;
        desk.ask(fetch(true));
        let stable = desk.correlation;
        let outputs = desk.fail(error);
        assert_eq!(codes(&answer(&outputs, wanted).expect("refused")), told.code());
        let refused = fetched(&answer(&outputs, stable).expect("refused"));
        assert_eq!(refused, (-1, stable_error, 0));
        assert_eq!(desk.committed(), -1);
        assert!(desk.coordinator.groups.is_empty(), "the simple group never was");
    }
}

#[test]
fn a_commit_that_times_out_may_come_true_later() {
    let mut desk = Desk::new();
    desk.ask(commit("", -1, 6));
    let wanted = desk.correlation;
    let write = desk.sent.remove(0);
    let outputs = desk.outcome(write.ticket, Err(ResponseError::RequestTimedOut));
    let told = ResponseError::CoordinatorNotAvailable.code();
    assert_eq!(codes(&answer(&outputs, wanted).expect("refused")), told);
    assert_eq!(desk.committed(), -1);
    desk.append(&write);
    assert_eq!(desk.outcome(write.ticket, Ok(0)), []);
    assert_eq!(desk.committed(), 6);
}

#[test]
fn of_a_topic_that_is_not_there_the_coordinator_is_not_even_asked() {
    let mut desk = Desk::new();
    let mut request = commit("nobody", 7, 6);
    let known = request.topics[0].clone();
    request.topics[0].name = topic_name("nowhere");
    let response: OffsetCommitResponse = desk.call(request.clone());
    assert_eq!(codes(&response), ResponseError::UnknownTopicOrPartition.code());
    request.topics.push(known);
    let response: OffsetCommitResponse = desk.call(request.clone());
    let codes: Vec<i16> = response.topics.iter().map(|topic| topic.partitions[0].error_code).collect();
    let expected = [ResponseError::UnknownTopicOrPartition, ResponseError::GroupIdNotFound];
    assert_eq!(codes, expected.map(|error| error.code()));
    desk.ask_in(8, request);
    assert!(desk.sent.is_empty());
}

#[test]
fn a_member_of_a_group_that_is_not_there_has_an_old_generation() {
    let mut desk = Desk::new();
    let outputs = desk.ask_in(8, commit("nobody", 7, 6));
    let response: OffsetCommitResponse = answer(&outputs, desk.correlation).expect("at once");
    assert_eq!(codes(&response), ResponseError::IllegalGeneration.code());
}

#[test]
fn metadata_has_its_bounds() {
    let mut desk = Desk::new();
    let mut request = commit("", -1, 6);
    request.topics[0].partitions[0].committed_metadata = Some(text(&"x".repeat(4097)));
    let response: OffsetCommitResponse = desk.call(request);
    assert_eq!(codes(&response), ResponseError::OffsetMetadataTooLarge.code());
}

/// The checks up to one that finds something.
fn tombstones(desk: &mut Desk) -> usize {
    desk.tick(CHECK_MS);
    desk.sent.iter().flat_map(|write| &write.records).filter(|record| record.value.is_none()).count()
}

#[test]
fn e55_what_nobody_reads_any_more_expires_with_members_there() {
    let mut desk = Desk::new();
    let members = desk.stable(1);
    assert_eq!(desk.commit(&members[0], 1, 6), 0);
    let other = protocols(&["range"], &subscription("elsewhere"));
    desk.ask(join(&members[0]).with_protocols(other).with_session_timeout_ms(30 * 60 * 1000));
    desk.ask(sync(&members[0], 2, &[]));
    desk.replicate();
    for _ in 0..WEEK_MS / CHECK_MS {
        assert_eq!(tombstones(&mut desk), 0);
        assert_eq!(desk.heartbeat(&members[0], 2), Ok(()));
    }
    assert_eq!(tombstones(&mut desk), 1, "the offset, not the group");
    desk.replicate();
    assert_eq!(desk.committed(), -1);
    assert_eq!(desk.heartbeat(&members[0], 2), Ok(()));
}

#[test]
fn e55_what_members_read_does_not_expire() {
    let mut desk = Desk::new();
    let members = desk.stable(1);
    assert_eq!(desk.commit(&members[0], 1, 6), 0);
    for _ in 0..(WEEK_MS + CHECK_MS) / 9_000 {
        desk.tick(9_000);
        assert_eq!(desk.heartbeat(&members[0], 1), Ok(()));
    }
    assert_eq!(desk.committed(), 6);
}

#[test]
fn e46_a_group_without_members_and_offsets_is_gone_at_the_next_check() {
    let mut desk = Desk::new();
    let members = desk.stable(1);
    desk.tick(CHECK_MS / 2);
    assert_eq!(desk.commit(&members[0], 1, 6), ResponseError::UnknownMemberId.code(), "its session is over");
    assert_eq!(tombstones(&mut desk), 1, "the group");
    desk.replicate();
    let response = desk.call_unwritten(commit(&members[0], 1, 6));
    assert_eq!(codes(&response), ResponseError::GroupIdNotFound.code());
    assert_eq!(desk.heartbeat(&members[0], 1), Err(ResponseError::UnknownMemberId));
}

#[test]
fn a_check_leaves_a_group_alone_whose_first_offset_is_being_written() {
    let mut desk = Desk::new();
    desk.ask(commit("", -1, 6));
    desk.tick(2 * CHECK_MS);
    assert_eq!(desk.sent.len(), 1, "the commit, and no tombstone");
    desk.replicate();
    assert_eq!(desk.committed(), 6);
}

#[test]
fn a_group_whose_tombstone_is_being_written_is_dead() {
    let mut desk = Desk::new();
    assert_eq!(desk.commit("", -1, 6), 0);
    desk.tick(WEEK_MS);
    assert_eq!(tombstones(&mut desk), 2, "the offset and the group");
    let response: OffsetCommitResponse = desk.call_unwritten(commit("", -1, 7));
    assert_eq!(codes(&response), ResponseError::CoordinatorNotAvailable.code());
    desk.fail(ResponseError::NotEnoughReplicas);
    assert_eq!(desk.commit("", -1, 7), 0, "it lives again");
}

impl Desk {
    fn call_unwritten(&mut self, request: OffsetCommitRequest) -> OffsetCommitResponse {
        let outputs: Vec<Output> = self.ask(request);
        answer(&outputs, self.correlation).expect("an answer at once")
    }
}

#[test]
fn a_retention_time_of_the_clients_own_counts_instead() {
    let mut desk = Desk::new();
    desk.ask_in(4, commit("", -1, 6).with_retention_time_ms(60_000));
    desk.replicate();
    assert_eq!(tombstones(&mut desk), 2);
    desk.replicate();
    assert_eq!(desk.committed(), -1);
}

#[test]
fn offsets_expire_by_the_brokers_clock() {
    let mut desk = Desk::new();
    assert_eq!(desk.commit("", -1, 6), 0);
    desk.coordinator.set_clock(WEEK_MS);
    assert_eq!(desk.committed(), 6);
    assert_eq!(tombstones(&mut desk), 2);
}
