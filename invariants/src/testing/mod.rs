//! Histories for unit tests: facts in, the first violation out.

pub mod day;

use bytes::Bytes;
use contracts::events::*;
use contracts::stored::Payload;
use contracts::{Headers, Message, StoredEvent};

use crate::fact::{
    BankKind, BankMovement, Book, ClientAnswer, ClientRequest, Committed, EventRow, Opening, OutboxRow,
    Outcome, RequestBody, Visible,
};
use crate::{Fact, Invariant, Mark, Record, Verdict, Violation};

/// A fact and when it happened.
#[derive(Clone)]
pub struct Told {
    pub at_ns: i64,
    pub fact: Fact,
}

impl From<Fact> for Told {
    fn from(fact: Fact) -> Self {
        Self { at_ns: 0, fact }
    }
}

impl From<(i64, Fact)> for Told {
    fn from((at_ns, fact): (i64, Fact)) -> Self {
        Self { at_ns, fact }
    }
}

impl From<Commit> for Told {
    fn from(commit: Commit) -> Self {
        Fact::from(commit).into()
    }
}

impl From<(i64, Commit)> for Told {
    fn from((at_ns, mut commit): (i64, Commit)) -> Self {
        commit.0.database_time_ns = at_ns;
        Self { at_ns, fact: commit.into() }
    }
}

/// Shows a history to an invariant; returns the record that broke it, 0 for rest.
fn judge(invariant: &mut dyn Invariant, history: &[Told]) -> Option<(u64, Violation)> {
    for (sequence, Told { at_ns, fact }) in (1..).zip(history) {
        let kind = fact.kind();
        if !invariant.needs().contains(&kind) && !invariant.welcomes().contains(&kind) {
            continue;
        }
        let record = Record { sequence, at_ns: *at_ns, node: "node", cause: "", fact };
        if let Verdict::Violated(violation) = invariant.observe(&record) {
            return Some((sequence, violation));
        }
    }
    match invariant.at_rest() {
        Verdict::Violated(violation) => Some((0, violation)),
        Verdict::Holds => None,
    }
}

/// The history is good: no violation, and nothing pending at its end.
#[track_caller]
pub fn holds(mut invariant: impl Invariant, history: impl IntoIterator<Item = Told>) {
    let history: Vec<Told> = history.into_iter().collect();
    if let Some((sequence, violation)) = judge(&mut invariant, &history) {
        panic!("record {sequence} breaks {}: {violation:?}", invariant.name());
    }
    assert_eq!(invariant.pending(), [], "nothing is pending after a good history");
    assert!(invariant.is_settled());
}

/// The last record of the history breaks it, for a reason that contains `why`.
#[track_caller]
pub fn breaks(invariant: impl Invariant, history: impl IntoIterator<Item = Told>, why: &str) {
    let history: Vec<Told> = history.into_iter().collect();
    let last = history.len() as u64;
    let violation = broken_at(invariant, &history, last);
    assert!(violation.why.contains(why), "{:?} does not say {why:?}", violation.why);
    assert_eq!(violation.evidence.last(), Some(&last), "the evidence ends with the record that broke it");
    assert!(violation.evidence.is_sorted(), "the evidence is in order: {:?}", violation.evidence);
    assert!(!violation.subjects.is_empty(), "a violation names its subjects");
}

/// Every record is fine, the rest is not.
#[track_caller]
pub fn breaks_at_rest(invariant: impl Invariant, history: impl IntoIterator<Item = Told>, why: &str) {
    let history: Vec<Told> = history.into_iter().collect();
    let violation = broken_at(invariant, &history, 0);
    assert!(violation.why.contains(why), "{:?} does not say {why:?}", violation.why);
}

#[track_caller]
fn broken_at(mut invariant: impl Invariant, history: &[Told], expected: u64) -> Violation {
    let (sequence, violation) = judge(&mut invariant, history).expect("the history breaks it");
    assert_eq!(sequence, expected, "{violation:?}");
    violation
}

/// Whether a mark is met by a history.
pub fn meets(mark: &mut dyn Mark, history: impl IntoIterator<Item = Told>) -> bool {
    for (sequence, Told { at_ns, fact }) in (1..).zip(history) {
        if mark.watches().contains(&fact.kind()) {
            mark.observe(&Record { sequence, at_ns, node: "settlement/1", cause: "", fact: &fact });
        }
    }
    mark.seen()
}

/// A history out of things that happened.
#[macro_export]
#[doc(hidden)]
macro_rules! history {
    ($($told:expr),* $(,)?) => { vec![$($crate::testing::Told::from($told)),*] };
}
pub use history;

/// A commit under construction.
#[derive(Clone)]
pub struct Commit(pub Committed);

/// Anything that a service stores.
pub trait IntoStored {
    fn into_stored(self) -> (StoredEvent, Bytes);
}

macro_rules! into_stored {
    ($($module:ident: $variant:ident),*) => {$(
        impl IntoStored for $module::Event {
            fn into_stored(self) -> (StoredEvent, Bytes) {
                let payload = Payload::encode(&self);
                (StoredEvent::$variant(self), payload)
            }
        }
    )*};
}

into_stored!(
    reference_stored: Reference,
    trade_stored: Trade,
    position_stored: Position,
    clearing_stored: Clearing,
    settlement_stored: Settlement,
    ledger_stored: Ledger,
    payment_stored: Payment,
    notification_stored: Notification
);

impl Commit {
    pub fn by(database: &str) -> Self {
        Self(Committed {
            database: database.to_owned(),
            transaction: 1,
            database_time_ns: 0,
            events: Vec::new(),
            outbox: Vec::new(),
            rows: 0,
        })
    }

    pub fn transaction(mut self, transaction: u64) -> Self {
        self.0.transaction = transaction;
        self
    }

    pub fn event(self, stream: &str, event: impl IntoStored) -> Self {
        self.version(1, stream, event)
    }

    pub fn version(mut self, version: u64, stream: &str, event: impl IntoStored) -> Self {
        let (event, payload) = event.into_stored();
        let (stream, event) = (stream.to_owned(), Some(event));
        self.0.events.push(EventRow { stream, version, cause: String::new(), event, payload });
        self
    }

    /// All its events have this cause.
    pub fn caused_by(mut self, cause: &str) -> Self {
        self.0.events.iter_mut().for_each(|row| cause.clone_into(&mut row.cause));
        self
    }

    pub fn message(self, message: impl Into<Message>) -> Self {
        self.sequenced("stream", 1, message)
    }

    pub fn sequenced(mut self, source: &str, sequence: u64, message: impl Into<Message>) -> Self {
        let message = message.into();
        let headers = Headers { source: source.to_owned(), sequence, ..Headers::default() };
        let topic = message.topic().to_owned();
        self.0.outbox.push(OutboxRow { topic, key: String::new(), headers, message: Some(message) });
        self
    }
}

impl From<Commit> for Fact {
    fn from(commit: Commit) -> Self {
        Self::Committed(commit.0)
    }
}

/// `trade-validated` shows a message.
pub fn shown(source: &str, sequence: u64) -> Fact {
    let headers = Headers { source: source.to_owned(), sequence, ..Headers::default() };
    Fact::Visible(Visible {
        topic: "trade-validated".to_owned(),
        partition: 0,
        offset: 0,
        leader_epoch: 0,
        key: String::new(),
        headers: Some(headers),
        message: None,
        payload: Default::default(),
    })
}

/// 10 shares of `ACME` from `S` to `B` at 2.50, of Friday 2026-03-06: settles on Monday the 9th for 25.00.
pub fn trade(id: &str) -> Trade {
    Trade {
        trade_id: id.to_owned(),
        instrument_id: "ACME".to_owned(),
        buyer_account_id: "B".to_owned(),
        seller_account_id: "S".to_owned(),
        quantity: 10,
        price: "2.50".to_owned(),
        currency: "USD".to_owned(),
        trade_date: "2026-03-06".to_owned(),
    }
}

pub fn opening(book: Book, account: &str, asset: &str, amount: &str) -> Fact {
    let (account, asset, amount) = (account.to_owned(), asset.to_owned(), amount.to_owned());
    Fact::Opening(Opening { book, account, asset, amount })
}

pub fn bank(kind: BankKind, uetr: &str, debtor: &str, creditor: &str, amount: &str, reference: &str) -> Fact {
    let [uetr, debtor, creditor, amount, reference] =
        [uetr, debtor, creditor, amount, reference].map(ToOwned::to_owned);
    Fact::Bank(BankMovement { kind, uetr, debtor, creditor, amount, reference })
}

pub fn executed(uetr: &str, debtor: &str, creditor: &str) -> Fact {
    bank(BankKind::Executed, uetr, debtor, creditor, "25.00", &format!("REF-{uetr}"))
}

pub fn asked(client: &str, key: &str, attempt: u32, body: RequestBody) -> Fact {
    let (client, idempotency_key) = (client.to_owned(), key.to_owned());
    Fact::Request(ClientRequest { client, idempotency_key, attempt, body })
}

pub fn answered(client: &str, key: &str, outcome: Outcome) -> Fact {
    let (client, idempotency_key) = (client.to_owned(), key.to_owned());
    Fact::Answer(ClientAnswer { client, idempotency_key, attempt: 1, outcome })
}

pub fn accepted(client: &str, key: &str, id: &str) -> Fact {
    answered(client, key, Outcome::Accepted { id: id.to_owned() })
}

/// The request for [`trade`].
pub fn asks_trade() -> RequestBody {
    let [instrument, buyer, seller, quantity, price] = ["ACME", "B", "S", "10", "2.5"].map(ToOwned::to_owned);
    RequestBody::Trade { instrument, buyer, seller, quantity, price }
}

/// Position validates: reserves on the seller, expects on the buyer.
pub fn validated(id: &str) -> Commit {
    let event = || PositionTrade { trade: Some(trade(id)) };
    Commit::by("position")
        .event("account/S", position_stored::Event::Reserved(event()))
        .event("account/B", position_stored::Event::Expected(event()))
        .message(TradeValidated { trade: Some(trade(id)) })
}

/// Clearing novates.
pub fn novated(id: &str) -> Commit {
    let event = TradeNovated { trade: Some(trade(id)), ..TradeNovated::default() };
    Commit::by("clearing").event(&format!("trade/{id}"), clearing_stored::Event::Novated(event))
}

pub fn step(id: &str) -> PositionStep {
    let (trade_id, instrument_id) = (id.to_owned(), "ACME".to_owned());
    PositionStep { trade_id, instrument_id, quantity: 10, attempt: 1, ..PositionStep::default() }
}

/// Position delivers both legs.
pub fn delivered(id: &str) -> Commit {
    Commit::by("position")
        .event("account/S", position_stored::Event::Delivered(step(id)))
        .event("account/B", position_stored::Event::Received(step(id)))
}

pub fn settled(id: &str) -> Commit {
    let event = settlement_stored::Event::Settled(Settled { batch: "2026-03-09".to_owned() });
    let message = SettlementCompleted {
        trade: Some(trade(id)),
        amount: "25.00".to_owned(),
        settled_on: "2026-03-09".to_owned(),
    };
    Commit::by("settlement").event(&format!("obligation/{id}"), event).message(message)
}

pub fn failed(id: &str) -> Commit {
    let event = settlement_stored::Event::Failed(Failed {
        batch: "2026-03-09".to_owned(),
        reason: "AM04".to_owned(),
    });
    let outcome = Some(settlement_failed::Outcome::Final(true));
    let message = SettlementFailed { trade: Some(trade(id)), reason: "AM04".to_owned(), outcome };
    Commit::by("settlement").event(&format!("obligation/{id}"), event).message(message)
}

/// Payment takes the instruction of a leg.
pub fn pays(leg: &str, debtor: &str, creditor: &str) -> Commit {
    let [leg_id, debtor, creditor] = [leg, debtor, creditor].map(ToOwned::to_owned);
    let instruction = PaymentInstruction {
        trade_id: leg_id.split('/').next().unwrap_or_default().to_owned(),
        leg_id,
        debtor,
        creditor,
        amount: "25.00".to_owned(),
        currency: "USD".to_owned(),
        settlement_date: "2026-03-09".to_owned(),
        attempt: 1,
        valid_until_ms: 0,
        trade_date: String::new(),
    };
    Commit::by("payment").event(&format!("payment/{leg}"), payment_stored::Event::Instructed(instruction))
}

pub fn answer(uetr: &str) -> PaymentAnswered {
    PaymentAnswered { attempt: 1, uetr: uetr.to_owned(), reason: String::new() }
}

/// Payment learns that the bank executed a leg.
pub fn confirmed(leg: &str, uetr: &str) -> Commit {
    Commit::by("payment").event(&format!("payment/{leg}"), payment_stored::Event::Confirmed(answer(uetr)))
}

/// Both legs of a trade, executed by the bank and confirmed.
pub fn paid(id: &str) -> Vec<Told> {
    let (buyer, seller) = (format!("{id}/buyer"), format!("{id}/seller"));
    let (first, second) = (format!("U-{buyer}"), format!("U-{seller}"));
    history![
        pays(&buyer, "B", "CCP"),
        executed(&first, "B", "CCP"),
        confirmed(&buyer, &first),
        pays(&seller, "CCP", "S"),
        executed(&second, "CCP", "S"),
        confirmed(&seller, &second),
    ]
}

pub fn booked(entry_id: &str, action: LedgerAction, legs: &[(&str, &str, &str)]) -> Commit {
    let leg = |(account, asset, amount): &(&str, &str, &str)| LedgerLeg {
        account_id: (*account).to_owned(),
        asset: (*asset).to_owned(),
        amount: (*amount).to_owned(),
    };
    let entry = LedgerEvent {
        action: action.into(),
        entry_id: entry_id.to_owned(),
        legs: legs.iter().map(leg).collect(),
        original_entry_id: String::new(),
    };
    Commit::by("ledger").event(&format!("entry/{entry_id}"), ledger_stored::Event::Booked(entry))
}

pub fn received(id: &str) -> trade_stored::Event {
    let trade = Trade { trade_date: String::new(), ..trade(id) };
    trade_stored::Event::Received(TradeReceived {
        trade: Some(trade),
        client: "c".to_owned(),
        ..TradeReceived::default()
    })
}

pub fn taken() -> trade_stored::Event {
    trade_stored::Event::Accepted(TradeAccepted {
        trade_date: "2026-03-06".to_owned(),
        ..TradeAccepted::default()
    })
}

pub fn advanced(step: TradeState, state: TradeState) -> trade_stored::Event {
    trade_stored::Event::Advanced(TradeAdvanced {
        step: step.into(),
        state: state.into(),
        settlement_date: String::new(),
        reason: String::new(),
    })
}
