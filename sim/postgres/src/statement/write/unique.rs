//! Unique secondary indexes: who inserts a key that another open transaction inserts, moves or deletes waits
//! for that one's outcome (manual 61.5).

use host::ports::store::Value;

use super::Actor;
use crate::database::Database;
use crate::key::{KeyBytes, SpaceKey};
use crate::locks::{LockKey, Strength};
use crate::table::{index_changes, unique_key};
use crate::transaction::row_space;

pub enum Unique {
    Free,
    /// By a row; of somebody else, if it is named.
    Taken {
        index: &'static str,
        holder: Option<SpaceKey>,
    },
    /// By an open transaction.
    Busy(u64),
}

impl Database {
    /// Whether a new version of the row at `key` may have its unique values.
    pub fn check_unique(
        &mut self,
        actor: &Actor<'_>,
        table: usize,
        key: &LockKey,
        old: Option<&[Value]>,
        new: &[Value],
    ) -> Unique {
        if !self.tables[table].has_unique {
            return Unique::Free;
        }
        let declared = self.tables[table].table;
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut verdict = Unique::Free;
        for (number, index) in declared.indexes.iter().enumerate() {
            let stays = old.is_some_and(|old| !index_changes(index, old, new));
            if stays || !unique_key(index, new, &mut scratch) {
                continue;
            }
            let lock = unique_lock(table, number, &scratch);
            let writer = self.locks.writer(&lock);
            if let Some(writer) = writer.filter(|writer| *writer != actor.conn) {
                verdict = Unique::Busy(writer);
                break;
            }
            let holder = self.holder(actor, table, number, key, &scratch);
            if holder.is_some()
                || (writer.is_some() && self.is_taken_by_own(actor, table, number, key, &scratch))
            {
                verdict = Unique::Taken { index: index.name, holder };
                break;
            }
        }
        self.scratch = scratch;
        verdict
    }

    /// A committed row with this value that this transaction has not moved away.
    fn holder(
        &self,
        actor: &Actor<'_>,
        table: usize,
        number: usize,
        key: &LockKey,
        wanted: &[u8],
    ) -> Option<SpaceKey> {
        let data = &self.tables[table];
        let index = &data.table.indexes[number];
        let mut scratch = Vec::new();
        let others = data.holders(number, wanted).filter(|holder| *holder != key.key.as_slice());
        let mut others = others.map(|holder| SpaceKey { space: key.space, key: KeyBytes::new(holder) });
        others.find(|holder| match actor.transaction.writes.get(holder) {
            None => true,
            Some(write) => write
                .row
                .as_ref()
                .is_some_and(|row| unique_key(index, row, &mut scratch) && scratch == wanted),
        })
    }

    /// By another row that this transaction wrote.
    fn is_taken_by_own(
        &self,
        actor: &Actor<'_>,
        table: usize,
        number: usize,
        key: &LockKey,
        wanted: &[u8],
    ) -> bool {
        let index = &self.tables[table].table.indexes[number];
        let mut scratch = Vec::new();
        actor.transaction.writes.table(table).is_some_and(|own| {
            let mut others = own.iter().filter(|(other, _)| **other != key.key);
            others.any(|(_, write)| {
                let row = write.row.as_ref();
                row.is_some_and(|row| unique_key(index, row, &mut scratch) && scratch == wanted)
            })
        })
    }

    /// Holds the row's unique values until the outcome: nobody else can come in between, since they are free or
    /// this transaction's.
    pub fn claim_unique(&mut self, actor: &mut Actor<'_>, table: usize, row: &[Value]) {
        if !self.tables[table].has_unique {
            return;
        }
        let declared = self.tables[table].table;
        let mut scratch = std::mem::take(&mut self.scratch);
        for (number, index) in declared.indexes.iter().enumerate() {
            if unique_key(index, row, &mut scratch) {
                let lock = unique_lock(table, number, &scratch);
                let claimed = self.acquire(actor, &lock, Strength::Write);
                assert!(claimed, "values of {} are claimed twice", index.name);
            }
        }
        self.scratch = scratch;
    }
}

fn unique_lock(table: usize, number: usize, encoded: &[u8]) -> LockKey {
    let number = u32::try_from(number).expect("few indexes");
    LockKey { space: row_space(table) + 1 + number, key: KeyBytes::new(encoded) }
}
