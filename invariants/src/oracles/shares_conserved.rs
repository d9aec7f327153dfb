//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct SharesConserved;

impl Invariant for SharesConserved {
    fn name(&self) -> &'static str {
        "shares_conserved"
    }

    fn about(&self) -> &'static str {
        "shares conserved"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
