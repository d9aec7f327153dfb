//! Answers that say no: the shape a request's answer would have, and an error in all of its places.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{MetadataResponse, MetadataResponseTopic};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{OffsetFetchResponse, OffsetFetchResponseGroup};
use kafka_protocol::messages::produce_response::{
    PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{
    ApiVersionsResponse, BrokerId, CreateTopicsResponse, HeartbeatResponse, InitProducerIdResponse,
    JoinGroupResponse, LeaveGroupResponse, ProducerId, SyncGroupResponse,
};

use crate::protocol::{RequestKind, Response};

/// An answer that names what the request names, and holds nothing.
pub(super) fn skeleton(request: &RequestKind) -> Response {
    match request {
        RequestKind::Produce(_) | RequestKind::Fetch(_) | RequestKind::ListOffsets(_) => {
            of_partitions(request)
        }
        RequestKind::Metadata(request) => {
            let named = request.topics.iter().flatten();
            let topics = named.map(|topic| {
                MetadataResponseTopic::default().with_name(topic.name.clone()).with_topic_id(topic.topic_id)
            });
            MetadataResponse::default().with_topics(topics.collect()).into()
        }
        RequestKind::OffsetCommit(request) => {
            let topics = request.topics.iter().map(|topic| {
                let partitions = topic.partitions.iter().map(|partition| {
                    OffsetCommitResponsePartition::default().with_partition_index(partition.partition_index)
                });
                let response = OffsetCommitResponseTopic::default().with_name(topic.name.clone());
                response.with_partitions(partitions.collect())
            });
            OffsetCommitResponse::default().with_topics(topics.collect()).into()
        }
        RequestKind::OffsetFetch(request) => {
            let groups = request.groups.iter();
            let groups =
                groups.map(|group| OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone()));
            OffsetFetchResponse::default().with_groups(groups.collect()).into()
        }
        RequestKind::FindCoordinator(request) => {
            let keys = request.coordinator_keys.iter();
            let keys = keys.map(|key| Coordinator::default().with_key(key.clone()));
            FindCoordinatorResponse::default().with_coordinators(keys.collect()).into()
        }
        RequestKind::CreateTopics(request) => {
            let topics = request.topics.iter();
            let topics = topics.map(|topic| CreatableTopicResult::default().with_name(topic.name.clone()));
            CreateTopicsResponse::default().with_topics(topics.collect()).into()
        }
        RequestKind::JoinGroup(request) => {
            JoinGroupResponse::default().with_member_id(request.member_id.clone()).into()
        }
        RequestKind::Heartbeat(_) => HeartbeatResponse::default().into(),
        RequestKind::LeaveGroup(_) => LeaveGroupResponse::default().into(),
        RequestKind::SyncGroup(_) => SyncGroupResponse::default().into(),
        RequestKind::ApiVersions(_) => ApiVersionsResponse::default().into(),
        RequestKind::InitProducerId(_) => InitProducerIdResponse::default().into(),
        other => unreachable!("no trouble is possible with {}", other.name()),
    }
}

fn of_partitions(request: &RequestKind) -> Response {
    match request {
        RequestKind::Produce(request) => {
            let topics = request.topic_data.iter().map(|topic| {
                let partitions = topic.partition_data.iter();
                let partitions =
                    partitions.map(|data| PartitionProduceResponse::default().with_index(data.index));
                let response = TopicProduceResponse::default().with_name(topic.name.clone());
                response.with_partition_responses(partitions.collect())
            });
            ProduceResponse::default().with_responses(topics.collect()).into()
        }
        RequestKind::Fetch(request) => {
            let topics = request.topics.iter().map(|topic| {
                let partitions = topic.partitions.iter();
                let partitions =
                    partitions.map(|wanted| PartitionData::default().with_partition_index(wanted.partition));
                let response = FetchableTopicResponse::default().with_topic(topic.topic.clone());
                response.with_partitions(partitions.collect())
            });
            FetchResponse::default().with_responses(topics.collect()).into()
        }
        RequestKind::ListOffsets(request) => {
            let topics = request.topics.iter().map(|topic| {
                let partitions = topic.partitions.iter().map(|wanted| {
                    ListOffsetsPartitionResponse::default().with_partition_index(wanted.partition_index)
                });
                let response = ListOffsetsTopicResponse::default().with_name(topic.name.clone());
                response.with_partitions(partitions.collect())
            });
            ListOffsetsResponse::default().with_topics(topics.collect()).into()
        }
        other => unreachable!("{} names no partitions of this kind", other.name()),
    }
}

/// Says the error wherever the answer has a place for one, and takes out what a broker would not send with it.
pub(super) fn spoil(response: &mut Response, error: ResponseError) {
    let code = error.code();
    match response {
        Response::Produce(response) => {
            let topics = response.responses.iter_mut();
            for partition in topics.flat_map(|topic| &mut topic.partition_responses) {
                let index = partition.index;
                *partition = PartitionProduceResponse::default().with_index(index).with_base_offset(-1);
                partition.error_code = code;
            }
        }
        Response::Fetch(response) => {
            for partition in response.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
                let index = partition.partition_index;
                *partition = PartitionData::default().with_partition_index(index).with_high_watermark(-1);
                partition.error_code = code;
            }
        }
        Response::ListOffsets(response) => {
            for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                let index = partition.partition_index;
                *partition = ListOffsetsPartitionResponse::default().with_partition_index(index);
                partition.error_code = code;
            }
        }
        Response::Metadata(response) => {
            for topic in &mut response.topics {
                topic.partitions.clear();
                topic.error_code = code;
            }
        }
        Response::OffsetCommit(response) => {
            let topics = response.topics.iter_mut();
            topics.flat_map(|topic| &mut topic.partitions).for_each(|partition| partition.error_code = code);
        }
        Response::OffsetFetch(response) => {
            for group in &mut response.groups {
                group.topics.clear();
                group.error_code = code;
            }
        }
        Response::FindCoordinator(response) => {
            for found in &mut response.coordinators {
                found.node_id = BrokerId(-1);
                found.error_code = code;
            }
        }
        Response::CreateTopics(response) => {
            response.topics.iter_mut().for_each(|topic| topic.error_code = code);
        }
        Response::JoinGroup(response) => {
            let member_id = response.member_id.clone();
            *response = JoinGroupResponse::default().with_generation_id(-1).with_member_id(member_id);
            response.error_code = code;
        }
        Response::InitProducerId(response) => {
            *response = InitProducerIdResponse::default().with_producer_id(ProducerId(-1));
            response.producer_epoch = -1;
            response.error_code = code;
        }
        Response::SyncGroup(response) => *response = SyncGroupResponse::default().with_error_code(code),
        Response::Heartbeat(response) => response.error_code = code,
        Response::LeaveGroup(response) => *response = LeaveGroupResponse::default().with_error_code(code),
        Response::ApiVersions(response) => response.error_code = code,
        other => unreachable!("no trouble is possible with {:?}", other.api()),
    }
}
