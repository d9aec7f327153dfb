//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct NotifiedOnceAfterCommit;

impl Invariant for NotifiedOnceAfterCommit {
    fn name(&self) -> &'static str {
        "notified_once_after_commit"
    }

    fn about(&self) -> &'static str {
        "notified once after commit"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
