//! The bank's words changed: answers, statement lines, and notices that it should not have sent.
//!
//! Nothing here touches its books.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use invariants::Fact;
use invariants::fact::{BankKind, BankMovement};
use model::{AccountId, Currency, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::troubled::Troubled;
use super::{Contradiction, Mismatch, Trouble};
use crate::bank::{NOTICES, PAYMENT, Reason};
use crate::draw::Draw;
use crate::party::{Party, Post, answer, later};

/// `status` of an answer; empty where it has none.
pub fn status(response: &Response<Bytes>) -> String {
    read(response)["status"].as_str().unwrap_or_default().to_owned()
}

/// "Refused", where the answer says "executed".
pub fn refused(response: &Response<Bytes>) -> Option<Response<Bytes>> {
    instead(response, "ACSC", "RJCT", Reason::NotSpecified.code(), "")
}

/// "Executed", where the answer says "refused".
pub fn executed(response: &Response<Bytes>) -> Option<Response<Bytes>> {
    instead(response, "RJCT", "ACSC", "", "X000000000")
}

/// "Not found", where the answer knows it.
pub fn unknown(response: &Response<Bytes>, now: Timestamp) -> Option<Response<Bytes>> {
    let is_known = response.status() == StatusCode::OK && !status(response).is_empty();
    is_known.then(|| answer(StatusCode::NOT_FOUND, &json!({ "bankTime": now.to_string() })))
}

fn instead(
    response: &Response<Bytes>,
    said: &str,
    status: &str,
    reason: &str,
    reference: &str,
) -> Option<Response<Bytes>> {
    let mut body = read(response);
    if body["status"] != said {
        return None;
    }
    body["status"] = status.into();
    body["reason"] = reason.into();
    body["reference"] = reference.into();
    Some(answer(response.status(), &body))
}

/// A statement with one wrong line, of those that were never wrong before; `None` where there is no such line.
pub fn misstated(
    response: &Response<Bytes>,
    how: Mismatch,
    before: &mut BTreeSet<String>,
    draw: &mut dyn Draw,
) -> Option<Response<Bytes>> {
    let mut body = read(response);
    let lines = body["entries"].as_array_mut()?;
    let reference = |line: &Value| line["reference"].as_str().unwrap_or_default().to_owned();
    let right: Vec<usize> =
        (0..lines.len()).filter(|line| !before.contains(&reference(&lines[*line]))).collect();
    if right.is_empty() {
        return None;
    }
    let line = *crate::draw::pick(draw, &right);
    before.insert(reference(&lines[line]));
    match how {
        Mismatch::Missing => drop(lines.remove(line)),
        Mismatch::Doubled => lines.insert(line, lines[line].clone()),
        Mismatch::Amount => {
            let amount = lines[line]["amount"].as_str().and_then(|amount| amount.parse::<Decimal>().ok());
            let amount = amount.expect("the bank writes amounts as decimals") + Decimal::new(1, 2);
            lines[line]["amount"] = amount.to_string().into();
        }
    }
    Some(answer(response.status(), &body))
}

impl<P: Party> Troubled<P> {
    /// What the bank has just executed or refused may be followed by notices.
    pub(super) fn after_bookings(&mut self, now: Timestamp, facts: &[Fact]) {
        if self.told_twice.is_empty() && self.troubles.is_calm() {
            return;
        }
        for fact in facts {
            let Fact::Bank(moved) = fact else { continue };
            if let Some(after) = self.told_twice.remove(&moved.uetr) {
                self.tell_credit(later(now, after), moved);
            }
            for (id, trouble) in self.troubles.hits(&mut self.draw, |trouble| trouble.on_booking(moved)) {
                let Trouble::Contradict { how, .. } = trouble else { continue };
                self.troubles.meet(id);
                match how {
                    Contradiction::RefusalAfterExecution { after } => {
                        let at = self.drawn_after(now, after);
                        self.send_extra(at, refusal_notice(moved));
                    }
                    Contradiction::CreditAfterRefusal { after } => {
                        let at = self.drawn_after(now, after);
                        self.send_extra(at, credit_notice(moved, &moved.uetr));
                    }
                    _ => {}
                }
            }
        }
    }

    /// A request that the rail delivers again at `at`: the credit that it brought, or will bring, is told by a
    /// notice of that time.
    pub(super) fn tell_twice(
        &mut self,
        now: Timestamp,
        at: Timestamp,
        request: &Request<Bytes>,
        facts: &[Fact],
    ) {
        let booked = facts.iter().find_map(|fact| match fact {
            Fact::Bank(moved) => Some(moved),
            _ => None,
        });
        match booked {
            Some(moved) => self.tell_credit(at, moved),
            None => {
                let uetr = serde_json::from_slice::<Value>(request.body()).unwrap_or_default();
                if let Some(uetr) = uetr["uetr"].as_str() {
                    let after = at.duration_since(now).unsigned_abs();
                    self.told_twice.insert(uetr.to_owned(), after);
                }
            }
        }
    }

    fn tell_credit(&mut self, at: Timestamp, moved: &BankMovement) {
        let is_credit = matches!(moved.kind, BankKind::Executed | BankKind::Deposited);
        if is_credit && moved.creditor != AccountId::world().as_str() {
            self.send_extra(at, credit_notice(moved, &moved.reference));
        }
    }
}

/// As the bank writes them (camt.054), with the UETR of the payment that brought the credit.
fn credit_notice(moved: &BankMovement, reference: &str) -> Post {
    let mut body = json!({
        "reference": reference, "account": moved.creditor, "amount": moved.amount,
        "currency": Currency::USD.code(),
    });
    if !moved.uetr.is_empty() {
        body["uetr"] = moved.uetr.as_str().into();
    }
    Post::json(PAYMENT, NOTICES, format!("{reference}.credit"), &body)
}

/// The status report of a payment (pacs.002), unasked.
fn refusal_notice(moved: &BankMovement) -> Post {
    let body = json!({
        "reference": moved.reference, "account": moved.creditor, "amount": moved.amount,
        "currency": Currency::USD.code(), "uetr": moved.uetr, "status": "RJCT",
        "reason": Reason::NotSpecified.code(),
    });
    Post::json(PAYMENT, NOTICES, format!("{}.refusal", moved.reference), &body)
}

fn read(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap_or_default()
}
