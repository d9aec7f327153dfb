//! The bank's requests and answers, as JSON.
//!
//! Instants are RFC 3339 texts, amounts decimal texts in major units. A request that does not read is a 400 and
//! leaves nothing on the books.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use invariants::fact::BankKind;
use model::{Currency, Money, Timestamp, Uetr};
use serde::Deserialize;
use serde_json::{Value, json};

use super::books::{Entry, Order, Payment, Status};
use crate::party::answer;

/// `POST /payments`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PaymentOrder {
    uetr: Uetr,
    debtor: String,
    creditor: String,
    amount: String,
    currency: Currency,
    valid_until: Instant,
}

/// `POST /payouts`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PayoutOrder {
    uetr: Uetr,
    account: String,
    amount: String,
    currency: Currency,
    valid_until: Instant,
}

/// An RFC 3339 text, or milliseconds since the Unix epoch as contracts write them.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Instant {
    Text(Timestamp),
    Millis(i64),
}

/// `POST /deposits`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DepositOrder {
    account: String,
    amount: String,
    #[serde(default)]
    currency: Option<Currency>,
    /// The payer's own, by which a deposit that is sent again is known.
    #[serde(default)]
    reference: Option<String>,
}

/// A deposit as its payer wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposit {
    pub account: String,
    pub amount: Money,
    pub reference: Option<String>,
}

pub fn payment(request: &Request<Bytes>) -> Result<Order, String> {
    let order: PaymentOrder = read(request)?;
    Ok(Order {
        uetr: order.uetr.to_string(),
        debtor: order.debtor,
        creditor: Some(order.creditor),
        amount: amount(&order.amount, order.currency)?,
        valid_until: order.valid_until.timestamp()?,
    })
}

pub fn payout(request: &Request<Bytes>) -> Result<Order, String> {
    let order: PayoutOrder = read(request)?;
    Ok(Order {
        uetr: order.uetr.to_string(),
        debtor: order.account,
        creditor: None,
        amount: amount(&order.amount, order.currency)?,
        valid_until: order.valid_until.timestamp()?,
    })
}

pub fn deposit(request: &Request<Bytes>) -> Result<Deposit, String> {
    let order: DepositOrder = read(request)?;
    let amount = amount(&order.amount, order.currency.unwrap_or(Currency::USD))?;
    Ok(Deposit { account: order.account, amount, reference: order.reference })
}

fn read<'a, T: Deserialize<'a>>(request: &'a Request<Bytes>) -> Result<T, String> {
    serde_json::from_slice(request.body()).map_err(|error| error.to_string())
}

fn amount(text: &str, currency: Currency) -> Result<Money, String> {
    let amount = Money::parse(text, currency).map_err(|error| error.to_string())?;
    if amount.is_positive() { Ok(amount) } else { Err(format!("{amount} is not above zero")) }
}

impl Instant {
    fn timestamp(self) -> Result<Timestamp, String> {
        match self {
            Self::Text(instant) => Ok(instant),
            Self::Millis(millis) => Timestamp::from_millisecond(millis).map_err(|error| error.to_string()),
        }
    }
}

/// Where a payment stands, at a time of the bank's clock.
pub fn standing(payment: &Payment, now: Timestamp) -> Response<Bytes> {
    let (status, reason, reference) = match &payment.status {
        Status::Pending { .. } => ("PDNG", "", ""),
        Status::Executed { reference } => ("ACSC", "", reference.as_str()),
        Status::Refused(reason) => ("RJCT", reason.code(), ""),
    };
    let body = json!({
        "uetr": payment.order.uetr, "status": status, "reason": reason, "reference": reference,
        "bankTime": now.to_string(),
    });
    answer(StatusCode::OK, &body)
}

/// The answer to a payer: executed with the bank's reference, or why not.
pub fn deposited(outcome: Result<&str, &str>, now: Timestamp) -> Response<Bytes> {
    let (code, status) = if outcome.is_ok() { (201, "ACSC") } else { (422, "RJCT") };
    let body = json!({
        "status": status, "reason": outcome.err().unwrap_or(""), "reference": outcome.unwrap_or(""),
        "bankTime": now.to_string(),
    });
    answer(StatusCode::from_u16(code).expect("both are statuses"), &body)
}

pub fn not_found(now: Timestamp) -> Response<Bytes> {
    answer(StatusCode::NOT_FOUND, &json!({ "bankTime": now.to_string() }))
}

pub fn refused(status: StatusCode, why: &str, now: Timestamp) -> Response<Bytes> {
    answer(status, &json!({ "error": why, "bankTime": now.to_string() }))
}

/// At most `limit` lines after the first `from`, and where the next ones begin.
pub fn statement(entries: &[Entry], from: usize, limit: usize, now: Timestamp) -> Response<Bytes> {
    let lines = entries.iter().enumerate().skip(from).take(limit);
    let lines: Vec<Value> = lines.map(|(before, entry)| line(before + 1, entry)).collect();
    let body = json!({ "next": from + lines.len(), "entries": lines, "bankTime": now.to_string() });
    answer(StatusCode::OK, &body)
}

fn line(sequence: usize, entry: &Entry) -> Value {
    let movement = &entry.movement;
    json!({
        "sequence": sequence, "reference": movement.reference, "kind": kind(movement.kind),
        "uetr": movement.uetr, "debtor": movement.debtor, "creditor": movement.creditor,
        "amount": movement.amount, "currency": Currency::USD.code(), "at": entry.at.to_string(),
    })
}

fn kind(kind: BankKind) -> &'static str {
    match kind {
        BankKind::Executed => "payment",
        BankKind::PaidOut => "payout",
        BankKind::Deposited => "deposit",
        BankKind::Refused => "refusal",
    }
}
