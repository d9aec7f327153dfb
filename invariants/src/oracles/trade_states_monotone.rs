//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct TradeStatesMonotone;

impl Invariant for TradeStatesMonotone {
    fn name(&self) -> &'static str {
        "trade_states_monotone"
    }

    fn about(&self) -> &'static str {
        "trade states monotone"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
