//! Errors as librdkafka tells them: a code, and which way out there is.
//!
//! Applications branch on [`Error::is_fatal`], [`Error::txn_requires_abort`] and [`Error::is_retriable`]. Codes that
//! begin with an underscore are the client's own.

use std::fmt;

use kafka_protocol::ResponseError;
use thiserror::Error;

/// What went wrong, by librdkafka's name (without `RD_KAFKA_RESP_ERR_`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// A setting, or two together, that cannot be.
    InvalidArg,
    /// The call is not allowed now.
    State,
    /// Another call has to be finished first.
    PrevInProgress,
    /// The call took too long; what it began may still come about.
    TimedOut,
    /// No acknowledgement within `message.timeout.ms`.
    MsgTimedOut,
    /// No connection, or one that broke.
    Transport,
    UnknownTopic,
    UnknownPartition,
    QueueFull,
    /// Dropped before it was sent.
    PurgeQueue,
    /// Dropped after it was sent.
    PurgeInflight,
    /// A newer instance has taken the `transactional.id`.
    Fenced,
    /// Something of the transaction was not delivered.
    Inconsistent,
    /// `max.poll.interval.ms` went by without a poll.
    MaxPollExceeded,
    /// The partitions are no longer this member's.
    AssignmentLost,
    NoOffset,
    /// `auto.offset.reset` says that this is an error.
    AutoOffsetReset,
    /// Records that were read are no longer in the log.
    LogTruncation,
    BadMsg,
    Broker(ResponseError),
}

impl ErrorCode {
    /// As in `_MSG_TIMED_OUT` or `NOT_ENOUGH_REPLICAS`.
    pub fn name(self) -> String {
        let name = match self {
            ErrorCode::InvalidArg => "_INVALID_ARG",
            ErrorCode::State => "_STATE",
            ErrorCode::PrevInProgress => "_PREV_IN_PROGRESS",
            ErrorCode::TimedOut => "_TIMED_OUT",
            ErrorCode::MsgTimedOut => "_MSG_TIMED_OUT",
            ErrorCode::Transport => "_TRANSPORT",
            ErrorCode::UnknownTopic => "_UNKNOWN_TOPIC",
            ErrorCode::UnknownPartition => "_UNKNOWN_PARTITION",
            ErrorCode::QueueFull => "_QUEUE_FULL",
            ErrorCode::PurgeQueue => "_PURGE_QUEUE",
            ErrorCode::PurgeInflight => "_PURGE_INFLIGHT",
            ErrorCode::Fenced => "_FENCED",
            ErrorCode::Inconsistent => "_INCONSISTENT",
            ErrorCode::MaxPollExceeded => "_MAX_POLL_EXCEEDED",
            ErrorCode::AssignmentLost => "_ASSIGNMENT_LOST",
            ErrorCode::NoOffset => "_NO_OFFSET",
            ErrorCode::AutoOffsetReset => "_AUTO_OFFSET_RESET",
            ErrorCode::LogTruncation => "_LOG_TRUNCATION",
            ErrorCode::BadMsg => "_BAD_MSG",
            ErrorCode::Broker(ResponseError::MessageTooLarge) => "MSG_SIZE_TOO_LARGE",
            ErrorCode::Broker(ResponseError::UnknownTopicOrPartition) => "UNKNOWN_TOPIC_OR_PART",
            ErrorCode::Broker(ResponseError::NotLeaderOrFollower) => "NOT_LEADER_FOR_PARTITION",
            ErrorCode::Broker(error) => return screaming(&format!("{error:?}")),
        };
        name.to_owned()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// `NotEnoughReplicas` as `NOT_ENOUGH_REPLICAS`.
fn screaming(camel: &str) -> String {
    let mut name = String::with_capacity(camel.len() + 8);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// The way out of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// None, and nothing is broken: the call was wrong.
    Plain,
    /// The same call again.
    Retriable,
    /// `abort_transaction`, then a new transaction.
    Abortable,
    /// A new client.
    Fatal,
}

/// A client call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct Error {
    code: ErrorCode,
    class: Class,
    message: &'static str,
}

impl Error {
    pub(super) fn plain(code: ErrorCode, message: &'static str) -> Error {
        Error { code, class: Class::Plain, message }
    }

    pub(super) fn retriable(code: ErrorCode, message: &'static str) -> Error {
        Error { code, class: Class::Retriable, message }
    }

    pub(super) fn abortable(code: ErrorCode, message: &'static str) -> Error {
        Error { code, class: Class::Abortable, message }
    }

    pub(super) fn fatal(code: ErrorCode, message: &'static str) -> Error {
        Error { code, class: Class::Fatal, message }
    }

    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The client is of no more use.
    pub fn is_fatal(&self) -> bool {
        self.class == Class::Fatal
    }

    /// The same call may be made again, and goes on where this one ended.
    pub fn is_retriable(&self) -> bool {
        self.class == Class::Retriable
    }

    /// The transaction can only be aborted.
    pub fn txn_requires_abort(&self) -> bool {
        self.class == Class::Abortable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_librdkafkas_names() {
        assert_eq!(ErrorCode::MaxPollExceeded.name(), "_MAX_POLL_EXCEEDED");
        assert_eq!(ErrorCode::Broker(ResponseError::NotEnoughReplicas).name(), "NOT_ENOUGH_REPLICAS");
        assert_eq!(ErrorCode::Broker(ResponseError::MessageTooLarge).name(), "MSG_SIZE_TOO_LARGE");
    }
}
