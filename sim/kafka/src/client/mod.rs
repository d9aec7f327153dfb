//! Clients: an idempotent producer and a group consumer, as futures without a runtime.
//!
//! They depend on [`Link`] alone. Nothing is spawned: a client makes progress only while one of its futures is
//! polled, and all its waiting is in the link's calls and sleeps.

use async_trait::async_trait;
use thiserror::Error;

use crate::cluster::TimestampMs;
use crate::protocol::{Request, Response};

mod consumer;
mod producer;

pub use consumer::*;
pub use producer::*;

/// Why a call has no answer. Only `Refused` says that the broker did not get the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LinkError {
    #[error("connection refused")]
    Refused,
    #[error("connection reset")]
    Reset,
    #[error("no answer in time")]
    TimedOut,
}

/// The way to the brokers, implemented by the simulator on its network.
///
/// Several calls to one broker may be outstanding, and a parked `Fetch` must not hold up the others: implement it
/// with one connection per outstanding long poll, or answer each request by itself. Dropping a call's future
/// abandons the call: an answer that comes later is thrown away.
#[async_trait(?Send)]
pub trait Link {
    /// Sends one request and waits for its answer, at most `timeout_ms`.
    async fn call(&self, broker: i32, request: Request, timeout_ms: i64) -> Result<Response, LinkError>;
    /// The client's own clock.
    fn now_ms(&self) -> TimestampMs;
    async fn sleep_ms(&self, ms: i64);
}
