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

/// Position in the history of a database: which timeline (26.3), and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WalPosition {
    pub timeline: u32,
    pub lsn: Lsn,
}

/// A standby's status update (27.2.5.2): how far it has written, flushed and applied the log of which timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalAck {
    pub timeline: u32,
    pub written: Lsn,
    pub flushed: Lsn,
    pub applied: Lsn,
}

#[derive(Clone, Debug)]
pub enum Output {
    /// The answer to a call of [`crate::Server::run`]. None comes for a session that has gone.
    Reply { conn: u64, call: u64, result: Result<Vec<Reply>, StoreError> },
    /// The session listens on the channel, and somebody notified it.
    Notification { conn: u64, channel: &'static str },
    /// The server closes the connection of its own accord. A call under way that has had no answer gets none.
    Closed { conn: u64, sqlstate: &'static str },
    /// To the standby's [`crate::Server::wal`], in order.
    SendWal(WalRecord),
    /// To the primary's [`crate::Server::wal_ack`].
    AckWal(WalAck),
    /// The transaction is visible, and durable as far as the settings promise: with a synchronous standby, that
    /// has it. Comes before the answer to its COMMIT. In order of [`Lsn`] on each timeline.
    CommittedTx(CommittedTx),
    /// A transaction that was told of by [`Output::CommittedTx`] is gone.
    CommitLost(CommitLost),
    /// The standby is the primary of this timeline now, which begins behind this record.
    Promoted { timeline: u32, lsn: Lsn },
    /// All sessions were closed, and with them the link to the other server; the server recovers by itself, and
    /// is back when [`crate::Server::tick`] says so.
    Crashed { recovery_ns: u64 },
}

/// A transaction that changed something. Read-only ones leave no trace, as in PostgreSQL.
#[derive(Clone, Debug)]
pub struct CommittedTx {
    /// Unique in the database: each timeline has ids of its own.
    pub transaction: u64,
    pub timeline: u32,
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

/// An acknowledged transaction that a crash or a failover has undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitLost {
    pub transaction: u64,
    pub timeline: u32,
    pub lsn: Lsn,
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
    /// How far the primary had told of commits when it wrote this: a standby that is promoted tells the rest.
    pub(crate) told: Lsn,
    /// How far sequences are logged, by position of their table: they run ahead of the log by up to 32.
    pub(crate) sequences: Vec<(usize, i64)>,
    /// Not a commit: VACUUM has removed what commits up to there had replaced.
    pub(crate) removed: Option<Lsn>,
}

impl WalRecord {
    pub(crate) fn is_commit(&self) -> bool {
        self.removed.is_none()
    }

    pub(crate) fn lost(&self) -> CommitLost {
        let Self { transaction, timeline, lsn, .. } = *self;
        CommitLost { transaction, timeline, lsn }
    }

    pub(crate) fn committed(&self) -> CommittedTx {
        CommittedTx {
            transaction: self.transaction,
            timeline: self.timeline,
            lsn: self.lsn,
            now_ns: self.now_ns,
            changes: self.changes.clone(),
        }
    }
}
