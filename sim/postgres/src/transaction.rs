//! One transaction: what it wrote and nobody else sees yet, which locks it holds, whom it will notify.

use std::collections::BTreeMap;
use std::sync::Arc;

use host::ports::store::Table;

use crate::key::KeyBytes;
use crate::locks::LockKey;
use crate::output::{Change, ChangeKind, Lsn, StoredRow};
use crate::table::{Bounds, Path, TableData, position};

/// A session's current transaction. Reused by the next one, with its allocations.
#[derive(Default)]
pub struct Transaction {
    pub id: u64,
    pub began_ns: u64,
    pub writes: Writes,
    /// In the order of acquiring. A key may be here twice.
    pub locks: Vec<LockKey>,
    /// Channels, each once.
    pub notifies: Vec<&'static str>,
    pub listens: Vec<&'static str>,
    /// Sessions that wait for the outcome of this transaction.
    pub waiters: Vec<u64>,
}

/// Uncommitted changes, by table in the order of first writing.
#[derive(Default)]
pub struct Writes {
    tables: Vec<TableWrites>,
    count: u32,
}

pub struct TableWrites {
    table: usize,
    rows: BTreeMap<KeyBytes, Write>,
}

pub struct Write {
    order: u32,
    /// The committed version that this replaces. It cannot change: the row is locked.
    old: Option<StoredRow>,
    /// `None`: deleted.
    pub row: Option<StoredRow>,
}

/// A transaction in the log, before it is visible.
pub struct Flushed {
    pub transaction: u64,
    pub lsn: Lsn,
    pub now_ns: u64,
    pub changes: Arc<[Change]>,
    /// Where the changes belong: table, primary key.
    pub places: Vec<(usize, KeyBytes)>,
}

impl Writes {
    pub fn table(&self, table: usize) -> Option<&TableWrites> {
        self.tables.iter().find(|writes| writes.table == table)
    }

    /// Notes the newest version of a row, over its committed version.
    pub fn record(&mut self, table: usize, key: KeyBytes, old: Option<&StoredRow>, row: Option<StoredRow>) {
        let index = self.tables.iter().position(|writes| writes.table == table).unwrap_or_else(|| {
            self.tables.push(TableWrites { table, rows: BTreeMap::new() });
            self.tables.len() - 1
        });
        self.count += 1;
        let order = self.count;
        let write = self.tables[index].rows.entry(key).or_insert_with(|| Write {
            order,
            old: old.cloned(),
            row: None,
        });
        write.row = row;
    }

    pub fn clear(&mut self) {
        self.tables.clear();
        self.count = 0;
    }

    /// Takes the net changes out, in the order of first writing.
    pub fn take(&mut self, tables: &[TableData]) -> (Arc<[Change]>, Vec<(usize, KeyBytes)>) {
        let mut net = Vec::with_capacity(self.tables.iter().map(|writes| writes.rows.len()).sum());
        for writes in self.tables.drain(..) {
            let declared = tables[writes.table].table;
            let rows = writes.rows.into_iter();
            net.extend(rows.filter_map(|(key, write)| {
                let (order, change) = write.net(declared)?;
                Some((order, change, (writes.table, key)))
            }));
        }
        self.count = 0;
        net.sort_unstable_by_key(|(order, ..)| *order);
        let mut places = Vec::with_capacity(net.len());
        let changes = net.into_iter().map(|(_, change, place)| {
            places.push(place);
            change
        });
        let changes = changes.collect();
        (changes, places)
    }
}

impl Write {
    fn net(self, table: &'static Table) -> Option<(u32, Change)> {
        let (kind, row) = match (self.old, self.row) {
            (None, Some(row)) => (ChangeKind::Insert, row),
            (Some(_), Some(row)) => (ChangeKind::Update, row),
            (Some(old), None) => (ChangeKind::Delete, old),
            (None, None) => return None,
        };
        Some((self.order, Change { table, kind, row }))
    }
}

impl TableWrites {
    pub fn get(&self, key: &[u8]) -> Option<&Write> {
        self.rows.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&KeyBytes, &Write)> {
        self.rows.iter()
    }

    /// Own rows within the bounds, in the order of the path. Rows of a transaction are few: they are looked
    /// through.
    fn within(&self, data: &TableData, path: Path, bounds: &Bounds) -> Vec<(Vec<u8>, &StoredRow)> {
        let mut found = Vec::new();
        let mut scratch = Vec::new();
        for row in self.rows.values().filter_map(|write| write.row.as_ref()) {
            if position(data.table, path, row, &mut scratch).is_some() && bounds.contain(&scratch) {
                found.push((scratch.clone(), row));
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    /// Rows as the transaction sees them: the committed ones that it did not write, and its own, in order.
    pub fn merge<'a>(
        &'a self,
        data: &'a TableData,
        path: Path,
        bounds: &'a Bounds,
    ) -> impl Iterator<Item = &'a StoredRow> {
        let mut own = self.within(data, path, bounds).into_iter().peekable();
        let mut committed =
            data.walk(path, bounds).filter(|(_, key, _)| !self.rows.contains_key(*key)).peekable();
        std::iter::from_fn(move || match (committed.peek(), own.peek()) {
            (Some((theirs, ..)), Some((mine, _))) if *theirs > mine.as_slice() => {
                own.next().map(|(_, row)| row)
            }
            (Some(_), _) => committed.next().map(|(.., row)| row),
            (None, _) => own.next().map(|(_, row)| row),
        })
    }
}
