//! Connections: store.md 40, 42, 43; and the order of calls within one.

use host::ports::store::{Reply, Statement, StoreError};
use postgres::Settings;

use crate::harness::*;

#[test]
fn b40_more_than_max_connections_are_refused() {
    let mut world = World::with(Settings { max_connections: 2, ..Settings::default() });
    let first = world.session();
    world.session();
    let refused = world.primary.connect(world.now_ns, 77).expect_err("full");
    assert!(matches!(refused, StoreError::Database { sqlstate: "53300", .. }), "{refused}");
    world.disconnect(first);
    world.session();
}

#[test]
fn b42_a_transaction_keeps_its_locks_until_the_server_notices_that_its_client_has_gone() {
    let mut world = World::with_accounts(1);
    let (dead, b) = (world.session(), world.session());
    world.ok(dead, vec![begin(), update(1, 0, 1)]);
    let waiting = world.waits(b, vec![begin(), for_update(1), Statement::Commit]);
    world.advance_ms(7_200_000);
    assert!(world.is_waiting(waiting));
    world.disconnect(dead);
    assert_eq!(rows(&world.answer(waiting).expect("locked")[1]), [account(1, 0, 100)]);
    let late = world.start(dead, vec![Statement::Commit]);
    assert_eq!(world.answer(late), Err(StoreError::Lost));
    world.at_rest();
}

#[test]
fn a_session_that_ends_while_it_waits_lets_those_behind_it_go_on() {
    let mut world = World::with_accounts(1);
    let (a, b, c) = (world.session(), world.session(), world.session());
    world.ok(a, vec![begin(), for_update(1)]);
    let gone = world.waits(b, vec![begin(), for_update(1)]);
    let share = world.waits(c, vec![begin(), for_share(1), Statement::Commit]);
    world.disconnect(b);
    world.ok(a, vec![Statement::Commit]);
    world.answer(share).expect("locked");
    assert!(world.is_waiting(gone));
    world.at_rest();
}

#[test]
fn calls_of_one_session_run_in_order_of_arrival() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), for_update(1)]);
    let first = world.waits(b, vec![begin(), update(1, 0, 1)]);
    let second = world.waits(b, vec![get(1), Statement::Commit]);
    world.ok(a, vec![Statement::Rollback]);
    assert_eq!(world.answer(first).expect("updated")[1], Reply::Changed(1));
    assert_eq!(rows(&world.answer(second).expect("read")[0]), [account(1, 1, 1)]);
    world.at_rest();
}

#[test]
fn calls_that_arrived_behind_a_deadlock_victim_are_refused_until_rollback() {
    let mut world = World::with_accounts(2);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin(), for_update(1)]);
    world.ok(b, vec![begin(), for_update(2)]);
    let victim = world.waits(a, vec![for_update(2)]);
    let behind = world.waits(a, vec![get(1)]);
    let rollback = world.waits(a, vec![Statement::Rollback]);
    world.waits(b, vec![for_update(1), Statement::Commit]);
    world.advance_ms(1_000);
    assert_eq!((world.sqlstate(victim), world.sqlstate(behind)), ("40P01", "25P02"));
    assert_eq!(world.answer(rollback), Ok(vec![Reply::RolledBack]));
    world.at_rest();
}

#[test]
fn b43_what_a_session_listens_to_is_gone_after_a_reconnect() {
    let mut world = World::new();
    let (listener, a) = (world.session(), world.session());
    world.ok(listener, vec![Statement::Listen { channel: "outbox" }]);
    world.disconnect(listener);
    let again = world.session();
    let notify = || vec![begin(), Statement::Notify { channel: "outbox" }, Statement::Commit];
    world.ok(a, notify());
    assert!(world.notified.is_empty());
    world.ok(again, vec![Statement::Listen { channel: "outbox" }]);
    world.ok(a, notify());
    assert_eq!(world.notified, [(again, "outbox")]);
    world.at_rest();
}
