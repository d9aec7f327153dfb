//! VACUUM as far as standbys notice it: the log says which old versions are gone (manual 25.1, 26.4.2).
//!
//! What it leaves out: `hot_standby_feedback`, pruning on access, and everything that vacuuming does to tables.

use std::sync::Arc;

use crate::database::Database;
use crate::output::{Change, ChangeKind, Lsn, Output, WalRecord};

#[derive(Default)]
pub struct Vacuum {
    /// The last visible commit that replaced or deleted a row.
    changed: Lsn,
    /// How far old versions are known to be removed.
    removed: Lsn,
}

impl Vacuum {
    pub fn changed(&mut self, lsn: Lsn, changes: &[Change]) {
        if changes.iter().any(|change| change.kind != ChangeKind::Insert) {
            self.changed = lsn;
        }
    }
}

impl Database {
    /// Writes what can be removed since the last time, if there is anything.
    pub fn log_removal(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        let changed = self.vacuum.changed;
        let removed = self.versions.oldest_open_lsn().map_or(changed, |oldest| oldest.min(changed));
        if removed <= self.vacuum.removed {
            return;
        }
        self.vacuum.removed = removed;
        self.log.append(WalRecord {
            timeline: self.log.timeline,
            lsn: self.log.lsn.next(),
            transaction: 0,
            now_ns,
            changes: Arc::new([]),
            told: self.log.told,
            sequences: Vec::new(),
            removed: Some(removed),
        });
        self.request_flush(now_ns, out);
    }
}
