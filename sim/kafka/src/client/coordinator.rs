//! Who coordinates a group or a transaction.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::find_coordinator_response::FindCoordinatorResponse;
use kafka_protocol::protocol::StrBytes;

use super::{Caller, Link, LinkError};
use crate::protocol::check;

/// `key_type` of `FindCoordinator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CoordinatorOf {
    Group = 0,
    Transaction = 1,
}

impl<L: Link + ?Sized> Caller<L> {
    /// The coordinator, as any broker sees it.
    pub(super) async fn find_coordinator(
        &self,
        bootstrap_servers: &[i32],
        of: CoordinatorOf,
        key: &str,
        timeout_ms: i64,
    ) -> Result<Result<i32, ResponseError>, LinkError> {
        let request = FindCoordinatorRequest::default()
            .with_key_type(of as i8)
            .with_coordinator_keys(vec![StrBytes::from_string(key.to_owned())]);
        let response =
            self.call_any::<FindCoordinatorResponse>(bootstrap_servers, request, timeout_ms).await?;
        let found = response.coordinators.first().ok_or(ResponseError::CoordinatorNotAvailable);
        Ok(found.and_then(|found| check(found.error_code).map(|()| found.node_id.0)))
    }
}
