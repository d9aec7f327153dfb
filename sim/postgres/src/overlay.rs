//! Rows as a transaction sees them where that differs from what is committed now: the versions of its snapshot,
//! and over them its own.

use std::collections::BTreeMap;

use crate::database::Database;
use crate::output::StoredRow;
use crate::table::{Bounds, Path, TableData, position};
use crate::transaction::Transaction;

/// By primary key; `None` where the transaction sees no row.
pub struct Overlay<'a>(BTreeMap<&'a [u8], Option<&'a StoredRow>>);

impl Database {
    /// `None`: the transaction sees what is committed now.
    pub fn overlay<'a>(&'a self, transaction: &'a Transaction, table: usize) -> Option<Overlay<'a>> {
        let own = transaction.writes.table(table);
        if own.is_none() && transaction.snapshot.is_none() {
            return None;
        }
        let mut rows = BTreeMap::new();
        if let Some(snapshot) = transaction.snapshot {
            rows.extend(self.versions.superseded(table, snapshot));
        }
        let own = own.into_iter().flat_map(|own| own.iter());
        rows.extend(own.map(|(key, write)| (key.as_slice(), write.row.as_ref())));
        (!rows.is_empty()).then_some(Overlay(rows))
    }
}

impl<'a> Overlay<'a> {
    /// Rows within the bounds, in the order of the path. They are few, and looked through.
    fn within(&self, data: &TableData, path: Path, bounds: &Bounds) -> Vec<(Vec<u8>, &'a StoredRow)> {
        let mut found = Vec::new();
        let mut scratch = Vec::new();
        for row in self.0.values().filter_map(|row| *row) {
            if position(data.table, path, row, &mut scratch).is_some() && bounds.contain(&scratch) {
                found.push((scratch.clone(), row));
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    /// The rows that the transaction sees, in order: the committed ones that are not overlaid, and these.
    pub fn merge(
        self,
        data: &'a TableData,
        path: Path,
        bounds: &'a Bounds,
    ) -> impl Iterator<Item = &'a StoredRow> {
        let mut mine = self.within(data, path, bounds).into_iter().peekable();
        let committed = data.walk(path, bounds).filter(move |(_, key, _)| !self.0.contains_key(key));
        let mut committed = committed.peekable();
        std::iter::from_fn(move || match (committed.peek(), mine.peek()) {
            (Some((theirs, ..)), Some((own, _))) if *theirs > own.as_slice() => {
                mine.next().map(|(_, row)| row)
            }
            (Some(_), _) => committed.next().map(|(.., row)| row),
            (None, _) => mine.next().map(|(_, row)| row),
        })
    }
}
