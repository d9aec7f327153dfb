//! Calls to other parties, done wrong: what is sent, and what an answer is taken for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use host::Ports;
use host::ports::http::{Http, HttpError, Incoming};
use http::{HeaderValue, Method, Request, Response};
use serde_json::{Value, json};

use crate::sabotage::Odds;

type Answer = Result<Response<Bytes>, HttpError>;

const BANK: &str = "bank";
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What is wrong with calls: each part passes on what it is given, unless it is overridden.
pub trait Caller {
    fn asks(&self, _party: &str, request: Request<Bytes>) -> Request<Bytes> {
        request
    }

    fn hears(&self, _party: &str, _asked: &Request<Bytes>, answer: Answer) -> Answer {
        answer
    }

    /// What is asked right after an answer, whatever it was. Nobody hears the answer to that.
    fn repeats(&self, _party: &str, _asked: &Request<Bytes>) -> Option<Request<Bytes>> {
        None
    }
}

/// The ports, with calls made by `caller`.
pub fn through(ports: Ports, caller: impl Caller + 'static) -> Ports {
    let http = Rc::new(Calls { inner: ports.http, caller });
    Ports { http, ..ports }
}

struct Calls<C> {
    inner: Rc<dyn Http>,
    caller: C,
}

#[async_trait(?Send)]
impl<C: Caller> Http for Calls<C> {
    async fn call(&self, party: &str, request: Request<Bytes>, timeout: Duration) -> Answer {
        let asked = self.caller.asks(party, request);
        let answer = self.inner.call(party, asked.clone(), timeout).await;
        if let Some(again) = self.caller.repeats(party, &asked) {
            let _unheard = self.inner.call(party, again, timeout).await;
        }
        self.caller.hears(party, &asked, answer)
    }

    async fn accept(&self) -> Incoming {
        self.inner.accept().await
    }
}

fn json_of(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

/// The answer with another body.
fn rewritten(response: Response<Bytes>, body: &Value) -> Response<Bytes> {
    response.map(|_| Bytes::from(body.to_string()))
}

/// Takes whatever the bank answers to an order for its execution.
pub struct AnyAnswerIsPaid;

impl Caller for AnyAnswerIsPaid {
    fn hears(&self, party: &str, asked: &Request<Bytes>, answer: Answer) -> Answer {
        let response = answer?;
        let is_order = party == BANK && asked.method() == Method::POST && response.status().is_success();
        if !is_order {
            return Ok(response);
        }
        let mut body = json_of(response.body());
        body["status"] = json!("ACSC");
        Ok(rewritten(response, &body))
    }
}

/// Another UETR of the same form.
fn other_uetr(uetr: &str) -> String {
    let digit = uetr.chars().next().and_then(|digit| digit.to_digit(16)).unwrap_or(0);
    let other = char::from_digit((digit + 1) % 16, 16).expect("below sixteen");
    std::iter::once(other).chain(uetr.chars().skip(1)).collect()
}

/// An order at the bank.
fn order_request(path: &http::Uri, order: &Value) -> Request<Bytes> {
    let request = Request::post(path.clone()).header("content-type", "application/json");
    request.body(Bytes::from(order.to_string())).expect("a path that was used before")
}

/// Gives the bank each order under two UETRs, to be sure.
pub struct OrderedTwice(pub Odds);

impl Caller for OrderedTwice {
    fn repeats(&self, party: &str, asked: &Request<Bytes>) -> Option<Request<Bytes>> {
        if party != BANK {
            return None;
        }
        let mut order = json_of(asked.body());
        let uetr = order["uetr"].as_str()?.to_owned();
        order["uetr"] = json!(other_uetr(&uetr));
        self.0.strike(&uetr).then(|| order_request(asked.uri(), &order))
    }
}

/// Does not ask the bank what became of an order without an answer, but orders again under a new UETR.
#[derive(Default)]
pub struct UetrPerTry {
    /// Orders whose answer never came, by UETR.
    orders: RefCell<BTreeMap<String, (http::Uri, Value)>>,
}

impl UetrPerTry {
    /// The order under a UETR that was not used for it before.
    fn again(&self, uetr: &str) -> Option<Request<Bytes>> {
        let mut orders = self.orders.borrow_mut();
        let (path, order) = orders.get_mut(uetr)?;
        let next = other_uetr(order["uetr"].as_str()?);
        order["uetr"] = json!(next);
        Some(order_request(path, order))
    }
}

impl Caller for UetrPerTry {
    fn asks(&self, party: &str, request: Request<Bytes>) -> Request<Bytes> {
        if party != BANK {
            return request;
        }
        let body = json_of(request.body());
        let uetr = body["uetr"].as_str().or_else(|| request.uri().path().strip_prefix("/payments/"));
        uetr.and_then(|uetr| self.again(uetr)).unwrap_or(request)
    }

    fn hears(&self, party: &str, asked: &Request<Bytes>, answer: Answer) -> Answer {
        let order = json_of(asked.body());
        if let (BANK, Err(_), Some(uetr)) = (party, &answer, order["uetr"].as_str()) {
            let uetr = uetr.to_owned();
            self.orders.borrow_mut().entry(uetr).or_insert_with(|| (asked.uri().clone(), order));
        }
        answer
    }
}

/// Takes a deposit on the bank's statement for another one than the notice told of.
pub struct LinesAreNews;

impl Caller for LinesAreNews {
    fn hears(&self, party: &str, asked: &Request<Bytes>, answer: Answer) -> Answer {
        let response = answer?;
        if party != BANK || !asked.uri().path().starts_with("/statement") {
            return Ok(response);
        }
        let mut body = json_of(response.body());
        for line in body["entries"].as_array_mut().into_iter().flatten() {
            if let Some(reference) = line["reference"].as_str() {
                line["reference"] = json!(format!("{reference}-line"));
            }
        }
        Ok(rewritten(response, &body))
    }
}

/// Gives each try of a request a key of its own.
#[derive(Default)]
pub struct KeyPerTry {
    tries: Cell<u64>,
}

impl Caller for KeyPerTry {
    fn asks(&self, _: &str, mut request: Request<Bytes>) -> Request<Bytes> {
        self.tries.set(self.tries.get() + 1);
        rekey(&mut request, |key| format!("{key}-{}", self.tries.get()));
        request
    }
}

fn rekey(request: &mut Request<Bytes>, change: impl FnOnce(&str) -> String) {
    let key = request.headers().get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok()).map(change);
    if let Some(key) = key {
        let key = HeaderValue::from_str(&key).expect("a part of a header, or one with a number");
        request.headers_mut().insert(IDEMPOTENCY_KEY, key);
    }
}

/// Keeps the end of a key only, so that different requests share one.
pub struct KeyCut;

/// Characters that are kept.
const KEPT: usize = 1;

impl Caller for KeyCut {
    fn asks(&self, _: &str, mut request: Request<Bytes>) -> Request<Bytes> {
        rekey(&mut request, |key| key[key.len().saturating_sub(KEPT)..].to_owned());
        request
    }
}
