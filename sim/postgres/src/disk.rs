//! The disk under a server: how long a flush takes, whether fsync works, whether there is room.
//!
//! One flush is under way at a time and covers what was written before it began; commits that come meanwhile
//! share the next one (28.4). What it leaves out: reads, and room for the log (whose files are recycled).

use crate::output::Lsn;

#[derive(Default)]
pub struct Disk {
    /// No row version fits any more: 53100.
    pub full: bool,
    pub flush_delay_ns: u64,
    /// The next fsync reports an error, which is a PANIC.
    pub fsync_fails: bool,
    pub flush: Option<Flush>,
    /// When the WAL writer wakes, and the end of the log at its last look.
    pub wal_writer: Option<Flush>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    pub due_ns: u64,
    pub up_to: Lsn,
}

impl Disk {
    /// The process has died: nobody flushes.
    pub fn crash(&mut self) {
        self.flush = None;
        self.wal_writer = None;
        self.fsync_fails = false;
    }
}
