//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct EveryTradeTerminates;

impl Invariant for EveryTradeTerminates {
    fn name(&self) -> &'static str {
        "every_trade_terminates"
    }

    fn about(&self) -> &'static str {
        "every trade terminates"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
