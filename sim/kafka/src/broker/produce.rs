//! `Produce`: one batch per partition, judged and appended by itself.
//!
//! Atomic per batch only: a request may succeed in one partition and fail in another. With `acks=all` the answer waits
//! until the in-sync replicas have every batch, or `timeout_ms` is over; with `acks=0` nothing is answered, and an error
//! closes the connection.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest};
use kafka_protocol::messages::produce_response::{
    PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};

use super::state_topics::CoordinatorOf;
use super::transactions::MarkersReply;
use super::verification::Clearance;
use super::waits::Awaited;
use super::{Broker, ConnectionId, Output, ReplyTo};
use crate::cluster::{CONSUMER_OFFSETS, TRANSACTION_STATE, TimestampMs, TopicPartition};
use crate::producer_state::{Guard, Verdict};
use crate::records::{BatchHeader, decode_batch};

/// Whom an append that waits for replicas is for.
pub(super) enum Then {
    Produced(ProduceReply),
    /// Markers of transactions.
    Marked(MarkersReply),
    /// A coordinator's write.
    Written {
        of: CoordinatorOf,
        ticket: u64,
    },
}

impl Then {
    pub fn is_on(&self, conn: ConnectionId) -> bool {
        match self {
            Then::Produced(produced) => produced.reply.conn == conn,
            Then::Marked(marked) => marked.is_on(conn),
            Then::Written { .. } => false,
        }
    }
}

/// An answer to `Produce` that is all but ready.
pub(super) struct ProduceReply {
    reply: ReplyTo,
    response: ProduceResponse,
}

impl ProduceReply {
    /// The answer, with what came of the appends that were waited for.
    pub fn respond(mut self, appends: &[Awaited]) -> Output {
        for append in appends {
            let Some(Err(error)) = append.outcome else { continue };
            let topic = self.response.responses.iter_mut().find(|topic| topic.name == append.at.topic);
            let partitions = topic.into_iter().flat_map(|topic| &mut topic.partition_responses);
            for partition in partitions.filter(|partition| partition.index == append.at.partition) {
                *partition = refused(append.at.partition, error);
            }
        }
        self.reply.respond(self.response)
    }
}

/// Where a batch is, as the producer is told.
struct Stored {
    base_offset: i64,
    log_append_time: TimestampMs,
    /// The high watermark that means that all in-sync replicas have it.
    required: i64,
}

impl Broker {
    /// Appends what the coordinators have nothing against.
    pub(super) fn append_produced(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: ProduceRequest,
        clearance: &Clearance,
        outputs: &mut Vec<Output>,
    ) {
        let refusal = match request.acks {
            -1..=1 => None,
            _ => Some(ResponseError::InvalidRequiredAcks),
        };
        let mut awaited = Vec::new();
        let mut responses = Vec::with_capacity(request.topic_data.len());
        let mut failed = false;
        for topic in request.topic_data {
            let mut partitions = Vec::with_capacity(topic.partition_data.len());
            for data in topic.partition_data {
                let at = TopicPartition { topic: topic.name.clone(), partition: data.index };
                let stored = match refusal.or(clearance.refusals.get(&at).copied()) {
                    Some(error) => Err(error),
                    None => self.append(now, &at, request.acks, data, clearance.guard_of(&at)),
                };
                failed |= stored.is_err();
                partitions.push(match &stored {
                    Ok(stored) => accepted(at.partition, stored),
                    Err(error) => refused(at.partition, *error),
                });
                if let Ok(stored) = stored {
                    awaited.push(Awaited { at, required: stored.required, outcome: None });
                }
            }
            let response = TopicProduceResponse::default().with_name(topic.name);
            responses.push(response.with_partition_responses(partitions));
        }
        let response = ProduceResponse::default().with_responses(responses);
        let grown: Vec<TopicPartition> = awaited.iter().map(|append| append.at.clone()).collect();
        let now_or_never = match request.acks {
            0 if failed => Some(Output::Close { conn: reply.conn }),
            0 => None,
            -1 if !awaited.is_empty() => {
                let then = Then::Produced(ProduceReply { reply, response });
                self.waits.add(Some(now + i64::from(request.timeout_ms)), awaited, then);
                None
            }
            _ => Some(reply.respond(response)),
        };
        for at in grown {
            self.log_grew(now, &at, outputs);
            // A repetition may be with all replicas already.
            self.settle_waits(&at, outputs);
        }
        outputs.extend(now_or_never);
    }

    fn append(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        acks: i16,
        data: PartitionProduceData,
        guard: Guard,
    ) -> Result<Stored, ResponseError> {
        let (spec, replica) = self.led(&at.topic, at.partition)?;
        if is_internal(&at.topic) {
            return Err(ResponseError::InvalidTopicException);
        }
        let in_sync = replica.leading().map_or(0, |leading| leading.isr.len());
        let max_bytes = spec.max_message_bytes.unwrap_or(self.config.message_max_bytes);
        let compacts = spec.cleanup_policy.compacts();
        if acks == -1 && in_sync < self.min_insync(at) {
            return Err(ResponseError::NotEnoughReplicas);
        }
        let batch = data.records.ok_or(ResponseError::InvalidRecord)?;
        if i32::try_from(batch.len()).map_or(true, |size| size > max_bytes) {
            return Err(ResponseError::MessageTooLarge);
        }
        let header = BatchHeader::validate(&batch)?;
        if compacts {
            let (_, records) = decode_batch(&batch).map_err(|_| ResponseError::CorruptMessage)?;
            if records.iter().any(|record| record.key.is_none()) {
                return Err(ResponseError::InvalidRecord);
            }
        }
        let (clock, expiration) = (self.clock(now), self.config.producer_id_expiration());
        let (_, replica) = self.led(&at.topic, at.partition)?;
        let verdict = replica.producers.check(clock, expiration, &header, guard)?;
        if let Verdict::Duplicate { base_offset } = verdict {
            let required = base_offset + i64::from(header.last_offset_delta) + 1;
            return Ok(Stored { base_offset, log_append_time: -1, required });
        }
        let appended = self.append_led(now, at, &header, None, batch)?;
        Ok(Stored {
            base_offset: appended.base_offset,
            log_append_time: appended.log_append_time,
            required: appended.base_offset + i64::from(header.last_offset_delta) + 1,
        })
    }

    /// Ends waits that the high watermark has passed already.
    fn settle_waits(&mut self, at: &TopicPartition, outputs: &mut Vec<Output>) {
        let Ok((_, replica)) = self.led(&at.topic, at.partition) else { return };
        let high_watermark = replica.high_watermark;
        for wait in self.waits.reached(at, high_watermark, Ok(())) {
            self.conclude(wait, outputs);
        }
    }
}

fn is_internal(topic: &TopicName) -> bool {
    matches!(topic.as_str(), CONSUMER_OFFSETS | TRANSACTION_STATE)
}

fn accepted(index: i32, stored: &Stored) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_base_offset(stored.base_offset)
        .with_log_append_time_ms(stored.log_append_time)
}

fn refused(index: i32, error: ResponseError) -> PartitionProduceResponse {
    PartitionProduceResponse::default().with_index(index).with_error_code(error.code()).with_base_offset(-1)
}
