//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct Reconciled;

impl Invariant for Reconciled {
    fn name(&self) -> &'static str {
        "reconciled"
    }

    fn about(&self) -> &'static str {
        "reconciled"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
