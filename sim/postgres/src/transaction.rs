//! One transaction: what it wrote and nobody else sees yet, which locks it holds, whom it will notify.

use std::sync::Arc;

use host::ports::store::{Isolation, Table};

use crate::key::{KeyBytes, SpaceKey, SpaceMap};
use crate::locks::LockKey;
use crate::output::{Change, ChangeKind, CommittedTx, Lsn, StoredRow};
use crate::serializable::NodeId;
use crate::snapshot::Snapshot;
use crate::table::TableData;

/// A session's current transaction. Reused by the next one, with its allocations.
pub struct Transaction {
    pub id: u64,
    /// By the server's clock.
    pub began_ns: u64,
    /// Began in recovery, and stays read-only (26.4.2).
    pub read_only: bool,
    pub isolation: Isolation,
    /// Above READ COMMITTED, from the first statement that looks at rows.
    pub snapshot: Option<Snapshot>,
    /// Under SERIALIZABLE, together with the snapshot.
    pub serializable: Option<NodeId>,
    pub writes: Writes,
    /// In the order of acquiring. A key may be here twice.
    pub locks: Vec<LockKey>,
    /// Channels, each once.
    pub notifies: Vec<&'static str>,
    pub listens: Vec<&'static str>,
    /// Sessions that wait for the outcome of this transaction.
    pub waiters: Vec<u64>,
}

impl Default for Transaction {
    fn default() -> Self {
        Self {
            id: 0,
            began_ns: 0,
            read_only: false,
            isolation: Isolation::ReadCommitted,
            snapshot: None,
            serializable: None,
            writes: Writes::default(),
            locks: Vec::new(),
            notifies: Vec::new(),
            listens: Vec::new(),
            waiters: Vec::new(),
        }
    }
}

/// Uncommitted changes, in the order of first writing.
#[derive(Default)]
pub struct Writes {
    rows: SpaceMap<Write>,
    /// Tables written, each once: reads of all others need not look here.
    tables: Vec<usize>,
}

/// Those of one table.
#[derive(Clone, Copy)]
pub struct TableWrites<'a> {
    table: usize,
    writes: &'a Writes,
}

pub struct Write {
    /// The committed version that this replaces. It cannot change: the row is locked.
    old: Option<StoredRow>,
    /// `None`: deleted.
    pub row: Option<StoredRow>,
}

/// A transaction in the log, before it is told of.
pub struct Flushed {
    pub transaction: u64,
    pub timeline: u32,
    pub lsn: Lsn,
    pub now_ns: u64,
    pub changes: Arc<[Change]>,
    /// Where the changes belong.
    pub places: Vec<SpaceKey>,
}

/// Lock space of a table's rows; those of its indexes follow.
pub fn row_space(table: usize) -> u32 {
    u32::try_from(table).expect("few tables") << 8
}

fn table_of(key: &SpaceKey) -> usize {
    (key.space >> 8) as usize
}

impl Writes {
    pub fn table(&self, table: usize) -> Option<TableWrites<'_>> {
        self.tables.contains(&table).then_some(TableWrites { table, writes: self })
    }

    /// The transaction's own version of a row, if it wrote it.
    pub fn get(&self, key: &SpaceKey) -> Option<&Write> {
        if self.tables.contains(&table_of(key)) { self.rows.get(key) } else { None }
    }

    /// Notes the newest version of a row, over its committed version.
    pub fn record(&mut self, key: SpaceKey, old: Option<&StoredRow>, row: Option<StoredRow>) {
        let table = table_of(&key);
        if !self.tables.contains(&table) {
            self.tables.push(table);
        }
        self.rows.entry(key).or_insert_with(|| Write { old: old.cloned(), row: None }).row = row;
    }

    pub fn clear(&mut self) {
        self.tables.clear();
        self.rows.clear();
    }

    /// Takes the net changes out, and where they belong.
    pub fn take(&mut self, tables: &[TableData]) -> (Arc<[Change]>, Vec<SpaceKey>) {
        self.tables.clear();
        let mut places = Vec::with_capacity(self.rows.len());
        let mut changes = Vec::with_capacity(self.rows.len());
        for (key, write) in self.rows.drain(..) {
            if let Some(change) = write.net(tables[table_of(&key)].table) {
                changes.push(change);
                places.push(key);
            }
        }
        (changes.into(), places)
    }
}

impl From<&Flushed> for CommittedTx {
    fn from(flushed: &Flushed) -> Self {
        let Flushed { transaction, timeline, lsn, now_ns, .. } = *flushed;
        Self { transaction, timeline, lsn, now_ns, changes: flushed.changes.clone() }
    }
}

impl Flushed {
    /// Changes with their table and primary key.
    pub fn placed(&self) -> impl Iterator<Item = (usize, &KeyBytes, &Change)> {
        self.places.iter().zip(&*self.changes).map(|(place, change)| (table_of(place), &place.key, change))
    }
}

impl Write {
    fn net(self, table: &'static Table) -> Option<Change> {
        let (kind, row) = match (self.old, self.row) {
            (None, Some(row)) => (ChangeKind::Insert, row),
            (Some(_), Some(row)) => (ChangeKind::Update, row),
            (Some(old), None) => (ChangeKind::Delete, old),
            (None, None) => return None,
        };
        Some(Change { table, kind, row })
    }
}

impl<'a> TableWrites<'a> {
    /// By primary key.
    pub fn iter(self) -> impl Iterator<Item = (&'a KeyBytes, &'a Write)> {
        let rows = self.writes.rows.iter().filter(move |(key, _)| table_of(key) == self.table);
        rows.map(|(key, write)| (&key.key, write))
    }
}
