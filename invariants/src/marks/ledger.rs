//! Marks of the ledger.

use std::collections::BTreeMap;

use contracts::events::{LedgerAction, ledger_stored};

use super::{Mark, follow, when};
use crate::read::{ledger, payment};
use crate::{Fact, FactKind, Record};

/// Nothing but trouble keeps the ledger from a payment for so long.
const LATE_NS: i64 = 600_000_000_000;

const COMMITS: &[FactKind] = &[FactKind::Committed];

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        when!("ledger:booked", "The ledger booked an entry.", COMMITS, |record| ledger(record.fact)
            .next()
            .is_some()),
        follow(
            "ledger:booked_late",
            "The ledger booked what payment had stored more than ten minutes before.",
            COMMITS,
            booked_late,
        ),
        when!("ledger:voided", "The ledger voided a pending entry.", COMMITS, |record| {
            ledger(record.fact)
                .any(|(_, ledger_stored::Event::Booked(entry))| entry.action() == LedgerAction::PendingVoided)
        }),
    ]
}

/// By the id of an event of payment's, when it was stored.
fn booked_late(stored: &mut BTreeMap<String, i64>, record: &Record<'_>) -> bool {
    for (row, _) in payment(record.fact) {
        stored.insert(format!("payment/{}@{}", row.stream, row.version), record.at_ns);
    }
    let Fact::Committed(committed) = record.fact else { return false };
    let is_late = |cause: &str| stored.get(cause).is_some_and(|at_ns| record.at_ns - at_ns > LATE_NS);
    committed.database == "ledger" && committed.events.iter().any(|row| is_late(&row.cause))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::testing::{booked, confirmed, history};

    #[test]
    fn what_waits_is_booked_late() {
        let entry = || booked("E-1", LedgerAction::Posted, &[]).caused_by("payment/payment/T-1/buyer@1");
        let after = |at_ns| history![confirmed("T-1/buyer", "U-1"), (at_ns, entry())];
        check("ledger:booked_late", after(LATE_NS + 1), true);
        check("ledger:booked_late", after(LATE_NS), false);
        check("ledger:booked_late", history![(LATE_NS + 1, entry())], false);
    }

    #[test]
    fn entries_are_booked() {
        check("ledger:booked", history![booked("E-1", LedgerAction::Posted, &[])], true);
        check("ledger:voided", history![booked("E-1", LedgerAction::Pending, &[])], false);
        check("ledger:voided", history![booked("E-1", LedgerAction::PendingVoided, &[])], true);
    }
}
