//! What a serializable transaction reads and writes, noted where it does; nothing at all below SERIALIZABLE.

use host::ports::store::{Isolation, Value};

use crate::database::Database;
use crate::error::SqlError;
use crate::key::SpaceKey;
use crate::serializable::{Mark, Predicate};
use crate::table::{Path, position};
use crate::transaction::Transaction;

impl Database {
    /// Before each statement above READ COMMITTED: the first one takes the snapshot.
    #[cold]
    pub fn enter(&mut self, transaction: &mut Transaction) -> Result<(), SqlError> {
        if transaction.snapshot.is_none() {
            let snapshot = self.take_snapshot();
            transaction.snapshot = Some(snapshot);
            if transaction.isolation == Isolation::Serializable {
                transaction.serializable = Some(self.serializable.begin(snapshot));
            }
        }
        transaction.serializable.map_or(Ok(()), |node| self.serializable.check(node))
    }

    pub fn note_row_read(
        &mut self,
        transaction: &Transaction,
        table: usize,
        key: &SpaceKey,
    ) -> Result<(), SqlError> {
        let Some(node) = transaction.serializable else { return Ok(()) };
        self.serializable.read(node, Predicate::Row { table, key: key.key.clone() })
    }

    /// The range of the last scan: up to its last row, if it stopped there.
    pub fn note_range_read(
        &mut self,
        transaction: &Transaction,
        table: usize,
        path: Path,
        last: Option<&[Value]>,
    ) -> Result<(), SqlError> {
        let Some(node) = transaction.serializable else { return Ok(()) };
        let (low, mut high) = (self.bounds.low.clone(), self.bounds.high.clone());
        if let Some(last) = last
            && position(self.tables[table].table, path, last, &mut high).is_some()
        {
            // The next position above: the last row itself is in the range.
            high.push(0);
        }
        self.serializable.read(node, Predicate::Range { table, path, low, high })
    }

    pub fn note_write(
        &mut self,
        transaction: &Transaction,
        table: usize,
        key: &SpaceKey,
        old: Option<&[Value]>,
        new: Option<&[Value]>,
    ) -> Result<(), SqlError> {
        let Some(node) = transaction.serializable else { return Ok(()) };
        let declared = self.tables[table].table;
        let mut positions = vec![(Path::Primary, key.key.as_slice().to_vec())];
        for row in old.into_iter().chain(new) {
            for path in (0..declared.indexes.len()).map(Path::Index) {
                let mut encoded = Vec::new();
                if position(declared, path, row, &mut encoded).is_some() {
                    positions.push((path, encoded));
                }
            }
        }
        self.serializable.write(node, Mark { table, key: key.key.clone(), positions })
    }
}
