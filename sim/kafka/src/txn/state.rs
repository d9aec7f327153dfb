//! The states of a transactional id, and the versions of the transaction protocol.

/// Kafka's names and numbers (`TransactionState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransactionState {
    /// There is a producer, and no transaction yet.
    Empty,
    Ongoing,
    /// Decided: markers are under way.
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
    /// On the way to being forgotten. Never written.
    Dead,
    /// On the way to `PrepareAbort` by somebody else than the producer. Never written.
    PrepareEpochFence,
}

use TransactionState::*;

const ALL: [TransactionState; 8] =
    [Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort, Dead, PrepareEpochFence];

impl TransactionState {
    pub fn id(self) -> i8 {
        match self {
            Empty => 0,
            Ongoing => 1,
            PrepareCommit => 2,
            PrepareAbort => 3,
            CompleteCommit => 4,
            CompleteAbort => 5,
            Dead => 6,
            PrepareEpochFence => 7,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Empty => "Empty",
            Ongoing => "Ongoing",
            PrepareCommit => "PrepareCommit",
            PrepareAbort => "PrepareAbort",
            CompleteCommit => "CompleteCommit",
            CompleteAbort => "CompleteAbort",
            Dead => "Dead",
            PrepareEpochFence => "PrepareEpochFence",
        }
    }

    pub fn of_id(id: i8) -> Option<TransactionState> {
        ALL.into_iter().find(|state| state.id() == id)
    }

    pub fn of_name(name: &str) -> Option<TransactionState> {
        ALL.into_iter().find(|state| state.name() == name)
    }

    /// Decided, and not every partition is known to have its marker.
    pub fn is_prepared(self) -> bool {
        matches!(self, PrepareCommit | PrepareAbort)
    }

    /// Nothing is under way: the id may be forgotten after `transactional.id.expiration.ms`.
    pub fn is_at_rest(self) -> bool {
        matches!(self, Empty | CompleteCommit | CompleteAbort)
    }
}

/// The level of `transaction.version` that a client, or the cluster, goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TransactionVersion {
    V0,
    V1,
    V2,
}

impl TransactionVersion {
    pub fn of_level(level: i16) -> TransactionVersion {
        match level {
            ..=0 => TransactionVersion::V0,
            1 => TransactionVersion::V1,
            2.. => TransactionVersion::V2,
        }
    }

    pub fn level(self) -> i16 {
        match self {
            TransactionVersion::V0 => 0,
            TransactionVersion::V1 => 1,
            TransactionVersion::V2 => 2,
        }
    }

    /// The producer's epoch goes up with the end of every transaction.
    pub fn bumps_epoch(self) -> bool {
        self >= TransactionVersion::V2
    }
}
