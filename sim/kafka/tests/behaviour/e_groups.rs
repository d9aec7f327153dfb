//! E: group membership, by hand against one coordinator.

use bytes::Bytes;
use kafka::{Output, Response, ResponseError, StrBytes};
use kafka_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use kafka_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use kafka_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupResponse, LeaveGroupResponse, SyncGroupResponse,
};

use crate::bench::{Bench, answer};

pub const SESSION_MS: i64 = 10_000;
const REBALANCE_MS: i64 = 60_000;

pub fn group() -> GroupId {
    GroupId(StrBytes::from_static_str("clearing"))
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn join_request(member_id: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(StrBytes::from_static_str("range"))
        .with_metadata(Bytes::from_static(b"subscription"));
    JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(i32::try_from(SESSION_MS).expect("small"))
        .with_rebalance_timeout_ms(i32::try_from(REBALANCE_MS).expect("small"))
        .with_member_id(text(member_id))
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol])
}

pub fn sync_request(member_id: &str, generation: i32, shares: &[(&str, &'static str)]) -> SyncGroupRequest {
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

impl Bench {
    /// The id handshake of a new dynamic member.
    pub fn member_id(&mut self, client: &str) -> String {
        let outputs = self.ask_as(client, join_request(""));
        let response: JoinGroupResponse = answer(&outputs, self.correlation).expect("an answer at once");
        assert_eq!(response.error_code, ResponseError::MemberIdRequired.code());
        response.member_id.to_string()
    }

    pub fn heartbeat(&mut self, member_id: &str, generation: i32) -> Result<(), ResponseError> {
        let request = HeartbeatRequest::default()
            .with_group_id(group())
            .with_generation_id(generation)
            .with_member_id(text(member_id));
        let response: HeartbeatResponse = self.call(request);
        ResponseError::try_from_code(response.error_code).map_or(Ok(()), Err)
    }

    /// A group of these clients in its first generation, in that order, with the first as leader.
    pub fn stable_group(&mut self, clients: &[&str]) -> Vec<String> {
        let members: Vec<String> = clients.iter().map(|client| self.member_id(client)).collect();
        for (client, member) in clients.iter().zip(&members) {
            assert_eq!(self.ask_as(client, join_request(member)), []);
        }
        let joined = self.pass(6_000);
        assert_eq!(joined.len(), members.len(), "{joined:?}");
        for member in members.iter().skip(1) {
            assert_eq!(self.ask(sync_request(member, 1, &[])), []);
        }
        let outputs = self.ask(sync_request(&members[0], 1, &[(&members[0], "everything")]));
        assert!(matches!(outputs[0], Output::Rebalanced { generation: 1, .. }), "{outputs:?}");
        assert_eq!(outputs.len(), 1 + members.len());
        members
    }
}

/// Generations of the `JoinGroup` answers among the outputs, with their errors.
pub fn joins(outputs: &[Output]) -> Vec<(i32, i16)> {
    let join = |output: &Output| match output {
        Output::Respond { response: Response::JoinGroup(join), .. } => {
            Some((join.generation_id, join.error_code))
        }
        _ => None,
    };
    outputs.iter().filter_map(join).collect()
}

#[test]
fn e45_a_member_that_joins_makes_everybody_rejoin_and_get_a_share_of_the_new_generation() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a"]);
    let second = bench.member_id("b");
    assert_eq!(bench.ask(join_request(&second)), [], "parked until the first one rejoins");
    let second_join = bench.correlation;
    assert_eq!(bench.heartbeat(&members[0], 1), Err(ResponseError::RebalanceInProgress));
    let outputs = bench.ask(join_request(&members[0]));
    let response: JoinGroupResponse = answer(&outputs, bench.correlation).expect("all have joined");
    assert_eq!((response.generation_id, response.leader.as_str()), (2, members[0].as_str()));
    assert_eq!(response.members.len(), 2, "the leader is told who is there");
    let response: JoinGroupResponse = answer(&outputs, second_join).expect("all have joined");
    assert_eq!((response.generation_id, response.members.len()), (2, 0));

    assert_eq!(bench.ask(sync_request(&second, 2, &[])), [], "parked until the leader decides");
    let second_sync = bench.correlation;
    let outputs = bench.ask(sync_request(&members[0], 2, &[(&members[0], "one"), (&second, "two")]));
    let response: SyncGroupResponse = answer(&outputs, second_sync).expect("the leader has decided");
    assert_eq!(response.assignment, Bytes::from_static(b"two"));
    let response: SyncGroupResponse = answer(&outputs, bench.correlation).expect("the leader has decided");
    assert_eq!(response.assignment, Bytes::from_static(b"one"));
}

#[test]
fn e45_a_stale_generation_is_refused() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a"]);
    assert_eq!(bench.heartbeat(&members[0], 0), Err(ResponseError::IllegalGeneration));
    assert_eq!(bench.heartbeat("nobody-1", 1), Err(ResponseError::UnknownMemberId));
    let response: SyncGroupResponse = bench.call(sync_request(&members[0], 0, &[]));
    assert_eq!(response.error_code, ResponseError::IllegalGeneration.code());
    assert_eq!(bench.heartbeat(&members[0], 1), Ok(()));
}

#[test]
fn e46_a_member_without_heartbeats_is_out_exactly_at_its_session_timeout() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a", "b"]);
    bench.pass(SESSION_MS - 1);
    assert_eq!(bench.heartbeat(&members[0], 1), Ok(()));
    assert_eq!(bench.pass(1), [], "the other one's session ends silently");
    assert_eq!(bench.heartbeat(&members[1], 1), Err(ResponseError::UnknownMemberId));
    assert_eq!(bench.heartbeat(&members[0], 1), Err(ResponseError::RebalanceInProgress));
    let outputs = bench.ask(join_request(&members[0]));
    assert_eq!(joins(&outputs), [(2, 0)], "alone, it need not wait");
}

#[test]
fn e46_a_member_that_does_not_rejoin_in_time_is_out() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a", "b"]);
    bench.ask(join_request(&members[0]));
    for _ in 0..5 {
        bench.pass(SESSION_MS - 1);
        assert_eq!(bench.heartbeat(&members[1], 1), Err(ResponseError::RebalanceInProgress));
    }
    let outputs = bench.pass(SESSION_MS - 1);
    assert_eq!(joins(&outputs), [], "heartbeats keep it in the group until the rebalance time-out");
    bench.heartbeat(&members[1], 1).expect_err("rebalancing");
    let outputs = bench.pass(6);
    assert_eq!(joins(&outputs), [(2, 0)]);
    assert_eq!(bench.heartbeat(&members[1], 1), Err(ResponseError::UnknownMemberId));
}

#[test]
fn e46_session_timeouts_out_of_the_brokers_range_are_refused() {
    let mut bench = Bench::new();
    for session_timeout_ms in [5_999, 30 * 60 * 1000 + 1] {
        let request = join_request("").with_session_timeout_ms(session_timeout_ms);
        let response: JoinGroupResponse = bench.call(request);
        assert_eq!(response.error_code, ResponseError::InvalidSessionTimeout.code());
    }
}

#[test]
fn e46_a_member_that_leaves_is_out_at_once() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a", "b"]);
    let identity = MemberIdentity::default().with_member_id(text(&members[0]));
    let request =
        LeaveGroupRequest::default().with_group_id(group()).with_members(vec![identity.clone(), identity]);
    let response: LeaveGroupResponse = bench.call(request);
    let codes: Vec<i16> = response.members.iter().map(|member| member.error_code).collect();
    assert_eq!(codes, [0, ResponseError::UnknownMemberId.code()]);
    let outputs = bench.ask(join_request(&members[1]));
    let response: JoinGroupResponse = answer(&outputs, bench.correlation).expect("alone");
    assert_eq!((response.generation_id, response.leader.as_str()), (2, members[1].as_str()));
}

#[test]
fn e47_the_first_rebalance_waits_for_its_delay_and_longer_for_newcomers() {
    let mut bench = Bench::new();
    let first = bench.member_id("a");
    bench.ask(join_request(&first));
    assert_eq!(bench.pass(2_999), []);
    let second = bench.member_id("b");
    bench.ask(join_request(&second));
    assert_eq!(bench.pass(1), [], "somebody came: three seconds more");
    assert_eq!(bench.pass(2_999), []);
    assert_eq!(joins(&bench.pass(1)), [(1, 0), (1, 0)]);
}

#[test]
fn e47_a_lone_member_joins_after_exactly_three_seconds() {
    let mut bench = Bench::new();
    let first = bench.member_id("a");
    bench.ask(join_request(&first));
    assert_eq!(joins(&bench.pass(2_999)), []);
    assert_eq!(joins(&bench.pass(1)), [(1, 0)]);
}

#[test]
fn e_a_lost_join_answer_is_given_again_without_a_rebalance() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a", "b"]);
    let outputs = bench.ask(join_request(&members[1]));
    assert_eq!(joins(&outputs), [(1, 0)], "a follower that asks again is told the same generation");
    assert_eq!(bench.heartbeat(&members[0], 1), Ok(()));
}

#[test]
fn e_members_that_never_sync_are_out_after_the_rebalance_timeout() {
    let mut bench = Bench::new();
    let members: Vec<String> = ["a", "b"].map(|client| bench.member_id(client)).to_vec();
    members.iter().for_each(|member| assert_eq!(bench.ask(join_request(member)), []));
    assert_eq!(joins(&bench.pass(6_000)).len(), 2);
    bench.ask(sync_request(&members[1], 1, &[]));
    // The leader (members[0]) is silent: its session ends first, and the follower is told to join again.
    let outputs = bench.pass(SESSION_MS);
    let follower: SyncGroupResponse =
        answer(&outputs, bench.correlation).expect("the parked sync is answered");
    assert_eq!(follower.error_code, ResponseError::RebalanceInProgress.code());
}

#[test]
fn e_members_must_share_a_protocol() {
    let mut bench = Bench::new();
    bench.stable_group(&["a"]);
    let other = JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("sticky"));
    let response: JoinGroupResponse = bench.call(join_request("").with_protocols(vec![other]));
    assert_eq!(response.error_code, ResponseError::InconsistentGroupProtocol.code());
}
