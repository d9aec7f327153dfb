//! E51: offsets of transactions in a group's partition that moves, and that is replicated late.

use std::cell::RefCell;
use std::rc::Rc;

use kafka::client::Link;
use kafka::cluster::CONSUMER_OFFSETS;
use kafka::{ApiKey, ClusterSpec, Request, ResponseError, TopicPartition, TopicSpec, Trouble, topic_name};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{OffsetFetchResponse, ProducerId, TransactionalId, TxnOffsetCommitResponse};

use crate::e_groups::{group, text};
use crate::transactor::{PARTITIONS, TOPIC, Transactor, ask, outcome};
use crate::world::{BROKERS, World};

const GROUP: &str = "clearing";
/// `TxnOffsetCommit` that makes the group part of the transaction.
const VERSION: i16 = 5;

fn world() -> World {
    let mut world = World::replicated(vec![TopicSpec::new(TOPIC, PARTITIONS)], |_| {});
    world.run_for(1_000);
    world
}

fn coordinator(world: &World) -> i32 {
    let partition = ClusterSpec::new(BROKERS.to_vec(), vec![]).offsets_partition_of(GROUP);
    let at = TopicPartition::new(CONSUMER_OFFSETS, partition);
    world.state.borrow().leader_of(&at).expect("somebody leads")
}

fn offset_of(transactor: &Transactor, partition: i32, offset: i64) -> TxnOffsetCommitRequest {
    let (producer_id, producer_epoch) = transactor.producer;
    let at = TxnOffsetCommitRequestPartition::default().with_partition_index(partition);
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(topic_name(TOPIC))
        .with_partitions(vec![at.with_committed_offset(offset)]);
    TxnOffsetCommitRequest::default()
        .with_group_id(group())
        .with_transactional_id(TransactionalId(text(transactor.id)))
        .with_producer_id(ProducerId(producer_id))
        .with_producer_epoch(producer_epoch)
        .with_member_id(text(""))
        .with_generation_id(-1)
        .with_topics(vec![topic])
}

fn commit(world: &mut World, transactor: &Transactor, partition: i32, offset: i64) {
    let request = offset_of(transactor, partition, offset);
    let broker = coordinator(world);
    let mut response: TxnOffsetCommitResponse = ask(world, broker, VERSION, request.clone());
    while response.topics[0].partitions[0].error_code == ResponseError::ConcurrentTransactions.code() {
        world.run_for(20);
        response = ask(world, broker, VERSION, request.clone());
    }
    assert_eq!(outcome(response.topics[0].partitions[0].error_code), Ok(()));
}

fn committed(world: &mut World, partition: i32, require_stable: bool) -> Result<i64, ResponseError> {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(topic_name(TOPIC))
        .with_partition_indexes(vec![partition]);
    let wanted = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![wanted]).with_require_stable(require_stable);
    let broker = coordinator(world);
    let response: OffsetFetchResponse = ask(world, broker, 8, request);
    let partition = &response.groups[0].topics[0].partitions[0];
    outcome(partition.error_code).map(|()| partition.committed_offset)
}

/// The new coordinator has read all markers before the high watermark passes them again.
#[test]
fn e51_a_marker_that_a_new_coordinator_has_read_does_not_end_the_transaction_after_it() {
    let mut world = world();
    let slow = Transactor::named(&mut world, "clearing-1", true);
    commit(&mut world, &slow, 1, 5);
    let mut fast = Transactor::named(&mut world, "clearing-0", true);
    commit(&mut world, &fast, 0, 10);
    assert_eq!(fast.end(&mut world, true), Ok(()));
    commit(&mut world, &fast, 0, 20);
    let new = BROKERS.into_iter().find(|id| *id != coordinator(&world)).expect("there are three");
    world.state.borrow_mut().move_coordinator(GROUP, new, 0);
    world.run_for(1_000);
    let mut other = Transactor::named(&mut world, "clearing-2", true);
    commit(&mut world, &other, 2, 7);
    assert_eq!(other.end(&mut world, true), Ok(()));
    world.run_for(1_000);
    assert_eq!(committed(&mut world, 2, true), Ok(7), "the coordinator hears of new markers");
    assert_eq!(committed(&mut world, 0, false), Ok(10));
    assert_eq!(committed(&mut world, 0, true), Err(ResponseError::UnstableOffsetCommit));
    assert_eq!(fast.end(&mut world, false), Ok(()));
    world.run_for(1_000);
    assert_eq!(committed(&mut world, 0, true), Ok(10));
}

/// An aborted offset and the marker that aborts it are replicated at the same moment.
#[test]
fn e51_an_offset_that_is_replicated_with_its_marker_is_not_waited_for_any_more() {
    let mut world = world();
    let mut relay = Transactor::named(&mut world, "clearing-0", true);
    commit(&mut world, &relay, 0, 5);
    assert_eq!(relay.end(&mut world, true), Ok(()));
    world.run_for(1_000);
    let slow_followers =
        Trouble::SlowAnswer { api: ApiKey::Fetch, min_ms: 4_000, max_ms: 4_000, odds_ppm: 1_000_000 };
    let broker = coordinator(&world);
    world.state.borrow_mut().brokers.get_mut(&broker).expect("it leads").begin_trouble(
        0,
        slow_followers,
        Box::new(|_| 0),
    );
    let (link, kind) = (world.link(), offset_of(&relay, 0, 6).into());
    let request = Request { client_id: text("by-hand"), version: VERSION, kind };
    let answered = Rc::new(RefCell::new(false));
    let answer = Rc::clone(&answered);
    world.spawn(async move { *answer.borrow_mut() = link.call(broker, request, 60_000).await.is_ok() });
    world.run_for(500);
    assert!(!*answered.borrow(), "it waits for the followers");
    // Fences the producer and aborts what it has begun.
    relay.init_at_last(&mut world);
    world.state.borrow_mut().end_trouble();
    world.run_for(10_000);
    assert!(*answered.borrow());
    assert_eq!(committed(&mut world, 0, true), Ok(5));
}
