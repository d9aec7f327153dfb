//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct NodePanicked;

impl Invariant for NodePanicked {
    fn name(&self) -> &'static str {
        "node_panicked"
    }

    fn about(&self) -> &'static str {
        "node panicked"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
