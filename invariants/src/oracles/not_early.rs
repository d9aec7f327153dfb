//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct NotEarly;

impl Invariant for NotEarly {
    fn name(&self) -> &'static str {
        "not_early"
    }

    fn about(&self) -> &'static str {
        "not early"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
