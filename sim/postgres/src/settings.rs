//! The server's configuration, by PostgreSQL's own names (manual, chapter 20).
//!
//! Durations are in milliseconds as in `postgresql.conf`, 0 switches a timeout off.

/// `synchronous_commit`: what COMMIT waits for (20.5.1). From `remote_write` on it waits for the synchronous
/// standby, if one is named, and for the primary's own flush in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SynchronousCommit {
    /// Nothing: a crash loses what the WAL writer has not flushed yet.
    Off,
    /// The primary's own flush.
    Local,
    /// The standby has written the commit, and may lose it if its machine dies.
    RemoteWrite,
    /// The standby has flushed it.
    On,
    /// The standby shows it.
    RemoteApply,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub synchronous_commit: SynchronousCommit,
    /// Empty: no synchronous standby. Anything else: the one standby, whatever its name.
    pub synchronous_standby_names: String,
    pub max_connections: usize,
    pub deadlock_timeout_ms: u64,
    pub lock_timeout_ms: u64,
    /// From a statement's beginning; COMMIT's wait for the standby is not counted.
    pub statement_timeout_ms: u64,
    pub idle_in_transaction_session_timeout_ms: u64,
    /// How often the WAL writer flushes what `synchronous_commit = off` left to it.
    pub wal_writer_delay_ms: u64,
    /// How much log is kept for a standby that is away: records here, megabytes in PostgreSQL. `None`: all.
    pub max_slot_wal_keep_size: Option<usize>,
    /// How long a standby puts off the removal of rows that a snapshot there still sees.
    pub max_standby_streaming_delay_ms: u64,
    /// `CACHE` of all sequences (CREATE SEQUENCE): how many values a session takes at a time.
    pub sequence_cache: u32,
    /// A restart replays what was written since the last checkpoint.
    pub checkpoint_timeout_ms: u64,
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
            statement_timeout_ms: 0,
            idle_in_transaction_session_timeout_ms: 0,
            wal_writer_delay_ms: 200,
            max_slot_wal_keep_size: None,
            max_standby_streaming_delay_ms: 30_000,
            sequence_cache: 1,
            checkpoint_timeout_ms: 300_000,
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
}
