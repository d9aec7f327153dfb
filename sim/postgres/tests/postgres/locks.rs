//! Row locks and what waiting for them can end in: store.md 21, 22, 23.

use host::ports::store::LockMode::{Share, Update};
use host::ports::store::LockWait::{NoWait, SkipLocked, Wait};
use host::ports::store::{OnConflict, Reply, Statement};
use postgres::Settings;

use crate::harness::*;

#[test]
fn b21_shares_go_together_and_an_update_waits_for_all_of_them() {
    let mut world = World::with_accounts(1);
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(a, vec![begin(), for_share(1)]);
    world.ok(b, vec![begin(), for_share(1)]);
    let update = world.waits(c, vec![begin(), for_update(1), Statement::Commit]);
    world.ok(a, vec![Statement::Commit]);
    assert!(world.is_waiting(update));
    world.ok(b, vec![Statement::Commit]);
    assert_eq!(rows(&world.answer(update).expect("locked")[1]), [account(1, 0, 100)]);
    world.at_rest();
}

#[test]
fn b21_locks_queue_in_order_behind_an_exclusive_one() {
    let mut world = World::with_accounts(1);
    let sessions: Vec<u64> = (0..5).map(|_| world.session()).collect();
    world.ok(sessions[0], vec![begin(), for_update(1)]);
    let update = world.waits(sessions[1], vec![begin(), for_update(1)]);
    let share = world.waits(sessions[2], vec![begin(), for_share(1)]);
    let second = world.waits(sessions[3], vec![begin(), for_share(1)]);
    let last = world.waits(sessions[4], vec![begin(), for_update(1)]);
    world.ok(sessions[0], vec![Statement::Commit]);
    world.answer(update).expect("first in the queue");
    assert!(world.is_waiting(share) && world.is_waiting(second));
    world.ok(sessions[1], vec![Statement::Rollback]);
    world.answer(share).expect("both shares together");
    world.answer(second).expect("both shares together");
    world.ok(sessions[2], vec![Statement::Commit]);
    assert!(world.is_waiting(last));
    world.disconnect(sessions[3]);
    world.answer(last).expect("a session that ends frees its locks");
    world.ok(sessions[4], vec![Statement::Commit]);
    world.at_rest();
}

#[test]
fn b21_a_lock_gives_the_latest_committed_version() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), update(1, 0, 1)]);
    let locking = world.waits(b, vec![begin(), for_update(1), Statement::Commit]);
    assert_eq!(world.ok(a, vec![get(1), Statement::Commit])[0], Reply::Rows(vec![account(1, 1, 1)]));
    assert_eq!(rows(&world.answer(locking).expect("locked")[1]), [account(1, 1, 1)]);
    world.at_rest();
}

#[test]
fn b21_the_only_sharer_gets_more_at_once_even_past_a_queue() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), for_share(1)]);
    let waiting = world.waits(b, vec![begin(), for_update(1), Statement::Commit]);
    world.ok(a, vec![for_update(1), update(1, 0, 1), for_share(1), Statement::Commit]);
    assert_eq!(rows(&world.answer(waiting).expect("locked")[1]), [account(1, 1, 1)]);
    world.at_rest();
}

#[test]
fn b21_a_sharer_who_wants_more_waits_for_the_other_sharers_only() {
    let mut world = World::with_accounts(1);
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(a, vec![begin(), for_share(1)]);
    world.ok(b, vec![begin(), for_share(1)]);
    let behind = world.waits(c, vec![begin(), for_update(1), Statement::Commit]);
    let stronger = world.waits(a, vec![update(1, 0, 1)]);
    world.ok(b, vec![Statement::Commit]);
    assert_eq!(world.answer(stronger).expect("no deadlock with c")[0], Reply::Changed(1));
    assert!(world.is_waiting(behind));
    world.ok(a, vec![Statement::Commit]);
    assert_eq!(rows(&world.answer(behind).expect("locked")[1]), [account(1, 1, 1)]);
    world.at_rest();
}

#[test]
fn b21_nowait_refuses_and_skip_locked_skips() {
    let mut world = World::with_accounts(3);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), for_update(2)]);
    let skipped = world.ok(b, vec![begin(), lock(&[3, 2, 1], Share, SkipLocked)]);
    assert_eq!(rows(&skipped[1]), [account(3, 0, 100), account(1, 0, 100)]);
    world.err(b, vec![lock(&[1, 2], Update, NoWait)], "55P03");
    world.ok(b, vec![Statement::Rollback]);
    world.ok(a, vec![Statement::Commit]);
    world.at_rest();
}

#[test]
fn b21_a_lock_of_a_missing_row_gives_no_row_and_waits_for_nobody() {
    let mut world = World::with_accounts(2);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), insert(9, 0, 9, OnConflict::Error)]);
    let reply = world.ok(b, vec![begin(), lock(&[8, 9, 1], Update, Wait)]);
    assert_eq!(rows(&reply[1]), [account(1, 0, 100)], "9 is not visible yet");
    world.ok(a, vec![Statement::Commit]);
    world.ok(b, vec![Statement::Commit]);
    world.at_rest();
}

#[test]
fn b21_several_keys_are_locked_in_the_order_given_from_one_snapshot() {
    let mut world = World::with_accounts(3);
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(a, vec![begin(), for_update(2)]);
    let all = world.waits(b, vec![begin(), lock(&[3, 2, 1, 9], Update, Wait), Statement::Commit]);
    world.err(c, vec![begin(), lock(&[3], Update, NoWait)], "55P03");
    world.ok(c, vec![Statement::Rollback, begin(), lock(&[1], Update, NoWait), Statement::Rollback]);
    world.ok(c, vec![begin(), insert(9, 0, 9, OnConflict::Error), Statement::Commit]);
    world.ok(a, vec![delete(2), Statement::Commit]);
    let answer = world.answer(all).expect("locked");
    assert_eq!(rows(&answer[1]), [account(3, 0, 100), account(1, 0, 100)], "2 is gone, 9 came too late");
    world.at_rest();
}

#[test]
fn b21_waiters_for_a_deleted_row_leave_no_lock_behind() {
    let mut world = World::with_accounts(1);
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(a, vec![begin(), delete(1)]);
    let share = world.waits(b, vec![begin(), for_share(1)]);
    let change = world.waits(c, vec![begin(), update(1, 0, 5)]);
    world.ok(a, vec![Statement::Commit]);
    assert_eq!(rows(&world.answer(share).expect("no row")[1]).len(), 0);
    assert_eq!(world.answer(change).expect("no row")[1], Reply::Changed(0));
    world.ok(a, vec![begin(), insert(1, 0, 1, OnConflict::Error), Statement::Commit]);
    world.ok(b, vec![Statement::Commit]);
    world.ok(c, vec![Statement::Commit]);
    world.at_rest();
}

#[test]
fn b22_a_deadlock_is_found_after_a_second_by_one_who_waits_in_it() {
    let mut world = World::with_accounts(3);
    let (a, b, c) = (world.session(), world.session(), world.session());
    for (conn, id) in [(a, 1), (b, 2), (c, 3)] {
        world.ok(conn, vec![begin(), for_update(id)]);
    }
    let first = world.waits(a, vec![for_update(2), Statement::Commit]);
    world.advance_ms(600);
    let second = world.waits(b, vec![for_update(3), Statement::Commit]);
    world.advance_ms(600);
    assert!(world.is_waiting(first), "it looked at its second, and there was no cycle yet");
    let third = world.waits(c, vec![for_update(1), Statement::Commit]);
    assert_eq!(world.primary.next_deadline(), Some(world.now_ns + 400_000_000));
    world.advance_ms(399);
    assert!(world.is_waiting(second));
    world.advance_ms(1);
    assert_eq!(world.sqlstate(second), "40P01");
    world.answer(first).expect("the victim's locks are free");
    world.answer(third).expect("and so on");
    world.ok(b, vec![Statement::Rollback]);
    assert_eq!(world.primary.next_deadline(), None);
    world.at_rest();
}

#[test]
fn b22_two_sharers_who_both_want_more_are_a_deadlock() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), for_share(1)]);
    world.ok(b, vec![begin(), for_share(1)]);
    let first = world.waits(a, vec![update(1, 0, 1), Statement::Commit]);
    let second = world.waits(b, vec![update(1, 0, 2), Statement::Commit]);
    world.advance_ms(1_000);
    assert_eq!(world.sqlstate(first), "40P01");
    assert_eq!(world.answer(second).expect("alone now")[0], Reply::Changed(1));
    world.ok(a, vec![Statement::Rollback]);
    world.at_rest();
}

#[test]
fn b22_inserts_of_the_same_keys_crosswise_are_a_deadlock() {
    let mut world = World::new();
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), event("s", 1)]);
    world.ok(b, vec![begin(), event("t", 1)]);
    let first = world.waits(a, vec![event("t", 1), Statement::Commit]);
    let second = world.waits(b, vec![event("s", 1), Statement::Commit]);
    world.advance_ms(1_000);
    assert_eq!(world.sqlstate(first), "40P01");
    world.answer(second).expect("the victim's insert never was");
    world.ok(a, vec![Statement::Rollback]);
    world.at_rest();
}

#[test]
fn b23_lock_timeout_ends_the_statement() {
    let settings = Settings { lock_timeout_ms: 300, ..Settings::default() };
    let mut world = World::with(settings);
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(a, vec![begin(), event("s", 1), event("t", 1), Statement::Commit, begin()]);
    let key = |stream: &str| vec![vec![stream.into(), 1.into()]];
    let lock = |stream| Statement::Lock { table: &EVENTS, keys: key(stream), mode: Update, wait: Wait };
    let share = |stream| Statement::Lock { table: &EVENTS, keys: key(stream), mode: Share, wait: Wait };
    world.ok(a, vec![share("s")]);
    let late = world.waits(b, vec![begin(), lock("s")]);
    world.ok(c, vec![begin(), share("s"), Statement::Commit]);
    world.advance_ms(300);
    assert_eq!(world.sqlstate(late), "55P03");
    world.ok(a, vec![Statement::Commit]);
    world.ok(b, vec![Statement::Rollback]);
    world.at_rest();
}

#[test]
fn b23_who_gave_up_waiting_is_not_woken_by_what_it_waited_for() {
    let mut world = World::with(Settings { lock_timeout_ms: 300, ..Settings::default() });
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(a, vec![begin(), event("s", 1)]);
    world.ok(c, vec![begin(), event("t", 1)]);
    let late = world.waits(b, vec![begin(), event("s", 1)]);
    world.advance_ms(300);
    assert_eq!(world.sqlstate(late), "55P03");
    let other = world.waits(b, vec![Statement::Rollback, begin(), event("t", 1), Statement::Commit]);
    world.ok(a, vec![Statement::Commit]);
    assert!(world.is_waiting(other), "c has not decided yet");
    world.ok(c, vec![Statement::Rollback]);
    world.answer(other).expect("inserted");
    world.at_rest();
}

#[test]
fn b23_idle_in_transaction_session_timeout_closes_the_session() {
    let settings = Settings { idle_in_transaction_session_timeout_ms: 5_000, ..Settings::default() };
    let mut world = World::with(settings);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), event("s", 1)]);
    let waiting = world.waits(b, vec![begin(), event("s", 1), Statement::Commit]);
    world.advance_ms(4_000);
    world.ok(a, vec![event("s", 2)]);
    world.advance_ms(4_999);
    assert!(world.closed.is_empty(), "it did something meanwhile");
    world.advance_ms(1);
    assert_eq!(world.closed, [(a, "25P03")]);
    world.answer(waiting).expect("its insert rolled back");
    assert_eq!(world.primary.next_deadline(), None, "a session without transaction may rest");
    world.at_rest();
}

#[test]
fn b23_statement_timeout_counts_from_the_beginning_of_the_statement() {
    let settings = Settings { statement_timeout_ms: 500, lock_timeout_ms: 400, ..Settings::default() };
    let mut world = World::with(settings);
    let rows: Vec<_> = (1..=2).map(|id| account(id, 0, 100)).collect();
    for server in [&mut world.primary, &mut world.standby] {
        server.seed(&ACCOUNTS, rows.clone());
    }
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(a, vec![begin(), for_update(1)]);
    world.ok(b, vec![begin(), for_update(2)]);
    let waiting = world.waits(c, vec![begin(), lock(&[1, 2], Update, Wait)]);
    world.advance_ms(300);
    world.ok(a, vec![Statement::Rollback]);
    world.advance_ms(199);
    assert!(world.is_waiting(waiting), "the second lock has its own lock_timeout");
    world.advance_ms(1);
    assert_eq!(world.sqlstate(waiting), "57014");
    world.err(c, vec![get(1)], "25P02");
    world.ok(c, vec![Statement::Rollback]);
    let waiting = world.waits(c, vec![begin(), for_update(2)]);
    world.advance_ms(500);
    assert_eq!(world.sqlstate(waiting), "55P03", "lock_timeout was first");
    world.ok(c, vec![Statement::Rollback]);
    world.ok(b, vec![Statement::Rollback]);
    world.at_rest();
}

#[test]
fn b23_statement_timeout_does_not_end_the_wait_for_the_standby() {
    let mut world = World::with(Settings { statement_timeout_ms: 500, ..Settings::default() });
    let a = world.session();
    world.hold_log = true;
    let commit = world.waits(a, vec![begin(), event("s", 1), Statement::Commit]);
    world.advance_ms(10_000);
    assert!(world.is_waiting(commit));
    world.release_log();
    world.answer(commit).expect("committed");
    world.at_rest();
}
