//! How a standby applies the log that it has flushed (manual 26.4, 27.2).
//!
//! `delay_ns` stands for everything that makes replay lag, from `recovery_min_apply_delay` to a slow disk.

use std::collections::VecDeque;

use crate::database::Database;
use crate::key::{KeyBytes, encode};
use crate::output::{CommittedTx, Lsn, WalAck, WalRecord};

#[derive(Default)]
pub struct Replay {
    pub delay_ns: u64,
    /// Flushed and not applied, with the time of it.
    queue: VecDeque<(u64, WalRecord)>,
    pub applied: Lsn,
    /// Commits received that the primary perhaps has not told of.
    pub untold: VecDeque<CommittedTx>,
}

impl Replay {
    /// Everything up to there is applied.
    pub fn at(applied: Lsn, delay_ns: u64, untold: VecDeque<CommittedTx>) -> Self {
        Self { delay_ns, applied, untold, queue: VecDeque::new() }
    }

    pub fn receive(&mut self, now_ns: u64, record: WalRecord) {
        while self.untold.front().is_some_and(|committed| committed.lsn <= record.told) {
            self.untold.pop_front();
        }
        self.untold.push_back(record.committed());
        self.queue.push_back((now_ns, record));
    }

    pub fn due_ns(&self) -> Option<u64> {
        self.queue.front().map(|(received_ns, _)| received_ns + self.delay_ns)
    }
}

impl Database {
    /// Applies what is due.
    pub fn replay(&mut self, now_ns: u64) {
        while self.replay.due_ns().is_some_and(|due_ns| due_ns <= now_ns) {
            self.replay_next();
        }
    }

    /// A promotion does not wait (26.3).
    pub fn replay_all(&mut self) {
        while self.replay_next() {}
    }

    fn replay_next(&mut self) -> bool {
        let Some((_, record)) = self.replay.queue.pop_front() else { return false };
        for change in &*record.changes {
            let table = self.table(change.table);
            let table = table.unwrap_or_else(|error| panic!("primary and standby differ: {}", error.message));
            self.scratch.clear();
            encode(&change.row[..change.table.key], &mut self.scratch);
            let key = KeyBytes::new(&self.scratch);
            self.tables[table].apply(key, change.after(), &mut self.scratch);
        }
        for (table, logged) in &record.sequences {
            self.tables[*table].sequence.replay(*logged);
        }
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
