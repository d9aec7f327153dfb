//! The write-ahead log of a server and its way to the standby (manual 27.2, 28): one record per transaction.
//!
//! A record is written, then flushed, then sent. Records are kept until the standby has flushed them, as with a
//! replication slot (27.2.6), and not at all as long as no standby ever came.
//! A timeline begins with each promotion (26.3.5); a standby may follow only a server whose history has all that
//! the standby has.

use std::collections::VecDeque;

use crate::error::{SqlError, sqlstate};
use crate::output::{CommitLost, Lsn, Output, WalPosition, WalRecord};

pub struct Log {
    pub timeline: u32,
    /// Earlier timelines, each with its last record that belongs to this server's past.
    history: Vec<WalPosition>,
    /// The last record.
    pub lsn: Lsn,
    pub flushed: Lsn,
    /// Records after `flushed`.
    unflushed: VecDeque<WalRecord>,
    /// Flushed records that the standby may still ask for.
    retained: VecDeque<WalRecord>,
    /// How many at most; what is beyond that a standby has to get by a rewind.
    pub kept_max: usize,
    /// Commits among those that were not kept, for the case that a failover undoes them.
    dropped: VecDeque<CommitLost>,
    /// The last record of which the server has said that it is committed.
    pub told: Lsn,
    slot: bool,
    connected: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            timeline: 1,
            history: Vec::new(),
            lsn: Lsn(0),
            flushed: Lsn(0),
            unflushed: VecDeque::new(),
            retained: VecDeque::new(),
            kept_max: usize::MAX,
            dropped: VecDeque::new(),
            told: Lsn(0),
            slot: false,
            connected: false,
        }
    }
}

impl Log {
    pub fn keeping(kept_max: usize) -> Self {
        Self { kept_max, ..Self::default() }
    }

    /// A standby that was there before the first record.
    pub fn connect_first(&mut self) {
        self.slot = true;
        self.connected = true;
    }

    /// A log that has what another server has flushed, and continues it.
    pub fn continuing(source: &Self, kept_max: usize) -> Self {
        Self {
            kept_max,
            timeline: source.timeline,
            history: source.history.clone(),
            lsn: source.flushed,
            flushed: source.flushed,
            ..Self::default()
        }
    }

    /// Writes a record; a standby receives the first one of a new timeline in the same way.
    pub fn append(&mut self, record: WalRecord) {
        assert_eq!(record.lsn, self.lsn.next(), "the log has no gaps");
        if record.timeline > self.timeline {
            self.history.push(WalPosition { timeline: self.timeline, lsn: self.lsn });
            self.timeline = record.timeline;
        }
        self.lsn = record.lsn;
        self.unflushed.push_back(record);
    }

    /// The next record that a flush up to there makes safe.
    pub fn flush_next(&mut self, up_to: Lsn) -> Option<WalRecord> {
        let record = self.unflushed.front()?;
        if record.lsn > up_to {
            return None;
        }
        self.flushed = record.lsn;
        self.unflushed.pop_front()
    }

    /// Sends a flushed record, or keeps it for later, or both.
    pub fn ship(&mut self, record: WalRecord, out: &mut Vec<Output>) {
        if self.connected {
            out.push(Output::SendWal(record.clone()));
        }
        if !self.slot {
            return;
        }
        self.retained.push_back(record);
        if self.retained.len() > self.kept_max
            && let Some(record) = self.retained.pop_front().filter(WalRecord::is_commit)
        {
            self.dropped.push_back(record.lost());
        }
    }

    /// The standby has flushed everything up to there.
    pub fn release(&mut self, lsn: Lsn) {
        while self.dropped.front().is_some_and(|record| record.lsn <= lsn) {
            self.dropped.pop_front();
        }
        while self.retained.front().is_some_and(|record| record.lsn <= lsn) {
            self.retained.pop_front();
        }
    }

    pub fn disconnect(&mut self) {
        self.connected = false;
    }

    /// Whether the position lies in this server's past.
    pub fn contains(&self, position: WalPosition) -> bool {
        if position.timeline == self.timeline {
            return position.lsn <= self.lsn;
        }
        let mut past = self.history.iter();
        past.any(|last| last.timeline == position.timeline && position.lsn <= last.lsn)
    }

    /// Sends what the standby lacks.
    pub fn connect(&mut self, received: WalPosition, out: &mut Vec<Output>) -> Result<(), SqlError> {
        if !self.contains(received) {
            let WalPosition { timeline, lsn } = received;
            let message = format!(
                "requested starting point {} on timeline {timeline} is not in this server's history",
                lsn.0
            );
            return Err(SqlError::new(sqlstate::UNDEFINED_FILE, message));
        }
        let oldest = self.retained.front().map_or(self.flushed, |record| Lsn(record.lsn.0 - 1));
        if received.lsn < oldest {
            let message = "requested WAL segment has already been removed";
            return Err(SqlError::new(sqlstate::UNDEFINED_FILE, message));
        }
        self.slot = true;
        self.connected = true;
        let missing = self.retained.iter().filter(|record| record.lsn > received.lsn);
        out.extend(missing.cloned().map(Output::SendWal));
        Ok(())
    }

    /// A new timeline begins here. From now on the log is kept for a standby to come.
    pub fn fork(&mut self) {
        self.history.push(WalPosition { timeline: self.timeline, lsn: self.lsn });
        self.timeline += 1;
        self.slot = true;
        self.connected = false;
        self.told = self.lsn;
    }

    /// A crash: what was not flushed is gone.
    pub fn lose_unflushed(&mut self) {
        self.unflushed.clear();
        self.lsn = self.flushed;
        self.told = self.told.min(self.flushed);
        self.connected = false;
    }

    /// Commits told of that are not in the survivor's past.
    pub fn told_beyond(&self, survivor: &Self) -> Vec<CommitLost> {
        let kept = self.retained.iter().filter(|record| record.is_commit()).map(WalRecord::lost);
        let told = self.dropped.iter().copied().chain(kept).filter(|commit| commit.lsn <= self.told);
        told.filter(|commit| !survivor.has(commit)).collect()
    }

    /// Whether a commit is in this log's past.
    pub fn has(&self, commit: &CommitLost) -> bool {
        self.contains(WalPosition { timeline: commit.timeline, lsn: commit.lsn })
    }

    /// The same, each reported once.
    pub fn report_lost(&mut self, survivor: &Self, out: &mut Vec<Output>) {
        out.extend(self.told_beyond(survivor).into_iter().map(Output::CommitLost));
        self.dropped.clear();
        self.retained.clear();
    }
}
