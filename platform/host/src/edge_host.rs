//! EdgeHost: runs a gateway. Each request passes its router; what the router cannot answer, the host fetches.
//!
//! What strangers can make it hold is bounded: requests that are served at once, and one fetch at a time of a
//! document, however many wait for it. Sizes of requests are the edge's to bound.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::edge::{Arrived, Edge, Next, RequestNumber, Upstream};
use crate::http_api::unavailable;
use crate::ports::{HttpError, Incoming, Ports};
use crate::signal::Latch;
use crate::store_host::later;
use crate::store_host::patience::RETRY_AFTER_S;
use crate::store_host::shutdown::DRAIN_TIMEOUT;

/// How long an upstream has to answer.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request may ask for a document before it is refused.
const FETCHES: u32 = 1;
/// Most requests that are served at once. Each holds its body until its upstream answers, or for
/// [`UPSTREAM_TIMEOUT`].
const SERVING_MAX: usize = 1_024;

/// A request waits for its documents and then for its upstream: with all of them silent, there is still time to tell
/// its caller before the process has to end.
const _: () = assert!(UPSTREAM_TIMEOUT.as_secs() * (FETCHES as u64 + 1) < DRAIN_TIMEOUT.as_secs());

/// Those who wait for a document that another request is fetching, by party and address.
type Fetching = BTreeMap<(&'static str, String), Vec<oneshot::Sender<()>>>;

/// A gateway's process.
pub struct EdgeHost<E: Edge> {
    edge: E,
    instance: String,
    ports: Ports,
    router: axum::Router,
    requests: Cell<u64>,
    fetching: RefCell<Fetching>,
    ends: Latch,
}

impl<E: Edge> EdgeHost<E> {
    pub fn new(edge: E, instance: &str, ports: Ports) -> Rc<Self> {
        let router = edge.router();
        // Numbers begin again with each process: its own word keeps request ids apart.
        let instance = format!("{instance}/{:08x}", ports.entropy.next_u64() as u32);
        let (requests, fetching, ends) = (Cell::new(0), RefCell::default(), Latch::default());
        Rc::new(Self { edge, instance, ports, router, requests, fetching, ends })
    }

    /// Asks the process to end: [`EdgeHost::run`] returns once every request that it has is answered, at the latest
    /// after [`DRAIN_TIMEOUT`].
    pub fn shut_down(&self) {
        self.ends.set();
    }

    /// Serves; requests wait beside each other. Returns after [`EdgeHost::shut_down`].
    pub async fn run(self: Rc<Self>) {
        futures::select_biased! {
            () = self.serve_all().fuse() => {}
            () = self.out_of_time().fuse() => {}
        }
    }

    async fn serve_all(&self) {
        let mut serving: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        while !(self.ends.is_set() && serving.is_empty()) {
            let asked_to_end = async {
                if self.ends.is_set() { std::future::pending().await } else { self.ends.wait().await }
            };
            futures::select_biased! {
                incoming = self.ports.http.accept().fuse() => {
                    let refuse = |code, why| unavailable(code, why, RETRY_AFTER_S);
                    if self.ends.is_set() {
                        (incoming.respond)(refuse("shutting-down", "this instance ends"));
                    } else if serving.len() >= SERVING_MAX {
                        (incoming.respond)(refuse("overloaded", "too many requests are under way"));
                    } else {
                        serving.push(self.serve(incoming).boxed_local());
                    }
                }
                () = serving.select_next_some() => {}
                () = asked_to_end.fuse() => {}
            }
        }
    }

    async fn out_of_time(&self) {
        self.ends.wait().await;
        let latest = later(self.ports.clock.now(), DRAIN_TIMEOUT.as_millis() as u64);
        self.ports.clock.sleep_until(latest).await;
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
                    self.fetch(&upstream).await;
                }
                (_, Some(Next::Fetch(_))) => {
                    break unavailable("not-ready", "what admission needs cannot be had now", RETRY_AFTER_S);
                }
                (response, None) => break response,
            }
        };
        // The answer to HEAD is that to GET without its body (RFC 9110, section 9.3.2).
        respond(if request.method() == Method::HEAD { response.map(|_| Bytes::new()) } else { response });
    }

    /// Gets a document for the edge, or waits for whoever is getting it. Strangers can ask for it as often as they
    /// like; the party behind is asked once.
    async fn fetch(&self, upstream: &Upstream) {
        let document = (upstream.party, upstream.request.uri().to_string());
        let waiting = self.fetching.borrow_mut().get_mut(&document).map(|waiting| {
            let (done, fetched) = oneshot::channel();
            waiting.push(done);
            fetched
        });
        if let Some(fetched) = waiting {
            // Dropped when the document is there: both mean that it is.
            let _ = fetched.await;
            return;
        }
        self.fetching.borrow_mut().insert(document.clone(), Vec::new());
        let outcome = self.call(upstream).await;
        self.edge.fetched(upstream, outcome, self.ports.clock.now());
        self.fetching.borrow_mut().remove(&document);
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
