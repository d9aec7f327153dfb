//! Uniqueness and upserts: store.md 10, 13, 14, 15.

use host::ports::store::{OnConflict, Reply, Statement, Value};

use crate::harness::*;

#[test]
fn b10_an_insert_waits_for_the_open_one_and_fails_if_that_commits() {
    let mut world = World::new();
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), insert(1, 0, 1, OnConflict::Error)]);
    let waiting = world.waits(b, vec![begin(), insert(1, 0, 2, OnConflict::Error), Statement::Commit]);
    world.ok(a, vec![Statement::Commit]);
    assert_eq!(world.sqlstate(waiting), "23505");
    world.ok(b, vec![Statement::Rollback]);
    assert_eq!(world.balance(1), Some(1));
    world.at_rest();
}

#[test]
fn b10_an_insert_waits_for_the_open_one_and_succeeds_if_that_aborts() {
    let mut world = World::new();
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(a, vec![begin(), insert(1, 0, 1, OnConflict::Error)]);
    let first = world.waits(b, vec![begin(), insert(1, 0, 2, OnConflict::Error)]);
    let second = world.waits(c, vec![begin(), insert(1, 0, 3, OnConflict::DoNothing), Statement::Commit]);
    world.ok(a, vec![Statement::Rollback]);
    assert_eq!(world.answer(first).expect("inserted")[1], Reply::Changed(1));
    assert!(world.is_waiting(second), "now for b");
    world.ok(b, vec![Statement::Commit]);
    assert_eq!(world.answer(second).expect("nothing done")[1], Reply::Changed(0));
    assert_eq!(world.balance(1), Some(2));
    world.at_rest();
}

#[test]
fn b10_an_insert_waits_for_an_open_delete_of_its_key() {
    for (outcome, expected) in [(Statement::Commit, Ok(())), (Statement::Rollback, Err("23505"))] {
        let mut world = World::with_accounts(1);
        let (a, b) = (world.session(), world.session());
        world.ok(a, vec![begin(), delete(1)]);
        let waiting = world.waits(b, vec![begin(), insert(1, 9, 9, OnConflict::Error)]);
        world.ok(a, vec![outcome]);
        match expected {
            Ok(()) => assert_eq!(world.answer(waiting).expect("inserted")[1], Reply::Changed(1)),
            Err(sqlstate) => assert_eq!(world.sqlstate(waiting), sqlstate),
        }
        let end = if expected.is_ok() { Statement::Commit } else { Statement::Rollback };
        world.ok(b, vec![end]);
        world.at_rest();
    }
}

#[test]
fn b10_a_row_that_is_only_locked_is_no_reason_to_wait() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), for_update(1)]);
    world.err(b, vec![begin(), insert(1, 0, 2, OnConflict::Error)], "23505");
    world
        .ok(b, vec![Statement::Rollback, begin(), insert(1, 0, 2, OnConflict::DoNothing), Statement::Commit]);
    world.ok(a, vec![Statement::Commit]);
    world.at_rest();
}

#[test]
fn b10_holds_for_unique_indexes_too() {
    let mut world = World::new();
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(a, vec![begin(), outbox("s", 1)]);
    let fails = world.waits(b, vec![begin(), outbox("s", 1)]);
    let nothing = Statement::Insert {
        table: &OUTBOX,
        row: outbox_row(Value::Null, "s", 1, 0),
        on_conflict: OnConflict::DoNothing,
    };
    let skips = world.waits(c, vec![begin(), nothing, Statement::Commit]);
    world.ok(a, vec![Statement::Commit]);
    assert_eq!(world.sqlstate(fails), "23505");
    assert_eq!(world.answer(skips).expect("no error")[1], Reply::Changed(0));
    world.ok(b, vec![Statement::Rollback]);
    world.at_rest();
}

#[test]
fn b10_a_unique_value_is_free_again_once_its_row_moved_away() {
    let mut world = World::new();
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), outbox("s", 1), Statement::Commit]);
    let rename = Statement::UpdateIf {
        table: &OUTBOX,
        key: vec![1.into()],
        expected: vec![],
        set: vec![(2, 5.into())],
    };
    world.ok(a, vec![begin(), rename, outbox("s", 1)]);
    let waiting = world.waits(b, vec![begin(), outbox("s", 5)]);
    world.ok(a, vec![Statement::Commit]);
    assert_eq!(world.sqlstate(waiting), "23505");
    world.ok(b, vec![Statement::Rollback]);
    let taken = Statement::UpdateIf {
        table: &OUTBOX,
        key: vec![1.into()],
        expected: vec![],
        set: vec![(2, 1.into())],
    };
    world.err(a, vec![begin(), taken], "23505");
    world.ok(a, vec![Statement::Rollback]);
    world.err(a, vec![begin(), outbox("t", 1), outbox("t", 1)], "23505");
    world.ok(a, vec![Statement::Rollback]);
    world.at_rest();
}

#[test]
fn b10_an_insert_waits_for_whoever_moves_or_deletes_the_row_with_its_unique_value() {
    let moves = || Statement::UpdateIf {
        table: &OUTBOX,
        key: vec![1.into()],
        expected: vec![],
        set: vec![(2, 5.into())],
    };
    let deletes = || Statement::DeleteIf { table: &OUTBOX, key: vec![1.into()], expected: vec![] };
    for change in [moves(), deletes()] {
        let mut world = World::new();
        let (a, b, c) = (world.session(), world.session(), world.session());
        world.ok(a, vec![begin(), outbox("s", 1), Statement::Commit]);
        world.ok(a, vec![begin(), change.clone()]);
        let refused = world.waits(b, vec![begin(), outbox("s", 1)]);
        world.ok(a, vec![Statement::Rollback]);
        assert_eq!(world.sqlstate(refused), "23505");
        world.ok(b, vec![Statement::Rollback]);
        world.ok(a, vec![begin(), change]);
        let inserted = world.waits(c, vec![begin(), outbox("s", 1), Statement::Commit]);
        world.ok(a, vec![Statement::Commit]);
        world.answer(inserted).expect("the value is free");
        world.at_rest();
    }
}

#[test]
fn b13_do_update_locks_and_replaces_the_latest_committed_row() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), update(1, 0, 1)]);
    let waiting =
        world.waits(b, vec![begin(), insert(1, 7, 70, OnConflict::Update), get(1), Statement::Commit]);
    world.ok(a, vec![Statement::Commit]);
    let answer = world.answer(waiting).expect("no error");
    assert_eq!(answer[1..3], [Reply::Changed(1), Reply::Rows(vec![account(1, 7, 70)])]);
    assert_eq!(world.balance(1), Some(70));
    let kinds: Vec<_> = world.committed.iter().map(|tx| tx.changes[0].kind).collect();
    assert_eq!(kinds, [postgres::ChangeKind::Update, postgres::ChangeKind::Update]);
    world.at_rest();
}

#[test]
fn b13_do_update_of_a_row_that_was_deleted_meanwhile_inserts() {
    let mut world = World::with_accounts(1);
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(a, vec![begin(), for_update(1)]);
    let upsert = world.waits(b, vec![begin(), insert(1, 7, 70, OnConflict::Update), Statement::Commit]);
    let locker = world.waits(c, vec![begin(), for_update(1), Statement::Commit]);
    world.ok(a, vec![delete(1), Statement::Commit]);
    assert_eq!(world.answer(upsert).expect("no error")[1], Reply::Changed(1));
    assert!(!world.is_waiting(locker));
    assert_eq!(world.balance(1), Some(70));
    world.at_rest();
}

#[test]
fn b13_do_update_where_compares_with_the_latest_committed_row_and_keeps_its_lock() {
    let mut world = World::with_accounts(1);
    let (a, b, c) = (world.session(), world.session(), world.session());
    let lower = |balance: i64| insert(1, 0, balance, OnConflict::UpdateIfLess { column: 2 });
    world.ok(a, vec![begin(), update(1, 0, 40)]);
    let higher = world.waits(b, vec![begin(), lower(50)]);
    world.ok(a, vec![Statement::Commit]);
    assert_eq!(
        world.answer(higher).expect("no error")[1],
        Reply::Changed(0),
        "50 is less than 100, not than 40"
    );
    let waiting = world.waits(c, vec![begin(), lower(30), Statement::Commit]);
    world.ok(b, vec![Statement::Commit]);
    assert_eq!(world.answer(waiting).expect("no error")[1], Reply::Changed(1));
    assert_eq!(world.balance(1), Some(30));
    let replies = world.ok(a, vec![begin(), lower(30), lower(29), lower(28), Statement::Commit]);
    assert_eq!(replies[1..4], [Reply::Changed(0), Reply::Changed(1), Reply::Changed(1)]);
    world.at_rest();
}

#[test]
fn b14_update_if_changes_nothing_when_it_lost() {
    let mut world = World::with_accounts(1);
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(a, vec![begin(), update(1, 0, 1)]);
    let lost = world.waits(b, vec![begin(), update(1, 0, 2), Statement::Commit]);
    world.ok(a, vec![Statement::Commit]);
    assert_eq!(
        world.answer(lost).expect("no error"),
        [begun(2, &world), Reply::Changed(0), Reply::Committed]
    );
    // What does not match now is not waited for, even if an open transaction would make it match.
    world.ok(a, vec![begin(), update(1, 1, 3)]);
    assert_eq!(world.ok(c, vec![begin(), update(1, 2, 4), Statement::Commit])[1], Reply::Changed(0));
    world.ok(a, vec![Statement::Commit]);
    let missing = world.ok(c, vec![begin(), update(99, 0, 4), delete(99), Statement::Commit]);
    assert_eq!(missing[1..3], [Reply::Changed(0), Reply::Changed(0)]);
    world.at_rest();
}

fn begun(transaction: u64, world: &World) -> Reply {
    let micros = i64::try_from(world.now_ns / 1_000).expect("a few decades");
    Reply::Begun { transaction, now: model::Timestamp::from_microsecond(micros).expect("in range") }
}

#[test]
fn b14_update_if_goes_on_when_the_other_aborts() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), update(1, 0, 1)]);
    let waiting = world.waits(b, vec![begin(), update(1, 0, 2), Statement::Commit]);
    world.ok(a, vec![Statement::Rollback]);
    assert_eq!(world.answer(waiting).expect("no error")[1], Reply::Changed(1));
    assert_eq!(world.balance(1), Some(2));
    world.at_rest();
}

#[test]
fn b15_of_concurrent_appends_of_one_version_all_but_one_fail() {
    let mut world = World::new();
    let sessions: Vec<u64> = (0..5).map(|_| world.session()).collect();
    let append = || vec![begin(), event("s", 1), Statement::Commit];
    world.hold_log = true;
    let calls: Vec<u64> = sessions.iter().map(|conn| world.waits(*conn, append())).collect();
    world.release_log();
    let outcomes: Vec<bool> = calls.into_iter().map(|call| world.answer(call).is_ok()).collect();
    assert_eq!(outcomes, [true, false, false, false, false]);
    for conn in sessions {
        world.ok(conn, vec![Statement::Rollback]);
    }
    world.at_rest();
}
