//! Payments and withdrawals: each an order to the bank with attempts, of which at most one is executed.
//!
//! A new attempt, and with it a new UETR, is made only after a definite refusal of the one before. Answers
//! that contradict a known outcome open a reconciliation break and are never a transition. What the bank tells of
//! its own accord counts where it agrees with the order: an execution is believed, a refusal (pacs.002) is noted
//! and waits for the answer to a query, which alone is definite.

use std::collections::BTreeMap;

use contracts::events::payment_stored::Event;
use contracts::events::{
    PaymentAnswered, PaymentEvent, PaymentInstruction, PaymentOutcome, WithdrawalRequested,
};
use host::ports::store::{Column, Row, Table, Value};
use host::{Decision, NewEffect, Problem, Reject, StreamId, StreamRef, View};
use http::StatusCode;
use model::{AccountId, Money, PaymentLegId, Timestamp, hash_id, uetr};
use serde_json::json;

use super::bank::{Answered, Order, Outcome, Terms};
use super::{Known, Payment, State, breaks, stream};
use crate::support::contract;

/// Every UETR that the bank was given: whose attempt it is, and what is known of it.
pub static PAYMENTS: Table = Table {
    name: "payments",
    columns: &[
        Column::text("uetr"),
        Column::text("stream"),
        Column::int("attempt"),
        Column::text("status"),
        Column::text("amount"),
        Column::text("currency"),
    ],
    key: 1,
    serial: false,
    indexes: &[],
};
const UNDER_WAY: &str = "UNDER_WAY";
const EXECUTED: &str = "EXECUTED";
const REFUSED: &str = "REFUSED";

/// The state of `payment/<leg>` or `withdrawal/<id>`.
#[derive(Clone, Debug)]
pub struct Payable {
    terms: PaymentInstruction,
    /// By attempt: whether it was executed.
    outcomes: BTreeMap<u32, bool>,
    /// Attempts of which a notice has told that they were refused, and why.
    told_refused: BTreeMap<u32, String>,
}

/// A client's request to be paid out.
#[derive(Clone, Debug)]
pub struct Withdrawal {
    pub client: String,
    pub idempotency_key: String,
    pub account: AccountId,
    pub amount: Money,
}

impl Withdrawal {
    /// The same request again has the same id.
    pub fn id(&self) -> String {
        hash_id("withdrawal", &[&self.client, &self.idempotency_key], 0).to_string()
    }
}

impl Payable {
    pub fn instructed(terms: &PaymentInstruction) -> Self {
        Self { terms: terms.clone(), outcomes: BTreeMap::new(), told_refused: BTreeMap::new() }
    }

    /// A withdrawal is a payment to the outside world in a single attempt.
    pub fn withdrawal(requested: &WithdrawalRequested) -> Self {
        Self::instructed(&PaymentInstruction {
            leg_id: requested.withdrawal_id.clone(),
            debtor: requested.account_id.clone(),
            creditor: AccountId::world().to_string(),
            amount: requested.amount.clone(),
            currency: requested.currency.clone(),
            attempt: 1,
            ..PaymentInstruction::default()
        })
    }

    /// The next attempt.
    pub fn instruct(&mut self, terms: &PaymentInstruction) {
        self.terms = terms.clone();
    }

    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Confirmed(answered) | Event::WithdrawalPaid(answered) => {
                self.outcomes.insert(answered.attempt, true);
            }
            Event::Refused(answered) | Event::WithdrawalRefused(answered) => {
                self.outcomes.insert(answered.attempt, false);
            }
            Event::RefusalTold(answered) => {
                self.told_refused.insert(answered.attempt, answered.reason.clone());
            }
            other => panic!("not an event of a payment: {other:?}"),
        }
    }
}

/// The streams that an instruction is decided by. The CCP's account at the bank is a setting.
pub fn streams(leg: &str, parties: [&str; 2]) -> Vec<StreamRef> {
    let parties = parties.into_iter().filter(|account| !is_ccp(account));
    let parties = parties.map(|account| StreamRef::read("account", account));
    std::iter::once(StreamRef::write("payment", leg)).chain(parties).collect()
}

/// In what a telling differs from the order that its UETR names.
pub fn differs(payment: &Row, amount: Money) -> Option<String> {
    let (ordered, currency) = (payment[4].as_text(), payment[5].as_text());
    let same = ordered == contract::amount_text(amount) && currency == amount.currency().code();
    (!same).then(|| format!("an order of {ordered} {currency}"))
}

/// The bank tells by itself that a payment of ours was executed.
pub fn confirm(decision: Decision<Event>, payment: &Row, now: Timestamp) -> Decision<Event> {
    if payment[3].as_text() == EXECUTED {
        return decision;
    }
    decision.arm_no_later(format!("executed/{}/{}", payment[2].as_int(), payment[1].as_text()), now)
}

/// The bank tells by itself that a payment of ours was refused.
pub fn refusal_told(
    decision: Decision<Event>,
    payment: &Row,
    reason: &str,
    now: Timestamp,
) -> Decision<Event> {
    if payment[3].as_text() == REFUSED {
        return decision;
    }
    let (stream, attempt) = (payment[1].as_text(), payment[2].as_int());
    decision.arm_no_later(format!("refused/{attempt}/{reason}/{stream}"), now)
}

impl Payment {
    pub(super) fn instruct(&self, terms: &PaymentInstruction, view: &View<'_, State>) -> Decision<Event> {
        let stream = stream::payment(&terms.leg_id);
        if let Known::Payable(payable) = &view.state(&stream).known {
            let last = payable.terms.attempt;
            if terms.attempt <= last {
                return Decision::none();
            }
            if payable.outcomes.get(&last) != Some(&false) {
                let subject = format!("attempt {} instructed", terms.attempt);
                let what = (subject, format!("attempt {last} is not refused"));
                return breaks::open(Decision::none(), &stream, what, view);
            }
        }
        let uetr = uetr_of(&terms.leg_id, terms.attempt);
        let row = row(&uetr, &stream, terms, UNDER_WAY);
        let instructed = Decision::none().event(stream, Event::Instructed(terms.clone())).put(&PAYMENTS, row);
        self.send(instructed, terms, view)
    }

    /// What was instructed before both accounts at the bank were known.
    pub(super) fn send_late(&self, leg: &str, view: &View<'_, State>) -> Decision<Event> {
        match &view.state(&stream::payment(leg)).known {
            Known::Payable(payable) if !payable.outcomes.contains_key(&payable.terms.attempt) => {
                self.send(Decision::none(), &payable.terms, view)
            }
            _ => Decision::none(),
        }
    }

    fn send(
        &self,
        decision: Decision<Event>,
        terms: &PaymentInstruction,
        view: &View<'_, State>,
    ) -> Decision<Event> {
        let PaymentInstruction { leg_id, debtor, creditor, attempt, .. } = terms;
        let accounts = (self.bank_account(debtor, view), self.bank_account(creditor, view));
        let (Some(debtor), Some(creditor)) = accounts else {
            let timer = format!("send/{debtor}/{creditor}/{leg_id}");
            return decision.arm_no_later(timer, view.database_time + self.reference_retry_after);
        };
        let order = Order::Payment {
            stream: stream::payment(leg_id).to_string(),
            attempt: *attempt,
            debtor,
            creditor,
            terms: Terms {
                uetr: uetr_of(leg_id, *attempt),
                amount: terms.amount.clone(),
                currency: terms.currency.clone(),
                valid_until_ms: terms.valid_until_ms,
            },
        };
        decision.effect(NewEffect {
            id: format!("{leg_id}/{attempt}"),
            valid_until: Some(contract::instant(terms.valid_until_ms)),
            payload: order.encode(),
        })
    }

    pub(super) fn answered(&self, answered: &Answered, view: &View<'_, State>) -> Decision<Event> {
        let Answered { stream, attempt, outcome } = answered;
        let Known::Payable(payable) = &view.state(stream).known else {
            return Decision::none();
        };
        let executed = matches!(outcome, Outcome::Executed { .. });
        match payable.outcomes.get(attempt) {
            Some(known) if *known == executed => Decision::none(),
            None if *attempt == payable.terms.attempt => finish(stream, payable, outcome, view),
            known => {
                let said = if executed { "executed" } else { "refused" };
                let what = (format!("attempt {attempt} {said}"), as_known(known).to_owned());
                breaks::open(Decision::none(), stream, what, view)
            }
        }
    }

    /// A notice has told of a refusal.
    pub(super) fn hear_refusal(
        &self,
        stream: &StreamId,
        attempt: u32,
        reason: &str,
        view: &View<'_, State>,
    ) -> Decision<Event> {
        let Known::Payable(payable) = &view.state(stream).known else {
            return Decision::none();
        };
        match payable.outcomes.get(&attempt) {
            Some(false) => Decision::none(),
            None if attempt == payable.terms.attempt => {
                if payable.told_refused.contains_key(&attempt) {
                    return Decision::none();
                }
                let uetr = uetr_of(&payable.terms.leg_id, attempt);
                let told = PaymentAnswered { attempt, uetr, reason: reason.to_owned() };
                Decision::none().event(stream.clone(), Event::RefusalTold(told))
            }
            known => {
                let what =
                    (format!("attempt {attempt} refused by notice, {reason}"), as_known(known).to_owned());
                breaks::open(Decision::none(), stream, what, view)
            }
        }
    }

    pub(super) fn withdraw(
        &self,
        withdrawal: &Withdrawal,
        view: &View<'_, State>,
    ) -> Result<Decision<Event>, Reject<Event>> {
        let id = withdrawal.id();
        let account = withdrawal.account.to_string();
        let Some(bank_account) = self.bank_account(&account, view) else {
            let unknown = format!("account {account} is not known");
            return Err(Decision::none().reject(Problem::new(
                StatusCode::NOT_FOUND,
                "unknown-account",
                unknown,
            )));
        };
        let stream = stream::withdrawal(&id);
        let answer = json!({ "withdrawalId": id, "status": "REQUESTED" });
        if !matches!(view.state(&stream).known, Known::Nothing) {
            return Ok(Decision::none().answer(202, answer));
        }
        let requested = WithdrawalRequested {
            withdrawal_id: id.clone(),
            account_id: account.clone(),
            amount: contract::amount_text(withdrawal.amount),
            currency: withdrawal.amount.currency().code().to_owned(),
            uetr: uetr_of(&id, 1),
        };
        let payable = Payable::withdrawal(&requested);
        let message = told(&payable, 1, PaymentOutcome::WithdrawalRequested, &requested.uetr);
        let effect = self.payout(&requested, bank_account, view.database_time);
        let row = row(&requested.uetr, &stream, &payable.terms, UNDER_WAY);
        Ok(Decision::none()
            .event(stream.clone(), Event::WithdrawalRequested(requested))
            .publish(stream, account, "", message)
            .put(&PAYMENTS, row)
            .effect(effect)
            .answer(202, answer))
    }

    fn payout(&self, requested: &WithdrawalRequested, account: String, now: Timestamp) -> NewEffect {
        let valid_until = now + self.withdrawal_valid_for;
        let stream = stream::withdrawal(&requested.withdrawal_id).to_string();
        let terms = Terms {
            uetr: requested.uetr.clone(),
            amount: requested.amount.clone(),
            currency: requested.currency.clone(),
            valid_until_ms: contract::millis(valid_until),
        };
        let payload = Order::Payout { stream: stream.clone(), attempt: 1, account, terms }.encode();
        NewEffect { id: stream, valid_until: Some(valid_until), payload }
    }

    /// The account at the bank, where it is known.
    fn bank_account(&self, account: &str, view: &View<'_, State>) -> Option<String> {
        if is_ccp(account) {
            return Some(self.ccp_bank_account.clone());
        }
        match &view.state(&stream::account(account)).known {
            Known::Account(opened) => Some(opened.bank_account.clone()),
            _ => None,
        }
    }
}

/// The first definite answer to the attempt that is under way.
fn finish(
    stream: &StreamId,
    payable: &Payable,
    outcome: &Outcome,
    view: &View<'_, State>,
) -> Decision<Event> {
    let attempt = payable.terms.attempt;
    let uetr = uetr_of(&payable.terms.leg_id, attempt);
    let (status, reference, reason) = match outcome {
        Outcome::Executed { reference } => (EXECUTED, reference.as_str(), ""),
        Outcome::Refused { reason } => (REFUSED, "", reason.as_str()),
    };
    let is_withdrawal = stream.kind() == stream::WITHDRAWAL;
    let (event, told_as): (fn(PaymentAnswered) -> Event, _) = match (is_withdrawal, status == EXECUTED) {
        (false, true) => (Event::Confirmed, PaymentOutcome::Confirmed),
        (false, false) => (Event::Refused, PaymentOutcome::Refused),
        (true, true) => (Event::WithdrawalPaid, PaymentOutcome::WithdrawalPaid),
        (true, false) => (Event::WithdrawalRefused, PaymentOutcome::WithdrawalRefused),
    };
    let message = PaymentEvent {
        reason: reason.to_owned(),
        bank_reference: reference.to_owned(),
        ..told(payable, attempt, told_as, &uetr)
    };
    let answered = PaymentAnswered { attempt, uetr: uetr.clone(), reason: reason.to_owned() };
    let decision = Decision::none()
        .event(stream.clone(), event(answered))
        .publish(stream.clone(), participant(&payable.terms), &payable.terms.trade_date, message)
        .put(&PAYMENTS, row(&uetr, stream, &payable.terms, status));
    match payable.told_refused.get(&attempt).filter(|_| status == EXECUTED) {
        None => decision,
        Some(reason) => {
            let what =
                (format!("attempt {attempt} refused by notice, {reason}"), "it is executed".to_owned());
            breaks::open(decision, stream, what, view)
        }
    }
}

fn as_known(outcome: Option<&bool>) -> &'static str {
    match outcome {
        Some(true) => "it is known as executed",
        Some(false) => "it is known as refused",
        None => "it was never instructed",
    }
}

fn told(payable: &Payable, attempt: u32, outcome: PaymentOutcome, uetr: &str) -> PaymentEvent {
    let terms = &payable.terms;
    PaymentEvent {
        outcome: outcome.into(),
        leg_id: terms.leg_id.clone(),
        trade_id: terms.trade_id.clone(),
        uetr: uetr.to_owned(),
        debtor: terms.debtor.clone(),
        creditor: terms.creditor.clone(),
        amount: terms.amount.clone(),
        currency: terms.currency.clone(),
        attempt,
        ..PaymentEvent::default()
    }
}

/// The key of everything said about a payment: never the CCP, which is a party to all of them.
fn participant(terms: &PaymentInstruction) -> &str {
    if is_ccp(&terms.debtor) { &terms.creditor } else { &terms.debtor }
}

fn is_ccp(account: &str) -> bool {
    account == AccountId::ccp().as_str()
}

/// Ids of contracts may have a slash, those of the model do not.
fn uetr_of(id: &str, attempt: u32) -> String {
    let leg = PaymentLegId::new(&id.replace('/', ".")).expect("ids of legs and withdrawals are made of ids");
    uetr(&leg, attempt).to_string()
}

fn row(uetr: &str, stream: &StreamId, terms: &PaymentInstruction, status: &str) -> Row {
    vec![
        Value::text(uetr),
        stream.to_value(),
        Value::Int(terms.attempt.into()),
        Value::text(status),
        Value::text(terms.amount.as_str()),
        Value::text(terms.currency.as_str()),
    ]
}
