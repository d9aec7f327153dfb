//! Failover and replicas: 28, 33 to 39.

use host::ports::store::{OnConflict, Reply, StoreError};

use crate::bench::{Deed, Node};
use crate::stage::Stage;
use crate::tables::*;

fn events_on(stage: &mut Stage<'_>, node: Node) -> u64 {
    let session = stage.open(node);
    let replies = stage.ok(session, vec![begin(), count(&EVENTS), COMMIT]);
    stage.vanish(session);
    match replies[1] {
        Reply::Count(count) => count,
        ref other => panic!("{other:?}"),
    }
}

pub fn b28_local_loses_in_a_failover_what_was_not_sent(stage: &mut Stage<'_>) {
    let a = stage.session();
    stage.ok(a, vec![begin(), event("s", 1), COMMIT]);
    stage.catch_up();
    stage.act(Deed::HoldLog);
    stage.ok(a, vec![begin(), event("s", 2), COMMIT]);
    stage.act(Deed::Crash(Node::First));
    stage.act(Deed::Promote);
    assert_eq!(events_on(stage, Node::Second), 1, "the second one was acknowledged, and is lost");
}

/// The second one of two commits is not acknowledged, and the primary dies.
fn keeps_what_was_acknowledged(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), event("s", 1), COMMIT]);
    stage.act(Deed::HoldLog);
    let unanswered = stage.waits(b, vec![begin(), event("s", 2), COMMIT]);
    stage.act(Deed::Crash(Node::First));
    assert_eq!(stage.answer(unanswered), Err(StoreError::UnknownCommit));
    stage.act(Deed::Promote);
    assert_eq!(events_on(stage, Node::Second), 1);
}

pub fn b28_on_keeps_what_was_acknowledged(stage: &mut Stage<'_>) {
    keeps_what_was_acknowledged(stage);
}

pub fn b28_remote_write_keeps_what_was_acknowledged_while_the_standby_lives(stage: &mut Stage<'_>) {
    keeps_what_was_acknowledged(stage);
}

pub fn b28_remote_apply_keeps_what_was_acknowledged(stage: &mut Stage<'_>) {
    keeps_what_was_acknowledged(stage);
}

/// Both machines die, and only the standby comes back. How many events are left.
fn only_the_standby_comes_back(stage: &mut Stage<'_>) -> u64 {
    stage.act(Deed::Crash(Node::First));
    stage.act(Deed::Crash(Node::Second));
    stage.act(Deed::ReleaseFlush);
    stage.act(Deed::Start(Node::Second));
    stage.open_when_up(Node::Second);
    stage.act(Deed::Promote);
    events_on(stage, Node::Second)
}

pub fn b28_on_keeps_what_was_acknowledged_when_both_die(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), event("s", 1), COMMIT]);
    stage.act(Deed::HoldFlush);
    let unanswered = stage.waits(b, vec![begin(), event("s", 2), COMMIT]);
    assert_eq!(only_the_standby_comes_back(stage), 1);
    assert_eq!(stage.answer(unanswered), Err(StoreError::UnknownCommit));
}

pub fn b28_remote_write_loses_when_both_die_what_the_standby_had_not_flushed(stage: &mut Stage<'_>) {
    let a = stage.session();
    stage.ok(a, vec![begin(), event("s", 1), COMMIT]);
    stage.act(Deed::HoldFlush);
    stage.ok(a, vec![begin(), event("s", 2), COMMIT]);
    assert_eq!(only_the_standby_comes_back(stage), 1, "the second one was acknowledged, and is lost");
}

pub fn b28_remote_apply_is_answered_when_the_standby_shows_it(stage: &mut Stage<'_>) {
    stage.accounts(1);
    stage.act(Deed::HoldReplay);
    let a = stage.session();
    let commit = stage.waits(a, vec![begin(), update(1, 0, 1), COMMIT]);
    for node in [Node::First, Node::Second] {
        assert_eq!(stage.account_on(node, 1), Some(account(1, 0, 100)), "not seen before");
    }
    stage.act(Deed::ReleaseReplay);
    stage.answer(commit).expect("committed");
    assert_eq!(stage.account_on(Node::Second, 1), Some(account(1, 1, 1)), "at once");
}

pub fn b33_an_old_primary_that_is_still_there_goes_on_accepting_writes(stage: &mut Stage<'_>) {
    let a = stage.session();
    stage.ok(a, vec![begin(), event("s", 1), COMMIT]);
    stage.catch_up();
    stage.act(Deed::Promote);
    let b = stage.open(Node::Second);
    stage.ok(b, vec![begin(), event("s", 2), COMMIT]);
    stage.ok(a, vec![begin(), event("s", 2), event("s", 3), COMMIT]);
    assert_eq!((events_on(stage, Node::First), events_on(stage, Node::Second)), (3, 2));
}

pub fn b34_the_old_primarys_extra_commits_are_discarded_when_it_is_rewound(stage: &mut Stage<'_>) {
    let a = stage.session();
    stage.ok(a, vec![begin(), event("s", 1), COMMIT]);
    stage.catch_up();
    stage.act(Deed::Promote);
    stage.ok(a, vec![begin(), event("lost", 1), COMMIT]);
    let b = stage.open(Node::Second);
    stage.ok(b, vec![begin(), event("s", 2), COMMIT]);
    stage.act(Deed::Stop(Node::First));
    stage.act(Deed::Rewind);
    let c = stage.open_when_up(Node::First);
    for _ in 0..500 {
        let replies = stage.ok(c, vec![begin(), all(&EVENTS), COMMIT]);
        let found = rows(&replies[1]);
        assert!(found.iter().all(|row| row[0].as_text() == "s"), "it is discarded: {found:?}");
        if found.len() == 2 {
            stage.err(c, vec![begin(), event("s", 3)], "25006");
            return;
        }
        stage.pass_ms(10);
    }
    panic!("the old primary does not follow");
}

pub fn b35_calls_to_a_dead_primary_hang_until_a_reset_and_new_connections_are_refused(stage: &mut Stage<'_>) {
    let a = stage.session();
    stage.ok(a, vec![begin(), event("s", 1)]);
    stage.act(Deed::Mute(a));
    let call = stage.start(a, vec![event("s", 2)]);
    stage.pass_ms(200);
    assert!(stage.is_waiting(call), "nobody says that it is dead");
    stage.act(Deed::Crash(Node::First));
    assert_eq!(stage.answer(call), Err(StoreError::Lost));
    assert_eq!(stage.try_open(Node::First), Err(StoreError::Refused));
}

pub fn b36_a_standby_reads_and_refuses_to_write(stage: &mut Stage<'_>) {
    stage.accounts(1);
    stage.catch_up();
    let a = stage.open(Node::Second);
    assert_eq!(rows(&stage.ok(a, vec![begin(), get(1), COMMIT])[1]), [account(1, 0, 100)]);
    let refused = [
        for_update(1),
        for_share(1),
        insert(2, 0, 0, OnConflict::DoNothing),
        update(1, 1, 2),
        delete(1),
        listen("outbox"),
        notify("outbox"),
    ];
    for statement in refused {
        let call = stage.start(a, vec![begin(), statement]);
        let error = stage.answer(call).expect_err("a write");
        assert!(matches!(error, StoreError::Database { sqlstate: "25006", statement: 1, .. }), "{error}");
        stage.ok(a, vec![ROLLBACK]);
    }
    stage.err(a, vec![listen("outbox")], "25006");
}

pub fn b36_a_session_on_a_standby_that_is_promoted_may_write_from_its_next_transaction_on(
    stage: &mut Stage<'_>,
) {
    stage.accounts(1);
    stage.catch_up();
    let a = stage.open(Node::Second);
    stage.err(a, vec![begin(), update(1, 0, 1)], "25006");
    stage.ok(a, vec![ROLLBACK]);
    stage.act(Deed::Crash(Node::First));
    stage.act(Deed::Promote);
    let replies = stage.ok(a, vec![begin(), update(1, 0, 1), COMMIT]);
    assert_eq!(replies[1], Reply::Changed(1));
}

pub fn b37_two_reads_on_different_servers_can_go_back_in_time(stage: &mut Stage<'_>) {
    stage.accounts(1);
    stage.catch_up();
    stage.act(Deed::HoldReplay);
    let a = stage.session();
    stage.ok(a, vec![begin(), update(1, 0, 1), COMMIT]);
    assert_eq!(stage.account_on(Node::First, 1), Some(account(1, 1, 1)));
    assert_eq!(stage.account_on(Node::Second, 1), Some(account(1, 0, 100)), "flushed there, and not shown");
    stage.act(Deed::ReleaseReplay);
    stage.catch_up();
    assert_eq!(stage.account_on(Node::Second, 1), Some(account(1, 1, 1)));
}

pub fn b38_long_reads_on_a_standby_are_cancelled(stage: &mut Stage<'_>) {
    stage.accounts(2);
    stage.catch_up();
    let (a, reader) = (stage.session(), stage.open(Node::Second));
    stage.ok(reader, vec![begin_snapshot(), get(1)]);
    stage.ok(a, vec![begin(), delete(2), COMMIT]);
    stage.act(Deed::Vacuum);
    stage.pass_ms(1_000);
    let call = stage.start(reader, vec![get(2), COMMIT]);
    stage.answer(call).expect_err("the row that its snapshot shows is gone for good");
    assert_eq!(stage.last_closing(), Some("40001"), "conflict with recovery");
}

pub fn b39_reading_your_own_write_on_a_standby_needs_waiting(stage: &mut Stage<'_>) {
    stage.accounts(1);
    stage.catch_up();
    stage.act(Deed::HoldReplay);
    let (a, reader) = (stage.session(), stage.open(Node::Second));
    stage.ok(a, vec![begin(), update(1, 0, 1), COMMIT]);
    let mut versions = Vec::new();
    for attempt in 0..500 {
        let replies = stage.ok(reader, vec![begin(), get(1), COMMIT]);
        versions.extend(integers(&replies[1], 1));
        if versions.last() == Some(&1) {
            break;
        }
        if attempt == 0 {
            stage.act(Deed::ReleaseReplay);
        }
        stage.pass_ms(10);
    }
    assert_eq!((versions[0], versions.last()), (0, Some(&1)), "not at once, but at last");
    assert!(versions.is_sorted());
}
