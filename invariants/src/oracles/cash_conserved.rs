//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct CashConserved;

impl Invariant for CashConserved {
    fn name(&self) -> &'static str {
        "cash_conserved"
    }

    fn about(&self) -> &'static str {
        "cash conserved"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
