//! Committed offsets, told by raw requests.

use kafka::ResponseError;

use crate::group::SESSION_MS;
use crate::list::behaviours;
use crate::stage::Stage;
use crate::transaction::Member;

behaviours! {
    "a commit is checked: generation, member, and whether the group is being rebalanced"
        => e48_commits_are_checked;
    "the last commit wins, also when it goes backwards"
        => e49_the_last_commit_wins;
    "an offset committed in a transaction counts from the commit, unless another was committed after it"
        => e50_a_transactions_offset_does_not_overwrite_a_later_one;
    "while an offset is pending in a transaction, who asks for stable ones gets UNSTABLE_OFFSET_COMMIT"
        => e51_pending_offsets_are_unstable;
    "an empty group's offsets expire after offsets.retention.minutes"
        => e55_offsets_of_an_empty_group_expire;
    "offsets outlive their coordinator; others refuse with NOT_COORDINATOR"
        => e55_another_coordinator_takes_over [Kill];
}

async fn e48_commits_are_checked(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let group = stage.name("g");
    let simple = Member::of(&group);
    stage.commit(&simple, &topic, 0, 1).await;
    let named = Member { generation: 3, member_id: "m".into(), ..simple.clone() };
    let refused = stage.try_commit(&named, &topic, 0, 2).await;
    assert_eq!(refused, Err(ResponseError::UnknownMemberId), "the group is empty");
    let member = stage.lone_member("g", SESSION_MS).await;
    assert_eq!(stage.try_commit(&member, &topic, 0, 2).await, Ok(()));
    let stale = Member { generation: member.generation - 1, ..member.clone() };
    assert_eq!(stage.try_commit(&stale, &topic, 0, 3).await, Err(ResponseError::IllegalGeneration));
    let refused = stage.try_commit(&simple, &topic, 0, 3).await;
    assert_eq!(refused, Err(ResponseError::UnknownMemberId), "no generation, and the group has members");
    // Joined again, and not synced: CompletingRebalance.
    let (joined, _) = stage.join(member.clone(), SESSION_MS).await;
    assert_eq!(stage.try_commit(&joined, &topic, 0, 3).await, Err(ResponseError::RebalanceInProgress));
    assert_eq!(stage.committed(&group, &topic, 0).await, 2);
}

async fn e49_the_last_commit_wins(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let member = Member::of(stage.name("g"));
    for offset in [10, 4, 7] {
        stage.commit(&member, &topic, 0, offset).await;
        assert_eq!(stage.committed(&member.group, &topic, 0).await, offset);
    }
}

async fn e50_a_transactions_offset_does_not_overwrite_a_later_one(stage: Stage) {
    let topic = stage.topic("t", 2, &[]).await;
    let simple = Member::of(stage.name("g"));
    let producer = stage.transactional("p", 60_000).await;
    producer.add_offsets(&simple.group).await;
    producer.commit_offset(&simple, &topic, 0, 5).await;
    producer.commit_offset(&simple, &topic, 1, 5).await;
    assert_eq!(stage.committed(&simple.group, &topic, 0).await, -1, "pending");
    stage.commit(&simple, &topic, 0, 9).await;
    producer.end(true).await;
    stage
        .eventually("the marker is written", async || {
            (stage.committed(&simple.group, &topic, 1).await == 5).then_some(())
        })
        .await;
    assert_eq!(stage.committed(&simple.group, &topic, 0).await, 9, "it was committed later");
    producer.add_offsets(&simple.group).await;
    producer.commit_offset(&simple, &topic, 1, 6).await;
    producer.end(false).await;
    stage
        .eventually("the abort is there", async || {
            (stage.try_committed(&simple.group, &topic, 1, true).await == Ok(5)).then_some(())
        })
        .await;
}

async fn e51_pending_offsets_are_unstable(stage: Stage) {
    let topic = stage.topic("t", 2, &[]).await;
    let simple = Member::of(stage.name("g"));
    stage.commit(&simple, &topic, 0, 2).await;
    let producer = stage.transactional("p", 60_000).await;
    producer.add_offsets(&simple.group).await;
    producer.commit_offset(&simple, &topic, 0, 5).await;
    let unstable = stage.try_committed(&simple.group, &topic, 0, true).await;
    assert_eq!(unstable, Err(ResponseError::UnstableOffsetCommit));
    assert_eq!(stage.try_committed(&simple.group, &topic, 0, false).await, Ok(2));
    assert_eq!(stage.try_committed(&simple.group, &topic, 1, true).await, Ok(-1), "this one is not");
    producer.end(true).await;
    stage
        .eventually("it is stable", async || {
            (stage.try_committed(&simple.group, &topic, 0, true).await == Ok(5)).then_some(())
        })
        .await;
}

async fn e55_offsets_of_an_empty_group_expire(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let member = stage.lone_member("busy", 120_000).await;
    stage.commit(&member, &topic, 0, 1).await;
    let simple = Member::of(stage.name("empty"));
    stage.commit(&simple, &topic, 0, 1).await;
    // offsets.retention.minutes is 1 here.
    stage.sleep(50_000).await;
    assert_eq!(stage.committed(&simple.group, &topic, 0).await, 1, "not yet");
    stage.sleep(15_000).await;
    stage
        .eventually("it has expired", async || {
            (stage.committed(&simple.group, &topic, 0).await == -1).then_some(())
        })
        .await;
    assert_eq!(stage.committed(&member.group, &topic, 0).await, 1, "this group has a member");
}

async fn e55_another_coordinator_takes_over(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let simple = Member::of(stage.name("g"));
    stage.commit(&simple, &topic, 0, 4).await;
    let coordinator = stage.group_coordinator(&simple.group).await;
    let stranger = crate::BROKERS.into_iter().find(|broker| *broker != coordinator).expect("three");
    let refused = stage.commit_at(stranger, &simple, &topic, 0, 5).await;
    assert_eq!(refused, Err(ResponseError::NotCoordinator));
    stage.cluster.kill(coordinator).await;
    stage
        .eventually("another one coordinates, and has loaded", async || {
            let found = stage.group_coordinator(&simple.group).await;
            (found != coordinator
                && stage.committed_at(found, &simple.group, &topic, 0, false).await == Ok(4))
            .then_some(())
        })
        .await;
    stage.commit(&simple, &topic, 0, 6).await;
    assert_eq!(stage.committed(&simple.group, &topic, 0).await, 6);
}
