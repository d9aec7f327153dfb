//! A: produce, acks, in-sync replicas, high watermark.

use bytes::{Bytes, BytesMut};
use futures::join;
use kafka::ResponseError;
use kafka::client::LinkError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use crate::batch::{batch, keyed, value};
use crate::list::behaviours;
use crate::stage::Stage;
use crate::topic::Isolation::ReadUncommitted;
use crate::topic::{LATEST, Topic};

behaviours! {
    "acks=0 is never answered, and a refused record is lost in silence"
        => a01_acks_0_is_never_answered;
    "a record acknowledged with acks=1 is lost if the leader dies before a follower has fetched it"
        => a02_acks_1_loses_what_followers_have_not_fetched [Pause, Kill];
    "acks=all waits for the replicas in sync now, be it the leader alone"
        => a03_acks_all_waits_for_the_current_isr [Stop];
    "below min.insync.replicas acks=all is refused and nothing appended, acks=1 and 0 go on"
        => a04_not_enough_replicas_appends_nothing [Stop];
    "in-sync replicas lost after the append: REQUEST_TIMED_OUT, and the record is in the log"
        => a05_in_sync_replicas_lost_after_the_append_leave_the_record [Pause];
    "consumers read below the high watermark only, which waits for all replicas in sync"
        => a06_consumers_read_below_the_high_watermark [Pause];
    "who does not lead a partition refuses it with NOT_LEADER_OR_FOLLOWER"
        => a07_a_broker_that_does_not_lead_refuses;
    "a batch over max.message.bytes is MESSAGE_TOO_LARGE, and nothing of it is appended"
        => a08_a_batch_over_max_message_bytes_is_refused;
    "without idempotence a repeated batch is appended again"
        => a10_a_retry_without_idempotence_duplicates;
    "a batch is appended whole or not, and the partitions of a request by themselves"
        => a12_a_batch_is_atomic_and_partitions_are_independent;
    "an unknown topic is UNKNOWN_TOPIC_OR_PARTITION, unless its creation is allowed"
        => a13_an_unknown_topic_is_created_where_allowed;
}

async fn values(topic: &Topic, partition: i32) -> Vec<String> {
    topic.read(partition, ReadUncommitted).await.iter().map(value).collect()
}

async fn end(topic: &Topic, partition: i32) -> i64 {
    topic.offset(partition, LATEST, ReadUncommitted).await.0
}

async fn a01_acks_0_is_never_answered(stage: Stage) {
    let topic = stage.topic("t", 1, &[("max.message.bytes", "500")]).await;
    let leader = topic.leader(0).await;
    let large = "x".repeat(1_000);
    for text in [large.as_str(), "small"] {
        let bytes = batch(&[text]).encode(stage.now());
        let data = PartitionProduceData::default().with_index(0).with_records(Some(bytes));
        let asked = TopicProduceData::default()
            .with_name(kafka::topic_name(&topic.name))
            .with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(0).with_timeout_ms(1_000).with_topic_data(vec![asked]);
        let answer = stage.try_ask::<ProduceResponse>(leader, request, 1_000).await;
        // Of a record that it refuses a broker may tell by closing the connection, and not otherwise.
        let silent = matches!(answer, Err(LinkError::TimedOut));
        assert!(silent || (answer == Err(LinkError::Reset) && text != "small"), "{answer:?}");
    }
    stage.eventually("the small one is there", async || (end(&topic, 0).await == 1).then_some(())).await;
    assert_eq!(values(&topic, 0).await, ["small"]);
}

async fn a02_acks_1_loses_what_followers_have_not_fetched(stage: Stage) {
    let topic = stage.topic("t", 1, &[("min.insync.replicas", "1")]).await;
    topic.produce(0, -1, batch(&["kept"])).await.expect("all replicas are there");
    let leader = topic.leader(0).await;
    let followers = followers(&topic, leader).await;
    for follower in &followers {
        stage.cluster.pause(*follower).await;
    }
    // Fetches that were under way come back empty.
    stage.sleep(1_000).await;
    assert_eq!(topic.produce_at(leader, 0, 1, batch(&["lost"])).await, Ok(1), "acknowledged");
    stage.cluster.kill(leader).await;
    for follower in &followers {
        stage.cluster.resume(*follower).await;
    }
    topic.leader_other_than(0, leader).await;
    assert_eq!(values(&topic, 0).await, ["kept"]);
    assert_eq!(topic.produce(0, 1, batch(&["other"])).await, Ok(1), "its offset is given to another");
}

async fn followers(topic: &Topic, leader: i32) -> Vec<i32> {
    topic.replicas(0).await.into_iter().filter(|replica| *replica != leader).collect()
}

async fn a03_acks_all_waits_for_the_current_isr(stage: Stage) {
    let topic = stage.topic("t", 1, &[("min.insync.replicas", "1")]).await;
    let leader = topic.leader(0).await;
    for follower in followers(&topic, leader).await {
        stage.cluster.stop(follower).await;
    }
    topic.wait_for_isr(0, vec![leader]).await;
    assert_eq!(topic.produce_at(leader, 0, -1, batch(&["alone"])).await, Ok(0));
    assert_eq!(topic.fetch_at(leader, 0, 0, ReadUncommitted).await.high_watermark, 1);
}

async fn a04_not_enough_replicas_appends_nothing(stage: Stage) {
    let topic = stage.topic("t", 1, &[("min.insync.replicas", "3")]).await;
    topic.produce(0, -1, batch(&["before"])).await.expect("all replicas are there");
    let leader = topic.leader(0).await;
    let mut replicas = topic.replicas(0).await;
    let stopped = followers(&topic, leader).await[0];
    stage.cluster.stop(stopped).await;
    replicas.retain(|replica| *replica != stopped);
    topic.wait_for_isr(0, replicas).await;
    let refused = topic.produce_at(leader, 0, -1, batch(&["refused"])).await;
    assert_eq!(refused, Err(ResponseError::NotEnoughReplicas));
    assert_eq!(topic.produce_at(leader, 0, 1, batch(&["acks 1"])).await, Ok(1), "nothing was appended");
}

async fn a05_in_sync_replicas_lost_after_the_append_leave_the_record(stage: Stage) {
    let topic = stage.topic("t", 1, &[("min.insync.replicas", "3")]).await;
    let leader = topic.leader(0).await;
    let mut replicas = topic.replicas(0).await;
    let paused = followers(&topic, leader).await[0];
    stage.cluster.pause(paused).await;
    // As long as a broker that is silent needs to be out of the in-sync replicas, and longer.
    let answer = topic.try_produce_at(leader, 0, -1, batch(&["appended"]), 15_000).await;
    let answer = answer.expect("the leader answers");
    // Since the high watermark waits for min.insync.replicas (KIP-966), time runs out first.
    let outcome = ResponseError::try_from_code(answer.error_code).expect("not a success");
    assert_eq!(outcome, ResponseError::RequestTimedOut);
    replicas.retain(|replica| *replica != paused);
    topic.wait_for_isr(0, replicas).await;
    let fetched = topic.fetch_at(leader, 0, 0, ReadUncommitted).await;
    assert_eq!((fetched.high_watermark, fetched.records.len()), (0, 0), "below min.insync.replicas");
    stage.cluster.resume(paused).await;
    stage
        .eventually("it is committed", async || (values(&topic, 0).await == ["appended"]).then_some(()))
        .await;
}

async fn a06_consumers_read_below_the_high_watermark(stage: Stage) {
    let topic = stage.topic("t", 1, &[("min.insync.replicas", "1")]).await;
    topic.produce(0, -1, batch(&["below"])).await.expect("all replicas are there");
    let leader = topic.leader(0).await;
    let paused = followers(&topic, leader).await[0];
    stage.cluster.pause(paused).await;
    stage.sleep(500).await;
    assert_eq!(topic.produce_at(leader, 0, 1, batch(&["above"])).await, Ok(1));
    let fetched = topic.fetch_at(leader, 0, 0, ReadUncommitted).await;
    assert_eq!(fetched.records.iter().map(value).collect::<Vec<_>>(), ["below"]);
    assert_eq!(fetched.high_watermark, 1);
    assert_eq!(topic.offset_at(leader, 0, LATEST, ReadUncommitted).await.map(|found| found.0), Ok(1));
    stage.cluster.resume(paused).await;
    stage
        .eventually("both are visible", async || {
            (values(&topic, 0).await == ["below", "above"]).then_some(())
        })
        .await;
}

async fn a07_a_broker_that_does_not_lead_refuses(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let leader = topic.leader(0).await;
    for follower in followers(&topic, leader).await {
        let refused = topic.produce_at(follower, 0, -1, batch(&["v"])).await;
        assert_eq!(refused, Err(ResponseError::NotLeaderOrFollower));
        let asked = topic.offset_at(follower, 0, LATEST, ReadUncommitted).await;
        assert_eq!(asked, Err(ResponseError::NotLeaderOrFollower));
    }
    assert_eq!(topic.produce_at(leader, 0, -1, batch(&["v"])).await, Ok(0));
}

async fn a08_a_batch_over_max_message_bytes_is_refused(stage: Stage) {
    let topic = stage.topic("t", 1, &[("max.message.bytes", "500")]).await;
    let half = "x".repeat(300);
    let refused = topic.produce(0, -1, batch(&[&half, &half])).await;
    assert_eq!(refused, Err(ResponseError::MessageTooLarge));
    assert_eq!(topic.produce(0, -1, batch(&[&half])).await, Ok(0), "each for itself fits");
}

async fn a10_a_retry_without_idempotence_duplicates(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let same = batch(&["v"]);
    assert_eq!(topic.produce(0, -1, same.clone()).await, Ok(0));
    assert_eq!(topic.produce(0, -1, same).await, Ok(1));
    assert_eq!(values(&topic, 0).await, ["v", "v"]);
}

async fn a12_a_batch_is_atomic_and_partitions_are_independent(stage: Stage) {
    let topic = stage.topic("t", 3, &[]).await;
    let good = batch(&["a", "b"]).encode(stage.now());
    let mut broken = BytesMut::from(&good[..]);
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let broken = broken.freeze();
    // Of three partitions on three brokers or fewer: each leader gets one request for all of them.
    for leader in crate::BROKERS {
        let answer = produce_both(&topic, leader, &good, &broken).await;
        for (partition, code) in answer {
            let expected = match (topic.leader(partition).await == leader, partition) {
                (false, _) => ResponseError::NotLeaderOrFollower.code(),
                (true, 1) => ResponseError::CorruptMessage.code(),
                (true, _) => 0,
            };
            assert_eq!(code, expected, "partition {partition} at broker {leader}");
        }
    }
    let ends = join!(end(&topic, 0), end(&topic, 1), end(&topic, 2));
    assert_eq!(ends, (2, 0, 2));

    let compacted = stage.topic("compacted", 1, &[("cleanup.policy", "compact")]).await;
    assert_eq!(compacted.produce(0, -1, keyed("k", Some("v"))).await, Ok(0));
    let keyless = compacted.produce(0, -1, batch(&["a", "b"])).await;
    assert_eq!(keyless, Err(ResponseError::InvalidRecord));
    assert_eq!(end(&compacted, 0).await, 1);
}

/// All three partitions in one request, the second broken: their numbers and codes.
async fn produce_both(topic: &Topic, broker: i32, good: &Bytes, broken: &Bytes) -> Vec<(i32, i16)> {
    let data = (0..3).map(|partition| {
        let records = if partition == 1 { broken } else { good };
        PartitionProduceData::default().with_index(partition).with_records(Some(records.clone()))
    });
    let asked = TopicProduceData::default()
        .with_name(kafka::topic_name(&topic.name))
        .with_partition_data(data.collect());
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(5_000).with_topic_data(vec![asked]);
    let answer: ProduceResponse = topic.stage.ask(broker, request).await;
    answer.responses[0].partition_responses.iter().map(|one| (one.index, one.error_code)).collect()
}

async fn a13_an_unknown_topic_is_created_where_allowed(stage: Stage) {
    let name = stage.name("nowhere");
    let metadata = stage.metadata(&name).await.expect("a broker answers");
    assert_eq!(metadata.topics[0].error_code, ResponseError::UnknownTopicOrPartition.code());
    let request = crate::stage::metadata_of(&name).with_allow_auto_topic_creation(true);
    stage
        .eventually("the broker creates it", async || {
            let metadata: kafka_protocol::messages::MetadataResponse = stage.ask_any(request.clone()).await?;
            let topic = &metadata.topics[0];
            (topic.error_code == 0 && !topic.partitions.is_empty()).then_some(())
        })
        .await;
}
