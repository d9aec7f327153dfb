//! E: groups as an administrator sees them and deletes them.

use kafka::ResponseError;
use kafka_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    ListGroupsRequest, ListGroupsResponse, OffsetDeleteRequest, OffsetDeleteResponse,
};

use crate::bench::Bench;
use crate::e_groups::{group, text};

fn state(bench: &mut Bench) -> (String, usize) {
    let request = DescribeGroupsRequest::default().with_groups(vec![group()]);
    let response: DescribeGroupsResponse = bench.call(request);
    (response.groups[0].group_state.to_string(), response.groups[0].members.len())
}

fn delete(bench: &mut Bench) -> i16 {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group()]);
    let response: DeleteGroupsResponse = bench.call(request);
    response.results[0].error_code
}

#[test]
fn e_a_group_can_be_deleted_when_its_members_have_left() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a", "b"]);
    bench.commit(&members[0], 1, 0, 5).expect("committed");
    assert_eq!(state(&mut bench), ("Stable".to_owned(), 2));
    assert_eq!(delete(&mut bench), ResponseError::NonEmptyGroup.code());
    let left = members.iter().map(|member| MemberIdentity::default().with_member_id(text(member)));
    bench.ask(LeaveGroupRequest::default().with_group_id(group()).with_members(left.collect()));
    assert_eq!(state(&mut bench), ("Empty".to_owned(), 0));
    assert_eq!(delete(&mut bench), 0);
    assert_eq!(state(&mut bench).0, "Dead");
    bench.broker.crash();
    bench.broker.restart(bench.now);
    assert_eq!(bench.committed(0), -1);
    assert_eq!(delete(&mut bench), ResponseError::GroupIdNotFound.code());
}

#[test]
fn e_every_broker_lists_the_groups_it_coordinates() {
    let mut bench = Bench::new();
    bench.stable_group(&["a"]);
    let response: ListGroupsResponse = bench.call(ListGroupsRequest::default());
    let [listed] = &response.groups[..] else { panic!("{response:?}") };
    assert_eq!((&listed.group_id, listed.group_type.as_str()), (&group(), "classic"));
}

#[test]
fn e_offsets_of_a_group_that_is_not_there_cannot_be_deleted_but_nothing_always_can() {
    let mut bench = Bench::new();
    let response: OffsetDeleteResponse = bench.call(OffsetDeleteRequest::default().with_group_id(group()));
    assert_eq!((response.error_code, response.topics.len()), (0, 0));
}
