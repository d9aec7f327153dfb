//! Members and generations, told by raw requests.

use futures::join;
use kafka::ResponseError;

use crate::cluster::SETTINGS;
use crate::group::{SESSION_MS, member_ids};
use crate::list::behaviours;
use crate::stage::{Stage, check};
use crate::transaction::Member;

behaviours! {
    "a second member makes a new generation, in which each has its own assignment"
        => e45_a_new_member_makes_a_new_generation;
    "a member without heartbeats is out after session.timeout.ms: UNKNOWN_MEMBER_ID"
        => e46_a_silent_member_is_out;
    "an empty group's first generation waits group.initial.rebalance.delay.ms for more members"
        => e47_the_first_generation_waits_for_more_members;
    "a static member that comes back finds its generation as it was"
        => d44_a_static_member_comes_back_into_its_generation;
}

async fn e45_a_new_member_makes_a_new_generation(stage: Stage) {
    let first = stage.lone_member("g", SESSION_MS).await;
    let again = async {
        stage
            .eventually("a rebalance is told", async || {
                (stage.try_heartbeat(&first).await == Err(ResponseError::RebalanceInProgress)).then_some(())
            })
            .await;
        stage.join(first.clone(), SESSION_MS).await
    };
    let ((first, led), (second, followed)) = join!(again, stage.join(Member::of(&first.group), SESSION_MS));
    assert_eq!(first.generation, second.generation);
    assert_eq!(led.leader, followed.leader);
    let ids = member_ids(if led.members.is_empty() { &followed } else { &led });
    assert_eq!(ids.len(), 2, "the leader alone knows all members");
    let (led, followed) = if led.members.is_empty() { (&second, &first) } else { (&first, &second) };
    let (own, other) = join!(stage.try_sync(led, &ids), stage.try_sync(followed, &[]));
    assert_eq!(own.as_deref(), Ok(led.member_id.as_bytes()));
    assert_eq!(other.as_deref(), Ok(followed.member_id.as_bytes()));
    assert_eq!(stage.try_heartbeat(&first).await, Ok(()));
    assert_eq!(stage.try_heartbeat(&second).await, Ok(()));
}

async fn e46_a_silent_member_is_out(stage: Stage) {
    let member = stage.lone_member("g", 2_000).await;
    assert_eq!(stage.try_heartbeat(&member).await, Ok(()));
    stage.sleep(4_000).await;
    assert_eq!(stage.try_heartbeat(&member).await, Err(ResponseError::UnknownMemberId));
    let topic = stage.topic("t", 1, &[]).await;
    let commit = stage.try_commit(&member, &topic, 0, 1).await;
    // With its last member and no offsets the group itself goes, at the next check.
    let is_refused = matches!(commit, Err(ResponseError::UnknownMemberId | ResponseError::GroupIdNotFound));
    assert!(is_refused, "{commit:?}");
    let too_short = stage.try_join(&Member::of(stage.name("short")), 500).await.expect("an answer");
    assert_eq!(check(too_short.error_code), Err(ResponseError::InvalidSessionTimeout));
}

async fn e47_the_first_generation_waits_for_more_members(stage: Stage) {
    let (_, delay) = SETTINGS
        .iter()
        .find(|(name, _)| *name == "group.initial.rebalance.delay.ms")
        .expect("the suite sets it");
    let delay: i64 = delay.parse().expect("a number");
    // Ready to answer, so that finding the coordinator does not count.
    stage.group_coordinator(&stage.name("g")).await;
    let began = stage.now();
    let group = stage.name("g");
    let later = async {
        stage.sleep(delay / 2).await;
        stage.join(Member::of(&group), SESSION_MS).await
    };
    let ((first, _), (second, _)) = join!(stage.join(Member::of(&group), SESSION_MS), later);
    assert!(stage.now() - began >= delay, "after {} ms", stage.now() - began);
    assert_eq!((first.generation, second.generation), (1, 1), "both are in the first one");
}

async fn d44_a_static_member_comes_back_into_its_generation(stage: Stage) {
    let named = Member { instance_id: Some("i".into()), ..Member::of(stage.name("g")) };
    let (first, _) = stage.join(named.clone(), SESSION_MS).await;
    let assigned = stage.try_sync(&first, std::slice::from_ref(&first.member_id)).await.expect("synced");
    let (second, _) = stage.join(named, SESSION_MS).await;
    assert_eq!(second.generation, first.generation, "no rebalance");
    let found = stage.try_sync(&second, &[]).await.expect("synced");
    assert_eq!(found, assigned, "what the first was given");
}
