//! A leader's questions to transaction coordinators: may this producer write to these partitions (KIP-890)?
//!
//! Called by whoever appends batches of a transaction. Real: `AddPartitionsToTxnManager`,
//! `ReplicaManager.maybeSendPartitionsToTransactionCoordinator`. Whatever waits for an answer is parked here as data. Each
//! question is a request of its own, where Kafka joins those that wait for the same coordinator.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::add_partitions_to_txn_response::AddPartitionsToTxnResponse;
use kafka_protocol::messages::{ProducerId, TransactionalId};

use crate::cluster::{TimestampMs, TopicPartition};
use crate::protocol::check;

/// `add.partitions.to.txn.retry.backoff.ms`.
const RETRY_BACKOFF_MS: i64 = 20;
/// `add.partitions.to.txn.retry.backoff.max.ms`: how long a question is asked again.
const RETRY_MAX_MS: i64 = 100;

/// What a client knows of KIP-890, by the version that it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionSupport {
    Nothing,
    /// It knows `TRANSACTION_ABORTABLE`.
    Abortable,
    /// It goes by transaction.version 2: its batches make the leader add the partition.
    AddsPartitions,
}

impl TransactionSupport {
    pub fn of_produce(version: i16) -> TransactionSupport {
        match version {
            12.. => TransactionSupport::AddsPartitions,
            11 => TransactionSupport::Abortable,
            _ => TransactionSupport::Nothing,
        }
    }

    pub fn adds_partitions(self) -> bool {
        self == TransactionSupport::AddsPartitions
    }
}

/// Which request needs the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needed {
    Produce,
    TxnOffsetCommit,
}

/// What a coordinator is asked about one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub needed: Needed,
    pub transactional_id: TransactionalId,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub partitions: Vec<TopicPartition>,
    pub support: TransactionSupport,
}

/// What keeps a batch out, by partition. The others may be appended.
pub(crate) type Refusals = BTreeMap<TopicPartition, ResponseError>;

impl Question {
    pub fn request(&self) -> AddPartitionsToTxnRequest {
        let mut topics: Vec<AddPartitionsToTxnTopic> = Vec::new();
        for at in &self.partitions {
            match topics.iter_mut().find(|topic| topic.name == at.topic) {
                Some(topic) => topic.partitions.push(at.partition),
                None => topics.push(
                    AddPartitionsToTxnTopic::default()
                        .with_name(at.topic.clone())
                        .with_partitions(vec![at.partition]),
                ),
            }
        }
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(self.transactional_id.clone())
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.producer_epoch)
            .with_verify_only(!self.support.adds_partitions())
            .with_topics(topics);
        AddPartitionsToTxnRequest::default().with_transactions(vec![transaction])
    }

    /// All partitions are refused alike.
    fn refuse(&self, error: ResponseError) -> Refusals {
        self.partitions.iter().map(|at| (at.clone(), error)).collect()
    }

    fn refusals(&self, answer: &AddPartitionsToTxnResponse) -> Refusals {
        if let Err(error) = check(answer.error_code) {
            return self.refuse(error);
        }
        let topics = answer.results_by_transaction.iter().flat_map(|result| &result.topic_results);
        let results = topics.flat_map(|topic| topic.results_by_partition.iter().map(move |it| (topic, it)));
        let refused = results.filter_map(|(topic, result)| {
            let error = check(result.partition_error_code).err()?;
            let at = TopicPartition { topic: topic.name.clone(), partition: result.partition_index };
            Some((at, self.error_for_producer(error)))
        });
        refused.collect()
    }

    fn error_for_producer(&self, error: ResponseError) -> ResponseError {
        match error {
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            ResponseError::TransactionAbortable if self.support == TransactionSupport::Nothing => {
                ResponseError::InvalidTxnState
            }
            other => other,
        }
    }

    /// Errors of this question are unknown to clients of old: others that make them try again stand for them.
    fn told(&self, refusals: Refusals) -> Refusals {
        let told = |error| match self.needed {
            Needed::Produce => self.told_to_producer(error),
            Needed::TxnOffsetCommit if error == ResponseError::NetworkException => {
                ResponseError::CoordinatorLoadInProgress
            }
            Needed::TxnOffsetCommit => error,
        };
        refusals.into_iter().map(|(at, error)| (at, told(error))).collect()
    }

    fn told_to_producer(&self, error: ResponseError) -> ResponseError {
        match error {
            ResponseError::NetworkException
            | ResponseError::CoordinatorLoadInProgress
            | ResponseError::CoordinatorNotAvailable
            | ResponseError::NotCoordinator => ResponseError::NotEnoughReplicas,
            ResponseError::ConcurrentTransactions if !self.support.adds_partitions() => {
                ResponseError::NotEnoughReplicas
            }
            other => other,
        }
    }
}

struct Asked<T> {
    question: Question,
    first_asked: TimestampMs,
    then: T,
}

/// What waits for coordinators. `T` is what is to be done with the answer.
pub(crate) struct Questions<T> {
    asked: BTreeMap<u64, Asked<T>>,
    /// To be asked again, by time and number.
    again: BTreeMap<(TimestampMs, u64), Asked<T>>,
    last_ticket: u64,
}

impl<T> Default for Questions<T> {
    fn default() -> Questions<T> {
        Questions { asked: BTreeMap::new(), again: BTreeMap::new(), last_ticket: 0 }
    }
}

/// What a question came to.
pub(crate) enum Answered<T> {
    Known {
        then: T,
        refusals: Refusals,
    },
    /// The transaction before is still being ended: it is asked again soon.
    Later,
    /// Nobody waits for it.
    Nobody,
}

impl<T> Questions<T> {
    /// Parks what waits for this question, and names it: the caller sends it.
    pub fn ask(&mut self, now: TimestampMs, question: Question, then: T) -> u64 {
        self.put(Asked { question, first_asked: now, then })
    }

    fn put(&mut self, asked: Asked<T>) -> u64 {
        self.last_ticket += 1;
        self.asked.insert(self.last_ticket, asked);
        self.last_ticket
    }

    /// What came of a question; an error where there is no answer: `NETWORK_EXCEPTION`, or `COORDINATOR_NOT_AVAILABLE`
    /// where there was nobody to ask.
    pub fn answered(
        &mut self,
        now: TimestampMs,
        ticket: u64,
        answer: Result<&AddPartitionsToTxnResponse, ResponseError>,
    ) -> Answered<T> {
        let Some(asked) = self.asked.remove(&ticket) else { return Answered::Nobody };
        let refusals = match answer {
            Ok(answer) => asked.question.refusals(answer),
            Err(error) => asked.question.refuse(error),
        };
        let is_concurrent = |error: &ResponseError| *error == ResponseError::ConcurrentTransactions;
        let may_wait = asked.question.support.adds_partitions() && now - asked.first_asked < RETRY_MAX_MS;
        if may_wait && refusals.values().any(is_concurrent) {
            self.again.insert((now + RETRY_BACKOFF_MS, ticket), asked);
            return Answered::Later;
        }
        Answered::Known { refusals: asked.question.told(refusals), then: asked.then }
    }

    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.again.first_key_value().map(|((due, _), _)| *due)
    }

    /// A question that is due to be asked again, under a new name.
    pub fn due(&mut self, now: TimestampMs) -> Option<(u64, Question)> {
        let entry = self.again.first_entry().filter(|entry| entry.key().0 <= now)?;
        let asked = entry.remove();
        let question = asked.question.clone();
        Some((self.put(asked), question))
    }

    /// Drops what nobody would hear of.
    pub fn drop_where(&mut self, gone: impl Fn(&T) -> bool) {
        self.asked.retain(|_, asked| !gone(&asked.then));
        self.again.retain(|_, asked| !gone(&asked.then));
    }

    /// The process dies. Names go on, so that no answer is taken for another's.
    pub fn crash(&mut self) {
        self.asked.clear();
        self.again.clear();
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::add_partitions_to_txn_response::{
        AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
    };

    use super::*;

    fn question(support: TransactionSupport) -> Question {
        Question {
            needed: Needed::Produce,
            transactional_id: TransactionalId::default(),
            producer_id: 1,
            producer_epoch: 0,
            partitions: vec![at(0), at(1)],
            support,
        }
    }

    fn at(partition: i32) -> TopicPartition {
        TopicPartition::new("trades", partition)
    }

    /// Partition 0 is refused, partition 1 is not.
    fn answer(error: ResponseError) -> AddPartitionsToTxnResponse {
        let results = [(0, error.code()), (1, 0)].map(|(partition, code)| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(partition)
                .with_partition_error_code(code)
        });
        let topic = AddPartitionsToTxnTopicResult::default()
            .with_name(at(0).topic)
            .with_results_by_partition(results.to_vec());
        let result = AddPartitionsToTxnResult::default().with_topic_results(vec![topic]);
        AddPartitionsToTxnResponse::default().with_results_by_transaction(vec![result])
    }

    /// What the producer is told about partition 0.
    fn told(support: TransactionSupport, error: ResponseError) -> Option<ResponseError> {
        let mut questions = Questions::default();
        let ticket = questions.ask(0, question(support), ());
        match questions.answered(RETRY_MAX_MS, ticket, Ok(&answer(error))) {
            Answered::Known { refusals, .. } => {
                assert!(!refusals.contains_key(&at(1)));
                refusals.get(&at(0)).copied()
            }
            _ => panic!("it is answered for good"),
        }
    }

    #[test]
    fn c32_trouble_of_the_coordinator_is_an_error_that_old_producers_try_again_upon() {
        use TransactionSupport::{Abortable, AddsPartitions, Nothing};
        for support in [Nothing, Abortable, AddsPartitions] {
            for error in [
                ResponseError::NotCoordinator,
                ResponseError::CoordinatorLoadInProgress,
                ResponseError::CoordinatorNotAvailable,
            ] {
                assert_eq!(told(support, error), Some(ResponseError::NotEnoughReplicas));
            }
            let fenced = told(support, ResponseError::ProducerFenced);
            assert_eq!(fenced, Some(ResponseError::InvalidProducerEpoch));
            let mapping = ResponseError::InvalidProducerIdMapping;
            assert_eq!(told(support, mapping), Some(mapping));
        }
        let abortable = ResponseError::TransactionAbortable;
        assert_eq!(told(Nothing, abortable), Some(ResponseError::InvalidTxnState));
        assert_eq!(told(Abortable, abortable), Some(abortable));
        let concurrent = ResponseError::ConcurrentTransactions;
        assert_eq!(told(Abortable, concurrent), Some(ResponseError::NotEnoughReplicas));
        assert_eq!(told(AddsPartitions, concurrent), Some(concurrent));
    }

    #[test]
    fn c32_without_an_answer_every_partition_is_refused() {
        let mut questions = Questions::default();
        let ticket = questions.ask(0, question(TransactionSupport::Nothing), ());
        let answered = questions.answered(0, ticket, Err(ResponseError::NetworkException));
        let Answered::Known { refusals, .. } = answered else { panic!("no second try") };
        assert_eq!(refusals, [0, 1].map(|index| (at(index), ResponseError::NotEnoughReplicas)).into());
        let of_offsets =
            Question { needed: Needed::TxnOffsetCommit, ..question(TransactionSupport::Nothing) };
        let ticket = questions.ask(0, of_offsets, ());
        let answered = questions.answered(0, ticket, Err(ResponseError::NetworkException));
        let Answered::Known { refusals, .. } = answered else { panic!("no second try") };
        assert_eq!(refusals.get(&at(0)), Some(&ResponseError::CoordinatorLoadInProgress));
    }

    #[test]
    fn c33_while_the_transaction_before_ends_the_leader_asks_again_for_a_while() {
        let mut questions = Questions::default();
        let concurrent = answer(ResponseError::ConcurrentTransactions);
        let mut ticket = questions.ask(0, question(TransactionSupport::AddsPartitions), ());
        let mut now = 0;
        while let Answered::Later = questions.answered(now, ticket, Ok(&concurrent)) {
            assert!(questions.due(now).is_none());
            now = questions.next_deadline().expect("it is asked again");
            ticket = questions.due(now).expect("now").0;
        }
        assert_eq!(now, RETRY_MAX_MS);
        let ticket = questions.ask(0, question(TransactionSupport::Abortable), ());
        let answered = questions.answered(0, ticket, Ok(&concurrent));
        assert!(matches!(answered, Answered::Known { .. }), "older producers try again themselves");
    }

    #[test]
    fn versions_say_what_clients_know() {
        let produce = [10, 11, 12].map(TransactionSupport::of_produce);
        assert!(produce[2].adds_partitions() && !produce[1].adds_partitions());
        assert!(!question(produce[2]).request().transactions[0].verify_only);
        assert!(question(produce[1]).request().transactions[0].verify_only);
    }
}
