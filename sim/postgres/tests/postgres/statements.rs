//! What is refused, and with which SQLSTATE.

use host::ports::store::{Column, OnConflict, Reply, Scan, Statement, Table, Value};

use crate::harness::*;

static UNKNOWN: Table =
    Table { name: "unknown", columns: &[Column::int("id")], key: 1, serial: false, indexes: &[] };

fn refused(statement: Statement, sqlstate: &str) {
    let mut world = World::with_accounts(1);
    let a = world.session();
    world.err(a, vec![begin(), statement], sqlstate);
    world.ok(a, vec![Statement::Rollback]);
    world.at_rest();
}

fn row(table: &'static Table, row: Vec<Value>) -> Statement {
    Statement::Insert { table, row, on_conflict: OnConflict::Error }
}

#[test]
fn what_does_not_exist_is_refused() {
    refused(Statement::Get { table: &UNKNOWN, keys: vec![] }, "42P01");
    refused(Statement::Scan(scan(&ACCOUNTS, Some("none"), vec![])), "42704");
    let beyond = vec![(3, Value::Int(0))];
    let key = vec![Value::Int(1)];
    refused(Statement::DeleteIf { table: &ACCOUNTS, key, expected: beyond }, "42703");
    refused(insert(1, 0, 0, OnConflict::UpdateIfLess { column: 3 }), "42703");
}

#[test]
fn values_that_do_not_fit_are_refused() {
    refused(row(&ACCOUNTS, vec![1.into()]), "42601");
    refused(Statement::Get { table: &EVENTS, keys: vec![vec!["s".into()]] }, "42601");
    refused(Statement::Scan(scan(&ACCOUNTS, None, vec![1.into(), 2.into()])), "42601");
    refused(row(&ACCOUNTS, vec![Value::Null, 0.into(), 0.into()]), "23502");
    refused(row(&EVENTS, vec!["s".into(), 1.into(), "a\0b".into()]), "22021");
    refused(row(&EVENTS, vec!["s".repeat(3_000).as_str().into(), 1.into(), "".into()]), "54000");
    refused(row(&OUTBOX, outbox_row(Value::Null, &"s".repeat(3_000), 1, 1)), "54000");
    let set = vec![(0, Value::Int(2))];
    let key = vec![Value::Int(1)];
    refused(Statement::UpdateIf { table: &ACCOUNTS, key, expected: vec![], set }, "0A000");
}

#[test]
fn statements_belong_into_transactions() {
    let mut world = World::with_accounts(1);
    let a = world.session();
    world.err(a, vec![get(1)], "25P01");
    world.err(a, vec![Statement::Commit], "25P01");
    assert_eq!(world.ok(a, vec![Statement::Rollback]), [Reply::RolledBack]);
    world.err(a, vec![begin(), begin()], "25001");
    world.ok(a, vec![Statement::Rollback]);
    let twice = world.ok(a, vec![begin(), get(1), Statement::Commit, begin(), get(1), Statement::Commit]);
    assert_eq!(twice.len(), 6, "a pipeline may hold several transactions");
    assert_eq!(world.ok(a, vec![]), []);
    world.at_rest();
}

#[test]
fn values_of_another_type_than_the_column_are_refused() {
    refused(row(&ACCOUNTS, vec![1.into(), "0".into(), 0.into()]), "42804");
    refused(Statement::Get { table: &ACCOUNTS, keys: vec![vec!["1".into()]] }, "42804");
    refused(Statement::Scan(scan(&OUTBOX, Some("outbox_unsent"), vec![1.into()])), "42804");
    let up_to = Some("7".into());
    refused(Statement::Scan(Scan { up_to, ..scan(&ACCOUNTS, None, vec![]) }), "42804");
    let (key, set) = (vec![Value::Int(1)], vec![(2, Value::text("1"))]);
    refused(Statement::UpdateIf { table: &ACCOUNTS, key, expected: vec![], set }, "42804");
}
