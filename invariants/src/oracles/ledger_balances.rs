//! Every entry of the ledger sums to zero per asset, is booked once, and is undone or completed at most once.
//!
//! Why it can break: a multi-leg entry stored in two transactions, a leg dropped on a retry, an entry booked
//! again after a redelivery, or a void that restores one side only.

use std::collections::BTreeMap;

use contracts::events::{LedgerAction, LedgerEvent, LedgerLeg, ledger_stored};
use rust_decimal::Decimal;

use crate::book::amount;
use crate::read::ledger;
use crate::{FactKind, Invariant, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct LedgerBalances {
    entries: BTreeMap<String, (State, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Posted,
    Pending,
    Voided,
    Reversed,
}

/// The first asset of which the legs do not sum to zero, with the sum; `None` for a leg that is no decimal.
fn imbalance(legs: &[LedgerLeg]) -> Option<(&str, Option<Decimal>)> {
    let mut sums: BTreeMap<&str, Decimal> = BTreeMap::new();
    for leg in legs {
        let Some(amount) = amount(&leg.amount) else { return Some((&leg.asset, None)) };
        *sums.entry(&leg.asset).or_default() += amount;
    }
    sums.into_iter().find(|(_, sum)| !sum.is_zero()).map(|(asset, sum)| (asset, Some(sum)))
}

impl LedgerBalances {
    fn book(&mut self, booked: &LedgerEvent, at: u64) -> Result<(), Violation> {
        use LedgerAction::{Pending, PendingPosted, PendingVoided, Posted, Reversed};
        let id = &booked.entry_id;
        let broken = |why: String, since: Option<u64>| {
            let why = format!("entry {id} {why}");
            Err(Violation::new(why).about([id]).seen_at(since.into_iter().chain([at])))
        };
        match imbalance(&booked.legs) {
            Some((asset, Some(sum))) => return broken(format!("is off by {sum} {asset}"), None),
            Some((asset, None)) => return broken(format!("has a leg of {asset} that is no decimal"), None),
            None => {}
        }
        let action = booked.action();
        if matches!(action, Posted | Pending) && booked.legs.len() < 2 {
            return broken(format!("is booked with {} legs", booked.legs.len()), None);
        }
        let target = if booked.original_entry_id.is_empty() { id } else { &booked.original_entry_id };
        let known = self.entries.get(target).copied();
        let state = match (action, known.map(|(state, _)| state)) {
            (Posted, None) => State::Posted,
            (Pending, None) => State::Pending,
            (PendingPosted, Some(State::Pending)) => State::Posted,
            (PendingVoided, Some(State::Pending)) => State::Voided,
            (Reversed, Some(State::Posted)) => State::Reversed,
            (action, known) => {
                let known = known.map_or("new".to_owned(), |known| format!("{known:?}").to_lowercase());
                let why = format!("is {} while {target} is {known}", action.as_str_name());
                return broken(why, self.entries.get(target).map(|(_, since)| *since));
            }
        };
        self.entries.insert(target.clone(), (state, at));
        if target != id
            && let Some((_, since)) = self.entries.insert(id.clone(), (State::Posted, at))
        {
            return broken("is booked twice".to_owned(), Some(since));
        }
        Ok(())
    }
}

impl Invariant for LedgerBalances {
    fn name(&self) -> &'static str {
        "ledger_balances"
    }

    fn about(&self) -> &'static str {
        "Every ledger entry sums to zero per asset and is booked, completed, voided or reversed at most \
         once. It breaks when a leg is dropped on a retry, or an entry is booked again after a redelivery."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        ledger(record.fact)
            .try_for_each(|(_, ledger_stored::Event::Booked(booked))| self.book(booked, record.sequence))
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{booked, breaks, history, holds};

    const LEGS: &[(&str, &str, &str)] = &[("S", "ACME", "-10"), ("CCP", "ACME", "10")];
    const OUT: &[(&str, &str, &str)] = &[("S", "USD", "-5.00"), ("WORLD", "USD", "5.00")];

    #[test]
    fn holds_for_balanced_entries() {
        let told = history![
            booked("E-1", LedgerAction::Posted, LEGS),
            booked("E-2", LedgerAction::Pending, OUT),
            booked("E-2", LedgerAction::PendingPosted, OUT),
            booked("E-3", LedgerAction::Pending, OUT),
            booked("E-3", LedgerAction::PendingVoided, &[]),
            booked("E-1", LedgerAction::Reversed, LEGS),
        ];
        holds(LedgerBalances::default(), told);
    }

    #[test]
    fn breaks_when_legs_do_not_sum_to_zero() {
        let uneven = booked("E-1", LedgerAction::Posted, &[("S", "ACME", "-10"), ("CCP", "ACME", "9")]);
        breaks(LedgerBalances::default(), history![uneven], "entry E-1 is off by -1 ACME");
        let mixed = booked("E-1", LedgerAction::Posted, &[("S", "ACME", "-10"), ("CCP", "USD", "10")]);
        breaks(LedgerBalances::default(), history![mixed], "is off by -10 ACME");
    }

    #[test]
    fn breaks_when_booked_or_completed_twice() {
        let told =
            history![booked("E-1", LedgerAction::Posted, LEGS), booked("E-1", LedgerAction::Posted, LEGS)];
        breaks(LedgerBalances::default(), told, "LEDGER_ACTION_POSTED while E-1 is posted");
        let told = history![
            booked("E-2", LedgerAction::Pending, OUT),
            booked("E-2", LedgerAction::PendingVoided, OUT),
            booked("E-2", LedgerAction::PendingPosted, OUT),
        ];
        breaks(LedgerBalances::default(), told, "PENDING_POSTED while E-2 is voided");
    }
}
