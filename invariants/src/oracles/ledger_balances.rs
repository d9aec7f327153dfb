//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct LedgerBalances;

impl Invariant for LedgerBalances {
    fn name(&self) -> &'static str {
        "ledger_balances"
    }

    fn about(&self) -> &'static str {
        "ledger balances"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
