//! Old versions and brokers understand each other.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use kafka_protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use crate::cluster::topic_name;
use crate::protocol::{Request, RequestKind, Response, SUPPORTED};
use crate::wire::client::{encode_request, spoken};
use crate::wire::{Incoming, Lowered, Malformed, NoTopicIds, Origin, codec, decode_request, frame, offered};

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

/// Over the wire and raised.
fn arrive(version: i16, kind: impl Into<RequestKind>) -> (RequestKind, Origin) {
    let request = Request { client_id: text("me"), version, kind: kind.into() };
    assert_eq!(spoken(&request), version);
    let frame = encode_request(7, &request).expect("it has the shape of its version");
    match decode_request(frame.slice(frame::SIZE..), &NoTopicIds) {
        Ok(Incoming::Request { request, origin }) => {
            assert_eq!((request.version, request.client_id.as_str()), (version, "me"));
            (request.kind, origin)
        }
        Ok(Incoming::Answered(_)) => panic!("answered by the wire"),
        Err(error) => panic!("{error}"),
    }
}

/// Lowered and over the wire.
fn come_back(origin: &Origin, response: impl Into<Response>) -> Response {
    let Lowered::Frame(frame) =
        origin.lower(response.into(), &NoTopicIds).expect("it can be said in this version")
    else {
        panic!("asked again");
    };
    let content = frame.slice(frame::SIZE..);
    let (correlation, mut body) =
        frame::take_response_header(content, origin.api, origin.version).expect("a header");
    assert_eq!(correlation, 7);
    let response = codec::decode_response(origin.api, origin.version, &mut body).expect("a response");
    assert!(body.is_empty());
    response
}

#[test]
fn one_coordinator_is_looked_for_as_one_of_many() {
    let (raised, origin) = arrive(2, FindCoordinatorRequest::default().with_key(text("g")));
    assert_eq!(raised, FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]).into());
    let found = Coordinator::default().with_key(text("g")).with_node_id(BrokerId(3)).with_port(9092);
    let response = FindCoordinatorResponse::default().with_coordinators(vec![found.with_host(text("h"))]);
    let lowered = FindCoordinatorResponse::default()
        .with_node_id(BrokerId(3))
        .with_host(text("h"))
        .with_port(9092)
        .with_error_message(Some(text("")));
    match come_back(&origin, response) {
        Response::FindCoordinator(got) => {
            assert_eq!(got.with_error_message(Some(text(""))), lowered);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_member_leaves_as_one_of_many() {
    let group = GroupId(text("g"));
    let (raised, origin) =
        arrive(1, LeaveGroupRequest::default().with_group_id(group).with_member_id(text("m")));
    let RequestKind::LeaveGroup(raised) = raised else { panic!("{raised:?}") };
    assert_eq!(raised.members[0].member_id, text("m"));
    let member = MemberResponse::default().with_error_code(ResponseError::UnknownMemberId.code());
    let response = come_back(&origin, LeaveGroupResponse::default().with_members(vec![member]));
    let code = ResponseError::UnknownMemberId.code();
    assert_eq!(response, LeaveGroupResponse::default().with_error_code(code).into());
}

#[test]
fn offsets_of_one_group_are_fetched_as_those_of_many() {
    for version in 1..=7 {
        let topic = OffsetFetchRequestTopic::default().with_name(topic_name("t"));
        let request = OffsetFetchRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_topics(Some(vec![topic.with_partition_indexes(vec![4])]));
        let (raised, origin) = arrive(version, request);
        let RequestKind::OffsetFetch(raised) = raised else { panic!("{raised:?}") };
        assert_eq!(raised.groups[0].group_id.as_str(), "g");
        assert_eq!(raised.groups[0].topics.as_ref().expect("named")[0].partition_indexes, [4]);
        let partition = OffsetFetchResponsePartitions::default()
            .with_partition_index(4)
            .with_committed_offset(11)
            .with_metadata(Some(text("x")));
        let topic = OffsetFetchResponseTopics::default().with_name(topic_name("t"));
        let group = OffsetFetchResponseGroup::default()
            .with_group_id(GroupId(text("g")))
            .with_topics(vec![topic.with_partitions(vec![partition])]);
        let lowered = come_back(&origin, OffsetFetchResponse::default().with_groups(vec![group]));
        let Response::OffsetFetch(lowered) = lowered else { panic!("{lowered:?}") };
        assert_eq!(lowered.topics[0].partitions[0].committed_offset, 11, "version {version}");
        let group = OffsetFetchResponseGroup::default().with_error_code(16);
        let failed = come_back(&origin, OffsetFetchResponse::default().with_groups(vec![group]));
        let Response::OffsetFetch(failed) = failed else { panic!("{failed:?}") };
        match version {
            1 => assert_eq!(failed.topics[0].partitions[0].error_code, 16),
            _ => assert_eq!(failed.error_code, 16),
        }
    }
}

#[test]
fn before_version_4_a_member_joins_without_hearing_of_its_id() {
    let join = JoinGroupRequest::default().with_group_id(GroupId(text("g"))).with_session_timeout_ms(9_000);
    let required = JoinGroupResponse::default()
        .with_error_code(ResponseError::MemberIdRequired.code())
        .with_member_id(text("m-1"));
    let (raised, origin) = arrive(0, join.clone());
    let RequestKind::JoinGroup(raised) = raised else { panic!("{raised:?}") };
    assert_eq!(raised.rebalance_timeout_ms, 9_000);
    match origin.lower(required.clone().into(), &NoTopicIds) {
        Ok(Lowered::Again(Request { kind: RequestKind::JoinGroup(again), version: 0, .. })) => {
            assert_eq!((again.member_id.as_str(), again.rebalance_timeout_ms), ("m-1", 9_000));
        }
        other => panic!("{other:?}"),
    }
    let (_, origin) = arrive(4, join);
    assert!(matches!(come_back(&origin, required), Response::JoinGroup(got) if got.error_code == 79));
}

#[test]
fn versions_from_the_future_are_answered_in_version_0() {
    let header = [0, 18, 0, 99, 0, 0, 0, 5, 0, 1, b'x', 0xff, 0xff, 0xff];
    let Ok(Incoming::Answered(frame)) = decode_request(Bytes::copy_from_slice(&header), &NoTopicIds) else {
        panic!("not answered");
    };
    let mut body = frame.slice(frame::SIZE + 4..);
    let Some(Response::ApiVersions(response)) = codec::decode_response(ApiKey::ApiVersions, 0, &mut body)
    else {
        panic!("not a response");
    };
    assert_eq!(frame[frame::SIZE..frame::SIZE + 4], [0, 0, 0, 5]);
    assert_eq!(response.error_code, 35);
    assert_eq!(response.api_keys.len(), 1);
    assert_eq!(response.api_keys[0].max_version, offered(ApiKey::ApiVersions).expect("offered").1);
}

#[test]
fn other_versions_from_the_future_are_refused() {
    let header = [0, 3, 0, 99, 0, 0, 0, 5, 0xff, 0xff];
    let refused = decode_request(Bytes::copy_from_slice(&header), &NoTopicIds);
    assert_eq!(refused.err(), Some(Malformed::UnknownVersion { api: ApiKey::Metadata, version: 99 }));
}

#[test]
fn an_empty_response_can_be_said_in_every_version() {
    for (api, lowest, highest) in SUPPORTED.iter().filter(|(api, ..)| offered(*api).is_some()) {
        for version in *lowest..=*highest {
            let body = super::generate::body(*api, version, 3);
            let frame = super::request_frame(*api, version, &body);
            let Ok(Incoming::Request { origin, .. }) = decode_request(frame, &NoTopicIds) else {
                panic!("{api:?} v{version}");
            };
            let response = codec::empty_response(*api).expect("offered");
            assert!(origin.lower(response, &NoTopicIds).is_ok(), "{api:?} v{version}");
        }
    }
}
