//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct SettlementDateCorrect;

impl Invariant for SettlementDateCorrect {
    fn name(&self) -> &'static str {
        "settlement_date_correct"
    }

    fn about(&self) -> &'static str {
        "settlement date correct"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
