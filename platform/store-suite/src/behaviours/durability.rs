//! What a crash leaves, and disks: 27 (`off`), 30, 31, 32.

use host::ports::store::{OnConflict, Reply, StoreError};

use crate::bench::{Deed, Node};
use crate::stage::Stage;
use crate::tables::*;

pub fn b27_off_loses_acknowledged_commits_in_their_order(stage: &mut Stage<'_>) {
    let a = stage.session();
    stage.ok(a, vec![begin(), event("s", 1), event("s", 2), COMMIT]);
    // Three times wal_writer_delay, and a bit.
    stage.pass_ms(3_100);
    for version in 3..=5 {
        stage.ok(a, vec![begin(), event("s", version), COMMIT]);
    }
    stage.act(Deed::Crash(Node::First));
    stage.act(Deed::Start(Node::First));
    let b = stage.open_when_up(Node::First);
    let replies = stage.ok(b, vec![begin(), all(&EVENTS), COMMIT]);
    let left = integers(&replies[1], 1);
    assert!(left.starts_with(&[1, 2]), "after that time they are safe: {left:?}");
    assert!(left.len() < 5, "nothing was lost, though nobody waited for a flush");
    assert!(left.iter().copied().eq(1..=left.len() as i64), "the last ones go first: {left:?}");
}

pub fn b30_a_restart_keeps_what_was_committed_and_nothing_else(stage: &mut Stage<'_>) {
    stage.accounts(2);
    let (a, b) = (stage.session(), stage.session());
    stage.ok(a, vec![begin(), update(1, 0, 1), COMMIT]);
    stage.ok(b, vec![begin(), update(2, 0, 2)]);
    stage.act(Deed::Crash(Node::First));
    assert_eq!(stage.try_open(Node::First), Err(StoreError::Refused));
    let call = stage.start(b, vec![COMMIT]);
    assert_eq!(stage.answer(call), Err(StoreError::Lost), "it had not been sent: nothing is unknown");
    stage.act(Deed::Start(Node::First));
    let c = stage.open_when_up(Node::First);
    let replies = stage.ok(c, vec![begin(), all(&ACCOUNTS), COMMIT]);
    assert_eq!(rows(&replies[1]), [account(1, 1, 1), account(2, 0, 100)]);
}

pub fn b30_a_flushed_commit_that_waits_for_the_standby_is_there_after_a_restart(stage: &mut Stage<'_>) {
    let a = stage.session();
    stage.act(Deed::HoldLog);
    let commit = stage.waits(a, vec![begin(), event("s", 1), COMMIT]);
    stage.act(Deed::Crash(Node::First));
    assert_eq!(stage.answer(commit), Err(StoreError::UnknownCommit));
    stage.act(Deed::ReleaseLog);
    stage.act(Deed::Start(Node::First));
    let b = stage.open_when_up(Node::First);
    assert_eq!(stage.ok(b, vec![begin(), count(&EVENTS), COMMIT])[1], Reply::Count(1));
}

pub fn b30_until_recovery_has_ended_connections_get_57p03(stage: &mut Stage<'_>) {
    let a = stage.session();
    stage.ok(a, vec![begin(), event("s", 1), COMMIT]);
    stage.act(Deed::Crash(Node::First));
    stage.act(Deed::HoldRecovery);
    stage.act(Deed::Start(Node::First));
    stage.expect_starting(Node::First);
    stage.pass_ms(500);
    stage.expect_starting(Node::First);
    stage.act(Deed::ReleaseRecovery);
    let b = stage.open_when_up(Node::First);
    assert_eq!(stage.ok(b, vec![begin(), count(&EVENTS), COMMIT])[1], Reply::Count(1));
}

pub fn b31_a_failed_fsync_is_a_restart(stage: &mut Stage<'_>) {
    let (a, b) = (stage.session(), stage.session());
    stage.act(Deed::FailFsync);
    let commit = stage.start(a, vec![begin(), event("s", 1), COMMIT]);
    assert_eq!(stage.answer(commit), Err(StoreError::UnknownCommit));
    let call = stage.start(b, vec![begin()]);
    assert_eq!(stage.answer(call), Err(StoreError::Lost), "all sessions end with it");
    let c = stage.open_when_up(Node::First);
    assert_eq!(stage.ok(c, vec![begin(), count(&EVENTS), COMMIT])[1], Reply::Count(0));
}

pub fn b32_a_full_disk_refuses_writes_and_reads_go_on(stage: &mut Stage<'_>) {
    stage.accounts(1);
    let (a, b) = (stage.session(), stage.session());
    stage.act(Deed::FillDisk);
    let large = |id: i64| {
        let payload = bytes::Bytes::from(vec![7; 4_000]);
        let row = vec!["s".into(), id.into(), payload.into()];
        host::ports::store::Statement::Insert { table: &EVENTS, row, on_conflict: OnConflict::Error }
    };
    stage.ok(a, vec![begin()]);
    // What pages have left takes some rows.
    let refused = (1..50).find_map(|id| {
        let call = stage.start(a, vec![large(id)]);
        stage.answer(call).err()
    });
    assert!(matches!(refused, Some(StoreError::Database { sqlstate: "53100", .. })), "{refused:?}");
    stage.ok(a, vec![ROLLBACK]);
    assert_eq!(rows(&stage.ok(b, vec![begin(), get(1), COMMIT])[1]), [account(1, 0, 100)]);
    stage.act(Deed::EmptyDisk);
    stage.ok(a, vec![begin(), large(1), COMMIT]);
}
