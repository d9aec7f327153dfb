//! ON CONFLICT DO UPDATE: 13.

use host::ports::store::{OnConflict, Reply};

use crate::stage::Stage;
use crate::tables::*;

pub fn b13_do_update_locks_and_replaces_the_latest_committed_row(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), update(1, 0, 1)]);
    let waiting = stage.waits(b, vec![begin(), insert(1, 7, 70, OnConflict::Update), get(1), COMMIT]);
    stage.ok(a, vec![COMMIT]);
    let answer = stage.answer(waiting).expect("no error");
    assert_eq!(answer[1..3], [Reply::Changed(1), Reply::Rows(vec![account(1, 7, 70)])]);
    stage.expect_account(1, 7, 70);
}

pub fn b13_do_update_of_a_row_that_was_deleted_meanwhile_inserts(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b, c) = (stage.session(), stage.session(), stage.session());
    stage.ok(a, vec![begin(), for_update(1)]);
    let upsert = stage.waits(b, vec![begin(), insert(1, 7, 70, OnConflict::Update), COMMIT]);
    let locker = stage.waits(c, vec![begin(), for_update(1), COMMIT]);
    stage.ok(a, vec![delete(1), COMMIT]);
    assert_eq!(stage.answer(upsert).expect("no error")[1], Reply::Changed(1));
    stage.answer(locker).expect("no error");
    stage.expect_account(1, 7, 70);
}

pub fn b13_do_update_where_compares_with_the_latest_committed_row_and_keeps_its_lock(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b, c) = (stage.session(), stage.session(), stage.session());
    let lower = |balance: i64| insert(1, 0, balance, OnConflict::UpdateIfLess { column: 2 });
    stage.ok(a, vec![begin(), update(1, 0, 40)]);
    let higher = stage.waits(b, vec![begin(), lower(50)]);
    stage.ok(a, vec![COMMIT]);
    let answer = stage.answer(higher).expect("no error");
    assert_eq!(answer[1], Reply::Changed(0), "50 is less than 100, not than 40");
    let waiting = stage.waits(c, vec![begin(), lower(30), COMMIT]);
    stage.ok(b, vec![COMMIT]);
    assert_eq!(stage.answer(waiting).expect("no error")[1], Reply::Changed(1));
    assert_eq!(stage.balance(1), Some(30));
    let replies = stage.ok(a, vec![begin(), lower(30), lower(29), lower(28), COMMIT]);
    assert_eq!(replies[1..4], [Reply::Changed(0), Reply::Changed(1), Reply::Changed(1)]);
}

pub fn b13_do_update_sees_what_its_own_transaction_wrote(stage: &mut Stage<'_>) {
    let a = stage.session();
    let upsert = |balance| insert(1, 0, balance, OnConflict::Update);
    let replies = stage.ok(a, vec![begin(), upsert(1), upsert(2), delete(1), upsert(3), get(1), COMMIT]);
    assert_eq!(replies[5], Reply::Rows(vec![account(1, 0, 3)]));
    stage.expect_account(1, 0, 3);
}
