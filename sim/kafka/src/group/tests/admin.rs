//! Groups described, listed and deleted.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    ListGroupsRequest, ListGroupsResponse, OffsetDeleteResponse,
};

use super::members::{join, leave, protocols, subscription};
use super::{Desk, GROUP, TOPIC, answer, group, text};
use crate::cluster::topic_name;

fn describe(desk: &mut Desk) -> DescribeGroupsResponse {
    desk.call(DescribeGroupsRequest::default().with_groups(vec![group()]))
}

#[test]
fn a_stable_group_is_described_with_what_its_members_have() {
    let mut desk = Desk::new();
    let members = desk.stable(2);
    let described = &describe(&mut desk).groups[0];
    assert_eq!((described.error_code, described.group_state.as_str()), (0, "Stable"));
    assert_eq!((described.protocol_type.as_str(), described.protocol_data.as_str()), ("consumer", "range"));
    let leader =
        described.members.iter().find(|member| member.member_id.as_str() == members[0]).expect("it is there");
    assert_eq!(leader.member_assignment, "everything");
    assert_eq!(leader.member_metadata, subscription(TOPIC));
    assert_eq!(leader.client_id.as_str(), "client");
    desk.ask(join(&members[0]));
    let described = &describe(&mut desk).groups[0];
    assert_eq!(
        (described.group_state.as_str(), described.protocol_data.as_str()),
        ("PreparingRebalance", "")
    );
    assert!(described.members.iter().all(|member| member.member_metadata.is_empty()));
}

#[test]
fn a_group_that_is_not_there_is_dead_or_not_found() {
    let mut desk = Desk::new();
    let described = &describe(&mut desk).groups[0];
    assert_eq!(described.error_code, ResponseError::GroupIdNotFound.code());
    let outputs = desk.ask_in(5, DescribeGroupsRequest::default().with_groups(vec![group()]));
    let response: DescribeGroupsResponse = answer(&outputs, desk.correlation).expect("at once");
    assert_eq!((response.groups[0].error_code, response.groups[0].group_state.as_str()), (0, "Dead"));
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut desk = Desk::new();
    desk.stable(1);
    let mut listed = |states: &[&str], types: &[&str]| -> Vec<String> {
        let texts = |names: &[&str]| names.iter().map(|name| text(name)).collect();
        let request = ListGroupsRequest::default();
        let request = request.with_states_filter(texts(states)).with_types_filter(texts(types));
        let response: ListGroupsResponse = desk.call(request);
        assert_eq!(response.error_code, 0);
        response
            .groups
            .iter()
            .map(|group| format!("{} {}", group.group_id.as_str(), group.group_state.as_str()))
            .collect()
    };
    let all = [format!("{GROUP} Stable")];
    assert_eq!(listed(&[], &[]), all);
    assert_eq!(listed(&["stable", "Empty"], &["Classic"]), all);
    assert!(listed(&["Empty"], &[]).is_empty());
    assert!(listed(&[], &["consumer"]).is_empty());
}

fn delete(groups: &[&str]) -> DeleteGroupsRequest {
    let names = groups.iter().map(|name| GroupId(text(name)));
    DeleteGroupsRequest::default().with_groups_names(names.collect())
}

fn results(response: &DeleteGroupsResponse) -> Vec<i16> {
    response.results.iter().map(|result| result.error_code).collect()
}

#[test]
fn only_an_empty_group_can_be_deleted_and_then_for_good() {
    let mut desk = Desk::new();
    let members = desk.stable(1);
    assert_eq!(desk.commit(&members[0], 1, 6), 0);
    let response: DeleteGroupsResponse = desk.call(delete(&[GROUP]));
    assert_eq!(results(&response), [ResponseError::NonEmptyGroup.code()]);
    desk.ask(leave(&[&members[0]]));
    desk.replicate();
    assert_eq!(desk.ask(delete(&["", GROUP, GROUP])), [], "its answer waits for the tombstones");
    let wanted = desk.correlation;
    let outputs = desk.replicate();
    let response: DeleteGroupsResponse = answer(&outputs, wanted).expect("written");
    let expected = [ResponseError::InvalidGroupId.code(), 0, ResponseError::GroupIdNotFound.code()];
    assert_eq!(results(&response), expected);
    desk.restart();
    assert_eq!(desk.committed(), -1);
    assert!(desk.coordinator.groups.is_empty());
}

#[test]
fn a_deletion_takes_along_what_is_being_committed() {
    let mut desk = Desk::new();
    assert_eq!(desk.commit("", -1, 5), 0);
    desk.ask(super::offsets::commit("", -1, 6));
    desk.ask(delete(&[GROUP]));
    desk.replicate();
    assert_eq!(desk.committed(), -1);
    desk.restart();
    assert_eq!(desk.committed(), -1);
}

#[test]
fn a_deletion_that_cannot_be_written_leaves_everything() {
    let mut desk = Desk::new();
    assert_eq!(desk.commit("", -1, 5), 0);
    desk.ask(delete(&[GROUP]));
    let wanted = desk.correlation;
    let outputs = desk.fail(ResponseError::NotEnoughReplicas);
    let response: DeleteGroupsResponse = answer(&outputs, wanted).expect("refused");
    assert_eq!(results(&response), [ResponseError::CoordinatorNotAvailable.code()]);
    assert_eq!(desk.committed(), 5);
}

fn delete_offset(topic: &str) -> OffsetDeleteRequest {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
    let topic = OffsetDeleteRequestTopic::default().with_name(topic_name(topic));
    OffsetDeleteRequest::default()
        .with_group_id(group())
        .with_topics(vec![topic.with_partitions(vec![partition])])
}

#[test]
fn an_offset_that_members_read_on_from_cannot_be_deleted() {
    let mut desk = Desk::new();
    let response: OffsetDeleteResponse = desk.call(delete_offset(TOPIC));
    assert_eq!(response.error_code, ResponseError::GroupIdNotFound.code());
    let members = desk.stable(1);
    assert_eq!(desk.commit(&members[0], 1, 6), 0);
    let response: OffsetDeleteResponse = desk.call(delete_offset(TOPIC));
    let code = response.topics[0].partitions[0].error_code;
    assert_eq!(code, ResponseError::GroupSubscribedToTopic.code());
    let response: OffsetDeleteResponse = desk.call(delete_offset("nowhere"));
    assert_eq!(response.topics[0].partitions[0].error_code, ResponseError::UnknownTopicOrPartition.code());
    desk.ask(leave(&[&members[0]]));
    desk.replicate();
    let response: OffsetDeleteResponse = desk.call_written(delete_offset(TOPIC));
    assert_eq!((response.error_code, response.topics[0].partitions[0].error_code), (0, 0));
    assert_eq!(desk.committed(), -1);
}

#[test]
fn offsets_of_other_kinds_of_groups_are_deleted_only_when_nobody_is_there() {
    let mut desk = Desk::new();
    let other = join("").with_protocol_type(text("connect"));
    let other = other.with_protocols(protocols(&["default"], &bytes::Bytes::new()));
    desk.ask_in(3, other);
    desk.replicate();
    let response: OffsetDeleteResponse = desk.call(delete_offset(TOPIC));
    assert_eq!(response.error_code, ResponseError::NonEmptyGroup.code());
}
