//! Promotion, rewind, lag: store.md 28, 33, 34, 37.

use host::ports::store::{Isolation, Statement, StoreError};
use postgres::{Output, Server, ServerRole, Settings, SynchronousCommit};

use crate::harness::*;

fn append(version: i64) -> Vec<Statement> {
    vec![begin(), event("s", version), Statement::Commit]
}

fn local() -> World {
    World::with(Settings { synchronous_commit: SynchronousCommit::Local, ..Settings::default() })
}

fn versions(server: &Server) -> Vec<i64> {
    server.rows("events").map(|row| row[1].as_int()).collect()
}

fn ask(server: &mut Server, now_ns: u64, conn: u64, statements: Vec<Statement>) -> Answer {
    let mut out = Vec::new();
    server.run(now_ns, conn, 0, statements, &mut out);
    let answer = out.into_iter().find_map(|output| match output {
        Output::Reply { result, .. } => Some(result),
        _ => None,
    });
    answer.expect("answered at once")
}

#[test]
fn b33_a_promoted_standby_has_a_new_timeline_and_its_sessions_may_write() {
    let mut world = World::with_accounts(1);
    let a = world.session();
    world.ok(a, append(1));
    let now_ns = world.now_ns;
    world.standby.connect(now_ns, 50).expect("a connection");
    ask(&mut world.standby, now_ns, 50, vec![begin(), get(1)]).expect("a read");
    assert_eq!((world.standby.timeline(), world.standby.is_in_recovery()), (1, true));
    assert_eq!(world.fail_over(), 2);
    assert_eq!((world.primary.timeline(), world.primary.is_in_recovery()), (2, false));
    assert_eq!(world.primary.role(), ServerRole::Primary);
    world.err(50, vec![update(1, 0, 1)], "25006");
    world.ok(50, vec![Statement::Rollback, begin(), update(1, 0, 1), Statement::Commit]);
    let [first, second] = &world.committed[..] else { panic!("{:?}", world.committed) };
    assert_eq!((first.timeline, second.timeline, second.lsn.0), (1, 2, 2));
    assert!(second.transaction > 1 << 40);
    world.rewind_standby();
    world.at_rest();
    assert!(world.lost.is_empty());
}

#[test]
fn b33_a_promoted_standby_waits_for_one_when_it_is_told_to() {
    let mut world = World::new();
    world.fail_over();
    let a = world.session();
    world.ok(a, append(1));
    world.primary(|server, now_ns, out| server.set_synchronous_standby(now_ns, true, out));
    let waiting = world.waits(a, append(2));
    world.rewind_standby();
    world.answer(waiting).expect("the standby has it");
    world.at_rest();
}

#[test]
fn b33_the_old_primary_goes_on_and_b34_its_extra_commits_are_discarded() {
    let mut world = local();
    let a = world.session();
    world.ok(a, append(1));
    world.hold_log = true;
    let mut timeline = 0;
    let mut told_by_standby = Vec::new();
    timeline += world.standby.promote(world.now_ns, &mut told_by_standby);
    assert_eq!(timeline, 2);
    world.ok(a, append(2));
    world.ok(a, append(3));
    assert_eq!(world.committed.len(), 3, "nobody has fenced it");
    let doomed: Vec<u64> =
        world.primary.lost_to(&world.standby).iter().map(|lost| lost.transaction).collect();
    let extra: Vec<u64> = world.committed[1..].iter().map(|committed| committed.transaction).collect();
    assert_eq!(doomed, extra, "they are lost before it is rewound");
    assert!(world.standby.has(&world.committed[0]) && !world.standby.has(&world.committed[1]));
    world.release_log();
    assert_eq!(versions(&world.standby), [1], "a primary receives no log");

    let now_ns = world.now_ns;
    world.standby.connect(now_ns, 60).expect("a connection");
    ask(&mut world.standby, now_ns, 60, append(2)).expect("committed");
    world.primary(|server, _, out| server.crash(out));
    let mut out = Vec::new();
    world.primary.rewind_to(&world.standby, &mut out);
    let lost: Vec<(u32, u64)> = out
        .iter()
        .map(|output| match output {
            Output::CommitLost(lost) => (lost.timeline, lost.lsn.0),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lost, [(1, 2), (1, 3)]);
    assert_eq!(versions(&world.primary), [1, 2]);
    assert!(world.primary.is_in_recovery());
    out.clear();
    world.primary.rewind_to(&world.standby, &mut out);
    assert!(out.is_empty(), "each is lost once");
}

#[test]
fn b34_commits_that_nobody_was_told_of_are_dropped_silently() {
    let mut world = World::new();
    let a = world.session();
    world.hold_log = true;
    let waiting = world.waits(a, append(1));
    world.primary(|server, _, out| server.crash(out));
    world.primary(|server, now_ns, out| {
        server.start(now_ns);
        server.ready(now_ns, out);
    });
    assert_eq!(versions(&world.primary), [1], "visible on the old primary");
    world.fail_over();
    world.rewind_standby();
    assert!(world.is_waiting(waiting));
    assert_eq!((world.committed.len(), world.lost.len()), (0, 0));
    world.hold_log = false;
    world.at_rest();
}

#[test]
fn b34_a_server_with_records_of_its_own_is_refused_until_it_is_rewound() {
    let mut world = local();
    let a = world.session();
    world.hold_log = true;
    world.ok(a, append(1));
    world.fail_over();
    let a = world.session();
    world.ok(a, append(1));
    let status = world.standby.wal_status();
    let refused = world.primary.standby_connected(world.now_ns, status, &mut Vec::new());
    assert!(matches!(refused, Err(StoreError::Database { sqlstate: "58P01", .. })), "{refused:?}");
    world.hold_log = false;
    world.rewind_standby();
    world.at_rest();
}

#[test]
fn b28_a_failover_tells_of_commits_that_only_the_standby_could_acknowledge() {
    let mut world = World::new();
    let a = world.session();
    let mut out = Vec::new();
    world.primary.run(world.now_ns, a, 1, append(1), &mut out);
    let Some(Output::SendWal(record)) = out.pop() else { panic!("{out:?}") };
    world.standby.wal(world.now_ns, record, &mut Vec::new());
    assert!(world.committed.is_empty(), "the acknowledgement is lost");
    world.fail_over();
    assert_eq!((world.committed.len(), world.committed[0].timeline), (1, 1));
    world.rewind_standby();
    world.at_rest();
}

#[test]
fn b28_failing_over_twice_tells_of_each_commit_once() {
    let mut world = World::new();
    for version in 1..=3 {
        let a = world.session();
        world.ok(a, append(version));
        world.fail_over();
        world.primary(|server, now_ns, out| server.set_synchronous_standby(now_ns, true, out));
        world.rewind_standby();
    }
    let ids: std::collections::BTreeSet<u64> =
        world.committed.iter().map(|committed| committed.transaction).collect();
    assert_eq!((world.committed.len(), ids.len(), world.primary.timeline()), (3, 3, 4));
    assert!(world.lost.is_empty());
    world.at_rest();
}

#[test]
fn b28_a_rewound_standby_tells_of_what_its_source_had_not_told() {
    let mut world = World::new();
    world.fail_over();
    let a = world.session();
    world.primary(|server, now_ns, out| server.set_synchronous_standby(now_ns, true, out));
    world.waits(a, append(1));
    let mut out = Vec::new();
    world.standby.rewind_to(&world.primary, &mut out);
    world.standby.start(world.now_ns);
    world.standby.ready(world.now_ns, &mut out);
    assert!(out.is_empty() && world.committed.is_empty());
    world.fail_over();
    assert_eq!((world.committed.len(), versions(&world.primary)), (1, vec![1]));
}

#[test]
fn b34_a_rewind_does_not_copy_what_its_source_has_only_in_memory() {
    let off = Settings { synchronous_commit: SynchronousCommit::Off, ..Settings::default() };
    let mut world = World::with(off);
    let a = world.session();
    world.ok(a, append(1));
    world.standby.crash(&mut Vec::new());
    world.standby.rewind_to(&world.primary, &mut Vec::new());
    assert_eq!(world.standby.rows("events").count(), 0);
    world.standby.start(world.now_ns);
    world.standby.ready(world.now_ns, &mut Vec::new());
    world.reconnect_standby();
    world.advance_ms(600);
    world.at_rest();
}

#[test]
fn b37_a_standby_lags_as_long_as_it_is_told_to_and_a_promotion_does_not_wait() {
    let mut world = World::new();
    let a = world.session();
    let mut out = Vec::new();
    world.standby.set_replay_delay(world.now_ns, 3_000_000_000, &mut out);
    world.ok(a, append(1));
    world.advance_ms(2_000);
    world.ok(a, append(2));
    assert_eq!((world.standby.lsn().0, world.standby.replay_lsn().0), (2, 0));
    assert_eq!(world.standby.next_deadline(), Some(world.now_ns + 1_000_000_000));
    world.advance_ms(1_000);
    assert_eq!(versions(&world.standby), [1]);
    let mut out = Vec::new();
    world.standby.set_replay_delay(world.now_ns, 0, &mut out);
    assert!(matches!(out[..], [Output::AckWal(_)]));
    world.deliver(out);
    world.at_rest();
    world.standby.set_replay_delay(world.now_ns, 3_000_000_000, &mut Vec::new());
    world.ok(a, append(3));
    world.fail_over();
    assert_eq!(versions(&world.primary), [1, 2, 3]);
}

#[test]
fn b34_a_standby_that_is_too_far_behind_is_refused_until_it_is_made_anew() {
    let settings = Settings { max_slot_wal_keep_size: Some(2), ..Settings::default() };
    let mut world = World::with(Settings { synchronous_commit: SynchronousCommit::Local, ..settings });
    let a = world.session();
    world.hold_log = true;
    (1..=3).for_each(|version| drop(world.ok(a, append(version))));
    world.primary.standby_disconnected(world.now_ns);
    world.standby.crash(&mut Vec::new());
    let status = world.standby.wal_status();
    let refused = world.primary.standby_connected(world.now_ns, status, &mut Vec::new());
    assert!(matches!(refused, Err(StoreError::Database { sqlstate: "58P01", .. })), "{refused:?}");
    world.hold_log = false;
    world.rewind_standby();
    world.at_rest();
}

#[test]
fn b34_commits_that_were_not_even_kept_for_the_standby_are_reported_too() {
    let settings = Settings { max_slot_wal_keep_size: Some(2), ..Settings::default() };
    let mut world = World::with(Settings { synchronous_commit: SynchronousCommit::Local, ..settings });
    let a = world.session();
    world.ok(a, append(1));
    world.hold_log = true;
    (2..=5).for_each(|version| drop(world.ok(a, append(version))));
    world.fail_over();
    world.rewind_standby();
    assert_eq!(world.lost.iter().map(|lost| lost.lsn.0).collect::<Vec<_>>(), [2, 3, 4, 5]);
}

#[test]
fn b34_a_rewound_server_shows_snapshots_as_they_were() {
    let mut world = local();
    for server in [&mut world.primary, &mut world.standby] {
        server.seed(&ACCOUNTS, vec![account(1, 0, 100)]);
    }
    let a = world.session();
    world.hold_log = true;
    (1..=9).for_each(|version| drop(world.ok(a, append(version))));
    world.fail_over();
    world.hold_log = false;
    world.rewind_standby();
    let now_ns = world.now_ns;
    world.standby.connect(now_ns, 80).expect("a connection");
    let repeatable = begin_at(Isolation::RepeatableRead);
    ask(&mut world.standby, now_ns, 80, vec![repeatable, get(1)]).expect("a read");
    let a = world.session();
    world.ok(a, vec![begin(), update(1, 0, 1), Statement::Commit]);
    let again = ask(&mut world.standby, now_ns, 80, vec![get(1), Statement::Commit]).expect("a read");
    assert_eq!(rows(&again[0]), [account(1, 0, 100)]);
    world.at_rest();
}
