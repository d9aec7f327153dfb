//! Cash that comes in, and when it is believed.
//!
//! Whatever the bank tells of an entry is a telling: its notice (camt.054) or a line of its statement (camt.053).
//! **A telling is booked where a second source agrees with it, and a notice is the one that needs none:**
//!
//! | told by | is booked |
//! |---|---|
//! | a notice, for an account that is known | at once: it was made for this entry alone |
//! | a line and the notice, or a line in two statements, that agree | with the second of them |
//! | a line alone, a notice for an unknown account | not yet: the statement is asked for again |
//!
//! Reason: a line that alone heals a lost notice is the only word on that cash. Whoever books a misread amount has
//! credited a participant with money that is not at the bank, and takes it back by hand; whoever waits for the
//! next statement is a minute late. Two statements agree on reference, account and amount or they do not count.
//! What nobody's account can be found for goes to suspense with the second telling.
//!
//! A telling that differs from what is booked, or from the one before, opens a reconciliation break and changes
//! nothing else; of two that differ the later one is kept, to be agreed with. A notice or line with a UETR of ours
//! tells of our own payment and is never a deposit: there the order itself is the second source, and what differs
//! from it confirms nothing.

use std::fmt;

use contracts::events::payment_stored::Event;
use contracts::events::{CreditTold, Deposited, PaymentEvent, PaymentOutcome};
use host::ports::store::Value;
use host::{Decision, Lookup, StreamId, StreamRef, View};
use model::{AccountId, Money};
use serde_json::json;

use super::orders::{self, PAYMENTS};
use super::{Known, Payment, State, breaks, statement, stream};
use crate::support::contract;

/// An entry as the bank tells of it.
#[derive(Clone, Debug)]
pub struct Credit {
    pub reference: String,
    /// The account at the bank.
    pub bank_account: String,
    pub amount: Money,
    pub uetr: Option<String>,
}

/// A message of the bank's own accord.
#[derive(Clone, Debug)]
pub struct Notice {
    pub credit: Credit,
    /// It tells that the order with this UETR was refused (pacs.002), for this reason.
    pub refused: Option<String>,
}

/// Where a telling stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Notice,
    Line(u64),
}

/// What is known in `credit/<bank reference>`.
#[derive(Clone, Debug)]
pub enum Heard {
    /// The last telling, which is not booked.
    Told(CreditTold),
    Booked(Deposited),
}

/// What became of a telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// Nothing more is to be heard of it: it is booked, now or before, or contradicts what is booked.
    Done,
    /// Another one has to agree.
    Waits,
}

/// The streams that an entry is decided by; a payment of ours has its own.
pub fn streams(credit: &Credit) -> [StreamRef; 2] {
    [StreamRef::write("credit", &credit.reference), StreamRef::read("bank-account", &credit.bank_account)]
}

/// The payments that the UETRs of tellings name, one lookup for each.
///
/// Sound without a lock: the row of a payment is committed before the bank hears of its UETR.
pub fn lookups<'a>(uetrs: impl IntoIterator<Item = &'a str>) -> Vec<Lookup> {
    let lookup = |uetr| Lookup::rows(&PAYMENTS, None, vec![Value::text(uetr)], 1);
    uetrs.into_iter().map(lookup).collect()
}

impl Payment {
    pub(super) fn take_notice(&self, notice: &Notice, view: &View<'_, State>) -> Decision<Event> {
        let Notice { credit, refused } = notice;
        let ours = credit.uetr.as_ref().and_then(|_| view.lookup(0).rows().first());
        let nothing = Decision::none();
        let (decision, status) = match (ours, refused) {
            (Some(payment), Some(reason)) => {
                (orders::refusal_told(nothing, payment, reason, view.database_time), "PAYMENT")
            }
            (None, Some(_)) => (refusal_of_nothing(credit, view), "UNKNOWN_PAYMENT"),
            (Some(payment), None) => match orders::differs(payment, credit.amount) {
                None => (orders::confirm(nothing, payment, view.database_time), "PAYMENT"),
                Some(detail) => (contradict(nothing, credit, Source::Notice, detail, view), "BREAK"),
            },
            (None, None) => self.hear_notice(credit, view),
        };
        decision.answer(200, json!({ "reference": credit.reference, "status": status }))
    }

    fn hear_notice(&self, credit: &Credit, view: &View<'_, State>) -> (Decision<Event>, &'static str) {
        match hear(Decision::none(), credit, Source::Notice, view) {
            (decision, Hearing::Done) => (decision, "DEPOSIT"),
            (decision, Hearing::Waits) if account_of(credit, view).is_none() => (decision, "UNKNOWN_ACCOUNT"),
            // A line has said otherwise.
            (decision, Hearing::Waits) => {
                (statement::ask_again(decision, view.database_time + self.statement_again_after), "BREAK")
            }
        }
    }
}

/// Takes in a telling of an entry that is not our own payment.
pub fn hear(
    decision: Decision<Event>,
    credit: &Credit,
    source: Source,
    view: &View<'_, State>,
) -> (Decision<Event>, Hearing) {
    let account = account_of(credit, view);
    let told = match heard(credit, view) {
        Some(Heard::Booked(booked)) => {
            let decision = match differs_from_booked(booked, credit, account) {
                None => decision,
                Some(detail) => contradict(decision, credit, source, detail, view),
            };
            return (decision, Hearing::Done);
        }
        Some(Heard::Told(told)) => Some(told_as(told)),
        None => None,
    };
    let agrees = told.as_ref().map(|told| *told == as_told(credit));
    match (source, agrees, account) {
        (_, Some(false), _) => {
            let detail = format!("{} was told before", told.unwrap_or_default());
            let decision = contradict(decision, credit, source, detail, view);
            (tell(decision, credit, source), Hearing::Waits)
        }
        (Source::Notice, _, Some(account)) => (deposit(decision, credit, account), Hearing::Done),
        // The same notice again is no second source.
        (Source::Notice, Some(true), None) => (decision, Hearing::Waits),
        // By the next statement at the latest nobody will tell whose account it is.
        (Source::Line(_), Some(true), account) => {
            (deposit(decision, credit, account.unwrap_or(AccountId::suspense().as_str())), Hearing::Done)
        }
        (_, None, _) => (tell(decision, credit, source), Hearing::Waits),
    }
}

fn heard<'a>(credit: &Credit, view: &View<'a, State>) -> Option<&'a Heard> {
    match &view.state(&stream::credit(&credit.reference)).known {
        Known::Credit(heard) => Some(heard),
        _ => None,
    }
}

/// The account of the platform that an account at the bank is for.
fn account_of<'a>(credit: &Credit, view: &View<'a, State>) -> Option<&'a str> {
    match &view.state(&stream::bank_account(&credit.bank_account)).known {
        Known::Account(opened) => Some(&opened.account_id),
        _ => None,
    }
}

/// What is booked in suspense may be any account's.
fn differs_from_booked(booked: &Deposited, credit: &Credit, account: Option<&str>) -> Option<String> {
    let same_amount = booked.amount == contract::amount_text(credit.amount)
        && booked.currency == credit.amount.currency().code();
    let same_account =
        booked.account_id == AccountId::suspense().as_str() || account == Some(booked.account_id.as_str());
    let Deposited { amount, currency, account_id, .. } = booked;
    (!same_amount || !same_account).then(|| format!("{amount} {currency} is booked for {account_id}"))
}

fn as_told(credit: &Credit) -> String {
    let Credit { bank_account, amount, .. } = credit;
    format!("{} {} for {bank_account}", contract::amount_text(*amount), amount.currency().code())
}

fn told_as(told: &CreditTold) -> String {
    let CreditTold { bank_account, amount, currency, .. } = told;
    format!("{amount} {currency} for {bank_account}")
}

/// Opens a break about what a telling says.
fn contradict(
    decision: Decision<Event>,
    credit: &Credit,
    source: Source,
    detail: String,
    view: &View<'_, State>,
) -> Decision<Event> {
    let subject = format!("{source}: {}", as_told(credit));
    breaks::open(decision, &stream::credit(&credit.reference), (subject, detail), view)
}

fn refusal_of_nothing(credit: &Credit, view: &View<'_, State>) -> Decision<Event> {
    let uetr = credit.uetr.as_deref().unwrap_or_default();
    let detail = format!("it refuses {uetr}, which is no payment of ours");
    contradict(Decision::none(), credit, Source::Notice, detail, view)
}

fn tell(decision: Decision<Event>, credit: &Credit, source: Source) -> Decision<Event> {
    let told = CreditTold {
        bank_reference: credit.reference.clone(),
        bank_account: credit.bank_account.clone(),
        amount: contract::amount_text(credit.amount),
        currency: credit.amount.currency().code().to_owned(),
        line: if let Source::Line(line) = source { line } else { 0 },
    };
    decision.event(stream::credit(&credit.reference), Event::CreditTold(told))
}

fn deposit(decision: Decision<Event>, credit: &Credit, account: &str) -> Decision<Event> {
    let stream: StreamId = stream::credit(&credit.reference);
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

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notice => f.write_str("notice"),
            Self::Line(line) => write!(f, "line {line}"),
        }
    }
}
