//! What is said to the settlement bank, and what its answers mean.
//!
//! | request | answer |
//! |---|---|
//! | `POST /payments {uetr, debtor, creditor, amount, currency, validUntil}` | 2xx `{status, reason, reference}` |
//! | `POST /payouts {uetr, account, amount, currency, validUntil}` | the same |
//! | `GET /payments/{uetr}`, for both | the same, or 404 `{bankTime}` |
//! | `GET /statement?from={lines read}&limit={n}` | 200 `{entries: [{sequence, reference, kind, uetr, creditor, amount, currency}], next}` |
//!
//! `status` is ISO 20022's: ACSC (executed), RJCT (refused), PDNG (pending). `validUntil` is in milliseconds,
//! `bankTime` the same or RFC 3339. An execution is believed at once, a refusal only as the answer to a query:
//! what an order was answered with may be a stale copy.

use std::time::Duration;

use bytes::Bytes;
use host::{Effect, EffectAnswer, EffectCall, EffectStep, StreamId};
use http::{Method, Request, Response, StatusCode};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Command;
use super::statement::Statement;

pub const PARTY: &str = "bank";
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many lines of a statement are read at once; the rest is read right after.
pub const STATEMENT_LINES: usize = 500;
/// ISO 20022 external status reason: the bank's cut-off has passed. Said of what the bank never knew.
pub const EXPIRED: &str = "TM01";

/// The payload of an effect.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// Between two accounts at the bank.
    Payment { stream: String, attempt: u32, debtor: String, creditor: String, terms: Terms },
    /// From an account at the bank to the outside world.
    Payout { stream: String, attempt: u32, account: String, terms: Terms },
    /// The lines after the first `from`.
    Statement { from: u64 },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Terms {
    pub uetr: String,
    pub amount: String,
    pub currency: String,
    pub valid_until_ms: i64,
}

/// What the bank did about an attempt, for good.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Of the payment or withdrawal.
    pub stream: StreamId,
    pub attempt: u32,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Executed { reference: String },
    Refused { reason: String },
}

#[derive(Deserialize)]
struct Standing {
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    reference: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unknown {
    bank_time: Instant,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Instant {
    Millis(i64),
    Text(String),
}

/// Lines are read one by one: of those that cannot be, the rest is no worse.
#[derive(Deserialize)]
struct Lines {
    entries: Vec<serde_json::Value>,
    next: u64,
}

impl Order {
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("orders are plain data, which always serialises").into()
    }

    pub fn of(effect: &Effect) -> Self {
        serde_json::from_slice(&effect.payload).expect("this service wrote the payloads of its effects")
    }

    /// Which attempt of what it is an order for, and its UETR. `None` for a statement.
    fn attempt(&self) -> Option<(&str, u32, &Terms)> {
        match self {
            Self::Payment { stream, attempt, terms, .. } | Self::Payout { stream, attempt, terms, .. } => {
                Some((stream, *attempt, terms))
            }
            Self::Statement { .. } => None,
        }
    }
}

/// The call that an effect means.
pub fn call(effect: &Effect, step: EffectStep) -> EffectCall {
    let order = Order::of(effect);
    let request = match (&order, order.attempt(), step) {
        (_, Some((_, _, terms)), EffectStep::Query) => get(format!("/payments/{}", terms.uetr)),
        (Order::Payment { debtor, creditor, terms, .. }, ..) => {
            let body = json!({
                "uetr": terms.uetr, "debtor": debtor, "creditor": creditor, "amount": terms.amount,
                "currency": terms.currency, "validUntil": terms.valid_until_ms,
            });
            post("/payments", &body)
        }
        (Order::Payout { account, terms, .. }, ..) => {
            let body = json!({
                "uetr": terms.uetr, "account": account, "amount": terms.amount,
                "currency": terms.currency, "validUntil": terms.valid_until_ms,
            });
            post("/payouts", &body)
        }
        (Order::Statement { from }, ..) => get(format!("/statement?from={from}&limit={STATEMENT_LINES}")),
    };
    EffectCall { party: PARTY, request, timeout: TIMEOUT }
}

/// What the response to such a call means.
pub fn answer(effect: &Effect, step: EffectStep, response: &Response<Bytes>) -> EffectAnswer<Command> {
    let order = Order::of(effect);
    let Some((stream, attempt, _)) = order.attempt() else {
        return statement(&order, response);
    };
    let status = response.status();
    if step == EffectStep::Query && status == StatusCode::NOT_FOUND {
        return match serde_json::from_slice(response.body()) {
            Ok(Unknown { bank_time }) => {
                bank_time.read().map_or(EffectAnswer::Again, |at| EffectAnswer::NotFound { at })
            }
            Err(_) => EffectAnswer::Again,
        };
    }
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return EffectAnswer::Again;
    }
    let standing = serde_json::from_slice::<Standing>(response.body()).ok().filter(|_| status.is_success());
    let outcome = match standing {
        Some(Standing { status, reference, .. }) if status == "ACSC" => Outcome::Executed { reference },
        Some(Standing { status, reason, .. }) if status == "RJCT" && step == EffectStep::Query => {
            Outcome::Refused { reason }
        }
        // Pending, refused at first sight, or not understood: the bank is asked what became of it.
        _ => return EffectAnswer::Pending,
    };
    let stream = StreamId::named(stream);
    EffectAnswer::Definite(Command::Answered(Answered { stream, attempt, outcome }))
}

/// The bank has never seen it, and would refuse it now.
pub fn expired(effect: &Effect) -> Option<Command> {
    let order = Order::of(effect);
    let (stream, attempt, _) = order.attempt()?;
    let outcome = Outcome::Refused { reason: EXPIRED.to_owned() };
    Some(Command::Answered(Answered { stream: StreamId::named(stream), attempt, outcome }))
}

fn statement(order: &Order, response: &Response<Bytes>) -> EffectAnswer<Command> {
    let Order::Statement { from } = order else {
        panic!("an order without attempt is one for a statement: {order:?}");
    };
    match serde_json::from_slice::<Lines>(response.body()) {
        Ok(Lines { entries, next }) if response.status().is_success() => {
            let lines = entries.into_iter().filter_map(|line| serde_json::from_value(line).ok());
            let lines = lines.take(STATEMENT_LINES).collect();
            EffectAnswer::Definite(Command::ReadStatement(Statement { from: *from, lines, next }))
        }
        _ => EffectAnswer::Again,
    }
}

impl Instant {
    fn read(self) -> Option<Timestamp> {
        match self {
            Self::Millis(millis) => Timestamp::from_millisecond(millis).ok(),
            Self::Text(instant) => instant.parse().ok(),
        }
    }
}

fn get(path: String) -> Request<Bytes> {
    request(Method::GET, &path, Bytes::new())
}

fn post(path: &str, body: &serde_json::Value) -> Request<Bytes> {
    request(Method::POST, path, body.to_string().into())
}

fn request(method: Method, path: &str, body: Bytes) -> Request<Bytes> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    request.body(body).expect("a constant path with a UETR or a number is a URI")
}
