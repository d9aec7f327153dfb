//! Lock: SELECT … FOR SHARE and FOR UPDATE, row after row in the order given (manual 13.3.2).

use host::ports::store::{Key, LockMode, LockWait, Reply, Table};

use super::Actor;
use crate::database::Database;
use crate::error::{SqlError, sqlstate};
use crate::locks::{Acquired, LockKey, Strength};
use crate::session::{Step, Wait};

impl Database {
    pub fn lock(
        &mut self,
        actor: &mut Actor<'_>,
        declared: &'static Table,
        keys: &mut Vec<Key>,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<Step, SqlError> {
        let table = self.table(declared)?;
        let strength = match mode {
            LockMode::Share => Strength::Share,
            LockMode::Update => Strength::Update,
        };
        while let Some(key) = keys.get(actor.progress.cursor) {
            let key = self.primary_key(table, key)?;
            self.note_row_read(actor.transaction, table, &key)?;
            if self.is_missing(actor, table, &key) {
                actor.progress.cursor += 1;
                continue;
            }
            self.check_unchanged(actor.transaction, table, &key)?;
            if !self.acquire(actor, &key, strength) {
                match wait {
                    LockWait::Wait => {
                        self.forget_missing(actor, table, keys)?;
                        self.locks.enqueue(actor.conn, &key, strength);
                        return Ok(Step::Wait(Wait::Lock(key)));
                    }
                    LockWait::NoWait => {
                        let message =
                            format!("could not obtain lock on row in relation \"{}\"", declared.name);
                        return Err(SqlError::new(sqlstate::LOCK_NOT_AVAILABLE, message));
                    }
                    LockWait::SkipLocked => {}
                }
            } else if let Some(row) = self.visible(actor.transaction, table, &key) {
                actor.progress.rows.push(row.to_vec());
            }
            actor.progress.granted = false;
            actor.progress.cursor += 1;
        }
        Ok(Step::Done(Reply::Rows(std::mem::take(&mut actor.progress.rows))))
    }

    /// Takes a lock if that needs no waiting.
    pub(super) fn acquire(&mut self, actor: &mut Actor<'_>, key: &LockKey, strength: Strength) -> bool {
        match self.locks.acquire(actor.conn, key, strength) {
            Acquired::New => actor.transaction.locks.push(key.clone()),
            Acquired::Held => {}
            Acquired::Busy => return false,
        }
        true
    }

    /// Whether there is no such row. A lock that was waited for is given up if the row was deleted meanwhile.
    pub(super) fn is_missing(&mut self, actor: &mut Actor<'_>, table: usize, key: &LockKey) -> bool {
        if self.visible(actor.transaction, table, key).is_some() {
            return false;
        }
        if std::mem::take(&mut actor.progress.granted) {
            self.release(actor.conn, actor.transaction, key);
        }
        true
    }

    /// The statement's snapshot: rows that are committed while it waits do not join it.
    fn forget_missing(
        &mut self,
        actor: &Actor<'_>,
        table: usize,
        keys: &mut Vec<Key>,
    ) -> Result<(), SqlError> {
        let first = actor.progress.cursor + 1;
        for index in (first..keys.len()).rev() {
            let key = self.primary_key(table, &keys[index])?;
            if self.visible(actor.transaction, table, &key).is_none() {
                keys.remove(index);
            }
        }
        Ok(())
    }
}
