//! Who leads after a failure, and what is lost then.

use kafka::{ResponseError, topic_name};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

use crate::batch::{batch, value};
use crate::list::behaviours;
use crate::stage::{Stage, check};
use crate::topic::Isolation::ReadUncommitted;
use crate::topic::Topic;

behaviours! {
    "without a replica in sync there is no leader; an unclean election loses what was acknowledged"
        => i72_an_unclean_election_loses_acknowledged_records [Stop, Kill];
    "a silent follower holds acks=all up until it is out of the in-sync replicas: the outcome is unknown meanwhile"
        => i76_a_silent_follower_holds_acks_all_up [Pause];
    "power lost on all replicas at once loses what was acknowledged and not flushed"
        => i77_power_lost_everywhere_loses_acknowledged_records [PowerOff];
    "a leader that stood still and was replaced is fenced: what it took meanwhile is truncated"
        => i78_a_leader_that_stood_still_is_fenced [Pause];
}

async fn values(topic: &Topic) -> Vec<String> {
    topic.read(0, ReadUncommitted).await.iter().map(value).collect()
}

async fn followers(topic: &Topic, leader: i32) -> Vec<i32> {
    topic.replicas(0).await.into_iter().filter(|replica| *replica != leader).collect()
}

/// Elects any replica that is there.
async fn elect_uncleanly(topic: &Topic) {
    let partitions = TopicPartitions::default().with_topic(topic_name(&topic.name)).with_partitions(vec![0]);
    let request = ElectLeadersRequest::default()
        .with_election_type(1)
        .with_topic_partitions(Some(vec![partitions]))
        .with_timeout_ms(10_000);
    let controller = topic.stage.controller().await.expect("a controller");
    let answer: ElectLeadersResponse = topic.stage.ask(controller, request).await;
    assert_eq!(check(answer.error_code), Ok(()));
    assert_eq!(check(answer.replica_election_results[0].partition_result[0].error_code), Ok(()));
}

async fn i72_an_unclean_election_loses_acknowledged_records(stage: Stage) {
    let topic = stage.topic("t", 1, &[("min.insync.replicas", "1")]).await;
    topic.produce(0, -1, batch(&["kept"])).await.expect("all replicas are there");
    let leader = topic.leader(0).await;
    let followers = followers(&topic, leader).await;
    for follower in &followers {
        stage.cluster.stop(*follower).await;
    }
    topic.wait_for_isr(0, vec![leader]).await;
    assert_eq!(topic.produce_at(leader, 0, -1, batch(&["lost"])).await, Ok(1), "by all in sync");
    stage.cluster.kill(leader).await;
    for follower in &followers {
        stage.cluster.start(*follower).await;
    }
    stage
        .eventually("the partition is offline", async || {
            let state = topic.state(0).await?;
            (state.leader_id.0 == -1 && state.error_code == ResponseError::LeaderNotAvailable.code())
                .then_some(())
        })
        .await;
    stage.sleep(2_000).await;
    assert_eq!(topic.state(0).await.expect("metadata").leader_id.0, -1, "it stays so");
    elect_uncleanly(&topic).await;
    let elected = topic.leader(0).await;
    assert!(followers.contains(&elected));
    assert_eq!(values(&topic).await, ["kept"], "acknowledged by all in sync, and gone");
    stage.cluster.start(leader).await;
    topic.wait_for_isr(0, topic.replicas(0).await).await;
    assert_eq!(values(&topic).await, ["kept"], "the old leader has truncated it");
}

async fn i76_a_silent_follower_holds_acks_all_up(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let leader = topic.leader(0).await;
    let mut replicas = topic.replicas(0).await;
    let silent = followers(&topic, leader).await[0];
    stage.cluster.pause(silent).await;
    stage.sleep(500).await;
    let answer = topic.try_produce_at(leader, 0, -1, batch(&["unknown"]), 1_000).await.expect("an answer");
    assert_eq!(check(answer.error_code), Err(ResponseError::RequestTimedOut), "and it is in the log");
    let began = stage.now();
    assert_eq!(topic.produce_at(leader, 0, -1, batch(&["later"])).await, Ok(1));
    assert!(stage.now() - began > 500, "it waited {} ms for the silent one", stage.now() - began);
    replicas.retain(|replica| *replica != silent);
    topic.wait_for_isr(0, replicas).await;
    assert_eq!(values(&topic).await, ["unknown", "later"]);
}

async fn i77_power_lost_everywhere_loses_acknowledged_records(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    topic.produce(0, -1, batch(&["acknowledged"])).await.expect("all replicas have it");
    stage.cluster.power_off(&crate::BROKERS).await;
    for broker in crate::BROKERS {
        stage.cluster.start(broker).await;
    }
    topic.leader(0).await;
    assert!(values(&topic).await.is_empty(), "durability is replication, and all replicas are gone");
}

async fn i78_a_leader_that_stood_still_is_fenced(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    topic.produce(0, -1, batch(&["before"])).await.expect("all replicas are there");
    let old = topic.leader(0).await;
    let before = topic.state(0).await.expect("metadata").leader_epoch;
    stage.cluster.pause(old).await;
    topic.leader_other_than(0, old).await;
    assert_eq!(topic.produce(0, -1, batch(&["by the new leader"])).await, Ok(1));
    stage.cluster.resume(old).await;
    // Until it learns, it takes what needs no other replica.
    let stale = topic.try_produce_at(old, 0, 1, batch(&["by the old leader"]), 5_000).await;
    let said = stale.map(|answer| check(answer.error_code));
    let is_told = matches!(said, Ok(Ok(()) | Err(ResponseError::NotLeaderOrFollower)));
    assert!(is_told, "{said:?}");
    topic.wait_for_isr(0, topic.replicas(0).await).await;
    stage
        .eventually("the old leader has learned of the new epoch", async || {
            let epoch = topic.state_at(old, 0).await?.leader_epoch;
            (epoch > before).then_some(())
        })
        .await;
    assert_eq!(topic.produce_at(old, 0, -1, batch(&["v"])).await, Err(ResponseError::NotLeaderOrFollower));
    assert_eq!(values(&topic).await, ["before", "by the new leader"]);
}
