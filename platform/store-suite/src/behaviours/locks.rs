//! Row locks: 21; deadlocks: 22.

use host::ports::store::LockMode::{Share, Update};
use host::ports::store::LockWait::{NoWait, SkipLocked, Wait};
use host::ports::store::{OnConflict, Reply, StoreError};

use crate::stage::{Call, Stage};
use crate::tables::*;

pub fn b21_shares_go_together_and_an_update_waits_for_all_of_them(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b, c) = (stage.session(), stage.session(), stage.session());
    stage.ok(a, vec![begin(), for_share(1)]);
    stage.ok(b, vec![begin(), for_share(1)]);
    let update = stage.waits(c, vec![begin(), for_update(1), COMMIT]);
    stage.ok(a, vec![COMMIT]);
    assert!(stage.is_waiting(update));
    stage.ok(b, vec![COMMIT]);
    assert_eq!(rows(&stage.answer(update).expect("locked")[1]), [account(1, 0, 100)]);
}

pub fn b21_exclusive_locks_queue_in_the_order_of_arrival(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let [holder, first, second, third] = [0; 4].map(|_| stage.session());
    stage.ok(holder, vec![begin(), for_update(1)]);
    let first_call = stage.waits(first, vec![begin(), for_update(1)]);
    let second_call = stage.waits(second, vec![begin(), update(1, 0, 5)]);
    let third_call = stage.waits(third, vec![begin(), for_update(1), COMMIT]);
    stage.ok(holder, vec![COMMIT]);
    stage.answer(first_call).expect("first in the queue");
    assert!(stage.is_waiting(second_call) && stage.is_waiting(third_call));
    stage.ok(first, vec![ROLLBACK]);
    assert_eq!(stage.answer(second_call).expect("second")[1], Reply::Changed(1));
    assert!(stage.is_waiting(third_call));
    stage.ok(second, vec![COMMIT]);
    assert_eq!(rows(&stage.answer(third_call).expect("third")[1]), [account(1, 1, 5)]);
}

pub fn b21_new_sharers_join_the_present_ones_past_a_waiting_update(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b, c) = (stage.session(), stage.session(), stage.session());
    stage.ok(a, vec![begin(), for_share(1)]);
    let update = stage.waits(b, vec![begin(), for_update(1), COMMIT]);
    stage.ok(c, vec![begin(), for_share(1)]);
    stage.ok(a, vec![COMMIT]);
    assert!(stage.is_waiting(update), "sharers that relieve one another starve it");
    stage.ok(c, vec![COMMIT]);
    stage.answer(update).expect("locked");
}

pub fn b21_a_lock_gives_the_latest_committed_version(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), update(1, 0, 1)]);
    let locking = stage.waits(b, vec![begin(), for_update(1), COMMIT]);
    assert_eq!(stage.ok(a, vec![get(1), COMMIT])[0], Reply::Rows(vec![account(1, 1, 1)]));
    assert_eq!(rows(&stage.answer(locking).expect("locked")[1]), [account(1, 1, 1)]);
}

pub fn b21_the_only_sharer_gets_more_at_once_even_past_a_queue(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), for_share(1)]);
    let waiting = stage.waits(b, vec![begin(), for_update(1), COMMIT]);
    stage.ok(a, vec![for_update(1), update(1, 0, 1), for_share(1), COMMIT]);
    assert_eq!(rows(&stage.answer(waiting).expect("locked")[1]), [account(1, 1, 1)]);
}

pub fn b21_a_sharer_who_wants_more_waits_for_the_other_sharers_only(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b, c) = (stage.session(), stage.session(), stage.session());
    stage.ok(a, vec![begin(), for_share(1)]);
    stage.ok(b, vec![begin(), for_share(1)]);
    let behind = stage.waits(c, vec![begin(), for_update(1), COMMIT]);
    let stronger = stage.waits(a, vec![update(1, 0, 1)]);
    stage.ok(b, vec![COMMIT]);
    assert_eq!(stage.answer(stronger).expect("no deadlock with c")[0], Reply::Changed(1));
    assert!(stage.is_waiting(behind));
    stage.ok(a, vec![COMMIT]);
    assert_eq!(rows(&stage.answer(behind).expect("locked")[1]), [account(1, 1, 1)]);
}

pub fn b21_nowait_refuses_and_skip_locked_skips(stage: &mut Stage<'_>) {
    stage.accounts(3);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), for_update(2)]);
    let skipped = stage.ok(b, vec![begin(), lock(&[3, 2, 1], Share, SkipLocked)]);
    assert_eq!(rows(&skipped[1]), [account(3, 0, 100), account(1, 0, 100)]);
    stage.err(b, vec![lock(&[1, 2], Update, NoWait)], "55P03");
    stage.ok(b, vec![ROLLBACK]);
    stage.ok(b, vec![begin(), lock(&[1, 3], Update, NoWait), COMMIT]);
}

pub fn b21_a_lock_of_a_missing_row_gives_no_row_and_waits_for_nobody(stage: &mut Stage<'_>) {
    stage.accounts(2);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), insert(9, 0, 9, OnConflict::Error)]);
    let reply = stage.ok(b, vec![begin(), lock(&[8, 9, 1], Update, Wait)]);
    assert_eq!(rows(&reply[1]), [account(1, 0, 100)], "9 is not visible yet");
}

pub fn b21_several_keys_are_locked_in_the_order_given_from_one_snapshot(stage: &mut Stage<'_>) {
    stage.accounts(3);
    let (a, b, c) = (stage.session(), stage.session(), stage.session());
    stage.ok(a, vec![begin(), for_update(2)]);
    let all = stage.waits(b, vec![begin(), lock(&[3, 2, 1, 9], Update, Wait), COMMIT]);
    stage.err(c, vec![begin(), lock(&[3], Update, NoWait)], "55P03");
    stage.ok(c, vec![ROLLBACK, begin(), lock(&[1], Update, NoWait), ROLLBACK]);
    stage.ok(c, vec![begin(), insert(9, 0, 9, OnConflict::Error), COMMIT]);
    stage.ok(a, vec![delete(2), COMMIT]);
    let answer = stage.answer(all).expect("locked");
    assert_eq!(rows(&answer[1]), [account(3, 0, 100), account(1, 0, 100)], "2 is gone, 9 came too late");
}

pub fn b21_waiters_for_a_deleted_row_leave_no_lock_behind(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b, c) = (stage.session(), stage.session(), stage.session());
    stage.ok(a, vec![begin(), delete(1)]);
    let share = stage.waits(b, vec![begin(), for_share(1)]);
    let change = stage.waits(c, vec![begin(), update(1, 0, 5)]);
    stage.ok(a, vec![COMMIT]);
    assert_eq!(rows(&stage.answer(share).expect("no row")[1]).len(), 0);
    assert_eq!(stage.answer(change).expect("no row")[1], Reply::Changed(0));
    stage.ok(a, vec![begin(), insert(1, 0, 1, OnConflict::Error), COMMIT]);
}

/// One of the two is the victim, and the other one goes on.
fn one_victim(stage: &mut Stage<'_>, calls: [Call; 2]) {
    let outcomes = calls.map(|call| stage.answer(call));
    let victims: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(matches!(victims[..], [StoreError::Database { sqlstate: "40P01", .. }]), "{outcomes:?}");
}

pub fn b22_locks_taken_crosswise_are_a_deadlock(stage: &mut Stage<'_>) {
    stage.accounts(2);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), for_update(1)]);
    stage.ok(b, vec![begin(), for_update(2)]);
    let first = stage.waits(a, vec![for_update(2), COMMIT]);
    let second = stage.start(b, vec![for_update(1), COMMIT]);
    one_victim(stage, [first, second]);
}

pub fn b22_a_deadlock_of_three_has_one_victim(stage: &mut Stage<'_>) {
    stage.accounts(3);
    let sessions = [0; 3].map(|_| stage.session());
    for (session, id) in sessions.into_iter().zip(1..) {
        stage.ok(session, vec![begin(), for_update(id)]);
    }
    let calls = [2, 3, 1].map(|id| {
        let session = sessions[if id == 1 { 2 } else { id as usize - 2 }];
        stage.start(session, vec![for_update(id), COMMIT])
    });
    let outcomes = calls.map(|call| stage.answer(call));
    let victims: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(matches!(victims[..], [StoreError::Database { sqlstate: "40P01", .. }]), "{outcomes:?}");
}

pub fn b22_two_sharers_who_both_want_more_are_a_deadlock(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), for_share(1)]);
    stage.ok(b, vec![begin(), for_share(1)]);
    let first = stage.waits(a, vec![update(1, 0, 1), COMMIT]);
    let second = stage.start(b, vec![update(1, 0, 2), COMMIT]);
    one_victim(stage, [first, second]);
}

pub fn b22_inserts_of_the_same_keys_crosswise_are_a_deadlock(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), event("s", 1)]);
    stage.ok(b, vec![begin(), event("t", 1)]);
    let first = stage.waits(a, vec![event("t", 1), COMMIT]);
    let second = stage.start(b, vec![event("s", 1), COMMIT]);
    one_victim(stage, [first, second]);
}
