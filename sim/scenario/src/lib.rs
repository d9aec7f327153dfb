//! Scenario files: from TOML to a checked [`Scenario`], or to every mistake with its place.
//!
//! Loading needs nothing of the simulator: the names that a file may use come in as a [`Catalogue`], and load
//! profiles and faults bring the keys they understand ([`FromTable`]). Running a scenario is `sim`'s.
//!
//! Loading has two phases. `text/` turns TOML into a tree that knows its places and lays `--set` overrides over
//! it; `read/` walks that tree with one reader per table, which also gives the JSON Schema. `check.rs` then
//! compares values with each other, and `run.rs` says what local times mean as instants.

mod calendar;
mod catalogue;
mod check;
mod fault;
mod files;
mod guarantee;
pub mod habits;
mod instants;
mod kafka_settings;
mod load;
mod occurrences;
mod params;
pub mod profiles;
pub mod read;
mod run;
mod sabotage;
mod scenario;
mod schema;
mod sides;
mod text;
mod values;
mod when;

pub use calendar::Calendar;
pub use catalogue::{Catalogue, FaultAction, Habit, KafkaSetting, Profile, Service, SettingKind, Venue};
pub use fault::{FaultSpec, Occurs, Role, Shape, Target, TargetKind, TargetSpec};
pub use files::{find, load, load_str};
pub use guarantee::{Doubt, Doubts};
pub use instants::{Instant, resolved_instants};
pub use load::{Load, Pace, Rate};
pub use occurrences::Occurrence;
pub use params::{FromTable, Params};
pub use run::{Run, Window, WindowError};
pub use sabotage::Sabotage;
pub use scenario::{
    Check, Day, Expect, Invariants, Kafka, Market, Opening, OpeningOverride, Platform, Postgres, Scenario,
    Setting, Settle, Snapshot, Topology, Until,
};
pub use schema::schema;
pub use text::diagnostics::{Diagnostics, Mistake, Style};
pub use values::{Draw, Drawn, Ppm, Selection, SignedSpan, TimeSpan};
pub use when::{TimeError, When};
