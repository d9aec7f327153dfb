//! The store: sessions on a relational database, by fixed statements instead of SQL text.
//!
//! The behaviour is PostgreSQL's: row locks queue, an error aborts the transaction; what a statement sees, the
//! [`Isolation`] says. `live` maps every [`Statement`] to one fixed SQL
//! statement; the simulator to its own engine; one suite judges both.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use model::Timestamp;

/// A column value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    Null,
    Int(i64),
    Text(Arc<str>),
    Bytes(Bytes),
}

/// Values in the order of the table's columns.
pub type Row = Vec<Value>;
/// Values of the table's key columns (the leading ones), or of an index' columns.
pub type Key = Vec<Value>;

/// A table, declared by the host or a service.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [Column],
    /// How many leading columns are the primary key.
    pub key: usize,
    /// The first column is assigned by a sequence when a row is inserted with [`Value::Null`] there.
    pub serial: bool,
    pub indexes: &'static [Index],
}

/// A column. It holds values of one type, or [`Value::Null`] where it is not of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// bigint
    Int,
    /// text, in the "C" collation
    Text,
    /// bytea
    Bytes,
}

/// A secondary index.
#[derive(Debug)]
pub struct Index {
    pub name: &'static str,
    /// Positions of its columns; the primary key follows implicitly, so scans are totally ordered.
    pub columns: &'static [usize],
    /// A partial index: only rows whose column has this value.
    pub only_where: Option<(usize, i64)>,
    /// No two rows share the values of its columns.
    pub unique: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Each statement sees what was committed before it began.
    ReadCommitted,
    /// All statements see what was committed before the first of them; who changes or locks a row that was
    /// changed since gets 40001.
    RepeatableRead,
    /// As before, and 40001 where there is no serial order of the transactions, perhaps only at COMMIT.
    Serializable,
}

/// Strength of a row lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// FOR SHARE
    Share,
    /// FOR UPDATE
    Update,
}

/// What to do where another transaction holds the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockWait {
    Wait,
    /// 55P03 at once.
    NoWait,
    /// The row is left out.
    SkipLocked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnConflict {
    /// 23505
    Error,
    DoNothing,
    /// Replaces all columns.
    Update,
    /// Replaces all columns where the new value of this column is less than the stored one; else nothing.
    UpdateIfLess {
        column: usize,
    },
}

/// One statement. Statements of one call run in order, as a pipeline.
#[derive(Clone, Debug)]
pub enum Statement {
    Begin(Isolation),
    Commit,
    Rollback,
    /// Rows by primary key, in the order of `keys`; missing ones are left out.
    Get {
        table: &'static Table,
        keys: Vec<Key>,
    },
    /// Rows in index order (`None`: primary key) whose index columns begin with `prefix`.
    Scan(Scan),
    /// How many rows such a scan would give.
    Count {
        table: &'static Table,
        index: Option<&'static str>,
        prefix: Key,
    },
    /// Locks rows by primary key, in the order given, and reads their latest committed version.
    Lock {
        table: &'static Table,
        keys: Vec<Key>,
        mode: LockMode,
        wait: LockWait,
    },
    Insert {
        table: &'static Table,
        row: Row,
        on_conflict: OnConflict,
    },
    /// Sets columns of the row with `key` where the `expected` columns have these values.
    UpdateIf {
        table: &'static Table,
        key: Key,
        expected: Vec<(usize, Value)>,
        set: Vec<(usize, Value)>,
    },
    /// Deletes the row with `key` where the `expected` columns have these values.
    DeleteIf {
        table: &'static Table,
        key: Key,
        expected: Vec<(usize, Value)>,
    },
    /// From now on this session is told of notifications on the channel.
    Listen {
        channel: &'static str,
    },
    /// Tells listening sessions, at commit.
    Notify {
        channel: &'static str,
    },
}

#[derive(Clone, Debug)]
pub struct Scan {
    pub table: &'static Table,
    pub index: Option<&'static str>,
    pub prefix: Key,
    /// Starts strictly after this position: values of the columns that follow the prefix (index columns, then
    /// primary key), as many as are given.
    pub after: Option<Key>,
    /// Stops where the first column after the prefix is greater than this.
    pub up_to: Option<Value>,
    pub limit: usize,
}

/// What a statement gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The transaction's id, and the database's clock at its start (PostgreSQL's `now()`).
    Begun {
        transaction: u64,
        now: Timestamp,
    },
    Committed,
    RolledBack,
    Rows(Vec<Row>),
    Count(u64),
    /// Rows inserted, updated or deleted.
    Changed(u64),
    Listening,
    Notified,
}

/// Why a call failed. The transaction is aborted in every case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database refused a statement of the pipeline.
    #[error("SQLSTATE {sqlstate} at statement {statement}: {message}")]
    Database { sqlstate: &'static str, statement: usize, message: String },
    /// The connection is gone, and no commit was under way.
    #[error("connection lost (08006)")]
    Lost,
    /// The connection is gone while a commit was under way: it may have happened.
    #[error("connection lost during commit: outcome unknown")]
    UnknownCommit,
    /// Nobody accepts connections.
    #[error("connection refused (08001)")]
    Refused,
}

impl StoreError {
    /// A deadlock victim or a serialization failure: the whole transaction is to be done again.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Database { sqlstate: "40001" | "40P01", .. })
    }

    /// The server is the wrong one, is ending or has closed the session: only another session can go on. A database
    /// may have another history then.
    pub fn ends_session(&self) -> bool {
        match self {
            Self::Database { sqlstate, .. } => {
                matches!(*sqlstate, "25006" | "25P03" | "53300")
                    || ["08", "57P"].iter().any(|class| sqlstate.starts_with(class))
            }
            Self::Lost | Self::UnknownCommit | Self::Refused => true,
        }
    }
}

/// Which server of the database a session wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Primary,
    /// A standby: reads only, and it may lag.
    Replica,
}

#[async_trait(?Send)]
pub trait Store {
    async fn connect(&self, role: Role) -> Result<Box<dyn Session>, StoreError>;
}

/// One connection. After `Lost`, `UnknownCommit` or `Refused` it is of no more use.
#[async_trait(?Send)]
pub trait Session {
    /// Sends the statements as one pipeline and waits for all replies.
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError>;

    /// Waits for a notification on a channel that this session listens to, and names it. Cancel-safe.
    async fn notified(&mut self) -> Result<&'static str, StoreError>;
}

impl Value {
    pub fn text(value: impl Into<Arc<str>>) -> Self {
        Self::Text(value.into())
    }

    /// The integer; programmer error on any other type.
    pub fn as_int(&self) -> i64 {
        match self {
            Self::Int(value) => *value,
            other => panic!("column holds {other:?}, not an integer"),
        }
    }

    /// The text; programmer error on any other type.
    pub fn as_text(&self) -> &str {
        match self {
            Self::Text(value) => value,
            other => panic!("column holds {other:?}, not a text"),
        }
    }

    /// The bytes; programmer error on any other type.
    pub fn as_bytes(&self) -> &Bytes {
        match self {
            Self::Bytes(value) => value,
            other => panic!("column holds {other:?}, not bytes"),
        }
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Bytes> for Value {
    fn from(value: Bytes) -> Self {
        Self::Bytes(value)
    }
}

impl Column {
    pub const fn int(name: &'static str) -> Self {
        Self { name, kind: Kind::Int }
    }

    pub const fn text(name: &'static str) -> Self {
        Self { name, kind: Kind::Text }
    }

    pub const fn bytes(name: &'static str) -> Self {
        Self { name, kind: Kind::Bytes }
    }

    /// Whether the column's type has this value. Each has NULL.
    pub fn takes(&self, value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Int(_) => self.kind == Kind::Int,
            Value::Text(_) => self.kind == Kind::Text,
            Value::Bytes(_) => self.kind == Kind::Bytes,
        }
    }
}

impl Table {
    /// Position of a column; programmer error if there is none.
    pub fn column(&self, name: &str) -> usize {
        self.columns
            .iter()
            .position(|column| column.name == name)
            .unwrap_or_else(|| panic!("table {} has no column {name}", self.name))
    }
}
