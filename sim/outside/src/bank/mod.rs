//! The settlement bank: one cash account per account of the platform, and books of its own.
//!
//! Fakes a real-time gross settlement bank: payments by UETR with a deduplication window and an end of
//! validity, payouts to the outside world, deposits from it, queries that are answered for ever, credit notices
//! and a statement. Reason codes are those of ISO 20022 (external status reasons). Leaves out currencies other
//! than the account's own, overdrafts, fees, opening hours, and reversals. An order that carries a [`Treatment`]
//! is refused, held or taken for new as that says: that is how faults reach the books.
//!
//! | request | answer |
//! |---|---|
//! | `POST /payments {uetr, debtor, creditor, amount, currency, validUntil}` | 200 `{status, reason, reference, uetr, bankTime}` |
//! | `POST /payouts {uetr, account, amount, currency, validUntil}` | the same |
//! | `GET /payments/{uetr}` | the same; 404 `{bankTime}` |
//! | `POST /deposits {account, amount, currency?, reference?}` | 201 or 422 `{status, reason, reference, bankTime}` |
//! | `GET /statement?from=N&limit=M` | 200 `{entries: [{sequence, reference, kind, uetr, debtor, creditor, amount, currency, at}], next}` |
//!
//! `status` is ACSC (executed), RJCT (refused for good, with a reason) or PDNG (taken, query again). The same
//! UETR with another content is a 409. `from` is the number of lines that the caller already has.

mod books;
mod notices;
mod reason;
#[cfg(test)]
mod tests;
mod treatment;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use invariants::Fact;
use invariants::fact::{BankKind, BankMovement};
use model::{Money, Timestamp};

use crate::draw::{Draw, Span, Streams};
use crate::party::{Due, Handled, IDEMPOTENCY_KEY, Party, Reply, header_text, later, no_route, route};
use books::{Books, Order, Seen};
pub(crate) use notices::NOTICES;
use notices::Notices;
use wire::Deposit;

pub use notices::PAYMENT;
pub use reason::{Reason, UnknownReason};
pub use treatment::{Hold, Treatment};

/// How late the bank is. By default it is as prompt as a bank that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BankSettings {
    /// How long the same UETR is known to be the same payment.
    pub deduplication_window: Duration,
    /// From a request to its answer leaving.
    pub answer_after: Span,
    /// Odds that an order is taken as pending.
    pub pending_ppm: u32,
    /// How long such an order is pending.
    pub pending_for: Span,
    /// From a deposit to its first credit notice.
    pub notice_after: Span,
    /// Between two tries of a notice that nobody has taken.
    pub notice_repeat: Duration,
}

impl Default for BankSettings {
    fn default() -> Self {
        Self {
            deduplication_window: Duration::from_secs(24 * 3600),
            answer_after: Span::millis(2, 20),
            pending_ppm: 5_000,
            pending_for: Span::millis(500, 20_000),
            notice_after: Span::millis(1_000, 30_000),
            notice_repeat: Duration::from_secs(30),
        }
    }
}

pub struct Bank {
    settings: BankSettings,
    books: Books,
    notices: Notices,
    /// Orders to be executed, by time.
    pending: BTreeSet<(Timestamp, String)>,
    /// Deposits by account and the payer's reference.
    deposits: BTreeMap<(String, String), (Deposit, BankMovement)>,
    answers_draw: Box<dyn Draw>,
    pending_draw: Box<dyn Draw>,
    notices_draw: Box<dyn Draw>,
}

impl fmt::Debug for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bank").field("entries", &self.books.entries().len()).finish_non_exhaustive()
    }
}

impl Bank {
    /// A bank with these accounts, the central counterparty's among them, and no others.
    pub fn new(
        opening: impl IntoIterator<Item = (String, Money)>,
        settings: BankSettings,
        streams: &mut Streams<'_>,
    ) -> Self {
        Self {
            settings,
            books: Books::new(opening),
            notices: Notices::default(),
            pending: BTreeSet::new(),
            deposits: BTreeMap::new(),
            answers_draw: streams("bank/answers"),
            pending_draw: streams("bank/pending"),
            notices_draw: streams("bank/notices"),
        }
    }

    /// The balance of every account.
    pub fn balances(&self) -> &BTreeMap<String, Money> {
        self.books.balances()
    }

    /// Executes or refuses the pending orders that are due.
    fn advance(&mut self, now: Timestamp) -> Vec<Fact> {
        let mut facts = Vec::new();
        while let Some((due, uetr)) = self.pending.first().filter(|(due, _)| *due <= now).cloned() {
            let movement = self.books.settle_held(&uetr, now);
            facts.extend(movement.map(Fact::Bank));
            self.pending.remove(&(due, uetr));
        }
        facts
    }

    fn order(
        &mut self,
        now: Timestamp,
        order: Result<Order, String>,
        treatment: Treatment,
        facts: &mut Vec<Fact>,
    ) -> Response<Bytes> {
        let order = match order {
            Ok(order) => order,
            Err(why) => return wire::refused(StatusCode::BAD_REQUEST, &why, now),
        };
        let window = self.settings.deduplication_window;
        let forgets = treatment.as_new && self.books.seen(&order, now, window) != Seen::New;
        match self.books.seen(&order, now, if forgets { Duration::ZERO } else { window }) {
            Seen::Same(payment) => return wire::standing(payment, now),
            Seen::Conflict => return wire::refused(StatusCode::CONFLICT, "another order has this UETR", now),
            Seen::New => {}
        }
        let uetr = order.uetr.clone();
        // Drawn for every order, so that one more or less leaves the fate of the others alone.
        let is_pending = self.pending_draw.odds_ppm(self.settings.pending_ppm);
        let due = later(now, self.settings.pending_for.draw(&mut self.pending_draw));
        let held = treatment.hold.map(|hold| hold.until(now)).or(is_pending.then_some(due));
        let mut followed = Treatment { as_new: forgets, ..Treatment::default() };
        match held.filter(|_| now <= order.valid_until && treatment.refuse.is_none()) {
            Some(due) => {
                self.books.hold(order, now, due);
                self.pending.insert((due, uetr.clone()));
                followed.hold = treatment.hold;
            }
            None => {
                let movement = self.books.settle(order, now, treatment.refuse);
                let is_asked = |reason: &Reason| {
                    movement.kind == BankKind::Refused && movement.reference == reason.code()
                };
                followed.refuse = treatment.refuse.filter(is_asked);
                facts.push(Fact::Bank(movement));
            }
        }
        let mut response = self.standing(&uetr, now);
        if followed != Treatment::default() {
            response.extensions_mut().insert(followed);
        }
        response
    }

    fn standing(&self, uetr: &str, now: Timestamp) -> Response<Bytes> {
        let payment = self.books.payment(uetr);
        payment.map_or_else(|| wire::not_found(now), |payment| wire::standing(payment, now))
    }

    fn deposit(
        &mut self,
        now: Timestamp,
        request: &Request<Bytes>,
        facts: &mut Vec<Fact>,
    ) -> Response<Bytes> {
        let deposit = match wire::deposit(request) {
            Ok(deposit) => deposit,
            Err(why) => return wire::refused(StatusCode::BAD_REQUEST, &why, now),
        };
        let reference = deposit.reference.as_deref().or(header_text(request, IDEMPOTENCY_KEY));
        let key = reference.map(|reference| (deposit.account.clone(), reference.to_owned()));
        match key.as_ref().and_then(|key| self.deposits.get(key)) {
            Some((first, movement)) if *first == deposit => {
                return wire::deposited(outcome(movement), now);
            }
            Some(_) => return wire::refused(StatusCode::CONFLICT, "another deposit has this reference", now),
            None => {}
        }
        let movement = self.take_deposit(&deposit, now);
        facts.push(Fact::Bank(movement.clone()));
        let response = wire::deposited(outcome(&movement), now);
        key.and_then(|key| self.deposits.insert(key, (deposit, movement)));
        response
    }

    fn take_deposit(&mut self, deposit: &Deposit, now: Timestamp) -> BankMovement {
        let delay = self.settings.notice_after.draw(&mut self.notices_draw);
        match self.books.deposit(&deposit.account, deposit.amount, now) {
            Ok(movement) => {
                self.notices.add(&movement.reference, &deposit.account, deposit.amount, later(now, delay));
                movement
            }
            Err(reason) => refused_deposit(deposit, reason),
        }
    }

    fn statement(&self, now: Timestamp, request: &Request<Bytes>) -> Response<Bytes> {
        let query = request.uri().query().unwrap_or_default();
        let number = |name: &str, default: usize| {
            let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.map_or(Ok(default), str::parse)
        };
        match (number("from", 0), number("limit", usize::MAX)) {
            (Ok(from), Ok(limit)) => wire::statement(self.books.entries(), from, limit, now),
            _ => wire::refused(StatusCode::BAD_REQUEST, "from and limit are numbers of lines", now),
        }
    }
}

fn refused_deposit(deposit: &Deposit, reason: Reason) -> BankMovement {
    BankMovement {
        kind: BankKind::Refused,
        uetr: String::new(),
        debtor: model::AccountId::world().to_string(),
        creditor: deposit.account.clone(),
        amount: deposit.amount.amount().to_string(),
        reference: reason.code().to_owned(),
    }
}

fn outcome(movement: &BankMovement) -> Result<&str, &str> {
    let reference = movement.reference.as_str();
    if movement.kind == BankKind::Refused { Err(reference) } else { Ok(reference) }
}

impl Party for Bank {
    fn handle(&mut self, now: Timestamp, request: &Request<Bytes>) -> Handled {
        let mut facts = self.advance(now);
        let (method, path) = route(request);
        let treatment = Treatment::of(request);
        let response = match (method, path.as_slice()) {
            ("POST", ["payments"]) => self.order(now, wire::payment(request), treatment, &mut facts),
            ("POST", ["payouts"]) => self.order(now, wire::payout(request), treatment, &mut facts),
            ("GET", ["payments", uetr]) => self.standing(uetr, now),
            ("POST", ["deposits"]) => self.deposit(now, request, &mut facts),
            ("GET", ["statement"]) => self.statement(now, request),
            _ => no_route(),
        };
        let after = self.settings.answer_after.draw(&mut self.answers_draw);
        Handled { reply: Reply::After(after, response), facts }
    }

    fn next_due(&self) -> Option<Timestamp> {
        let pending = self.pending.first().map(|(due, _)| *due);
        pending.into_iter().chain(self.notices.next_due()).min()
    }

    fn due(&mut self, now: Timestamp) -> Due {
        let facts = self.advance(now);
        Due { posts: self.notices.due(now, self.settings.notice_repeat), facts }
    }

    fn answered(&mut self, _: Timestamp, reference: &str, status: StatusCode) {
        if status.is_success() {
            self.notices.acknowledged(reference);
        }
    }
}
