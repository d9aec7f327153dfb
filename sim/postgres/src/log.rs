//! The write-ahead log between primary and standby (manual 27.2, 28): one record per transaction.
//!
//! A record counts as flushed where it is appended. Records are kept until the standby has them, as with a
//! replication slot (27.2.6), and not at all as long as no standby ever came.

use std::collections::VecDeque;

use crate::error::SqlError;
use crate::output::{Lsn, Output, WalRecord};

pub struct Log {
    pub timeline: u32,
    /// The last record.
    pub lsn: Lsn,
    /// What the standby may still ask for.
    retained: VecDeque<WalRecord>,
    slot: bool,
    connected: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { timeline: 1, lsn: Lsn(0), retained: VecDeque::new(), slot: false, connected: false }
    }
}

impl Log {
    /// A standby that was there before the first record.
    pub fn connect_first(&mut self) {
        self.slot = true;
        self.connected = true;
    }

    pub fn append(&mut self, record: WalRecord, out: &mut Vec<Output>) {
        assert_eq!(record.lsn, self.lsn.next(), "the log has no gaps");
        self.lsn = record.lsn;
        if self.connected {
            out.push(Output::SendWal(record.clone()));
        }
        if self.slot {
            self.retained.push_back(record);
        }
    }

    pub fn ack(&mut self, lsn: Lsn) {
        while self.retained.front().is_some_and(|record| record.lsn <= lsn) {
            self.retained.pop_front();
        }
    }

    pub fn disconnect(&mut self) {
        self.connected = false;
    }

    /// Sends what the standby lacks.
    pub fn connect(&mut self, received: Lsn, out: &mut Vec<Output>) -> Result<(), SqlError> {
        let oldest = self.retained.front().map_or(self.lsn, |record| Lsn(record.lsn.0 - 1));
        if received < oldest {
            return Err(SqlError::new("58P01", "requested WAL segment has already been removed"));
        }
        self.slot = true;
        self.connected = true;
        self.ack(received);
        out.extend(self.retained.iter().cloned().map(Output::SendWal));
        Ok(())
    }
}
