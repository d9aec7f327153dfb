//! Inputs, taken in as if none ever came twice, or as if all clients were one.

use host::ports::store::{OnConflict, Reply, Statement, Table, Value};
use host::store_host::tables::{INBOX, PARKED, SEQUENCES};

use super::store::Edit;

fn is(table: &Table, other: &Table) -> bool {
    table.name == other.name
}

/// Asks neither for the sequences of messages nor for the keys of requests: each is taken for the next new one.
pub fn forgotten(statements: Vec<Statement>) -> Vec<Edit> {
    // A message's guard is followed by a look at the one after it.
    let sequences: Vec<Option<i64>> = statements.iter().map(sequence_after).collect();
    let edits = statements.into_iter().enumerate().map(|(place, statement)| match &statement {
        Statement::Lock { table, keys, .. } if is(table, &SEQUENCES) => {
            match sequences.get(place + 1).copied().flatten() {
                Some(next) => Edit::KeepBack(Reply::Rows(vec![taken_before(&keys[0], next)])),
                None => Edit::Send(statement),
            }
        }
        // Written all the same: gaps are looked for in it.
        Statement::Insert { table, row, .. } if is(table, &SEQUENCES) => {
            Edit::Send(Statement::Insert { table, row: row.clone(), on_conflict: OnConflict::Update })
        }
        Statement::Insert { table, .. } if is(table, &INBOX) => Edit::KeepBack(Reply::Changed(1)),
        Statement::Get { table, .. } if is(table, &INBOX) => Edit::KeepBack(Reply::Rows(Vec::new())),
        Statement::UpdateIf { table, .. } if is(table, &INBOX) => Edit::KeepBack(Reply::Changed(1)),
        _ => Edit::Send(statement),
    });
    edits.collect()
}

/// The sequence that a look at parked messages is for.
fn sequence_after(statement: &Statement) -> Option<i64> {
    match statement {
        Statement::Get { table, keys } if is(table, &PARKED) => keys.first()?.get(2).map(Value::as_int),
        _ => None,
    }
}

/// The row that makes the message before `next` a new one.
fn taken_before(key: &[Value], next: i64) -> Vec<Value> {
    let mut row = key.to_vec();
    row.push(Value::Int(next - 2));
    row
}

/// Keeps the keys of requests for each route only, so that two clients with one key share an answer.
pub fn without_client(statements: Vec<Statement>) -> Vec<Edit> {
    let edits = statements.into_iter().map(|mut statement| {
        match &mut statement {
            Statement::Insert { table, row, .. } if is(table, &INBOX) => forget_client(row),
            Statement::UpdateIf { table, key, .. } if is(table, &INBOX) => forget_client(key),
            Statement::Get { table, keys } if is(table, &INBOX) => {
                keys.iter_mut().for_each(|key| forget_client(key));
            }
            _ => {}
        }
        Edit::Send(statement)
    });
    edits.collect()
}

/// The first column is `<client> <route>`.
fn forget_client(row: &mut [Value]) {
    if let Some((_, route)) = row[0].as_text().split_once(' ') {
        row[0] = Value::text(route);
    }
}
