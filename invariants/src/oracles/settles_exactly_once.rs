//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct SettlesExactlyOnce;

impl Invariant for SettlesExactlyOnce {
    fn name(&self) -> &'static str {
        "settles_exactly_once"
    }

    fn about(&self) -> &'static str {
        "settles exactly once"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
