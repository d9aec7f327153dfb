//! REPEATABLE READ and SERIALIZABLE: 2, 3, 5, 7, 11, 12.

use host::ports::store::{LockMode, LockWait, OnConflict, Reply, Statement, StoreError};

use crate::bench::SessionNumber;
use crate::stage::Stage;
use crate::tables::*;

pub fn b2_the_snapshot_is_taken_by_the_first_statement(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (reader, writer) = (stage.session(), stage.session());
    stage.ok(reader, vec![begin_snapshot()]);
    stage.ok(writer, vec![begin(), update(1, 0, 50), COMMIT]);
    assert_eq!(stage.ok(reader, vec![get(1)]), [Reply::Rows(vec![account(1, 1, 50)])], "after BEGIN");
    stage.ok(writer, vec![begin(), update(1, 1, 60), insert(2, 0, 2, OnConflict::Error), COMMIT]);
    let again = stage.ok(reader, vec![get(1), all(&ACCOUNTS), count(&ACCOUNTS), COMMIT]);
    let old = Reply::Rows(vec![account(1, 1, 50)]);
    assert_eq!(again[..3], [old.clone(), old, Reply::Count(1)]);
    stage.expect_account(1, 2, 60);
}

pub fn b2_a_snapshot_shows_rows_that_were_deleted_since_and_own_changes(stage: &mut Stage<'_>) {
    stage.accounts(3);
    let (reader, writer) = (stage.session(), stage.session());
    stage.ok(reader, vec![begin_snapshot(), get(1)]);
    stage.ok(writer, vec![begin(), delete(1), update(2, 0, 5), COMMIT]);
    let replies = stage.ok(reader, vec![update(3, 0, 7), all(&ACCOUNTS), COMMIT]);
    assert_eq!(rows(&replies[1]), [account(1, 0, 100), account(2, 0, 100), account(3, 1, 7)]);
}

pub fn b3_the_second_writer_waits_and_fails_if_the_first_commits(stage: &mut Stage<'_>) {
    stage.accounts(1);
    for statement in [overwrite(1, 2), delete(1), for_update(1), for_share(1)] {
        let (a, b) = (stage.session(), stage.session());
        stage.ok(b, vec![begin_snapshot(), get(1)]);
        stage.ok(a, vec![begin(), overwrite(1, 100)]);
        let second = stage.waits(b, vec![statement, COMMIT]);
        stage.ok(a, vec![COMMIT]);
        assert_eq!(stage.sqlstate(second), "40001");
    }
    stage.expect_account(1, 0, 100);
}

pub fn b3_the_second_writer_goes_on_if_the_first_aborts(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(b, vec![begin_snapshot(), get(1)]);
    stage.ok(a, vec![begin(), update(1, 0, 1)]);
    let second = stage.waits(b, vec![update(1, 0, 2), COMMIT]);
    stage.ok(a, vec![ROLLBACK]);
    assert_eq!(stage.answer(second), Ok(vec![Reply::Changed(1), Reply::Committed]));
    stage.expect_account(1, 1, 2);
}

pub fn b3_a_row_that_was_changed_since_the_snapshot_is_refused_at_once(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    let upsert = insert(1, 5, 5, OnConflict::Update);
    let nowait = lock(&[1], LockMode::Update, LockWait::NoWait);
    for statement in [overwrite(1, 2), delete(1), for_update(1), for_share(1), upsert, nowait] {
        stage.ok(b, vec![begin_snapshot(), get(1)]);
        stage.ok(a, vec![begin(), overwrite(1, 100), COMMIT]);
        stage.err(b, vec![statement], "40001");
        stage.ok(b, vec![ROLLBACK]);
    }
}

pub fn b3_a_lock_without_a_change_is_no_conflict(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(b, vec![begin_snapshot(), get(1)]);
    stage.ok(a, vec![begin(), for_update(1)]);
    let second = stage.waits(b, vec![update(1, 0, 2), COMMIT]);
    stage.ok(a, vec![COMMIT]);
    assert_eq!(stage.answer(second), Ok(vec![Reply::Changed(1), Reply::Committed]));
}

/// Two accounts, of which one at least shall stay above zero; each reads both and empties one.
fn empty_both(stage: &mut Stage<'_>, begin: fn() -> Statement) -> Vec<Result<(), StoreError>> {
    stage.accounts(2);
    let sessions = [stage.session(), stage.session()];
    for session in sessions {
        stage.ok(session, vec![begin(), get(1), get(2)]);
    }
    let write = |stage: &mut Stage<'_>, session: SessionNumber, id: i64| {
        let call = stage.start(session, vec![update(id, 0, 0)]);
        stage.answer(call).map(|replies| assert_eq!(replies, [Reply::Changed(1)]))
    };
    let written = [write(stage, sessions[0], 1), write(stage, sessions[1], 2)];
    let mut outcomes = Vec::new();
    for (session, written) in sessions.into_iter().zip(written) {
        let end = if written.is_ok() { COMMIT } else { ROLLBACK };
        let call = stage.start(session, vec![end]);
        let ended = stage.answer(call).map(drop);
        outcomes.push(written.and(ended));
    }
    outcomes
}

pub fn b5_write_skew_is_possible_under_repeatable_read(stage: &mut Stage<'_>) {
    assert_eq!(empty_both(stage, begin_snapshot), [Ok(()), Ok(())]);
    assert_eq!((stage.balance(1), stage.balance(2)), (Some(0), Some(0)));
}

pub fn b5_write_skew_is_refused_under_serializable(stage: &mut Stage<'_>) {
    let outcomes = empty_both(stage, begin_serializable);
    let refused: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(
        matches!(refused[..], [StoreError::Database { sqlstate: "40001", .. }]),
        "one of them, with 40001: {refused:?}"
    );
    assert_eq!(stage.balance(1).zip(stage.balance(2)).map(|(a, b)| a + b), Some(100));
}

pub fn b5_a_row_that_would_have_been_read_is_a_conflict_too(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    for session in [a, b] {
        let replies = stage.ok(session, vec![begin_serializable(), count(&ACCOUNTS)]);
        assert_eq!(replies[1], Reply::Count(0));
    }
    let first = stage.start(a, vec![insert(1, 0, 1, OnConflict::Error), COMMIT]);
    let first = stage.answer(first);
    let second = stage.start(b, vec![insert(2, 0, 1, OnConflict::Error), COMMIT]);
    assert_eq!((first.is_ok(), stage.sqlstate(second)), (true, "40001"), "each would be the only one");
}

pub fn b5_who_only_reads_one_after_the_other_is_not_refused(stage: &mut Stage<'_>) {
    stage.accounts(2);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin_serializable(), get(1), update(2, 0, 5), COMMIT]);
    stage.ok(b, vec![begin_serializable(), get(2), update(1, 0, 5), COMMIT]);
    stage.ok(a, vec![begin_serializable(), get(1), get(2)]);
    stage.ok(b, vec![begin_serializable(), get(1), get(2), COMMIT]);
    stage.ok(a, vec![COMMIT]);
}

pub fn b7_a_retry_begins_again_and_reads_again(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(b, vec![begin_snapshot(), get(1)]);
    stage.ok(a, vec![begin(), update(1, 0, 1), COMMIT]);
    stage.err(b, vec![update(1, 0, 2)], "40001");
    stage.err(b, vec![update(1, 0, 2)], "25P02");
    let stale = stage.ok(b, vec![ROLLBACK, begin_snapshot(), update(1, 0, 2), ROLLBACK]);
    assert_eq!(stale[2], Reply::Changed(0), "what was read before does not hold any more");
    let again = stage.ok(b, vec![begin_snapshot(), get(1), update(1, 1, 2), COMMIT]);
    assert_eq!(again[1..3], [Reply::Rows(vec![account(1, 1, 1)]), Reply::Changed(1)]);
}

pub fn b11_an_insert_waits_at_repeatable_read_too(stage: &mut Stage<'_>) {
    for (outcome, expected) in [(COMMIT, Some("23505")), (ROLLBACK, None)] {
        let (a, b) = (stage.session(), stage.session());
        stage.ok(b, vec![begin_snapshot(), get(1)]);
        stage.ok(a, vec![begin_snapshot(), event("s", 1)]);
        let waiting = stage.waits(b, vec![event("s", 1)]);
        stage.ok(a, vec![outcome]);
        let error = stage.answer(waiting).err();
        let sqlstate = error.map(|error| match error {
            StoreError::Database { sqlstate, .. } => sqlstate,
            other => panic!("{other}"),
        });
        assert_eq!(sqlstate, expected);
        stage.ok(b, vec![ROLLBACK]);
        let clean = Statement::DeleteIf { table: &EVENTS, key: vec!["s".into(), 1.into()], expected: vec![] };
        stage.ok(a, vec![begin(), clean, COMMIT]);
    }
}

pub fn b11_a_committed_key_that_the_snapshot_does_not_show_is_a_duplicate(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.ok(b, vec![begin_snapshot(), get(1)]);
    stage.ok(a, vec![begin(), insert(1, 0, 1, OnConflict::Error), COMMIT]);
    assert_eq!(stage.ok(b, vec![get(1)]), [Reply::Rows(vec![])]);
    stage.err(b, vec![insert(1, 0, 2, OnConflict::Error)], "23505");
}

pub fn b11_under_serializable_the_error_can_be_40001_instead(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    for session in [a, b] {
        stage.ok(session, vec![begin_serializable(), get(1)]);
    }
    stage.ok(a, vec![insert(1, 0, 1, OnConflict::Error), COMMIT]);
    stage.err(b, vec![insert(1, 0, 2, OnConflict::Error)], "40001");
}

pub fn b12_do_nothing_skips_because_of_a_row_that_was_not_there_before(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), insert(1, 0, 1, OnConflict::Error)]);
    let skips = stage.waits(b, vec![begin(), get(1), insert(1, 0, 2, OnConflict::DoNothing), get(1)]);
    stage.ok(a, vec![COMMIT]);
    let answer = stage.answer(skips).expect("no error");
    let (before, after) = (Reply::Rows(vec![]), Reply::Rows(vec![account(1, 0, 1)]));
    assert_eq!(answer[1..], [before, Reply::Changed(0), after]);
}

pub fn b12_do_nothing_cannot_skip_because_of_a_row_that_the_snapshot_does_not_show(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.ok(b, vec![begin_snapshot(), get(1)]);
    stage.ok(a, vec![begin(), insert(1, 0, 1, OnConflict::Error), COMMIT]);
    stage.err(b, vec![insert(1, 0, 2, OnConflict::DoNothing)], "40001");
    stage.ok(b, vec![ROLLBACK]);
    stage.ok(a, vec![begin(), insert(2, 0, 1, OnConflict::Error)]);
    stage.ok(b, vec![begin_snapshot(), get(1)]);
    let waiting = stage.waits(b, vec![insert(2, 0, 2, OnConflict::DoNothing)]);
    stage.ok(a, vec![COMMIT]);
    assert_eq!(stage.sqlstate(waiting), "40001", "committed while it waited");
}
