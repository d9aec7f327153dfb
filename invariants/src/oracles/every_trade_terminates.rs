//! Every trade that was taken in ends: SETTLED, REJECTED or FAILED.
//!
//! Why it can break: a poison message that blocks a partition, a lost timer, a retry that gives up silently,
//! a sealed date that waits for a count which never comes. Judged at rest; until then each open trade is
//! named with what it waits for.

use std::collections::BTreeMap;

use contracts::events::{TradeState, settlement_stored, trade_stored};

use crate::read::{settlement, subject, trade};
use crate::{Fact, FactKind, Invariant, Pending, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct EveryTradeTerminates {
    open: BTreeMap<String, Open>,
}

#[derive(Clone)]
struct Open {
    /// `None` before it is accepted.
    state: Option<TradeState>,
    /// What settlement last said of it.
    trouble: Option<String>,
    since: u64,
}

impl Open {
    fn why(&self) -> String {
        let (state, waits) = match self.state {
            None => ("RECEIVED", "waits for reference data"),
            Some(TradeState::Submitted) => ("SUBMITTED", "waits for position's answer"),
            Some(TradeState::Validated) => ("VALIDATED", "waits for clearing"),
            Some(TradeState::Cleared) => ("CLEARED", "waits for its settlement instruction"),
            Some(_) => ("INSTRUCTED", "waits for its settlement"),
        };
        match &self.trouble {
            None => format!("{state}, {waits}"),
            Some(trouble) => format!("{state}, {waits}: {trouble}"),
        }
    }
}

impl EveryTradeTerminates {
    fn trades(&mut self, fact: &Fact, at: u64) {
        for (row, event) in trade(fact).filter(|(row, _)| row.stream.starts_with("trade/")) {
            let id = subject(&row.stream);
            let state = match event {
                trade_stored::Event::Received(_) => None,
                trade_stored::Event::Accepted(_) => Some(TradeState::Submitted),
                trade_stored::Event::Refused(_) => Some(TradeState::Rejected),
                trade_stored::Event::Advanced(advanced) => Some(advanced.state()),
                _ => continue,
            };
            if matches!(state, Some(TradeState::Settled | TradeState::Rejected | TradeState::Failed)) {
                self.open.remove(id);
            } else if let Some(open) = self.open.get_mut(id) {
                open.state = state;
            } else if !matches!(event, trade_stored::Event::Advanced(_)) {
                self.open.insert(id.to_owned(), Open { state, trouble: None, since: at });
            }
        }
    }

    fn troubles(&mut self, fact: &Fact) {
        for (row, event) in settlement(fact) {
            let trouble = match event {
                settlement_stored::Event::BlockRefused(step) => {
                    format!("its shares were refused ({})", step.reason)
                }
                settlement_stored::Event::PaymentRefused(step) => {
                    format!("{} was refused ({})", step.leg_id, step.reason)
                }
                settlement_stored::Event::Carried(carried) => {
                    format!("carried to {} ({})", carried.to, carried.reason)
                }
                _ => continue,
            };
            if let Some(open) = self.open.get_mut(subject(&row.stream)) {
                open.trouble = Some(trouble);
            }
        }
    }
}

impl Invariant for EveryTradeTerminates {
    fn name(&self) -> &'static str {
        "every_trade_terminates"
    }

    fn about(&self) -> &'static str {
        "Every trade that was taken in ends SETTLED, REJECTED or FAILED once faults have stopped. It breaks \
         on a poison message, a lost timer or a retry that gives up silently."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        self.trades(record.fact, record.sequence);
        self.troubles(record.fact);
        Verdict::Holds
    }

    fn at_rest(&mut self) -> Verdict {
        let Some((trade, open)) = self.open.first_key_value() else { return Verdict::Holds };
        let why = format!("{} trades never ended, first {trade}: {}", self.open.len(), open.why());
        Verdict::Violated(Violation::new(why).about(self.open.keys().take(10)).seen_at([open.since]))
    }

    fn pending(&self) -> Vec<Pending> {
        let named =
            |(trade, open): (&String, &Open)| Pending { what: format!("trade {trade}"), why: open.why() };
        self.open.iter().map(named).collect()
    }

    fn is_settled(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::Carried;

    use super::*;
    use crate::testing::{Commit, Told, advanced, breaks_at_rest, history, holds, received, taken};

    fn of(event: trade_stored::Event) -> Commit {
        Commit::by("trade").event("trade/T-1", event)
    }

    #[test]
    fn holds_when_the_trade_settles() {
        let settled = advanced(TradeState::Settled, TradeState::Settled);
        holds(EveryTradeTerminates::default(), history![of(received("T-1")), of(taken()), of(settled)]);
    }

    #[test]
    fn breaks_when_a_trade_is_left_open() {
        let carried =
            Carried { to: "2026-03-10".to_owned(), reason: "AM04".to_owned(), ..Carried::default() };
        let carried =
            Commit::by("settlement").event("obligation/T-1", settlement_stored::Event::Carried(carried));
        let instructed = advanced(TradeState::Instructed, TradeState::Instructed);
        let told: Vec<Told> = history![of(received("T-1")), of(taken()), of(instructed), carried];
        let why = "T-1: INSTRUCTED, waits for its settlement: carried to 2026-03-10 (AM04)";
        breaks_at_rest(EveryTradeTerminates::default(), told, why);
        breaks_at_rest(
            EveryTradeTerminates::default(),
            history![of(received("T-1"))],
            "waits for reference data",
        );
    }
}
