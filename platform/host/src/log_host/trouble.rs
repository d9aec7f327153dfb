//! Why an owner ends before it is asked to. In each case somebody recovers: whoever the group says owns the partition.

use super::changelog::Unreadable;
use crate::ports::transactional_log::{ErrorClass, ReadError, TransactionError};

/// What went wrong. What was decided and not committed is forgotten; what was committed is found in the changelog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// A newer producer has the `transactional.id`, or the coordinator has given this one up.
    #[error("fenced: {0}")]
    Fenced(String),
    /// The coordinator of the group does not take our offset: the group has gone on without us.
    #[error("offset refused: {0}")]
    OffsetRefused(String),
    /// Aborted again and again.
    #[error("aborted: {0}")]
    Aborted(String),
    /// Nobody answers, or the outcome of a commit stays unknown.
    #[error("not answered: {0}")]
    Unanswered(String),
    /// Changelog and committed offset were told by brokers of which one lags behind, or somebody has changed one of them.
    #[error("the changelog goes up to {changelog:?}, the committed offset is {committed:?}")]
    Inconsistent { changelog: Option<i64>, committed: Option<i64> },
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The changelog starts behind its first record, and there is no snapshot.
    #[error("the changelog's beginning is gone")]
    NoBeginning,
    /// The input's log does not hold the position.
    #[error("input position {0} is not in the log")]
    OutsideTheLog(i64),
}

impl Trouble {
    /// Brokers that come back, or catch up, end it; the others are for somebody to look at.
    pub fn passes_by_itself(&self) -> bool {
        !matches!(self, Self::Unreadable(_) | Self::NoBeginning | Self::OutsideTheLog(_))
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Self::Unanswered(error.to_string())
    }
}

impl From<TransactionError> for Trouble {
    fn from(error: TransactionError) -> Self {
        match error.class {
            ErrorClass::Fatal => Self::Fenced(error.reason),
            ErrorClass::Abortable => Self::Aborted(error.reason),
            ErrorClass::Retriable | ErrorClass::Unknown => Self::Unanswered(error.reason),
        }
    }
}
