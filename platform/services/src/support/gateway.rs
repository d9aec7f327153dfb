//! What both gateways do alike: take a request apart, answer with a problem, pass on what an upstream said.

use axum::body::Body;
use bytes::Bytes;
use host::edge::{Next, Upstream, go_on};
use host::ports::HttpError;
use host::{Arrived, Problem, RequestNumber};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use model::Timestamp;

use super::body::{BODY_LEN_MAX, too_large};
pub use super::gate::Refusal;
use super::gate::{self, Accepts};
use super::request::{IDEMPOTENCY_KEY, REQUEST_ID, is_key};

/// When to come again after an upstream could not be reached, in seconds.
const RETRY_AFTER_SECONDS: &str = "1";
/// Headers of an upstream's answer that mean something to a client.
const PASSED_BACK: [HeaderName; 3] =
    [header::CONTENT_TYPE, header::RETRY_AFTER, HeaderName::from_static("version")];

/// A request with its body read.
pub struct Entered {
    pub parts: Parts,
    pub body: Bytes,
    /// The node's clock at its arrival.
    pub now: Timestamp,
    pub request_id: String,
}

/// What admission says of a request.
pub type Admission = Result<Next, Refusal>;

/// Reads a request, admits it, and makes the response that the host understands.
pub async fn enter(
    request: Request<Body>,
    accepts: &Accepts,
    admit: impl FnOnce(Entered) -> Admission,
) -> axum::response::Response {
    take(request, |entered| {
        gate::pass_route(&entered.parts, &entered.body, accepts)?;
        admit(entered)
    })
    .await
}

/// The same, of a request that no route takes.
async fn take(request: Request<Body>, admit: impl FnOnce(Entered) -> Admission) -> axum::response::Response {
    let (parts, body) = request.into_parts();
    let request_id = request_id(&parts);
    let admission = match gate::pass(&parts) {
        Err(refusal) => Err(refusal),
        // Ready at once: bodies are in memory before they are here.
        Ok(()) => match axum::body::to_bytes(body, BODY_LEN_MAX).await {
            Ok(body) => {
                let Arrived(now) = *extension(&parts);
                admit(Entered { parts, body, now, request_id: request_id.clone() })
            }
            Err(_) => Err(too_large().into()),
        },
    };
    match admission {
        Ok(next) => go_on(next),
        Err(refusal) => with_request_id(refusal.response(), &request_id).map(Body::from),
    }
}

/// The fallback of every gateway: no such path.
pub async fn no_route(request: Request<Body>) -> axum::response::Response {
    let path = request.uri().path().to_owned();
    take(request, |_| Err(Problem::not_found(path).into())).await
}

/// The path is there, but not for this method. The router says in `Allow` which ones it has.
pub async fn wrong_method(request: Request<Body>) -> axum::response::Response {
    let detail = format!("{:.16} {}", request.method().as_str(), request.uri().path());
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail);
    take(request, |_| Err(problem.into())).await
}

/// The upstream's answer for the client, or the problem that there is none.
pub fn pass_back(sent: &Upstream, outcome: Result<Response<Bytes>, HttpError>) -> Response<Bytes> {
    let request_id = sent_request_id(sent);
    match outcome {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            let mut answer = Response::new(body);
            *answer.status_mut() = parts.status;
            for name in PASSED_BACK {
                answer.headers_mut().extend(parts.headers.get(&name).map(|value| (name, value.clone())));
            }
            with_request_id(answer, request_id)
        }
        Err(error) => with_request_id(come_again(no_answer(sent, error)).response(), request_id),
    }
}

/// What is known when an upstream does not answer. Only a refused connection proves that nothing was done.
pub fn no_answer(sent: &Upstream, error: HttpError) -> Problem {
    let (status, code, detail) = match error {
        HttpError::Refused => (StatusCode::SERVICE_UNAVAILABLE, "upstream-unavailable", "nothing was done"),
        HttpError::Reset => (StatusCode::SERVICE_UNAVAILABLE, "upstream-reset", "it may have been done"),
        HttpError::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "upstream-timed-out", "it may have been done"),
    };
    let detail = format!("{}: {detail}; repeat it with the same Idempotency-Key", sent.party);
    Problem::new(status, code, detail)
}

/// The same request may be admitted later.
pub fn come_again(refusal: impl Into<Refusal>) -> Refusal {
    refusal.into().with(header::RETRY_AFTER, RETRY_AFTER_SECONDS)
}

/// The headers of a forwarded command or read.
pub fn forwarded_headers(client: &str, request_id: &str, idempotency_key: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: &str| {
        let value = HeaderValue::from_str(value).expect("clients, ids and keys are visible ASCII");
        headers.insert(HeaderName::from_static(name), value);
    };
    set(super::request::CLIENT, client);
    set(REQUEST_ID, request_id);
    if let Some(key) = idempotency_key {
        set(IDEMPOTENCY_KEY, key);
        set("content-type", "application/json");
    }
    headers
}

/// A header of an entered request as text, where it is there and readable.
pub fn header_text<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name)?.to_str().ok()
}

/// The idempotency key that a command carries.
///
/// # Errors
/// 400.
pub fn idempotency_key(parts: &Parts) -> Result<&str, Problem> {
    header_text(parts, IDEMPOTENCY_KEY).filter(|key| is_key(key)).ok_or_else(|| {
        Problem::bad_request(
            "idempotency-key-required",
            "a POST has an Idempotency-Key of 1 to 128 characters",
        )
    })
}

/// The name that a forwarded request carries.
pub fn sent_request_id(sent: &Upstream) -> &str {
    super::request::header(&sent.request, REQUEST_ID).unwrap_or_default()
}

pub fn with_request_id(mut response: Response<Bytes>, request_id: &str) -> Response<Bytes> {
    let value = HeaderValue::from_str(request_id).expect("request ids are visible ASCII");
    response.headers_mut().insert(HeaderName::from_static(REQUEST_ID), value);
    response
}

/// The caller's name for the request, or the instance and its number.
pub fn request_id(parts: &Parts) -> String {
    match header_text(parts, REQUEST_ID).filter(|id| is_key(id)) {
        Some(given) => given.to_owned(),
        None => {
            let number: &RequestNumber = extension(parts);
            format!("{}-{}", number.instance.replace(|c: char| !c.is_ascii_graphic(), "-"), number.number)
        }
    }
}

fn extension<T: Send + Sync + 'static>(parts: &Parts) -> &T {
    parts.extensions.get().expect("the host sets arrival and number of every request")
}
