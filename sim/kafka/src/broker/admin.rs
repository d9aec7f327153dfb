//! The requests that are not about records: metadata, coordinators, producer ids, topics, versions.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
use kafka_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kafka_protocol::messages::create_topics_response::{CreatableTopicResult, CreateTopicsResponse};
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use kafka_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use kafka_protocol::messages::metadata_request::MetadataRequest;
use kafka_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{ApiKey, BrokerId, ProducerId, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Broker, Output, ReplyTo, Topic};
use crate::cluster::{BrokerConfig, CleanupPolicy, MessageTimestampType, TopicSpec};
use crate::protocol::SUPPORTED;

/// What clients are not offered: a broker closes the connection on which it is asked for these.
const UNSERVED: &[ApiKey] = &[
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::EndTxn,
    ApiKey::WriteTxnMarkers,
    ApiKey::DeleteTopics,
    ApiKey::DeleteRecords,
    ApiKey::CreatePartitions,
    ApiKey::DescribeConfigs,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::DescribeCluster,
    ApiKey::ElectLeaders,
    ApiKey::DescribeProducers,
    ApiKey::DescribeTransactions,
    ApiKey::ListTransactions,
    ApiKey::DescribeTopicPartitions,
    ApiKey::AlterPartition,
    ApiKey::BrokerHeartbeat,
    ApiKey::BrokerRegistration,
    ApiKey::AllocateProducerIds,
];

const GROUP_KEY: i8 = 0;

/// Producer ids in blocks of 1,000 that no two brokers share. In Kafka the controller hands the blocks out; here
/// block `b` belongs to broker `b` mod brokers.
pub(super) struct ProducerIds {
    brokers: i64,
    block: i64,
    used: i64,
}

const BLOCK_SIZE: i64 = 1_000;

impl ProducerIds {
    pub fn new(config: &BrokerConfig) -> ProducerIds {
        let brokers = &config.cluster.brokers;
        let index = brokers.iter().position(|id| *id == config.id).expect("BrokerConfig::new checks this");
        let small = |count: usize| i64::try_from(count).expect("a cluster has a handful of brokers");
        ProducerIds { brokers: small(brokers.len()), block: small(index), used: 0 }
    }

    /// What was left of the old block is never used, as after a restart of a real broker.
    pub fn next_block(&mut self) {
        self.block += self.brokers;
        self.used = 0;
    }

    fn next(&mut self) -> i64 {
        if self.used == BLOCK_SIZE {
            self.next_block();
        }
        self.used += 1;
        self.block * BLOCK_SIZE + self.used - 1
    }
}

impl Broker {
    /// Always a fresh id at epoch 0: the epoch bump of KIP-360 for a given id is what idempotent clients do locally.
    pub(super) fn init_producer_id(&mut self, request: &InitProducerIdRequest) -> InitProducerIdResponse {
        let refused = |error: ResponseError| {
            let response = InitProducerIdResponse::default().with_error_code(error.code());
            response.with_producer_id(ProducerId(-1)).with_producer_epoch(-1)
        };
        match &request.transactional_id {
            Some(id) if id.is_empty() => refused(ResponseError::InvalidRequest),
            Some(_) => refused(ResponseError::UnsupportedVersion),
            None => InitProducerIdResponse::default()
                .with_producer_id(ProducerId(self.producer_ids.next()))
                .with_producer_epoch(0),
        }
    }

    pub(super) fn find_coordinator(&self, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
        let coordinators = request.coordinator_keys.into_iter().map(|key| {
            let error = match request.key_type {
                GROUP_KEY if key.is_empty() => Some(ResponseError::InvalidGroupId),
                GROUP_KEY => None,
                _ => Some(ResponseError::UnsupportedVersion),
            };
            match error {
                None => {
                    let broker = self.coordinator_of(&key);
                    let listener = self.config.listener_of(broker);
                    Coordinator::default()
                        .with_key(key)
                        .with_node_id(BrokerId(broker))
                        .with_host(listener.host.clone())
                        .with_port(listener.port)
                }
                Some(error) => Coordinator::default()
                    .with_key(key)
                    .with_node_id(BrokerId(-1))
                    .with_error_code(error.code()),
            }
        });
        FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
    }

    /// Names every broker and leader, dead or alive: a client finds out by being refused.
    pub(super) fn metadata(&self, request: MetadataRequest) -> MetadataResponse {
        let brokers = self.config.cluster.brokers.iter().map(|id| {
            let listener = self.config.listener_of(*id);
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(*id))
                .with_host(listener.host.clone())
                .with_port(listener.port)
        });
        let topics = match request.topics {
            None => self.topics.iter().map(|(name, topic)| self.describe(name, topic)).collect(),
            Some(wanted) => wanted
                .into_iter()
                .map(|wanted| match wanted.name {
                    Some(name) => match self.topics.get(&name) {
                        Some(topic) => self.describe(&name, topic),
                        None => MetadataResponseTopic::default()
                            .with_name(Some(name))
                            .with_error_code(ResponseError::UnknownTopicOrPartition.code()),
                    },
                    None => MetadataResponseTopic::default()
                        .with_topic_id(wanted.topic_id)
                        .with_error_code(ResponseError::UnknownTopicId.code()),
                })
                .collect(),
        };
        MetadataResponse::default()
            .with_brokers(brokers.collect())
            .with_cluster_id(Some(StrBytes::from_static_str("bellwether")))
            .with_controller_id(BrokerId(self.config.cluster.controller()))
            .with_topics(topics)
    }

    fn describe(&self, name: &TopicName, topic: &Topic) -> MetadataResponseTopic {
        let partitions = (0..topic.spec.partitions).map(|index| {
            let leader = self.config.cluster.leader_of(name, index);
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(BrokerId(leader))
                .with_leader_epoch(if leader == self.config.id { self.leader_epoch } else { -1 })
                .with_replica_nodes(vec![BrokerId(leader)])
                .with_isr_nodes(vec![BrokerId(leader)])
        });
        MetadataResponseTopic::default().with_name(Some(name.clone())).with_partitions(partitions.collect())
    }

    pub(super) fn api_versions(&self) -> ApiVersionsResponse {
        let offered = SUPPORTED.iter().filter(|(key, ..)| !UNSERVED.contains(key));
        let keys = offered.map(|(key, min, max)| {
            ApiVersion::default().with_api_key(*key as i16).with_min_version(*min).with_max_version(*max)
        });
        ApiVersionsResponse::default().with_api_keys(keys.collect())
    }

    pub(super) fn create_topics(&mut self, reply: ReplyTo, request: CreateTopicsRequest) -> Vec<Output> {
        let mut outputs = Vec::new();
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let result = CreatableTopicResult::default().with_name(topic.name.clone());
            results.push(match self.check_new_topic(&topic) {
                Ok(spec) => {
                    let result = result.with_num_partitions(spec.partitions).with_replication_factor(1);
                    if !request.validate_only {
                        self.learn_topic(spec.clone());
                        outputs.push(Output::TopicCreated(spec));
                    }
                    result
                }
                Err(error) => result.with_error_code(error.code()),
            });
        }
        outputs.push(reply.respond(CreateTopicsResponse::default().with_topics(results)));
        outputs
    }

    fn check_new_topic(&self, topic: &CreatableTopic) -> Result<TopicSpec, ResponseError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name = topic.name.as_str();
        if self.config.id != self.config.cluster.controller() {
            return Err(ResponseError::NotController);
        }
        if !(1..=249).contains(&name.len()) || name == "." || name == ".." || !name.chars().all(legal) {
            return Err(ResponseError::InvalidTopicException);
        }
        if self.topics.contains_key(&topic.name) {
            return Err(ResponseError::TopicAlreadyExists);
        }
        if !matches!(topic.replication_factor, 1 | -1) {
            return Err(ResponseError::InvalidReplicationFactor);
        }
        if !topic.assignments.is_empty() {
            return Err(ResponseError::InvalidReplicaAssignment);
        }
        let partitions = match topic.num_partitions {
            -1 => 1,
            count if count >= 1 => count,
            _ => return Err(ResponseError::InvalidPartitions),
        };
        let mut spec = TopicSpec::new(name, partitions);
        for config in &topic.configs {
            apply(&mut spec, config).ok_or(ResponseError::InvalidConfig)?;
        }
        Ok(spec)
    }
}

fn apply(spec: &mut TopicSpec, config: &CreatableTopicConfig) -> Option<()> {
    let value = config.value.as_ref()?.as_str();
    match (config.name.as_str(), value) {
        ("cleanup.policy", "delete") => spec.cleanup_policy = CleanupPolicy::Delete,
        ("cleanup.policy", "compact") => spec.cleanup_policy = CleanupPolicy::Compact,
        ("message.timestamp.type", "CreateTime") => {
            spec.message_timestamp_type = MessageTimestampType::CreateTime
        }
        ("message.timestamp.type", "LogAppendTime") => {
            spec.message_timestamp_type = MessageTimestampType::LogAppendTime;
        }
        ("retention.ms", number) => spec.retention_ms = number.parse().ok()?,
        ("segment.bytes", number) => spec.segment_bytes = number.parse().ok()?,
        ("segment.ms", number) => spec.segment_ms = number.parse().ok()?,
        _ => return None,
    }
    Some(())
}
