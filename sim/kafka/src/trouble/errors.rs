//! Kafka's error names, and which errors a broker gives to which API.
//!
//! Source: the `errors` sections of Kafka's request handlers (`KafkaApis`, `ReplicaManager`, `GroupMetadataManager`) and
//! what clients are written against. Errors about what the client itself did wrong (sequences, sizes, rights) are left
//! out: a broker that is in trouble does not make them up.

use kafka_protocol::ResponseError;
use kafka_protocol::ResponseError::{
    CoordinatorLoadInProgress, CoordinatorNotAvailable, IllegalGeneration, KafkaStorageError,
    LeaderNotAvailable, NetworkException, NotCoordinator, NotEnoughReplicas, NotEnoughReplicasAfterAppend,
    NotLeaderOrFollower, OffsetNotAvailable, OffsetOutOfRange, RebalanceInProgress, RequestTimedOut,
    ThrottlingQuotaExceeded, UnknownMemberId, UnknownServerError, UnknownTopicOrPartition,
};
use kafka_protocol::messages::ApiKey;

/// Codes that may exist in any version of Kafka.
const CODES: std::ops::Range<i16> = -1..200;

/// The error of this name, as in `NOT_LEADER_OR_FOLLOWER`.
pub fn error_named(name: &str) -> Option<ResponseError> {
    let known = CODES.filter_map(ResponseError::try_from_code);
    known.filter(|error| !matches!(error, ResponseError::Unknown(_))).find(|error| error_name(*error) == name)
}

/// Kafka's name of an error.
pub fn error_name(error: ResponseError) -> String {
    let mut name = String::new();
    for letter in format!("{error:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// What a request may be refused with, without having been carried out.
pub fn errors_before(api: ApiKey) -> &'static [ResponseError] {
    match api {
        ApiKey::Produce => &[
            NotLeaderOrFollower,
            LeaderNotAvailable,
            NotEnoughReplicas,
            UnknownTopicOrPartition,
            KafkaStorageError,
            RequestTimedOut,
            UnknownServerError,
        ],
        ApiKey::Fetch => &[
            NotLeaderOrFollower,
            UnknownTopicOrPartition,
            OffsetNotAvailable,
            OffsetOutOfRange,
            KafkaStorageError,
            UnknownServerError,
        ],
        ApiKey::ListOffsets => &[
            NotLeaderOrFollower,
            LeaderNotAvailable,
            UnknownTopicOrPartition,
            OffsetNotAvailable,
            KafkaStorageError,
            UnknownServerError,
        ],
        ApiKey::Metadata => &[LeaderNotAvailable, UnknownTopicOrPartition, UnknownServerError],
        ApiKey::FindCoordinator => &[CoordinatorNotAvailable, UnknownServerError],
        ApiKey::JoinGroup | ApiKey::LeaveGroup => {
            &[CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator, UnknownServerError]
        }
        ApiKey::SyncGroup | ApiKey::Heartbeat => &[
            CoordinatorLoadInProgress,
            CoordinatorNotAvailable,
            NotCoordinator,
            RebalanceInProgress,
            IllegalGeneration,
            UnknownMemberId,
            UnknownServerError,
        ],
        ApiKey::OffsetCommit => &[
            CoordinatorLoadInProgress,
            CoordinatorNotAvailable,
            NotCoordinator,
            RebalanceInProgress,
            IllegalGeneration,
            UnknownMemberId,
            RequestTimedOut,
            UnknownServerError,
        ],
        ApiKey::OffsetFetch => &[CoordinatorLoadInProgress, NotCoordinator, UnknownServerError],
        ApiKey::InitProducerId => {
            &[CoordinatorLoadInProgress, CoordinatorNotAvailable, RequestTimedOut, UnknownServerError]
        }
        ApiKey::CreateTopics => &[ThrottlingQuotaExceeded, RequestTimedOut, UnknownServerError],
        _ => &[],
    }
}

/// What a request that was carried out may be answered with all the same: the outcome is unknown to its client.
pub fn errors_after(api: ApiKey) -> &'static [ResponseError] {
    match api {
        ApiKey::Produce => &[
            RequestTimedOut,
            NotEnoughReplicasAfterAppend,
            NotLeaderOrFollower,
            KafkaStorageError,
            NetworkException,
            UnknownServerError,
        ],
        ApiKey::Fetch => &[NotLeaderOrFollower, KafkaStorageError, UnknownServerError],
        ApiKey::OffsetCommit => {
            &[RequestTimedOut, CoordinatorNotAvailable, NotCoordinator, UnknownServerError]
        }
        ApiKey::SyncGroup => &[CoordinatorNotAvailable, NotCoordinator, UnknownServerError],
        ApiKey::JoinGroup | ApiKey::LeaveGroup | ApiKey::Heartbeat => &[NotCoordinator, UnknownServerError],
        ApiKey::InitProducerId | ApiKey::CreateTopics => &[RequestTimedOut, UnknownServerError],
        _ => &[],
    }
}
