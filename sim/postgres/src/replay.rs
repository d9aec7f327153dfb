//! How a standby applies the log that it has flushed (manual 26.4, 27.2).
//!
//! `delay_ns` stands for everything that makes replay lag, from `recovery_min_apply_delay` to a slow disk. The
//! removal of rows that a snapshot here still sees waits for that, for `max_standby_streaming_delay` at most.

use std::collections::VecDeque;

use crate::database::Database;
use crate::durability::NS_PER_MS;
use crate::key::{KeyBytes, encode};
use crate::output::{CommittedTx, Lsn, WalAck, WalRecord};
use crate::settings::Settings;

pub struct Replay {
    pub delay_ns: u64,
    max_conflict_ns: u64,
    /// Flushed and not applied, with the time of it.
    queue: VecDeque<(u64, WalRecord)>,
    pub applied: Lsn,
    /// Commits received that the primary perhaps has not told of.
    pub untold: VecDeque<CommittedTx>,
}

impl Replay {
    pub fn new(settings: &Settings) -> Self {
        Self {
            delay_ns: 0,
            max_conflict_ns: settings.max_standby_streaming_delay_ms * NS_PER_MS,
            queue: VecDeque::new(),
            applied: Lsn(0),
            untold: VecDeque::new(),
        }
    }

    /// Everything up to there is applied.
    pub fn restart_at(&mut self, applied: Lsn, untold: VecDeque<CommittedTx>) {
        self.queue.clear();
        self.applied = applied;
        self.untold = untold;
    }

    pub fn receive(&mut self, now_ns: u64, record: WalRecord) {
        while self.untold.front().is_some_and(|committed| committed.lsn <= record.told) {
            self.untold.pop_front();
        }
        if record.is_commit() {
            self.untold.push_back(record.committed());
        }
        self.queue.push_back((now_ns, record));
    }
}

impl Database {
    /// Up to where the next record removes what a snapshot still sees, if it does.
    fn conflict(&self) -> Option<Lsn> {
        let removed = self.replay.queue.front()?.1.removed?;
        self.versions.oldest_open()?.is_before(removed).then_some(removed)
    }

    pub fn replay_due_ns(&self) -> Option<u64> {
        let (received_ns, _) = self.replay.queue.front()?;
        let wait_ns = match self.conflict() {
            None => self.replay.delay_ns,
            Some(_) => self.replay.delay_ns.max(self.replay.max_conflict_ns),
        };
        Some(received_ns + wait_ns)
    }

    /// Applies what is due. Stops, and says so, where snapshots are in the way and have been for long enough.
    pub fn replay(&mut self, now_ns: u64) -> Option<Lsn> {
        while self.replay_due_ns().is_some_and(|due_ns| due_ns <= now_ns) {
            let conflict = self.conflict();
            if conflict.is_some() {
                return conflict;
            }
            self.replay_next();
        }
        None
    }

    /// A promotion does not wait (26.3).
    pub fn replay_all(&mut self) {
        while self.replay_next() {}
    }

    fn replay_next(&mut self) -> bool {
        let Some((_, record)) = self.replay.queue.pop_front() else { return false };
        self.versions.advance_to(record.lsn);
        for change in &*record.changes {
            let table = self.table(change.table);
            let table = table.unwrap_or_else(|error| panic!("primary and standby differ: {}", error.message));
            self.scratch.clear();
            encode(&change.row[..change.table.key], &mut self.scratch);
            let key = KeyBytes::new(&self.scratch);
            self.install_row(table, &key, change.after());
        }
        for (table, logged) in &record.sequences {
            self.tables[*table].sequence.replay(*logged);
        }
        self.vacuum.changed(record.lsn, &record.changes);
        self.last_transaction = self.last_transaction.max(record.transaction);
        self.replay.applied = record.lsn;
        true
    }

    pub fn wal_status(&self) -> WalAck {
        WalAck {
            timeline: self.log.timeline,
            written: self.log.lsn,
            flushed: self.log.flushed,
            applied: self.replay.applied,
        }
    }
}
