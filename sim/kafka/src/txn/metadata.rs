//! What the coordinator knows of one transactional id, and the next state for each thing that can happen to it.
//!
//! Real: `TransactionMetadata`, `TxnTransitMetadata`. A transition is prepared here, written, and only then takes effect;
//! meanwhile the id has a pending state, and whoever else wants something hears `CONCURRENT_TRANSACTIONS`.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;

use super::state::{TransactionState, TransactionVersion};
use crate::cluster::{TimestampMs, TopicPartition};

pub(super) const NO_PRODUCER_ID: i64 = -1;
pub(super) const NO_PRODUCER_EPOCH: i16 = -1;

/// The facts that are written to `__transaction_state`; all but the last epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub producer_id: i64,
    /// The one before the id was rotated, to know a retry by.
    pub previous_producer_id: i64,
    /// The one to rotate to when the transaction under way is complete (transaction.version 2).
    pub next_producer_id: i64,
    /// -1: the id is new, and nothing is written yet.
    pub producer_epoch: i16,
    /// -1: unknown, or another producer has begun.
    pub last_producer_epoch: i16,
    pub timeout_ms: i32,
    pub state: TransactionState,
    /// Those that do not have their marker yet, once the transaction is decided.
    pub partitions: BTreeSet<TopicPartition>,
    /// -1: no transaction has begun.
    pub start_timestamp: TimestampMs,
    pub last_update_timestamp: TimestampMs,
    /// By which the last transition was asked for.
    pub client_version: TransactionVersion,
}

impl Metadata {
    /// An id that nobody has used yet.
    pub fn new(producer_id: i64, timeout_ms: i32, clock: TimestampMs) -> Metadata {
        Metadata {
            producer_id,
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            last_producer_epoch: NO_PRODUCER_EPOCH,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            start_timestamp: -1,
            last_update_timestamp: clock,
            client_version: TransactionVersion::V0,
        }
    }

    /// The largest epoch is never given to a producer, so that the coordinator can always fence it.
    pub fn is_epoch_exhausted(&self) -> bool {
        is_epoch_exhausted(self.producer_epoch)
    }

    /// Every transition remembers the producer id that it starts from.
    fn next(&self, state: TransactionState) -> Metadata {
        Metadata { state, previous_producer_id: self.producer_id, ..self.clone() }
    }

    fn next_empty(&self, timeout_ms: i32, clock: TimestampMs) -> Metadata {
        Metadata {
            timeout_ms,
            partitions: BTreeSet::new(),
            start_timestamp: -1,
            last_update_timestamp: clock,
            ..self.next(TransactionState::Empty)
        }
    }

    /// `InitProducerId`: the next epoch, of which there must be one. With the epoch that the producer has (KIP-360): the
    /// same epoch again for a retry, and no epoch for one that somebody has fenced.
    pub fn next_epoch(
        &self,
        timeout_ms: i32,
        expected_epoch: Option<i16>,
        clock: TimestampMs,
    ) -> Result<Metadata, ResponseError> {
        let next = self.next_empty(timeout_ms, clock);
        let bumped = self.producer_epoch.saturating_add(1);
        match expected_epoch {
            None => Ok(Metadata { producer_epoch: bumped, last_producer_epoch: NO_PRODUCER_EPOCH, ..next }),
            Some(expected) if self.producer_epoch == NO_PRODUCER_EPOCH || expected == self.producer_epoch => {
                let last_producer_epoch = self.producer_epoch;
                Ok(Metadata { producer_epoch: bumped, last_producer_epoch, ..next })
            }
            Some(expected) if expected == self.last_producer_epoch => Ok(next),
            Some(_) => Err(ResponseError::ProducerFenced),
        }
    }

    /// `InitProducerId` when there are no epochs left.
    pub fn rotated(
        &self,
        producer_id: i64,
        timeout_ms: i32,
        keeps_last_epoch: bool,
        clock: TimestampMs,
    ) -> Metadata {
        let last_producer_epoch = if keeps_last_epoch { self.producer_epoch } else { NO_PRODUCER_EPOCH };
        let next = self.next_empty(timeout_ms, clock);
        Metadata { producer_id, producer_epoch: 0, last_producer_epoch, ..next }
    }

    /// The first partitions start the transaction.
    pub fn with_partitions(
        &self,
        added: impl IntoIterator<Item = TopicPartition>,
        client_version: TransactionVersion,
        clock: TimestampMs,
    ) -> Metadata {
        let mut next = self.next(TransactionState::Ongoing);
        if self.state.is_at_rest() {
            next.start_timestamp = clock;
        }
        next.partitions.extend(added);
        Metadata { last_update_timestamp: clock, client_version, ..next }
    }

    /// The decision. With transaction.version 2 it has the producer's next epoch, and takes `next_producer_id` along where
    /// there are none left. A transaction without partitions is aborted as if it began now.
    pub fn prepared(
        &self,
        state: TransactionState,
        client_version: TransactionVersion,
        next_producer_id: i64,
        is_without_partitions: bool,
        clock: TimestampMs,
    ) -> Metadata {
        let mut next = self.next(state);
        if client_version.bumps_epoch() {
            next.producer_epoch = self.producer_epoch.saturating_add(1);
            next.last_producer_epoch = self.producer_epoch;
        }
        if is_without_partitions {
            next.start_timestamp = clock;
        }
        Metadata { next_producer_id, last_update_timestamp: clock, client_version, ..next }
    }

    /// All markers are written.
    pub fn completed(&self, clock: TimestampMs) -> Metadata {
        let mut next = self.next(match self.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            _ => TransactionState::CompleteAbort,
        });
        if self.client_version.bumps_epoch() && self.next_producer_id != NO_PRODUCER_ID {
            next.producer_id = self.next_producer_id;
            next.producer_epoch = 0;
        }
        next.partitions.clear();
        Metadata { next_producer_id: NO_PRODUCER_ID, last_update_timestamp: clock, ..next }
    }
}

pub(super) fn is_epoch_exhausted(producer_epoch: i16) -> bool {
    producer_epoch >= i16::MAX - 1
}

/// A transactional id in the coordinator's memory.
#[derive(Debug)]
pub(super) struct Transaction {
    pub metadata: Metadata,
    /// Where it is going: the transition is being written, or its markers are under way.
    pub pending: Option<TransactionState>,
    /// A fence could not be written. Its epoch was given to nobody, so the next fence has the same.
    pub has_failed_epoch_fence: bool,
    /// What is written when the markers of the decided transaction are; `None` also after they were given up.
    pub completion: Option<Metadata>,
}

impl Transaction {
    pub fn new(metadata: Metadata) -> Transaction {
        Transaction { metadata, pending: None, has_failed_epoch_fence: false, completion: None }
    }
}
