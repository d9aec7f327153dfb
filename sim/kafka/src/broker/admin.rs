//! Which APIs there are, and who coordinates what.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use kafka_protocol::messages::{ApiKey, BrokerId};

use super::Broker;
use crate::protocol::SUPPORTED;

/// What clients are not offered: a broker closes the connection on which it is asked for these.
const UNSERVED: &[ApiKey] = &[
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::EndTxn,
    ApiKey::WriteTxnMarkers,
    ApiKey::DescribeTransactions,
    ApiKey::ListTransactions,
    ApiKey::AlterPartition,
    ApiKey::BrokerHeartbeat,
    ApiKey::BrokerRegistration,
    ApiKey::AllocateProducerIds,
];

const GROUP_KEY: i8 = 0;

impl Broker {
    pub(super) fn find_coordinator(&self, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
        let coordinators = request.coordinator_keys.into_iter().map(|key| {
            let error = match request.key_type {
                GROUP_KEY if key.is_empty() => Some(ResponseError::InvalidGroupId),
                GROUP_KEY => None,
                _ => Some(ResponseError::UnsupportedVersion),
            };
            let found = self.coordinator_of(&key);
            let error = error.or(found.is_none().then_some(ResponseError::CoordinatorNotAvailable));
            match error {
                None => {
                    let broker = found.expect("else it is not available");
                    let listener = self.config.listener_of(broker);
                    Coordinator::default()
                        .with_key(key)
                        .with_node_id(BrokerId(broker))
                        .with_host(listener.host.clone())
                        .with_port(listener.port)
                }
                Some(error) => Coordinator::default()
                    .with_key(key)
                    .with_node_id(BrokerId(-1))
                    .with_error_code(error.code()),
            }
        });
        FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
    }

    pub(super) fn api_versions(&self) -> ApiVersionsResponse {
        let offered = SUPPORTED.iter().filter(|(key, ..)| !UNSERVED.contains(key));
        let keys = offered.map(|(key, min, max)| {
            ApiVersion::default().with_api_key(*key as i16).with_min_version(*min).with_max_version(*max)
        });
        ApiVersionsResponse::default().with_api_keys(keys.collect())
    }
}
