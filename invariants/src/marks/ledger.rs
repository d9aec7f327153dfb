//! Marks of the ledger.

use contracts::events::{LedgerAction, ledger_stored};

use super::{Mark, when};
use crate::FactKind;
use crate::read::ledger;

const COMMITS: &[FactKind] = &[FactKind::Committed];

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        when!("ledger:booked", "The ledger booked an entry.", COMMITS, |record| ledger(record.fact)
            .next()
            .is_some()),
        when!("ledger:voided", "The ledger voided a pending entry.", COMMITS, |record| {
            ledger(record.fact)
                .any(|(_, ledger_stored::Event::Booked(entry))| entry.action() == LedgerAction::PendingVoided)
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::testing::{booked, history};

    #[test]
    fn entries_are_booked() {
        check("ledger:booked", history![booked("E-1", LedgerAction::Posted, &[])], true);
        check("ledger:voided", history![booked("E-1", LedgerAction::Pending, &[])], false);
        check("ledger:voided", history![booked("E-1", LedgerAction::PendingVoided, &[])], true);
    }
}
