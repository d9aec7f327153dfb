//! An idempotent producer (KIP-98, KIP-360): `acks=all`, one send at a time.
//!
//! A send writes one batch per partition in one request per leader, and repeats what has no definite answer with the
//! same sequence until `delivery.timeout.ms`. It ends when every record has its outcome, so one dead leader holds up
//! the others' results. Sends are not pipelined: `max.in.flight.requests.per.connection` is 1, `linger.ms` is 0. Omits
//! acks 0 and 1, transactions, compression, and interceptors.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures::future::join_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponse};
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId, TopicName};

use super::metadata::Metadata;
use super::{Backoff, Caller, Link, LinkError};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::partitioner::partition_for;
use crate::producer_state::add_sequence;
use crate::protocol::check;
use crate::records::BatchProducer;

mod config;
mod outbox;

pub use config::{ProduceError, ProducerConfig, ProducerRecord, RecordMetadata};
use outbox::{Batch, Outbox};

/// Producer id and epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    producer_id: i64,
    producer_epoch: i16,
}

/// A partition's next sequence, valid under one identity.
struct Sequence {
    identity: Identity,
    next: i32,
}

impl Sequence {
    /// What the next batch names.
    fn producer(&self) -> BatchProducer {
        let Identity { producer_id, producer_epoch } = self.identity;
        BatchProducer { producer_id, producer_epoch, base_sequence: self.next }
    }
}

/// An idempotent producer.
pub struct Producer<L: Link + ?Sized> {
    caller: Caller<L>,
    config: ProducerConfig,
    metadata: Metadata,
    identity: Option<Identity>,
    sequences: BTreeMap<TopicPartition, Sequence>,
    /// Where keyless records of this send go, modulo the partitions of their topic.
    sticky: i32,
    /// A send was started and not seen to its end.
    sending: bool,
}

/// What came of one partition's batch.
enum Outcome {
    Written {
        base_offset: i64,
    },
    /// Not answered, or not definitely, so it may have been written.
    Unanswered,
    Failed(ResponseError),
    /// It never left, or the leader says it may be tried again.
    TryAgain,
}

impl<L: Link + ?Sized> Producer<L> {
    pub fn new(link: Rc<L>, config: ProducerConfig) -> Producer<L> {
        Producer {
            caller: Caller::new(link, &config.client_id),
            config,
            metadata: Metadata::default(),
            identity: None,
            sequences: BTreeMap::new(),
            sticky: 0,
            sending: false,
        }
    }

    /// Writes records: one outcome each, in the given order. Records of a partition are written in the given order,
    /// and after the first failure the rest of its partition is not sent.
    ///
    /// Dropped half-way, its records have an unknown outcome; the next send then begins a new epoch.
    pub async fn send(&mut self, records: Vec<ProducerRecord>) -> Vec<Result<RecordMetadata, ProduceError>> {
        if std::mem::replace(&mut self.sending, true) {
            self.bump_epoch();
        }
        let deadline = self.now() + self.config.delivery_timeout_ms;
        let mut backoff = Backoff::new(self.config.retry_backoff_ms, self.config.retry_backoff_max_ms);
        let topics: BTreeSet<TopicName> = records.iter().map(|record| record.topic.clone()).collect();
        let mut refresh = topics.iter().any(|topic| !self.metadata.knows(topic));
        while refresh && !self.refresh_metadata(&topics).await && self.pause(&mut backoff, deadline).await {}

        self.sticky = self.sticky.wrapping_add(1) & i32::MAX;
        let placed = records.iter().map(|record| self.partition_of(record)).collect();
        let mut outbox = Outbox::new(records, placed, self.config.batch_size);
        backoff.reset();
        refresh = false;
        while !outbox.is_done() {
            if refresh {
                self.refresh_metadata(&topics).await;
            }
            refresh = self.round(&mut outbox, deadline).await;
            if refresh && !self.pause(&mut backoff, deadline).await {
                break;
            }
        }
        if outbox.time_out() {
            self.bump_epoch();
        }
        self.sending = false;
        outbox.into_outcomes()
    }

    fn now(&self) -> TimestampMs {
        self.caller.link.now_ms()
    }

    /// Waits before the next attempt; false if there is no time for one.
    async fn pause(&self, backoff: &mut Backoff, deadline: TimestampMs) -> bool {
        let delay_ms = backoff.next();
        if self.now() + delay_ms >= deadline {
            return false;
        }
        self.caller.link.sleep_ms(delay_ms).await;
        true
    }

    /// True if all topics are known now.
    async fn refresh_metadata(&mut self, topics: &BTreeSet<TopicName>) -> bool {
        let servers = &self.config.bootstrap_servers;
        if let Ok(metadata) = self.caller.metadata(servers, topics, self.config.request_timeout_ms).await {
            self.metadata.merge(metadata);
        }
        topics.iter().all(|topic| self.metadata.knows(topic))
    }

    fn partition_of(&self, record: &ProducerRecord) -> Result<TopicPartition, ProduceError> {
        let unknown = ProduceError::Refused(ResponseError::UnknownTopicOrPartition);
        let partitions = self.metadata.partitions(&record.topic);
        let partition = match (record.partition, &record.key) {
            _ if partitions == 0 => return Err(ProduceError::TimedOut),
            (Some(partition), _) if (0..partitions).contains(&partition) => partition,
            (Some(_), _) => return Err(unknown),
            (None, Some(key)) => partition_for(key, partitions),
            (None, None) => self.sticky % partitions,
        };
        Ok(TopicPartition { topic: record.topic.clone(), partition })
    }

    /// Sends the first batch of every partition once. True if something has to be tried again.
    async fn round(&mut self, outbox: &mut Outbox, deadline: TimestampMs) -> bool {
        let timeout_ms = self.config.request_timeout_ms.min(deadline - self.now());
        if timeout_ms <= 0 {
            return true;
        }
        let Some(identity) = self.identity(timeout_ms).await else { return true };
        let mut by_leader: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        let mut retry = false;
        for partition in outbox.waiting() {
            match self.metadata.leader(&partition) {
                Some(leader) => by_leader.entry(leader).or_default().push(partition),
                None => retry = true,
            }
        }
        let mut requests = Vec::with_capacity(by_leader.len());
        for (leader, partitions) in by_leader {
            requests.push((leader, self.request(identity, outbox, &partitions), partitions));
        }
        let caller = &self.caller;
        let calls = requests.into_iter().map(|(leader, request, partitions)| async move {
            (caller.call::<ProduceResponse>(leader, request, timeout_ms).await, partitions)
        });
        for (answer, partitions) in join_all(calls).await {
            for partition in partitions {
                let outcome = outcome_of(&answer, &partition);
                retry |= self.conclude(outbox, &partition, outcome);
            }
        }
        retry
    }

    fn request(
        &mut self,
        identity: Identity,
        outbox: &mut Outbox,
        partitions: &[TopicPartition],
    ) -> ProduceRequest {
        let mut topics: Vec<TopicProduceData> = Vec::new();
        for partition in partitions {
            let sequence = self.sequence(identity, partition);
            let batch = outbox.encode_first(partition, sequence);
            let data =
                PartitionProduceData::default().with_index(partition.partition).with_records(Some(batch));
            match topics.last_mut() {
                Some(topic) if topic.name == partition.topic => topic.partition_data.push(data),
                _ => topics.push(
                    TopicProduceData::default()
                        .with_name(partition.topic.clone())
                        .with_partition_data(vec![data]),
                ),
            }
        }
        let timeout_ms = i32::try_from(self.config.request_timeout_ms).unwrap_or(i32::MAX);
        ProduceRequest::default().with_acks(-1).with_timeout_ms(timeout_ms).with_topic_data(topics)
    }

    /// Where a batch of this partition continues: a new identity starts at 0.
    fn sequence(&mut self, identity: Identity, partition: &TopicPartition) -> BatchProducer {
        let fresh = Sequence { identity, next: 0 };
        let sequence = self.sequences.entry(partition.clone()).or_insert(Sequence { identity, next: 0 });
        if sequence.identity != identity {
            *sequence = fresh;
        }
        sequence.producer()
    }

    /// Books one partition's outcome. True if it has to be tried again.
    fn conclude(&mut self, outbox: &mut Outbox, partition: &TopicPartition, outcome: Outcome) -> bool {
        let first = outbox.first(partition);
        match outcome {
            Outcome::Written { base_offset } => {
                self.advance_sequence(partition, first);
                outbox.written(partition, base_offset);
                false
            }
            Outcome::Unanswered => {
                first.maybe_written = true;
                true
            }
            Outcome::TryAgain => true,
            Outcome::Failed(error) if first.maybe_written || error == ResponseError::UnknownServerError => {
                outbox.failed(partition, ProduceError::Unknown);
                self.bump_epoch();
                false
            }
            Outcome::Failed(ResponseError::MessageTooLarge) if first.len() > 1 => {
                outbox.split_first(partition);
                false
            }
            Outcome::Failed(
                ResponseError::OutOfOrderSequenceNumber
                | ResponseError::UnknownProducerId
                | ResponseError::InvalidProducerEpoch,
            ) => {
                // The leader knows us otherwise than we do, and has not taken this batch: start over (KIP-360).
                first.start_over();
                self.bump_epoch();
                true
            }
            Outcome::Failed(error) => {
                outbox.failed(partition, ProduceError::Refused(error));
                false
            }
        }
    }

    fn advance_sequence(&mut self, partition: &TopicPartition, batch: &Batch) {
        let count = i32::try_from(batch.len()).expect("a batch holds fewer than 2^31 records");
        // A batch that began under an older identity says nothing of where the current one is.
        if let Some(sequence) = self.sequences.get_mut(partition)
            && batch.producer() == Some(sequence.producer())
        {
            sequence.next = add_sequence(sequence.next, count);
        }
    }

    /// The producer's id, asked for when there is none.
    async fn identity(&mut self, timeout_ms: i64) -> Option<Identity> {
        if self.identity.is_none() {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_transaction_timeout_ms(i32::MAX)
                .with_producer_id(ProducerId(-1))
                .with_producer_epoch(-1);
            let servers = &self.config.bootstrap_servers;
            let answer = self.caller.call_any::<InitProducerIdResponse>(servers, request, timeout_ms).await;
            if let Ok(response) = answer
                && response.error_code == 0
            {
                let (producer_id, producer_epoch) = (response.producer_id.0, response.producer_epoch);
                self.identity = Some(Identity { producer_id, producer_epoch });
            }
        }
        self.identity
    }

    /// After an unknown outcome: leaders refuse what is still under way from the old epoch once they saw the new.
    fn bump_epoch(&mut self) {
        self.identity = self.identity.and_then(|identity| {
            let producer_epoch = identity.producer_epoch.checked_add(1)?;
            Some(Identity { producer_epoch, ..identity })
        });
    }
}

fn outcome_of(answer: &Result<ProduceResponse, LinkError>, partition: &TopicPartition) -> Outcome {
    let response = match answer {
        Ok(response) => response,
        Err(LinkError::Refused) => return Outcome::TryAgain,
        Err(LinkError::Reset | LinkError::TimedOut) => return Outcome::Unanswered,
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
        Err(error) if error.is_retriable() => Outcome::TryAgain,
        Err(error) => Outcome::Failed(error),
    }
}
