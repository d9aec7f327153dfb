//! What clients are told of the cluster: brokers, topics, leaders.
//!
//! A broker names what its image says: dead brokers until the controller has fenced them, old leaders until it has heard of
//! new ones. A client finds out by being refused.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use kafka_protocol::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};
use kafka_protocol::messages::describe_topic_partitions_response::{
    DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeTopicPartitionsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::peers::Purpose;
use super::{Broker, Output, ReplyTo};
use crate::cluster::{CONSUMER_OFFSETS, TRANSACTION_STATE, TimestampMs};
use crate::image::{NO_LEADER, PartitionImage, TopicImage};
use crate::peer::Peer;

const CLUSTER_ID: StrBytes = StrBytes::from_static_str("bellwether");
/// No operations are listed: there are no ACLs.
const NO_OPERATIONS: i32 = i32::MIN;

impl Broker {
    pub(super) fn metadata(
        &mut self,
        _now: TimestampMs,
        reply: ReplyTo,
        request: MetadataRequest,
        outputs: &mut Vec<Output>,
    ) {
        let creates =
            request.allow_auto_topic_creation && self.config.cluster.settings.auto_create_topics_enable;
        let mut missing = Vec::new();
        let topics = match request.topics {
            None => self.image.topics.iter().map(|(name, topic)| describe(self, name, topic)).collect(),
            Some(wanted) => {
                wanted.into_iter().map(|wanted| self.describe_wanted(wanted, creates, &mut missing)).collect()
            }
        };
        let response = MetadataResponse::default()
            .with_brokers(self.alive_brokers())
            .with_cluster_id(Some(CLUSTER_ID))
            .with_controller_id(BrokerId(self.some_broker()))
            .with_topics(topics);
        outputs.push(reply.respond(response));
        self.create_missing(missing, outputs);
    }

    fn alive_brokers(&self) -> Vec<MetadataResponseBroker> {
        let alive = self.image.brokers.iter().filter(|(_, broker)| !broker.fenced);
        let brokers = alive.map(|(id, _)| {
            let listener = self.config.listener_of(*id);
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(*id))
                .with_host(listener.host.clone())
                .with_port(listener.port)
        });
        brokers.collect()
    }

    /// Clients that ask for the controller are told some broker, which forwards to it.
    fn some_broker(&self) -> i32 {
        let mut alive = self.image.brokers.iter().filter(|(_, broker)| !broker.fenced);
        alive.next().map_or(NO_LEADER, |(id, _)| *id)
    }

    fn describe_wanted(
        &self,
        wanted: MetadataRequestTopic,
        creates: bool,
        missing: &mut Vec<TopicName>,
    ) -> MetadataResponseTopic {
        let by_id = || self.image.topic_of_id(wanted.topic_id).cloned();
        let Some(name) = wanted.name.clone().or_else(by_id) else {
            return MetadataResponseTopic::default()
                .with_topic_id(wanted.topic_id)
                .with_error_code(ResponseError::UnknownTopicId.code());
        };
        if let Some(topic) = self.image.topics.get(&name) {
            return describe(self, &name, topic);
        }
        if creates {
            missing.push(name.clone());
        }
        MetadataResponseTopic::default()
            .with_name(Some(name))
            .with_error_code(ResponseError::UnknownTopicOrPartition.code())
    }

    /// `auto.create.topics.enable`: the client asks again, and finds them.
    fn create_missing(&mut self, missing: Vec<TopicName>, outputs: &mut Vec<Output>) {
        if missing.is_empty() {
            return;
        }
        let topics = missing.into_iter().map(|name| {
            CreatableTopic::default().with_name(name).with_num_partitions(-1).with_replication_factor(-1)
        });
        let request = CreateTopicsRequest::default().with_topics(topics.collect()).with_timeout_ms(30_000);
        self.call(Peer::Controller, request.into(), 30_000, Purpose::Nobody, outputs);
    }

    pub(super) fn describe_cluster(&self, request: &DescribeClusterRequest) -> DescribeClusterResponse {
        let brokers = self.image.brokers.iter().filter(|(_, broker)| !broker.fenced).map(|(id, _)| {
            let listener = self.config.listener_of(*id);
            DescribeClusterBroker::default()
                .with_broker_id(BrokerId(*id))
                .with_host(listener.host.clone())
                .with_port(listener.port)
        });
        DescribeClusterResponse::default()
            .with_endpoint_type(request.endpoint_type)
            .with_cluster_id(CLUSTER_ID)
            .with_controller_id(BrokerId(self.some_broker()))
            .with_brokers(brokers.collect())
            .with_cluster_authorized_operations(NO_OPERATIONS)
    }

    /// Everything on one page: nobody asks for as many partitions as would fill it.
    pub(super) fn describe_topic_partitions(
        &self,
        request: DescribeTopicPartitionsRequest,
    ) -> DescribeTopicPartitionsResponse {
        let names: Vec<TopicName> = match request.topics.is_empty() {
            true => self.image.topics.keys().cloned().collect(),
            false => request.topics.into_iter().map(|topic| topic.name).collect(),
        };
        let topics = names.into_iter().map(|name| {
            let response = DescribeTopicPartitionsResponseTopic::default()
                .with_name(Some(name.clone()))
                .with_topic_authorized_operations(NO_OPERATIONS);
            let Some(topic) = self.image.topics.get(&name) else {
                return response.with_error_code(ResponseError::UnknownTopicOrPartition.code());
            };
            let partitions = (0..).zip(&topic.partitions).map(|(index, partition)| {
                DescribeTopicPartitionsResponsePartition::default()
                    .with_error_code(availability(partition))
                    .with_partition_index(index)
                    .with_leader_id(BrokerId(partition.leader))
                    .with_leader_epoch(partition.leader_epoch)
                    .with_replica_nodes(ids(&partition.replicas))
                    .with_isr_nodes(ids(&partition.isr))
                    .with_eligible_leader_replicas(Some(ids(&partition.elr)))
                    .with_last_known_elr(Some(ids(partition.last_known_leader.as_slice())))
                    .with_offline_replicas(self.offline(partition))
            });
            let partitions = partitions.collect();
            response.with_topic_id(topic.id).with_is_internal(is_internal(&name)).with_partitions(partitions)
        });
        DescribeTopicPartitionsResponse::default().with_topics(topics.collect()).with_next_cursor(None)
    }

    fn offline(&self, partition: &PartitionImage) -> Vec<BrokerId> {
        let dead = partition.replicas.iter().filter(|id| !self.image.is_alive(**id));
        dead.map(|id| BrokerId(*id)).collect()
    }
}

fn describe(broker: &Broker, name: &TopicName, topic: &TopicImage) -> MetadataResponseTopic {
    let partitions = (0..).zip(&topic.partitions).map(|(index, partition)| {
        MetadataResponsePartition::default()
            .with_error_code(availability(partition))
            .with_partition_index(index)
            .with_leader_id(BrokerId(partition.leader))
            .with_leader_epoch(partition.leader_epoch)
            .with_replica_nodes(ids(&partition.replicas))
            .with_isr_nodes(ids(&partition.isr))
            .with_offline_replicas(broker.offline(partition))
    });
    let response = MetadataResponseTopic::default().with_name(Some(name.clone())).with_topic_id(topic.id);
    response
        .with_is_internal(is_internal(name))
        .with_topic_authorized_operations(NO_OPERATIONS)
        .with_partitions(partitions.collect())
}

fn availability(partition: &PartitionImage) -> i16 {
    match partition.leader {
        NO_LEADER => ResponseError::LeaderNotAvailable.code(),
        _ => 0,
    }
}

fn is_internal(name: &TopicName) -> bool {
    matches!(name.as_str(), CONSUMER_OFFSETS | TRANSACTION_STATE)
}

fn ids(brokers: &[i32]) -> Vec<BrokerId> {
    brokers.iter().map(|id| BrokerId(*id)).collect()
}
