//! `EndTxn`, and the coordinator's own aborts: the decision is written, answered, and then carried out by markers.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ProducerId;
use kafka_protocol::messages::end_txn_request::EndTxnRequest;
use kafka_protocol::messages::end_txn_response::EndTxnResponse;
use kafka_protocol::protocol::StrBytes;

use super::metadata::{Metadata, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Transaction};
use super::state::{TransactionState, TransactionVersion};
use super::{Env, Then, TransactionCoordinator, init, respond};
use crate::broker::ReplyTo;
use crate::coordination::Todo;

/// From this version on, clients go by transaction.version 2.
const FIRST_VERSION_WITH_EPOCH_BUMP: i16 = 5;

/// Who waits for a transaction to be decided.
pub(super) enum EndAsker {
    Client {
        reply: Option<ReplyTo>,
    },
    /// A new producer, which is to try again.
    Init {
        reply: Option<ReplyTo>,
    },
    /// It took longer than its time-out.
    Sweep,
}

/// What an `EndTxn` comes to.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// It is a repetition: nothing to do.
    Done,
    Begins {
        state: TransactionState,
        is_without_partitions: bool,
    },
}

impl TransactionCoordinator {
    pub fn end_txn(&mut self, env: &mut Env<'_>, reply: ReplyTo, version: i16, request: EndTxnRequest) {
        let asker = EndAsker::Client { reply: Some(reply) };
        let version = if version >= FIRST_VERSION_WITH_EPOCH_BUMP {
            TransactionVersion::V2
        } else {
            TransactionVersion::V0
        };
        let id = request.transactional_id.0.clone();
        let decided = match self.decide(&request, version) {
            Ok(Decided::Answer(producer)) => return answer(env.todo, asker, Ok(producer)),
            Ok(Decided::Begin(metadata, state, is_without_partitions)) => {
                prepare(env, &metadata, state, version, is_without_partitions)
            }
            Err(error) => Err(error),
        };
        match decided {
            Ok(to) => self.write(env, &id, Then::Prepare { asker, to, is_fence: false }),
            Err(error) => answer(env.todo, asker, Err(error)),
        }
    }

    fn decide(
        &mut self,
        request: &EndTxnRequest,
        version: TransactionVersion,
    ) -> Result<Decided, ResponseError> {
        if request.transactional_id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        let transaction = self.transaction(&request.transactional_id.0)?;
        let transaction = transaction.ok_or(ResponseError::InvalidProducerIdMapping)?;
        let ending = match version.bumps_epoch() {
            true => transaction.end_with_bump(request)?,
            false => transaction.end(request)?,
        };
        let metadata = &transaction.metadata;
        Ok(match ending {
            Ending::Done if version.bumps_epoch() => {
                Decided::Answer((metadata.producer_id, metadata.producer_epoch))
            }
            Ending::Done => Decided::Answer((NO_PRODUCER_ID, NO_PRODUCER_EPOCH)),
            Ending::Begins { state, is_without_partitions } => {
                Decided::Begin(Box::new(metadata.clone()), state, is_without_partitions)
            }
        })
    }

    /// Aborts an ongoing transaction with an epoch that its producer does not have.
    pub(super) fn fence(&mut self, env: &mut Env<'_>, id: &StrBytes, asker: EndAsker) {
        let version = self.server_version;
        let Ok(Some(transaction)) = self.transaction(id) else { return };
        let metadata = &mut transaction.metadata;
        if !version.bumps_epoch() {
            // The bump takes effect before it is written: the old producer is fenced even if the write fails.
            if !transaction.has_failed_epoch_fence {
                metadata.producer_epoch = metadata.producer_epoch.saturating_add(1);
            }
            metadata.last_producer_epoch = NO_PRODUCER_EPOCH;
        }
        let prepared = prepare(env, &metadata.clone(), TransactionState::PrepareAbort, version, false);
        match prepared {
            Ok(to) => self.write(env, id, Then::Prepare { asker, to, is_fence: true }),
            Err(error) => answer(env.todo, asker, Err(error)),
        }
    }

    /// The decision is written, or could not be.
    pub(super) fn prepared(
        &mut self,
        env: &mut Env<'_>,
        id: &StrBytes,
        asker: EndAsker,
        outcome: Result<Metadata, ResponseError>,
        is_fence: bool,
    ) {
        let Ok(Some(transaction)) = self.transaction(id) else { return };
        match outcome {
            Ok(to) => {
                let completion = to.completed(env.clock);
                let producer = match to.client_version.bumps_epoch() {
                    true => (completion.producer_id, completion.producer_epoch),
                    false => (NO_PRODUCER_ID, NO_PRODUCER_EPOCH),
                };
                transaction.metadata = to;
                answer(env.todo, asker, Ok(producer));
                self.begin_completion(env, id);
            }
            Err(error) => {
                transaction.has_failed_epoch_fence |= is_fence;
                answer(env.todo, asker, Err(error));
            }
        }
    }
}

enum Decided {
    Answer((i64, i16)),
    Begin(Box<Metadata>, TransactionState, bool),
}

/// The decision to be written. Where the producer's epochs end with it, the producer id that follows is part of it.
fn prepare(
    env: &mut Env<'_>,
    metadata: &Metadata,
    state: TransactionState,
    version: TransactionVersion,
    is_without_partitions: bool,
) -> Result<Metadata, ResponseError> {
    let next_producer_id = match version.bumps_epoch() && metadata.is_epoch_exhausted() {
        true => (env.next_producer_id)()?,
        false => NO_PRODUCER_ID,
    };
    Ok(metadata.prepared(state, version, next_producer_id, is_without_partitions, env.clock))
}

impl Transaction {
    /// Before transaction.version 2, a repetition is known by the state alone: a late `EndTxn` can end the next transaction
    /// of the same producer.
    fn end(&self, request: &EndTxnRequest) -> Result<Ending, ResponseError> {
        let metadata = &self.metadata;
        if request.producer_id.0 != metadata.producer_id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if request.producer_epoch != metadata.producer_epoch {
            return Err(ResponseError::ProducerFenced);
        }
        if self.pending.is_some() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        match (metadata.state, request.committed) {
            (TransactionState::Ongoing, commit) => Ok(Ending::of_ongoing(commit)),
            (TransactionState::CompleteCommit, true) | (TransactionState::CompleteAbort, false) => {
                Ok(Ending::Done)
            }
            (TransactionState::PrepareCommit, true) | (TransactionState::PrepareAbort, false) => {
                Err(ResponseError::ConcurrentTransactions)
            }
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    /// With transaction.version 2, a repetition has the epoch before the current one.
    fn end_with_bump(&self, request: &EndTxnRequest) -> Result<Ending, ResponseError> {
        let metadata = &self.metadata;
        let (producer_id, epoch) = (request.producer_id.0, request.producer_epoch);
        let is_rotated = metadata.previous_producer_id == producer_id
            && epoch == i16::MAX - 1
            && metadata.producer_epoch == 0;
        let is_retry = is_rotated || epoch.checked_add(1) == Some(metadata.producer_epoch);
        if producer_id != metadata.producer_id && !is_rotated {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if self.pending.is_some() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        let is_current = epoch == metadata.producer_epoch;
        let is_valid = match metadata.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => is_retry,
            TransactionState::CompleteCommit | TransactionState::CompleteAbort => is_retry || is_current,
            _ => is_current,
        };
        if !is_valid {
            return Err(ResponseError::ProducerFenced);
        }
        let abort_of_nothing =
            Ending::Begins { state: TransactionState::PrepareAbort, is_without_partitions: true };
        match (metadata.state, request.committed) {
            (TransactionState::Ongoing, commit) => Ok(Ending::of_ongoing(commit)),
            (TransactionState::PrepareCommit | TransactionState::PrepareAbort, _) => {
                Err(ResponseError::ConcurrentTransactions)
            }
            (TransactionState::CompleteCommit, true) if is_retry => Ok(Ending::Done),
            (TransactionState::CompleteAbort, false) if is_retry => Ok(Ending::Done),
            (TransactionState::CompleteCommit, false) if is_retry => Err(ResponseError::InvalidTxnState),
            (_, false) => Ok(abort_of_nothing),
            (_, true) => Err(ResponseError::InvalidTxnState),
        }
    }
}

impl Ending {
    fn of_ongoing(commit: bool) -> Ending {
        let state = if commit { TransactionState::PrepareCommit } else { TransactionState::PrepareAbort };
        Ending::Begins { state, is_without_partitions: false }
    }
}

/// `outcome` has the producer id and epoch that go on, for clients that look at them.
pub(super) fn answer(todo: &mut Todo, asker: EndAsker, outcome: Result<(i64, i16), ResponseError>) {
    match asker {
        EndAsker::Client { reply } => {
            let response = EndTxnResponse::default();
            let response = match outcome {
                Ok((producer_id, epoch)) => {
                    response.with_producer_id(ProducerId(producer_id)).with_producer_epoch(epoch)
                }
                Err(error) => response.with_error_code(error.code()),
            };
            respond(todo, reply, response);
        }
        EndAsker::Init { reply } => {
            let error = outcome.err().unwrap_or(ResponseError::ConcurrentTransactions);
            init::answer(todo, reply, Err(error));
        }
        EndAsker::Sweep => {}
    }
}
