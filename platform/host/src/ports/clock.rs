//! Time, tasks and entropy of a process.

use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use model::Timestamp;

/// The node's clock. It can be wrong: database time is asked of the database.
#[async_trait(?Send)]
pub trait Clock {
    fn now(&self) -> Timestamp;

    /// Returns when this clock shows `at` or later. Dropping the future cancels it.
    async fn sleep_until(&self, at: Timestamp);
}

/// Starts tasks that live until the process ends. Called at start-up, never per message.
pub trait Tasks {
    fn spawn(&self, name: &'static str, task: LocalBoxFuture<'static, ()>);
}

/// Randomness for jitter and identifiers of the process; never for business identifiers.
pub trait Entropy {
    fn next_u64(&self) -> u64;
}
