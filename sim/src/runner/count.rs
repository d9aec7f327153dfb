//! What a run counts, from facts.

use std::collections::{BTreeMap, BTreeSet};

use contracts::StoredEvent;
use contracts::events::{TradeState, settlement_stored, trade_stored};
use invariants::{Fact, Record, family};
use serde::Serialize;

/// Numbers of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests of clients, repeated attempts included.
    pub orders: u64,
    /// Trades that were accepted: they have a trade date.
    pub trades: u64,
    pub settled: u64,
    pub failed: u64,
    /// Trades refused, by form or by position.
    pub rejected: u64,
    pub faults: u64,
    pub restarts: u64,
    /// Transactions that lost against another one and were done again.
    pub conflicts: u64,
    /// Trades that a settlement date could not settle and gave to the next.
    pub carried: u64,
    /// Faults that began, by their family.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub faults_by_family: BTreeMap<&'static str, u64>,
    #[serde(skip)]
    nodes: BTreeSet<String>,
}

impl Counts {
    pub fn see(&mut self, record: &Record<'_>) {
        match record.fact {
            Fact::Request(_) => self.orders += 1,
            Fact::FaultBegan { action, target, .. } => {
                self.faults += 1;
                *self.faults_by_family.entry(family(action, target).name()).or_default() += 1;
            }
            Fact::NodeStarted if !self.nodes.insert(record.node.to_owned()) => self.restarts += 1,
            Fact::Committed(committed) => {
                committed
                    .events
                    .iter()
                    .filter_map(|row| row.event.as_ref())
                    .for_each(|event| self.stored(event));
            }
            _ => {}
        }
    }

    fn stored(&mut self, event: &StoredEvent) {
        match event {
            StoredEvent::Trade(trade_stored::Event::Accepted(_)) => self.trades += 1,
            StoredEvent::Trade(trade_stored::Event::Refused(_)) => self.rejected += 1,
            StoredEvent::Trade(trade_stored::Event::Advanced(step)) if step.step == step.state => {
                match TradeState::try_from(step.state) {
                    Ok(TradeState::Settled) => self.settled += 1,
                    Ok(TradeState::Rejected) => self.rejected += 1,
                    Ok(TradeState::Failed) => self.failed += 1,
                    _ => {}
                }
            }
            StoredEvent::Settlement(settlement_stored::Event::Carried(_)) => self.carried += 1,
            _ => {}
        }
    }
}
