//! `DescribeConfigs` and `DescribeProducers`.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
};
use kafka_protocol::messages::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeProducersRequest, ProducerId};
use kafka_protocol::protocol::StrBytes;

use super::Broker;
use crate::cluster::topic_name;
use crate::settings;

/// `ConfigResource.Type`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// `ConfigSource`.
const DYNAMIC_TOPIC_CONFIG: i8 = 1;
const STATIC_BROKER_CONFIG: i8 = 4;
const DEFAULT_CONFIG: i8 = 5;

impl Broker {
    pub(super) fn describe_configs(&self, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
        let results = request.resources.into_iter().map(|resource| {
            let result = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match self.configs_of(&resource) {
                Ok(configs) => result.with_configs(configs),
                Err(error) => result.with_error_code(error.code()),
            }
        });
        DescribeConfigsResponse::default().with_results(results.collect())
    }

    fn configs_of(
        &self,
        resource: &DescribeConfigsResource,
    ) -> Result<Vec<DescribeConfigsResourceResult>, ResponseError> {
        let wanted = |name: &str| {
            let keys = resource.configuration_keys.as_ref();
            keys.is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| key.as_str() == name))
        };
        let found = match resource.resource_type {
            TOPIC => {
                let topic = self.image.topics.get(&topic_name(resource.resource_name.as_str()));
                let spec = &topic.ok_or(ResponseError::UnknownTopicOrPartition)?.spec;
                let all = settings::all(spec, &self.config.cluster.settings).into_iter();
                all.map(|(name, value)| {
                    let is_set = spec.set.contains_key(name);
                    (name, value, if is_set { DYNAMIC_TOPIC_CONFIG } else { DEFAULT_CONFIG })
                })
                .collect::<Vec<_>>()
            }
            BROKER => {
                let all = settings::of_broker(&self.config).into_iter();
                all.map(|(name, value)| (name, value, STATIC_BROKER_CONFIG)).collect()
            }
            _ => return Err(ResponseError::InvalidRequest),
        };
        let found = found.into_iter().filter(|(name, ..)| wanted(name));
        let described = found.map(|(name, value, source)| {
            DescribeConfigsResourceResult::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(Some(StrBytes::from_string(value)))
                .with_read_only(resource.resource_type == BROKER)
                .with_config_source(source)
        });
        Ok(described.collect())
    }

    pub(super) fn describe_producers(&self, request: DescribeProducersRequest) -> DescribeProducersResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partition_indexes.iter().map(|index| {
                let response = PartitionResponse::default().with_partition_index(*index);
                match self.led(&topic.name, *index) {
                    Ok((_, replica)) => response.with_active_producers(
                        replica.producers.active().map(|active| producer(&active)).collect(),
                    ),
                    Err(error) => response.with_error_code(error.code()),
                }
            });
            let partitions = partitions.collect();
            TopicResponse::default().with_name(topic.name).with_partitions(partitions)
        });
        DescribeProducersResponse::default().with_topics(topics.collect())
    }
}

fn producer(active: &crate::producer_state::ActiveProducer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(active.producer_id))
        .with_producer_epoch(active.producer_epoch.into())
        .with_last_sequence(active.last_sequence)
        .with_last_timestamp(active.last_timestamp)
        .with_coordinator_epoch(active.coordinator_epoch)
        .with_current_txn_start_offset(active.current_txn_start_offset)
}
