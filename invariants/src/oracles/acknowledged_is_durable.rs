//! What was told to anybody was committed before, and is never lost again.
//!
//! Why it can break: an answer sent before the commit, a commit acknowledged by a primary without its
//! standby, or a failover to a standby that lags. A client is told by an answer: trades are trade's, withdrawals
//! payment's, instruments and accounts reference data's. Other services are told by a message in a topic, the
//! bank by an order: of those only the loss is judged here, their order is `stream_events_in_order`'s.

use std::collections::{BTreeMap, VecDeque};

use contracts::events::{payment_stored, reference_stored, trade_stored};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::book::likeness;
use crate::fact::{BankKind, ClientAnswer, ClientRequest, Committed, Outcome, RequestBody, Visible};
use crate::lookback::WINDOW;
use crate::read::{payment, reference, subject, trade};
use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

/// One message: its source stream and topic, as a hash, and its sequence.
type MessageId = (u128, u64);

#[derive(Default)]
pub struct AcknowledgedIsDurable {
    /// What each client asked for, by client and idempotency key.
    asked: BTreeMap<(String, String), Kind>,
    /// What was committed, by kind and id.
    stored: BTreeMap<(Kind, String), Stored>,
    /// The latest transactions, as long as they may be lost.
    held: VecDeque<Held>,
    /// Messages of theirs, and where a topic showed each.
    messages: BTreeMap<MessageId, Option<u64>>,
    /// Messages and orders to the bank that are not committed any more, and where they were lost.
    lost_messages: BTreeMap<MessageId, u64>,
    lost_orders: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Trade,
    Withdrawal,
    Instrument,
    Account,
}

#[derive(Default)]
struct Stored {
    committed: u64,
    lost: Option<u64>,
    acknowledged: Option<u64>,
}

/// What a transaction of a database told, or meant to tell.
struct Held {
    database: String,
    transaction: u64,
    at: u64,
    stored: Vec<(Kind, String)>,
    messages: Vec<MessageId>,
    /// By their likeness: no UETR names them here.
    orders: Vec<String>,
}

impl Kind {
    fn of(body: &RequestBody) -> Option<Self> {
        match body {
            RequestBody::Trade { .. } => Some(Self::Trade),
            RequestBody::Withdrawal { .. } => Some(Self::Withdrawal),
            RequestBody::Instrument { .. } => Some(Self::Instrument),
            RequestBody::Account { .. } => Some(Self::Account),
            RequestBody::Deposit { .. } | RequestBody::Get { .. } => None,
        }
    }

    fn owner(self) -> &'static str {
        match self {
            Self::Trade => "trade",
            Self::Withdrawal => "payment",
            Self::Instrument | Self::Account => "reference-data",
        }
    }
}

/// Whatever a commit makes durable that a client may be told of.
fn stored(fact: &Fact) -> impl Iterator<Item = (Kind, &str)> {
    let trades = trade(fact)
        .filter(|(_, event)| matches!(event, trade_stored::Event::Received(_)))
        .map(|(row, _)| (Kind::Trade, subject(&row.stream)));
    let withdrawals = payment(fact)
        .filter(|(_, event)| matches!(event, payment_stored::Event::WithdrawalRequested(_)))
        .map(|(row, _)| (Kind::Withdrawal, subject(&row.stream)));
    let reference_data = reference(fact).map(|(_, event)| match event {
        reference_stored::Event::InstrumentListed(listed) => {
            (Kind::Instrument, listed.instrument_id.as_str())
        }
        reference_stored::Event::AccountOpened(opened) => (Kind::Account, opened.account_id.as_str()),
    });
    trades.chain(withdrawals).chain(reference_data)
}

/// Payments that a commit orders from the bank.
fn orders(fact: &Fact) -> impl Iterator<Item = String> {
    payment(fact).filter_map(|(_, event)| match event {
        payment_stored::Event::Instructed(order) => {
            Some(likeness(&order.debtor, &order.creditor, &order.amount))
        }
        _ => None,
    })
}

fn message_id(source: &str, topic: &str, sequence: u64) -> MessageId {
    (xxh3_128_with_seed(source.as_bytes(), xxh3_64(topic.as_bytes())), sequence)
}

impl Held {
    fn of(fact: &Fact, committed: &Committed, at: u64) -> Self {
        let message =
            |row: &crate::fact::OutboxRow| message_id(&row.headers.source, &row.topic, row.headers.sequence);
        Self {
            database: committed.database.clone(),
            transaction: committed.transaction,
            at,
            stored: stored(fact).map(|(kind, id)| (kind, id.to_owned())).collect(),
            messages: committed.outbox.iter().map(message).collect(),
            orders: orders(fact).collect(),
        }
    }

    /// It concerns nobody outside its database.
    fn is_silent(&self) -> bool {
        self.stored.is_empty() && self.messages.is_empty() && self.orders.is_empty()
    }
}

impl AcknowledgedIsDurable {
    fn asked(&mut self, request: &ClientRequest) {
        if let Some(kind) = Kind::of(&request.body) {
            self.asked.insert((request.client.clone(), request.idempotency_key.clone()), kind);
        }
    }

    fn committed(&mut self, fact: &Fact, committed: &Committed, at: u64) {
        let held = Held::of(fact, committed, at);
        if held.is_silent() {
            return;
        }
        for key in &held.stored {
            let stored = self.stored.entry(key.clone()).or_default();
            (stored.committed, stored.lost) = (at, None);
        }
        for message in &held.messages {
            self.messages.insert(*message, None);
            self.lost_messages.remove(message);
        }
        for order in &held.orders {
            self.lost_orders.remove(order);
        }
        if self.held.len() == WINDOW
            && let Some(old) = self.held.pop_front()
        {
            for message in old.messages {
                self.messages.remove(&message);
            }
        }
        self.held.push_back(held);
    }

    fn acknowledged(&mut self, answer: &ClientAnswer, at: u64) -> Result<(), Violation> {
        let asked = self.asked.get(&(answer.client.clone(), answer.idempotency_key.clone()));
        let (Some(kind), Outcome::Accepted { id }) = (asked, &answer.outcome) else { return Ok(()) };
        let told = format!("{} was told that {id} is accepted", answer.client);
        let broken = |why: &str, seen: Vec<u64>| {
            let why = format!("{told}, {why} {}", kind.owner());
            Err(Violation::new(why).about([id, &answer.client]).seen_at(seen))
        };
        match self.stored.get_mut(&(*kind, id.clone())) {
            None => broken("which was never committed by", vec![at]),
            Some(Stored { committed, lost: Some(lost), .. }) => {
                broken("whose commit had been lost by", vec![*committed, *lost, at])
            }
            Some(stored) => {
                stored.acknowledged = Some(at);
                Ok(())
            }
        }
    }

    fn shown(&mut self, visible: &Visible, at: u64) -> Result<(), Violation> {
        let Some(headers) = &visible.headers else { return Ok(()) };
        let (source, topic, sequence) = (&headers.source, &visible.topic, headers.sequence);
        let id = message_id(source, topic, sequence);
        if let Some(lost) = self.lost_messages.get(&id) {
            let why = format!("{topic} shows message {sequence} of {source}, whose commit had been lost");
            return Err(Violation::new(why).about([source, topic]).seen_at([*lost, at]));
        }
        if let Some(shown) = self.messages.get_mut(&id) {
            shown.get_or_insert(at);
        }
        Ok(())
    }

    fn executed(&self, debtor: &str, creditor: &str, amount: &str, at: u64) -> Result<(), Violation> {
        let Some(lost) = self.lost_orders.get(&likeness(debtor, creditor, amount)) else { return Ok(()) };
        let why = format!(
            "the bank paid {amount} from {debtor} to {creditor}, payment had lost the commit of the order"
        );
        Err(Violation::new(why).about([debtor, creditor]).seen_at([*lost, at]))
    }

    fn lost(&mut self, database: &str, transaction: u64, at: u64) -> Result<(), Violation> {
        let is_it = |held: &Held| held.transaction == transaction && held.database == database;
        let Some(index) = self.held.iter().rposition(is_it) else { return Ok(()) };
        let Some(held) = self.held.remove(index) else { return Ok(()) };
        let mut told = None;
        for key in held.stored {
            let Some(stored) = self.stored.get_mut(&key) else { continue };
            stored.lost = Some(at);
            told = told.or(stored
                .acknowledged
                .map(|told_at| (format!("{} was acknowledged", key.1), key.1, told_at)));
        }
        for message in held.messages {
            self.lost_messages.insert(message, at);
            let shown = self.messages.remove(&message).flatten();
            told = told.or(shown.map(|shown_at| {
                (format!("message {} of it was published", message.1), database.to_owned(), shown_at)
            }));
        }
        self.lost_orders.extend(held.orders.into_iter().map(|order| (order, at)));
        let Some((what, about, told_at)) = told else { return Ok(()) };
        let why = format!("{what}, then {database} lost transaction {transaction} that held it");
        Err(Violation::new(why).about([about]).seen_at([held.at, told_at, at]))
    }
}

impl Invariant for AcknowledgedIsDurable {
    fn name(&self) -> &'static str {
        "acknowledged_is_durable"
    }

    fn about(&self) -> &'static str {
        "What a client was told is accepted was committed before and is never lost, nor is what a topic has \
         shown. It breaks when an answer overtakes its commit, or a failover goes to a standby that lacks what \
         the old primary acknowledged."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed, FactKind::Request, FactKind::Answer]
    }

    fn welcomes(&self) -> &'static [FactKind] {
        &[FactKind::CommitLost, FactKind::Visible, FactKind::Bank]
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        let at = record.sequence;
        match record.fact {
            Fact::Request(request) => self.asked(request),
            Fact::Committed(committed) => self.committed(record.fact, committed, at),
            Fact::Answer(answer) => return self.acknowledged(answer, at).into(),
            Fact::Visible(visible) => return self.shown(visible, at).into(),
            Fact::Bank(moved) if moved.kind == BankKind::Executed => {
                return self.executed(&moved.debtor, &moved.creditor, &moved.amount, at).into();
            }
            Fact::CommitLost { database, transaction } => {
                return self.lost(database, *transaction, at).into();
            }
            _ => {}
        }
        Verdict::Holds
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::TradeValidated;

    use super::*;
    use crate::testing::{
        Commit, Told, accepted, answered, asked, asks_trade, breaks, executed, history, holds, pays,
        received, shown,
    };

    fn asks() -> Fact {
        asked("c", "k", 1, asks_trade())
    }

    fn commit() -> Told {
        Commit::by("trade").transaction(7).event("trade/T-1", received("T-1")).into()
    }

    fn lost() -> Fact {
        lost_by("trade")
    }

    fn lost_by(database: &str) -> Fact {
        Fact::CommitLost { database: database.to_owned(), transaction: 7 }
    }

    /// Position validates, and the topic shows it.
    fn validated() -> Commit {
        let message = TradeValidated { trade: None };
        Commit::by("position").transaction(7).sequenced("position/account/S", 1, message)
    }

    #[test]
    fn holds_when_the_commit_comes_first() {
        let account = RequestBody::Deposit { account: "B".to_owned(), amount: "1.00".to_owned() };
        let told = history![
            asks(),
            commit(),
            accepted("c", "k", "T-1"),
            asked("c", "d", 1, account),
            accepted("c", "d", "R-1")
        ];
        holds(AcknowledgedIsDurable::default(), told);
    }

    #[test]
    fn breaks_when_the_answer_comes_first() {
        let told = history![asks(), accepted("c", "k", "T-1")];
        breaks(AcknowledgedIsDurable::default(), told, "T-1 is accepted, which was never committed by trade");
    }

    #[test]
    fn breaks_when_the_commit_is_lost() {
        let told = history![asks(), commit(), accepted("c", "k", "T-1"), lost()];
        breaks(AcknowledgedIsDurable::default(), told, "trade lost transaction 7");
        let told = history![asks(), commit(), lost(), accepted("c", "k", "T-1")];
        breaks(AcknowledgedIsDurable::default(), told, "whose commit had been lost by trade");
    }

    #[test]
    fn holds_when_a_lost_commit_is_made_again() {
        holds(
            AcknowledgedIsDurable::default(),
            history![asks(), commit(), lost(), commit(), accepted("c", "k", "T-1")],
        );
    }

    #[test]
    fn breaks_when_a_published_message_is_lost() {
        let told = history![validated(), shown("position/account/S", 1), lost_by("position")];
        breaks(AcknowledgedIsDurable::default(), told, "message 1 of it was published, then position lost");
        let told = history![validated(), lost_by("position"), shown("position/account/S", 1)];
        breaks(AcknowledgedIsDurable::default(), told, "whose commit had been lost");
    }

    #[test]
    fn holds_when_a_commit_is_lost_that_nobody_was_told_of() {
        let shown = || shown("position/account/S", 1);
        let told = history![validated(), lost_by("position"), validated(), shown(), shown()];
        holds(AcknowledgedIsDurable::default(), told);
        // The numbers of lost transactions are given out again, and another one's loss is not this one's.
        let told = history![validated(), shown(), lost_by("trade")];
        holds(AcknowledgedIsDurable::default(), told);
    }

    #[test]
    fn breaks_when_the_bank_pays_an_order_that_was_lost() {
        let ordered = || pays("T-1/buyer", "B", "CCP").transaction(7);
        let told = history![ordered(), lost_by("payment"), executed("U-1", "B", "CCP")];
        breaks(AcknowledgedIsDurable::default(), told, "payment had lost the commit of the order");
        let told = history![ordered(), lost_by("payment"), ordered(), executed("U-1", "B", "CCP")];
        holds(AcknowledgedIsDurable::default(), told);
    }

    #[test]
    fn holds_when_the_client_never_hears_of_it() {
        let unknown = answered("c", "k", Outcome::Unknown);
        holds(AcknowledgedIsDurable::default(), history![asks(), commit(), unknown, lost()]);
    }

    #[test]
    fn breaks_when_the_second_of_two_equal_requests_is_told_too_much() {
        let told = history![asks(), asks(), commit(), accepted("c", "k", "T-1"), accepted("c", "k", "T-2")];
        breaks(AcknowledgedIsDurable::default(), told, "T-2 is accepted, which was never committed");
    }
}
