//! One invariant per file; [`all`] is the registry that scenarios and the command line name them from.

use crate::Invariant;

/// Every invariant, fresh, in alphabetical order.
pub fn all() -> Vec<Box<dyn Invariant>> {
    Vec::new()
}
