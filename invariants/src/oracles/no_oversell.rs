//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct NoOversell;

impl Invariant for NoOversell {
    fn name(&self) -> &'static str {
        "no_oversell"
    }

    fn about(&self) -> &'static str {
        "no oversell"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
