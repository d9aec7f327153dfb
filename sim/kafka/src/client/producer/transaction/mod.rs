//! Transactions: librdkafka's state machine, with Java's version 2 where the profile and the cluster have it.
//!
//! A call that runs out of time returns a retriable error and may be made again: it goes on where it was, also with an
//! `EndTxn` whose outcome is not known. Source: `rdkafka_txnmgr.c`, `TransactionManager.java`, KIP-98, 360, 447, 890.

use std::collections::BTreeSet;

use kafka_protocol::messages::TransactionalId;
use kafka_protocol::protocol::StrBytes;

use super::{Identity, ProduceError, Producer, Profile};
use crate::client::{Backoff, ConsumerGroupMetadata, Error, ErrorCode, Link};
use crate::cluster::TopicPartition;

mod classify;
mod coordinator;

pub(super) use coordinator::StepAnswer;

/// librdkafka's transaction states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before `init_transactions`.
    Init,
    WaitPid,
    ReadyNotAcked,
    Ready,
    InTransaction,
    /// Waits for what is queued.
    BeginCommit,
    Committing,
    CommitNotAcked,
    /// Waits for what is under way.
    BeginAbort,
    Aborting,
    AbortNotAcked,
    AbortableError,
    FatalError,
}

/// `send_offsets_to_transaction` under way.
struct Offsets {
    offsets: Vec<(TopicPartition, i64)>,
    group: ConsumerGroupMetadata,
    /// The transaction's coordinator knows that the group takes part.
    is_added: bool,
    is_done: bool,
}

pub(super) struct Transaction {
    id: TransactionalId,
    state: State,
    /// Why the transaction can only be aborted, or nothing at all be done.
    error: Option<Error>,
    coordinator: Option<i32>,
    /// Of the group whose offsets are being sent.
    group_coordinator: Option<i32>,
    /// `None` until the cluster was asked.
    is_v2: Option<bool>,
    /// Partitions that the coordinator knows of.
    added: BTreeSet<TopicPartition>,
    /// The coordinator has something of this transaction.
    is_registered: bool,
    /// The next transaction needs a new epoch.
    pub needs_bump: bool,
    offsets: Option<Offsets>,
    backoff: Backoff,
    delay_ms: i64,
}

impl Transaction {
    pub fn new(id: &str, backoff: Backoff) -> Transaction {
        Transaction {
            id: TransactionalId(StrBytes::from_string(id.to_owned())),
            state: State::Init,
            error: None,
            coordinator: None,
            group_coordinator: None,
            is_v2: None,
            added: BTreeSet::new(),
            is_registered: false,
            needs_bump: false,
            offsets: None,
            backoff,
            delay_ms: 0,
        }
    }

    pub fn is_v2(&self) -> bool {
        self.is_v2 == Some(true)
    }

    /// Records are taken inside of a transaction only.
    pub fn may_produce(&self) -> Result<(), Error> {
        match self.state {
            State::InTransaction => Ok(()),
            _ => Err(self.wrong_state("produce outside of a transaction")),
        }
    }

    /// Records of this partition may be sent now.
    pub fn covers(&self, partition: &TopicPartition) -> bool {
        match self.state {
            State::InTransaction | State::BeginCommit => self.is_v2() || self.added.contains(partition),
            _ => false,
        }
    }

    /// Records were sent: with version 2 the coordinator hears of it from their leader.
    pub fn sent(&mut self) {
        self.is_registered |= self.is_v2();
    }

    /// What a call in the wrong state is told: the transaction's own error, if it has one.
    fn wrong_state(&self, message: &'static str) -> Error {
        match (self.state, self.error) {
            (State::AbortableError | State::FatalError, Some(error)) => error,
            _ => Error::plain(ErrorCode::State, message),
        }
    }

    fn require(&self, states: &[State], message: &'static str) -> Result<(), Error> {
        if states.contains(&self.state) { Ok(()) } else { Err(self.wrong_state(message)) }
    }

    fn set_abortable(&mut self, error: Error) {
        if matches!(self.state, State::FatalError | State::AbortableError) {
            return;
        }
        self.state = State::AbortableError;
        self.error = Some(error);
    }

    /// Ready for the next one.
    fn complete(&mut self) {
        self.added.clear();
        self.is_registered = false;
        self.needs_bump = false;
        self.offsets = None;
        self.error = None;
        self.state = State::Ready;
    }
}

const NOT_TRANSACTIONAL: &str = "transactional.id is not set";

impl<L: Link + ?Sized + 'static> Producer<L> {
    fn transaction(&mut self) -> Result<&mut Transaction, Error> {
        let missing = Error::plain(ErrorCode::State, NOT_TRANSACTIONAL);
        self.transaction.as_mut().ok_or(missing)
    }

    /// Gets the producer id: fences older producers of the `transactional.id` and ends what they left open. Resumable.
    pub async fn init_transactions(&mut self, timeout_ms: i64) -> Result<(), Error> {
        let transaction = self.transaction()?;
        let allowed = [State::Init, State::WaitPid, State::ReadyNotAcked];
        transaction.require(&allowed, "init_transactions was called before")?;
        if transaction.state == State::Init {
            transaction.state = State::WaitPid;
        }
        self.reach(timeout_ms, State::ReadyNotAcked, &[State::WaitPid]).await?;
        self.transaction()?.state = State::Ready;
        Ok(())
    }

    pub fn begin_transaction(&mut self) -> Result<(), Error> {
        let transaction = self.transaction()?;
        transaction.require(&[State::Ready], "begin_transaction needs a finished transaction before it")?;
        transaction.state = State::InTransaction;
        Ok(())
    }

    /// Commits these offsets, each of the next record to read, with the transaction. Resumable with the same arguments.
    pub async fn send_offsets_to_transaction(
        &mut self,
        offsets: &[(TopicPartition, i64)],
        group: &ConsumerGroupMetadata,
        timeout_ms: i64,
    ) -> Result<(), Error> {
        let transaction = self.transaction()?;
        transaction.require(&[State::InTransaction], "offsets are sent inside of a transaction")?;
        match &transaction.offsets {
            Some(under_way) if under_way.offsets != offsets || under_way.group != *group => {
                let message = "other offsets are still being sent";
                return Err(Error::plain(ErrorCode::PrevInProgress, message));
            }
            Some(_) => {}
            None if offsets.is_empty() => return Ok(()),
            None => {
                transaction.group_coordinator = None;
                transaction.offsets = Some(Offsets {
                    offsets: offsets.to_vec(),
                    group: group.clone(),
                    is_added: false,
                    is_done: false,
                });
            }
        }
        let ended = self.run_until(timeout_ms, |producer| {
            producer.transaction.as_ref().is_none_or(|transaction| {
                let is_done = transaction.offsets.as_ref().is_none_or(|offsets| offsets.is_done);
                is_done || transaction.state != State::InTransaction
            })
        });
        if !ended.await {
            return Err(Error::retriable(ErrorCode::TimedOut, "offsets are still being sent"));
        }
        let transaction = self.transaction()?;
        transaction.require(&[State::InTransaction], "the transaction has ended")?;
        transaction.offsets = None;
        Ok(())
    }

    /// Waits for everything queued, then commits. Resumable: after a time-out the outcome is not known until a further
    /// call has returned.
    pub async fn commit_transaction(&mut self, timeout_ms: i64) -> Result<(), Error> {
        let transaction = self.transaction()?;
        let under_way = [State::BeginCommit, State::Committing];
        let allowed = [State::InTransaction, State::CommitNotAcked, under_way[0], under_way[1]];
        transaction.require(&allowed, "there is no transaction to commit")?;
        if transaction.state == State::InTransaction {
            transaction.state = State::BeginCommit;
        }
        self.is_flushing = true;
        self.reach(timeout_ms, State::CommitNotAcked, &under_way).await?;
        self.transaction()?.complete();
        Ok(())
    }

    /// Drops what is queued, waits for what is under way, and aborts. Resumable.
    pub async fn abort_transaction(&mut self, timeout_ms: i64) -> Result<(), Error> {
        let transaction = self.transaction()?;
        let under_way = [State::BeginAbort, State::Aborting];
        let from = [State::InTransaction, State::AbortableError, State::AbortNotAcked];
        transaction.require(&[&from[..], &under_way[..]].concat(), "there is no transaction to abort")?;
        if matches!(transaction.state, State::InTransaction | State::AbortableError) {
            transaction.state = State::BeginAbort;
            transaction.offsets = None;
            transaction.delay_ms = 0;
            self.tasks.cancel(super::Slot::Coordinator);
            self.drop_waiting(ProduceError::Purged);
        }
        self.reach(timeout_ms, State::AbortNotAcked, &under_way).await?;
        self.transaction()?.complete();
        Ok(())
    }

    /// Runs until `goal`; an error where something else came of it.
    async fn reach(&mut self, timeout_ms: i64, goal: State, under_way: &[State]) -> Result<(), Error> {
        let has_ended = |producer: &Producer<L>| {
            let state = producer.transaction.as_ref().map(|transaction| transaction.state);
            state.is_none_or(|state| !under_way.contains(&state))
        };
        if !self.run_until(timeout_ms, has_ended).await {
            return Err(Error::retriable(ErrorCode::TimedOut, "call again to go on"));
        }
        self.transaction()?.require(&[goal], "the transaction took another way")
    }

    pub(super) fn is_aborting(&self) -> bool {
        let state = self.transaction.as_ref().map(|transaction| transaction.state);
        matches!(state, Some(State::BeginAbort | State::Aborting | State::FatalError))
    }

    /// A record of the transaction was not delivered: it can only be aborted.
    pub(super) fn delivery_failed(&mut self, error: ProduceError) {
        if let Some(transaction) = &mut self.transaction
            && matches!(transaction.state, State::InTransaction | State::BeginCommit)
        {
            let code = match error {
                ProduceError::Refused(error) => ErrorCode::Broker(error),
                _ => ErrorCode::Inconsistent,
            };
            transaction
                .set_abortable(Error::abortable(code, "a record of the transaction was not delivered"));
        }
    }

    pub(super) fn set_fatal(&mut self, error: Error) {
        self.fatal.get_or_insert(error);
        if let Some(transaction) = &mut self.transaction {
            transaction.state = State::FatalError;
            transaction.error.replace(error);
        }
    }

    fn set_abortable(&mut self, error: Error) {
        if let Some(transaction) = &mut self.transaction {
            transaction.set_abortable(error);
        }
    }

    /// Java's client looks whether the cluster has version 2; librdkafka does not know it.
    fn wants_v2(&self) -> bool {
        self.config.profile == Profile::Java
    }

    fn identify(&mut self, producer_id: i64, producer_epoch: i16) {
        self.identity = Some(Identity { producer_id, producer_epoch });
        self.start_batches_over();
    }
}
