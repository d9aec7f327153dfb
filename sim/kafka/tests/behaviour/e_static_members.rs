//! D44, E: static members, known by `group.instance.id`.

use kafka::{Output, ResponseError};
use kafka_protocol::messages::join_group_request::JoinGroupRequest;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse, JoinGroupResponse, SyncGroupResponse};

use crate::bench::{Bench, answer};
use crate::e_groups::{SESSION_MS, group, join_request, joins, sync_request, text};

fn static_join(member_id: &str, instance: &str) -> JoinGroupRequest {
    join_request(member_id).with_group_instance_id(Some(text(instance)))
}

/// A stable group of one static member.
fn stable(bench: &mut Bench) -> String {
    assert_eq!(bench.ask(static_join("", "clearing-0")), [], "no id handshake");
    let outputs = bench.pass(3_000);
    let response: JoinGroupResponse = answer(&outputs, bench.correlation).expect("the delay is over");
    let member = response.member_id.to_string();
    bench.ask(sync_request(&member, 1, &[(&member, "everything")]));
    member
}

fn heartbeat(bench: &mut Bench, member_id: &str) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(1)
        .with_member_id(text(member_id))
        .with_group_instance_id(Some(text("clearing-0")));
    bench.call::<HeartbeatResponse>(request).error_code
}

#[test]
fn d44_a_second_instance_fences_the_first() {
    let mut bench = Bench::new();
    let first = stable(&mut bench);
    assert_eq!(heartbeat(&mut bench, &first), 0);
    let response: JoinGroupResponse = bench.call(static_join("", "clearing-0"));
    assert_eq!((response.error_code, response.generation_id), (0, 1), "no rebalance");
    let second = response.member_id.to_string();
    assert_ne!(first, second);
    let response: SyncGroupResponse = bench.call(sync_request(&second, 1, &[]));
    assert_eq!(response.assignment, "everything");
    assert_eq!(heartbeat(&mut bench, &first), ResponseError::FencedInstanceId.code());
    assert_eq!(heartbeat(&mut bench, &second), 0);
    let refused: JoinGroupResponse = bench.call(static_join(&first, "clearing-0"));
    assert_eq!(refused.error_code, ResponseError::FencedInstanceId.code());
}

#[test]
fn d44_the_fenced_instances_parked_join_is_answered() {
    let mut bench = Bench::new();
    bench.ask(static_join("", "clearing-0"));
    let first = bench.correlation;
    let outputs = bench.ask(static_join("", "clearing-0"));
    let response: JoinGroupResponse = answer(&outputs, first).expect("fenced");
    assert_eq!(response.error_code, ResponseError::FencedInstanceId.code());
    assert_eq!(joins(&bench.pass(6_000)), [(1, 0)], "the second one alone joins");
}

#[test]
fn e_a_static_member_is_out_when_its_session_ends() {
    let mut bench = Bench::new();
    stable(&mut bench);
    let outputs = bench.pass(SESSION_MS);
    assert!(
        matches!(&outputs[..], [Output::Rebalanced { members, .. }] if members.is_empty()),
        "{outputs:?}"
    );
}
