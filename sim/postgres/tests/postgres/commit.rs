//! Commit, the synchronous standby and restarts: store.md 25 to 30, 36, 39.

use host::ports::store::{OnConflict, Reply, Statement, StoreError};
use postgres::{ChangeKind, Output, Settings, SynchronousCommit, WalAck};

use crate::harness::*;

#[test]
fn b27_a_commit_is_answered_when_the_standby_has_it_and_not_seen_before() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.hold_log = true;
    let commit = world.waits(a, vec![begin(), update(1, 0, 1), Statement::Commit, begin(), get(1)]);
    assert!(world.committed.is_empty());
    assert_eq!(rows(&world.ok(b, vec![begin(), get(1)])[1]), [account(1, 0, 100)]);
    let locking = world.waits(b, vec![for_update(1), Statement::Commit]);
    world.release_log();
    assert_eq!(world.committed.len(), 1);
    assert_eq!(
        rows(&world.answer(commit).expect("committed")[4]),
        [account(1, 1, 1)],
        "the pipeline goes on"
    );
    assert_eq!(rows(&world.answer(locking).expect("locked")[0]), [account(1, 1, 1)]);
    world.ok(a, vec![Statement::Commit]);
    world.at_rest();
}

#[test]
fn b28_local_and_no_standby_do_not_wait() {
    let local = Settings { synchronous_commit: SynchronousCommit::Local, ..Settings::default() };
    for settings in [local, Settings::alone()] {
        let mut world = World::with(settings);
        let a = world.session();
        world.hold_log = true;
        world.ok(a, vec![begin(), event("s", 1), Statement::Commit]);
        assert_eq!(world.committed.len(), 1);
    }
}

#[test]
fn b29_commits_wait_for_a_standby_that_is_away_and_go_through_when_it_is_back() {
    let mut world = World::new();
    let (a, b) = (world.session(), world.session());
    world.hold_log = true;
    let first = world.waits(a, vec![begin(), event("s", 1), Statement::Commit]);
    world.primary.standby_disconnected(world.now_ns);
    world.standby.crash(&mut Vec::new());
    let second = world.waits(b, vec![begin(), event("s", 2), Statement::Commit]);
    world.advance_ms(3_600_000);
    assert!(world.is_waiting(first) && world.is_waiting(second));
    world.standby.start(world.now_ns);
    world.standby.ready(world.now_ns, &mut Vec::new());
    world.hold_log = false;
    world.reconnect_standby();
    world.answer(first).expect("committed");
    world.answer(second).expect("committed");
    let order: Vec<u64> = world.committed.iter().map(|transaction| transaction.lsn.0).collect();
    assert_eq!(order, [1, 2]);
    world.reconnect_standby();
    world.at_rest();
}

#[test]
fn b29_an_acknowledgement_that_was_lost_comes_with_the_next_connection() {
    let mut world = World::new();
    let a = world.session();
    let mut out = Vec::new();
    world.primary.run(world.now_ns, a, 1, vec![begin(), event("s", 1), Statement::Commit, begin()], &mut out);
    let Some(Output::SendWal(record)) = out.pop() else { panic!("{out:?}") };
    world.standby.wal(world.now_ns, record, &mut out);
    world.primary.standby_disconnected(world.now_ns);
    out.clear();
    world
        .primary
        .standby_connected(world.now_ns, world.standby.wal_status(), &mut out)
        .expect("the log is kept");
    assert!(
        matches!(out[..], [Output::CommittedTx(_), Output::Reply { result: Ok(_), .. }]),
        "nothing is sent again: {out:?}"
    );
    world.ok(a, vec![Statement::Rollback]);
    world.at_rest();
}

#[test]
fn b25_a_commit_under_way_happens_though_its_client_has_gone() {
    let mut world = World::with_accounts(1);
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(c, vec![Statement::Listen { channel: "outbox" }]);
    world.hold_log = true;
    let notify = Statement::Notify { channel: "outbox" };
    let lost =
        world.waits(a, vec![begin(), update(1, 0, 1), notify, Statement::Commit, begin(), update(1, 1, 2)]);
    world.disconnect(a);
    let waiting = world.waits(b, vec![begin(), for_update(1), Statement::Commit]);
    world.release_log();
    assert!(world.is_waiting(lost), "nobody is there to be answered");
    assert_eq!(world.notified, [(c, "outbox")]);
    assert_eq!(rows(&world.answer(waiting).expect("locked")[1]), [account(1, 1, 1)]);
    assert_eq!(world.committed.len(), 1);
    world.at_rest();
}

#[test]
fn b25_the_last_commit_notifies_though_nobody_else_goes_on() {
    let mut world = World::new();
    let (a, listener) = (world.session(), world.session());
    world.ok(listener, vec![Statement::Listen { channel: "outbox" }]);
    world.hold_log = true;
    let notify = Statement::Notify { channel: "outbox" };
    world.waits(a, vec![begin(), event("s", 1), notify, Statement::Commit]);
    world.disconnect(a);
    world.release_log();
    assert_eq!(world.notified, [(listener, "outbox")]);
    world.at_rest();
}

#[test]
fn b26_a_row_that_the_transaction_wrote_says_whether_it_committed() {
    for reaches_the_log in [true, false] {
        let mut world = World::with_accounts(1);
        let a = world.session();
        world.hold_log = true;
        if reaches_the_log {
            world.waits(a, vec![begin(), event("inbox", 7), Statement::Commit]);
        } else {
            world.ok(a, vec![begin(), event("inbox", 7)]);
        }
        world.disconnect(a);
        let b = world.session();
        let again = world.start(b, vec![begin(), event("inbox", 7)]);
        world.release_log();
        match world.answer(again) {
            Ok(_) => assert!(!reaches_the_log, "the first did not happen, this one may"),
            Err(error) => assert!(reaches_the_log && error.to_string().contains("23505")),
        }
        world.ok(b, vec![Statement::Rollback]);
        world.at_rest();
    }
}

#[test]
fn b30_a_restart_keeps_what_was_flushed_and_nothing_else() {
    let mut world = World::with_accounts(2);
    let (a, b) = (world.session(), world.session());
    world.ok(b, vec![begin(), update(2, 0, 2)]);
    world.hold_log = true;
    world.waits(a, vec![begin(), update(1, 0, 1), Statement::Commit]);
    world.primary.crash(&mut Vec::new());
    assert_eq!(world.primary.connect(world.now_ns, 100), Err(StoreError::Refused));
    world.primary.start(world.now_ns);
    let refused = world.primary.connect(world.now_ns, 101).expect_err("starting");
    assert_eq!(refused.to_string(), "SQLSTATE 57P03 at statement 0: the database system is starting up");
    assert!(world.committed.is_empty());
    let mut out = Vec::new();
    world.primary.ready(world.now_ns, &mut out);
    world.deliver(out);
    assert!(world.committed.is_empty(), "flushed before the crash, and not on the standby");
    assert_eq!((world.balance(1), world.balance(2)), (Some(1), Some(100)));
    let lost = world.start(a, vec![begin()]);
    assert_eq!(world.answer(lost), Err(StoreError::Lost));
    world.hold_log = false;
    world.reconnect_standby();
    assert_eq!(world.committed.len(), 1, "told of when the standby has it");
    world.at_rest();
}

#[test]
fn b36_a_standby_reads_and_refuses_to_write() {
    let mut world = World::with_accounts(1);
    let a = world.session();
    world.ok(a, vec![begin(), update(1, 0, 1), Statement::Commit]);
    world.standby.connect(world.now_ns, 1).expect("a connection");
    let mut ask = |statements| {
        let mut out = Vec::new();
        world.standby.run(world.now_ns, 1, 0, statements, &mut out);
        match out.remove(0) {
            postgres::Output::Reply { result, .. } => result,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(rows(&ask(vec![begin(), get(1), Statement::Commit]).expect("a read")[1]), [account(1, 1, 1)]);
    let refused = [
        for_update(1),
        insert(2, 0, 0, OnConflict::DoNothing),
        update(1, 1, 2),
        delete(1),
        Statement::Listen { channel: "outbox" },
        Statement::Notify { channel: "outbox" },
    ];
    for statement in refused {
        let error = ask(vec![begin(), statement]).expect_err("a write");
        assert!(matches!(error, StoreError::Database { sqlstate: "25006", statement: 1, .. }), "{error}");
        ask(vec![Statement::Rollback]).expect("rolled back");
    }
}

#[test]
fn b39_a_standby_shows_what_it_has_applied() {
    let mut world =
        World::with(Settings { synchronous_commit: SynchronousCommit::Local, ..Settings::default() });
    let a = world.session();
    world.hold_log = true;
    world.ok(a, vec![begin(), event("s", 1), Statement::Commit]);
    assert_eq!((world.primary.lsn().0, world.standby.lsn().0), (1, 0));
    assert_eq!(world.standby.rows("events").count(), 0);
    world.release_log();
    assert_eq!(world.standby.lsn(), world.primary.lsn());
    world.at_rest();
}

#[test]
fn a_standby_ignores_records_that_it_has_and_records_behind_a_gap() {
    let mut world = World::new();
    let a = world.session();
    let mut records = Vec::new();
    for version in 1..=3 {
        let mut out = Vec::new();
        let statements = vec![begin(), event("s", version), Statement::Commit];
        world.primary.run(world.now_ns, a, 0, statements, &mut out);
        let Some(Output::SendWal(record)) = out.pop() else { panic!("{out:?}") };
        records.push(record);
        let lsn = records[records.len() - 1].lsn;
        let ack = WalAck { timeline: 1, written: lsn, flushed: lsn, applied: lsn };
        world.primary.wal_ack(world.now_ns, ack, &mut Vec::new());
    }
    let mut receive = |number: usize| {
        let mut out = Vec::new();
        world.standby.wal(world.now_ns, records[number].clone(), &mut out);
        match out[..] {
            [] => None,
            [Output::AckWal(ack)] => Some(ack.applied.0),
            _ => panic!("{out:?}"),
        }
    };
    assert_eq!([receive(0), receive(2), receive(0), receive(1)], [Some(1), None, Some(1), Some(2)]);
    assert_eq!(receive(2), Some(3));
    world.at_rest();
}

#[test]
fn committed_transactions_carry_net_changes_in_the_order_of_writing() {
    let mut world = World::with_accounts(2);
    let a = world.session();
    let statements = vec![
        begin(),
        insert(7, 0, 0, OnConflict::Error),
        event("s", 1),
        update(7, 0, 70),
        delete(1),
        insert(8, 0, 0, OnConflict::Error),
        delete(8),
        update(2, 0, 1),
        event("r", 1),
        Statement::Commit,
    ];
    world.ok(a, statements);
    world.ok(a, vec![begin(), get(2), Statement::Commit]);
    assert_eq!(world.committed.len(), 1, "who only reads leaves no trace");
    let committed = &world.committed[0];
    let changes =
        committed.changes.iter().map(|change| (change.table.name, change.kind, change.row.to_vec()));
    let expected = [
        ("accounts", ChangeKind::Insert, account(7, 1, 70)),
        ("events", ChangeKind::Insert, vec!["s".into(), 1.into(), "payload".into()]),
        ("accounts", ChangeKind::Delete, account(1, 0, 100)),
        ("accounts", ChangeKind::Update, account(2, 1, 1)),
        ("events", ChangeKind::Insert, vec!["r".into(), 1.into(), "payload".into()]),
    ];
    assert!(changes.eq(expected));
    assert_eq!(committed.inserted("events").count(), 2);
    world.at_rest();
}

#[test]
fn a_row_deleted_and_inserted_again_is_an_update() {
    let mut world = World::with_accounts(1);
    let a = world.session();
    let answer =
        world.ok(a, vec![begin(), delete(1), insert(1, 5, 5, OnConflict::Error), get(1), Statement::Commit]);
    assert_eq!(answer[3], Reply::Rows(vec![account(1, 5, 5)]));
    assert_eq!(world.committed[0].changes[0].kind, ChangeKind::Update);
    world.at_rest();
}
