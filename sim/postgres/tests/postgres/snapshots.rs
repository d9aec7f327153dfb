//! REPEATABLE READ: store.md 2, 3, 5, 11, 12, 15.

use host::ports::store::{Isolation, LockMode, LockWait, OnConflict, Reply, Statement, Value};
use proptest::prelude::*;

use crate::harness::*;

fn repeatable() -> Statement {
    begin_at(Isolation::RepeatableRead)
}

fn everything() -> Statement {
    Statement::Scan(scan(&ACCOUNTS, None, vec![]))
}

fn count() -> Statement {
    Statement::Count { table: &ACCOUNTS, index: None, prefix: vec![] }
}

#[test]
fn b02_the_snapshot_is_taken_by_the_first_statement_and_stays() {
    let mut world = World::with_accounts(2);
    let (reader, writer) = (world.session(), world.session());
    world.ok(reader, vec![repeatable()]);
    world.ok(writer, vec![begin(), update(1, 0, 1), Statement::Commit]);
    assert_eq!(rows(&world.ok(reader, vec![get(1)])[0]), [account(1, 1, 1)], "not by BEGIN");
    let changes =
        vec![begin(), update(1, 1, 2), delete(2), insert(3, 0, 3, OnConflict::Error), Statement::Commit];
    world.ok(writer, changes);
    let seen = world.ok(reader, vec![get(1), get(3), everything(), count()]);
    assert_eq!(rows(&seen[0]), [account(1, 1, 1)]);
    assert_eq!(rows(&seen[1]), [] as [Vec<Value>; 0]);
    assert_eq!(rows(&seen[2]), [account(1, 1, 1), account(2, 0, 100)]);
    assert_eq!(seen[3], Reply::Count(2));
    world.ok(reader, vec![Statement::Commit]);
    let now = world.ok(reader, vec![repeatable(), everything(), Statement::Commit]);
    assert_eq!(rows(&now[1]), [account(1, 2, 2), account(3, 0, 3)]);
    world.at_rest();
}

#[test]
fn b02_a_snapshot_shows_the_transactions_own_writes_over_it() {
    let mut world = World::with_accounts(3);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![repeatable(), get(1), update(3, 0, 30), insert(5, 0, 5, OnConflict::Error)]);
    world.ok(
        b,
        vec![begin(), update(1, 0, 1), delete(2), insert(4, 0, 4, OnConflict::Error), Statement::Commit],
    );
    let seen = world.ok(a, vec![everything(), count(), Statement::Commit]);
    let expected = [account(1, 0, 100), account(2, 0, 100), account(3, 1, 30), account(5, 0, 5)];
    assert_eq!(rows(&seen[0]), expected);
    assert_eq!(seen[1], Reply::Count(4));
    world.at_rest();
}

#[test]
fn b03_the_second_writer_waits_and_gets_40001_when_the_first_commits() {
    for isolation in [Isolation::RepeatableRead, Isolation::Serializable] {
        for statement in [update(1, 0, 2), delete(1), for_update(1), for_share(1)] {
            let mut world = World::with_accounts(1);
            let (first, second) = (world.session(), world.session());
            world.ok(first, vec![begin_at(isolation), update(1, 0, 1)]);
            let waiting = world.waits(second, vec![begin_at(isolation), get(1), statement]);
            world.ok(first, vec![Statement::Commit]);
            assert_eq!(world.sqlstate(waiting), "40001");
            world.err(second, vec![get(1)], "25P02");
            world.ok(second, vec![Statement::Rollback]);
            world.at_rest();
        }
    }
}

#[test]
fn b03_the_second_writer_goes_on_when_the_first_aborts() {
    let mut world = World::with_accounts(1);
    let (first, second) = (world.session(), world.session());
    world.ok(first, vec![repeatable(), update(1, 0, 1)]);
    let waiting = world.waits(second, vec![repeatable(), get(1), update(1, 0, 2)]);
    world.ok(first, vec![Statement::Rollback]);
    assert_eq!(world.answer(waiting).expect("updated")[2], Reply::Changed(1));
    world.ok(second, vec![Statement::Commit]);
    assert_eq!(world.balance(1), Some(2));
    world.at_rest();
}

#[test]
fn b03_what_changed_since_the_snapshot_is_40001_at_once_and_a_lock_alone_is_not() {
    let mut world = World::with_accounts(3);
    let (a, b, c) = (world.session(), world.session(), world.session());
    for (statement, expected) in [
        (update(1, 0, 5), Some("40001")),
        (update(1, 1, 5), None),
        (delete(2), Some("40001")),
        (lock(&[2], LockMode::Share, LockWait::SkipLocked), Some("40001")),
        (for_update(3), None),
    ] {
        world.ok(a, vec![repeatable(), everything()]);
        world.ok(b, vec![begin(), update(1, 0, 1), delete(2), for_update(3), Statement::Commit]);
        match expected {
            Some(sqlstate) => world.err(a, vec![statement], sqlstate),
            None => drop(world.ok(a, vec![statement])),
        }
        world.ok(a, vec![Statement::Rollback]);
        let back = vec![
            begin(),
            insert(1, 0, 100, OnConflict::Update),
            insert(2, 0, 100, OnConflict::Error),
            Statement::Commit,
        ];
        world.ok(c, back);
    }
    world.at_rest();
}

#[test]
fn b05_write_skew_is_possible() {
    let mut world = World::with_accounts(2);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![repeatable(), everything(), update(1, 0, 0)]);
    world.ok(b, vec![repeatable(), everything(), update(2, 0, 0), Statement::Commit]);
    world.ok(a, vec![Statement::Commit]);
    assert_eq!((world.balance(1), world.balance(2)), (Some(0), Some(0)));
    world.at_rest();
}

#[test]
fn b11_a_key_that_another_transaction_inserted_waits_and_conflicts_at_every_level() {
    for isolation in [Isolation::RepeatableRead, Isolation::Serializable] {
        let mut world = World::with_accounts(1);
        let (a, b) = (world.session(), world.session());
        world.ok(b, vec![begin_at(isolation), get(1)]);
        world.ok(a, vec![begin_at(isolation), insert(7, 0, 1, OnConflict::Error)]);
        let waiting = world.waits(b, vec![insert(7, 0, 2, OnConflict::Error)]);
        world.ok(a, vec![Statement::Commit]);
        assert_eq!(world.sqlstate(waiting), "23505");
        world.ok(b, vec![Statement::Rollback]);
        world.ok(a, vec![begin_at(isolation), insert(8, 0, 1, OnConflict::Error)]);
        let waiting = world.waits(b, vec![begin_at(isolation), insert(8, 0, 2, OnConflict::Error)]);
        world.ok(a, vec![Statement::Rollback]);
        world.answer(waiting).expect("free");
        world.ok(b, vec![Statement::Commit]);
        world.at_rest();
    }
}

#[test]
fn b12_do_nothing_skips_because_of_a_row_that_an_earlier_read_did_not_show() {
    let mut world = World::new();
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), get(7)]);
    world.ok(b, vec![begin(), insert(7, 0, 1, OnConflict::Error), Statement::Commit]);
    let skipped = world.ok(a, vec![insert(7, 0, 2, OnConflict::DoNothing), get(7), Statement::Commit]);
    assert_eq!(skipped[0], Reply::Changed(0));
    assert_eq!(rows(&skipped[1]), [account(7, 0, 1)]);
    world.at_rest();
}

/// PostgreSQL 15 raises 40001 here (`ExecCheckTupleVisible`), also where nothing would be done.
#[test]
fn b12_a_conflict_with_a_row_that_the_snapshot_does_not_show_is_40001() {
    let unique = |on_conflict| Statement::Insert {
        table: &OUTBOX,
        row: outbox_row(99.into(), "s", 1, 0),
        on_conflict,
    };
    for (statement, sqlstate) in [
        (insert(7, 0, 2, OnConflict::DoNothing), "40001"),
        (insert(7, 0, 2, OnConflict::Update), "40001"),
        (insert(7, 0, 2, OnConflict::UpdateIfLess { column: 2 }), "40001"),
        (insert(7, 0, 2, OnConflict::Error), "23505"),
        (unique(OnConflict::DoNothing), "40001"),
        (unique(OnConflict::Error), "23505"),
    ] {
        let mut world = World::new();
        let (a, b) = (world.session(), world.session());
        world.ok(a, vec![repeatable(), get(7)]);
        world.ok(b, vec![begin(), insert(7, 0, 1, OnConflict::Error), outbox("s", 1), Statement::Commit]);
        world.err(a, vec![statement], sqlstate);
        world.ok(a, vec![Statement::Rollback]);
        world.at_rest();
    }
}

#[test]
fn b12_a_key_deleted_since_the_snapshot_is_free() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![repeatable(), get(1)]);
    world.ok(b, vec![begin(), delete(1), Statement::Commit]);
    assert_eq!(world.ok(a, vec![insert(1, 5, 5, OnConflict::Error)])[0], Reply::Changed(1));
    assert_eq!(world.ok(a, vec![update(1, 5, 6), Statement::Commit])[0], Reply::Changed(1));
    assert_eq!(world.balance(1), Some(6));
    world.at_rest();
}

#[test]
fn b15_appends_of_one_version_fail_for_all_but_one() {
    for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead, Isolation::Serializable] {
        let mut world = World::new();
        let sessions = [world.session(), world.session(), world.session()];
        let calls = sessions.map(|conn| {
            let none = Statement::Count { table: &EVENTS, index: None, prefix: vec!["s".into()] };
            world.ok(conn, vec![begin_at(isolation), none]);
            world.start(conn, vec![event("s", 1)])
        });
        world.answer(calls[0]).expect("the first");
        world.ok(sessions[0], vec![Statement::Commit]);
        for (call, conn) in calls.into_iter().zip(sessions).skip(1) {
            assert!(["23505", "40001"].contains(&world.sqlstate(call)), "{isolation:?}");
            world.ok(conn, vec![Statement::Rollback]);
        }
        world.at_rest();
    }
}

fn change() -> impl Strategy<Value = Statement> {
    let id = || 1_i64..6;
    prop_oneof![
        (id(), "[ab]", 1_i64..4, 0_i64..2).prop_map(|(id, stream, sequence, sent)| Statement::Insert {
            table: &OUTBOX,
            row: outbox_row(id.into(), &stream, sequence, sent),
            on_conflict: OnConflict::Update,
        }),
        id().prop_map(mark_sent),
        (id(), "[ab]").prop_map(|(id, stream)| Statement::UpdateIf {
            table: &OUTBOX,
            key: vec![id.into()],
            expected: vec![],
            set: vec![(1, stream.as_str().into())],
        }),
        id().prop_map(|id| Statement::DeleteIf { table: &OUTBOX, key: vec![id.into()], expected: vec![] }),
    ]
}

fn look() -> Vec<Statement> {
    let ids = (1..6).map(|id| vec![Value::Int(id)]);
    let by_key = Statement::Get { table: &OUTBOX, keys: ids.collect() };
    let scans = [None, Some("outbox_unsent"), Some("outbox_stream")].into_iter().flat_map(|index| {
        let mut first = scan(&OUTBOX, index, vec![]);
        first.limit = 2;
        let count = Statement::Count { table: &OUTBOX, index, prefix: vec![] };
        [Statement::Scan(scan(&OUTBOX, index, vec![])), Statement::Scan(first), count]
    });
    [by_key].into_iter().chain(scans).collect()
}

proptest! {
    #[test]
    fn b02_whatever_others_change_a_snapshot_shows_the_same_on_every_path(
        before in proptest::collection::vec(change(), 0..8),
        between in proptest::collection::vec(change(), 0..8),
        after in proptest::collection::vec(change(), 0..8),
        second_ends_first in any::<bool>(),
    ) {
        let mut world = World::new();
        let (first, second, writer) = (world.session(), world.session(), world.session());
        let write = |world: &mut World, changes: Vec<Statement>| {
            for change in changes {
                let call = world.start(writer, vec![begin(), change, Statement::Commit]);
                if world.answer(call).is_err() {
                    world.ok(writer, vec![Statement::Rollback]);
                }
            }
        };
        write(&mut world, before);
        world.ok(first, vec![repeatable()]);
        let first_saw = world.ok(first, look());
        write(&mut world, between);
        world.ok(second, vec![repeatable()]);
        let second_saw = world.ok(second, look());
        write(&mut world, after);
        prop_assert_eq!(world.ok(first, look()), first_saw.clone());
        if second_ends_first {
            world.ok(second, vec![Statement::Commit]);
            prop_assert_eq!(world.ok(first, look()), first_saw);
        } else {
            world.ok(first, vec![Statement::Commit]);
            prop_assert_eq!(world.ok(second, look()), second_saw);
        }
        let (last, open) = if second_ends_first { (first, second) } else { (second, first) };
        world.ok(last, vec![Statement::Rollback]);
        world.ok(open, vec![repeatable()]);
        let now = world.ok(open, look());
        world.ok(open, vec![Statement::Commit, begin()]);
        prop_assert_eq!(world.ok(open, look()), now);
        world.ok(open, vec![Statement::Commit]);
        world.at_rest();
    }
}
