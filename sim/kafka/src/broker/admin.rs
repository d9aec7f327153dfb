//! Which APIs there are, and who coordinates what.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use kafka_protocol::messages::{ApiKey, BrokerId};
use kafka_protocol::protocol::StrBytes;

use super::Broker;
use crate::protocol::SUPPORTED;

/// What clients are not offered: a broker closes the connection on which it is asked for these.
const UNSERVED: &[ApiKey] = &[
    ApiKey::AlterPartition,
    ApiKey::BrokerHeartbeat,
    ApiKey::BrokerRegistration,
    ApiKey::AllocateProducerIds,
];

const GROUP_KEY: i8 = 0;
const TRANSACTION_KEY: i8 = 1;

/// The features that clients look at, with the highest levels spoken here.
const TRANSACTION_VERSION: (&str, i16) = ("transaction.version", 2);
const ELIGIBLE_LEADER_REPLICAS_VERSION: (&str, i16) = ("eligible.leader.replicas.version", 1);

impl Broker {
    pub(super) fn find_coordinator(&self, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
        let coordinators = request.coordinator_keys.into_iter().map(|key| {
            let found = match request.key_type {
                GROUP_KEY if key.is_empty() => Err(ResponseError::InvalidGroupId),
                GROUP_KEY => self.coordinator_of(&key).ok_or(ResponseError::CoordinatorNotAvailable),
                TRANSACTION_KEY => {
                    let coordinator = self.transaction_coordinator_of(&key);
                    coordinator.ok_or(ResponseError::CoordinatorNotAvailable)
                }
                _ => Err(ResponseError::InvalidRequest),
            };
            let coordinator = Coordinator::default().with_key(key);
            match found {
                Ok(broker) => {
                    let listener = self.config.listener_of(broker);
                    coordinator
                        .with_node_id(BrokerId(broker))
                        .with_host(listener.host.clone())
                        .with_port(listener.port)
                }
                Err(error) => coordinator.with_node_id(BrokerId(-1)).with_error_code(error.code()),
            }
        });
        FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
    }

    pub(super) fn api_versions(&self) -> ApiVersionsResponse {
        let offered = SUPPORTED.iter().filter(|(key, ..)| !UNSERVED.contains(key));
        let keys = offered.map(|(key, min, max)| {
            ApiVersion::default().with_api_key(*key as i16).with_min_version(*min).with_max_version(*max)
        });
        let settings = &self.config.cluster.settings;
        let features = [
            (TRANSACTION_VERSION, settings.transaction_version),
            (ELIGIBLE_LEADER_REPLICAS_VERSION, settings.eligible_leader_replicas_version),
        ];
        let name = |name| StrBytes::from_static_str(name);
        let supported = features.iter().map(|((feature, max_version), _)| {
            SupportedFeatureKey::default().with_name(name(feature)).with_max_version(*max_version)
        });
        let finalized = features.iter().filter(|(_, level)| *level > 0).map(|((feature, _), level)| {
            FinalizedFeatureKey::default()
                .with_name(name(feature))
                .with_max_version_level(*level)
                .with_min_version_level(*level)
        });
        ApiVersionsResponse::default()
            .with_api_keys(keys.collect())
            .with_supported_features(supported.collect())
            .with_finalized_features_epoch(0)
            .with_finalized_features(finalized.collect())
    }
}
