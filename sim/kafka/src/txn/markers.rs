//! Carrying out a decision: a marker in every partition of the transaction (`WriteTxnMarkers` to each leader), repeated
//! until all are written, and then the record that says so.
//!
//! Real: `TransactionMarkerChannelManager`, `TransactionMarkerRequestCompletionHandler`. A marker that a leader refuses for
//! good (a newer coordinator or a newer epoch has been there) ends the sending, and the id stays pending until its next
//! coordinator loads it. What Kafka's sender thread tries again at once, or when the connection is back, is tried again
//! after `MARKER_RETRY_BACKOFF_MS` here.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest,
};
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WriteTxnMarkersResponse,
};
use kafka_protocol::messages::{ProducerId, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::metadata::Metadata;
use super::state::TransactionState;
use super::{Env, Leader, Then, TransactionCoordinator};
use crate::client::LinkError;
use crate::cluster::{TimestampMs, TopicPartition};
use crate::coordination::PeerSend;
use crate::protocol::Response;

/// As `reconnect.backoff.ms` of Kafka's own marker sender.
const MARKER_RETRY_BACKOFF_MS: i64 = 50;
/// `request.timeout.ms` between brokers.
const REQUEST_TIMEOUT_MS: i64 = 30_000;

/// Markers of one transaction that are with a leader.
pub(super) struct MarkerSend {
    pub partition: i32,
    id: StrBytes,
    partitions: Vec<TopicPartition>,
}

/// Something that is tried again later.
pub(super) struct Retry {
    pub partition: i32,
    id: StrBytes,
    what: RetryOf,
}

enum RetryOf {
    Markers(Vec<TopicPartition>),
    Completion(Metadata),
}

/// What a leader's answer means for a partition's marker.
enum MarkerOutcome {
    Written,
    Again,
    /// The transaction is none of this coordinator's any more.
    GiveUp,
}

impl TransactionCoordinator {
    /// The transaction of this id is decided, and that is written.
    pub(super) fn begin_completion(&mut self, env: &mut Env<'_>, id: &StrBytes) {
        let Ok(Some(transaction)) = self.transaction(id) else { return };
        let completion = transaction.metadata.completed(env.clock);
        transaction.has_failed_epoch_fence = false;
        transaction.pending = Some(completion.state);
        transaction.completion = Some(completion);
        let partitions = transaction.metadata.partitions.iter().cloned().collect();
        self.send_markers(env, id, partitions);
    }

    fn send_markers(&mut self, env: &mut Env<'_>, id: &StrBytes, partitions: Vec<TopicPartition>) {
        let mut by_leader: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        let (mut leaderless, mut deleted) = (Vec::new(), Vec::new());
        for at in partitions {
            match (env.leader_of)(&at.topic, at.partition) {
                Leader::Broker(broker) => by_leader.entry(broker).or_default().push(at),
                Leader::None => leaderless.push(at),
                Leader::NoSuchPartition => deleted.push(at),
            }
        }
        for (broker, partitions) in by_leader {
            self.send_to(env, id, broker, partitions);
        }
        if !leaderless.is_empty() {
            self.retry_later(env.now, id, RetryOf::Markers(leaderless));
        }
        self.marked(env, id, &deleted);
    }

    fn send_to(&mut self, env: &mut Env<'_>, id: &StrBytes, broker: i32, partitions: Vec<TopicPartition>) {
        let (partition, ticket) = (self.partition_of(id), self.ticket());
        let Ok(led) = self.partition(id) else { return };
        let Some(transaction) = led.transactions.get(id) else { return };
        let metadata = &transaction.metadata;
        let marker = WritableTxnMarker::default()
            .with_producer_id(ProducerId(metadata.producer_id))
            .with_producer_epoch(metadata.producer_epoch)
            .with_transaction_result(metadata.state == TransactionState::PrepareCommit)
            .with_coordinator_epoch(led.epoch)
            .with_topics(topics(&partitions));
        let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]).into();
        env.todo.sends.push(PeerSend { to: broker, ticket, request, timeout_ms: REQUEST_TIMEOUT_MS });
        self.marker_sends.insert(ticket, MarkerSend { partition, id: id.clone(), partitions });
    }

    /// What came of a request to a leader.
    pub fn sent(&mut self, env: &mut Env<'_>, ticket: u64, outcome: Result<Response, LinkError>) {
        let Some(send) = self.marker_sends.remove(&ticket) else { return };
        let response = match outcome {
            Ok(Response::WriteTxnMarkers(response)) => Some(response),
            Ok(_) | Err(_) => None,
        };
        let outcomes = outcomes(response.as_ref());
        let (mut written, mut again) = (Vec::new(), Vec::new());
        for at in send.partitions {
            match outcomes.get(&(&at.topic, at.partition)) {
                Some(MarkerOutcome::Written) => written.push(at),
                Some(MarkerOutcome::GiveUp) => {
                    if let Ok(Some(transaction)) = self.transaction(&send.id) {
                        transaction.completion = None;
                    }
                }
                Some(MarkerOutcome::Again) | None => again.push(at),
            }
        }
        if !again.is_empty() {
            self.retry_later(env.now, &send.id, RetryOf::Markers(again));
        }
        self.marked(env, &send.id, &written);
    }

    /// These partitions need no marker any more. When none does, the transaction is complete.
    fn marked(&mut self, env: &mut Env<'_>, id: &StrBytes, partitions: &[TopicPartition]) {
        let Ok(Some(transaction)) = self.transaction(id) else { return };
        for at in partitions {
            transaction.metadata.partitions.remove(at);
        }
        if transaction.metadata.partitions.is_empty()
            && let Some(to) = transaction.completion.take()
        {
            self.write(env, id, Then::Complete { to });
        }
    }

    /// The completion is written, or could not be; then it is tried again, for nobody else will.
    pub(super) fn completed(
        &mut self,
        env: &mut Env<'_>,
        id: &StrBytes,
        to: Metadata,
        outcome: Result<(), ResponseError>,
    ) {
        let Ok(Some(transaction)) = self.transaction(id) else { return };
        match outcome {
            Ok(()) => transaction.metadata = to,
            Err(ResponseError::NotCoordinator) => {}
            Err(_) => {
                transaction.pending = Some(to.state);
                self.retry_later(env.now, id, RetryOf::Completion(to));
            }
        }
    }

    fn retry_later(&mut self, now: TimestampMs, id: &StrBytes, what: RetryOf) {
        let (partition, number) = (self.partition_of(id), self.ticket());
        let due = now + MARKER_RETRY_BACKOFF_MS;
        self.retries.insert((due, number), Retry { partition, id: id.clone(), what });
    }

    pub(super) fn retry(&mut self, env: &mut Env<'_>) {
        while let Some(entry) = self.retries.first_entry()
            && entry.key().0 <= env.now
        {
            let retry = entry.remove();
            match retry.what {
                RetryOf::Completion(to) => self.write(env, &retry.id, Then::Complete { to }),
                RetryOf::Markers(partitions) => {
                    let transaction = self.transaction(&retry.id).ok().flatten();
                    if transaction.is_some_and(|transaction| transaction.completion.is_some()) {
                        self.send_markers(env, &retry.id, partitions);
                    }
                }
            }
        }
    }
}

fn topics(partitions: &[TopicPartition]) -> Vec<WritableTxnMarkerTopic> {
    let mut topics: Vec<WritableTxnMarkerTopic> = Vec::new();
    for at in partitions {
        match topics.last_mut().filter(|topic| topic.name == at.topic) {
            Some(topic) => topic.partition_indexes.push(at.partition),
            None => topics.push(
                WritableTxnMarkerTopic::default()
                    .with_name(at.topic.clone())
                    .with_partition_indexes(vec![at.partition]),
            ),
        }
    }
    topics
}

/// By partition: there is one marker in each request.
fn outcomes(response: Option<&WriteTxnMarkersResponse>) -> BTreeMap<(&TopicName, i32), MarkerOutcome> {
    let topics =
        response.into_iter().flat_map(|response| &response.markers).flat_map(|marker| &marker.topics);
    let partitions =
        topics.flat_map(|topic| topic.partitions.iter().map(move |result| (&topic.name, result)));
    partitions.map(|(topic, result)| ((topic, result.partition_index), outcome(result))).collect()
}

fn outcome(result: &WritableTxnMarkerPartitionResult) -> MarkerOutcome {
    match ResponseError::try_from_code(result.error_code) {
        None => MarkerOutcome::Written,
        Some(ResponseError::InvalidProducerEpoch | ResponseError::TransactionCoordinatorFenced) => {
            MarkerOutcome::GiveUp
        }
        Some(_) => MarkerOutcome::Again,
    }
}
