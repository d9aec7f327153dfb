//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct TradeLegsAtomic;

impl Invariant for TradeLegsAtomic {
    fn name(&self) -> &'static str {
        "trade_legs_atomic"
    }

    fn about(&self) -> &'static str {
        "trade legs atomic"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
