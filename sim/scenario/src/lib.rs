//! Scenario files: from TOML to a checked [`Scenario`], or to every mistake with its place.
//!
//! Loading needs nothing of the simulator: the names that a file may use come in as a `Catalogue`, and load
//! profiles and faults bring the keys they understand. Running a scenario is `sim`'s.

mod calendar;
mod fault;
mod load;
mod params;
mod read;
mod scenario;
mod values;
mod when;

pub use calendar::Calendar;
pub use fault::{FaultSpec, Occurs, Role, Shape, Target, TargetSpec};
pub use load::{Load, Pace, Rate};
pub use params::{FromTable, Params};
pub use read::Table;
pub use scenario::{
    Check, Day, Expect, Invariants, Kafka, Market, Opening, OpeningOverride, Platform, Postgres, Scenario,
    Setting, Settle, Snapshot, Topology, Until,
};
pub use values::{Draw, Drawn, Ppm, Selection, TimeSpan};
pub use when::{NoInstant, When};
