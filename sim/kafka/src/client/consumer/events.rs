//! What a consumer gives back.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use thiserror::Error;

use crate::client::{Error as KafkaError, ErrorCode, LinkError};
use crate::cluster::TopicPartition;

/// A record read: key, value and header names and values are slices of the fetched bytes.
pub type ConsumerRecord = crate::records::Record;

/// What a poll brings.
#[derive(Debug, Clone, PartialEq)]
pub enum ConsumerEvent {
    /// A new generation: these partitions, all of them, are this member's now. Seek before polling again to begin
    /// elsewhere than at the committed offset.
    Assigned(Vec<TopicPartition>),
    /// These partitions, all there were, are about to be given up; nothing more of them is delivered. Offsets may still
    /// be committed before polling again.
    Revoked(Vec<TopicPartition>),
    /// These partitions are somebody else's already: it is too late to commit.
    Lost(Vec<TopicPartition>),
    /// Cooperative: these come on top of what there is.
    IncrementallyAssigned(Vec<TopicPartition>),
    /// Cooperative: these go, the others stay.
    IncrementallyRevoked(Vec<TopicPartition>),
    /// Never empty, in rising order of offsets.
    Records {
        topic: TopicName,
        partition: i32,
        records: Vec<ConsumerRecord>,
    },
    Error(ConsumerError),
}

/// The consumer goes on by itself after any of these but `Fenced`. The first three wait for a seek.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConsumerError {
    #[error("offset {offset} of {partition} is out of range and auto.offset.reset is none")]
    OffsetOutOfRange { partition: TopicPartition, offset: i64 },
    #[error("{0} has no committed offset and auto.offset.reset is none")]
    NoOffsetForPartition(TopicPartition),
    /// What was read from `diverges_at` on is no longer in the log.
    #[error("{partition} was truncated: position {offset}, log of that epoch ends at {diverges_at}")]
    LogTruncation { partition: TopicPartition, offset: i64, diverges_at: i64 },
    /// Fatal: polls never return again.
    #[error("another instance has taken this group.instance.id")]
    Fenced,
    /// The consumer has left the group, and joins again when it is polled.
    #[error("max.poll.interval.ms went by without a poll")]
    MaxPollExceeded,
    #[error("the cluster does not know a topic of the subscription: {0:?}")]
    UnknownTopics(Vec<TopicName>),
    #[error("refused by a broker: {0}")]
    Broker(ResponseError),
    /// The partition stands still until the host seeks.
    #[error("corrupt batch in {0}")]
    Corrupt(TopicPartition),
}

impl ConsumerError {
    /// Under librdkafka's name and class.
    pub fn error(&self) -> KafkaError {
        let code = match self {
            ConsumerError::OffsetOutOfRange { .. } | ConsumerError::NoOffsetForPartition(_) => {
                ErrorCode::AutoOffsetReset
            }
            ConsumerError::LogTruncation { .. } => ErrorCode::LogTruncation,
            ConsumerError::Fenced => {
                let code = ErrorCode::Broker(ResponseError::FencedInstanceId);
                return KafkaError::fatal(code, "another instance has taken this group.instance.id");
            }
            ConsumerError::MaxPollExceeded => ErrorCode::MaxPollExceeded,
            ConsumerError::UnknownTopics(_) => ErrorCode::Broker(ResponseError::UnknownTopicOrPartition),
            ConsumerError::Broker(error) => ErrorCode::Broker(*error),
            ConsumerError::Corrupt(_) => ErrorCode::BadMsg,
        };
        KafkaError::plain(code, "told by the consumer")
    }
}

/// Why offsets were not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CommitError {
    #[error("not a member of the group")]
    NotAMember,
    #[error("refused by the coordinator: {0}")]
    Refused(ResponseError),
    #[error("outcome unknown: {0}")]
    Unknown(LinkError),
}

impl CommitError {
    /// Under librdkafka's name and class.
    pub fn error(&self) -> KafkaError {
        match self {
            CommitError::NotAMember => KafkaError::plain(ErrorCode::State, "not a member of the group"),
            CommitError::Refused(ResponseError::FencedInstanceId) => ConsumerError::Fenced.error(),
            CommitError::Refused(error) if error.is_retriable() => {
                KafkaError::retriable(ErrorCode::Broker(*error), "refused by the coordinator")
            }
            CommitError::Refused(error) => {
                KafkaError::plain(ErrorCode::Broker(*error), "refused by the coordinator")
            }
            CommitError::Unknown(LinkError::TimedOut) => {
                KafkaError::retriable(ErrorCode::TimedOut, "the outcome is not known")
            }
            CommitError::Unknown(LinkError::Refused | LinkError::Reset) => {
                KafkaError::retriable(ErrorCode::Transport, "the outcome is not known")
            }
        }
    }
}
