//! Members and generations, and what of them waits for the log.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use kafka_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use kafka_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupResponse, LeaveGroupResponse, SyncGroupResponse,
};

use super::{Desk, SESSION_MS, answer, group, text};
use crate::broker::Output;
use crate::protocol::Response;

pub(super) fn protocols(names: &[&str], metadata: &Bytes) -> Vec<JoinGroupRequestProtocol> {
    let protocol = |name: &&str| {
        JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(metadata.clone())
    };
    names.iter().map(protocol).collect()
}

/// Subscribes to the topic of the tests, in the consumer protocol's version 0.
pub(super) fn subscription(topic: &str) -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, u8::try_from(topic.len()).expect("short")];
    bytes.extend(topic.as_bytes());
    bytes.extend([0xff; 4]);
    bytes.into()
}

pub(super) fn join(member_id: &str) -> JoinGroupRequest {
    JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(SESSION_MS)
        .with_rebalance_timeout_ms(60_000)
        .with_member_id(text(member_id))
        .with_protocol_type(text("consumer"))
        .with_protocols(protocols(&["range"], &subscription(super::TOPIC)))
}

fn static_join(member_id: &str, instance: &str) -> JoinGroupRequest {
    join(member_id).with_group_instance_id(Some(text(instance)))
}

pub(super) fn sync(member_id: &str, generation: i32, shares: &[(&str, &'static str)]) -> SyncGroupRequest {
    let shares = shares.iter().map(|(member, share)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(Bytes::from_static(share.as_bytes()))
    });
    SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(generation)
        .with_member_id(text(member_id))
        .with_assignments(shares.collect())
}

pub(super) fn leave(members: &[&str]) -> LeaveGroupRequest {
    let members = members.iter().map(|member| MemberIdentity::default().with_member_id(text(member)));
    LeaveGroupRequest::default().with_group_id(group()).with_members(members.collect())
}

impl Desk {
    pub(super) fn member_id(&mut self) -> String {
        let response: JoinGroupResponse = self.call(join(""));
        assert_eq!(response.error_code, ResponseError::MemberIdRequired.code());
        self.replicate();
        response.member_id.to_string()
    }

    /// A group of so many members in its first generation; the first is the leader.
    pub(super) fn stable(&mut self, count: usize) -> Vec<String> {
        let members: Vec<String> = (0..count).map(|_| self.member_id()).collect();
        members.iter().for_each(|member| assert_eq!(self.ask(join(member)), []));
        assert_eq!(self.tick(6_000).len(), count);
        members.iter().skip(1).for_each(|member| assert_eq!(self.ask(sync(member, 1, &[])), []));
        assert_eq!(self.ask(sync(&members[0], 1, &[(&members[0], "everything")])), []);
        assert_eq!(self.replicate().len(), count + 1);
        members
    }

    pub(super) fn heartbeat(&mut self, member_id: &str, generation: i32) -> Result<(), ResponseError> {
        let request = HeartbeatRequest::default()
            .with_group_id(group())
            .with_generation_id(generation)
            .with_member_id(text(member_id));
        let response: HeartbeatResponse = self.call(request);
        ResponseError::try_from_code(response.error_code).map_or(Ok(()), Err)
    }
}

fn syncs(outputs: &[Output]) -> Vec<(i16, Bytes)> {
    let sync = |output: &Output| match output {
        Output::Respond { response: Response::SyncGroup(sync), .. } => {
            Some((sync.error_code, sync.assignment.clone()))
        }
        _ => None,
    };
    outputs.iter().filter_map(sync).collect()
}

#[test]
fn a_generation_is_there_when_it_is_written_and_not_before() {
    let mut desk = Desk::new();
    let member = desk.member_id();
    desk.ask(join(&member));
    desk.tick(6_000);
    assert_eq!(desk.ask(sync(&member, 1, &[(&member, "share")])), []);
    assert_eq!(desk.ask(sync(&member, 1, &[(&member, "share")])), [], "again: the leader is impatient");
    assert_eq!(desk.tick(9_999), [], "while it waits, its session does not end");
    let outputs = desk.replicate();
    assert!(matches!(&outputs[0], Output::Rebalanced { generation: 1, .. }), "{outputs:?}");
    assert_eq!(syncs(&outputs), [(0, Bytes::from_static(b"share"))]);
    desk.restart();
    assert_eq!(desk.heartbeat(&member, 1), Ok(()));
    let response: SyncGroupResponse = desk.call(sync(&member, 1, &[]));
    assert_eq!(response.assignment, "share");
}

#[test]
fn an_assignment_that_cannot_be_written_makes_everybody_join_again() {
    for (error, told) in [
        (ResponseError::NotEnoughReplicas, ResponseError::CoordinatorNotAvailable),
        (ResponseError::RequestTimedOut, ResponseError::CoordinatorNotAvailable),
        (ResponseError::NotLeaderOrFollower, ResponseError::NotCoordinator),
        (ResponseError::MessageTooLarge, ResponseError::UnknownServerError),
    ] {
        let mut desk = Desk::new();
        let members = [desk.member_id(), desk.member_id()];
        members.iter().for_each(|member| drop(desk.ask(join(member))));
        desk.tick(6_000);
        desk.ask(sync(&members[1], 1, &[]));
        desk.ask(sync(&members[0], 1, &[]));
        let outputs = desk.fail(error);
        assert_eq!(syncs(&outputs), [(told.code(), Bytes::new()), (told.code(), Bytes::new())]);
        assert_eq!(desk.heartbeat(&members[0], 1), Err(ResponseError::RebalanceInProgress));
    }
}

#[test]
fn an_assignment_that_comes_too_late_changes_nothing() {
    let mut desk = Desk::new();
    let first = desk.member_id();
    desk.ask(join(&first));
    desk.tick(6_000);
    desk.ask(sync(&first, 1, &[(&first, "old")]));
    let second = desk.member_id_unwritten();
    let outputs = desk.ask(join(&second));
    assert_eq!(syncs(&outputs).len(), 1, "its wait is over: {outputs:?}");
    assert_eq!(desk.replicate(), [], "the generation is not completed any more");
    assert_eq!(desk.heartbeat_after_write(&first, 1), Err(ResponseError::RebalanceInProgress));
}

impl Desk {
    fn member_id_unwritten(&mut self) -> String {
        let response: JoinGroupResponse = self.call(join(""));
        response.member_id.to_string()
    }

    fn heartbeat_after_write(&mut self, member: &str, generation: i32) -> Result<(), ResponseError> {
        self.replicate();
        self.heartbeat(member, generation)
    }
}

#[test]
fn a_group_that_could_not_be_written_is_not_there() {
    let mut desk = Desk::new();
    let member = desk.member_id_unwritten();
    assert_eq!(desk.fail(ResponseError::NotEnoughReplicas), []);
    let response: JoinGroupResponse = desk.call(join(&member));
    assert_eq!(response.error_code, ResponseError::UnknownMemberId.code());
    assert_eq!(desk.coordinator.next_deadline(), desk.coordinator.led[&desk.partition].next_check);
}

#[test]
fn before_version_4_a_member_is_in_without_a_second_request() {
    let mut desk = Desk::new();
    assert_eq!(desk.ask_in(3, join("")), [], "parked");
    let wanted = desk.correlation;
    desk.replicate();
    let outputs = desk.tick(3_000);
    let response: JoinGroupResponse = answer(&outputs, wanted).expect("the initial delay is over");
    assert_eq!((response.error_code, response.generation_id), (0, 1));
}

#[test]
fn a_new_member_that_waits_for_five_minutes_is_given_up() {
    let mut desk = Desk::new();
    let slow = join("").with_rebalance_timeout_ms(20 * 60 * 1000);
    let response: JoinGroupResponse = desk.call(slow.clone());
    desk.replicate();
    let first = response.member_id.to_string();
    desk.ask(slow.clone().with_member_id(text(&first)));
    desk.tick(6_000);
    desk.ask(sync(&first, 1, &[]));
    desk.replicate();
    let second = desk.member_id();
    desk.ask(slow.with_member_id(text(&second)));
    let wanted = desk.correlation;
    for _ in 0..29 {
        assert_eq!(desk.tick(9_999), []);
        assert_eq!(desk.heartbeat(&first, 1), Err(ResponseError::RebalanceInProgress));
    }
    desk.tick(9_999);
    desk.heartbeat(&first, 1).expect_err("rebalancing");
    let response: JoinGroupResponse = answer(&desk.tick(1_000), wanted).expect("five minutes are over");
    assert_eq!(response.error_code, ResponseError::UnknownMemberId.code());
}

#[test]
fn the_protocol_with_most_votes_wins() {
    let mut desk = Desk::new();
    let votes: [&[&str]; 3] = [
        &["cooperative-sticky", "range"],
        &["range", "cooperative-sticky"],
        &["range", "cooperative-sticky"],
    ];
    let members = [desk.member_id(), desk.member_id(), desk.member_id()];
    for (member, names) in members.iter().zip(votes) {
        desk.ask(join(member).with_protocols(protocols(names, &Bytes::new())));
    }
    let outputs = desk.tick(9_000);
    let response: JoinGroupResponse = answer(&outputs, desk.correlation).expect("joined");
    assert_eq!(response.protocol_name, Some(text("range")));
}

#[test]
fn a_group_of_full_size_takes_no_more_members() {
    let mut desk = Desk::with(|config| config.group_max_size = 2);
    let members = desk.stable(2);
    let refused: JoinGroupResponse = desk.call(join(""));
    assert_eq!(refused.error_code, ResponseError::GroupMaxSizeReached.code());
    assert_eq!(desk.heartbeat(&members[1], 1), Ok(()));
}

#[test]
fn whoever_joins_first_is_in_a_group_that_is_too_large() {
    let mut desk = Desk::with(|config| config.group_max_size = 2);
    let ids = [desk.member_id(), desk.member_id(), desk.member_id()];
    desk.ask(join(&ids[0]));
    desk.ask(join(&ids[1]));
    let refused: JoinGroupResponse = desk.call(join(&ids[2]));
    assert_eq!(refused.error_code, ResponseError::GroupMaxSizeReached.code());
}

#[test]
fn the_last_member_has_left_when_that_is_written() {
    let mut desk = Desk::new();
    let members = desk.stable(1);
    let outputs = desk.ask(leave(&[&members[0]]));
    assert!(matches!(&outputs[..], [Output::Rebalanced { generation: 2, .. }]), "{outputs:?}");
    let wanted = desk.correlation;
    let outputs = desk.replicate();
    let response: LeaveGroupResponse = answer(&outputs, wanted).expect("written");
    assert_eq!(response.members[0].error_code, 0);
    desk.restart();
    assert_eq!(desk.heartbeat(&members[0], 1), Err(ResponseError::UnknownMemberId));
    let member = desk.member_id();
    desk.ask(join(&member));
    let outputs = desk.tick(3_000);
    let response: JoinGroupResponse = answer(&outputs, desk.correlation).expect("joined");
    assert_eq!(response.generation_id, 3, "generations go on");
}

#[test]
fn a_leave_that_cannot_be_written_is_refused() {
    let mut desk = Desk::new();
    let members = desk.stable(1);
    desk.ask(leave(&[&members[0]]));
    let wanted = desk.correlation;
    let response: LeaveGroupResponse =
        answer(&desk.fail(ResponseError::RequestTimedOut), wanted).expect("refused");
    assert_eq!(response.error_code, ResponseError::CoordinatorNotAvailable.code());
    let response: LeaveGroupResponse = desk.call(leave(&["nobody"]));
    assert_eq!(response.members[0].error_code, ResponseError::UnknownMemberId.code());
}

#[test]
fn a_heartbeat_waits_for_what_is_being_written() {
    let mut desk = Desk::new();
    let members = desk.stable(1);
    desk.ask(static_join("", "other"));
    desk.ask(join(&members[0]));
    desk.ask(sync(&members[0], 2, &[]));
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(2)
        .with_member_id(text(&members[0]));
    assert_eq!(desk.ask(heartbeat.clone()), []);
    let wanted = desk.correlation;
    let response: HeartbeatResponse = answer(&desk.replicate(), wanted).expect("written");
    assert_eq!(response.error_code, 0);
}

/// A stable group of one static member.
fn stable_static(desk: &mut Desk) -> String {
    desk.ask(static_join("", "instance"));
    let wanted = desk.correlation;
    desk.replicate();
    let response: JoinGroupResponse = answer(&desk.tick(3_000), wanted).expect("joined");
    let member = response.member_id.to_string();
    desk.ask(sync(&member, 1, &[(&member, "everything")]));
    desk.replicate();
    member
}

#[test]
fn a_static_members_new_id_is_told_when_it_is_written() {
    let mut desk = Desk::new();
    let old = stable_static(&mut desk);
    assert_eq!(desk.ask(static_join("", "instance")), []);
    let wanted = desk.correlation;
    let response: JoinGroupResponse = answer(&desk.replicate(), wanted).expect("written");
    assert!(response.skip_assignment, "the leader need not assign again (KIP-814)");
    assert_eq!((response.generation_id, response.leader == response.member_id), (1, true));
    assert_eq!(response.members.len(), 1);
    desk.restart();
    let new = response.member_id.to_string();
    assert_eq!(desk.heartbeat(&new, 1), Ok(()));
    assert_eq!(desk.heartbeat(&old, 1), Err(ResponseError::UnknownMemberId));
    let response: SyncGroupResponse = desk.call(sync(&new, 1, &[]));
    assert_eq!(response.assignment, "everything");
}

#[test]
fn a_leader_that_cannot_skip_is_told_of_the_old_leader() {
    let mut desk = Desk::new();
    let old = stable_static(&mut desk);
    desk.ask_in(8, static_join("", "instance"));
    let wanted = desk.correlation;
    let response: JoinGroupResponse = answer(&desk.replicate(), wanted).expect("written");
    assert_eq!((response.leader.to_string(), response.members.len()), (old, 0));
    assert!(!response.skip_assignment);
}

#[test]
fn a_static_members_new_id_that_cannot_be_written_is_taken_back() {
    let mut desk = Desk::new();
    let old = stable_static(&mut desk);
    desk.ask(static_join("", "instance"));
    let wanted = desk.correlation;
    let outputs = desk.fail(ResponseError::NotEnoughReplicas);
    let response: JoinGroupResponse = answer(&outputs, wanted).expect("refused");
    assert_eq!(response.error_code, ResponseError::CoordinatorNotAvailable.code());
    assert_eq!(desk.heartbeat(&old, 1), Ok(()), "as if nothing had been");
}

#[test]
fn a_static_member_that_changes_the_protocol_makes_everybody_join_again() {
    let mut desk = Desk::new();
    let both = protocols(&["range", "sticky"], &subscription(super::TOPIC));
    desk.ask(static_join("", "instance").with_protocols(both));
    desk.replicate();
    let response: JoinGroupResponse = answer(&desk.tick(3_000), desk.correlation).expect("joined");
    let member = response.member_id.to_string();
    desk.ask(sync(&member, 1, &[]));
    desk.replicate();
    let other = protocols(&["sticky"], &subscription(super::TOPIC));
    let response: JoinGroupResponse = desk.call(static_join("", "instance").with_protocols(other));
    assert_eq!((response.error_code, response.generation_id), (0, 2));
    assert!(!response.skip_assignment);
}

#[test]
fn whoever_waits_for_a_write_hears_of_lost_leadership() {
    let mut desk = Desk::new();
    let members = desk.stable(1);
    desk.ask(leave(&[&members[0]]));
    let wanted = desk.correlation;
    let mut todo = crate::coordination::Todo::default();
    desk.coordinator.resigned(desk.now, desk.partition, &mut todo);
    let response: LeaveGroupResponse = answer(&todo.outputs, wanted).expect("told at once");
    assert_eq!(response.error_code, ResponseError::NotCoordinator.code());
    assert_eq!(desk.fail(ResponseError::NotLeaderOrFollower), [], "nobody waits any more");
    assert_eq!(desk.coordinator.next_deadline(), None);
    assert_eq!(desk.heartbeat(&members[0], 1), Err(ResponseError::NotCoordinator));
}

#[test]
fn texts_that_no_record_takes_are_refused() {
    let mut desk = Desk::new();
    let long = "x".repeat(40_000);
    let response: JoinGroupResponse = desk.call(static_join("", &long));
    assert_eq!(response.error_code, ResponseError::InvalidRequest.code());
    let request = join("").with_group_id(kafka_protocol::messages::GroupId(text(&long)));
    let response: JoinGroupResponse = desk.call(request);
    assert_eq!(response.error_code, ResponseError::InvalidGroupId.code());
}
