//! A trade's two legs move as one: reserved on the seller with expected on the buyer, delivered with
//! received.
//!
//! Why it can break: the two accounts are two streams, perhaps two keys and two partitions. A decision that
//! stores one leg now and the other "soon" shows a trade of which only one side knows, and loses the other in
//! a crash.

use std::collections::BTreeMap;

use contracts::events::Trade;
use contracts::events::position_stored::Event;

use crate::read::{position, subject};
use crate::{FactKind, Invariant, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct TradeLegsAtomic {
    /// Reserved trades, until they have been delivered or given up.
    open: BTreeMap<String, Terms>,
}

#[derive(Clone)]
struct Terms {
    seller: String,
    buyer: String,
    instrument: String,
    quantity: u64,
    reserved_at: u64,
}

/// What one transaction says of one trade: account, instrument and quantity of each leg.
#[derive(Default)]
struct Legs<'e> {
    reserved: Vec<Leg<'e>>,
    expected: Vec<Leg<'e>>,
    delivered: Vec<Leg<'e>>,
    received: Vec<Leg<'e>>,
    terms: Option<&'e Trade>,
    given_up: bool,
}

type Leg<'e> = (&'e str, &'e str, u64);

impl TradeLegsAtomic {
    fn judge(&mut self, id: &str, legs: &Legs<'_>, at: u64) -> Result<(), Violation> {
        let broken = |why: String, since: u64| {
            let seen = [since, at].into_iter().filter(|record| *record > 0);
            Err(Violation::new(format!("trade {id}: {why}")).about([id]).seen_at(seen))
        };
        let pairs = [
            ("reserved", &legs.reserved, "expected", &legs.expected),
            ("delivered", &legs.delivered, "received", &legs.received),
        ];
        for (selling, sold, buying, bought) in pairs {
            if sold.len() != bought.len() || sold.len() > 1 {
                let (sold, bought) = (sold.len(), bought.len());
                return broken(format!("one transaction holds {sold} {selling} and {bought} {buying}"), 0);
            }
            if let (Some(sold), Some(bought)) = (sold.first(), bought.first())
                && (sold.1, sold.2) != (bought.1, bought.2)
            {
                let why = format!("{selling} {} {}, {buying} {} {}", sold.2, sold.1, bought.2, bought.1);
                return broken(why, 0);
            }
        }
        if let Some(trade) = legs.terms {
            self.open.insert(id.to_owned(), Terms::of(trade, at));
        }
        let Some(terms) = self.open.get(id) else { return Ok(()) };
        let sides = [
            (&terms.seller, &legs.reserved, &legs.delivered),
            (&terms.buyer, &legs.expected, &legs.received),
        ];
        for (account, promised, moved) in sides {
            let expected = (account.as_str(), terms.instrument.as_str(), terms.quantity);
            if let Some(leg) = promised.iter().chain(moved).find(|leg| **leg != expected) {
                let why = format!(
                    "a leg of {} {} at {}, agreed were {} {} at {account}",
                    leg.2, leg.1, leg.0, terms.quantity, terms.instrument
                );
                return broken(why, if terms.reserved_at < at { terms.reserved_at } else { 0 });
            }
        }
        if legs.given_up || !legs.delivered.is_empty() {
            self.open.remove(id);
        }
        Ok(())
    }
}

impl Terms {
    fn of(trade: &Trade, reserved_at: u64) -> Self {
        Self {
            seller: trade.seller_account_id.clone(),
            buyer: trade.buyer_account_id.clone(),
            instrument: trade.instrument_id.clone(),
            quantity: trade.quantity,
            reserved_at,
        }
    }
}

impl<'e> Legs<'e> {
    fn note(&mut self, account: &'e str, event: &'e Event) {
        match event {
            Event::Reserved(leg) => {
                self.terms = leg.trade.as_ref();
                self.reserved.extend(leg.trade.as_ref().map(|trade| promised(account, trade)));
            }
            Event::Expected(leg) => {
                self.expected.extend(leg.trade.as_ref().map(|trade| promised(account, trade)))
            }
            Event::Delivered(step) => self.delivered.push((account, &step.instrument_id, step.quantity)),
            Event::Received(step) => self.received.push((account, &step.instrument_id, step.quantity)),
            Event::Released(step) => self.given_up |= step.r#final,
            _ => {}
        }
    }
}

fn promised<'e>(account: &'e str, trade: &'e Trade) -> Leg<'e> {
    (account, &trade.instrument_id, trade.quantity)
}

fn trade_of(event: &Event) -> Option<&str> {
    match event {
        Event::Reserved(leg) | Event::Expected(leg) => {
            leg.trade.as_ref().map(|trade| trade.trade_id.as_str())
        }
        Event::Delivered(step) | Event::Received(step) | Event::Released(step) => Some(&step.trade_id),
        _ => None,
    }
}

impl Invariant for TradeLegsAtomic {
    fn name(&self) -> &'static str {
        "trade_legs_atomic"
    }

    fn about(&self) -> &'static str {
        "Position stores both legs of a trade in one transaction: reserved with expected, delivered with \
         received, in equal quantities, on the trade's own accounts. It breaks when the two accounts are \
         decided apart."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        let mut trades: BTreeMap<&str, Legs<'_>> = BTreeMap::new();
        for (row, event) in position(record.fact) {
            if let Some(trade) = trade_of(event) {
                trades.entry(trade).or_default().note(subject(&row.stream), event);
            }
        }
        trades.iter().try_for_each(|(trade, legs)| self.judge(trade, legs, record.sequence)).into()
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::{PositionStep, PositionTrade};

    use super::*;
    use crate::testing::{Commit, breaks, delivered, history, holds, step, trade, validated};

    #[test]
    fn holds_when_both_legs_are_one_transaction() {
        holds(TradeLegsAtomic::default(), history![validated("T-1"), validated("T-2"), delivered("T-1")]);
    }

    #[test]
    fn breaks_when_only_the_seller_knows() {
        let reserved = Event::Reserved(PositionTrade { trade: Some(trade("T-1")) });
        let half = Commit::by("position").event("account/S", reserved);
        breaks(TradeLegsAtomic::default(), history![half], "1 reserved and 0 expected");
    }

    #[test]
    fn breaks_when_less_is_received() {
        let received = PositionStep { quantity: 9, ..step("T-1") };
        let uneven = Commit::by("position")
            .event("account/S", Event::Delivered(step("T-1")))
            .event("account/B", Event::Received(received));
        let told = history![validated("T-1"), uneven];
        breaks(TradeLegsAtomic::default(), told, "delivered 10 ACME, received 9 ACME");
    }

    #[test]
    fn breaks_when_somebody_else_receives() {
        let astray = Commit::by("position")
            .event("account/S", Event::Delivered(step("T-1")))
            .event("account/X", Event::Received(step("T-1")));
        let told = history![validated("T-1"), astray];
        breaks(TradeLegsAtomic::default(), told, "10 ACME at X, agreed were 10 ACME at B");
    }
}
