//! Edges: gateways that admit a request, refuse it, or pass it on.
//!
//! An edge is an axum `Router` without a listener. Its handlers are pure: they never wait. A handler that
//! cannot answer by itself returns a response with a [`Next`] in its extensions, and the edge host does the
//! waiting: for the upstream service, or for a document (a key set) without which admission cannot decide.

use bytes::Bytes;
use http::{Request, Response};
use model::Timestamp;

use crate::ports::HttpError;

/// The node's clock at the arrival of a request: set by the host in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Arrived(pub Timestamp);

/// The instance that serves, and the number of the request on it: what request ids are made of.
#[derive(Clone, Debug)]
pub struct RequestNumber {
    pub instance: String,
    pub number: u64,
}

/// What the host does with an admitted request. Carried in the extensions of a response.
#[derive(Clone, Debug)]
pub enum Next {
    /// Pass this on, and answer with what [`Edge::reply`] makes of the outcome.
    Forward(Upstream),
    /// Get this, hand it to [`Edge::fetched`], and admit the request once more.
    Fetch(Upstream),
}

/// A request to a party behind the edge.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// `trade`, `identity`, …
    pub party: &'static str,
    pub request: Request<Bytes>,
}

/// A gateway.
pub trait Edge: 'static {
    /// As a party, e.g. `api-gateway`.
    fn name(&self) -> &'static str;

    /// The routes, with authentication and limits. Called once per instance.
    fn router(&self) -> axum::Router;

    /// The answer to the client, from what the upstream said, or did not say.
    fn reply(&self, sent: &Upstream, outcome: Result<Response<Bytes>, HttpError>) -> Response<Bytes>;

    /// Takes in a fetched document; on an error the request is refused by the next admission.
    fn fetched(&self, sent: &Upstream, outcome: Result<Response<Bytes>, HttpError>, now: Timestamp);
}

/// A response that asks the host to go on.
pub fn go_on(next: Next) -> axum::response::Response {
    let mut response = axum::response::Response::new(axum::body::Body::empty());
    response.extensions_mut().insert(next);
    response
}
