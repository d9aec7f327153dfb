//! No account ever promises or delivers more shares than it holds.
//!
//! Why it can break: two trades of one account decided against the same balance, by two instances after a
//! rebalance, by a zombie after a failover, or on a stale read. Shares bought and not yet received do not
//! count.

use std::collections::BTreeMap;

use contracts::events::position_stored::Event;

use crate::book::entry;
use crate::fact::Book;
use crate::read::{position, subject};
use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct NoOversell {
    /// By account and instrument.
    holdings: BTreeMap<String, BTreeMap<String, Holding>>,
    /// Open reservations by trade.
    promises: BTreeMap<String, u64>,
}

#[derive(Clone, Default)]
struct Holding {
    settled: i128,
    promised: i128,
    /// The opening is a fact already: the stored event repeats it.
    opened: bool,
    last: u64,
}

impl NoOversell {
    fn holding(&mut self, account: &str, instrument: &str) -> &mut Holding {
        entry(entry(&mut self.holdings, account), instrument)
    }

    fn follow(&mut self, account: &str, event: &Event, at: u64) -> Result<(), Violation> {
        let (trade, instrument) = match event {
            Event::Opened(opened) => {
                let holding = self.holding(account, &opened.instrument_id);
                if !holding.opened {
                    *holding =
                        Holding { settled: opened.quantity.into(), opened: true, ..Holding::default() };
                }
                return Ok(());
            }
            Event::Reserved(reserved) => {
                let Some(trade) = &reserved.trade else { return Ok(()) };
                *entry(&mut self.promises, &trade.trade_id) += trade.quantity;
                self.holding(account, &trade.instrument_id).promised += i128::from(trade.quantity);
                (&trade.trade_id, &trade.instrument_id)
            }
            Event::Delivered(step) => {
                let promised = self.promises.remove(&step.trade_id).unwrap_or(0);
                let holding = self.holding(account, &step.instrument_id);
                holding.settled -= i128::from(step.quantity);
                holding.promised -= i128::from(promised);
                (&step.trade_id, &step.instrument_id)
            }
            Event::Received(step) => {
                self.holding(account, &step.instrument_id).settled += i128::from(step.quantity);
                (&step.trade_id, &step.instrument_id)
            }
            Event::Released(step) if step.r#final => {
                let promised = self.promises.remove(&step.trade_id).unwrap_or(0);
                self.holding(account, &step.instrument_id).promised -= i128::from(promised);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let Holding { settled, promised, last, .. } = self.holding(account, instrument);
        let before = std::mem::replace(last, at);
        if promised <= settled && *settled >= 0 {
            return Ok(());
        }
        let why =
            format!("{account} holds {settled} {instrument} and has promised {promised} after trade {trade}");
        let seen = [before, at].into_iter().filter(|record| *record > 0);
        Err(Violation::new(why).about([account, instrument, trade]).seen_at(seen))
    }
}

impl Invariant for NoOversell {
    fn name(&self) -> &'static str {
        "no_oversell"
    }

    fn about(&self) -> &'static str {
        "No account promises or delivers more shares than it holds settled. It breaks when two trades are \
         decided against the same balance: by two instances, by a zombie, or on a stale read."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn welcomes(&self) -> &'static [FactKind] {
        &[FactKind::Opening]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        if let Fact::Opening(opening) = record.fact
            && opening.book == Book::Position
        {
            let settled = opening.amount.parse().unwrap_or(0);
            let holding = Holding { settled, opened: true, ..Holding::default() };
            *self.holding(&opening.account, &opening.asset) = holding;
        }
        position(record.fact)
            .try_for_each(|(row, event)| self.follow(subject(&row.stream), event, record.sequence))
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{breaks, delivered, history, holds, opening, validated};

    #[test]
    fn holds_while_promises_are_covered() {
        let opened = opening(Book::Position, "S", "ACME", "20");
        holds(NoOversell::default(), history![opened, validated("T-1"), validated("T-2"), delivered("T-1")]);
    }

    #[test]
    fn breaks_when_shares_are_promised_twice() {
        let opened = opening(Book::Position, "S", "ACME", "19");
        let told = history![opened, validated("T-1"), validated("T-2")];
        breaks(NoOversell::default(), told, "S holds 19 ACME and has promised 20");
    }

    #[test]
    fn breaks_when_shares_are_delivered_twice() {
        let opened = opening(Book::Position, "S", "ACME", "10");
        let told = history![opened, validated("T-1"), delivered("T-1"), delivered("T-1")];
        breaks(NoOversell::default(), told, "S holds -10 ACME");
    }
}
