//! The host's clock, for how long a run took: the one file that reads it, and never inside a run.

use std::time::{Duration, Instant};

/// Measures wall time from its start.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "wall time of a run, measured outside of it")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
