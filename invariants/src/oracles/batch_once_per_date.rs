//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct BatchOncePerDate;

impl Invariant for BatchOncePerDate {
    fn name(&self) -> &'static str {
        "batch_once_per_date"
    }

    fn about(&self) -> &'static str {
        "batch once per date"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
