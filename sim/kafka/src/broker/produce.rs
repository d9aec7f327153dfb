//! `Produce`: one batch per partition, judged and appended by itself.
//!
//! Atomic per batch only: a request may succeed in one partition and fail in another. The leader is the only
//! replica, so `acks` 1 and -1 are the same here, and an appended batch is visible at once. With `acks=0` nothing is
//! answered, whatever went wrong (Kafka would also drop the connection upon an error; that is left out).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest};
use kafka_protocol::messages::produce_response::{
    PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};

use super::{Broker, Output, ReplyTo};
use crate::cluster::{CleanupPolicy, TimestampMs, TopicPartition};
use crate::log::Log;
use crate::producer_state::{Guard, ProducerStates, Verdict};
use crate::records::{BatchHeader, decode_batch};

/// A partition led by this broker.
#[derive(Default)]
pub(super) struct Partition {
    pub log: Log,
    pub producers: ProducerStates,
}

/// Where a batch is, as the producer is told.
struct Stored {
    base_offset: i64,
    log_append_time: TimestampMs,
}

impl Broker {
    pub(super) fn produce(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: ProduceRequest,
    ) -> Vec<Output> {
        let refusal = match request.acks {
            -1..=1 if request.transactional_id.is_some() => Some(ResponseError::InvalidTxnState),
            -1..=1 => None,
            _ => Some(ResponseError::InvalidRequiredAcks),
        };
        let mut outputs = Vec::new();
        let mut appended = Vec::new();
        let mut responses = Vec::with_capacity(request.topic_data.len());
        for topic in request.topic_data {
            let mut partitions = Vec::with_capacity(topic.partition_data.len());
            for data in topic.partition_data {
                let index = data.index;
                let stored = match refusal {
                    Some(error) => Err(error),
                    None => self.append(now, &topic.name, data, &mut outputs, &mut appended),
                };
                partitions.push(partition_response(index, stored));
            }
            responses.push(
                TopicProduceResponse::default().with_name(topic.name).with_partition_responses(partitions),
            );
        }
        if request.acks != 0 {
            outputs.push(reply.respond(ProduceResponse::default().with_responses(responses)));
        }
        self.wake_fetches(&appended, &mut outputs);
        outputs
    }

    fn append(
        &mut self,
        now: TimestampMs,
        topic: &TopicName,
        data: PartitionProduceData,
        outputs: &mut Vec<Output>,
        appended: &mut Vec<TopicPartition>,
    ) -> Result<Stored, ResponseError> {
        self.partition(topic, data.index)?;
        let batch = data.records.ok_or(ResponseError::InvalidRecord)?;
        if i32::try_from(batch.len()).map_or(true, |size| size > self.config.message_max_bytes) {
            return Err(ResponseError::MessageTooLarge);
        }
        let header = BatchHeader::validate(&batch)?;
        if header.is_transactional() {
            return Err(ResponseError::InvalidTxnState);
        }
        let (leader_epoch, clock) = (self.leader_epoch, self.clock(now));
        let expiration_ms = self.config.producer_id_expiration_ms;
        let topic_state = self.topics.get_mut(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let slot = usize::try_from(data.index).ok().and_then(|index| topic_state.partitions.get_mut(index));
        let partition = slot.and_then(Option::as_mut).ok_or(ResponseError::NotLeaderOrFollower)?;
        if topic_state.spec.cleanup_policy == CleanupPolicy::Compact {
            let (_, records) = decode_batch(&batch).map_err(|_| ResponseError::CorruptMessage)?;
            if records.iter().any(|record| record.key.is_none()) {
                return Err(ResponseError::InvalidRecord);
            }
        }
        if let Verdict::Duplicate { base_offset } =
            partition.producers.check(clock, expiration_ms, &header, Guard::Missing)?
        {
            return Ok(Stored { base_offset, log_append_time: -1 });
        }
        let spec = &topic_state.spec;
        let was_empty = partition.log.is_empty();
        let stored = partition.log.append(clock, spec, leader_epoch, &header, batch);
        partition.producers.appended(clock, &header, stored.base_offset);
        let expires_at = partition.log.expires_at(spec.retention_ms);
        let expires_at = expires_at.filter(|_| was_empty && spec.cleanup_policy == CleanupPolicy::Delete);
        let name = TopicPartition { topic: topic.clone(), partition: data.index };
        outputs.push(Output::Visible {
            partition: name.clone(),
            base_offset: stored.base_offset,
            leader_epoch,
            records: stored.records,
        });
        appended.push(name);
        if let Some(expires_at) = expires_at {
            self.note_expiry(now, expires_at);
        }
        Ok(Stored { base_offset: stored.base_offset, log_append_time: stored.log_append_time })
    }
}

fn partition_response(index: i32, stored: Result<Stored, ResponseError>) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(index);
    match stored {
        Ok(stored) => {
            response.with_base_offset(stored.base_offset).with_log_append_time_ms(stored.log_append_time)
        }
        Err(error) => response.with_error_code(error.code()).with_base_offset(-1),
    }
}
