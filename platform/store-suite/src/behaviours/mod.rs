//! The behaviours, by subject.

pub mod commit;
pub mod connections;
pub mod durability;
pub mod failover;
pub mod isolation;
pub mod locks;
pub mod notifications;
pub mod polling;
pub mod snapshots;
pub mod timeouts;
pub mod uniqueness;
pub mod upserts;
