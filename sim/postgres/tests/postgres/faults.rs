//! Errors that the caller orders: store.md 40, 41, and any SQLSTATE.

use host::ports::store::{OnConflict, Reply, Statement, StoreError};
use postgres::{ErrorRule, StatementKind};

use crate::harness::*;

fn rule(sqlstate: &'static str, statements: &[StatementKind]) -> Option<ErrorRule> {
    Some(ErrorRule { statements: statements.to_vec(), ..ErrorRule::every(1, sqlstate) })
}

#[test]
fn a_rule_strikes_every_nth_statement_of_its_kind_on_its_tables() {
    let mut world = World::with_accounts(2);
    let a = world.session();
    let statements = vec![StatementKind::Update, StatementKind::Insert];
    let strike = ErrorRule { statements, tables: vec!["accounts"], ..ErrorRule::every(2, "40001") };
    world.primary.set_error_rules(Some(strike));
    world.ok(a, vec![begin(), get(1), event("s", 1), event("s", 2), update(1, 0, 1)]);
    world.err(a, vec![insert(3, 0, 0, OnConflict::Error)], "40001");
    world.err(a, vec![get(1)], "25P02");
    world.ok(a, vec![Statement::Rollback, begin(), update(1, 0, 1), Statement::Commit]);
    world.primary.set_error_rules(None);
    world.ok(a, vec![begin(), update(1, 1, 2), update(2, 0, 2), Statement::Commit]);
    world.at_rest();
}

#[test]
fn a_statement_that_waits_is_struck_once_or_not_at_all() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), update(1, 0, 1)]);
    let strike = ErrorRule { statements: vec![StatementKind::Update], ..ErrorRule::every(2, "53200") };
    world.primary.set_error_rules(Some(strike));
    let waiting = world.waits(b, vec![begin(), update(1, 0, 2)]);
    world.ok(a, vec![Statement::Rollback]);
    assert_eq!(world.answer(waiting).expect("the first of two")[1], Reply::Changed(1));
    world.ok(b, vec![Statement::Commit]);
    world.at_rest();
}

#[test]
fn a_commit_that_fails_has_rolled_back() {
    let mut world = World::with_accounts(1);
    let a = world.session();
    world.primary.set_error_rules(rule("40001", &[StatementKind::Commit]));
    world.err(a, vec![begin(), update(1, 0, 1), Statement::Commit], "40001");
    world.primary.set_error_rules(None);
    assert_eq!(rows(&world.ok(a, vec![begin(), get(1), Statement::Commit])[1]), [account(1, 0, 100)]);
    assert!(world.committed.is_empty());
    world.at_rest();
}

#[test]
fn b41_a_fatal_error_ends_the_session_and_its_transaction() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), update(1, 0, 1)]);
    let waiting = world.waits(b, vec![begin(), for_update(1)]);
    world.primary.set_error_rules(rule("57P01", &[StatementKind::Get]));
    world.err(a, vec![get(1)], "57P01");
    assert_eq!(world.closed, [(a, "57P01")]);
    world.answer(waiting).expect("locked");
    world.primary.set_error_rules(rule("08006", &[StatementKind::Get]));
    let silent = world.waits(b, vec![get(1)]);
    assert!(world.is_waiting(silent));
    assert_eq!(world.closed, [(a, "57P01"), (b, "08006")]);
    world.at_rest();
}

#[test]
fn b40_max_connections_changes_and_a_rule_refuses_sessions() {
    let mut world = World::new();
    world.session();
    world.primary.set_max_connections(1);
    let refused = world.primary.connect(world.now_ns, 20).expect_err("full");
    assert!(matches!(refused, StoreError::Database { sqlstate: "53300", .. }));
    world.primary.set_max_connections(2);
    world.primary.set_error_rules(rule("57P03", &[StatementKind::Connect]));
    let refused = world.primary.connect(world.now_ns, 21).expect_err("ordered");
    assert!(matches!(refused, StoreError::Database { sqlstate: "57P03", .. }));
    world.primary.set_error_rules(None);
    world.primary.connect(world.now_ns, 22).expect("a connection");
}

#[test]
fn a_cancelled_statement_fails_and_b41_a_terminated_session_ends() {
    let mut world = World::with_accounts(1);
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(a, vec![begin(), update(1, 0, 1)]);
    let first = world.waits(b, vec![begin(), for_update(1)]);
    let second = world.waits(c, vec![begin(), for_update(1)]);
    world.primary(|server, now_ns, out| server.cancel(now_ns, b, out));
    assert_eq!(world.sqlstate(first), "57014");
    world.err(b, vec![get(1)], "25P02");
    world.ok(b, vec![Statement::Rollback]);
    world.primary(|server, now_ns, out| server.terminate(now_ns, c, out));
    assert_eq!((world.sqlstate(second), world.closed.clone()), ("57P01", vec![(c, "57P01")]));
    world.primary(|server, now_ns, out| server.terminate(now_ns, a, out));
    world.ok(b, vec![begin(), update(1, 0, 5), Statement::Commit]);
    world.at_rest();
}
