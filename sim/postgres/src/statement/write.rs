//! Insert, UpdateIf, DeleteIf (manual 13.2.1, and INSERT's ON CONFLICT in part VI).
//!
//! An update looks at the latest committed row first: where that does not match, it neither waits nor locks.
//! Where it matches and is locked, it waits, and looks again at what the other transaction left. Above READ
//! COMMITTED it looks at its snapshot, and what has changed since is 40001.

use host::ports::store::{Key, OnConflict, Reply, Row, Table, Value};

use super::Actor;
use crate::database::Database;
use crate::error::SqlError;
use crate::key::encode;
use crate::locks::{LockKey, Strength};
use crate::output::StoredRow;
use crate::session::{Step, Wait};
use crate::statement::write::unique::Unique;

mod check;
mod unique;

impl Database {
    pub fn insert(
        &mut self,
        actor: &mut Actor<'_>,
        declared: &'static Table,
        row: &mut Row,
        on_conflict: OnConflict,
    ) -> Result<Step, SqlError> {
        let table = self.table(declared)?;
        check::columns(declared, row, on_conflict)?;
        if declared.serial && row[0] == Value::Null {
            row[0] = Value::Int(self.next_value(actor, table));
        }
        check::values(declared, row)?;
        self.scratch.clear();
        encode(&row[..declared.key], &mut self.scratch);
        let key = self.scratch_key(table)?;
        if let Some(writer) = self.locks.writer(&key).filter(|writer| *writer != actor.conn) {
            return Ok(Step::Wait(Wait::Transaction(writer)));
        }
        let exists = self.latest(actor.transaction, table, &key).is_some();
        let replaces = !matches!(on_conflict, OnConflict::Error | OnConflict::DoNothing);
        if !exists && replaces && actor.progress.granted {
            // The row that it was to replace was deleted while it waited.
            self.check_unchanged(actor.transaction, table, &key)?;
        }
        if !exists || on_conflict == OnConflict::Error {
            self.note_write(actor.transaction, table, &key, None, Some(row))?;
        }
        if exists {
            if on_conflict != OnConflict::Error {
                self.note_row_read(actor.transaction, table, &key)?;
            }
            if on_conflict == OnConflict::DoNothing {
                self.check_unchanged(actor.transaction, table, &key)?;
            }
            return match on_conflict {
                OnConflict::Error => Err(SqlError::unique(&format!("{}_pkey", declared.name))),
                OnConflict::DoNothing => Ok(Step::Done(self.nothing_inserted(actor, &key))),
                OnConflict::Update => self.upsert(actor, table, key, row, None),
                OnConflict::UpdateIfLess { column } => self.upsert(actor, table, key, row, Some(column)),
            };
        }
        // The row has its place in the key's index before the other indexes are asked. Only DO NOTHING asks them first.
        if on_conflict != OnConflict::DoNothing && !self.acquire(actor, &key, Strength::Write) {
            return Ok(self.wait_for_row(actor, key, Strength::Write));
        }
        match self.check_unique(actor, table, &key, None, row) {
            Unique::Free => {}
            Unique::Busy(writer) => return Ok(Step::Wait(Wait::Transaction(writer))),
            Unique::Taken { holder, .. } if on_conflict == OnConflict::DoNothing => {
                if let Some(holder) = holder {
                    self.note_row_read(actor.transaction, table, &holder)?;
                    self.check_unchanged(actor.transaction, table, &holder)?;
                }
                return Ok(Step::Done(self.nothing_inserted(actor, &key)));
            }
            Unique::Taken { index, .. } => return Err(SqlError::unique(index)),
        }
        if !self.acquire(actor, &key, Strength::Write) {
            return Ok(self.wait_for_row(actor, key, Strength::Write));
        }
        self.check_room(table)?;
        self.claim_unique(actor, table, row);
        let row: StoredRow = std::mem::take(row).into();
        actor.transaction.writes.record(key, None, Some(row));
        Ok(Step::Done(Reply::Changed(1)))
    }

    /// `nextval`: with `CACHE` from the block that the session holds.
    fn next_value(&mut self, actor: &mut Actor<'_>, table: usize) -> i64 {
        let sequence = &mut self.tables[table].sequence;
        if self.sequence_cache == 1 {
            return sequence.next_block(1);
        }
        let held = actor.sequences.entry(table).or_default();
        held.next().unwrap_or_else(|| {
            let first = sequence.next_block(self.sequence_cache);
            *held = first + 1..first + self.sequence_cache;
            first
        })
    }

    /// ON CONFLICT DO UPDATE: the latest committed row is locked, then replaced where the new value of the
    /// column, if one is named, is less. It stays locked also where it is not.
    fn upsert(
        &mut self,
        actor: &mut Actor<'_>,
        table: usize,
        key: LockKey,
        row: &Row,
        less: Option<usize>,
    ) -> Result<Step, SqlError> {
        if !self.acquire(actor, &key, Strength::Update) {
            return Ok(self.wait_for_row(actor, key, Strength::Update));
        }
        self.check_unchanged(actor.transaction, table, &key)?;
        if let Some(column) = less {
            let stored = self.visible(actor.transaction, table, &key).expect("the caller saw it");
            let (new, stored) = (&row[column], &stored[column]);
            if *new == Value::Null || *stored == Value::Null || new >= stored {
                return Ok(Step::Done(Reply::Changed(0)));
            }
        }
        let stronger = self.acquire(actor, &key, Strength::Write);
        assert!(stronger, "nobody else has a row that is locked for update");
        self.replace(actor, table, key, row.as_slice().into())
    }

    pub fn update_if(
        &mut self,
        actor: &mut Actor<'_>,
        declared: &'static Table,
        key: &Key,
        expected: &[(usize, Value)],
        set: &[(usize, Value)],
    ) -> Result<Step, SqlError> {
        let table = self.table(declared)?;
        check::assignments(declared, expected, set)?;
        let key = self.primary_key(table, key)?;
        self.note_row_read(actor.transaction, table, &key)?;
        if self.is_missing(actor, table, &key) || !self.matches(actor, table, &key, expected) {
            return Ok(Step::Done(Reply::Changed(0)));
        }
        self.check_unchanged(actor.transaction, table, &key)?;
        if !self.acquire(actor, &key, Strength::Write) {
            return Ok(self.wait_for_row(actor, key, Strength::Update));
        }
        let old = self.visible(actor.transaction, table, &key).expect("seen above");
        let mut new: StoredRow = old.iter().cloned().collect();
        if let Some(columns) = std::sync::Arc::get_mut(&mut new) {
            for (column, value) in set {
                columns[*column] = value.clone();
            }
        }
        check::values(declared, &new)?;
        self.replace(actor, table, key, new)
    }

    pub fn delete_if(
        &mut self,
        actor: &mut Actor<'_>,
        declared: &'static Table,
        key: &Key,
        expected: &[(usize, Value)],
    ) -> Result<Step, SqlError> {
        let table = self.table(declared)?;
        check::assignments(declared, expected, &[])?;
        let key = self.primary_key(table, key)?;
        self.note_row_read(actor.transaction, table, &key)?;
        if self.is_missing(actor, table, &key) || !self.matches(actor, table, &key, expected) {
            return Ok(Step::Done(Reply::Changed(0)));
        }
        self.check_unchanged(actor.transaction, table, &key)?;
        if !self.acquire(actor, &key, Strength::Write) {
            return Ok(self.wait_for_row(actor, key, Strength::Update));
        }
        let old = self.visible(actor.transaction, table, &key).expect("seen above").clone();
        self.note_write(actor.transaction, table, &key, Some(&old), None)?;
        self.claim_unique(actor, table, &old);
        let committed = self.tables[table].get(key.key.as_slice());
        actor.transaction.writes.record(key, committed, None);
        Ok(Step::Done(Reply::Changed(1)))
    }

    /// Writes the new version of a row that is locked for it.
    fn replace(
        &mut self,
        actor: &mut Actor<'_>,
        table: usize,
        key: LockKey,
        new: StoredRow,
    ) -> Result<Step, SqlError> {
        self.check_room(table)?;
        if actor.transaction.serializable.is_some() {
            let old = self.visible(actor.transaction, table, &key).expect("a locked row").clone();
            self.note_write(actor.transaction, table, &key, Some(&old), Some(&new))?;
        }
        if self.tables[table].has_unique {
            let old = self.visible(actor.transaction, table, &key).expect("a locked row").clone();
            match self.check_unique(actor, table, &key, Some(&old), &new) {
                Unique::Free => {}
                Unique::Busy(writer) => return Ok(Step::Wait(Wait::Transaction(writer))),
                Unique::Taken { index, .. } => return Err(SqlError::unique(index)),
            }
            self.claim_unique(actor, table, &old);
            self.claim_unique(actor, table, &new);
        }
        let committed = self.tables[table].get(key.key.as_slice());
        actor.transaction.writes.record(key, committed, Some(new));
        Ok(Step::Done(Reply::Changed(1)))
    }

    /// A new version of a row needs room. A deletion does not: it only marks the old one.
    fn check_room(&self, table: usize) -> Result<(), SqlError> {
        if self.disk.full {
            return Err(SqlError::disk_full(self.tables[table].table.name));
        }
        Ok(())
    }

    fn matches(&self, actor: &Actor<'_>, table: usize, key: &LockKey, expected: &[(usize, Value)]) -> bool {
        let row = self.visible(actor.transaction, table, key);
        row.is_some_and(|row| expected.iter().all(|(column, value)| row[*column] == *value))
    }

    fn wait_for_row(&mut self, actor: &Actor<'_>, key: LockKey, strength: Strength) -> Step {
        self.locks.enqueue(actor.conn, &key, strength);
        Step::Wait(Wait::Lock(key))
    }

    /// An insert that does nothing leaves no lock behind, even if it waited for one.
    fn nothing_inserted(&mut self, actor: &mut Actor<'_>, key: &LockKey) -> Reply {
        if std::mem::take(&mut actor.progress.granted) {
            self.release(actor.conn, actor.transaction, key);
        }
        Reply::Changed(0)
    }
}
