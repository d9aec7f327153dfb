//! Topics: all of them or none, by name or by id, and what old versions cannot be told of them.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersionsResponse;
use kafka_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use kafka_protocol::messages::fetch_request::FetchRequest;
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use kafka_protocol::messages::metadata_request::MetadataRequest;
use kafka_protocol::messages::metadata_response::MetadataResponse;
use kafka_protocol::messages::produce_request::ProduceRequest;
use kafka_protocol::messages::produce_response::ProduceResponse;
use kafka_protocol::messages::{ApiKey, TopicName};
use uuid::Uuid;

use super::{Memory, TopicIds};
use crate::cluster::topic_name;
use crate::records;
use crate::wire::offered;

const BY_ID: i16 = 13;
const FETCH_ZSTD: i16 = 10;

/// In version 0 no topic means all topics.
pub(super) fn raise_metadata(version: i16, request: &mut MetadataRequest) -> Memory {
    if version < 1 && request.topics.as_ref().is_some_and(Vec::is_empty) {
        request.topics = None;
    }
    Memory::Nothing
}

pub(super) fn lower_metadata(version: i16, response: &mut MetadataResponse) {
    if !(8..=10).contains(&version) {
        response.cluster_authorized_operations = i32::MIN;
    }
    for topic in &mut response.topics {
        if version < 8 {
            topic.topic_authorized_operations = i32::MIN;
        }
        // Before a topic could be asked for by its id, it always had a name.
        if version < 12 && topic.name.is_none() {
            topic.name = Some(TopicName::default());
        }
    }
}

/// Up to version 5 topics are named.
pub(super) fn raise_delete(version: i16, request: &mut DeleteTopicsRequest) -> Memory {
    if version < 6 {
        let names = std::mem::take(&mut request.topic_names).into_iter();
        request.topics = names.map(|name| DeleteTopicState::default().with_name(Some(name))).collect();
    }
    Memory::Nothing
}

pub(super) fn raise_fetch(version: i16, request: &mut FetchRequest, ids: &impl TopicIds) -> Memory {
    if version >= 15 {
        request.replica_id = request.replica_state.replica_id;
    }
    if version < BY_ID {
        return Memory::Nothing;
    }
    let mut known = Names { ids, known: Vec::new() };
    for topic in &mut request.topics {
        topic.topic = known.name(topic.topic_id);
    }
    for topic in &mut request.forgotten_topics_data {
        topic.topic = known.name(topic.topic_id);
    }
    Memory::Ids(known.known)
}

pub(super) fn lower_fetch(version: i16, response: &mut FetchResponse, memory: &Memory, ids: &impl TopicIds) {
    if version < 7 {
        response.session_id = 0;
    }
    for topic in &mut response.responses {
        let mut unknown = false;
        if let Memory::Ids(known) = memory {
            topic.topic_id = id_of(known, ids, &topic.topic);
            unknown = topic.topic == stand_in(topic.topic_id);
        }
        for partition in &mut topic.partitions {
            lower_partition(version, partition);
            if unknown {
                unknown_id(&mut partition.error_code);
            }
        }
    }
}

fn lower_partition(version: i16, partition: &mut PartitionData) {
    if version < 11 {
        partition.preferred_read_replica = (-1).into();
    }
    if version < FETCH_ZSTD && partition.records.as_ref().is_some_and(records::has_zstd) {
        partition.records = None;
        partition.error_code = ResponseError::UnsupportedCompressionType.code();
    }
    // Clients take null for a corrupt answer; an empty set of records is what Kafka sends.
    partition.records.get_or_insert_default();
}

pub(super) fn raise_produce(version: i16, request: &mut ProduceRequest, ids: &impl TopicIds) -> Memory {
    if version < BY_ID {
        return Memory::Nothing;
    }
    let mut known = Names { ids, known: Vec::new() };
    for topic in &mut request.topic_data {
        topic.name = known.name(topic.topic_id);
    }
    Memory::Ids(known.known)
}

pub(super) fn lower_produce(
    version: i16,
    response: &mut ProduceResponse,
    memory: &Memory,
    ids: &impl TopicIds,
) {
    for topic in &mut response.responses {
        if let Memory::Ids(known) = memory {
            topic.topic_id = id_of(known, ids, &topic.name);
            if topic.name == stand_in(topic.topic_id) {
                topic.partition_responses.iter_mut().for_each(|answer| unknown_id(&mut answer.error_code));
            }
        }
        if version < 8 {
            for partition in &mut topic.partition_responses {
                partition.record_errors.clear();
            }
        }
    }
}

/// The names that stand for ids in one request.
struct Names<'a, T> {
    ids: &'a T,
    known: Vec<(TopicName, Uuid)>,
}

impl<T: TopicIds> Names<'_, T> {
    fn name(&mut self, id: Uuid) -> TopicName {
        let name = self.ids.name_of(id).unwrap_or_else(|| stand_in(id));
        self.known.push((name.clone(), id));
        name
    }
}

/// A name that no topic can have, for an id that no topic has: brokers do not find it.
fn stand_in(id: Uuid) -> TopicName {
    topic_name(format!("{{{id}}}"))
}

fn id_of(known: &[(TopicName, Uuid)], ids: &impl TopicIds, name: &TopicName) -> Uuid {
    let asked = known.iter().find(|(known, _)| known == name).map(|(_, id)| *id);
    asked.or_else(|| ids.id_of(name)).or_else(|| stood_for(name)).unwrap_or_default()
}

/// The opposite of [`stand_in`].
fn stood_for(name: &TopicName) -> Option<Uuid> {
    name.strip_prefix('{')?.strip_suffix('}')?.parse().ok()
}

fn unknown_id(code: &mut i16) {
    if *code == ResponseError::UnknownTopicOrPartition.code() {
        *code = ResponseError::UnknownTopicId.code();
    }
}

/// What only controllers serve is not offered; up to version 3 a feature's lowest level is never 0 (KIP-1022). `Produce`
/// is announced from version 0, which is not served: Apache Kafka 4 says so too, because librdkafka up to 2.10 takes
/// the announcement for a proof that gzip and snappy are understood.
pub(super) fn lower_api_versions(version: i16, response: &mut ApiVersionsResponse) {
    response.api_keys.retain(|api| ApiKey::try_from(api.api_key).is_ok_and(|key| offered(key).is_some()));
    for api in &mut response.api_keys {
        if api.api_key == ApiKey::Produce as i16 {
            api.min_version = 0;
        }
    }
    if version < 4 {
        response.supported_features.retain(|feature| feature.min_version > 0);
    }
}
