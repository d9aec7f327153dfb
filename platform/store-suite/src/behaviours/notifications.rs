//! LISTEN and NOTIFY: 20; and what a reconnect forgets: 43.

use crate::bench::Deed;
use crate::stage::Stage;
use crate::tables::*;

pub fn b20_notifications_come_at_commit_to_those_who_listen_then(stage: &mut Stage<'_>) {
    let (notifier, listener, late) = (stage.session(), stage.session(), stage.session());
    stage.ok(listener, vec![listen("outbox")]);
    stage.ok(notifier, vec![begin(), notify("outbox"), notify("outbox")]);
    assert_eq!(stage.hears(listener), None, "not before the commit");
    stage.ok(late, vec![begin(), listen("outbox"), ROLLBACK]);
    stage.ok(notifier, vec![COMMIT]);
    assert_eq!(stage.hears(listener), Some("outbox"));
    assert_eq!(stage.hears(listener), None, "each channel once");
    assert_eq!(stage.hears(late), None, "it took its LISTEN back");
    stage.ok(notifier, vec![begin(), notify("outbox"), ROLLBACK]);
    stage.ok(late, vec![listen("outbox")]);
    assert_eq!(stage.hears(late), None, "nothing of a rollback, nothing of the past");
    stage.ok(notifier, vec![begin(), notify("outbox"), notify("else"), COMMIT]);
    assert_eq!(stage.hears(late), Some("outbox"));
}

pub fn b20_a_session_in_a_transaction_is_told_when_that_ends(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (notifier, listener) = (stage.session(), stage.session());
    stage.ok(listener, vec![listen("outbox"), begin()]);
    let statements = vec![begin(), notify("outbox"), COMMIT];
    stage.ok(notifier, statements.clone());
    stage.ok(notifier, statements);
    assert_eq!(stage.hears(listener), None);
    stage.ok(listener, vec![get(1), COMMIT]);
    assert_eq!(stage.hears(listener), Some("outbox"));
    assert_eq!(stage.hears(listener), None, "it is a hint: once for both");
}

pub fn b20_a_notification_waits_for_the_standby_as_its_transaction_does(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (notifier, listener) = (stage.session(), stage.session());
    stage.ok(listener, vec![listen("outbox")]);
    stage.act(Deed::HoldLog);
    let call = stage.waits(notifier, vec![begin(), update(1, 0, 1), notify("outbox"), COMMIT]);
    assert_eq!(stage.hears(listener), None);
    stage.act(Deed::ReleaseLog);
    stage.answer(call).expect("committed");
    assert_eq!(stage.hears(listener), Some("outbox"));
}

pub fn b43_a_reconnect_listens_to_nothing(stage: &mut Stage<'_>) {
    let (notifier, listener) = (stage.session(), stage.session());
    stage.ok(listener, vec![listen("outbox")]);
    stage.vanish(listener);
    let again = stage.session();
    stage.ok(notifier, vec![begin(), notify("outbox"), COMMIT]);
    assert_eq!(stage.hears(again), None);
    stage.ok(again, vec![listen("outbox")]);
    stage.ok(notifier, vec![begin(), notify("outbox"), COMMIT]);
    assert_eq!(stage.hears(again), Some("outbox"));
}

/// Whoever prepares them does so for each connection.
pub fn b43_statements_that_ran_before_a_reconnect_run_after_it(stage: &mut Stage<'_>) {
    stage.accounts(1);
    for version in 0..2 {
        let session = stage.session();
        for _ in 0..2 {
            stage.ok(session, vec![begin(), update(1, version, 1), get(1), ROLLBACK]);
        }
        stage.ok(session, vec![begin(), update(1, version, 1), get(1), COMMIT]);
        stage.vanish(session);
    }
    stage.expect_account(1, 2, 1);
}
