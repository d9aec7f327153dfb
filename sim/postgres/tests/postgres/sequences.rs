//! Sequences and notifications: store.md 16 to 20.

use host::ports::store::{OnConflict, Reply, Statement, Value};

use postgres::Settings;

use crate::harness::*;

fn unsent(world: &mut World, conn: u64) -> Vec<i64> {
    let statements = vec![begin(), Statement::Scan(scan(&OUTBOX, None, vec![])), Statement::Commit];
    rows(&world.ok(conn, statements)[1]).iter().map(|row| row[0].as_int()).collect()
}

#[test]
fn b16_nextval_is_never_rolled_back() {
    let mut world = World::new();
    let a = world.session();
    world.ok(a, vec![begin(), outbox("s", 1), Statement::Commit]);
    world.ok(a, vec![begin(), outbox("s", 2), Statement::Rollback]);
    world.err(a, vec![begin(), outbox("s", 1)], "23505");
    world.ok(a, vec![Statement::Rollback, begin(), outbox("s", 2), Statement::Commit]);
    assert_eq!(unsent(&mut world, a), [1, 4]);
    world.at_rest();
}

#[test]
fn b16_an_explicit_id_does_not_move_the_sequence() {
    let mut world = World::new();
    let a = world.session();
    let row = outbox_row(Value::Int(1), "s", 1, 0);
    let explicit = Statement::Insert { table: &OUTBOX, row, on_conflict: OnConflict::Error };
    world.ok(a, vec![begin(), explicit, Statement::Commit]);
    world.err(a, vec![begin(), outbox("s", 2)], "23505");
    world.ok(a, vec![Statement::Rollback, begin(), outbox("s", 2), Statement::Commit]);
    world.at_rest();
}

#[test]
fn b16_a_crash_leaves_a_gap_but_no_id_twice() {
    let mut world = World::new();
    let a = world.session();
    world.ok(a, vec![begin(), outbox("s", 1), Statement::Commit]);
    world.primary.crash(&mut Vec::new());
    world.primary.start(world.now_ns);
    let mut out = Vec::new();
    world.primary.ready(world.now_ns, &mut out);
    world.deliver(out);
    world.reconnect_standby();
    let b = world.session();
    world.ok(b, vec![begin(), outbox("s", 2), Statement::Commit]);
    assert_eq!(unsent(&mut world, b), [1, 34]);
    world.at_rest();
}

#[test]
fn b17_a_lower_id_can_become_visible_after_a_higher_one() {
    let mut world = World::new();
    let (slow, quick, poller) = (world.session(), world.session(), world.session());
    world.ok(slow, vec![begin(), outbox("slow", 1)]);
    world.ok(quick, vec![begin(), outbox("quick", 1), Statement::Commit]);
    assert_eq!(unsent(&mut world, poller), [2]);
    world.ok(slow, vec![Statement::Commit]);
    assert_eq!(unsent(&mut world, poller), [1, 2], "who only looked behind 2 never sees 1");
    world.at_rest();
}

#[test]
fn b20_notifications_come_at_commit_to_those_who_listen_then() {
    let mut world = World::new();
    let (notifier, listener, late) = (world.session(), world.session(), world.session());
    let listen = |channel| Statement::Listen { channel };
    let notify = |channel| Statement::Notify { channel };
    assert_eq!(world.ok(listener, vec![begin(), listen("outbox"), Statement::Commit])[1], Reply::Listening);
    world.ok(notifier, vec![begin(), notify("outbox"), notify("timers"), notify("outbox")]);
    assert!(world.notified.is_empty(), "not before the commit");
    world.ok(late, vec![begin(), listen("outbox"), Statement::Rollback]);
    world.ok(notifier, vec![Statement::Commit]);
    assert_eq!(world.notified, [(listener, "outbox")], "each channel once");
    world.ok(notifier, vec![begin(), notify("outbox"), Statement::Rollback]);
    world.ok(late, vec![listen("outbox")]);
    world.disconnect(listener);
    assert_eq!(world.notified.len(), 1, "nothing of a rollback, nothing of the past");
    world.ok(notifier, vec![begin(), notify("outbox"), Statement::Commit]);
    assert_eq!(world.notified[1..], [(late, "outbox")]);
    world.at_rest();
}

#[test]
fn b20_a_session_in_a_transaction_is_told_when_that_ends() {
    let mut world = World::with_accounts(1);
    let (notifier, listener) = (world.session(), world.session());
    world.ok(listener, vec![Statement::Listen { channel: "outbox" }, begin()]);
    let statements = vec![begin(), Statement::Notify { channel: "outbox" }, Statement::Commit];
    world.ok(notifier, statements.clone());
    world.ok(notifier, statements);
    assert!(world.notified.is_empty());
    world.ok(listener, vec![get(1), Statement::Commit]);
    assert_eq!(world.notified, [(listener, "outbox")]);
    world.at_rest();
}

#[test]
fn b20_a_notification_waits_for_the_standby_as_its_transaction_does() {
    let mut world = World::with_accounts(1);
    let (notifier, listener) = (world.session(), world.session());
    world.ok(listener, vec![Statement::Listen { channel: "outbox" }]);
    world.hold_log = true;
    let notify = Statement::Notify { channel: "outbox" };
    let call = world.waits(notifier, vec![begin(), update(1, 0, 1), notify, Statement::Commit]);
    assert!(world.notified.is_empty());
    world.release_log();
    assert_eq!(world.notified, [(listener, "outbox")]);
    world.answer(call).expect("committed");
    world.at_rest();
}

#[test]
fn b19_with_cache_each_session_hands_out_a_block_of_its_own() {
    let mut world = World::with(Settings { sequence_cache: 10, ..Settings::default() });
    let (a, b) = (world.session(), world.session());
    for (sequence, conn) in [(1, a), (2, b), (3, a), (4, b)] {
        world.ok(conn, vec![begin(), outbox("s", sequence), Statement::Commit]);
    }
    let ids = |world: &World| -> Vec<(i64, i64)> {
        world.primary.rows("outbox").map(|row| (row[0].as_int(), row[2].as_int())).collect()
    };
    assert_eq!(ids(&world), [(1, 1), (2, 3), (11, 2), (12, 4)], "not in the order of inserting");
    world.disconnect(a);
    let c = world.session();
    world.ok(c, vec![begin(), outbox("s", 5), Statement::Commit]);
    assert_eq!(ids(&world).last(), Some(&(21, 5)), "the rest of a session's block is gone with it");
    world.at_rest();
}

#[test]
fn b18_ids_taken_under_a_lock_that_is_held_to_the_commit_become_visible_in_order() {
    let mut world = World::with_accounts(1);
    let (a, b, poller) = (world.session(), world.session(), world.session());
    world.ok(a, vec![begin(), for_update(1), outbox("s", 1)]);
    let waiting = world.waits(b, vec![begin(), for_update(1), outbox("s", 2), Statement::Commit]);
    let poll = |world: &mut World| {
        let all = Statement::Scan(scan(&OUTBOX, None, vec![]));
        let found = world.ok(poller, vec![begin(), all, Statement::Commit]);
        rows(&found[1]).iter().map(|row| row[0].as_int()).collect::<Vec<_>>()
    };
    assert_eq!(poll(&mut world), [] as [i64; 0], "nothing below what is in flight is missed");
    world.ok(a, vec![Statement::Commit]);
    world.answer(waiting).expect("committed");
    assert_eq!(poll(&mut world), [1, 2]);
    world.at_rest();
}
