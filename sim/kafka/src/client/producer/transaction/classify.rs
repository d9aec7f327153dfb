//! What a coordinator's refusal means for the transaction: try again, abort, or give up for good.

use kafka_protocol::ResponseError;

use super::coordinator::StepKind;
use crate::client::{Error, ErrorCode};

/// The way on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// After a pause; `lost`: the coordinator may be another broker.
    TryAgain {
        lost: bool,
    },
    /// `bump`: the next transaction needs a new epoch.
    Abort {
        bump: bool,
    },
    Fatal,
}

/// After librdkafka's `rd_kafka_txn_handle_…` and Java's `TransactionManager`.
pub(super) fn classify(step: StepKind, error: ResponseError) -> Verdict {
    use ResponseError as E;
    match (step, error) {
        (_, E::NotCoordinator | E::CoordinatorNotAvailable) => Verdict::TryAgain { lost: true },
        (_, E::CoordinatorLoadInProgress | E::ConcurrentTransactions) => Verdict::TryAgain { lost: false },
        (StepKind::AddPartitions | StepKind::CommitOffsets, E::UnknownTopicOrPartition) => {
            Verdict::TryAgain { lost: false }
        }
        (_, E::RequestTimedOut | E::NetworkException | E::KafkaStorageError) => {
            Verdict::TryAgain { lost: true }
        }
        (_, E::InvalidProducerEpoch | E::ProducerFenced) => Verdict::Fatal,
        (_, E::TransactionalIdAuthorizationFailed | E::ClusterAuthorizationFailed) => Verdict::Fatal,
        (_, E::InvalidTxnState | E::UnsupportedForMessageFormat | E::UnsupportedVersion) => Verdict::Fatal,
        (StepKind::Init, E::InvalidTransactionTimeout | E::InvalidRequest) => Verdict::Fatal,
        (StepKind::CommitOffsets, E::InvalidProducerIdMapping) => Verdict::Fatal,
        (StepKind::Init, _) => Verdict::TryAgain { lost: false },
        (_, E::UnknownProducerId | E::InvalidProducerIdMapping) => Verdict::Abort { bump: true },
        // Also stale members and generations: what was written is undone by aborting (KIP-447).
        _ => Verdict::Abort { bump: false },
    }
}

/// A refusal under librdkafka's name: both ways of being fenced are one.
pub(super) fn code_of(error: ResponseError) -> ErrorCode {
    match error {
        ResponseError::InvalidProducerEpoch | ResponseError::ProducerFenced => ErrorCode::Fenced,
        other => ErrorCode::Broker(other),
    }
}

pub(super) fn abortable(error: ResponseError) -> Error {
    Error::abortable(code_of(error), "refused by a coordinator: abort the transaction")
}

pub(super) fn fatal(error: ResponseError) -> Error {
    Error::fatal(code_of(error), "refused by a coordinator for good")
}
