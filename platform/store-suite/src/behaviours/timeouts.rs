//! Timeouts: 23.

use host::ports::store::StoreError;

use crate::stage::Stage;
use crate::tables::*;

pub fn b23_lock_timeout_ends_the_statement(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), for_update(1)]);
    let late = stage.start(b, vec![begin(), event("s", 1), for_update(1)]);
    assert_eq!(stage.sqlstate(late), "55P03");
    stage.err(b, vec![get(1)], "25P02");
    stage.ok(b, vec![ROLLBACK]);
    stage.ok(a, vec![COMMIT]);
    stage.ok(b, vec![begin(), overwrite(1, 5), COMMIT]);
}

pub fn b23_lock_timeout_ends_waiting_for_a_key_too(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), event("s", 1)]);
    let late = stage.start(b, vec![begin(), event("s", 1)]);
    assert_eq!(stage.sqlstate(late), "55P03");
}

pub fn b23_statement_timeout_ends_the_statement(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), for_update(1)]);
    let late = stage.start(b, vec![begin(), for_update(1)]);
    assert_eq!(stage.sqlstate(late), "57014");
    stage.err(b, vec![get(1)], "25P02");
}

pub fn b23_idle_in_transaction_session_timeout_closes_the_session(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), event("s", 1)]);
    let waiting = stage.start(b, vec![begin(), event("s", 1), COMMIT]);
    stage.answer(waiting).expect("the other insert rolled back");
    let call = stage.start(a, vec![event("s", 2)]);
    assert_eq!(stage.answer(call), Err(StoreError::Lost));
    assert_eq!(stage.last_closing(), Some("25P03"));
    stage.pass_ms(1_000);
    stage.ok(b, vec![begin(), COMMIT]);
}
