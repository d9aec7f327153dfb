//! Clients: a producer and a group consumer, as futures without a runtime. Each behaves as librdkafka's or as Java's,
//! by its profile.
//!
//! Called by the simulator's Kafka adapters on service nodes. They depend on [`Link`] alone. Nothing is spawned: a
//! client makes progress only while one of its futures is polled, and all its waiting is in the link's calls and
//! sleeps. Back-off doubles up to its maximum without jitter, so that runs repeat.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use kafka_protocol::protocol::StrBytes;
use thiserror::Error;

use crate::cluster::TimestampMs;
use crate::protocol::{Request, RequestKind, Response};

mod consumer;
mod coordinator;
mod error;
mod group_metadata;
mod metadata;
mod producer;
mod profile;
mod tasks;

pub use consumer::{
    Assignor, AutoOffsetReset, CommitError, Consumer, ConsumerConfig, ConsumerError, ConsumerEvent,
    ConsumerRecord, IsolationLevel, Reader, ReaderError, ReaderPage,
};
pub use error::{Error, ErrorCode};
pub use group_metadata::ConsumerGroupMetadata;
pub use producer::{
    Acks, DeliveryReport, Draws, MessageStatus, ProduceError, Producer, ProducerConfig, ProducerRecord,
    RecordMetadata, Ticket,
};
pub use profile::Profile;

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
/// Several calls to one broker may be outstanding, and a parked `Fetch` must not hold up the others: answer each
/// request by itself, or keep a connection per outstanding call. Dropping a call's future abandons the call: an
/// answer that comes later is thrown away.
#[async_trait(?Send)]
pub trait Link {
    /// Sends one request and waits for its answer, at most `timeout_ms`.
    async fn call(&self, broker: i32, request: Request, timeout_ms: i64) -> Result<Response, LinkError>;
    /// Time that only goes forward, whatever becomes of the client's clock: time-outs count in it.
    fn now_ms(&self) -> TimestampMs;
    async fn sleep_ms(&self, ms: i64);
}

/// A link with the name that goes into every request.
struct Caller<L: Link + ?Sized> {
    link: Rc<L>,
    client_id: StrBytes,
    /// Which bootstrap server answered last, so that a dead one is not waited for each time.
    preferred: Rc<Cell<usize>>,
}

impl<L: Link + ?Sized> Clone for Caller<L> {
    fn clone(&self) -> Self {
        Caller {
            link: Rc::clone(&self.link),
            client_id: self.client_id.clone(),
            preferred: Rc::clone(&self.preferred),
        }
    }
}

impl<L: Link + ?Sized> Caller<L> {
    fn new(link: Rc<L>, client_id: &str) -> Caller<L> {
        Caller { link, client_id: StrBytes::from_string(client_id.to_owned()), preferred: Rc::default() }
    }

    /// Asks the bootstrap servers in turn, from the one that answered last, until one answers.
    async fn call_any<R: TryFrom<Response, Error = Response>>(
        &self,
        bootstrap_servers: &[i32],
        request: impl Into<RequestKind>,
        timeout_ms: i64,
    ) -> Result<R, LinkError> {
        let request = request.into();
        let mut last_error = LinkError::Refused;
        for _ in bootstrap_servers {
            let broker = bootstrap_servers[self.preferred.get() % bootstrap_servers.len()];
            match self.call(broker, request.clone(), timeout_ms).await {
                Ok(response) => return Ok(response),
                Err(error) => last_error = error,
            }
            self.preferred.set(self.preferred.get().wrapping_add(1));
        }
        Err(last_error)
    }

    /// One call, answered in kind.
    async fn call<R: TryFrom<Response, Error = Response>>(
        &self,
        broker: i32,
        request: impl Into<RequestKind>,
        timeout_ms: i64,
    ) -> Result<R, LinkError> {
        let request = request.into();
        self.call_as(broker, request.highest_version(), request, timeout_ms).await
    }

    /// One call in this version, answered in kind.
    async fn call_as<R: TryFrom<Response, Error = Response>>(
        &self,
        broker: i32,
        version: i16,
        request: impl Into<RequestKind>,
        timeout_ms: i64,
    ) -> Result<R, LinkError> {
        let request = request.into();
        let asked = request.name();
        let response = self.exchange(broker, version, request, timeout_ms).await?;
        Ok(R::try_from(response).unwrap_or_else(|other| panic!("{asked} was answered with {other:?}")))
    }

    async fn exchange(
        &self,
        broker: i32,
        version: i16,
        kind: RequestKind,
        timeout_ms: i64,
    ) -> Result<Response, LinkError> {
        let request = Request { client_id: self.client_id.clone(), version, kind };
        self.link.call(broker, request, timeout_ms).await
    }
}

/// `retry.backoff.ms`, doubled with each failure in a row up to `retry.backoff.max.ms`.
#[derive(Debug, Clone)]
struct Backoff {
    initial_ms: i64,
    max_ms: i64,
    next_ms: i64,
}

impl Backoff {
    fn new(initial_ms: i64, max_ms: i64) -> Backoff {
        Backoff { initial_ms, max_ms, next_ms: initial_ms }
    }

    fn reset(&mut self) {
        self.next_ms = self.initial_ms;
    }

    fn next(&mut self) -> i64 {
        let delay_ms = self.next_ms;
        self.next_ms = (self.next_ms * 2).min(self.max_ms);
        delay_ms
    }
}
