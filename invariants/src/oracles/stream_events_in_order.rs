//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct StreamEventsInOrder;

impl Invariant for StreamEventsInOrder {
    fn name(&self) -> &'static str {
        "stream_events_in_order"
    }

    fn about(&self) -> &'static str {
        "stream events in order"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
