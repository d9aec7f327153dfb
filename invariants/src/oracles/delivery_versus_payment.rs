//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct DeliveryVersusPayment;

impl Invariant for DeliveryVersusPayment {
    fn name(&self) -> &'static str {
        "delivery_versus_payment"
    }

    fn about(&self) -> &'static str {
        "delivery versus payment"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
