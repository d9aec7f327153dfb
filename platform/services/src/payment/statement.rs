//! The bank's statement (camt.053), which heals notices that were lost: read each hour on the hour.
//!
//! Lines are numbered without gaps. The cursor is the last line up to which all are settled: heard, and either
//! booked, known as a payment of ours, or on record as a break. A line that stands twice is one, by its bank
//! reference. One that is missing (the numbers, and `next`, tell) opens a break and stops the cursor, so that the
//! next statement is asked for it again; so does one that waits for a second statement to agree. The next one is
//! asked for after `statement_again_after` where this one brought something unsettled that is new, and on the
//! hour where it did not: a bank that never corrects itself is not asked every minute.
//!
//! Left out: lines more than one page behind a missing one wait for it.

use std::collections::{BTreeMap, BTreeSet};

use contracts::events::StatementRead;
use contracts::events::payment_stored::Event;
use host::ports::store::Row;
use host::{Decision, Lookup, NewEffect, StreamRef, View};
use model::{Currency, Money, Timestamp};
use serde::Deserialize;

use super::bank::{Order, STATEMENT_LINES};
use super::credits::{self, Credit, Hearing, Source};
use super::{Known, Payment, State, breaks, orders, stream, write};
use crate::support::contract;

const HOUR_MS: i64 = 3_600_000;
const TIMER: &str = "statement";

/// Answered to an asking for what follows the first `from` lines.
#[derive(Clone, Debug)]
pub struct Statement {
    pub from: u64,
    pub lines: Vec<Line>,
    /// The number of the last line in its range, as the bank counts.
    pub next: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    sequence: u64,
    reference: String,
    kind: String,
    #[serde(default)]
    uetr: String,
    creditor: String,
    amount: String,
    currency: String,
}

impl Line {
    fn amount(&self) -> Option<Money> {
        let currency: Currency = self.currency.parse().ok()?;
        Money::parse(&self.amount, currency).ok().filter(|amount| amount.is_positive())
    }

    fn uetr(&self) -> Option<&str> {
        Some(self.uetr.as_str()).filter(|uetr| !uetr.is_empty())
    }

    /// Cash from outside, unless it has a UETR of ours.
    fn deposit(&self) -> Option<Credit> {
        let amount = self.amount().filter(|_| self.kind == "deposit" && !self.reference.is_empty())?;
        Some(Credit {
            reference: self.reference.clone(),
            bank_account: self.creditor.clone(),
            amount,
            uetr: self.uetr().map(str::to_owned),
        })
    }
}

impl Statement {
    pub fn streams(&self) -> Vec<StreamRef> {
        let deposits = self.lines.iter().filter_map(Line::deposit);
        let deposits = deposits.flat_map(|credit| credits::streams(&credit));
        std::iter::once(write(stream::statement())).chain(deposits).collect()
    }

    pub fn lookups(&self) -> Vec<Lookup> {
        credits::lookups(self.lines.iter().filter_map(Line::uetr))
    }

    /// The lines behind a cursor by number, with the payments of ours that they name. The first of two that have
    /// one number.
    fn behind<'a>(
        &'a self,
        cursor: u64,
        view: &View<'a, State>,
    ) -> BTreeMap<u64, (&'a Line, Option<&'a Row>)> {
        let mut lookups = 0;
        let mut lines = BTreeMap::new();
        for line in &self.lines {
            let ours = line.uetr().and_then(|_| {
                lookups += 1;
                view.lookup(lookups - 1).rows().first()
            });
            if line.sequence > cursor {
                lines.entry(line.sequence).or_insert((line, ours));
            }
        }
        lines
    }

    /// The last line that this statement must have.
    fn last(&self) -> u64 {
        let last = self.lines.iter().map(|line| line.sequence).max().unwrap_or(0).max(self.next);
        last.min(self.from.saturating_add(STATEMENT_LINES as u64))
    }
}

impl Payment {
    /// Asks for the statement, and again in an hour.
    pub(super) fn ask_statement(&self, view: &View<'_, State>) -> Decision<Event> {
        let from = settled(view);
        let now = view.database_time;
        let order = Order::Statement { from };
        let effect = NewEffect {
            id: format!("statement/{}/{from}", now.as_millisecond()),
            valid_until: None,
            payload: order.encode(),
        };
        Decision::none().effect(effect).arm(TIMER, next_hour(now))
    }

    pub(super) fn read_statement(&self, statement: &Statement, view: &View<'_, State>) -> Decision<Event> {
        let before = settled(view);
        if statement.from > before {
            return Decision::none();
        }
        let lines = statement.behind(before, view);
        let last = statement.last();
        let mut reading = Reading { view, decision: Decision::none(), is_news: false };
        let mut references = BTreeSet::new();
        let (mut cursor, mut stopped) = (before, false);
        for number in before + 1..=last {
            let settled = match lines.get(&number) {
                None => reading.misses(number, last),
                Some((line, _)) if !references.insert(line.reference.as_str()) => true,
                Some((line, Some(payment))) => reading.reads_payment(line, payment),
                Some((line, None)) => reading.reads(line),
            };
            stopped |= !settled;
            cursor = if stopped { cursor } else { number };
        }
        let Reading { mut decision, is_news, .. } = reading;
        if cursor > before {
            let read = Event::StatementRead(StatementRead { next_entry: cursor });
            decision = decision.event(stream::statement(), read);
        }
        let is_full = last >= statement.from + STATEMENT_LINES as u64;
        match (is_news, is_full && !stopped) {
            (_, true) => ask_again(decision, view.database_time),
            (true, _) => ask_again(decision, view.database_time + self.statement_again_after),
            (false, _) => decision,
        }
    }
}

/// A decision on a statement, line by line. Each says whether its line is settled.
struct Reading<'a> {
    view: &'a View<'a, State>,
    decision: Decision<Event>,
    /// Something is not settled that was not so before.
    is_news: bool,
}

impl Reading<'_> {
    fn misses(&mut self, number: u64, last: u64) -> bool {
        let subject = format!("line {number}: missing");
        self.is_news |= !breaks::is_open(&stream::statement(), &subject, self.view);
        self.opens_break((subject, format!("the statement goes to line {last}")));
        false
    }

    /// The order is what the line must agree with.
    fn reads_payment(&mut self, line: &Line, payment: &Row) -> bool {
        let differs = line
            .amount()
            .map_or(Some("it has no amount".to_owned()), |amount| orders::differs(payment, amount));
        match differs {
            None => {
                let decision = std::mem::take(&mut self.decision);
                self.decision = orders::confirm(decision, payment, self.view.database_time);
            }
            Some(detail) => {
                let subject =
                    format!("line {}: {} of {} {}", line.sequence, line.kind, line.amount, line.currency);
                self.opens_break((subject, format!("{} is {detail}", line.uetr)));
            }
        }
        true
    }

    fn reads(&mut self, line: &Line) -> bool {
        let Some(credit) = line.deposit() else {
            let what = format!("{} {} of {} {}", line.kind, line.reference, line.amount, line.currency);
            let subject = format!("line {}: {what}", line.sequence);
            self.opens_break((subject, "neither a deposit nor a payment of ours".to_owned()));
            return true;
        };
        let decision = std::mem::take(&mut self.decision);
        let (decision, hearing) = credits::hear(decision, &credit, Source::Line(line.sequence), self.view);
        self.decision = decision;
        self.is_news |= hearing == Hearing::Waits;
        hearing == Hearing::Done
    }

    fn opens_break(&mut self, what: (String, String)) {
        let decision = std::mem::take(&mut self.decision);
        self.decision = breaks::open(decision, &stream::statement(), what, self.view);
    }
}

/// At `at` at the latest.
pub fn ask_again(decision: Decision<Event>, at: Timestamp) -> Decision<Event> {
    decision.arm_no_later(TIMER, at)
}

/// The next full hour.
pub fn next_hour(now: Timestamp) -> Timestamp {
    contract::instant((contract::millis(now).div_euclid(HOUR_MS) + 1) * HOUR_MS)
}

/// The last line up to which all are settled.
fn settled(view: &View<'_, State>) -> u64 {
    match view.state(&stream::statement()).known {
        Known::Settled(line) => line,
        _ => 0,
    }
}
