//! Leader epochs: truncation, and who is behind or ahead of the times.

use kafka::{ResponseError, topic_name};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    BrokerId, DeleteTopicsRequest, DeleteTopicsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};

use crate::batch::{batch, value};
use crate::list::behaviours;
use crate::stage::{Stage, check};
use crate::topic::Isolation::ReadUncommitted;
use crate::topic::{LATEST, Topic};

behaviours! {
    "a new leader raises the epoch, and who comes back truncates what the new leader has not got"
        => i73_who_comes_back_truncates [Pause, Kill];
    "a reader learns of truncation from the end of its epoch"
        => i74_a_reader_learns_of_truncation [Pause, Kill];
    "an older leader epoch is FENCED_LEADER_EPOCH, a newer one UNKNOWN_LEADER_EPOCH"
        => i75_requests_of_another_epoch_are_refused [Stop];
    "a topic that is deleted and made again begins at 0, and is another one"
        => i79_a_topic_made_again_is_another;
}

/// A record acknowledged with acks=1 that only a leader has which is dead now. The new leader has another in its place.
struct Diverged {
    topic: Topic,
    old: i32,
    old_epoch: i32,
}

async fn diverge(stage: &Stage) -> Diverged {
    let topic = stage.topic("t", 1, &[("min.insync.replicas", "1")]).await;
    topic.produce(0, -1, batch(&["kept"])).await.expect("all replicas are there");
    let old = topic.leader(0).await;
    let old_epoch = topic.state(0).await.expect("metadata").leader_epoch;
    let followers: Vec<i32> = topic.replicas(0).await.into_iter().filter(|one| *one != old).collect();
    for follower in &followers {
        stage.cluster.pause(*follower).await;
    }
    // Fetches that were under way come back empty.
    stage.sleep(1_000).await;
    for lost in ["lost 1", "lost 2"] {
        topic.produce_at(old, 0, 1, batch(&[lost])).await.expect("acknowledged by the leader alone");
    }
    stage.cluster.kill(old).await;
    for follower in &followers {
        stage.cluster.resume(*follower).await;
    }
    topic.leader_other_than(0, old).await;
    assert_eq!(topic.produce(0, 1, batch(&["new"])).await, Ok(1));
    Diverged { topic, old, old_epoch }
}

/// The end of an epoch, as the leader knows it: the epoch it answers for, and the offset.
async fn end_of_epoch(topic: &Topic, epoch: i32) -> Result<(i32, i64), ResponseError> {
    let partition = OffsetForLeaderPartition::default()
        .with_partition(0)
        .with_current_leader_epoch(-1)
        .with_leader_epoch(epoch);
    let asked =
        OffsetForLeaderTopic::default().with_topic(topic_name(&topic.name)).with_partitions(vec![partition]);
    let request =
        OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]);
    let answer: OffsetForLeaderEpochResponse = topic.stage.ask(topic.leader(0).await, request).await;
    let found = &answer.topics[0].partitions[0];
    check(found.error_code).map(|()| (found.leader_epoch, found.end_offset))
}

async fn i73_who_comes_back_truncates(stage: Stage) {
    let Diverged { topic, old, old_epoch } = diverge(&stage).await;
    let epoch = topic.state(0).await.expect("metadata").leader_epoch;
    assert!(epoch > old_epoch, "{old_epoch} and then {epoch}");
    stage.cluster.start(old).await;
    topic.wait_for_isr(0, topic.replicas(0).await).await;
    // It leads again when the others are gone: what it has now is what they had.
    for other in topic.replicas(0).await.into_iter().filter(|one| *one != old) {
        stage.cluster.stop(other).await;
    }
    stage.eventually("the old one leads", async || (topic.leader(0).await == old).then_some(())).await;
    let seen: Vec<String> = topic.read(0, ReadUncommitted).await.iter().map(value).collect();
    assert_eq!(seen, ["kept", "new"]);
}

async fn i74_a_reader_learns_of_truncation(stage: Stage) {
    let Diverged { topic, old_epoch, .. } = diverge(&stage).await;
    // A reader that had seen three records of the old epoch.
    assert_eq!(end_of_epoch(&topic, old_epoch).await, Ok((old_epoch, 1)), "only one of them is left");
    let leader = topic.leader(0).await;
    let fetched = topic.try_fetch_diverging(leader, 0, 3, old_epoch).await.expect("an answer");
    assert_eq!(fetched, Some((old_epoch, 1)), "a fetch that names its last epoch is told too");
}

async fn i75_requests_of_another_epoch_are_refused(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    topic.produce(0, -1, batch(&["v"])).await.expect("appended");
    let leader = topic.leader(0).await;
    let epoch = topic.state(0).await.expect("metadata").leader_epoch;
    let fetch = async |named: i32| {
        let fetched = topic
            .try_fetch_at(leader, 0, 0, ReadUncommitted, |mut request| {
                request.topics[0].partitions[0].current_leader_epoch = named;
                request
            })
            .await
            .expect("an answer");
        fetched.error
    };
    assert_eq!(fetch(epoch).await, None);
    assert_eq!(fetch(epoch + 1).await, Some(ResponseError::UnknownLeaderEpoch));
    stage.cluster.stop(leader).await;
    let successor = topic.leader_other_than(0, leader).await;
    let stale = topic
        .try_fetch_at(successor, 0, 0, ReadUncommitted, |mut request| {
            request.topics[0].partitions[0].current_leader_epoch = epoch;
            request
        })
        .await
        .expect("an answer");
    assert_eq!(stale.error, Some(ResponseError::FencedLeaderEpoch));
}

async fn i79_a_topic_made_again_is_another(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    for _ in 0..3 {
        topic.produce(0, -1, batch(&["old"])).await.expect("appended");
    }
    let id = topic.id().await;
    let request = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic_name(&topic.name)])
        .with_timeout_ms(10_000);
    let controller = stage.controller().await.expect("a controller");
    let answer: DeleteTopicsResponse = stage.ask(controller, request).await;
    assert_eq!(check(answer.responses[0].error_code), Ok(()));
    stage
        .eventually("it is gone", async || {
            let metadata = stage.metadata(&topic.name).await?;
            (metadata.topics[0].error_code == ResponseError::UnknownTopicOrPartition.code()).then_some(())
        })
        .await;
    let again = stage.topic("t", 1, &[]).await;
    assert_ne!(again.id().await, id);
    assert_eq!(again.offset(0, LATEST, ReadUncommitted).await.0, 0);
    let stale = again.fetch(0, 3, ReadUncommitted).await;
    assert_eq!(stale.error, Some(ResponseError::OffsetOutOfRange));
    assert_eq!(again.produce(0, -1, batch(&["new"])).await, Ok(0));
}
