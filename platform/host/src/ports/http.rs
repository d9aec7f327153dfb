//! HTTP, as requests and responses without sockets.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Nobody listens: the request was never seen.
    #[error("connection refused")]
    Refused,
    /// The connection broke: the request may have been seen.
    #[error("connection reset")]
    Reset,
    /// No answer in time: the request may have been seen.
    #[error("timed out")]
    TimedOut,
}

#[async_trait(?Send)]
pub trait Http {
    /// Calls a party by name (`trade`, `bank`): one of its instances answers.
    async fn call(
        &self,
        party: &str,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, HttpError>;

    /// The next request to this process. Requests wait until they are accepted.
    async fn accept(&self) -> Incoming;
}

/// A request that waits for its response. Dropped without one, the caller sees its own time-out.
pub struct Incoming {
    pub request: Request<Bytes>,
    pub respond: Box<dyn FnOnce(Response<Bytes>)>,
}
