//! `AlterPartition`: leaders say who is in sync with them.
//!
//! Real: `ReplicationControlManager.alterPartition`.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_request::{BrokerState, PartitionData as Wanted};
use kafka_protocol::messages::alter_partition_response::{PartitionData, TopicData};
use kafka_protocol::messages::{AlterPartitionRequest, AlterPartitionResponse, BrokerId};
use uuid::Uuid;

use super::in_sync::{Policy, settle};
use super::{Controller, ControllerOutput};
use crate::cluster::TimestampMs;
use crate::image::{BrokerImage, Image, PartitionImage, TopicImage};

impl Controller {
    pub(super) fn alter_partition(
        &mut self,
        now: TimestampMs,
        request: AlterPartitionRequest,
        outputs: &mut Vec<ControllerOutput>,
    ) -> AlterPartitionResponse {
        let broker = request.broker_id.0;
        if !self.is_current(broker, request.broker_epoch) {
            let error = ResponseError::StaleBrokerEpoch.code();
            return AlterPartitionResponse::default().with_error_code(error);
        }
        let mut topics = Vec::with_capacity(request.topics.len());
        let policy = self.policy();
        self.edit(now, outputs, |image, _| {
            let mut changed = false;
            for topic in request.topics {
                let partitions = topic.partitions.iter().map(|wanted| {
                    let index = wanted.partition_index;
                    match alter(image, policy, broker, topic.topic_id, wanted) {
                        Ok(partition) => {
                            changed = true;
                            described(index, partition)
                        }
                        Err(error) => {
                            PartitionData::default().with_partition_index(index).with_error_code(error.code())
                        }
                    }
                });
                let partitions = partitions.collect();
                topics.push(TopicData::default().with_topic_id(topic.topic_id).with_partitions(partitions));
            }
            changed
        });
        AlterPartitionResponse::default().with_topics(topics)
    }
}

fn alter<'a>(
    image: &'a mut Image,
    policy: Policy,
    broker: i32,
    topic_id: Uuid,
    wanted: &Wanted,
) -> Result<&'a PartitionImage, ResponseError> {
    let brokers = &image.brokers;
    let may_lead = |id: i32| brokers.get(&id).is_some_and(BrokerImage::is_active);
    let topic = image.topics.values_mut().find(|topic| topic.id == topic_id);
    let topic = topic.ok_or(ResponseError::UnknownTopicId)?;
    let index = usize::try_from(wanted.partition_index).ok();
    let index = index.filter(|index| *index < topic.partitions.len());
    let index = index.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let current = &topic.partitions[index];
    if wanted.leader_epoch < current.leader_epoch {
        return Err(ResponseError::FencedLeaderEpoch);
    }
    if wanted.leader_epoch > current.leader_epoch {
        return Err(ResponseError::NotController);
    }
    if current.leader != broker {
        return Err(ResponseError::InvalidRequest);
    }
    if wanted.partition_epoch < current.partition_epoch {
        return Err(ResponseError::InvalidUpdateVersion);
    }
    let isr: Vec<i32> = wanted.new_isr_with_epochs.iter().map(|state| state.broker_id.0).collect();
    if !isr.contains(&broker) || isr.iter().any(|id| !current.replicas.contains(id)) {
        return Err(ResponseError::InvalidRequest);
    }
    // The leader may have seen an earlier process of a broker that has lost records since (KIP-903).
    let is_same = |state: &BrokerState| {
        brokers.get(&state.broker_id.0).is_some_and(|broker| broker.epoch == state.broker_epoch)
    };
    if isr.iter().any(|id| !may_lead(*id)) || !wanted.new_isr_with_epochs.iter().all(is_same) {
        return Err(ResponseError::IneligibleReplica);
    }
    let TopicImage { spec, partitions, .. } = Arc::make_mut(topic);
    let partition = &mut partitions[index];
    let rules = policy.rules(spec, partition.replicas.len());
    settle(partition, isr, None, &rules, &may_lead);
    partition.partition_epoch += 1;
    Ok(partition)
}

fn described(index: i32, partition: &PartitionImage) -> PartitionData {
    PartitionData::default()
        .with_partition_index(index)
        .with_leader_id(BrokerId(partition.leader))
        .with_leader_epoch(partition.leader_epoch)
        .with_isr(partition.isr.iter().map(|id| BrokerId(*id)).collect())
        .with_partition_epoch(partition.partition_epoch)
}
