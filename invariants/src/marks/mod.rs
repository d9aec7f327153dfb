//! Marks: named predicates over facts. A scenario's `must_see` names what its run must have met.

use crate::{FactKind, Record};

/// Watches for its subject; [`seen`](Mark::seen) once it was met.
pub trait Mark {
    /// The name in scenarios, e.g. `settlement:batch_closed`.
    fn name(&self) -> &'static str;

    /// One line for `list marks`.
    fn about(&self) -> &'static str;

    /// Kinds of facts that can show it.
    fn watches(&self) -> &'static [FactKind] {
        FactKind::ALL
    }

    fn observe(&mut self, record: &Record<'_>);

    fn seen(&self) -> bool;
}

/// Every mark, fresh, in alphabetical order.
pub fn all() -> Vec<Box<dyn Mark>> {
    Vec::new()
}
