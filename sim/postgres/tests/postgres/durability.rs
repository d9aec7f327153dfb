//! What a crash may take: store.md 27, 28, 29, 30, 31, 32, 41.

use host::ports::store::{OnConflict, Statement, StoreError};
use postgres::{Output, Settings, SynchronousCommit};
use proptest::prelude::*;

use crate::harness::*;

fn with_level(synchronous_commit: SynchronousCommit) -> World {
    World::with(Settings { synchronous_commit, ..Settings::default() })
}

fn alone(synchronous_commit: SynchronousCommit) -> World {
    World::with(Settings { synchronous_commit, ..Settings::alone() })
}

fn append(version: i64) -> Vec<Statement> {
    vec![begin(), event("s", version), Statement::Commit]
}

fn restart(world: &mut World) {
    world.primary(|server, _, out| server.crash(out));
    world.primary(|server, now_ns, out| {
        server.start(now_ns);
        server.ready(now_ns, out);
    });
}

fn versions(world: &World) -> Vec<i64> {
    world.primary.rows("events").map(|row| row[1].as_int()).collect()
}

#[test]
fn b27_off_loses_acknowledged_commits_that_the_wal_writer_has_not_flushed() {
    let mut world = alone(SynchronousCommit::Off);
    let a = world.session();
    world.ok(a, append(1));
    world.advance_ms(600);
    world.ok(a, append(2));
    world.ok(a, append(3));
    assert_eq!(world.committed.len(), 3, "acknowledged and visible");
    restart(&mut world);
    assert_eq!(versions(&world), [1]);
    let lost: Vec<u64> = world.lost.iter().map(|lost| lost.transaction).collect();
    let told: Vec<u64> = world.committed.iter().map(|committed| committed.transaction).collect();
    assert_eq!(lost, told[1..]);
    let a = world.session();
    world.ok(a, append(2));
    assert_eq!((versions(&world), world.committed.len()), (vec![1, 2], 4));
    assert!(!told.contains(&world.committed[3].transaction));
}

#[test]
fn b27_off_puts_back_what_lost_commits_had_replaced() {
    let mut world = alone(SynchronousCommit::Off);
    world.primary.seed(&ACCOUNTS, vec![account(1, 0, 100), account(2, 0, 100)]);
    let before = world.primary.digest();
    let a = world.session();
    world.ok(a, vec![begin(), update(1, 0, 1), delete(2), Statement::Commit]);
    world.ok(a, vec![begin(), update(1, 1, 2), insert(2, 7, 7, OnConflict::Error), Statement::Commit]);
    world.ok(a, vec![begin(), insert(3, 0, 0, OnConflict::Error), Statement::Commit]);
    restart(&mut world);
    assert_eq!(world.primary.digest(), before);
    assert_eq!(world.lost.len(), 3);
}

proptest! {
    #[test]
    fn b27_off_loses_a_tail_in_commit_order_of_at_most_three_delays(
        pauses in proptest::collection::vec(0_u64..250, 1..30),
    ) {
        let mut world = alone(SynchronousCommit::Off);
        let a = world.session();
        let mut times = Vec::new();
        for (version, pause) in pauses.iter().enumerate() {
            world.ok(a, append(version as i64 + 1));
            times.push(world.now_ns);
            world.advance_ms(*pause);
        }
        let crashed_ns = world.now_ns;
        restart(&mut world);
        let kept = versions(&world).len();
        prop_assert!(versions(&world).iter().copied().eq(1..=kept as i64), "not torn");
        prop_assert_eq!(world.lost.len(), times.len() - kept);
        prop_assert!(times[kept..].iter().all(|time| crashed_ns - time <= 600_000_000));
    }
}

#[test]
fn b27_on_a_slow_disk_commit_takes_as_long_as_the_flush_and_commits_share_it() {
    let mut world = alone(SynchronousCommit::Local);
    world.primary.set_flush_delay(10_000_000);
    let (a, b, c) = (world.session(), world.session(), world.session());
    let first = world.waits(a, append(1));
    assert_eq!(world.primary.next_deadline(), Some(world.now_ns + 10_000_000));
    world.advance_ms(4);
    let second = world.waits(b, append(2));
    let third = world.waits(c, append(3));
    world.advance_ms(6);
    world.answer(first).expect("flushed");
    assert!(world.is_waiting(second), "written after the flush began");
    world.advance_ms(10);
    world.answer(second).expect("flushed");
    world.answer(third).expect("by the same flush");
    let fourth = world.waits(a, append(4));
    restart(&mut world);
    assert!(world.is_waiting(fourth));
    assert_eq!((versions(&world), world.committed.len(), world.lost.len()), (vec![1, 2, 3], 3, 0));
}

#[test]
fn b28_remote_write_on_and_remote_apply_wait_for_different_things() {
    let expected = [
        (SynchronousCommit::Local, 0),
        (SynchronousCommit::RemoteWrite, 0),
        (SynchronousCommit::On, 5),
        (SynchronousCommit::RemoteApply, 25),
    ];
    for (level, after_ms) in expected {
        let mut world = with_level(level);
        world.standby.set_flush_delay(5_000_000);
        world.standby.set_replay_delay(world.now_ns, 20_000_000, &mut Vec::new());
        let a = world.session();
        let commit = world.start(a, append(1));
        let mut waited_ms = 0;
        while world.is_waiting(commit) {
            world.advance_ms(1);
            waited_ms += 1;
        }
        assert_eq!(waited_ms, after_ms, "{level:?}");
        world.advance_ms(30);
        world.at_rest();
    }
}

#[test]
fn b28_remote_write_loses_what_the_standby_had_only_written_when_both_die() {
    let mut world = with_level(SynchronousCommit::RemoteWrite);
    world.standby.set_flush_delay(5_000_000);
    let a = world.session();
    world.ok(a, append(1));
    world.standby.crash(&mut Vec::new());
    world.standby.start(world.now_ns);
    world.standby.ready(world.now_ns, &mut Vec::new());
    world.fail_over();
    assert!(versions(&world).is_empty());
    world.rewind_standby();
    assert_eq!(world.lost.len(), 1);
}

#[test]
fn b29_cancelling_the_wait_leaves_the_commit_in_place_locally() {
    let mut world = World::new();
    let (a, b) = (world.session(), world.session());
    world.hold_log = true;
    let first = world.waits(a, append(1));
    let second = world.waits(b, append(2));
    world.primary(|server, now_ns, out| server.cancel(now_ns, b, out));
    world.answer(second).expect("PostgreSQL only warns");
    assert_eq!(versions(&world), [2], "visible here");
    assert!(world.committed.is_empty(), "and told of when the standby has it");
    world.primary(|server, now_ns, out| server.terminate(now_ns, a, out));
    assert!(world.is_waiting(first));
    assert_eq!((versions(&world), world.closed.clone()), (vec![1, 2], vec![(a, "57P01")]));
    world.release_log();
    let order: Vec<u64> = world.committed.iter().map(|committed| committed.lsn.0).collect();
    assert_eq!(order, [1, 2]);
    world.at_rest();
}

#[test]
fn b29_a_standby_that_leaves_releases_the_commits_that_wait_for_it() {
    let mut world = World::new();
    let (a, b) = (world.session(), world.session());
    world.hold_log = true;
    let waiting = world.waits(a, append(1));
    world.primary.standby_disconnected(world.now_ns);
    world.primary(|server, now_ns, out| server.set_synchronous_standby(now_ns, false, out));
    world.answer(waiting).expect("nobody is waited for");
    world.ok(b, append(2));
    world.primary(|server, now_ns, out| server.set_synchronous_standby(now_ns, true, out));
    let waiting = world.waits(b, append(3));
    world.hold_log = false;
    world.reconnect_standby();
    world.answer(waiting).expect("the standby has it");
    world.at_rest();
}

#[test]
fn b29_commits_that_a_restart_found_are_told_of_when_the_standby_leaves() {
    let mut world = World::new();
    let a = world.session();
    world.hold_log = true;
    world.waits(a, append(1));
    restart(&mut world);
    assert_eq!((versions(&world).len(), world.committed.len()), (1, 0));
    restart(&mut world);
    assert_eq!((versions(&world).len(), world.committed.len()), (1, 0));
    world.primary(|server, now_ns, out| server.set_synchronous_standby(now_ns, false, out));
    assert_eq!(world.committed.len(), 1);
}

#[test]
fn b30_recovery_takes_longer_the_more_was_written_since_the_checkpoint() {
    let mut world = World::with(Settings { checkpoint_timeout_ms: 60_000, ..Settings::alone() });
    let recovery_ns = |world: &mut World| {
        world.primary(|server, _, out| server.crash(out));
        let mut taken = 0;
        world.primary(|server, now_ns, _| taken = server.start(now_ns));
        let refused = world.primary.connect(world.now_ns, 1_000).expect_err("starting");
        assert!(matches!(refused, StoreError::Database { sqlstate: "57P03", .. }));
        assert_eq!(world.primary.next_deadline(), Some(world.now_ns + taken));
        world.advance_ms(taken / 1_000_000 + 1);
        taken
    };
    let idle = recovery_ns(&mut world);
    let a = world.session();
    (1..=100).for_each(|version| drop(world.ok(a, append(version))));
    let busy = recovery_ns(&mut world);
    assert!(busy > idle);
    let a = world.session();
    (101..=200).for_each(|version| drop(world.ok(a, append(version))));
    world.advance_ms(60_000);
    world.ok(a, append(201));
    let after_checkpoint = recovery_ns(&mut world);
    assert!(idle < after_checkpoint && after_checkpoint < busy);
    assert_eq!(versions(&world).len(), 201);
}

#[test]
fn b31_a_failed_fsync_is_a_panic_and_a_restart() {
    let mut world = alone(SynchronousCommit::Local);
    let (a, b) = (world.session(), world.session());
    world.ok(a, append(1));
    world.ok(b, vec![begin(), event("r", 1)]);
    world.primary.fail_fsync();
    let lost = world.waits(a, append(2));
    assert!(world.is_waiting(lost), "the outcome is unknown");
    assert_eq!(world.closed, [(a, "57P02"), (b, "57P02")]);
    let recovery_ns = world.recovery_ns.expect("it recovers by itself");
    let refused = world.primary.connect(world.now_ns, 10).expect_err("recovering");
    assert!(matches!(refused, StoreError::Database { sqlstate: "57P03", .. }));
    world.advance_ms(recovery_ns / 1_000_000 + 1);
    assert_eq!(versions(&world), [1]);
    let a = world.session();
    world.ok(a, append(2));
    assert!(world.primary.is_quiet() && world.lost.is_empty());
}

#[test]
fn b31_with_off_the_wal_writer_panics_and_acknowledged_commits_are_lost() {
    let mut world = alone(SynchronousCommit::Off);
    let a = world.session();
    world.ok(a, append(1));
    world.primary.fail_fsync();
    world.advance_ms(600);
    assert!(world.recovery_ns.is_some());
    assert_eq!((world.lost.len(), versions(&world).len()), (1, 0));
}

#[test]
fn b32_a_full_disk_refuses_new_versions_of_rows_and_serves_reads() {
    let mut world = World::with_accounts(2);
    let a = world.session();
    world.ok(a, vec![begin(), update(1, 0, 1)]);
    world.primary.set_disk_full(true);
    world.ok(a, vec![get(1), for_update(2), delete(2), Statement::Commit]);
    for statement in
        [update(1, 1, 2), insert(3, 0, 0, OnConflict::DoNothing), insert(1, 0, 0, OnConflict::Update)]
    {
        world.err(a, vec![begin(), statement], "53100");
        world.err(a, vec![get(1)], "25P02");
        world.ok(a, vec![Statement::Rollback, begin(), get(1), Statement::Commit]);
    }
    world.primary.set_disk_full(false);
    world.ok(a, vec![begin(), update(1, 1, 2), Statement::Commit]);
    world.at_rest();
}

#[test]
fn b41_administrator_shutdown_ends_sessions_and_keeps_what_was_committed() {
    let mut world = alone(SynchronousCommit::Off);
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(a, append(1));
    world.ok(b, vec![begin(), event("r", 1)]);
    let waiting = world.waits(c, vec![begin(), event("r", 1)]);
    world.primary(|server, now_ns, out| server.shutdown(now_ns, out));
    assert_eq!(world.closed, [(c, "57P01"), (a, "57P01"), (b, "57P01")]);
    assert_eq!(world.sqlstate(waiting), "57P01");
    assert_eq!(world.primary.connect(world.now_ns, 9), Err(StoreError::Refused));
    world.primary(|server, now_ns, out| {
        server.start(now_ns);
        server.ready(now_ns, out);
    });
    assert_eq!((world.primary.rows("events").count(), world.lost.len()), (1, 0));
}

#[test]
fn b41_the_crash_of_a_backend_ends_all_sessions() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), update(1, 0, 1)]);
    let waiting = world.waits(b, vec![begin(), for_update(1)]);
    let mut crashed = Vec::new();
    world.primary.crash_backend(world.now_ns, &mut crashed);
    assert!(matches!(
        crashed[..],
        [
            Output::Closed { sqlstate: "57P02", .. },
            Output::Closed { sqlstate: "57P02", .. },
            Output::Crashed { .. }
        ]
    ));
    assert!(world.is_waiting(waiting));
    world.advance_ms(10_000);
    world.reconnect_standby();
    let a = world.session();
    assert_eq!(rows(&world.ok(a, vec![begin(), for_update(1), Statement::Commit])[1]), [account(1, 0, 100)]);
    world.at_rest();
}
