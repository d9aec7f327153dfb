//! Visibility and isolation: store.md 1, 4, 6, 8, 9.

use host::ports::store::{OnConflict, Reply, Statement};
use postgres::Settings;

use crate::harness::*;

#[test]
fn b01_each_statement_sees_what_was_committed_before_it_began() {
    let mut world = World::with_accounts(1);
    let (reader, writer) = (world.session(), world.session());
    let first = world.ok(reader, vec![begin(), get(1)]);
    assert_eq!(first[1], Reply::Rows(vec![account(1, 0, 100)]));
    world.ok(writer, vec![begin(), update(1, 0, 50), Statement::Commit]);
    let second = world.ok(reader, vec![get(1), Statement::Commit]);
    assert_eq!(second[0], Reply::Rows(vec![account(1, 1, 50)]), "two reads of one transaction differ");
    world.at_rest();
}

#[test]
fn b04_an_update_that_waited_looks_again_and_an_earlier_read_is_lost() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), get(1)]);
    world.ok(b, vec![begin(), get(1)]);
    let overwrite = |balance: i64| Statement::UpdateIf {
        table: &ACCOUNTS,
        key: vec![1.into()],
        expected: vec![],
        set: vec![(2, balance.into())],
    };
    world.ok(a, vec![overwrite(110)]);
    let waiting = world.waits(b, vec![overwrite(120), Statement::Commit]);
    world.ok(a, vec![Statement::Commit]);
    let answer = world.answer(waiting).expect("no error");
    assert_eq!(answer, [Reply::Changed(1), Reply::Committed]);
    assert_eq!(world.balance(1), Some(120), "a's ten are lost");
    world.at_rest();
}

#[test]
fn b06_an_error_aborts_the_transaction_until_rollback() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    let call = world.start(a, vec![begin(), update(1, 0, 5), event("s", 1), event("s", 1), get(1)]);
    let error = world.answer(call).expect_err("a duplicate");
    let expected =
        r#"SQLSTATE 23505 at statement 3: duplicate key value violates unique constraint "events_pkey""#;
    assert_eq!(error.to_string(), expected);
    world.ok(b, vec![begin(), for_update(1), Statement::Rollback]);
    world.err(a, vec![get(1)], "25P02");
    world.err(a, vec![begin()], "25P02");
    assert_eq!(world.ok(a, vec![Statement::Rollback]), [Reply::RolledBack]);
    assert_eq!(
        world.ok(a, vec![begin(), get(1), Statement::Commit])[1],
        Reply::Rows(vec![account(1, 0, 100)])
    );
    world.at_rest();
}

#[test]
fn b06_commit_of_a_failed_transaction_rolls_back_without_error() {
    let mut world = World::with_accounts(1);
    let a = world.session();
    world.err(a, vec![begin(), update(1, 0, 5), event("s", 1), event("s", 1), Statement::Commit], "23505");
    assert_eq!(world.ok(a, vec![Statement::Commit]), [Reply::RolledBack]);
    assert_eq!(world.balance(1), Some(100));
    world.at_rest();
}

#[test]
fn b08_uncommitted_rows_are_seen_by_their_transaction_only() {
    let mut world = World::with_accounts(2);
    let (writer, reader) = (world.session(), world.session());
    let everything = || Statement::Scan(scan(&ACCOUNTS, None, vec![]));
    let count = || Statement::Count { table: &ACCOUNTS, index: None, prefix: vec![] };
    let all = || vec![begin(), everything(), count(), Statement::Commit];
    let own = world.ok(
        writer,
        vec![
            begin(),
            update(1, 0, 7),
            delete(2),
            insert(3, 0, 3, host::ports::store::OnConflict::Error),
            everything(),
            count(),
        ],
    );
    assert_eq!(rows(&own[4]), [account(1, 1, 7), account(3, 0, 3)]);
    assert_eq!(own[5], Reply::Count(2));
    let others = world.ok(reader, all());
    assert_eq!(rows(&others[1]), [account(1, 0, 100), account(2, 0, 100)]);
    assert_eq!(others[2], Reply::Count(2));
    world.ok(writer, vec![Statement::Rollback]);
    assert_eq!(rows(&world.ok(reader, all())[1]), [account(1, 0, 100), account(2, 0, 100)]);
    world.at_rest();
}

#[test]
fn b09_now_goes_by_the_servers_clock_and_time_outs_do_not() {
    let mut world = World::with(Settings { lock_timeout_ms: 1_000, ..Settings::default() });
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), insert(1, 0, 0, OnConflict::Error), Statement::Commit]);
    let now = |replies: Vec<Reply>| match replies[0] {
        Reply::Begun { now, .. } => now,
        ref other => panic!("{other:?}"),
    };
    let before = now(world.ok(a, vec![begin(), for_update(1)]));
    let waiting = world.waits(b, vec![begin(), for_update(1)]);
    world.primary.set_clock(-3_600_000_000_000);
    world.advance_ms(1_001);
    assert_eq!(world.sqlstate(waiting), "55P03", "the lock's time-out does not wait for an hour");
    let c = world.session();
    let after = now(world.ok(c, vec![begin(), Statement::Commit]));
    assert_eq!(after.duration_since(before).as_millis(), 1_001 - 3_600_000);
}

#[test]
fn b09_now_is_the_start_of_the_transaction_in_microseconds() {
    let mut world = World::with_accounts(1);
    let a = world.session();
    world.now_ns += 1_234;
    let began_ns = world.now_ns;
    let begun = world.ok(a, vec![begin()]);
    world.advance_ms(5);
    world.ok(a, vec![update(1, 0, 1), Statement::Commit]);
    let Reply::Begun { transaction, now } = begun[0] else { panic!("{begun:?}") };
    assert_eq!(now.as_nanosecond(), i128::from(began_ns / 1_000 * 1_000));
    assert_eq!((world.committed[0].transaction, world.committed[0].now_ns), (transaction, began_ns));
    world.at_rest();
}
