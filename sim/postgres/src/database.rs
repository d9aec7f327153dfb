//! What all sessions of a server share: committed tables, locks, the log, the disk.

use std::collections::VecDeque;

use host::ports::store::{Key, Table};

use crate::disk::Disk;
use crate::durability::{Checkpoint, Durability, Replaced};
use crate::error::{SqlError, sqlstate};
use crate::error_rule::ErrorRule;
use crate::key::{KEY_BYTES_MAX, KeyBytes, SpaceKey, encode};
use crate::locks::{LockKey, Locks};
use crate::log::Log;
use crate::output::{CommittedTx, Output, StoredRow};
use crate::replay::Replay;
use crate::serializable::Serializable;
use crate::session::{Session, State};
use crate::settings::Settings;
use crate::snapshot::Versions;
use crate::statement::types::check_types;
use crate::table::{Bounds, TableData};
use crate::transaction::{Flushed, Transaction, row_space};
use crate::vacuum::Vacuum;

pub struct Database {
    pub tables: Vec<TableData>,
    pub locks: Locks,
    pub log: Log,
    pub disk: Disk,
    pub durability: Durability,
    pub checkpoint: Checkpoint,
    pub replay: Replay,
    pub versions: Versions,
    pub serializable: Serializable,
    pub vacuum: Vacuum,
    /// In recovery, as a standby.
    pub read_only: bool,
    /// A failed fsync: nothing may go on.
    pub panicked: bool,
    pub error_rules: Vec<ErrorRule>,
    pub last_transaction: u64,
    /// How far the server's clock is ahead of the steady time that deadlines count in.
    pub clock_ahead_ns: i64,
    pub sequence_cache: i64,
    /// Sessions whose wait has ended.
    pub ready: VecDeque<u64>,
    /// Channels notified by transactions that just became visible.
    pub notices: Vec<&'static str>,
    pub bounds: Bounds,
    pub scratch: Vec<u8>,
}

impl Database {
    pub fn new(settings: &Settings, tables: &[&'static Table]) -> Self {
        for (number, table) in tables.iter().enumerate() {
            let twice = tables[..number].iter().any(|other| other.name == table.name);
            assert!(!twice, "table {} is declared twice", table.name);
            assert!(table.key > 0 && table.key <= table.columns.len(), "table {} needs a key", table.name);
        }
        let tables = tables.iter().map(|table| TableData::new(table)).collect();
        Self {
            tables,
            locks: Locks::default(),
            log: Log::keeping(settings.max_slot_wal_keep_size.unwrap_or(usize::MAX)),
            disk: Disk::default(),
            durability: Durability::new(settings),
            checkpoint: Checkpoint::new(settings),
            replay: Replay::new(settings),
            versions: Versions::default(),
            serializable: Serializable::default(),
            vacuum: Vacuum::default(),
            read_only: false,
            panicked: false,
            error_rules: Vec::new(),
            last_transaction: 0,
            clock_ahead_ns: 0,
            sequence_cache: i64::from(settings.sequence_cache.max(1)),
            ready: VecDeque::new(),
            notices: Vec::new(),
            bounds: Bounds::default(),
            scratch: Vec::new(),
        }
    }

    /// By address, since there are few tables and each is one static; by name where a constant was copied.
    pub fn table(&self, table: &'static Table) -> Result<usize, SqlError> {
        let same = |data: &TableData| std::ptr::eq(data.table, table);
        let named = |data: &TableData| data.table.name == table.name;
        let found = self.tables.iter().position(same).or_else(|| self.tables.iter().position(named));
        found.ok_or_else(|| {
            let message = format!("relation \"{}\" does not exist", table.name);
            SqlError::new(sqlstate::UNDEFINED_TABLE, message)
        })
    }

    /// The primary key, encoded. The whole one: a part of it is for scans.
    pub fn primary_key(&mut self, table: usize, key: &Key) -> Result<SpaceKey, SqlError> {
        let declared = self.tables[table].table;
        if key.len() != declared.key {
            let message =
                format!("{} has a key of {} columns, not {}", declared.name, declared.key, key.len());
            return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
        }
        check_types(declared, key.iter().enumerate())?;
        self.scratch.clear();
        encode(key, &mut self.scratch);
        self.scratch_key(table)
    }

    /// What the scratch buffer holds, as a primary key that is not too long.
    pub fn scratch_key(&self, table: usize) -> Result<SpaceKey, SqlError> {
        if self.scratch.len() > KEY_BYTES_MAX {
            let (size, name) = (self.scratch.len(), self.tables[table].table.name);
            let message =
                format!("index row size {size} exceeds btree maximum {KEY_BYTES_MAX} of \"{name}\"");
            return Err(SqlError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, message));
        }
        Ok(SpaceKey { space: row_space(table), key: KeyBytes::new(&self.scratch) })
    }

    /// The row as this transaction sees it now: its own version, else the committed one of its snapshot or the latest.
    pub fn visible<'a>(
        &'a self,
        transaction: &'a Transaction,
        table: usize,
        key: &SpaceKey,
    ) -> Option<&'a StoredRow> {
        match transaction.writes.get(key) {
            Some(write) => write.row.as_ref(),
            None if transaction.snapshot.is_some() => self.committed(transaction, table, key),
            None => self.tables[table].get(key.key.as_slice()),
        }
    }

    /// The row as it would be if this transaction committed now, whatever its snapshot shows.
    pub fn latest<'a>(
        &'a self,
        transaction: &'a Transaction,
        table: usize,
        key: &SpaceKey,
    ) -> Option<&'a StoredRow> {
        match transaction.writes.get(key) {
            Some(write) => write.row.as_ref(),
            None => self.tables[table].get(key.key.as_slice()),
        }
    }

    /// Gives up one lock before the transaction's end: the row behind it is gone.
    pub fn release(&mut self, conn: u64, transaction: &mut Transaction, key: &LockKey) {
        transaction.locks.retain(|held| held != key);
        self.locks.release(conn, key, &mut self.ready);
    }

    /// Installs a transaction's changes: from here on new snapshots see them.
    pub fn install(&mut self, flushed: &Flushed) {
        self.versions.advance();
        for (table, key, change) in flushed.placed() {
            self.install_row(table, key, change.after());
        }
    }

    /// As [`Self::install`], and gives the versions before.
    pub fn install_undoably(&mut self, flushed: &Flushed) -> Vec<Replaced> {
        self.versions.advance();
        let placed = flushed.placed();
        placed
            .map(|(table, key, change)| (table, key.clone(), self.install_row(table, key, change.after())))
            .collect()
    }

    pub fn install_row(&mut self, table: usize, key: &KeyBytes, new: Option<StoredRow>) -> Option<StoredRow> {
        let before = self.tables[table].apply(key.clone(), new, &mut self.scratch);
        if self.versions.has_open() {
            self.versions.keep(table, key, before.clone());
        }
        before
    }

    /// Says that a visible transaction is committed.
    pub fn tell(&mut self, flushed: Flushed, out: &mut Vec<Output>) {
        let Flushed { transaction, timeline, lsn, now_ns, changes, .. } = flushed;
        self.log.told = lsn;
        self.vacuum.changed(lsn, &changes);
        out.push(Output::CommittedTx(CommittedTx { transaction, timeline, lsn, now_ns, changes }));
    }

    /// The transaction is over: its locks are free, who waited for it goes on.
    pub fn end(&mut self, conn: u64, session: &mut Session, state: State) {
        let transaction = &mut session.transaction;
        for key in transaction.locks.drain(..) {
            self.locks.release(conn, &key, &mut self.ready);
        }
        self.ready.extend(transaction.waiters.drain(..));
        transaction.writes.clear();
        transaction.notifies.clear();
        transaction.listens.clear();
        if let Some(snapshot) = transaction.snapshot.take() {
            self.versions.close(snapshot);
        }
        if let Some(node) = transaction.serializable.take() {
            self.serializable.aborted(node);
        }
        session.state = state;
    }
}
