//! What an answer means for each batch that was sent.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponse};

use super::lane::Batch;
use super::{MessageStatus, ProduceError, Producer, Profile};
use crate::client::{Error, ErrorCode, Link, LinkError};
use crate::cluster::TopicPartition;
use crate::producer_state::add_sequence;
use crate::protocol::check;
use crate::records::BatchProducer;

/// The end of a request.
pub(super) enum Answer {
    Told(ProduceResponse),
    Failed(LinkError),
    /// `acks=0`.
    NotAwaited,
}

/// What an answer says of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Written {
        base_offset: i64,
    },
    /// Not written; `stale`: the leader may be another.
    TryAgain {
        stale: bool,
    },
    /// Written or not.
    Unanswered,
    Failed(ResponseError),
}

impl<L: Link + ?Sized + 'static> Producer<L> {
    pub(super) fn landed(&mut self, flight: u64, answer: &Answer) {
        let Some(flight) = self.flights.end(flight) else { return };
        for (partition, id) in flight.batches {
            let batch = self.lanes.get_mut(&partition).and_then(|lane| lane.flying.remove(&id));
            if let Some(batch) = batch {
                self.judge(&partition, batch, outcome_of(answer, &partition));
            }
        }
    }

    fn judge(&mut self, partition: &TopicPartition, mut batch: Batch, outcome: Outcome) {
        match outcome {
            Outcome::Written { base_offset } => {
                self.metadata_backoff.reset();
                self.finish(partition, batch, Ok(base_offset));
            }
            Outcome::Unanswered => {
                batch.maybe_written = true;
                self.needs_metadata = true;
                self.try_again(partition, batch, ProduceError::Unknown);
            }
            Outcome::TryAgain { stale } => {
                self.needs_metadata |= stale;
                self.try_again(partition, batch, ProduceError::TimedOut);
            }
            Outcome::Failed(error) => self.refused(partition, batch, error),
        }
    }

    fn refused(&mut self, partition: &TopicPartition, batch: Batch, error: ResponseError) {
        let is_behind = self.lanes.get(partition).is_some_and(|lane| lane.is_behind(batch.id()));
        match error {
            // What was sent before it is not through yet: the gap is no surprise.
            ResponseError::OutOfOrderSequenceNumber if is_behind && self.resolved.idempotent => {
                self.try_again(partition, batch, ProduceError::Refused(error));
            }
            _ if batch.maybe_written || error == ResponseError::UnknownServerError => {
                self.fail(partition, batch, ProduceError::Unknown);
            }
            ResponseError::MessageTooLarge
                if batch.records.len() > 1 && self.config.profile != Profile::Librdkafka =>
            {
                self.split(partition, batch);
            }
            ResponseError::OutOfOrderSequenceNumber
            | ResponseError::UnknownProducerId
            | ResponseError::InvalidProducerEpoch
                if self.resolved.idempotent =>
            {
                self.start_over(partition, batch, error);
            }
            ResponseError::ProducerFenced => {
                self.set_fatal(Error::fatal(ErrorCode::Fenced, "a newer producer has this transactional.id"));
                self.fail(partition, batch, ProduceError::Refused(error));
            }
            _ => self.fail(partition, batch, ProduceError::Refused(error)),
        }
    }

    /// The leader knows us otherwise than we do, and has not taken this batch: it goes out in a new epoch (KIP-360). In a
    /// transaction that is the next one's.
    fn start_over(&mut self, partition: &TopicPartition, mut batch: Batch, error: ResponseError) {
        let is_current = self.is_current(&batch);
        if self.transaction.is_some() {
            self.bump_epoch();
            return self.fail(partition, batch, ProduceError::Refused(error));
        }
        batch.start_over();
        if is_current {
            self.bump_epoch();
        }
        self.try_again(partition, batch, ProduceError::Refused(error));
    }

    /// Halves the batch. Its sequences go to the halves, unless something was sent behind it.
    fn split(&mut self, partition: &TopicPartition, batch: Batch) {
        self.take_back_sequence(partition, &batch);
        if let Some(lane) = self.lanes.get_mut(partition) {
            lane.split(batch);
        }
    }

    /// Another attempt after a pause, if there may be one.
    fn try_again(&mut self, partition: &TopicPartition, mut batch: Batch, error: ProduceError) {
        let now = self.now();
        if self.is_aborting() {
            let error = if batch.maybe_written { ProduceError::PurgedInFlight } else { ProduceError::Purged };
            return self.fail(partition, batch, error);
        }
        if batch.attempts > self.resolved.retries {
            let error = if batch.maybe_written { ProduceError::Unknown } else { error };
            return self.fail(partition, batch, error);
        }
        batch.try_again(now);
        if let Some(lane) = self.lanes.get_mut(partition) {
            lane.put_back(batch);
        }
    }

    pub(super) fn fail(&mut self, partition: &TopicPartition, batch: Batch, error: ProduceError) {
        self.fail_all(partition, vec![(batch, error)]);
    }

    /// Tells that batches, in the order of sending, failed for good, and sees to the gaps that they leave.
    pub(super) fn fail_all(&mut self, partition: &TopicPartition, failed: Vec<(Batch, ProduceError)>) {
        if failed.is_empty() {
            return;
        }
        for (batch, error) in failed.iter().rev().filter(|(batch, _)| batch.is_encoded()) {
            match error.status() {
                MessageStatus::PossiblyPersisted => self.bump_epoch(),
                MessageStatus::NotPersisted | MessageStatus::Persisted => {
                    self.take_back_sequence(partition, batch);
                }
            }
        }
        for (batch, error) in failed {
            self.delivery_failed(error);
            self.finish(partition, batch, Err(error));
        }
        if self.config.profile == Profile::Platform {
            let rest = self.lanes.get_mut(partition).map(|lane| lane.take_waiting(|_| true));
            for batch in rest.unwrap_or_default() {
                self.finish(partition, batch, Err(ProduceError::NotSent));
            }
        }
    }

    /// The batch was not written: the next one gets its sequences, or a new epoch where later ones are on their way.
    fn take_back_sequence(&mut self, partition: &TopicPartition, batch: &Batch) {
        let sequence = self.lanes.get_mut(partition).and_then(|lane| lane.sequence.as_mut());
        let (Some(sequence), Some(producer)) = (sequence, batch.producer()) else { return };
        let end =
            BatchProducer { base_sequence: add_sequence(producer.base_sequence, batch.len()), ..producer };
        if sequence.producer() == end {
            sequence.next = producer.base_sequence;
        } else if self.is_current(batch) {
            self.bump_epoch();
        }
    }

    pub(super) fn finish(
        &mut self,
        partition: &TopicPartition,
        batch: Batch,
        result: Result<i64, ProduceError>,
    ) {
        let in_order = self.resolved.idempotent;
        if let Some(lane) = self.lanes.get_mut(partition) {
            let reports = lane.finish(batch, result, in_order);
            self.tell(reports);
        }
    }
}

fn outcome_of(answer: &Answer, partition: &TopicPartition) -> Outcome {
    let response = match answer {
        Answer::Told(response) => response,
        Answer::NotAwaited => return Outcome::Written { base_offset: -1 },
        Answer::Failed(LinkError::Refused) => return Outcome::TryAgain { stale: true },
        Answer::Failed(LinkError::Reset | LinkError::TimedOut) => return Outcome::Unanswered,
    };
    let is_ours = |response: &&PartitionProduceResponse| response.index == partition.partition;
    let topic = response.responses.iter().find(|topic| topic.name == partition.topic);
    let Some(found) = topic.and_then(|topic| topic.partition_responses.iter().find(is_ours)) else {
        return Outcome::Unanswered;
    };
    match check(found.error_code) {
        Ok(()) => Outcome::Written { base_offset: found.base_offset },
        Err(ResponseError::DuplicateSequenceNumber) => Outcome::Written { base_offset: -1 },
        // A leader says these also of what it has appended: that it stepped down while replicas were waited for, say.
        Err(
            ResponseError::RequestTimedOut
            | ResponseError::NotEnoughReplicasAfterAppend
            | ResponseError::NotLeaderOrFollower
            | ResponseError::KafkaStorageError
            | ResponseError::NetworkException,
        ) => Outcome::Unanswered,
        Err(error) if error.is_retriable() => {
            Outcome::TryAgain { stale: error != ResponseError::NotEnoughReplicas }
        }
        Err(error) => Outcome::Failed(error),
    }
}
