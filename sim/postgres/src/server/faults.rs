//! What the caller breaks or changes while the server runs: the disk, limits, errors to give.

use super::{Life, Server, ServerRole};
use crate::error_rule::ErrorRule;
use crate::output::Output;

impl Server {
    /// Writing new versions of rows gives 53100; reads, deletions and commits go on.
    pub fn set_disk_full(&mut self, full: bool) {
        self.database.disk.full = full;
    }

    /// How long a flush takes from now on: COMMIT waits for it, and so does a standby's acknowledgement.
    pub fn set_flush_delay(&mut self, delay_ns: u64) {
        self.database.disk.flush_delay_ns = delay_ns;
    }

    /// The next flush fails. That is a PANIC: [`Output::Crashed`], and what was not flushed is lost.
    pub fn fail_fsync(&mut self) {
        self.database.disk.fsync_fails = true;
    }

    /// Sessions that are open stay.
    pub fn set_max_connections(&mut self, max_connections: usize) {
        self.settings.max_connections = max_connections;
    }

    /// What the server's clock shows from now on: the times given to it, which only go forward and by which a flush
    /// or a time-out lasts, and so much more. Negative where it is behind.
    pub fn set_clock(&mut self, ahead_ns: i64) {
        self.database.clock_ahead_ns = ahead_ns;
    }

    /// Instead of all rules that it had. The first that strikes a statement decides.
    pub fn set_error_rules(&mut self, rules: impl IntoIterator<Item = ErrorRule>) {
        self.database.error_rules = rules.into_iter().collect();
    }

    pub(super) fn flush_ends(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        let Some(flush) = self.database.disk.flush else { return };
        self.database.flushed(now_ns, flush, out);
        if self.database.panicked {
            return self.panic(now_ns, out);
        }
        match self.role {
            ServerRole::Primary => self.release_commits(now_ns, out),
            ServerRole::Standby => {
                self.apply(now_ns, out);
                out.push(Output::AckWal(self.database.wal_status()));
            }
        }
    }

    pub(super) fn wal_writer_wakes(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        assert_eq!(self.life, Life::Running, "the WAL writer dies with the server");
        self.database.wal_writer_wakes(now_ns, out);
        if self.database.panicked {
            self.panic(now_ns, out);
        }
    }
}
