//! What the stream of one account adds up to.

use std::collections::{BTreeMap, BTreeSet};

use contracts::events::position_stored::Event;
use contracts::events::{PositionStep, Trade};
use model::hash_id;
use model::hash_id::HashId;

use crate::support::contract;

/// Shares of one instrument. Where a sum does not hold the stream is broken: the arithmetic panics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    pub settled: u64,
    /// Promised to trades, and not blocked.
    pub reserved: u64,
    /// Promised, and set aside by an attempt to settle.
    pub blocked: u64,
    /// Bought, and not received.
    pub pending: u64,
}

impl Holding {
    /// What may still be promised.
    pub fn free(self, unsettled_purchases_count: bool) -> u64 {
        let usable = self.settled + if unsettled_purchases_count { self.pending } else { 0 };
        usable.saturating_sub(self.reserved + self.blocked)
    }

    /// What an attempt to settle can set aside.
    pub fn unblocked(self) -> u64 {
        self.settled.saturating_sub(self.blocked)
    }
}

/// A trade that this account sells and has not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub quantity: u64,
    pub phase: Phase,
    /// The newest attempt that asked for the shares; 0 before the first.
    pub attempt: u32,
    /// The newest attempt that was released.
    pub released: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Reserved,
    Blocked,
}

/// State of `account/<id>`.
#[derive(Clone, Debug, Default)]
pub struct Account {
    holdings: BTreeMap<String, Holding>,
    sales: BTreeMap<HashId, Reservation>,
    /// Refused, delivered and failed sales stay known: a late duplicate of a submission must not reserve again.
    finished: BTreeSet<HashId>,
}

impl Account {
    pub fn holding(&self, instrument: &str) -> Holding {
        self.holdings.get(instrument).copied().unwrap_or_default()
    }

    /// Whether this account has sold, or failed to sell, in that trade.
    pub fn knows(&self, trade: &str) -> bool {
        let trade = compact(trade);
        self.sales.contains_key(&trade) || self.finished.contains(&trade)
    }

    pub fn reservation(&self, trade: &str) -> Option<&Reservation> {
        self.sales.get(&compact(trade))
    }

    /// As much of the account as events about one trade touch.
    pub fn excerpt(&self, instrument: &str, trade: &str) -> Self {
        let trade = compact(trade);
        Self {
            holdings: [(instrument.to_owned(), self.holding(instrument))].into(),
            sales: self.sales.get(&trade).map(|reservation| (trade, *reservation)).into_iter().collect(),
            finished: BTreeSet::new(),
        }
    }

    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Opened(opened) => self.of(&opened.instrument_id).settled += opened.quantity,
            Event::Reserved(reserved) => self.reserve(contract::trade(&reserved.trade)),
            Event::Expected(expected) => {
                let trade = contract::trade(&expected.trade);
                self.of(&trade.instrument_id).pending += trade.quantity;
            }
            Event::Refused(refused) => {
                self.finished.insert(compact(&contract::trade(&refused.trade).trade_id));
            }
            Event::Blocked(step) => {
                let holding = self.of(&step.instrument_id);
                holding.reserved -= step.quantity;
                holding.blocked += step.quantity;
                self.sale(step, |sale| (sale.phase, sale.attempt) = (Phase::Blocked, step.attempt));
            }
            Event::BlockRefused(step) => self.sale(step, |sale| sale.attempt = step.attempt),
            Event::Delivered(step) => {
                let holding = self.of(&step.instrument_id);
                holding.blocked -= step.quantity;
                holding.settled -= step.quantity;
                self.finish(step);
            }
            Event::Received(step) => {
                let holding = self.of(&step.instrument_id);
                holding.pending -= step.quantity;
                holding.settled += step.quantity;
            }
            Event::Released(step) if step.r#final => self.end(step),
            Event::Released(step) => {
                let holding = self.of(&step.instrument_id);
                holding.blocked -= step.quantity;
                holding.reserved += step.quantity;
                self.sale(step, |sale| {
                    sale.phase = Phase::Reserved;
                    sale.attempt = sale.attempt.max(step.attempt);
                    sale.released = step.attempt;
                });
            }
            Event::ReceiptCancelled(step) => self.of(&step.instrument_id).pending -= step.quantity,
        }
    }

    fn reserve(&mut self, trade: &Trade) {
        self.of(&trade.instrument_id).reserved += trade.quantity;
        let reservation =
            Reservation { quantity: trade.quantity, phase: Phase::Reserved, attempt: 0, released: 0 };
        self.sales.insert(compact(&trade.trade_id), reservation);
    }

    /// The promise ends, wherever its shares are.
    fn end(&mut self, step: &PositionStep) {
        if let Some(sale) = self.sales.get(&compact(&step.trade_id)).copied() {
            let holding = self.of(&step.instrument_id);
            match sale.phase {
                Phase::Reserved => holding.reserved -= sale.quantity,
                Phase::Blocked => holding.blocked -= sale.quantity,
            }
        }
        self.finish(step);
    }

    fn finish(&mut self, step: &PositionStep) {
        let trade = compact(&step.trade_id);
        self.sales.remove(&trade);
        self.finished.insert(trade);
    }

    fn sale(&mut self, step: &PositionStep, change: impl FnOnce(&mut Reservation)) {
        if let Some(sale) = self.sales.get_mut(&compact(&step.trade_id)) {
            change(sale);
        }
    }

    fn of(&mut self, instrument: &str) -> &mut Holding {
        // Not `entry`: it would take a copy of the name of every holding that is there.
        if !self.holdings.contains_key(instrument) {
            self.holdings.insert(instrument.to_owned(), Holding::default());
        }
        self.holdings.get_mut(instrument).expect("it was inserted above")
    }
}

/// A trade's id in 16 bytes: an account remembers every trade it ever sold in.
fn compact(trade: &str) -> HashId {
    hash_id("sale", &[trade], 0)
}
