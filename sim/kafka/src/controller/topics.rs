//! Topics: made, deleted, given more partitions.
//!
//! Real: `ReplicationControlManager`. A topic of an old name is a new topic: it has another id.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicResult, CreateTopicsResponse};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, DeleteTopicsRequest,
    TopicName,
};

use super::{Controller, ControllerOutput};
use crate::cluster::{CONSUMER_OFFSETS, TRANSACTION_STATE, TimestampMs, TopicSpec};
use crate::image::{PartitionImage, TopicImage, topic_id};
use crate::settings;

/// Longest name of a topic.
const NAME_MAX: usize = 249;
/// Most partitions of a topic: beyond it somebody has mistyped.
const PARTITIONS_MAX: i32 = 10_000;

impl Controller {
    /// Brokers in session.
    fn alive(&self) -> Vec<i32> {
        let brokers = self.image.brokers.iter();
        brokers.filter(|(_, broker)| !broker.fenced).map(|(id, _)| *id).collect()
    }

    pub(super) fn create_topics(
        &mut self,
        now: TimestampMs,
        request: CreateTopicsRequest,
        outputs: &mut Vec<ControllerOutput>,
    ) -> CreateTopicsResponse {
        let mut results = Vec::with_capacity(request.topics.len());
        for wanted in request.topics {
            let result = CreatableTopicResult::default().with_name(wanted.name.clone());
            results.push(match self.new_topic(&wanted) {
                Ok(topic) => {
                    let factor = topic.partitions[0].replicas.len();
                    let result = result
                        .with_topic_id(topic.id)
                        .with_num_partitions(topic.spec.partitions)
                        .with_replication_factor(i16::try_from(factor).unwrap_or(i16::MAX));
                    if !request.validate_only {
                        self.topics_made += 1;
                        self.edit(now, outputs, |image, _| {
                            image.topics.insert(wanted.name, Arc::new(topic));
                            true
                        });
                    }
                    result
                }
                Err(error) => result.with_error_code(error.code()).with_replication_factor(-1),
            });
        }
        CreateTopicsResponse::default().with_topics(results)
    }

    fn new_topic(&self, wanted: &CreatableTopic) -> Result<TopicImage, ResponseError> {
        if !is_legal_name(wanted.name.as_str()) {
            return Err(ResponseError::InvalidTopicException);
        }
        if self.image.topics.contains_key(&wanted.name) {
            return Err(ResponseError::TopicAlreadyExists);
        }
        let alive = self.alive();
        let mut spec = TopicSpec::new(wanted.name.as_str(), self.partition_count(wanted)?);
        for config in &wanted.configs {
            let value = config.value.as_ref().ok_or(ResponseError::InvalidConfig)?;
            settings::set(&mut spec, &config.name, value).map_err(|_| ResponseError::InvalidConfig)?;
        }
        let id = topic_id(&wanted.name, self.topics_made);
        if !wanted.assignments.is_empty() {
            return self.assigned_topic(id, spec, wanted);
        }
        let default = self.cluster.settings.default_replication_factor;
        let factor = if wanted.replication_factor == -1 { default } else { wanted.replication_factor };
        let possible = usize::try_from(factor).is_ok_and(|factor| (1..=alive.len()).contains(&factor));
        if !possible {
            return Err(ResponseError::InvalidReplicationFactor);
        }
        spec.replication_factor = Some(factor);
        Ok(TopicImage::new(id, spec, &self.cluster, &alive))
    }

    fn partition_count(&self, wanted: &CreatableTopic) -> Result<i32, ResponseError> {
        match wanted.num_partitions {
            -1 if !wanted.assignments.is_empty() => {
                i32::try_from(wanted.assignments.len()).map_err(|_| ResponseError::InvalidPartitions)
            }
            -1 => Ok(self.cluster.settings.num_partitions),
            count if (1..=PARTITIONS_MAX).contains(&count) => Ok(count),
            _ => Err(ResponseError::InvalidPartitions),
        }
    }

    /// A topic whose replicas the client has placed.
    fn assigned_topic(
        &self,
        id: uuid::Uuid,
        spec: TopicSpec,
        wanted: &CreatableTopic,
    ) -> Result<TopicImage, ResponseError> {
        let mut assignments = wanted.assignments.clone();
        assignments.sort_by_key(|assignment| assignment.partition_index);
        let mut partitions = Vec::with_capacity(assignments.len());
        for (index, assignment) in (0..).zip(assignments) {
            if assignment.partition_index != index {
                return Err(ResponseError::InvalidReplicaAssignment);
            }
            partitions.push(self.placed(&assignment.broker_ids)?);
        }
        if i32::try_from(partitions.len()).ok() != Some(spec.partitions) {
            return Err(ResponseError::InvalidReplicaAssignment);
        }
        Ok(TopicImage { id, spec, partitions })
    }

    fn placed(&self, brokers: &[BrokerId]) -> Result<PartitionImage, ResponseError> {
        let replicas: Vec<i32> = brokers.iter().map(|id| id.0).collect();
        let repeated = (1..replicas.len()).any(|place| replicas[..place].contains(&replicas[place]));
        let unknown = replicas.iter().any(|id| !self.image.brokers.contains_key(id));
        let isr: Vec<i32> = replicas.iter().copied().filter(|id| self.image.is_active(*id)).collect();
        if repeated || unknown || isr.is_empty() {
            return Err(ResponseError::InvalidReplicaAssignment);
        }
        Ok(PartitionImage { leader: isr[0], isr, ..PartitionImage::new(replicas) })
    }

    pub(super) fn delete_topics(
        &mut self,
        now: TimestampMs,
        request: DeleteTopicsRequest,
        outputs: &mut Vec<ControllerOutput>,
    ) -> DeleteTopicsResponse {
        let named =
            request.topic_names.into_iter().map(|name| DeleteTopicState::default().with_name(Some(name)));
        let wanted: Vec<DeleteTopicState> = request.topics.into_iter().chain(named).collect();
        let responses = wanted.into_iter().map(|wanted| {
            let result = DeletableTopicResult::default().with_topic_id(wanted.topic_id);
            let name = match wanted.name {
                Some(name) => Some(name),
                None => self.image.topic_of_id(wanted.topic_id).cloned(),
            };
            let Some(name) = name else {
                return result.with_name(None).with_error_code(ResponseError::UnknownTopicId.code());
            };
            let result = result.with_name(Some(name.clone()));
            match self.delete_topic(now, &name, outputs) {
                Ok(id) => result.with_topic_id(id),
                Err(error) => result.with_error_code(error.code()),
            }
        });
        DeleteTopicsResponse::default().with_responses(responses.collect())
    }

    fn delete_topic(
        &mut self,
        now: TimestampMs,
        name: &TopicName,
        outputs: &mut Vec<ControllerOutput>,
    ) -> Result<uuid::Uuid, ResponseError> {
        let known = self.image.topics.get(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
        if is_internal(name.as_str()) {
            return Err(ResponseError::InvalidTopicException);
        }
        let id = known.id;
        self.edit(now, outputs, |image, _| image.topics.remove(name).is_some());
        Ok(id)
    }

    pub(super) fn create_partitions(
        &mut self,
        now: TimestampMs,
        request: CreatePartitionsRequest,
        outputs: &mut Vec<ControllerOutput>,
    ) -> CreatePartitionsResponse {
        let validate_only = request.validate_only;
        let results = request.topics.into_iter().map(|wanted| {
            let result = CreatePartitionsTopicResult::default().with_name(wanted.name.clone());
            match self.more_partitions(&wanted) {
                Ok(topic) => {
                    if !validate_only {
                        self.edit(now, outputs, |image, _| {
                            image.topics.insert(wanted.name, Arc::new(topic));
                            true
                        });
                    }
                    result
                }
                Err(error) => result.with_error_code(error.code()),
            }
        });
        CreatePartitionsResponse::default().with_results(results.collect())
    }

    fn more_partitions(&self, wanted: &CreatePartitionsTopic) -> Result<TopicImage, ResponseError> {
        let topic = self.image.topics.get(&wanted.name).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let mut topic = TopicImage::clone(topic);
        if wanted.count <= topic.spec.partitions || wanted.count > PARTITIONS_MAX {
            return Err(ResponseError::InvalidPartitions);
        }
        let alive = self.alive();
        let first = topic.spec.partitions;
        match &wanted.assignments {
            Some(assignments) => {
                let more = usize::try_from(wanted.count - first).unwrap_or(0);
                if assignments.len() != more {
                    return Err(ResponseError::InvalidReplicaAssignment);
                }
                for assignment in assignments {
                    topic.partitions.push(self.placed(&assignment.broker_ids)?);
                }
            }
            None => topic.partitions.extend(
                (first..wanted.count)
                    .map(|index| PartitionImage::new(self.cluster.replicas_of(&topic.spec, index, &alive))),
            ),
        }
        topic.spec.partitions = wanted.count;
        Ok(topic)
    }
}

fn is_legal_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=NAME_MAX).contains(&name.len()) && name != "." && name != ".." && name.chars().all(legal)
}

/// A topic of the coordinators.
pub(super) fn is_internal(name: &str) -> bool {
    matches!(name, CONSUMER_OFFSETS | TRANSACTION_STATE)
}
