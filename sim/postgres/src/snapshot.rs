//! Versions of rows that open snapshots still see (manual 13.2.2).
//!
//! Commits are numbered in the order in which they become visible; a snapshot is the number of the last one. As
//! long as none is open nothing is kept: tables hold the latest versions only, and READ COMMITTED needs no more.

use std::collections::{BTreeMap, VecDeque};

use crate::database::Database;
use crate::error::SqlError;
use crate::key::{KeyBytes, SpaceKey};
use crate::output::{Lsn, StoredRow};
use crate::transaction::Transaction;

/// The number of the last commit that it sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Snapshot(pub u64);

impl Snapshot {
    /// On a standby: whether it still sees what commits up to there have replaced.
    pub fn is_before(self, removed: Lsn) -> bool {
        self.0 < removed.0
    }
}

#[derive(Default)]
pub struct Versions {
    /// The last visible commit.
    latest: Snapshot,
    /// Open ones: how many transactions have each, and how far the log was visible when it was taken.
    open: BTreeMap<Snapshot, (usize, Lsn)>,
    tables: BTreeMap<usize, BTreeMap<KeyBytes, Vec<Superseded>>>,
    /// Where old versions are, the oldest first.
    order: VecDeque<(Snapshot, usize, KeyBytes)>,
}

/// A version, and the commit that ended it. `None`: there was no row.
struct Superseded {
    by: Snapshot,
    row: Option<StoredRow>,
}

impl Versions {
    /// Another commit becomes visible; its changes are to be noted by [`Self::keep`].
    pub fn advance(&mut self) {
        self.latest.0 += 1;
    }

    /// On a standby commits are numbered by their place in the log, and snapshots with them.
    pub fn advance_to(&mut self, lsn: Lsn) {
        self.latest = self.latest.max(Snapshot(lsn.0));
    }

    pub fn latest(&self) -> Snapshot {
        self.latest
    }

    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub fn keep(&mut self, table: usize, key: &KeyBytes, before: Option<StoredRow>) {
        let by = self.latest;
        let versions = self.tables.entry(table).or_default().entry(key.clone()).or_default();
        versions.push(Superseded { by, row: before });
        self.order.push_back((by, table, key.clone()));
    }

    fn open(&mut self, visible: Lsn) -> Snapshot {
        self.open.entry(self.latest).or_insert((0, visible)).0 += 1;
        self.latest
    }

    /// A transaction with this snapshot has ended: versions that nobody sees any more are dropped.
    pub fn close(&mut self, snapshot: Snapshot) {
        let Some((holders, _)) = self.open.get_mut(&snapshot) else { return };
        *holders -= 1;
        if *holders == 0 {
            self.open.remove(&snapshot);
        }
        let Some(oldest) = self.oldest_open() else {
            self.tables.clear();
            self.order.clear();
            return;
        };
        while self.order.front().is_some_and(|(by, ..)| *by <= oldest) {
            let Some((_, table, key)) = self.order.pop_front() else { return };
            self.drop_first(table, &key);
        }
    }

    fn drop_first(&mut self, table: usize, key: &KeyBytes) {
        let Some(rows) = self.tables.get_mut(&table) else { return };
        let Some(versions) = rows.get_mut(key.as_slice()) else { return };
        versions.remove(0);
        if versions.is_empty() {
            rows.remove(key.as_slice());
        }
    }

    /// All sessions have gone.
    pub fn crash(&mut self) {
        let latest = self.latest;
        *self = Self { latest, ..Self::default() };
    }

    pub fn oldest_open(&self) -> Option<Snapshot> {
        self.open.keys().next().copied()
    }

    /// How far the log was visible when the oldest open snapshot was taken.
    pub fn oldest_open_lsn(&self) -> Option<Lsn> {
        self.open.values().next().map(|(_, lsn)| *lsn)
    }

    /// What the snapshot sees of a row that has changed since; `None` if it has not.
    fn as_of(&self, table: usize, key: &[u8], snapshot: Snapshot) -> Option<Option<&StoredRow>> {
        let versions = self.tables.get(&table)?.get(key)?;
        let first = versions.iter().find(|version| version.by > snapshot)?;
        Some(first.row.as_ref())
    }

    /// All rows of a table that have changed since, as the snapshot sees them.
    pub fn superseded(
        &self,
        table: usize,
        snapshot: Snapshot,
    ) -> impl Iterator<Item = (&[u8], Option<&StoredRow>)> {
        let rows = self.tables.get(&table).into_iter().flatten();
        rows.filter_map(move |(key, versions)| {
            let first = versions.iter().find(|version| version.by > snapshot)?;
            Some((key.as_slice(), first.row.as_ref()))
        })
    }
}

impl Database {
    /// A transaction's snapshot is taken by its first statement, and is the same for all that follow.
    pub fn take_snapshot(&mut self) -> Snapshot {
        self.versions.open(self.log.told.max(self.replay.applied))
    }

    /// The committed row as this transaction sees it.
    pub fn committed<'a>(
        &'a self,
        transaction: &Transaction,
        table: usize,
        key: &SpaceKey,
    ) -> Option<&'a StoredRow> {
        let key = key.key.as_slice();
        let old = transaction.snapshot.and_then(|snapshot| self.versions.as_of(table, key, snapshot));
        old.unwrap_or_else(|| self.tables[table].get(key))
    }

    /// First updater wins: what another transaction has changed since the snapshot can be neither changed nor
    /// locked. The transaction's own version of a row is beyond that.
    pub fn check_unchanged(
        &self,
        transaction: &Transaction,
        table: usize,
        key: &SpaceKey,
    ) -> Result<(), SqlError> {
        let Some(snapshot) = transaction.snapshot else { return Ok(()) };
        let changed = self.versions.as_of(table, key.key.as_slice(), snapshot).is_some();
        if changed && transaction.writes.get(key).is_none() {
            return Err(SqlError::concurrent_update());
        }
        Ok(())
    }
}
