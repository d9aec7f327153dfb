//! Commit, and what becomes of it when the client or the connection goes: 25, 26, 27 (`on`), 29.

use host::ports::store::{Reply, StoreError};

use crate::bench::{Deed, Node};
use crate::stage::Stage;
use crate::tables::*;

pub fn b27_a_commit_is_answered_when_the_standby_has_it_and_not_seen_before(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.act(Deed::HoldLog);
    let commit = stage.waits(a, vec![begin(), update(1, 0, 1), COMMIT, begin(), get(1)]);
    assert_eq!(rows(&stage.ok(b, vec![begin(), get(1)])[1]), [account(1, 0, 100)]);
    let locking = stage.waits(b, vec![for_update(1), COMMIT]);
    stage.act(Deed::ReleaseLog);
    let replies = stage.answer(commit).expect("committed");
    assert_eq!(rows(&replies[4]), [account(1, 1, 1)], "the pipeline goes on");
    assert_eq!(rows(&stage.answer(locking).expect("locked")[0]), [account(1, 1, 1)]);
}

pub fn b25_a_commit_under_way_happens_though_its_client_has_gone(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.act(Deed::HoldLog);
    stage.waits(a, vec![begin(), update(1, 0, 1), COMMIT, begin(), update(1, 1, 2)]);
    stage.vanish(a);
    let waiting = stage.waits(b, vec![begin(), for_update(1), COMMIT]);
    stage.act(Deed::ReleaseLog);
    assert_eq!(rows(&stage.answer(waiting).expect("locked")[1]), [account(1, 1, 1)]);
}

pub fn b25_a_connection_lost_during_commit_may_mean_that_it_happened(stage: &mut Stage<'_>) {
    let a = stage.session();
    stage.act(Deed::HoldLog);
    let commit = stage.waits(a, vec![begin(), event("s", 1), COMMIT]);
    stage.act(Deed::Terminate(a));
    assert_eq!(stage.answer(commit), Err(StoreError::UnknownCommit));
    let b = stage.session();
    assert_eq!(stage.ok(b, vec![begin(), count(&EVENTS)])[1], Reply::Count(1));
    stage.act(Deed::ReleaseLog);
    stage.err(b, vec![event("s", 1)], "23505");
}

pub fn b25_a_connection_lost_during_commit_may_mean_that_it_did_not_happen(stage: &mut Stage<'_>) {
    let a = stage.session();
    stage.act(Deed::Mute(a));
    let commit = stage.start(a, vec![begin(), event("s", 1), COMMIT]);
    stage.pass_ms(20);
    stage.act(Deed::Crash(Node::First));
    assert_eq!(stage.answer(commit), Err(StoreError::UnknownCommit));
    stage.act(Deed::Start(Node::First));
    let b = stage.open_when_up(Node::First);
    stage.catch_up();
    assert_eq!(stage.ok(b, vec![begin(), count(&EVENTS), COMMIT])[1], Reply::Count(0));
    stage.ok(b, vec![begin(), event("s", 1), COMMIT]);
}

pub fn b25_without_a_commit_nothing_is_unknown(stage: &mut Stage<'_>) {
    let a = stage.session();
    stage.act(Deed::Mute(a));
    let call = stage.start(a, vec![begin(), event("s", 1)]);
    stage.pass_ms(20);
    stage.act(Deed::Crash(Node::First));
    assert_eq!(stage.answer(call), Err(StoreError::Lost));
}

pub fn b26_doing_it_again_with_the_same_key_tells_what_became_of_it(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.act(Deed::HoldLog);
    let happened = stage.waits(a, vec![begin(), event("s", 1), COMMIT]);
    stage.act(Deed::Terminate(a));
    stage.act(Deed::Mute(b));
    let did_not = stage.start(b, vec![begin(), event("t", 1), COMMIT]);
    stage.pass_ms(20);
    stage.act(Deed::Crash(Node::First));
    for call in [happened, did_not] {
        assert_eq!(stage.answer(call), Err(StoreError::UnknownCommit));
    }
    stage.act(Deed::ReleaseLog);
    let question = stage.try_open(Node::First);
    assert_eq!(question, Err(StoreError::Refused), "no answer to the question is again unknown");
    stage.act(Deed::Start(Node::First));
    let c = stage.open_when_up(Node::First);
    stage.catch_up();
    stage.err(c, vec![begin(), event("s", 1)], "23505");
    stage.ok(c, vec![ROLLBACK, begin(), event("t", 1), COMMIT]);
}

pub fn b29_commits_wait_for_a_standby_that_is_away_and_go_through_when_it_is_back(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.act(Deed::Crash(Node::Second));
    let first = stage.waits(a, vec![begin(), event("s", 1), COMMIT]);
    let second = stage.waits(b, vec![begin(), event("s", 2), COMMIT]);
    stage.pass_ms(500);
    assert!(stage.is_waiting(first) && stage.is_waiting(second));
    stage.act(Deed::Start(Node::Second));
    stage.answer(first).expect("committed");
    stage.answer(second).expect("committed");
    stage.catch_up();
    let reader = stage.open(Node::Second);
    assert_eq!(stage.ok(reader, vec![begin(), count(&EVENTS)])[1], Reply::Count(2));
}

pub fn b29_cancelling_the_wait_leaves_the_commit_in_place(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.act(Deed::HoldLog);
    let commit = stage.waits(a, vec![begin(), event("s", 1), COMMIT]);
    stage.act(Deed::Cancel(a));
    let replies = stage.answer(commit).expect("answered as if the standby had it");
    assert_eq!(replies[2], Reply::Committed);
    assert_eq!(stage.ok(b, vec![begin(), count(&EVENTS), COMMIT])[1], Reply::Count(1));
    let reader = stage.open(Node::Second);
    assert_eq!(stage.ok(reader, vec![begin(), count(&EVENTS), COMMIT])[1], Reply::Count(0));
}
