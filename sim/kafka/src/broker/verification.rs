//! `Produce` with batches of a transaction: the coordinator is asked about partitions in which the transaction is not open
//! yet, and the whole request waits for the answer (KIP-890).
//!
//! Real: `ReplicaManager.handleProduceAppend`, `maybeStartTransactionVerificationForPartition`. The group coordinator's
//! writes of `TxnOffsetCommit` go the same way.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::TransactionalId;
use kafka_protocol::messages::produce_request::ProduceRequest;

use super::peers::Purpose;
use super::state_topics::{CoordinatorOf, Outcome};
use super::{Broker, ConnectionId, Output, ReplyTo};
use crate::client::LinkError;
use crate::cluster::{TimestampMs, TopicPartition};
use crate::coordination::{StateTransaction, StateWrite};
use crate::peer::Peer;
use crate::producer_state::Guard;
use crate::protocol::Response;
use crate::records::BatchHeader;
use crate::txn::{Answered, Needed, Question, Refusals, TransactionSupport};

/// How long a coordinator may take over a question (`request.timeout.ms` of brokers).
const QUESTION_TIMEOUT_MS: i64 = 30_000;

/// What is known about the partitions of a request before it is carried out.
#[derive(Default)]
pub(super) struct Clearance {
    /// What appends show to prove that the coordinator was asked.
    pub guards: BTreeMap<TopicPartition, Guard>,
    pub refusals: Refusals,
}

impl Clearance {
    pub fn guard_of(&self, at: &TopicPartition) -> Guard {
        self.guards.get(at).copied().unwrap_or(Guard::Missing)
    }
}

/// What waits for a coordinator.
pub(super) enum Parked {
    Produce {
        reply: ReplyTo,
        request: ProduceRequest,
        clearance: Clearance,
    },
    /// Offsets of a transaction, which the group coordinator here wants written.
    State {
        of: CoordinatorOf,
        write: StateWrite,
        guard: Guard,
    },
}

impl Parked {
    pub fn is_on(&self, conn: ConnectionId) -> bool {
        matches!(self, Parked::Produce { reply, .. } if reply.conn == conn)
    }

    pub fn is_for_offsets(&self, partition: i32) -> bool {
        matches!(self, Parked::State { write, .. } if write.partition == partition)
    }
}

/// A transactional batch on its way into a partition.
struct Transactional {
    at: TopicPartition,
    header: BatchHeader,
}

impl Broker {
    /// Carries a `Produce` out, or parks it until the coordinator has been asked.
    pub(super) fn produce(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        version: i16,
        request: ProduceRequest,
        outputs: &mut Vec<Output>,
    ) {
        let transactional = transactional_batches(&request);
        let Some(first) = transactional.first() else {
            return self.append_produced(now, reply, request, &Clearance::default(), outputs);
        };
        let (producer_id, producer_epoch) = (first.header.producer_id, first.header.producer_epoch);
        let is_other = |batch: &Transactional| {
            (batch.header.producer_id, batch.header.producer_epoch) != (producer_id, producer_epoch)
        };
        let refusal = match &request.transactional_id {
            None => Some(ResponseError::TransactionalIdAuthorizationFailed),
            Some(_) if transactional.iter().any(is_other) => Some(ResponseError::InvalidProducerIdMapping),
            Some(_) => None,
        };
        if let Some(error) = refusal {
            let clearance = Clearance { refusals: all_refused(&request, error), ..Clearance::default() };
            return self.append_produced(now, reply, request, &clearance, outputs);
        }
        let support = TransactionSupport::of_produce(version);
        let clearance = self.begin_verification(now, &transactional, support);
        let partitions: Vec<TopicPartition> = clearance.guards.keys().cloned().collect();
        let must_ask = clearance.guards.values().any(|guard| matches!(guard, Guard::Verified(_)));
        if !must_ask {
            return self.append_produced(now, reply, request, &clearance, outputs);
        }
        let question = Question {
            needed: Needed::Produce,
            transactional_id: request.transactional_id.clone().unwrap_or_default(),
            producer_id,
            producer_epoch,
            partitions,
            support,
        };
        let parked = Parked::Produce { reply, request, clearance };
        let ticket = self.questions.ask(now, question.clone(), parked);
        self.send_question(now, ticket, &question, outputs);
    }

    /// The guards of partitions in which the transaction is not open yet.
    fn begin_verification(
        &mut self,
        now: TimestampMs,
        batches: &[Transactional],
        support: TransactionSupport,
    ) -> Clearance {
        let clock = self.clock(now);
        let is_enabled = self.config.transactions.transaction_partition_verification_enable;
        let adds_partition = support.adds_partitions();
        let mut clearance = Clearance::default();
        for Transactional { at, header } in batches {
            let started = match self.led_mut(&at.topic, at.partition) {
                Ok(_) if !is_enabled && !adds_partition => Ok(Some(Guard::NotRequired)),
                Ok((_, replica)) => replica.producers.start_verification(clock, header, adds_partition),
                Err(error) => Err(error),
            };
            match started {
                Ok(None) => {}
                Ok(Some(guard)) => drop(clearance.guards.insert(at.clone(), guard)),
                Err(error) => drop(clearance.refusals.insert(at.clone(), error)),
            }
        }
        clearance
    }

    /// What the append of a transaction's offsets must show, after the coordinator was asked if need be.
    pub(super) fn begin_state_verification(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        header: &BatchHeader,
        adds_partition: bool,
    ) -> Result<Guard, ResponseError> {
        let clock = self.clock(now);
        let is_enabled = self.config.transactions.transaction_partition_verification_enable;
        let (_, replica) = self.led_mut(&at.topic, at.partition)?;
        if !is_enabled && !adds_partition {
            return Ok(Guard::NotRequired);
        }
        let started = replica.producers.start_verification(clock, header, adds_partition)?;
        Ok(started.unwrap_or(Guard::Missing))
    }

    pub(super) fn ask_about_write(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        transaction: StateTransaction,
        parked: Parked,
        outputs: &mut Vec<Output>,
    ) {
        let support = match transaction.is_added {
            true => TransactionSupport::AddsPartitions,
            false => TransactionSupport::Nothing,
        };
        let question = Question {
            needed: Needed::TxnOffsetCommit,
            transactional_id: TransactionalId(transaction.transactional_id),
            producer_id: transaction.producer_id,
            producer_epoch: transaction.producer_epoch,
            partitions: vec![at.clone()],
            support,
        };
        let ticket = self.questions.ask(now, question.clone(), parked);
        self.send_question(now, ticket, &question, outputs);
    }

    fn send_question(
        &mut self,
        now: TimestampMs,
        ticket: u64,
        question: &Question,
        outputs: &mut Vec<Output>,
    ) {
        match self.transaction_coordinator_of(&question.transactional_id) {
            Some(broker) => {
                let request = question.request().into();
                let purpose = Purpose::Verification { ticket };
                self.call(Peer::Broker(broker), request, QUESTION_TIMEOUT_MS, purpose, outputs);
            }
            None => {
                let nobody = Err(ResponseError::CoordinatorNotAvailable);
                self.verification_known(now, ticket, nobody, outputs);
            }
        }
    }

    pub(super) fn verification_answered(
        &mut self,
        now: TimestampMs,
        ticket: u64,
        answer: Result<Response, LinkError>,
        outputs: &mut Vec<Output>,
    ) {
        let answer = match answer {
            Ok(response @ Response::AddPartitionsToTxn(_)) => Ok(response),
            Ok(_) | Err(_) => Err(ResponseError::NetworkException),
        };
        self.verification_known(now, ticket, answer, outputs);
    }

    fn verification_known(
        &mut self,
        now: TimestampMs,
        ticket: u64,
        answer: Result<Response, ResponseError>,
        outputs: &mut Vec<Output>,
    ) {
        let answer = match &answer {
            Ok(Response::AddPartitionsToTxn(response)) => Ok(response),
            Ok(_) => Err(ResponseError::NetworkException),
            Err(error) => Err(*error),
        };
        let Answered::Known { then: parked, refusals } = self.questions.answered(now, ticket, answer) else {
            return;
        };
        match parked {
            Parked::Produce { reply, request, mut clearance } => {
                clearance.refusals.extend(refusals);
                self.append_produced(now, reply, request, &clearance, outputs);
            }
            Parked::State { of, write, guard } => match refusals.into_values().next() {
                None => self.write_state(now, of, write, guard, outputs),
                Some(error) => {
                    let ticket = write.ticket;
                    self.state_topics.push(Outcome::Written { of, ticket, outcome: Err(error) });
                }
            },
        }
    }

    /// Asks again what is due to be asked again.
    pub(super) fn ask_again(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        while let Some((ticket, question)) = self.questions.due(now) {
            self.send_question(now, ticket, &question, outputs);
        }
    }
}

fn partitions(request: &ProduceRequest) -> impl Iterator<Item = (TopicPartition, Option<&Bytes>)> {
    request.topic_data.iter().flat_map(|topic| {
        topic.partition_data.iter().map(|data| {
            let at = TopicPartition { topic: topic.name.clone(), partition: data.index };
            (at, data.records.as_ref())
        })
    })
}

/// Batches that are whole; the others are refused when they are to be appended.
fn transactional_batches(request: &ProduceRequest) -> Vec<Transactional> {
    let batches = partitions(request).filter_map(|(at, records)| {
        let header = records.and_then(|records| BatchHeader::read(records))?;
        (header.is_transactional() && header.producer_id >= 0).then_some(Transactional { at, header })
    });
    batches.collect()
}

fn all_refused(request: &ProduceRequest, error: ResponseError) -> Refusals {
    partitions(request).map(|(at, _)| (at, error)).collect()
}
