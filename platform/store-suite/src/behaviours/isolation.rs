//! Visibility at READ COMMITTED: 1, 4, 6, 8, 9.

use host::ports::store::{OnConflict, Reply};

use crate::stage::Stage;
use crate::tables::*;

pub fn b1_each_statement_sees_what_was_committed_before_it_began(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (reader, writer) = (stage.session(), stage.session());
    let first = stage.ok(reader, vec![begin(), get(1)]);
    assert_eq!(first[1], Reply::Rows(vec![account(1, 0, 100)]));
    stage.ok(writer, vec![begin(), update(1, 0, 50), COMMIT]);
    let second = stage.ok(reader, vec![get(1), COMMIT]);
    assert_eq!(second[0], Reply::Rows(vec![account(1, 1, 50)]), "two reads of one transaction differ");
}

pub fn b4_an_update_that_waited_looks_again_and_an_earlier_read_is_lost(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), get(1)]);
    stage.ok(b, vec![begin(), get(1)]);
    stage.ok(a, vec![overwrite(1, 110)]);
    let waiting = stage.waits(b, vec![overwrite(1, 120), COMMIT]);
    stage.ok(a, vec![COMMIT]);
    assert_eq!(stage.answer(waiting), Ok(vec![Reply::Changed(1), Reply::Committed]));
    assert_eq!(stage.balance(1), Some(120), "a's ten are lost");
}

pub fn b6_an_error_aborts_the_transaction_until_rollback(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    let call = stage.start(a, vec![begin(), update(1, 0, 5), event("s", 1), event("s", 1), get(1)]);
    let error = stage.answer(call).expect_err("a duplicate");
    assert!(error.to_string().starts_with("SQLSTATE 23505 at statement 3: duplicate key value"), "{error}");
    stage.ok(b, vec![begin(), for_update(1), ROLLBACK]);
    stage.err(a, vec![get(1)], "25P02");
    stage.err(a, vec![begin()], "25P02");
    assert_eq!(stage.ok(a, vec![ROLLBACK]), [Reply::RolledBack]);
    assert_eq!(stage.ok(a, vec![begin(), get(1), COMMIT])[1], Reply::Rows(vec![account(1, 0, 100)]));
}

pub fn b6_commit_of_a_failed_transaction_rolls_back_without_error(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let a = stage.session();
    stage.err(a, vec![begin(), update(1, 0, 5), event("s", 1), event("s", 1), COMMIT], "23505");
    assert_eq!(stage.ok(a, vec![COMMIT]), [Reply::RolledBack]);
    assert_eq!(stage.balance(1), Some(100));
}

pub fn b6_an_error_ends_the_pipeline_with_all_its_transactions(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let a = stage.session();
    let second = [begin(), update(1, 0, 5), COMMIT];
    let first = [begin(), event("s", 1), event("s", 1), COMMIT];
    stage.err(a, first.into_iter().chain(second).collect(), "23505");
    stage.err(a, vec![get(1)], "25P02");
    stage.ok(a, vec![ROLLBACK]);
    assert_eq!(stage.balance(1), Some(100));
}

pub fn b6_what_cannot_be_sent_aborts_the_transaction_too(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    let mismatch = insert(2, 0, 0, OnConflict::UpdateIfLess { column: 9 });
    stage.err(a, vec![begin(), update(1, 0, 5), mismatch, COMMIT], "42703");
    stage.ok(b, vec![begin(), for_update(1), ROLLBACK]);
    stage.err(a, vec![get(1)], "25P02");
    stage.ok(a, vec![ROLLBACK]);
    stage.err(a, vec![get(1)], "25P01");
    stage.err(a, vec![begin(), begin()], "25001");
    assert_eq!(stage.ok(a, vec![COMMIT]), [Reply::RolledBack]);
    assert_eq!(stage.balance(1), Some(100));
}

pub fn b8_uncommitted_rows_are_seen_by_their_transaction_only(stage: &mut Stage<'_>) {
    stage.accounts(2);
    let (writer, reader) = (stage.session(), stage.session());
    let look = || vec![begin(), all(&ACCOUNTS), count(&ACCOUNTS), COMMIT];
    let inserted = insert(3, 0, 3, OnConflict::Error);
    let changes = vec![begin(), update(1, 0, 7), delete(2), inserted, all(&ACCOUNTS), count(&ACCOUNTS)];
    let own = stage.ok(writer, changes);
    assert_eq!(rows(&own[4]), [account(1, 1, 7), account(3, 0, 3)]);
    assert_eq!(own[5], Reply::Count(2));
    let others = stage.ok(reader, look());
    assert_eq!(rows(&others[1]), [account(1, 0, 100), account(2, 0, 100)]);
    assert_eq!(others[2], Reply::Count(2));
    stage.ok(writer, vec![ROLLBACK]);
    assert_eq!(rows(&stage.ok(reader, look())[1]), [account(1, 0, 100), account(2, 0, 100)]);
}

pub fn b9_now_is_the_start_of_the_transaction(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    let begun = |replies: &[Reply]| match replies[0] {
        Reply::Begun { transaction, now } => (transaction, now),
        ref other => panic!("{other:?}"),
    };
    let first = begun(&stage.ok(a, vec![begin()]));
    stage.pass_ms(20);
    let second = begun(&stage.ok(b, vec![begin()]));
    stage.ok(a, vec![event("s", 1), COMMIT]);
    assert!(second.0 > first.0, "ids rise: {first:?}, {second:?}");
    let between_ms = second.1.as_millisecond() - first.1.as_millisecond();
    assert!((20..20_000).contains(&between_ms), "{between_ms} ms between the two");
    assert_eq!(second.1.as_nanosecond() % 1_000, 0, "microseconds");
}
