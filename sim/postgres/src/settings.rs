//! The server's configuration, by PostgreSQL's own names (manual, chapter 20).
//!
//! A value that is not built yet cannot be written down: the enums lack it. Durations are in milliseconds as in
//! `postgresql.conf`, 0 switches a timeout off.

/// `synchronous_commit`: what COMMIT waits for (20.5.1). `off`, `remote_write` and `remote_apply` differ from
/// `on` only where servers crash, and come with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynchronousCommit {
    /// The primary's own flush.
    Local,
    /// Also the synchronous standby's, if one is named.
    On,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub synchronous_commit: SynchronousCommit,
    /// Empty: no synchronous standby. Anything else: the one standby, whatever its name.
    pub synchronous_standby_names: String,
    pub max_connections: usize,
    pub deadlock_timeout_ms: u64,
    pub lock_timeout_ms: u64,
    pub idle_in_transaction_session_timeout_ms: u64,
}

impl Default for Settings {
    /// PostgreSQL's defaults, and one synchronous standby.
    fn default() -> Self {
        Self {
            synchronous_commit: SynchronousCommit::On,
            synchronous_standby_names: "standby".into(),
            max_connections: 100,
            deadlock_timeout_ms: 1_000,
            lock_timeout_ms: 0,
            idle_in_transaction_session_timeout_ms: 0,
        }
    }
}

impl Settings {
    /// A server without a standby.
    pub fn alone() -> Self {
        Self { synchronous_standby_names: String::new(), ..Self::default() }
    }

    pub(crate) fn has_synchronous_standby(&self) -> bool {
        !self.synchronous_standby_names.is_empty()
    }

    pub(crate) fn commit_waits_for_standby(&self) -> bool {
        self.synchronous_commit == SynchronousCommit::On && self.has_synchronous_standby()
    }
}
