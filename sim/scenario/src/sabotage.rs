//! `[[sabotage]]`: a wrong habit that a canary plants in the platform, for an invariant to find.
//!
//! Which habits exist, who can have them, and their own keys, comes from the catalogue. What plants them is
//! `sim`'s.

use serde::Serialize;

use crate::params::{FromTable, Params};

/// One planted habit. The habit's own keys are in `params`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sabotage {
    /// A habit of the catalogue.
    pub habit: String,
    /// The service that has it.
    pub of: String,
    #[serde(flatten)]
    pub params: Params,
}

impl Sabotage {
    /// The keys of its habit, as that habit's type.
    pub fn params<P: FromTable>(&self) -> P {
        self.params.read()
    }
}
