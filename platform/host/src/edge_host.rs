//! EdgeHost: runs a gateway. Each request passes its router; what the router cannot answer, the host fetches.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::edge::{Arrived, Edge, Next, RequestNumber, Upstream};
use crate::http_api::Problem;
use crate::ports::{HttpError, Incoming, Ports};

/// How long an upstream has to answer.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request may ask for a document before it is refused.
const FETCHES: u32 = 1;

/// A gateway's process.
pub struct EdgeHost<E: Edge> {
    edge: E,
    instance: String,
    ports: Ports,
    router: axum::Router,
    requests: Cell<u64>,
}

impl<E: Edge> EdgeHost<E> {
    pub fn new(edge: E, instance: &str, ports: Ports) -> Rc<Self> {
        let router = edge.router();
        // Numbers begin again with each process: its own word keeps request ids apart.
        let instance = format!("{instance}/{:08x}", ports.entropy.next_u64() as u32);
        Rc::new(Self { edge, instance, ports, router, requests: Cell::new(0) })
    }

    /// Serves until the process ends. Requests wait beside each other.
    pub async fn run(self: Rc<Self>) {
        let mut serving: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        loop {
            futures::select_biased! {
                incoming = self.ports.http.accept().fuse() => serving.push(self.serve(incoming).boxed_local()),
                () = serving.select_next_some() => {}
            }
        }
    }

    async fn serve(&self, incoming: Incoming) {
        let Incoming { mut request, respond } = incoming;
        let number = self.requests.get() + 1;
        self.requests.set(number);
        request.extensions_mut().insert(RequestNumber { instance: self.instance.clone(), number });
        let mut fetches = 0;
        let response = loop {
            request.extensions_mut().insert(Arrived(self.ports.clock.now()));
            match self.admit(&request).await {
                (_, Some(Next::Forward(upstream))) => {
                    let outcome = self.call(&upstream).await;
                    break self.edge.reply(&upstream, outcome);
                }
                (_, Some(Next::Fetch(upstream))) if fetches < FETCHES => {
                    fetches += 1;
                    let outcome = self.call(&upstream).await;
                    self.edge.fetched(&upstream, outcome, self.ports.clock.now());
                }
                (_, Some(Next::Fetch(_))) => {
                    let why = "what admission needs cannot be had now";
                    break Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", why).response();
                }
                (response, None) => break response,
            }
        };
        respond(response);
    }

    /// One pass through the router.
    async fn admit(&self, request: &Request<Bytes>) -> (Response<Bytes>, Option<Next>) {
        let request = request.clone().map(axum::body::Body::from);
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (mut parts, body) = response.into_parts();
        let next = parts.extensions.remove::<Next>();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => Bytes::new(),
        };
        (Response::from_parts(parts, body), next)
    }

    async fn call(&self, upstream: &Upstream) -> Result<Response<Bytes>, HttpError> {
        self.ports.http.call(upstream.party, upstream.request.clone(), UPSTREAM_TIMEOUT).await
    }
}
