//! C: transactions, from the first request to the last marker, on three brokers.

use kafka::client::{Producer, ProducerConfig, ProducerRecord};
use kafka::{ResponseError, TopicPartition, topic_name};

use crate::transactor::{
    PRODUCE_V1, Transactor, at, end_offset, fetch, leader, produce_plain, values, world,
};
use crate::world::{BROKERS, World};

const MARKERS_MS: i64 = 200;

fn committed(world: &mut World, partition: i32) -> Vec<String> {
    values(world, partition, true)
}

/// A partition that another broker leads than the coordinator, which is where markers go over the network.
fn partition_elsewhere(world: &mut World, me: &Transactor) -> i32 {
    let coordinator = me.coordinator(world);
    (0..3).find(|partition| leader(world, &at(*partition)) != coordinator).expect("three brokers lead")
}

#[test]
fn c27_a_marker_takes_an_offset_in_every_partition_that_was_touched() {
    for version in [1, 2] {
        let mut world = world(version);
        let mut me = Transactor::named(&mut world, "clearing-0", version == 2);
        if version == 1 {
            assert_eq!(me.add(&mut world, &[0, 1, 2]), Ok(()));
        }
        assert_eq!(me.produce(&mut world, 0, "a"), Ok(0));
        assert_eq!(me.produce(&mut world, 0, "b"), Ok(1));
        assert_eq!(me.produce(&mut world, 1, "c"), Ok(0));
        assert_eq!(me.end(&mut world, true), Ok(()));
        world.run_for(MARKERS_MS);
        assert_eq!(
            (end_offset(&mut world, 0, false), committed(&mut world, 0)),
            (3, vec!["a".into(), "b".into()])
        );
        assert_eq!((end_offset(&mut world, 1, false), committed(&mut world, 1)), (2, vec!["c".into()]));
        let of_added = if version == 1 { 1 } else { 0 };
        assert_eq!(end_offset(&mut world, 2, false), of_added, "added, and nothing written: a marker too");
        assert_eq!(produce_plain(&mut world, 1, "d"), Ok(2));
    }
}

#[test]
fn c23_a_new_producer_aborts_what_the_one_before_has_begun() {
    for version in [1, 2] {
        let mut world = world(version);
        let mut old = Transactor::named(&mut world, "clearing-0", version == 2);
        if version == 1 {
            old.add_at_last(&mut world, &[0]);
        }
        old.produce(&mut world, 0, "lost").expect("in its transaction");
        let mut new = old.clone();
        assert_eq!(new.init(&mut world), Err(ResponseError::ConcurrentTransactions));
        new.init_at_last(&mut world);
        assert_eq!((new.producer.0, new.producer.1), (old.producer.0, old.producer.1 + 2));
        assert_eq!(committed(&mut world, 0), Vec::<String>::new());
        assert_eq!(values(&mut world, 0, false), ["lost"]);
        assert_eq!(old.produce(&mut world, 0, "late"), Err(ResponseError::InvalidProducerEpoch));
    }
}

#[test]
fn c24_the_next_transaction_can_meet_the_end_of_the_one_before() {
    let mut world = world(1);
    let mut me = Transactor::v1(&mut world);
    me.add_at_last(&mut world, &[0]);
    me.produce(&mut world, 0, "a").expect("in its transaction");
    let elsewhere = partition_elsewhere(&mut world, &me);
    me.add_at_last(&mut world, &[elsewhere]);
    let broker = leader(&world, &at(elsewhere));
    world.state.borrow_mut().crash(broker);
    world.run_for(20_000);
    assert_eq!(me.end(&mut world, true), Ok(()));
    assert_eq!(me.add(&mut world, &[0]), Err(ResponseError::ConcurrentTransactions));
    assert_eq!(me.init(&mut world), Err(ResponseError::ConcurrentTransactions));
    assert_eq!(me.end(&mut world, true), Err(ResponseError::ConcurrentTransactions));
    world.state.borrow_mut().restart(broker);
    world.run_for(20_000);
    assert_eq!(me.add(&mut world, &[0]), Ok(()));
}

#[test]
fn c28_partitions_of_one_transaction_become_visible_at_different_times() {
    let mut world = world(2);
    let mut me = Transactor::v2(&mut world);
    let slow = partition_elsewhere(&mut world, &me);
    let broker = leader(&world, &at(slow));
    let fast = (0..3).find(|other| leader(&world, &at(*other)) != broker).expect("three brokers lead");
    me.produce(&mut world, fast, "fast").expect("in the transaction");
    me.produce(&mut world, slow, "slow").expect("in the transaction");
    world.state.borrow_mut().crash(broker);
    world.run_for(20_000);
    assert_eq!(me.end(&mut world, true), Ok(()), "the decision is what is answered");
    world.run_for(MARKERS_MS);
    assert_eq!(committed(&mut world, fast), ["fast"]);
    world.state.borrow_mut().restart(broker);
    world.run_for(20_000);
    assert_eq!(committed(&mut world, slow), ["slow"]);
}

#[test]
fn c29_a_decision_outlives_its_coordinator_and_the_retry_finds_it_done() {
    for version in [1, 2] {
        let mut world = world(version);
        let mut me = Transactor::named(&mut world, "clearing-0", version == 2);
        let partition = partition_elsewhere(&mut world, &me);
        if version == 1 {
            me.add_at_last(&mut world, &[partition]);
        }
        me.produce(&mut world, partition, "kept").expect("in the transaction");
        let mut retry = me.clone();
        assert_eq!(me.end(&mut world, true), Ok(()));
        let coordinator = me.coordinator(&mut world);
        world.state.borrow_mut().crash(coordinator);
        world.run_for(30_000);
        assert_ne!(retry.coordinator(&mut world), coordinator);
        assert_eq!(committed(&mut world, partition), ["kept"]);
        assert_eq!(retry.end(&mut world, true), Ok(()));
        assert_eq!(retry.producer, me.producer);
        retry.add_at_last(&mut world, &[partition]);
    }
}

#[test]
fn c30_a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    for version in [1, 2] {
        let mut world = world(version);
        let mut me = Transactor::named(&mut world, "clearing-0", version == 2);
        me.timeout_ms = 5_000;
        me.init_at_last(&mut world);
        if version == 1 {
            me.add_at_last(&mut world, &[0]);
        }
        me.produce(&mut world, 0, "late").expect("in the transaction");
        produce_plain(&mut world, 0, "behind").expect("appended");
        world.run_for(4_000);
        assert_eq!(committed(&mut world, 0), Vec::<String>::new(), "held back");
        world.run_for(12_000);
        assert_eq!(committed(&mut world, 0), ["behind"]);
        // With version 2 the epoch is the one before the current: this is taken for a retry of the other decision.
        let refused =
            if version == 1 { ResponseError::ProducerFenced } else { ResponseError::InvalidTxnState };
        assert_eq!(me.end(&mut world, true), Err(refused));
        assert_eq!(me.add(&mut world, &[0]), Err(ResponseError::ProducerFenced));
        assert_eq!(me.produce(&mut world, 0, "later"), Err(ResponseError::InvalidProducerEpoch));
    }
}

#[test]
fn c32_a_partition_that_was_not_added_takes_no_batch_of_the_transaction() {
    let mut world = world(1);
    let me = Transactor::v1(&mut world);
    me.add_at_last(&mut world, &[0]);
    let refused = |world: &mut World, version: i16| me.produce_as(world, version, 1, 0, "stray");
    assert_eq!(refused(&mut world, 10), Err(ResponseError::InvalidTxnState));
    assert_eq!(refused(&mut world, PRODUCE_V1), Err(ResponseError::TransactionAbortable));
    me.add_at_last(&mut world, &[1]);
    assert_eq!(refused(&mut world, 10), Ok(0));
}

#[test]
fn c32_without_its_coordinator_a_first_batch_is_tried_again_and_a_later_one_needs_it_no_more() {
    let mut world = world(1);
    let mut me = Transactor::v1(&mut world);
    let partition = partition_elsewhere(&mut world, &me);
    let other = (0..3)
        .find(|it| *it != partition && leader(&world, &at(*it)) != me.coordinator(&mut world))
        .expect("three brokers lead");
    me.add_at_last(&mut world, &[partition, other]);
    assert_eq!(me.produce(&mut world, partition, "a"), Ok(0));
    let coordinator = me.coordinator(&mut world);
    world.state.borrow_mut().crash(coordinator);
    assert_eq!(me.produce(&mut world, other, "b"), Err(ResponseError::NotEnoughReplicas));
    assert_eq!(me.produce(&mut world, partition, "c"), Ok(1));
    world.run_for(30_000);
    assert_eq!(me.produce(&mut world, other, "b"), Ok(0), "the next coordinator knows it");
}

#[test]
fn c32_verification_can_be_switched_off() {
    let topic = kafka::TopicSpec::new(crate::transactor::TOPIC, 3);
    let mut world = World::with(vec![topic], |config| {
        config.transactions.transaction_partition_verification_enable = false;
    });
    let mut me = Transactor::v1(&mut world);
    assert_eq!(me.produce(&mut world, 0, "hanging"), Ok(0), "nobody knows of this transaction");
    world.run_for(120_000);
    assert_eq!(fetch(&mut world, 0, true).last_stable_offset, 0, "and nobody ends it");
}

#[test]
fn c33_with_version_2_batches_add_their_partition_and_the_epoch_goes_up_with_each_end() {
    let mut world = world(2);
    let mut me = Transactor::v2(&mut world);
    let (producer_id, epoch) = me.producer;
    for round in 0..3 {
        assert_eq!(me.producer, (producer_id, epoch + round));
        assert_eq!(me.produce(&mut world, 0, "v"), Ok(i64::from(2 * round)));
        assert_eq!(me.end(&mut world, round != 1), Ok(()));
    }
    world.run_for(MARKERS_MS);
    assert_eq!(committed(&mut world, 0), ["v", "v"]);
}

#[test]
fn c34_before_version_2_a_delayed_batch_joins_the_next_transaction() {
    let mut world = world(1);
    let mut me = Transactor::v1(&mut world);
    me.add_at_last(&mut world, &[0]);
    me.produce(&mut world, 0, "first").expect("in the first transaction");
    assert_eq!(me.end(&mut world, false), Ok(()));
    me.add_at_last(&mut world, &[0]);
    // Sent in the first transaction, which was aborted; it arrives in the second.
    assert_eq!(me.produce_as(&mut world, PRODUCE_V1, 0, 1, "aborted"), Ok(2));
    assert_eq!(me.end(&mut world, true), Ok(()));
    world.run_for(MARKERS_MS);
    assert_eq!(committed(&mut world, 0), ["aborted"], "an aborted read");
}

#[test]
fn c34_before_version_2_a_delayed_end_ends_the_next_transaction() {
    let mut world = world(1);
    let mut me = Transactor::v1(&mut world);
    let mut delayed = me.clone();
    me.add_at_last(&mut world, &[0]);
    me.produce(&mut world, 0, "first").expect("in the first transaction");
    assert_eq!(me.end(&mut world, false), Ok(()), "a retry: the first request is on its way");
    me.add_at_last(&mut world, &[0]);
    me.produce(&mut world, 0, "second").expect("in the second transaction");
    assert_eq!(delayed.end(&mut world, false), Ok(()));
    world.run_for(MARKERS_MS);
    assert_eq!(me.end(&mut world, true), Err(ResponseError::InvalidTxnState));
    assert_eq!(committed(&mut world, 0), Vec::<String>::new(), "the second is lost");
}

#[test]
fn c34_with_version_2_what_is_delayed_is_fenced() {
    let mut world = world(2);
    let mut me = Transactor::v2(&mut world);
    let mut delayed = me.clone();
    me.produce(&mut world, 0, "first").expect("in the first transaction");
    assert_eq!(me.end(&mut world, false), Ok(()));
    world.run_for(MARKERS_MS);
    me.produce(&mut world, 0, "second").expect("in the second transaction");
    assert_eq!(delayed.produce_as(&mut world, 12, 0, 1, "aborted"), Err(ResponseError::InvalidProducerEpoch));
    assert_eq!(delayed.end(&mut world, false), Err(ResponseError::ProducerFenced));
    assert_eq!(me.end(&mut world, true), Ok(()));
    world.run_for(MARKERS_MS);
    assert_eq!(committed(&mut world, 0), ["second"]);
}

/// The simulated clients themselves, in both dialects.
#[test]
fn c33_producers_of_both_versions_commit_and_abort() {
    let configs = [
        (1, ProducerConfig::librdkafka(BROKERS.to_vec(), "clearing")),
        (2, ProducerConfig::java(BROKERS.to_vec(), "clearing")),
    ];
    for (version, config) in configs {
        let mut world = world(version);
        let config = ProducerConfig { transactional_id: Some("clearing-0".to_owned()), ..config };
        let mut producer = Producer::new(world.link(), config);
        world.block_on(async move {
            producer.init_transactions(30_000).await.expect("initialised");
            for round in 0..6 {
                producer.begin_transaction().expect("begun");
                for partition in 0..3 {
                    producer.produce(record(partition, round)).expect("queued");
                }
                match round % 3 {
                    2 => producer.abort_transaction(30_000).await.expect("aborted"),
                    _ => producer.commit_transaction(30_000).await.expect("committed"),
                }
            }
        });
        world.run_for(MARKERS_MS);
        for partition in 0..3 {
            assert_eq!(committed(&mut world, partition), ["0", "1", "3", "4"]);
        }
    }
}

fn record(partition: i32, round: i32) -> ProducerRecord {
    let TopicPartition { topic, .. } = TopicPartition { topic: topic_name("settlement"), partition };
    ProducerRecord {
        topic,
        partition: Some(partition),
        key: None,
        value: round.to_string().into(),
        headers: Vec::new(),
        timestamp_ms: 5,
    }
}
