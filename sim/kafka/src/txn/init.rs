//! `InitProducerId`: a producer begins, or goes on after an error (KIP-360), and whoever had the id before is fenced.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ProducerId;
use kafka_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use kafka_protocol::protocol::StrBytes;

use super::end::EndAsker;
use super::metadata::{Metadata, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Transaction, is_epoch_exhausted};
use super::state::TransactionState;
use super::{Env, Then, TransactionCoordinator, respond};
use crate::broker::ReplyTo;
use crate::cluster::TimestampMs;
use crate::coordination::Todo;

/// The producer id and epoch that a producer goes on from.
#[derive(Clone, Copy)]
struct Expected {
    producer_id: i64,
    producer_epoch: i16,
}

/// What an `InitProducerId` does to an id.
enum Init {
    /// A transaction is under way: it is aborted first.
    Fence,
    NextEpoch(Metadata),
    /// There are no epochs left.
    Rotate,
}

impl TransactionCoordinator {
    pub fn init_producer_id(&mut self, env: &mut Env<'_>, reply: ReplyTo, request: InitProducerIdRequest) {
        let reply = Some(reply);
        let expected = match (request.producer_id.0, request.producer_epoch) {
            (NO_PRODUCER_ID, NO_PRODUCER_EPOCH) => None,
            (NO_PRODUCER_ID, _) | (_, NO_PRODUCER_EPOCH) => {
                return answer(env.todo, reply, Err(ResponseError::InvalidRequest));
            }
            (producer_id, producer_epoch) => Some(Expected { producer_id, producer_epoch }),
        };
        let Some(id) = request.transactional_id else {
            let fresh = (env.next_producer_id)().map(|producer_id| (producer_id, 0));
            return answer(env.todo, reply, fresh);
        };
        let timeout_ms = request.transaction_timeout_ms;
        match self.begin(env, &id.0, timeout_ms, expected) {
            Ok(Some(to)) => self.write(env, &id.0, Then::Init { reply, to }),
            Ok(None) => self.fence(env, &id.0, EndAsker::Init { reply }),
            Err(error) => answer(env.todo, reply, Err(error)),
        }
    }

    /// What to write; `None` where a transaction must be aborted first.
    fn begin(
        &mut self,
        env: &mut Env<'_>,
        id: &StrBytes,
        timeout_ms: i32,
        expected: Option<Expected>,
    ) -> Result<Option<Metadata>, ResponseError> {
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        if timeout_ms <= 0 || timeout_ms > self.config.transaction_max_timeout_ms {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let partition = self.partition(id)?;
        let transaction = match partition.transactions.get(id) {
            Some(transaction) => transaction,
            None => {
                let metadata = Metadata::new((env.next_producer_id)()?, timeout_ms, env.clock);
                partition.transactions.entry(id.clone()).or_insert(Transaction::new(metadata))
            }
        };
        match transaction.init(timeout_ms, expected, env.clock)? {
            Init::Fence => Ok(None),
            Init::NextEpoch(to) => Ok(Some(to)),
            Init::Rotate => {
                let producer_id = (env.next_producer_id)()?;
                let keeps_last_epoch = expected.is_some();
                let metadata = &transaction.metadata;
                Ok(Some(metadata.rotated(producer_id, timeout_ms, keeps_last_epoch, env.clock)))
            }
        }
    }
}

impl Transaction {
    fn init(
        &self,
        timeout_ms: i32,
        expected: Option<Expected>,
        clock: TimestampMs,
    ) -> Result<Init, ResponseError> {
        if self.pending.is_some() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        let metadata = &self.metadata;
        if expected.is_some_and(|expected| !metadata.may_go_on(expected)) {
            return Err(ResponseError::ProducerFenced);
        }
        match metadata.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                Err(ResponseError::ConcurrentTransactions)
            }
            TransactionState::Ongoing => Ok(Init::Fence),
            _ => {
                let has_last = |expected: Expected| expected.producer_epoch == metadata.producer_epoch;
                if metadata.is_epoch_exhausted() && expected.is_none_or(has_last) {
                    return Ok(Init::Rotate);
                }
                let expected_epoch = expected.map(|expected| expected.producer_epoch);
                metadata.next_epoch(timeout_ms, expected_epoch, clock).map(Init::NextEpoch)
            }
        }
    }
}

impl Metadata {
    /// It has this producer id, or had it until the epochs ran out and does not know yet; or nobody has the id.
    fn may_go_on(&self, expected: Expected) -> bool {
        self.producer_epoch == NO_PRODUCER_EPOCH
            || expected.producer_id == self.producer_id
            || (expected.producer_id == self.previous_producer_id
                && is_epoch_exhausted(expected.producer_epoch))
    }
}

pub(super) fn answer(todo: &mut Todo, reply: Option<ReplyTo>, outcome: Result<(i64, i16), ResponseError>) {
    let response = InitProducerIdResponse::default();
    let response = match outcome {
        Ok((producer_id, producer_epoch)) => {
            response.with_producer_id(ProducerId(producer_id)).with_producer_epoch(producer_epoch)
        }
        Err(error) => response
            .with_error_code(error.code())
            .with_producer_id(ProducerId(NO_PRODUCER_ID))
            .with_producer_epoch(NO_PRODUCER_EPOCH),
    };
    respond(todo, reply, response);
}
