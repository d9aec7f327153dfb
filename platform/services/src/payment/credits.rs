//! Cash that comes in: the bank's credit notices, and its statement, which heals notices that were lost.
//!
//! A notice or a line with a UETR of ours tells of our own payment: it confirms that and is never a deposit.
//! Anything else is a deposit, once per bank reference, whichever tells of it first.

use std::collections::BTreeSet;

use contracts::events::payment_stored::Event;
use contracts::events::{Deposited, PaymentEvent, PaymentOutcome, StatementRead};
use host::ports::store::{Row, Value};
use host::{Decision, Lookup, NewEffect, StreamId, StreamRef, View};
use model::{AccountId, Currency, Money, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::bank::Order;
use super::orders::{PAYMENTS, is_settled};
use super::{Payment, State, stream};
use crate::support::contract;

const HOUR_MS: i64 = 3_600_000;

/// Cash that the bank says has come into an account.
#[derive(Clone, Debug)]
pub struct Credit {
    pub reference: String,
    /// The account at the bank.
    pub bank_account: String,
    pub amount: Money,
    pub uetr: Option<String>,
    /// Whether it is one, unless it has a UETR of ours.
    pub is_deposit: bool,
}

/// A line of the bank's statement.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    reference: String,
    kind: String,
    #[serde(default)]
    uetr: String,
    creditor: String,
    amount: String,
    currency: String,
}

impl Line {
    /// `None` for a line that tells neither of a deposit nor of a payment.
    fn read(&self) -> Option<Credit> {
        let currency: Currency = self.currency.parse().ok()?;
        let amount = Money::parse(&self.amount, currency).ok().filter(|amount| amount.is_positive())?;
        let uetr = Some(self.uetr.clone()).filter(|uetr| !uetr.is_empty());
        let credit = Credit {
            reference: self.reference.clone(),
            bank_account: self.creditor.clone(),
            amount,
            uetr,
            is_deposit: self.kind == "deposit",
        };
        (credit.uetr.is_some() || credit.is_deposit).then_some(credit)
    }
}

pub fn credits(lines: &[Line]) -> Vec<Credit> {
    lines.iter().filter_map(Line::read).collect()
}

/// The streams that a deposit is decided by; a payment of ours has its own.
pub fn streams(credit: &Credit) -> Vec<StreamRef> {
    if !credit.is_deposit {
        return Vec::new();
    }
    vec![StreamRef::write("credit", &credit.reference), StreamRef::read("bank-account", &credit.bank_account)]
}

/// The payments that the UETRs of credits name, one lookup for each.
///
/// Sound without a lock: the row of a payment is committed before the bank hears of its UETR.
pub fn lookups<'a>(credits: impl IntoIterator<Item = &'a Credit>) -> Vec<Lookup> {
    let uetrs = credits.into_iter().filter_map(|credit| credit.uetr.as_deref());
    uetrs.map(|uetr| Lookup::rows(&PAYMENTS, None, vec![Value::text(uetr)], 1)).collect()
}

impl Payment {
    /// A credit notice. Of an account that is not known yet the statement will tell again.
    pub(super) fn take_notice(&self, credit: &Credit, view: &View<'_, State>) -> Decision<Event> {
        let ours = credit.uetr.as_ref().and_then(|_| view.lookup(0).rows().first());
        let (decision, status) = match (ours, account_of(credit, view)) {
            (Some(payment), _) => (confirm(Decision::none(), payment, view.database_time), "PAYMENT"),
            (None, None) => (Decision::none(), "UNKNOWN_ACCOUNT"),
            (None, Some(account)) => (deposit(Decision::none(), credit, account, view), "DEPOSIT"),
        };
        decision.answer(200, json!({ "reference": credit.reference, "status": status }))
    }

    /// Asks for the statement, and again in an hour.
    pub(super) fn ask_statement(&self, view: &View<'_, State>) -> Decision<Event> {
        let from = lines_read(view);
        let hour = next_hour(view.database_time);
        let order = Order::Statement { from };
        let effect = NewEffect {
            id: format!("statement/{}/{from}", hour.as_millisecond()),
            valid_until: None,
            payload: order.encode(),
        };
        Decision::none().effect(effect).arm("statement", hour)
    }

    pub(super) fn read_lines(
        &self,
        from: u64,
        lines: &[Line],
        more: bool,
        view: &View<'_, State>,
    ) -> Decision<Event> {
        if lines.is_empty() || from != lines_read(view) {
            return Decision::none();
        }
        let next_entry = from + u64::try_from(lines.len()).expect("a statement in memory");
        let mut decision =
            Decision::none().event(stream::statement(), Event::StatementRead(StatementRead { next_entry }));
        let suspense = AccountId::suspense();
        let mut known = 0;
        let mut references = BTreeSet::new();
        for credit in &credits(lines) {
            let ours = credit.uetr.as_ref().and_then(|_| {
                known += 1;
                view.lookup(known - 1).rows().first()
            });
            if let Some(payment) = ours {
                decision = confirm(decision, payment, view.database_time);
            } else if credit.is_deposit && references.insert(credit.reference.as_str()) {
                // An hour after the fact nobody will tell whose account it is.
                let account = account_of(credit, view).unwrap_or(suspense.as_str());
                decision = deposit(decision, credit, account, view);
            }
        }
        if more { decision.arm_no_later("statement", view.database_time) } else { decision }
    }
}

/// The next full hour.
pub fn next_hour(now: Timestamp) -> Timestamp {
    contract::instant((contract::millis(now).div_euclid(HOUR_MS) + 1) * HOUR_MS)
}

fn lines_read(view: &View<'_, State>) -> u64 {
    match view.state(&stream::statement()) {
        State::LinesRead(next) => *next,
        _ => 0,
    }
}

/// The account of the platform that an account at the bank is for.
fn account_of<'a>(credit: &Credit, view: &View<'a, State>) -> Option<&'a str> {
    match view.state(&stream::bank_account(&credit.bank_account)) {
        State::Account(opened) => Some(&opened.account_id),
        _ => None,
    }
}

/// The bank tells by itself that a payment of ours was executed.
fn confirm(decision: Decision<Event>, payment: &Row, now: Timestamp) -> Decision<Event> {
    if is_settled(payment) {
        return decision;
    }
    decision.arm_no_later(format!("executed/{}/{}", payment[2].as_int(), payment[1].as_text()), now)
}

fn deposit(
    decision: Decision<Event>,
    credit: &Credit,
    account: &str,
    view: &View<'_, State>,
) -> Decision<Event> {
    let stream: StreamId = stream::credit(&credit.reference);
    if !matches!(view.state(&stream), State::Absent) {
        return decision;
    }
    let amount = contract::amount_text(credit.amount);
    let currency = credit.amount.currency().code().to_owned();
    let deposited = Deposited {
        bank_reference: credit.reference.clone(),
        account_id: account.to_owned(),
        amount: amount.clone(),
        currency: currency.clone(),
    };
    let event = PaymentEvent {
        outcome: PaymentOutcome::Deposited.into(),
        leg_id: credit.reference.clone(),
        debtor: AccountId::world().to_string(),
        creditor: account.to_owned(),
        amount,
        currency,
        bank_reference: credit.reference.clone(),
        ..PaymentEvent::default()
    };
    decision.event(stream.clone(), Event::Deposited(deposited)).publish(stream, account, "", event)
}
