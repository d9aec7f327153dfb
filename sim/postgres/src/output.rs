//! What a server does: answers, notifications, write-ahead log for the standby, and the points of truth.
//!
//! The caller carries each output to where it belongs, in the order given.

use std::sync::Arc;

use host::ports::store::{Reply, StoreError, Table, Value};

/// A row as the server keeps it. Shared by primary, standby, log and facts: never copied.
pub type StoredRow = Arc<[Value]>;

/// Position in the write-ahead log. Counts records here, bytes in PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[derive(Clone, Debug)]
pub enum Output {
    /// The answer to a call of [`crate::Server::run`]. None comes for a session that has gone.
    Reply { conn: u64, call: u64, result: Result<Vec<Reply>, StoreError> },
    /// The session listens on the channel, and somebody notified it.
    Notification { conn: u64, channel: &'static str },
    /// The server closes the connection of its own accord; calls under way get no answer.
    Closed { conn: u64, sqlstate: &'static str },
    /// To the standby's [`crate::Server::wal`], in order.
    SendWal(WalRecord),
    /// To the primary's [`crate::Server::wal_ack`]: everything up to here is flushed and applied.
    AckWal { lsn: Lsn },
    /// The transaction is durable, and visible from now on. Comes before the answer to its COMMIT.
    CommittedTx(CommittedTx),
}

/// A transaction that changed something. Read-only ones leave no trace, as in PostgreSQL.
#[derive(Clone, Debug)]
pub struct CommittedTx {
    pub transaction: u64,
    pub lsn: Lsn,
    /// The server's clock at the transaction's start: its `now()`.
    pub now_ns: u64,
    /// Net changes in the order of first writing: a row inserted and then updated is one insert.
    pub changes: Arc<[Change]>,
}

impl CommittedTx {
    /// Rows inserted into the table, in the order of inserting.
    pub fn inserted<'a>(&'a self, table: &'a str) -> impl Iterator<Item = &'a StoredRow> {
        let inserts = self.changes.iter().filter(|change| change.kind == ChangeKind::Insert);
        inserts.filter(move |change| change.table.name == table).map(|change| &change.row)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    Insert,
    Update,
    Delete,
}

#[derive(Clone, Debug)]
pub struct Change {
    pub table: &'static Table,
    pub kind: ChangeKind,
    /// The row as it is now; for a delete, as it last was.
    pub row: StoredRow,
}

impl Change {
    /// What the row is from now on.
    pub(crate) fn after(&self) -> Option<StoredRow> {
        (self.kind != ChangeKind::Delete).then(|| self.row.clone())
    }
}

/// One committed transaction in the write-ahead log.
#[derive(Clone, Debug)]
pub struct WalRecord {
    /// History that the record belongs to; a promotion begins another (26.3).
    pub timeline: u32,
    pub lsn: Lsn,
    pub transaction: u64,
    pub now_ns: u64,
    pub changes: Arc<[Change]>,
    /// How far sequences are logged, by position of their table: they run ahead of the log by up to 32.
    pub(crate) sequences: Vec<(usize, i64)>,
}
