//! How a commit becomes durable: the queue from the log to the client's answer (manual 20.5.1, 27.2.8, 28.3).
//!
//! Commits are visible and told of in the order of the log, when they are as durable as `synchronous_commit`
//! asks. Some are visible before that: those of `off`, those whose wait was cancelled, and those that a restart
//! finds flushed. The first are told of at once and can be lost; the others are told of when the standby has them.

use std::collections::VecDeque;

use crate::database::Database;
use crate::disk::Flush;
use crate::key::KeyBytes;
use crate::output::{CommitLost, Lsn, Output, StoredRow, WalAck, WalRecord};
use crate::settings::{Settings, SynchronousCommit};
use crate::transaction::Flushed;

pub const NS_PER_MS: u64 = 1_000_000;

pub struct Durability {
    pub level: SynchronousCommit,
    wal_writer_delay_ns: u64,
    /// Whether `synchronous_standby_names` names a standby now.
    pub synchronous_standby: bool,
    /// How far the standby has confirmed what the level asks for.
    pub acked: Lsn,
    /// In the order of the log.
    pub commits: VecDeque<Pending>,
    /// Told of and not flushed, in the order of the log.
    pub unflushed: VecDeque<Undo>,
}

/// A commit in the log that has not been told of.
pub struct Pending {
    /// Who waits for it.
    pub conn: Option<u64>,
    pub visible: bool,
    pub flushed: Flushed,
}

/// What came of writing a commit.
pub enum Logged {
    /// To be shown and told of.
    Durable(Flushed),
    /// It is shown and told of when it is durable.
    Queued,
    /// Shown and told of, not durable.
    LeftToWalWriter,
}

/// What a crash puts back.
pub struct Undo {
    pub lost: CommitLost,
    pub rows: Vec<Replaced>,
}

/// Table, primary key, and the version before.
pub type Replaced = (usize, KeyBytes, Option<StoredRow>);

impl Durability {
    pub fn new(settings: &Settings) -> Self {
        Self {
            level: settings.synchronous_commit,
            wal_writer_delay_ns: settings.wal_writer_delay_ms * NS_PER_MS,
            synchronous_standby: settings.has_synchronous_standby(),
            acked: Lsn(0),
            commits: VecDeque::new(),
            unflushed: VecDeque::new(),
        }
    }

    pub fn waits_for_standby(&self) -> bool {
        self.synchronous_standby && self.level >= SynchronousCommit::RemoteWrite
    }

    pub fn ack(&mut self, ack: WalAck) {
        let lsn = match self.level {
            SynchronousCommit::RemoteWrite => ack.written,
            SynchronousCommit::Off | SynchronousCommit::Local | SynchronousCommit::On => ack.flushed,
            SynchronousCommit::RemoteApply => ack.applied,
        };
        self.acked = self.acked.max(lsn);
    }
}

impl Database {
    /// Writes a commit into the log.
    pub fn log_commit(&mut self, now_ns: u64, conn: u64, flushed: Flushed, out: &mut Vec<Output>) -> Logged {
        let lsn = flushed.lsn;
        self.checkpoint.wrote(now_ns, flushed.changes.len());
        let sequences = self.tables.iter_mut().enumerate();
        let sequences = sequences.filter_map(|(table, data)| Some((table, data.sequence.flush()?)));
        self.log.append(WalRecord {
            timeline: flushed.timeline,
            lsn,
            transaction: flushed.transaction,
            now_ns: flushed.now_ns,
            changes: flushed.changes.clone(),
            told: self.log.told,
            removed: None,
            sequences: sequences.collect(),
        });
        if self.durability.level == SynchronousCommit::Off {
            self.leave_to_wal_writer(now_ns, flushed, out);
            return Logged::LeftToWalWriter;
        }
        self.request_flush(now_ns, out);
        if self.log.flushed >= lsn && !self.durability.waits_for_standby() {
            return Logged::Durable(flushed);
        }
        self.durability.commits.push_back(Pending { conn: Some(conn), visible: false, flushed });
        Logged::Queued
    }

    /// Visible and told of, though only in memory.
    fn leave_to_wal_writer(&mut self, now_ns: u64, flushed: Flushed, out: &mut Vec<Output>) {
        let Flushed { transaction, timeline, lsn, .. } = flushed;
        let rows = self.install_undoably(&flushed);
        self.durability.unflushed.push_back(Undo { lost: CommitLost { transaction, timeline, lsn }, rows });
        self.tell(flushed, out);
        if self.disk.wal_writer.is_none() {
            let due_ns = now_ns + self.durability.wal_writer_delay_ns;
            self.disk.wal_writer = Some(Flush { due_ns, up_to: self.log.flushed });
        }
    }

    /// Flushes the log, now or after the disk's delay; a flush that is under way is followed by another.
    pub fn request_flush(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        self.flush_up_to(now_ns, self.log.lsn, out);
    }

    fn flush_up_to(&mut self, now_ns: u64, up_to: Lsn, out: &mut Vec<Output>) {
        if self.disk.flush.is_some() || up_to <= self.log.flushed {
            return;
        }
        let flush = Flush { due_ns: now_ns + self.disk.flush_delay_ns, up_to };
        if self.disk.flush_delay_ns == 0 {
            self.flushed(now_ns, flush, out);
        } else {
            self.disk.flush = Some(flush);
        }
    }

    /// A flush has ended.
    pub fn flushed(&mut self, now_ns: u64, flush: Flush, out: &mut Vec<Output>) {
        self.disk.flush = None;
        if std::mem::take(&mut self.disk.fsync_fails) {
            self.panicked = true;
            return;
        }
        while let Some(record) = self.log.flush_next(flush.up_to) {
            if self.read_only {
                self.replay.receive(now_ns, record);
            } else {
                self.log.ship(record, out);
            }
        }
        let unflushed = &mut self.durability.unflushed;
        while unflushed.front().is_some_and(|undo| undo.lost.lsn <= flush.up_to) {
            unflushed.pop_front();
        }
        // With `off` nobody waits for the rest.
        if self.read_only || self.durability.level != SynchronousCommit::Off {
            self.request_flush(now_ns, out);
        }
    }

    /// The WAL writer flushes what it saw at its last look and, when nothing came since, everything: pages that
    /// are still being filled can wait (28.4). So a commit is flushed at the second look after it.
    pub fn wal_writer_wakes(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        let Some(seen) = self.disk.wal_writer.take() else { return };
        self.flush_up_to(now_ns, seen.up_to, out);
        if seen.up_to < self.log.lsn || self.disk.flush.is_some() {
            let due_ns = now_ns + self.durability.wal_writer_delay_ns;
            self.disk.wal_writer = Some(Flush { due_ns, up_to: self.log.lsn });
        }
    }

    /// How far commits are as durable as they have to be.
    pub fn durable(&self) -> Lsn {
        let flushed = self.log.flushed;
        if self.durability.waits_for_standby() { flushed.min(self.durability.acked) } else { flushed }
    }

    /// The next commit that is durable: visible from now on, and told of. Gives who waits for it.
    pub fn next_durable(&mut self, out: &mut Vec<Output>) -> Option<Option<u64>> {
        let durable = self.durable();
        self.durability.commits.front().filter(|pending| pending.flushed.lsn <= durable)?;
        let first = self.durability.commits.pop_front()?;
        if !first.visible {
            self.install(&first.flushed);
        }
        self.tell(first.flushed, out);
        Some(first.conn)
    }

    /// Visible before it is durable.
    pub fn show_early(&mut self, lsn: Lsn) {
        let commits = &mut self.durability.commits;
        let Some(position) = commits.iter().position(|pending| pending.flushed.lsn == lsn) else { return };
        let Some(mut pending) = commits.remove(position) else { return };
        if !pending.visible {
            self.install(&pending.flushed);
        }
        pending.visible = true;
        pending.conn = None;
        self.durability.commits.insert(position, pending);
    }

    /// Commits told of that were in memory only vanish, the last one first.
    pub fn lose_unflushed(&mut self, out: &mut Vec<Output>) {
        let undo = std::mem::take(&mut self.durability.unflushed);
        for (table, key, before) in undo.iter().rev().flat_map(|undo| undo.rows.iter().rev()) {
            self.tables[*table].apply(key.clone(), before.clone(), &mut self.scratch);
        }
        out.extend(undo.iter().map(|undo| Output::CommitLost(undo.lost)));
        self.log.lose_unflushed();
        let flushed = self.log.flushed;
        self.durability.commits.retain(|pending| pending.flushed.lsn <= flushed);
    }
}

/// How much a restart has to replay (28.5).
pub struct Checkpoint {
    timeout_ns: u64,
    /// The last one, as a multiple of the timeout.
    last: u64,
    rows: u64,
}

/// To start the process and to read its files.
const RECOVERY_BASE_NS: u64 = 100 * NS_PER_MS;
/// A row's share of recovery: replay is bound by random reads of data pages.
const RECOVERY_ROW_NS: u64 = 20_000;

impl Checkpoint {
    pub fn new(settings: &Settings) -> Self {
        Self { timeout_ns: settings.checkpoint_timeout_ms * NS_PER_MS, last: 0, rows: 0 }
    }

    /// A checkpoint takes place with the first record that is written after its time.
    pub fn wrote(&mut self, now_ns: u64, rows: usize) {
        let last = now_ns.checked_div(self.timeout_ns).unwrap_or(0);
        if last != self.last {
            self.last = last;
            self.rows = 0;
        }
        self.rows += rows as u64;
    }

    pub fn done(&mut self) {
        self.rows = 0;
    }

    pub fn recovery_ns(&self) -> u64 {
        RECOVERY_BASE_NS + self.rows * RECOVERY_ROW_NS
    }
}
