//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct PaymentOncePerLeg;

impl Invariant for PaymentOncePerLeg {
    fn name(&self) -> &'static str {
        "payment_once_per_leg"
    }

    fn about(&self) -> &'static str {
        "payment once per leg"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
