//! The host's clock: the one place of this crate that asks it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cluster::TimestampMs;

/// Steady time that waits count in, from 0 at the start, and how far the clock on the wall is ahead of it.
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "brokers on real sockets live in real time")]
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    #[expect(clippy::disallowed_methods, reason = "brokers on real sockets live in real time")]
    pub fn now(&self) -> TimestampMs {
        millis(Instant::now().duration_since(self.start))
    }

    /// Milliseconds by which the clock on the wall is ahead of [`Clock::now`].
    #[expect(clippy::disallowed_methods, reason = "brokers on real sockets live in real time")]
    pub fn wall_ahead_ms(&self) -> i64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
        wall - self.now()
    }

    /// When steady time reaches `at`.
    pub fn instant(&self, at: TimestampMs) -> tokio::time::Instant {
        let after = Duration::from_millis(u64::try_from(at).unwrap_or(0));
        tokio::time::Instant::from_std(self.start + after)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
