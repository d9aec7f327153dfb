//! Uniqueness: 10, 14, 15.

use host::ports::store::{OnConflict, Reply, Statement, Value};

use crate::stage::Stage;
use crate::tables::*;

/// Renames the first message of the outbox.
fn rename(sequence: i64) -> Statement {
    let set = vec![(2, sequence.into())];
    Statement::UpdateIf { table: &OUTBOX, key: vec![1.into()], expected: vec![], set }
}

pub fn b10_an_insert_waits_for_the_open_one_and_fails_if_that_commits(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), insert(1, 0, 1, OnConflict::Error)]);
    let waiting = stage.waits(b, vec![begin(), insert(1, 0, 2, OnConflict::Error), COMMIT]);
    stage.ok(a, vec![COMMIT]);
    assert_eq!(stage.sqlstate(waiting), "23505");
    stage.ok(b, vec![ROLLBACK]);
    stage.expect_account(1, 0, 1);
}

pub fn b10_an_insert_waits_for_the_open_one_and_succeeds_if_that_aborts(stage: &mut Stage<'_>) {
    let (a, b, c) = (stage.session(), stage.session(), stage.session());
    stage.ok(a, vec![begin(), insert(1, 0, 1, OnConflict::Error)]);
    let first = stage.waits(b, vec![begin(), insert(1, 0, 2, OnConflict::Error)]);
    stage.ok(a, vec![ROLLBACK]);
    assert_eq!(stage.answer(first).expect("inserted")[1], Reply::Changed(1));
    let second = stage.waits(c, vec![begin(), insert(1, 0, 3, OnConflict::DoNothing), COMMIT]);
    stage.ok(b, vec![COMMIT]);
    assert_eq!(stage.answer(second).expect("nothing done")[1], Reply::Changed(0));
    stage.expect_account(1, 0, 2);
}

pub fn b10_an_insert_waits_for_an_open_delete_of_its_key(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), delete(1)]);
    let refused = stage.waits(b, vec![begin(), insert(1, 9, 9, OnConflict::Error)]);
    stage.ok(a, vec![ROLLBACK]);
    assert_eq!(stage.sqlstate(refused), "23505");
    stage.ok(b, vec![ROLLBACK]);
    stage.ok(a, vec![begin(), delete(1)]);
    let inserted = stage.waits(b, vec![begin(), insert(1, 9, 9, OnConflict::Error), COMMIT]);
    stage.ok(a, vec![COMMIT]);
    assert_eq!(stage.answer(inserted).expect("inserted")[1], Reply::Changed(1));
    stage.expect_account(1, 9, 9);
}

pub fn b10_a_row_that_is_only_locked_is_no_reason_to_wait(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), for_update(1)]);
    stage.err(b, vec![begin(), insert(1, 0, 2, OnConflict::Error)], "23505");
    stage.ok(b, vec![ROLLBACK, begin(), insert(1, 0, 2, OnConflict::DoNothing), COMMIT]);
}

pub fn b10_an_insert_waits_for_an_open_update_of_its_row(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b, c) = (stage.session(), stage.session(), stage.session());
    stage.ok(a, vec![begin(), overwrite(1, 5)]);
    let fails = stage.waits(b, vec![begin(), insert(1, 0, 2, OnConflict::Error)]);
    let skips = stage.waits(c, vec![begin(), insert(1, 0, 2, OnConflict::DoNothing), COMMIT]);
    stage.ok(a, vec![COMMIT]);
    assert_eq!(stage.sqlstate(fails), "23505", "its key stayed");
    assert_eq!(stage.answer(skips).expect("skipped")[1], Reply::Changed(0));
}

pub fn b10_holds_for_unique_indexes_too(stage: &mut Stage<'_>) {
    let (a, b, c) = (stage.session(), stage.session(), stage.session());
    stage.ok(a, vec![begin(), outbox("s", 1)]);
    let fails = stage.waits(b, vec![begin(), outbox("s", 1)]);
    let row = outbox_row(Value::Null, "s", 1, 0);
    let nothing = Statement::Insert { table: &OUTBOX, row, on_conflict: OnConflict::DoNothing };
    let skips = stage.waits(c, vec![begin(), nothing, COMMIT]);
    stage.ok(a, vec![COMMIT]);
    assert_eq!(stage.sqlstate(fails), "23505");
    assert_eq!(stage.answer(skips).expect("no error")[1], Reply::Changed(0));
}

pub fn b10_an_insert_that_waits_for_a_unique_value_holds_its_key(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    let insert = |id: i64, stream: &str| Statement::Insert {
        table: &OUTBOX,
        row: outbox_row(id.into(), stream, 1, 0),
        on_conflict: OnConflict::Error,
    };
    stage.ok(a, vec![begin(), insert(1, "s")]);
    let first = stage.start(b, vec![begin(), insert(2, "s")]);
    let second = stage.start(a, vec![insert(2, "t")]);
    let outcomes = [first, second].map(|call| stage.answer(call).is_ok());
    assert!(outcomes != [true, true], "each waits for the other's insert: a deadlock");
}

pub fn b10_a_unique_value_is_free_again_once_its_row_moved_away(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), outbox("s", 1), COMMIT]);
    stage.ok(a, vec![begin(), rename(5), outbox("s", 1)]);
    let waiting = stage.waits(b, vec![begin(), outbox("s", 5)]);
    stage.ok(a, vec![COMMIT]);
    assert_eq!(stage.sqlstate(waiting), "23505");
    stage.ok(b, vec![ROLLBACK]);
    stage.err(a, vec![begin(), rename(1)], "23505");
    stage.ok(a, vec![ROLLBACK]);
    stage.err(a, vec![begin(), outbox("t", 1), outbox("t", 1)], "23505");
}

pub fn b10_an_insert_waits_for_whoever_moves_or_deletes_the_row_with_its_unique_value(stage: &mut Stage<'_>) {
    let deletes = Statement::DeleteIf { table: &OUTBOX, key: vec![1.into()], expected: vec![] };
    let setup = stage.session();
    stage.ok(setup, vec![begin(), outbox("s", 1), COMMIT]);
    for change in [rename(5), deletes] {
        let (a, b, c) = (stage.session(), stage.session(), stage.session());
        stage.ok(a, vec![begin(), change.clone()]);
        let refused = stage.waits(b, vec![begin(), outbox("s", 1)]);
        stage.ok(a, vec![ROLLBACK]);
        assert_eq!(stage.sqlstate(refused), "23505");
        stage.ok(b, vec![ROLLBACK]);
        stage.ok(a, vec![begin(), change]);
        let inserted = stage.waits(c, vec![begin(), outbox("s", 1), ROLLBACK]);
        stage.ok(a, vec![COMMIT]);
        stage.answer(inserted).expect("the value is free");
        stage.ok(c, vec![begin(), rename(1), COMMIT]);
    }
}

pub fn b10_nulls_are_never_the_same_value(stage: &mut Stage<'_>) {
    let row = |x: i64| vec![x.into(), 0.into(), Value::Null, 0.into(), Value::Null];
    let insert = |x| Statement::Insert { table: &GRID, row: row(x), on_conflict: OnConflict::Error };
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), insert(1), insert(2)]);
    stage.ok(b, vec![begin(), insert(3), COMMIT]);
    stage.ok(a, vec![COMMIT]);
}

pub fn b14_update_if_changes_nothing_when_it_lost(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b, c) = (stage.session(), stage.session(), stage.session());
    stage.ok(a, vec![begin(), update(1, 0, 1)]);
    let lost = stage.waits(b, vec![begin(), update(1, 0, 2), COMMIT]);
    stage.ok(a, vec![COMMIT]);
    assert_eq!(stage.answer(lost).expect("no error")[1..], [Reply::Changed(0), Reply::Committed]);
    // What does not match now is not waited for, even if an open transaction would make it match.
    stage.ok(a, vec![begin(), update(1, 1, 3)]);
    assert_eq!(stage.ok(c, vec![begin(), update(1, 2, 4), COMMIT])[1], Reply::Changed(0));
    stage.ok(a, vec![COMMIT]);
    let missing = stage.ok(c, vec![begin(), update(99, 0, 4), delete(99), COMMIT]);
    assert_eq!(missing[1..3], [Reply::Changed(0), Reply::Changed(0)]);
}

pub fn b14_update_if_goes_on_when_the_other_aborts(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), update(1, 0, 1)]);
    let waiting = stage.waits(b, vec![begin(), update(1, 0, 2), COMMIT]);
    stage.ok(a, vec![ROLLBACK]);
    assert_eq!(stage.answer(waiting).expect("no error")[1], Reply::Changed(1));
    stage.expect_account(1, 1, 2);
}

pub fn b14_delete_if_changes_nothing_when_it_lost(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    let at_version = |version: i64| Statement::DeleteIf {
        table: &ACCOUNTS,
        key: vec![1.into()],
        expected: vec![(1, version.into())],
    };
    stage.ok(a, vec![begin(), update(1, 0, 1)]);
    let lost = stage.waits(b, vec![begin(), at_version(0), COMMIT]);
    stage.ok(a, vec![COMMIT]);
    assert_eq!(stage.answer(lost).expect("no error")[1], Reply::Changed(0));
    assert_eq!(stage.ok(b, vec![begin(), at_version(1), COMMIT])[1], Reply::Changed(1));
    assert_eq!(stage.balance(1), None);
}

pub fn b15_of_concurrent_appends_of_one_version_all_but_one_fail(stage: &mut Stage<'_>) {
    let sessions = [0; 5].map(|_| stage.session());
    stage.ok(sessions[0], vec![begin(), event("s", 1)]);
    let others: Vec<_> = sessions[1..]
        .iter()
        .map(|session| stage.waits(*session, vec![begin(), event("s", 1), COMMIT]))
        .collect();
    stage.ok(sessions[0], vec![COMMIT]);
    for call in others {
        assert_eq!(stage.sqlstate(call), "23505");
    }
    let replies = stage.ok(sessions[0], vec![begin(), count(&EVENTS), COMMIT]);
    assert_eq!(replies[1], Reply::Count(1));
}
