//! A good day: trades from request to notice, in numbered records, for all oracles at once.
//!
//! Every trade is that of [`trade`](super::trade), under another id.

use std::collections::BTreeMap;

use contracts::events::*;

use super::*;
use crate::day::Day;
use crate::fact::{Phase, VenueMessage};

#[derive(Default)]
pub struct GoodDay {
    pub told: Vec<Told>,
    now_ns: i64,
    transactions: u64,
    versions: BTreeMap<(String, String), u64>,
    sequences: BTreeMap<(String, String), u64>,
}

impl GoodDay {
    /// `trades` trades of Friday, settled on Monday.
    pub fn of(trades: usize) -> Vec<Told> {
        let opens_ns = Day::parse("2026-03-09").expect("a date").settlement_opens_ns();
        let mut day = Self { now_ns: opens_ns - 3_600_000_000_000, ..Self::default() };
        let ids: Vec<String> = (1..=trades).map(|number| format!("T-{number}")).collect();
        day.opens(trades);
        ids.iter().for_each(|id| day.trades(id));
        day.seals(trades);
        day.now_ns = opens_ns;
        day.batch(settlement_stored::Event::BatchStarted(BatchStarted {
            settlement_date: "2026-03-09".to_owned(),
            at_ms: opens_ns / 1_000_000,
            instructions: trades as u64,
        }));
        ids.iter().for_each(|id| day.settles(id));
        let settlement_date = "2026-03-09".to_owned();
        day.batch(settlement_stored::Event::BatchClosed(BatchClosed { settlement_date }));
        day.told
    }

    fn tell(&mut self, fact: Fact) {
        self.told.push((self.now_ns, fact).into());
    }

    /// Numbers a commit, tells it, and shows its messages.
    fn commit(&mut self, commit: Commit) {
        let mut committed = commit.0;
        self.transactions += 1;
        committed.transaction = self.transactions;
        committed.database_time_ns = self.now_ns;
        for row in &mut committed.events {
            let version = self.versions.entry((committed.database.clone(), row.stream.clone())).or_default();
            *version += 1;
            row.version = *version;
        }
        let source = committed.events.first().map_or_else(String::new, |row| row.stream.clone());
        for row in &mut committed.outbox {
            row.headers.source = format!("{}/{source}", committed.database);
            let sequence = self.sequences.entry((row.headers.source.clone(), row.topic.clone())).or_default();
            *sequence += 1;
            row.headers.sequence = *sequence;
        }
        let outbox = committed.outbox.clone();
        self.tell(Fact::Committed(committed));
        for row in outbox {
            let payload = row.message.as_ref().map(Message::encode).unwrap_or_default();
            self.tell(Fact::Visible(Visible {
                topic: row.topic,
                partition: 0,
                offset: 0,
                leader_epoch: 0,
                key: row.key,
                headers: Some(row.headers),
                message: row.message,
                payload,
            }));
        }
    }

    fn opens(&mut self, trades: usize) {
        self.tell(Fact::NodeStarted);
        self.tell(Fact::Phase(Phase::Load));
        let (cash, shares) = (format!("{}.00", trades * 25), (trades * 10).to_string());
        for book in [Book::Bank, Book::Ledger] {
            self.tell(opening(book, "B", "USD", &cash));
        }
        for book in [Book::Position, Book::Ledger] {
            self.tell(opening(book, "S", "ACME", &shares));
        }
        for account in ["B", "S"] {
            let (account_id, participant_id) = (account.to_owned(), format!("P-{account}"));
            let opened = AccountOpened { account_id, participant_id, ..AccountOpened::default() };
            let event = reference_stored::Event::AccountOpened(opened);
            self.commit(Commit::by("reference-data").event(&format!("account/{account}"), event));
        }
    }

    fn trade_event(&mut self, id: &str, event: trade_stored::Event) {
        self.commit(Commit::by("trade").event(&format!("trade/{id}"), event));
    }

    /// From the request to the settlement instruction.
    fn trades(&mut self, id: &str) {
        self.tell(asked("c", id, 1, asks_trade()));
        let submitted = TradeSubmitted { trade: Some(trade(id)) };
        let stream = format!("trade/{id}");
        self.commit(
            Commit::by("trade").event(&stream, received(id)).event(&stream, taken()).message(submitted),
        );
        self.tell(accepted("c", id, id));
        self.commit(validated(id));
        self.trade_event(id, advanced(TradeState::Validated, TradeState::Validated));
        let (trade, settlement_date) = (Some(trade(id)), "2026-03-09".to_owned());
        let novated = TradeNovated {
            trade: trade.clone(),
            settlement_date: settlement_date.clone(),
            ..Default::default()
        };
        let instruction = SettlementInstruction { trade, settlement_date, amount: "25.00".to_owned() };
        let event = clearing_stored::Event::Novated(novated.clone());
        self.commit(
            Commit::by("clearing").event(&stream, event).message(novated).message(instruction.clone()),
        );
        self.trade_event(id, advanced(TradeState::Instructed, TradeState::Instructed));
        self.trade_event(id, advanced(TradeState::Cleared, TradeState::Instructed));
        let event = settlement_stored::Event::Instructed(instruction);
        self.commit(Commit::by("settlement").event(&format!("obligation/{id}"), event));
    }

    fn seals(&mut self, trades: usize) {
        let (venue, trade_date) = ("XNYS".to_owned(), "2026-03-06".to_owned());
        self.tell(Fact::Venue { venue, trade_date: trade_date.clone(), message: VenueMessage::EndOfDay });
        let sealed = VenueSealed { trade_date, accepted: trades as u64, ..VenueSealed::default() };
        self.commit(Commit::by("trade").event("venue/XNYS", trade_stored::Event::VenueSealed(sealed)));
        let cleared = TradeDateCleared {
            trade_date: "2026-03-06".to_owned(),
            settlement_date: "2026-03-09".to_owned(),
            instructions: trades as u64,
        };
        let event = clearing_stored::Event::DateCleared(cleared.clone());
        self.commit(Commit::by("clearing").event("trade-date/2026-03-06", event).message(cleared.clone()));
        let event = settlement_stored::Event::SealReceived(cleared);
        self.commit(Commit::by("settlement").event("seals/2026-03-09", event));
    }

    fn batch(&mut self, event: settlement_stored::Event) {
        self.commit(Commit::by("settlement").event("settlement/2026-03-09", event));
    }

    /// From the attempt to the notices.
    fn settles(&mut self, id: &str) {
        let obligation = format!("obligation/{id}");
        let started = AttemptStarted { attempt: 1, batch: "2026-03-09".to_owned() };
        self.commit(
            Commit::by("settlement").event(&obligation, settlement_stored::Event::AttemptStarted(started)),
        );
        self.commit(Commit::by("position").event("account/S", position_stored::Event::Blocked(step(id))));
        self.pays(id, "buyer", "B", "CCP");
        self.pays(id, "seller", "CCP", "S");
        self.commit(delivered(id));
        for (account, sold, bought) in [("S", "-10", "10"), ("B", "10", "-10")] {
            let legs = [(account, "ACME", sold), ("CCP", "ACME", bought)];
            self.commit(booked(&format!("delivery/{id}/{account}"), LedgerAction::Posted, &legs));
        }
        self.commit(settled(id));
        self.trade_event(id, advanced(TradeState::Settled, TradeState::Settled));
        for account in ["B", "S"] {
            self.notifies(&format!("settlement-completed/{id}"), account);
        }
    }

    fn pays(&mut self, id: &str, side: &str, debtor: &str, creditor: &str) {
        let (leg, uetr) = (format!("{id}/{side}"), format!("U-{id}-{side}"));
        self.commit(pays(&leg, debtor, creditor));
        self.tell(executed(&uetr, debtor, creditor));
        self.commit(confirmed(&leg, &uetr));
        let legs = [(debtor, "USD", "-25.00"), (creditor, "USD", "25.00")];
        self.commit(booked(&format!("payment/{id}/{side}/1"), LedgerAction::Posted, &legs));
    }

    fn notifies(&mut self, event_id: &str, account: &str) {
        let stream = format!("notice/{event_id}/{account}");
        let (event_id, channel) = (event_id.to_owned(), account.to_owned());
        let due = NoticeDue {
            event_id: event_id.clone(),
            channel: channel.clone(),
            participant_id: format!("P-{account}"),
            text: String::new(),
        };
        self.commit(Commit::by("notification").event(&stream, notification_stored::Event::Due(due)));
        let (receiver, event, through) = (account.to_owned(), event_id.clone(), channel.clone());
        self.tell(Fact::Notified { receiver, event_id: event, channel: through });
        let filed = notification_stored::Event::Delivered(NoticeDelivered { event_id, channel });
        self.commit(Commit::by("notification").event(&stream, filed));
    }
}
