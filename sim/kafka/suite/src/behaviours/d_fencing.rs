//! D: who is fenced, by what, and how it learns.

use kafka::{ResponseError, topic_name};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{ProducerId, WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use super::c_transactions::record;
use crate::batch::{applications, value};
use crate::group::SESSION_MS;
use crate::list::behaviours;
use crate::stage::{Stage, check};
use crate::topic::Isolation::ReadCommitted;
use crate::topic::Topic;
use crate::transaction::Member;

behaviours! {
    "an old epoch is INVALID_PRODUCER_EPOCH to a partition's leader, PRODUCER_FENCED to the coordinator"
        => d38_an_old_epoch_is_fenced;
    "of two processes with one transactional.id the later goes on, the earlier is fenced and its data aborted"
        => d39_the_later_of_two_processes_goes_on [Producer, Transactions];
    "with ids per process only KIP-447's metadata fences who lost its partitions: a zombie without it commits"
        => d40_a_transactional_id_alone_does_not_fence_a_zombie;
    "TxnOffsetCommit of a stale member is refused, and its records are undone by aborting only"
        => d41_offsets_of_a_stale_member_are_refused;
    "TxnOffsetCommit that names the group alone is not checked"
        => d42_the_group_alone_skips_the_check;
    "markers of an old coordinator are TRANSACTION_COORDINATOR_FENCED"
        => d43_an_old_coordinator_is_fenced;
    "a second instance with the same group.instance.id fences the first: FENCED_INSTANCE_ID"
        => d44_the_second_instance_fences_the_first;
}

const WAIT_MS: i64 = 30_000;

async fn d38_an_old_epoch_is_fenced(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let old = stage.transactional("p", 60_000).await;
    old.write(&topic, 0, 0, &["old"]).await;
    let new = stage.transactional("p", 60_000).await;
    topic.wait_until_stable(0).await;
    let produced = old.try_produce(&topic, 0, 1, &["late"]).await;
    assert_eq!(produced, Err(ResponseError::InvalidProducerEpoch));
    assert_eq!(old.try_add(&topic, 0).await, Err(ResponseError::ProducerFenced));
    assert_eq!(old.try_end(true).await, Err(ResponseError::ProducerFenced));
    assert_eq!(old.try_add_offsets(&stage.name("g")).await, Err(ResponseError::ProducerFenced));
    new.write(&topic, 0, 0, &["new"]).await;
    new.end_in(true, &topic, &[0]).await;
}

async fn d39_the_later_of_two_processes_goes_on(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let id = stage.name("p");
    let earlier = stage.producer(&[("transactional.id", &id)]);
    earlier.init_transactions(WAIT_MS).await.expect("a coordinator");
    earlier.begin_transaction().expect("initialised");
    earlier.produce(record(&topic, 0, "earlier")).expect("begun");
    earlier.flush(WAIT_MS).await.expect("all reported");
    let later = stage.producer(&[("transactional.id", &id)]);
    later.init_transactions(WAIT_MS).await.expect("a coordinator");
    later.begin_transaction().expect("initialised");
    later.produce(record(&topic, 0, "later")).expect("begun");
    later.commit_transaction(WAIT_MS).await.expect("the later one");
    let fenced = earlier.commit_transaction(WAIT_MS).await.expect_err("it is fenced");
    assert!(fenced.fatal && fenced.is_local("_FENCED"), "{fenced}");
    assert!(earlier.fatal_error().expect("for good").is_local("_FENCED"));
    topic.wait_until_stable(0).await;
    assert_eq!(committed_values(&topic).await, ["later"]);
}

/// As an application at read_committed sees them.
async fn committed_values(topic: &Topic) -> Vec<String> {
    let aborted = topic.fetch(0, 0, ReadCommitted).await.aborted;
    let records = topic.read(0, ReadCommitted).await;
    applications(&records, &aborted).map(value).collect()
}

async fn d40_a_transactional_id_alone_does_not_fence_a_zombie(stage: Stage) {
    let input = stage.topic("in", 1, &[]).await;
    let zombie = stage.lone_member("g", SESSION_MS).await;
    let zombies_producer = stage.transactional("of-the-zombie", 60_000).await;
    zombies_producer.add_offsets(&zombie.group).await;
    // The group goes on without it: another member, another generation.
    stage.leave(&zombie).await;
    let owner = stage.lone_member("g", SESSION_MS).await;
    assert!(owner.generation > zombie.generation);
    let owners_producer = stage.transactional("of-the-owner", 60_000).await;
    owners_producer.add_offsets(&owner.group).await;
    owners_producer.commit_offset(&owner, &input, 0, 5).await;
    owners_producer.end(true).await;
    stage
        .eventually("the owner's offset", async || {
            (stage.committed(&owner.group, &input, 0).await == 5).then_some(())
        })
        .await;
    let with_metadata = zombies_producer.try_commit_offset(&zombie, &input, 0, 3).await;
    assert_eq!(with_metadata, Err(ResponseError::UnknownMemberId), "KIP-447 fences it");
    let without = Member::of(&zombie.group);
    zombies_producer.commit_offset(&without, &input, 0, 3).await;
    zombies_producer.end(true).await;
    stage
        .eventually("the zombie has its way", async || {
            (stage.committed(&owner.group, &input, 0).await == 3).then_some(())
        })
        .await;
}

async fn d41_offsets_of_a_stale_member_are_refused(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let member = stage.lone_member("g", SESSION_MS).await;
    let producer = stage.transactional("p", 60_000).await;
    producer.write(&topic, 0, 0, &["v"]).await;
    producer.add_offsets(&member.group).await;
    let stale = Member { generation: member.generation - 1, ..member.clone() };
    let refused = producer.try_commit_offset(&stale, &topic, 0, 1).await;
    assert_eq!(refused, Err(ResponseError::IllegalGeneration));
    let unknown = Member { member_id: "nobody".into(), ..member.clone() };
    let refused = producer.try_commit_offset(&unknown, &topic, 0, 1).await;
    assert_eq!(refused, Err(ResponseError::UnknownMemberId));
    producer.end_in(false, &topic, &[0]).await;
    assert_eq!(topic.fetch(0, 0, ReadCommitted).await.aborted, [(producer.producer_id, 0)]);
    assert_eq!(stage.committed(&member.group, &topic, 0).await, -1);

    let named = Member { instance_id: Some("i".into()), ..Member::of(stage.name("static")) };
    let (first, _) = stage.join(named.clone(), SESSION_MS).await;
    stage.try_sync(&first, std::slice::from_ref(&first.member_id)).await.expect("synced");
    let (second, _) = stage.join(named, SESSION_MS).await;
    assert_ne!(first.member_id, second.member_id);
    producer.add_offsets(&first.group).await;
    let fenced = producer.try_commit_offset(&first, &topic, 0, 1).await;
    assert_eq!(fenced, Err(ResponseError::FencedInstanceId));
    producer.end(false).await;
}

async fn d42_the_group_alone_skips_the_check(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let member = stage.lone_member("g", SESSION_MS).await;
    let producer = stage.transactional("p", 60_000).await;
    producer.add_offsets(&member.group).await;
    producer.commit_offset(&Member::of(&member.group), &topic, 0, 7).await;
    producer.end(true).await;
    stage
        .eventually("committed, whoever that was", async || {
            (stage.committed(&member.group, &topic, 0).await == 7).then_some(())
        })
        .await;
}

async fn d43_an_old_coordinator_is_fenced(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let producer = stage.transactional("p", 60_000).await;
    producer.write(&topic, 0, 0, &["v"]).await;
    let leader = topic.leader(0).await;
    let write = async |coordinator_epoch: i32| {
        let marked = WritableTxnMarkerTopic::default()
            .with_name(topic_name(&topic.name))
            .with_partition_indexes(vec![0]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(ProducerId(producer.producer_id))
            .with_producer_epoch(producer.producer_epoch)
            .with_transaction_result(false)
            .with_coordinator_epoch(coordinator_epoch)
            .with_topics(vec![marked]);
        let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
        let answer: WriteTxnMarkersResponse = stage.ask(leader, request).await;
        check(answer.markers[0].topics[0].partitions[0].error_code)
    };
    assert_eq!(write(1_000).await, Ok(()), "a coordinator of the future");
    producer.write(&topic, 0, 1, &["w"]).await;
    assert_eq!(write(999).await, Err(ResponseError::TransactionCoordinatorFenced));
    assert_eq!(write(1_000).await, Ok(()));
}

async fn d44_the_second_instance_fences_the_first(stage: Stage) {
    let named = Member { instance_id: Some("i".into()), ..Member::of(stage.name("g")) };
    let (first, _) = stage.join(named.clone(), SESSION_MS).await;
    stage.try_sync(&first, std::slice::from_ref(&first.member_id)).await.expect("synced");
    assert_eq!(stage.try_heartbeat(&first).await, Ok(()));
    let (second, _) = stage.join(named, SESSION_MS).await;
    assert_ne!(first.member_id, second.member_id);
    assert_eq!(stage.try_heartbeat(&first).await, Err(ResponseError::FencedInstanceId));
    let topic = stage.topic("t", 1, &[]).await;
    let commit = stage.try_commit(&first, &topic, 0, 1).await;
    assert_eq!(commit, Err(ResponseError::FencedInstanceId));
    let again = stage.try_join(&first, SESSION_MS).await.expect("an answer");
    assert_eq!(check(again.error_code), Err(ResponseError::FencedInstanceId));
}
