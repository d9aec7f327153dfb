//! Transactions in a broker: requests to the coordinator that lives here, and markers that other coordinators send.
//!
//! Real: `KafkaApis`, `handleWriteTxnMarkersRequest`. Markers of one request are written to their partitions one by one, and
//! answered when the in-sync replicas have all of them.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WriteTxnMarkersRequest};
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersResponse,
};

use super::produce::Then;
use super::state_topics::CoordinatorOf;
use super::waits::Awaited;
use super::{Broker, ConnectionId, Output, ReplyTo};
use crate::cluster::{CONSUMER_OFFSETS, TRANSACTION_STATE, TimestampMs, TopicPartition, topic_name};
use crate::coordination::Todo;
use crate::image::{Image, NO_LEADER};
use crate::protocol::{Request, RequestKind, code};
use crate::records::{BatchHeader, EndTxnMarker};
use crate::txn::{Env, Leader, TransactionCoordinator};

/// `request.timeout.ms` of brokers.
const REQUEST_TIMEOUT_MS: i64 = 30_000;

/// Where a marker's outcome stands in an answer.
struct Place {
    marker: usize,
    topic: usize,
    partition: usize,
}

/// An answer to `WriteTxnMarkers` that waits for replicas.
pub(super) struct MarkersReply {
    pub reply: ReplyTo,
    response: WriteTxnMarkersResponse,
    /// Of each append that is waited for.
    places: Vec<Place>,
}

impl MarkersReply {
    pub fn is_on(&self, conn: ConnectionId) -> bool {
        self.reply.conn == conn
    }

    /// The answer, with what came of the appends.
    pub fn conclude(mut self, appends: &[Awaited]) -> Output {
        for (place, append) in self.places.iter().zip(appends) {
            if let Some(Err(error)) = append.outcome {
                let topic = &mut self.response.markers[place.marker].topics[place.topic];
                topic.partitions[place.partition].error_code = error.code();
            }
        }
        self.reply.respond(self.response)
    }
}

impl Broker {
    /// Calls the transaction coordinator, and does what it asks for.
    pub(super) fn with_transactions<R>(
        &mut self,
        now: TimestampMs,
        outputs: &mut Vec<Output>,
        call: impl FnOnce(&mut TransactionCoordinator, &mut Env<'_>) -> R,
    ) -> R {
        let (clock, image) = (self.clock(now), Arc::clone(&self.image));
        let leader_of = |topic: &TopicName, partition: i32| leader_in(&image, topic, partition);
        let mut todo = Todo::default();
        let Broker { transactions, producer_ids, .. } = self;
        let mut next_producer_id = || producer_ids.next().ok_or(ResponseError::CoordinatorLoadInProgress);
        let mut env = Env {
            now,
            clock,
            leader_of: &leader_of,
            next_producer_id: &mut next_producer_id,
            todo: &mut todo,
        };
        let result = call(transactions, &mut env);
        self.do_todo(now, CoordinatorOf::Transactions, todo, outputs);
        result
    }

    /// Takes a request for the transaction coordinator.
    pub(super) fn handle_transaction(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: Request,
        outputs: &mut Vec<Output>,
    ) {
        let cluster = &self.config.cluster;
        let offsets_partition_of =
            |group: &str| TopicPartition::new(CONSUMER_OFFSETS, cluster.offsets_partition_of(group));
        let version = request.version;
        match request.kind {
            RequestKind::AddPartitionsToTxn(request) => self.with_transactions(now, outputs, |it, env| {
                it.add_partitions(env, reply, version, request);
            }),
            RequestKind::AddOffsetsToTxn(request) => {
                let offsets = offsets_partition_of(&request.group_id);
                self.with_transactions(now, outputs, |it, env| it.add_offsets(env, reply, request, offsets));
            }
            RequestKind::EndTxn(request) => {
                self.with_transactions(now, outputs, |it, env| it.end_txn(env, reply, version, request));
            }
            RequestKind::DescribeTransactions(request) => {
                let response = self.transactions.describe(request);
                outputs.push(reply.respond(response));
            }
            RequestKind::ListTransactions(request) => {
                let response = self.transactions.list(self.clock(now), &request);
                outputs.push(reply.respond(response));
            }
            kind => {
                let request = Request { client_id: request.client_id, version, kind };
                self.coordinate(now, reply, request, outputs);
            }
        }
    }

    /// The broker that coordinates a transactional id, as this one knows it.
    pub(super) fn transaction_coordinator_of(&self, id: &str) -> Option<i32> {
        let partition = self.transactions.partition_of(id);
        match leader_in(&self.image, &topic_name(TRANSACTION_STATE), partition) {
            Leader::Broker(broker) => Some(broker),
            Leader::None | Leader::NoSuchPartition => None,
        }
    }

    pub(super) fn write_txn_markers(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: WriteTxnMarkersRequest,
        outputs: &mut Vec<Output>,
    ) {
        let mut response = WriteTxnMarkersResponse::default();
        let (mut awaited, mut places) = (Vec::new(), Vec::new());
        for (marker_place, marker) in request.markers.iter().enumerate() {
            let mut result = WritableTxnMarkerResult::default().with_producer_id(marker.producer_id);
            for (topic_place, topic) in marker.topics.iter().enumerate() {
                let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
                for (partition_place, partition) in topic.partition_indexes.iter().enumerate() {
                    let at = TopicPartition { topic: topic.name.clone(), partition: *partition };
                    let appended = self.append_marker(now, &at, marker);
                    partitions.push(
                        WritableTxnMarkerPartitionResult::default()
                            .with_partition_index(*partition)
                            .with_error_code(code(appended.map(|_| ()))),
                    );
                    if let Ok(offset) = appended {
                        awaited.push(Awaited { at, required: offset + 1, outcome: None });
                        places.push(Place {
                            marker: marker_place,
                            topic: topic_place,
                            partition: partition_place,
                        });
                    }
                }
                let topic = WritableTxnMarkerTopicResult::default().with_name(topic.name.clone());
                result.topics.push(topic.with_partitions(partitions));
            }
            response.markers.push(result);
        }
        if awaited.is_empty() {
            return outputs.push(reply.respond(response));
        }
        let grown: Vec<TopicPartition> = awaited.iter().map(|append| append.at.clone()).collect();
        let then = Then::Marked(MarkersReply { reply, response, places });
        self.waits.add(Some(now + REQUEST_TIMEOUT_MS), awaited, then);
        for at in grown {
            self.log_grew(now, &at, outputs);
        }
    }

    /// Ends a transaction in one partition; the marker's offset.
    fn append_marker(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        marker: &WritableTxnMarker,
    ) -> Result<i64, ResponseError> {
        let (_, replica) = self.led(&at.topic, at.partition)?;
        let in_sync = replica.leading().map_or(0, |leading| leading.isr.len());
        if in_sync < self.min_insync(at) {
            return Err(ResponseError::NotEnoughReplicas);
        }
        let (producer_id, epoch) = (marker.producer_id.0, marker.producer_epoch);
        let control =
            EndTxnMarker { commit: marker.transaction_result, coordinator_epoch: marker.coordinator_epoch };
        replica.producers.check_marker(producer_id, epoch, control)?;
        let batch = control.encode(self.clock(now), producer_id, epoch);
        let header = BatchHeader::read(&batch).expect("it was just encoded");
        self.append_led(now, at, &header, Some(control), batch).map(|appended| appended.base_offset)
    }
}

/// Whom an image names as the leader of a partition, if that one is alive.
fn leader_in(image: &Image, topic: &TopicName, partition: i32) -> Leader {
    let found = image.partition(&TopicPartition { topic: topic.clone(), partition });
    match found {
        None => Leader::NoSuchPartition,
        Some(found) if found.leader == NO_LEADER || !image.is_alive(found.leader) => Leader::None,
        Some(found) => Leader::Broker(found.leader),
    }
}
