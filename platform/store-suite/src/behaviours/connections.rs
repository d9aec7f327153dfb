//! Connections: 40, 41, 42, 44; and the order of calls within one.

use host::ports::store::StoreError;

use crate::bench::{Deed, Node};
use crate::stage::Stage;
use crate::tables::*;

pub fn b40_more_than_max_connections_are_refused(stage: &mut Stage<'_>) {
    let first = stage.session();
    stage.session();
    let refused = stage.try_open(Node::First).expect_err("full");
    assert!(matches!(refused, StoreError::Database { sqlstate: "53300", .. }), "{refused}");
    stage.vanish(first);
    stage.pass_ms(500);
    stage.session();
}

pub fn b41_a_fast_shutdown_ends_sessions_and_rolls_back(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), update(1, 0, 1)]);
    let waiting = stage.waits(b, vec![begin(), for_update(1), COMMIT]);
    stage.act(Deed::Stop(Node::First));
    assert_eq!(stage.sqlstate(waiting), "57P01");
    for session in [a, b] {
        let call = stage.start(session, vec![COMMIT]);
        assert_eq!(stage.answer(call), Err(StoreError::Lost));
    }
    assert_eq!(stage.last_closing(), Some("57P01"));
    stage.act(Deed::Start(Node::First));
    let c = stage.open_when_up(Node::First);
    assert_eq!(rows(&stage.ok(c, vec![begin(), get(1), COMMIT])[1]), [account(1, 0, 100)]);
}

pub fn b41_a_crash_of_one_backend_ends_all_sessions(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), update(1, 0, 1)]);
    stage.act(Deed::CrashBackend(b));
    stage.pass_ms(100);
    for session in [a, b] {
        let call = stage.start(session, vec![COMMIT]);
        assert_eq!(stage.answer(call), Err(StoreError::Lost));
    }
    assert_eq!(stage.last_closing(), Some("57P02"));
    let c = stage.open_when_up(Node::First);
    assert_eq!(rows(&stage.ok(c, vec![begin(), get(1), COMMIT])[1]), [account(1, 0, 100)]);
}

pub fn b42_a_transaction_keeps_its_locks_until_the_server_notices_that_its_client_has_gone(
    stage: &mut Stage<'_>,
) {
    stage.accounts(1);
    let (dead, b) = (stage.session(), stage.session());
    stage.ok(dead, vec![begin(), update(1, 0, 1)]);
    let waiting = stage.waits(b, vec![begin(), for_update(1), COMMIT]);
    stage.pass_ms(1_000);
    assert!(stage.is_waiting(waiting));
    stage.vanish(dead);
    assert_eq!(rows(&stage.answer(waiting).expect("locked")[1]), [account(1, 0, 100)]);
}

pub fn b42_a_client_that_goes_while_it_waits_leaves_the_queue(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b, c) = (stage.session(), stage.session(), stage.session());
    stage.ok(a, vec![begin(), for_update(1)]);
    stage.waits(b, vec![begin(), for_update(1)]);
    let behind = stage.waits(c, vec![begin(), for_share(1), COMMIT]);
    stage.act(Deed::Terminate(b));
    stage.ok(a, vec![COMMIT]);
    stage.answer(behind).expect("locked");
}

pub fn b44_the_first_call_on_a_connection_that_died_did_nothing(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), COMMIT]);
    stage.act(Deed::Terminate(a));
    stage.pass_ms(100);
    let call = stage.start(a, vec![begin(), event("s", 1), COMMIT]);
    assert_eq!(stage.answer(call), Err(StoreError::Lost), "not an unknown commit");
    assert_eq!(stage.ok(b, vec![begin(), count(&EVENTS), COMMIT])[1], host::ports::store::Reply::Count(0));
}
