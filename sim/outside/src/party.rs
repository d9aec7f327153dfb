//! What the simulator needs to know of a party outside the platform in order to host it.
//!
//! A host keeps the party itself for the whole run: its books survive the death of its node. It hands over each
//! request, sleeps until [`Party::next_due`] and then asks for what is due. How a party fails (late, lost,
//! doubled or contradictory answers) is a decorator that implements [`Party`] around another one and changes
//! [`Handled`] and [`Due`]; the parties themselves behave well.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use invariants::Fact;
use model::Timestamp;
use serde::Serialize;
use serde_json::json;

/// A party outside the platform.
pub trait Party {
    /// Takes a request at true time `now` and decides on its reply.
    fn handle(&mut self, now: Timestamp, request: &Request<Bytes>) -> Handled;

    /// When it next does something of its own accord.
    fn next_due(&self) -> Option<Timestamp> {
        None
    }

    /// What it does of its own accord up to `now`.
    fn due(&mut self, _now: Timestamp) -> Due {
        Due::default()
    }

    /// A post was answered. Silence needs no call: the post comes again.
    fn answered(&mut self, _now: Timestamp, _key: &str, _status: StatusCode) {}

    /// Its own people change what it does from now on. Not for parties that know nothing of such a measure.
    fn adopt(&mut self, _now: Timestamp, _measure: Measure) {}
}

/// What a party's own people may decide, and what its books then follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The venue ends trade dates so long before the close of their sessions; `None`: when it usually does.
    EndBeforeClose(Option<Duration>),
    /// The identity provider signs with a new key, and publishes those that it had for so long still.
    RotateKeys { old_for: Duration },
}

/// A party that others look at, too.
impl<P: Party + ?Sized> Party for Rc<RefCell<P>> {
    fn handle(&mut self, now: Timestamp, request: &Request<Bytes>) -> Handled {
        self.borrow_mut().handle(now, request)
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.borrow().next_due()
    }

    fn due(&mut self, now: Timestamp) -> Due {
        self.borrow_mut().due(now)
    }

    fn answered(&mut self, now: Timestamp, key: &str, status: StatusCode) {
        self.borrow_mut().answered(now, key, status);
    }

    fn adopt(&mut self, now: Timestamp, measure: Measure) {
        self.borrow_mut().adopt(now, measure);
    }
}

/// What came of a request.
#[derive(Debug)]
pub struct Handled {
    pub reply: Reply,
    /// To be recorded at once, before the reply leaves.
    pub facts: Vec<Fact>,
}

/// When an answer leaves, if it does.
#[derive(Debug)]
pub enum Reply {
    Now(Response<Bytes>),
    After(Duration, Response<Bytes>),
    /// The caller sees its own time-out.
    Never,
}

/// What a party does of its own accord.
#[derive(Debug, Default)]
pub struct Due {
    /// In this order; each repeated by the party until it is told of a 2xx.
    pub posts: Vec<Post>,
    pub facts: Vec<Fact>,
}

/// A request to the platform.
#[derive(Clone, Debug)]
pub struct Post {
    /// `payment`, `market-integration-gateway`.
    pub to: &'static str,
    /// Its idempotency key, by which [`Party::answered`] knows it again.
    pub key: String,
    pub request: Request<Bytes>,
}

impl Post {
    pub(crate) fn json(to: &'static str, path: &str, key: String, body: &impl Serialize) -> Self {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, JSON)
            .header(IDEMPOTENCY_KEY, &key)
            .body(encode(body))
            .expect("paths and keys of parties are plain ASCII");
        Self { to, key, request }
    }
}

impl Handled {
    pub(crate) fn answer(response: Response<Bytes>) -> Self {
        Self { reply: Reply::Now(response), facts: Vec::new() }
    }

    /// The answer, of a party that behaves well, whenever it leaves.
    pub fn response(&self) -> Option<&Response<Bytes>> {
        match &self.reply {
            Reply::Now(response) | Reply::After(_, response) => Some(response),
            Reply::Never => None,
        }
    }
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

pub(crate) fn encode(body: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(body).expect("bodies are plain data, which always serialises"))
}

/// A JSON answer.
pub(crate) fn answer(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, JSON)
        .body(encode(body))
        .expect("a status and a constant header make a response")
}

/// A refusal of the request itself.
pub(crate) fn refusal(status: StatusCode, why: &str) -> Response<Bytes> {
    answer(status, &json!({ "error": why }))
}

/// Method and path segments, to match on.
pub(crate) fn route(request: &Request<Bytes>) -> (&str, Vec<&str>) {
    let segments = request.uri().path().split('/').filter(|segment| !segment.is_empty()).collect();
    (request.method().as_str(), segments)
}

pub(crate) fn no_route() -> Response<Bytes> {
    refusal(StatusCode::NOT_FOUND, "no such path")
}

pub(crate) fn header_text<'a>(request: &'a Request<Bytes>, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

/// The instant so much later.
pub(crate) fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).expect("runs end long before the last timestamp")
}
