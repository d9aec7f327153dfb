//! One pass of a request through the router of a gateway, as the edge host makes it.

use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt;
use host::edge::{Edge, Next};
use host::{Arrived, RequestNumber};
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::instant;

/// What a gateway makes of a request.
pub enum Admitted {
    Next(Next),
    Answer(Response<Bytes>),
}

/// Admits a request that arrives at `now`, as number 42 of instance 1. An edge that waits fails the test.
pub fn admit(edge: &impl Edge, now: &str, request: Request<Bytes>) -> Admitted {
    let mut request = request.map(Body::from);
    request.extensions_mut().insert(Arrived(instant(now)));
    request.extensions_mut().insert(RequestNumber { instance: format!("{}/1", edge.name()), number: 42 });
    let served = edge.router().oneshot(request).now_or_never().expect("an edge never waits");
    let Ok(response) = served;
    let (mut parts, body) = response.into_parts();
    let body = body.collect().now_or_never().expect("a body in memory").expect("a whole body").to_bytes();
    match parts.extensions.remove::<Next>() {
        Some(next) => Admitted::Next(next),
        None => Admitted::Answer(Response::from_parts(parts, body)),
    }
}
