//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct AcknowledgedIsDurable;

impl Invariant for AcknowledgedIsDurable {
    fn name(&self) -> &'static str {
        "acknowledged_is_durable"
    }

    fn about(&self) -> &'static str {
        "acknowledged is durable"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
