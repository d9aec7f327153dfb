//! Snapshots on a standby, and the log that they stand in the way of: store.md 36, 37, 38.

use host::ports::store::{Isolation, OnConflict, Statement, StoreError};
use postgres::{Output, Settings};

use crate::harness::*;

fn ask(world: &mut World, conn: u64, statements: Vec<Statement>) -> Answer {
    let mut out = Vec::new();
    world.standby.run(world.now_ns, conn, 0, statements, &mut out);
    match out.pop() {
        Some(Output::Reply { result, .. }) => result,
        other => panic!("{other:?}"),
    }
}

fn with_reader() -> World {
    let mut world = World::with(Settings { max_standby_streaming_delay_ms: 5_000, ..Settings::default() });
    for server in [&mut world.primary, &mut world.standby] {
        server.seed(&ACCOUNTS, vec![account(1, 0, 100)]);
    }
    world.standby.connect(world.now_ns, 70).expect("a connection");
    let first = ask(&mut world, 70, vec![begin_at(Isolation::RepeatableRead), get(1)]);
    assert_eq!(rows(&first.expect("a read")[1]), [account(1, 0, 100)]);
    world
}

fn vacuum(world: &mut World) {
    world.primary(|server, now_ns, out| server.vacuum(now_ns, out));
}

#[test]
fn b37_reads_through_two_standbys_can_go_back_in_time_and_a_snapshot_there_stays() {
    let mut world = with_reader();
    let a = world.session();
    world.ok(a, vec![begin(), update(1, 0, 1), Statement::Commit]);
    assert_eq!(rows(&ask(&mut world, 70, vec![get(1)]).expect("a read")[0]), [account(1, 0, 100)]);
    world.standby.connect(world.now_ns, 71).expect("a connection");
    let now = ask(&mut world, 71, vec![begin(), get(1), Statement::Commit]);
    assert_eq!(rows(&now.expect("a read")[1]), [account(1, 1, 1)]);
}

#[test]
fn b38_a_snapshot_holds_up_replay_until_the_delay_is_over_and_then_ends_with_40001() {
    let mut world = with_reader();
    let a = world.session();
    world.ok(a, vec![begin(), update(1, 0, 1), Statement::Commit]);
    vacuum(&mut world);
    world.ok(a, vec![begin(), update(1, 1, 2), Statement::Commit]);
    assert_eq!((world.standby.lsn().0, world.standby.replay_lsn().0), (3, 1));
    world.advance_ms(4_999);
    assert!(world.closed.is_empty());
    ask(&mut world, 70, vec![get(1)]).expect("a read");
    world.advance_ms(1);
    assert_eq!(world.closed, [(70, "40001")]);
    assert_eq!(ask(&mut world, 70, vec![get(1)]), Err(StoreError::Lost));
    world.at_rest();
    assert_eq!(world.standby.replay_lsn().0, 3);
}

#[test]
fn b38_replay_goes_on_when_the_snapshot_ends_in_time() {
    let mut world = with_reader();
    let a = world.session();
    world.ok(a, vec![begin(), update(1, 0, 1), Statement::Commit]);
    vacuum(&mut world);
    ask(&mut world, 70, vec![Statement::Commit]).expect("in time");
    assert!(world.standby.next_deadline().is_some_and(|due| due <= world.now_ns));
    world.advance_ms(0);
    assert_eq!(world.standby.replay_lsn().0, 2);
    ask(&mut world, 70, vec![begin_at(Isolation::RepeatableRead), get(1)]).expect("after the removal");
    vacuum(&mut world);
    assert_eq!(world.primary.lsn().0, 2, "nothing more to remove");
    world.ok(a, vec![begin(), insert(9, 0, 0, OnConflict::Error), Statement::Commit]);
    vacuum(&mut world);
    assert_eq!(world.primary.lsn().0, 3, "an insert leaves nothing to remove");
    assert!(world.closed.is_empty());
}

#[test]
fn b38_a_snapshot_on_the_primary_keeps_versions_on_both() {
    let mut world = with_reader();
    let (old, a) = (world.session(), world.session());
    world.ok(old, vec![begin_at(Isolation::RepeatableRead), get(1)]);
    world.ok(a, vec![begin(), update(1, 0, 1), Statement::Commit]);
    vacuum(&mut world);
    assert_eq!(world.primary.lsn().0, 1, "the version is still seen");
    world.ok(old, vec![Statement::Commit]);
    vacuum(&mut world);
    assert_eq!(world.primary.lsn().0, 2);
}

#[test]
fn b36_a_standby_refuses_serializable() {
    let mut world = with_reader();
    world.standby.connect(world.now_ns, 71).expect("a connection");
    let refused = ask(&mut world, 71, vec![begin_at(Isolation::Serializable)]).expect_err("refused");
    assert!(matches!(refused, StoreError::Database { sqlstate: "0A000", .. }));
    ask(&mut world, 71, vec![begin(), get(1), Statement::Commit]).expect("no transaction was left open");
}
