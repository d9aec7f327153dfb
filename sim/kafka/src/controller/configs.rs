//! `IncrementalAlterConfigs`: a topic's settings change while it is in use.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::{Controller, ControllerOutput};
use crate::cluster::{TimestampMs, TopicSpec, topic_name};
use crate::image::PartitionImage;
use crate::settings;

/// `ConfigResource.Type.TOPIC`.
const TOPIC: i8 = 2;
const SET: i8 = 0;
const DELETE: i8 = 1;
const MIN_INSYNC: &str = "min.insync.replicas";

impl Controller {
    pub(super) fn alter_configs(
        &mut self,
        now: TimestampMs,
        request: IncrementalAlterConfigsRequest,
        outputs: &mut Vec<ControllerOutput>,
    ) -> IncrementalAlterConfigsResponse {
        let validate_only = request.validate_only;
        let responses = request.resources.into_iter().map(|resource| {
            let response = AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            let renews_min_insync = resource.configs.iter().any(|config| config.name.as_str() == MIN_INSYNC);
            match self.altered(&resource) {
                Ok(spec) => {
                    if !validate_only {
                        self.edit(now, outputs, |image, _| {
                            let topic = image.topics.get_mut(&spec.name);
                            let topic = topic.expect("its settings have just been read");
                            let topic = Arc::make_mut(topic);
                            topic.spec = spec;
                            if renews_min_insync {
                                topic.partitions.iter_mut().for_each(forget_eligible);
                            }
                            true
                        });
                    }
                    response
                }
                Err(error) => response.with_error_code(error.code()),
            }
        });
        IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
    }

    fn altered(&self, resource: &AlterConfigsResource) -> Result<TopicSpec, ResponseError> {
        if resource.resource_type != TOPIC {
            return Err(ResponseError::InvalidRequest);
        }
        let topic = self.image.topics.get(&topic_name(resource.resource_name.as_str()));
        let mut spec = topic.ok_or(ResponseError::UnknownTopicOrPartition)?.spec.clone();
        for config in &resource.configs {
            match (config.config_operation, &config.value) {
                (SET, Some(value)) => settings::set(&mut spec, &config.name, value),
                (DELETE, _) => settings::unset(&mut spec, &config.name),
                _ => Err(settings::Refused),
            }
            .map_err(|settings::Refused| ResponseError::InvalidConfig)?;
        }
        Ok(spec)
    }
}

/// Who was eligible was so by another `min.insync.replicas`. A partition that nobody is in sync with has no leader then until
/// an operator wants an unclean one.
fn forget_eligible(partition: &mut PartitionImage) {
    if !partition.elr.is_empty() || partition.last_known_leader.is_some() {
        partition.elr.clear();
        partition.last_known_leader = None;
        partition.partition_epoch += 1;
    }
}
