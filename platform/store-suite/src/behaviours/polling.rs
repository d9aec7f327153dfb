//! Sequences, order, polling: 16 to 19.

use crate::bench::{Deed, Node, SessionNumber};
use crate::stage::Stage;
use crate::tables::*;

use host::ports::store::{OnConflict, Statement, Value};

fn ids(stage: &mut Stage<'_>, session: SessionNumber) -> Vec<i64> {
    let replies = stage.ok(session, vec![begin(), all(&OUTBOX), COMMIT]);
    integers(&replies[1], 0)
}

pub fn b16_nextval_is_never_rolled_back(stage: &mut Stage<'_>) {
    let a = stage.session();
    stage.ok(a, vec![begin(), outbox("s", 1), COMMIT]);
    stage.ok(a, vec![begin(), outbox("s", 2), ROLLBACK]);
    stage.err(a, vec![begin(), outbox("s", 1)], "23505");
    stage.ok(a, vec![ROLLBACK, begin(), outbox("s", 2), COMMIT]);
    assert_eq!(ids(stage, a), [1, 4]);
}

pub fn b16_an_explicit_id_does_not_move_the_sequence(stage: &mut Stage<'_>) {
    let a = stage.session();
    let row = outbox_row(Value::Int(1), "s", 1, 0);
    let explicit = Statement::Insert { table: &OUTBOX, row, on_conflict: OnConflict::Error };
    stage.ok(a, vec![begin(), explicit, COMMIT]);
    stage.err(a, vec![begin(), outbox("s", 2)], "23505");
    stage.ok(a, vec![ROLLBACK, begin(), outbox("s", 2), COMMIT]);
    assert_eq!(ids(stage, a), [1, 2]);
}

pub fn b16_a_crash_leaves_a_gap_but_no_id_twice(stage: &mut Stage<'_>) {
    let a = stage.session();
    stage.ok(a, vec![begin(), outbox("s", 1), COMMIT]);
    stage.act(Deed::Crash(Node::First));
    stage.act(Deed::Start(Node::First));
    let b = stage.open_when_up(Node::First);
    stage.catch_up();
    stage.ok(b, vec![begin(), outbox("s", 2), COMMIT]);
    // 32 values are logged ahead, besides the one given.
    assert_eq!(ids(stage, b), [1, 34]);
}

pub fn b17_a_lower_id_can_become_visible_after_a_higher_one(stage: &mut Stage<'_>) {
    let (slow, quick, poller) = (stage.session(), stage.session(), stage.session());
    stage.ok(slow, vec![begin(), outbox("slow", 1)]);
    stage.ok(quick, vec![begin(), outbox("quick", 1), COMMIT]);
    assert_eq!(ids(stage, poller), [2]);
    stage.ok(slow, vec![COMMIT]);
    assert_eq!(ids(stage, poller), [1, 2], "who only looked behind 2 never sees 1");
}

pub fn b18_a_lock_that_writers_share_puts_ids_in_the_order_of_commits(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (first, second, poller) = (stage.session(), stage.session(), stage.session());
    stage.ok(first, vec![begin(), for_update(1), outbox("first", 1)]);
    let waiting = stage.waits(second, vec![begin(), for_update(1), outbox("second", 1), COMMIT]);
    assert!(ids(stage, poller).is_empty());
    stage.ok(first, vec![COMMIT]);
    stage.answer(waiting).expect("in its turn");
    assert_eq!(ids(stage, poller), [1, 2]);
}

pub fn b19_sessions_take_ids_in_blocks(stage: &mut Stage<'_>) {
    let (a, b, poller) = (stage.session(), stage.session(), stage.session());
    for (session, stream) in [(a, "first"), (b, "second"), (a, "third")] {
        stage.ok(session, vec![begin(), outbox(stream, 1), COMMIT]);
    }
    let replies = stage.ok(poller, vec![begin(), all(&OUTBOX), COMMIT]);
    let streams: Vec<&str> = rows(&replies[1]).iter().map(|row| row[1].as_text()).collect();
    assert_eq!((integers(&replies[1], 0), streams), (vec![1, 2, 11], vec!["first", "third", "second"]));
    stage.vanish(a);
    let c = stage.session();
    stage.ok(c, vec![begin(), outbox("fourth", 1), COMMIT]);
    assert_eq!(ids(stage, poller), [1, 2, 11, 21], "what a session had left is gone with it");
}
