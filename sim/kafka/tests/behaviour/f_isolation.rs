//! F: what readers see of transactions, on three brokers.

use kafka::StrBytes;
use kafka::{ResponseError, topic_name};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    GroupId, OffsetFetchRequest, OffsetFetchResponse, ProducerId, TransactionalId, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};

use crate::transactor::{TOPIC, Transactor, ask, end_offset, fetch, outcome, produce_plain, values, world};
use crate::world::World;

const GROUP: &str = "clearing";

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn f57_an_open_transaction_holds_back_everything_behind_it() {
    let mut world = world(1);
    let mut me = Transactor::v1(&mut world);
    produce_plain(&mut world, 0, "before").expect("appended");
    me.add_at_last(&mut world, &[0]);
    me.produce(&mut world, 0, "in").expect("appended");
    produce_plain(&mut world, 0, "behind").expect("appended");
    let data = fetch(&mut world, 0, true);
    assert_eq!((data.last_stable_offset, data.high_watermark), (1, 3));
    assert_eq!(values(&mut world, 0, true), ["before"]);
    assert_eq!(values(&mut world, 0, false), ["before", "in", "behind"], "f59");
    assert_eq!((end_offset(&mut world, 0, true), end_offset(&mut world, 0, false)), (1, 3), "f60");
    me.end(&mut world, true).expect("committed");
    world.run_for(200);
    assert_eq!(values(&mut world, 0, true), ["before", "in", "behind"]);
    assert_eq!((end_offset(&mut world, 0, true), end_offset(&mut world, 0, false)), (4, 4));
}

#[test]
fn f58_aborted_transactions_are_named_to_readers_of_committed_records_only() {
    let mut world = world(2);
    let mut me = Transactor::v2(&mut world);
    me.produce(&mut world, 0, "gone").expect("appended");
    me.end(&mut world, false).expect("aborted");
    world.run_for(200);
    me.produce(&mut world, 0, "kept").expect("appended");
    me.end(&mut world, true).expect("committed");
    world.run_for(200);
    let aborted = fetch(&mut world, 0, true).aborted_transactions.expect("a list");
    let named: Vec<(i64, i64)> = aborted.iter().map(|it| (it.producer_id.0, it.first_offset)).collect();
    assert_eq!(named, [(me.producer.0, 0)]);
    assert_eq!(fetch(&mut world, 0, false).aborted_transactions, None);
    assert_eq!(values(&mut world, 0, true), ["kept"]);
    assert_eq!(values(&mut world, 0, false), ["gone", "kept"]);
}

#[test]
fn f61_f62_transactions_interleave_and_records_stay_in_the_order_of_their_appends() {
    let mut world = world(1);
    let mut one = Transactor::named(&mut world, "one", false);
    let mut two = Transactor::named(&mut world, "two", false);
    one.add_at_last(&mut world, &[0]);
    two.add_at_last(&mut world, &[0]);
    for _ in 0..2 {
        one.produce(&mut world, 0, "1").expect("appended");
        two.produce(&mut world, 0, "2").expect("appended");
    }
    two.end(&mut world, true).expect("committed");
    world.run_for(200);
    assert_eq!(values(&mut world, 0, true), nothing(), "the first is still open");
    one.end(&mut world, true).expect("committed");
    world.run_for(200);
    assert_eq!(values(&mut world, 0, true), ["1", "2", "1", "2"], "not in the order of the commits");
}

fn group_coordinator(world: &mut World) -> i32 {
    let request = FindCoordinatorRequest::default()
        .with_key_type(0)
        .with_coordinator_keys(vec![StrBytes::from_static_str(GROUP)]);
    let response: FindCoordinatorResponse = ask(world, 0, 4, request);
    response.coordinators[0].node_id.0
}

fn add_offsets(world: &mut World, me: &Transactor) -> Result<(), ResponseError> {
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(TransactionalId(StrBytes::from_static_str(me.id)))
        .with_producer_id(ProducerId(me.producer.0))
        .with_producer_epoch(me.producer.1)
        .with_group_id(GroupId(StrBytes::from_static_str(GROUP)));
    let coordinator = me.coordinator(world);
    let response: AddOffsetsToTxnResponse = ask(world, coordinator, 3, request);
    outcome(response.error_code)
}

fn commit_offset(world: &mut World, me: &Transactor, offset: i64) -> Result<(), ResponseError> {
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(StrBytes::default()));
    let topic =
        TxnOffsetCommitRequestTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![partition]);
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(TransactionalId(StrBytes::from_static_str(me.id)))
        .with_group_id(GroupId(StrBytes::from_static_str(GROUP)))
        .with_producer_id(ProducerId(me.producer.0))
        .with_producer_epoch(me.producer.1)
        .with_generation_id(-1)
        .with_topics(vec![topic]);
    let coordinator = group_coordinator(world);
    let version = if me.is_v2 { 5 } else { 3 };
    let response: TxnOffsetCommitResponse = ask(world, coordinator, version, request);
    outcome(response.topics[0].partitions[0].error_code)
}

fn committed_offset(world: &mut World) -> Result<i64, ResponseError> {
    let topic =
        OffsetFetchRequestTopics::default().with_name(topic_name(TOPIC)).with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(StrBytes::from_static_str(GROUP)))
        .with_member_epoch(-1)
        .with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_require_stable(true).with_groups(vec![group]);
    let coordinator = group_coordinator(world);
    let response: OffsetFetchResponse = ask(world, coordinator, 8, request);
    let partition = &response.groups[0].topics[0].partitions[0];
    outcome(partition.error_code).map(|()| partition.committed_offset)
}

#[test]
fn e51_offsets_of_a_transaction_are_unstable_until_its_marker_and_gone_with_an_abort() {
    for version in [1, 2] {
        let mut world = world(version);
        let mut me = Transactor::named(&mut world, "clearing-0", version == 2);
        for (offset, commit) in [(10, true), (20, false), (30, true)] {
            if version == 1 {
                while let Err(error) = add_offsets(&mut world, &me) {
                    assert_eq!(error, ResponseError::ConcurrentTransactions);
                    world.run_for(20);
                }
            }
            assert_eq!(commit_offset(&mut world, &me, offset), Ok(()));
            assert_eq!(committed_offset(&mut world), Err(ResponseError::UnstableOffsetCommit));
            me.end(&mut world, commit).expect("ended");
            world.run_for(200);
            assert_eq!(committed_offset(&mut world), Ok(if commit { offset } else { 10 }));
        }
    }
}

#[test]
fn c32_offsets_of_a_group_that_was_not_added_are_refused() {
    let mut world = world(1);
    let me = Transactor::v1(&mut world);
    assert_eq!(commit_offset(&mut world, &me, 10), Err(ResponseError::InvalidTxnState));
    assert_eq!(committed_offset(&mut world), Ok(-1));
}
