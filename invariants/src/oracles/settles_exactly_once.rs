//! A trade settles at most once, and then its shares have moved, once; no step follows its end.
//!
//! Why it can break: a redelivered request, a batch run again after a crash between paying and marking, or a
//! zombie after a rebalance. A trade that has failed does not settle, and the other way round.

use std::collections::BTreeMap;

use contracts::events::{position_stored, settlement_stored};

use crate::book::entry;
use crate::read::{position, settlement, subject};
use crate::{FactKind, Invariant, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct SettlesExactlyOnce {
    /// Never forgotten: the second time may come late.
    trades: BTreeMap<String, Ends>,
}

/// Where each of these happened to a trade.
#[derive(Clone, Default)]
struct Ends {
    delivered: Option<u64>,
    received: Option<u64>,
    settled: Option<u64>,
    failed: Option<u64>,
}

impl Ends {
    fn evidence(&self) -> Vec<u64> {
        let mut seen: Vec<u64> =
            [self.delivered, self.received, self.settled, self.failed].into_iter().flatten().collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    }
}

impl SettlesExactlyOnce {
    fn once(
        &mut self,
        trade: &str,
        what: &str,
        at: u64,
        end: fn(&mut Ends) -> &mut Option<u64>,
    ) -> Result<(), Violation> {
        match end(entry(&mut self.trades, trade)).replace(at) {
            None => Ok(()),
            Some(first) => {
                Err(Violation::new(format!("trade {trade} {what} twice")).about([trade]).seen_at([first, at]))
            }
        }
    }

    fn ends_one_way(&self, trade: &str) -> Result<(), Violation> {
        let Some(ends) = self.trades.get(trade) else { return Ok(()) };
        let moved = (ends.delivered.is_some(), ends.received.is_some());
        let why = match (ends.settled.is_some(), ends.failed.is_some()) {
            (true, true) => "has settled and has failed",
            (true, false) if moved != (true, true) => "settled without its shares",
            (false, true) if moved != (false, false) => "failed after its shares had moved",
            _ => return Ok(()),
        };
        Err(Violation::new(format!("trade {trade} {why}")).about([trade]).seen_at(ends.evidence()))
    }

    /// What comes after the end opens a break, for people, and is never a step.
    fn takes_step(&self, trade: &str, event: &settlement_stored::Event, at: u64) -> Result<(), Violation> {
        use settlement_stored::Event::{BreakOpened, Failed, Settled};
        let Some(ends) = self.trades.get(trade) else { return Ok(()) };
        let (Some(end), false) =
            (ends.settled.or(ends.failed), matches!(event, BreakOpened(_) | Settled(_) | Failed(_)))
        else {
            return Ok(());
        };
        let ended = if ends.settled.is_some() { "settled" } else { "failed" };
        let why = format!("trade {trade} had {ended}, and takes another step: {event:?}");
        Err(Violation::new(why).about([trade]).seen_at([end, at]))
    }
}

impl Invariant for SettlesExactlyOnce {
    fn name(&self) -> &'static str {
        "settles_exactly_once"
    }

    fn about(&self) -> &'static str {
        "A trade settles at most once, with its shares delivered and received once, and never both settles \
         and fails; nothing but a break follows its end. It breaks on redelivery, on a batch run again after a crash, and by zombies."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        let at = record.sequence;
        let mut judge = || {
            for (_, event) in position(record.fact) {
                match event {
                    position_stored::Event::Delivered(step) => {
                        self.once(&step.trade_id, "delivered its shares", at, |ends| &mut ends.delivered)?;
                    }
                    position_stored::Event::Received(step) => {
                        self.once(&step.trade_id, "received its shares", at, |ends| &mut ends.received)?;
                    }
                    _ => {}
                }
            }
            for (row, event) in settlement(record.fact) {
                let trade = subject(&row.stream);
                if row.stream.starts_with("obligation/") {
                    self.takes_step(trade, event, at)?;
                }
                match event {
                    settlement_stored::Event::Settled(_) => {
                        self.once(trade, "settled", at, |ends| &mut ends.settled)?
                    }
                    settlement_stored::Event::Failed(_) => {
                        self.once(trade, "failed", at, |ends| &mut ends.failed)?
                    }
                    _ => continue,
                }
                self.ends_one_way(trade)?;
            }
            Ok(())
        };
        judge().into()
    }

    fn at_rest(&mut self) -> Verdict {
        let moved_only =
            |ends: &Ends| ends.settled.is_none() && (ends.delivered.is_some() || ends.received.is_some());
        match self.trades.iter().find(|(_, ends)| moved_only(ends)) {
            None => Verdict::Holds,
            Some((trade, ends)) => {
                let why = format!("the shares of trade {trade} moved, but it never settled");
                Verdict::Violated(Violation::new(why).about([trade]).seen_at(ends.evidence()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::{Carried, ReconciliationBreak};

    use super::*;
    use crate::testing::{Commit, breaks, breaks_at_rest, delivered, failed, history, holds, settled};

    #[test]
    fn holds_when_each_trade_ends_once() {
        let told =
            history![delivered("T-1"), settled("T-1"), failed("T-2"), delivered("T-3"), settled("T-3")];
        holds(SettlesExactlyOnce::default(), told);
    }

    #[test]
    fn breaks_on_a_second_delivery_or_settlement() {
        let told = history![delivered("T-1"), delivered("T-1")];
        breaks(SettlesExactlyOnce::default(), told, "delivered its shares twice");
        let told = history![delivered("T-1"), settled("T-1"), settled("T-1")];
        breaks(SettlesExactlyOnce::default(), told, "trade T-1 settled twice");
    }

    #[test]
    fn breaks_when_a_trade_ends_in_two_ways() {
        let told = history![delivered("T-1"), settled("T-1"), failed("T-1")];
        breaks(SettlesExactlyOnce::default(), told, "has settled and has failed");
        breaks(SettlesExactlyOnce::default(), history![settled("T-1")], "settled without its shares");
    }

    fn stored(event: settlement_stored::Event) -> Commit {
        Commit::by("settlement").event("obligation/T-1", event)
    }

    #[test]
    fn holds_when_a_contradiction_comes_after_the_end() {
        let broken = settlement_stored::Event::BreakOpened(ReconciliationBreak::default());
        holds(SettlesExactlyOnce::default(), history![delivered("T-1"), settled("T-1"), stored(broken)]);
    }

    #[test]
    fn breaks_when_a_terminal_state_is_left() {
        let carried = || settlement_stored::Event::Carried(Carried::default());
        let told = history![delivered("T-1"), settled("T-1"), stored(carried())];
        breaks(SettlesExactlyOnce::default(), told, "trade T-1 had settled, and takes another step: Carried");
        let told = history![failed("T-1"), stored(carried())];
        breaks(SettlesExactlyOnce::default(), told, "trade T-1 had failed");
    }

    #[test]
    fn breaks_when_shares_moved_for_nothing() {
        breaks_at_rest(SettlesExactlyOnce::default(), history![delivered("T-1")], "never settled");
    }
}
