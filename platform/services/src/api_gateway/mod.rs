//! The door of the platform: who asks, may they, do they ask too often, and which service answers.
//!
//! Participants see and move only their own: a trade has one of their accounts on it, positions and ledger
//! accounts are theirs. What is of the whole house (settlement dates, the trial balance, reference data, dead
//! letters) is the operators', who read everything and neither trade nor withdraw.
//!
//! Business rules are not here: a trade's form is checked by the trade service. There is no session and no
//! cookie, and the only thing remembered between requests is keys, verified tokens and rates, per instance.

mod limits;
pub(crate) mod routes;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::on;
use bytes::Bytes;
use host::Problem;
use host::edge::{Edge, Next, Upstream};
use host::ports::HttpError;
use http::{Request, Response, StatusCode, header};
use model::Timestamp;

use self::limits::Limits;
use self::routes::{ROUTES, Route};
use self::tokens::{Denied, Tokens};
use crate::support::gateway::{self, Admission, Entered, Refusal};
use crate::support::request;

/// The gateway. Its fields are its settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `iss` of the identity provider's tokens.
    pub issuer: String,
    /// `aud` that a token must name.
    pub audience: String,
    /// How far the clocks of gateway and identity provider may differ.
    pub leeway: Duration,
    /// Keys older than this are fetched again before they are used.
    pub keys_max_age: Duration,
    /// After a fetch, how long to wait for the next one, whatever its outcome.
    pub keys_retry: Duration,
    /// Verified tokens that are remembered: verification costs more than all else here.
    pub verified_tokens_max: usize,
    /// Requests per second and client, on average.
    pub requests_per_second: u32,
    /// Requests of a client at once.
    pub burst: u32,
    /// Requests of a client that wait for a service at once.
    pub under_way_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            issuer: "https://identity.bellwether.invalid".to_owned(),
            audience: "bellwether".to_owned(),
            leeway: Duration::from_secs(30),
            keys_max_age: Duration::from_secs(60 * 60),
            keys_retry: Duration::from_secs(10),
            verified_tokens_max: 1_024,
            requests_per_second: 200,
            burst: 1_000,
            under_way_max: 256,
        }
    }
}

/// One instance of the gateway.
pub struct ApiGateway {
    shared: Arc<Shared>,
}

struct Shared {
    tokens: Mutex<Tokens>,
    limits: Mutex<Limits>,
}

impl ApiGateway {
    pub fn new(settings: Settings) -> Self {
        let limits = Limits::new(settings.requests_per_second, settings.burst, settings.under_way_max);
        let tokens = Tokens::new(settings);
        Self { shared: Arc::new(Shared { tokens: Mutex::new(tokens), limits: Mutex::new(limits) }) }
    }
}

impl Edge for ApiGateway {
    fn name(&self) -> &'static str {
        "api-gateway"
    }

    fn router(&self) -> Router {
        let mut router = Router::new();
        for route in ROUTES {
            let shared = self.shared.clone();
            let handler = move |request: Request<Body>| async move {
                gateway::enter(request, &route.accepts(), |entered| shared.admit(route, entered)).await
            };
            router = router.route(route.path, on(route.method.filter(), handler));
        }
        router.fallback(gateway::no_route).method_not_allowed_fallback(gateway::wrong_method)
    }

    fn reply(&self, sent: &Upstream, outcome: Result<Response<Bytes>, HttpError>) -> Response<Bytes> {
        self.shared.limits().ended(request::header(&sent.request, request::CLIENT).unwrap_or_default());
        match &outcome {
            Ok(response) if routes::is_hidden(sent, response) => {
                let problem = Problem::not_found(sent.request.uri().path());
                gateway::with_request_id(problem.response(), gateway::sent_request_id(sent))
            }
            _ => gateway::pass_back(sent, outcome),
        }
    }

    fn fetched(&self, _: &Upstream, outcome: Result<Response<Bytes>, HttpError>, now: Timestamp) {
        let document = outcome.ok().filter(|response| response.status() == StatusCode::OK);
        self.shared.tokens().fetched(document.map(Response::into_body), now);
    }
}

impl Shared {
    fn admit(&self, route: &Route, entered: Entered) -> Admission {
        let token = bearer(&entered)?;
        let caller = match self.tokens().verify(token, entered.now) {
            Ok(caller) => caller,
            Err(Denied::KeysNeeded) => return Ok(Next::Fetch(key_set())),
            Err(Denied::KeysUnavailable) => return Err(keys_unavailable()),
            Err(Denied::Token(why)) => return Err(unauthorized(why)),
        };
        if let Err(seconds) = self.limits().take(&caller.client, entered.now) {
            return Err(too_many(seconds));
        }
        let upstream = route.forward(&caller, &entered)?;
        if !self.limits().begin(&caller.client) {
            return Err(too_many_under_way());
        }
        Ok(Next::Forward(upstream))
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token of `Authorization: Bearer <token>`.
fn bearer(entered: &Entered) -> Result<&str, Refusal> {
    let credentials =
        gateway::header_text(&entered.parts, "authorization").and_then(|text| text.split_once(' '));
    match credentials {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(unauthorized("a bearer token is required")),
    }
}

fn key_set() -> Upstream {
    let request = Request::get("/.well-known/jwks.json").body(Bytes::new()).expect("a constant request");
    Upstream { party: "identity", request }
}

fn unauthorized(why: &'static str) -> Refusal {
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", why);
    Refusal::from(problem).with(header::WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#)
}

fn keys_unavailable() -> Refusal {
    let why = "the identity provider's keys cannot be had";
    gateway::come_again(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "identity-unavailable", why))
}

fn too_many_under_way() -> Refusal {
    let why = "too many requests of the client wait for an answer";
    gateway::come_again(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-under-way", why))
}

fn too_many(seconds: u64) -> Refusal {
    let problem =
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "the client's rate is used up");
    Refusal::from(problem).with(header::RETRY_AFTER, &seconds.to_string())
}
