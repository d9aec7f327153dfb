//! What PostgreSQL does behind the Store port, as behaviours that judge a simulated one and a real one alike.
//!
//! Each behaviour is a function over a [`Stage`], told with sessions, calls, and what has to wait for what; its
//! number is that of the list of 44 (`shared/store.md`). Who can offer a [`Bench`] runs [`ALL`] of them:
//! `sim/postgres/tests/suite` and `platform/live/tests/suite`. The README beside this crate has the table of
//! numbers and stores, and the differences that are meant. [`script`] is for what no list thought of.
//!
//! It leaves out what the port cannot show: [`NOT_BEHIND_THE_PORT`] and [`NOT_SHOWN`] say what and why.

mod behaviours;
mod bench;
mod list;
pub mod script;
mod stage;
mod table;
pub mod tables;

pub use bench::{Bench, Deed, Node, Power, SessionNumber, Setup, SynchronousCommit};
pub use list::{ALL, Behaviour, NOT_BEHIND_THE_PORT, NOT_SHOWN, Store};
pub use stage::{Answer, Call, Stage};
pub use table::table;
