//! What store.md says that PostgreSQL does, one test per behaviour: `b14_…` is behaviour 14.
//!
//! Through the world of `harness`: a primary, its synchronous standby, sessions and a clock that stands still
//! unless a test moves it.

mod commit;
mod conflicts;
mod connections;
mod covered;
mod durability;
mod failover;
mod faults;
mod harness;
mod history;
mod isolation;
mod locks;
mod random;
mod scans;
mod sequences;
mod serializable;
mod snapshots;
mod statements;
mod uniqueness;
