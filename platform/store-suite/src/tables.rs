//! Tables and statements that behaviours are told with.

use host::ports::store::{
    Column, Index, Isolation, Key, LockMode, LockWait, OnConflict, Reply, Row, Scan, Statement, Table, Value,
};

pub static ACCOUNTS: Table = Table {
    name: "accounts",
    columns: &[Column::int("id"), Column::int("version"), Column::int("balance")],
    key: 1,
    serial: false,
    indexes: &[],
};

pub static EVENTS: Table = Table {
    name: "events",
    columns: &[Column::text("stream"), Column::int("version"), Column::bytes("payload")],
    key: 2,
    serial: false,
    indexes: &[],
};

pub static OUTBOX: Table = Table {
    name: "outbox",
    columns: &[Column::int("id"), Column::text("stream"), Column::int("sequence"), Column::int("sent")],
    key: 1,
    serial: true,
    indexes: &[
        Index { name: "unsent", columns: &[1, 2], only_where: Some((3, 0)), unique: false },
        Index { name: "by_stream", columns: &[1, 2], only_where: None, unique: true },
    ],
};

/// With columns that can be NULL in indexes of all kinds.
pub static GRID: Table = Table {
    name: "grid",
    columns: &[
        Column::int("x"),
        Column::int("y"),
        Column::text("colour"),
        Column::int("flag"),
        Column::bytes("note"),
    ],
    key: 2,
    serial: false,
    indexes: &[
        Index { name: "by_colour", columns: &[2, 1], only_where: None, unique: false },
        Index { name: "flagged", columns: &[2], only_where: Some((3, 1)), unique: false },
        Index { name: "one_note", columns: &[4], only_where: None, unique: true },
    ],
};

pub static ALL: &[&Table] = &[&ACCOUNTS, &EVENTS, &OUTBOX, &GRID];

pub const COMMIT: Statement = Statement::Commit;
pub const ROLLBACK: Statement = Statement::Rollback;

pub fn begin() -> Statement {
    Statement::Begin(Isolation::ReadCommitted)
}

pub fn begin_snapshot() -> Statement {
    Statement::Begin(Isolation::RepeatableRead)
}

pub fn begin_serializable() -> Statement {
    Statement::Begin(Isolation::Serializable)
}

pub fn account(id: i64, version: i64, balance: i64) -> Row {
    vec![id.into(), version.into(), balance.into()]
}

pub fn get(id: i64) -> Statement {
    Statement::Get { table: &ACCOUNTS, keys: vec![vec![id.into()]] }
}

pub fn lock(ids: &[i64], mode: LockMode, wait: LockWait) -> Statement {
    let keys: Vec<Key> = ids.iter().map(|id| vec![Value::Int(*id)]).collect();
    Statement::Lock { table: &ACCOUNTS, keys, mode, wait }
}

pub fn for_update(id: i64) -> Statement {
    lock(&[id], LockMode::Update, LockWait::Wait)
}

pub fn for_share(id: i64) -> Statement {
    lock(&[id], LockMode::Share, LockWait::Wait)
}

pub fn insert(id: i64, version: i64, balance: i64, on_conflict: OnConflict) -> Statement {
    Statement::Insert { table: &ACCOUNTS, row: account(id, version, balance), on_conflict }
}

/// From one version to the next, with a new balance.
pub fn update(id: i64, version: i64, balance: i64) -> Statement {
    let set = vec![(1, (version + 1).into()), (2, balance.into())];
    Statement::UpdateIf { table: &ACCOUNTS, key: vec![id.into()], expected: vec![(1, version.into())], set }
}

/// A new balance, whatever the row is.
pub fn overwrite(id: i64, balance: i64) -> Statement {
    let set = vec![(2, balance.into())];
    Statement::UpdateIf { table: &ACCOUNTS, key: vec![id.into()], expected: vec![], set }
}

pub fn delete(id: i64) -> Statement {
    Statement::DeleteIf { table: &ACCOUNTS, key: vec![id.into()], expected: vec![] }
}

pub fn event(stream: &str, version: i64) -> Statement {
    let row = vec![stream.into(), version.into(), bytes::Bytes::from_static(b"payload").into()];
    Statement::Insert { table: &EVENTS, row, on_conflict: OnConflict::Error }
}

pub fn outbox_row(id: Value, stream: &str, sequence: i64, sent: i64) -> Row {
    vec![id, stream.into(), sequence.into(), sent.into()]
}

pub fn outbox(stream: &str, sequence: i64) -> Statement {
    let row = outbox_row(Value::Null, stream, sequence, 0);
    Statement::Insert { table: &OUTBOX, row, on_conflict: OnConflict::Error }
}

pub fn scan(table: &'static Table, index: Option<&'static str>, prefix: Key) -> Scan {
    Scan { table, index, prefix, after: None, up_to: None, limit: usize::MAX }
}

pub fn all(table: &'static Table) -> Statement {
    Statement::Scan(scan(table, None, vec![]))
}

pub fn count(table: &'static Table) -> Statement {
    Statement::Count { table, index: None, prefix: vec![] }
}

pub fn listen(channel: &'static str) -> Statement {
    Statement::Listen { channel }
}

pub fn notify(channel: &'static str) -> Statement {
    Statement::Notify { channel }
}

#[track_caller]
pub fn rows(reply: &Reply) -> &[Row] {
    match reply {
        Reply::Rows(rows) => rows,
        other => panic!("no rows: {other:?}"),
    }
}

#[track_caller]
pub fn integers(reply: &Reply, column: usize) -> Vec<i64> {
    rows(reply).iter().map(|row| row[column].as_int()).collect()
}
