//! `AddPartitionsToTxn` and `AddOffsetsToTxn`: partitions become part of a transaction, or are asked about (KIP-890).
//!
//! Producers ask up to version 3, for one transaction, in its old shape or in the newer one; leaders from version 4 on, for
//! several: they add a partition for a producer of transaction.version 2, and only verify it for an older one.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_offsets_to_txn_request::AddOffsetsToTxnRequest;
use kafka_protocol::messages::add_offsets_to_txn_response::AddOffsetsToTxnResponse;
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResponse, AddPartitionsToTxnResult,
    AddPartitionsToTxnTopicResult,
};

use super::metadata::{Metadata, Transaction};
use super::state::{TransactionState, TransactionVersion};
use super::{Env, Leader, Then, TransactionCoordinator, respond};
use crate::broker::ReplyTo;
use crate::cluster::{TimestampMs, TopicPartition};
use crate::coordination::Todo;
use crate::protocol::code;

/// The newest version that producers speak themselves.
const LAST_CLIENT_VERSION: i16 = 3;

/// Who waits for partitions to be added.
pub(super) enum AddAsker {
    Partitions { reply: Option<ReplyTo>, topics: Vec<AddPartitionsToTxnTopic> },
    Offsets { reply: Option<ReplyTo> },
    Batch { batch: u64, asked: AddPartitionsToTxnTransaction },
}

/// A leader's request for several transactions, answered when all of them are.
pub(super) struct Batch {
    pub reply: Option<ReplyTo>,
    missing: usize,
    results: Vec<AddPartitionsToTxnResult>,
}

impl TransactionCoordinator {
    pub fn add_partitions(
        &mut self,
        env: &mut Env<'_>,
        reply: ReplyTo,
        version: i16,
        request: AddPartitionsToTxnRequest,
    ) {
        let client_version =
            if version > LAST_CLIENT_VERSION { TransactionVersion::V2 } else { TransactionVersion::V0 };
        if version > LAST_CLIENT_VERSION || !request.transactions.is_empty() {
            return self.add_batch(env, reply, client_version, request.transactions);
        }
        let topics = request.v3_and_below_topics;
        if let Some(results) = missing_partitions(env, &topics) {
            let response = AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results);
            return respond(env.todo, Some(reply), response);
        }
        let asked = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(request.v3_and_below_transactional_id)
            .with_producer_id(request.v3_and_below_producer_id)
            .with_producer_epoch(request.v3_and_below_producer_epoch)
            .with_topics(topics.clone());
        let asker = AddAsker::Partitions { reply: Some(reply), topics };
        self.add(env, &asked, client_version, asker);
    }

    fn add_batch(
        &mut self,
        env: &mut Env<'_>,
        reply: ReplyTo,
        client_version: TransactionVersion,
        transactions: Vec<AddPartitionsToTxnTransaction>,
    ) {
        let batch = self.ticket();
        // One more than there are, so that nothing is answered before all have been looked at.
        let missing = transactions.len() + 1;
        self.batches.insert(batch, Batch { reply: Some(reply), missing, results: Vec::new() });
        for asked in transactions {
            if let Some(results) = missing_partitions(env, &asked.topics) {
                self.answer_batch(env.todo, batch, Some(result_of(&asked, results)));
            } else if asked.verify_only {
                let verified = self.verify(&asked);
                self.answer_batch(env.todo, batch, Some(verified));
            } else {
                let asker = AddAsker::Batch { batch, asked: asked.clone() };
                self.add(env, &asked, client_version, asker);
            }
        }
        self.answer_batch(env.todo, batch, None);
    }

    /// `offsets_partition` is the group's partition of `__consumer_offsets`.
    pub fn add_offsets(
        &mut self,
        env: &mut Env<'_>,
        reply: ReplyTo,
        request: AddOffsetsToTxnRequest,
        offsets_partition: TopicPartition,
    ) {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(offsets_partition.topic)
            .with_partitions(vec![offsets_partition.partition]);
        let asked = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(request.transactional_id)
            .with_producer_id(request.producer_id)
            .with_producer_epoch(request.producer_epoch)
            .with_topics(vec![topic]);
        self.add(env, &asked, TransactionVersion::V0, AddAsker::Offsets { reply: Some(reply) });
    }

    fn add(
        &mut self,
        env: &mut Env<'_>,
        asked: &AddPartitionsToTxnTransaction,
        version: TransactionVersion,
        asker: AddAsker,
    ) {
        let id = &asked.transactional_id.0;
        let outcome = match self.known(asked) {
            Ok(transaction) => transaction.add(asked, version, env.clock),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(Some(to)) => self.write(env, id, Then::Add { asker, to }),
            Ok(None) => self.answer_add(env.todo, asker, Ok(())),
            Err(error) => self.answer_add(env.todo, asker, Err(error)),
        }
    }

    fn known(&mut self, asked: &AddPartitionsToTxnTransaction) -> Result<&mut Transaction, ResponseError> {
        let id = &asked.transactional_id.0;
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        self.transaction(id)?.ok_or(ResponseError::InvalidProducerIdMapping)
    }

    /// Whether the partitions belong to the transaction. A transition under way does not matter: the leader looks again
    /// when it appends.
    fn verify(&mut self, asked: &AddPartitionsToTxnTransaction) -> AddPartitionsToTxnResult {
        let checked = self.known(asked).and_then(|transaction| {
            transaction.check_producer(asked)?;
            if transaction.metadata.state.is_prepared() {
                return Err(ResponseError::ConcurrentTransactions);
            }
            Ok(&transaction.metadata.partitions)
        });
        let results = results(&asked.topics, |at| match &checked {
            Ok(partitions) if partitions.contains(&at) => Ok(()),
            Ok(_) => Err(ResponseError::TransactionAbortable),
            Err(error) => Err(*error),
        });
        result_of(asked, results)
    }

    pub(super) fn answer_add(
        &mut self,
        todo: &mut Todo,
        asker: AddAsker,
        outcome: Result<(), ResponseError>,
    ) {
        match asker {
            AddAsker::Partitions { reply, topics } => {
                let results = results(&topics, |_| outcome);
                let response =
                    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results);
                respond(todo, reply, response);
            }
            AddAsker::Offsets { reply } => {
                respond(todo, reply, AddOffsetsToTxnResponse::default().with_error_code(code(outcome)));
            }
            AddAsker::Batch { batch, asked } => {
                let results = results(&asked.topics, |_| outcome);
                self.answer_batch(todo, batch, Some(result_of(&asked, results)));
            }
        }
    }

    fn answer_batch(&mut self, todo: &mut Todo, ticket: u64, result: Option<AddPartitionsToTxnResult>) {
        let Some(batch) = self.batches.get_mut(&ticket) else { return };
        batch.missing -= 1;
        batch.results.extend(result);
        if batch.missing == 0
            && let Some(batch) = self.batches.remove(&ticket)
        {
            let response = AddPartitionsToTxnResponse::default().with_results_by_transaction(batch.results);
            respond(todo, batch.reply, response);
        }
    }
}

impl Transaction {
    /// What to write; `None` where the partitions are all part of the transaction already.
    fn add(
        &self,
        asked: &AddPartitionsToTxnTransaction,
        version: TransactionVersion,
        clock: TimestampMs,
    ) -> Result<Option<Metadata>, ResponseError> {
        // Before the producer: with a rotated producer id on its way, the one that is known here is the old one.
        if self.pending.is_some() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        self.check_producer(asked)?;
        let metadata = &self.metadata;
        if metadata.state.is_prepared() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        let is_ongoing = metadata.state == TransactionState::Ongoing;
        if is_ongoing && partitions(&asked.topics).all(|at| metadata.partitions.contains(&at)) {
            return Ok(None);
        }
        Ok(Some(metadata.with_partitions(partitions(&asked.topics), version, clock)))
    }

    fn check_producer(&self, asked: &AddPartitionsToTxnTransaction) -> Result<(), ResponseError> {
        if asked.producer_id.0 != self.metadata.producer_id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if asked.producer_epoch != self.metadata.producer_epoch {
            return Err(ResponseError::ProducerFenced);
        }
        Ok(())
    }
}

fn partitions(topics: &[AddPartitionsToTxnTopic]) -> impl Iterator<Item = TopicPartition> {
    topics.iter().flat_map(|topic| {
        let at = |partition: &i32| TopicPartition { topic: topic.name.clone(), partition: *partition };
        topic.partitions.iter().map(at)
    })
}

/// The answer where one of the partitions does not exist: then none is looked at.
fn missing_partitions(
    env: &Env<'_>,
    topics: &[AddPartitionsToTxnTopic],
) -> Option<Vec<AddPartitionsToTxnTopicResult>> {
    let exists = |at: &TopicPartition| (env.leader_of)(&at.topic, at.partition) != Leader::NoSuchPartition;
    if partitions(topics).all(|at| exists(&at)) {
        return None;
    }
    Some(results(topics, |at| match exists(&at) {
        true => Err(ResponseError::OperationNotAttempted),
        false => Err(ResponseError::UnknownTopicOrPartition),
    }))
}

fn results(
    topics: &[AddPartitionsToTxnTopic],
    outcome: impl Fn(TopicPartition) -> Result<(), ResponseError>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let result = |topic: &AddPartitionsToTxnTopic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let at = TopicPartition { topic: topic.name.clone(), partition: *partition };
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(code(outcome(at)))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    };
    topics.iter().map(result).collect()
}

fn result_of(
    asked: &AddPartitionsToTxnTransaction,
    results: Vec<AddPartitionsToTxnTopicResult>,
) -> AddPartitionsToTxnResult {
    AddPartitionsToTxnResult::default()
        .with_transactional_id(asked.transactional_id.clone())
        .with_topic_results(results)
}
