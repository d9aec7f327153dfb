//! The producer against three brokers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use kafka::client::{ProduceError, Producer, ProducerConfig, ProducerRecord, RecordMetadata};
use kafka::partitioner::partition_for;
use kafka::records::decode_batch;
use kafka::{Output, ResponseError, TopicPartition, TopicSpec, topic_name};

use crate::world::{BROKERS, SimLink, World};

pub const TOPIC: &str = "trade-submitted";

pub fn record(key: &str, value: &str) -> ProducerRecord {
    ProducerRecord {
        topic: topic_name(TOPIC),
        partition: None,
        key: Some(Bytes::from(key.to_owned())),
        value: Bytes::from(value.to_owned()),
        headers: vec![("sequence".to_owned(), Bytes::from_static(b"1"))],
        timestamp_ms: 5,
    }
}

type Outcomes = Vec<Result<RecordMetadata, ProduceError>>;
type SharedProducer = Rc<RefCell<Producer<SimLink>>>;

pub fn producer(world: &World) -> SharedProducer {
    let config = ProducerConfig::new(BROKERS.to_vec(), "trade-0");
    Rc::new(RefCell::new(Producer::new(world.link(), config)))
}

#[expect(clippy::await_holding_refcell_ref, reason = "one task at a time uses the producer")]
pub fn send(world: &mut World, producer: &SharedProducer, records: Vec<ProducerRecord>) -> Outcomes {
    let producer = Rc::clone(producer);
    world.block_on(async move { producer.borrow_mut().send(records).await })
}

pub fn offset(outcome: &Result<RecordMetadata, ProduceError>) -> i64 {
    outcome.expect("written").offset
}

/// Values by partition, in log order, from the facts.
pub fn written(world: &World) -> BTreeMap<i32, Vec<String>> {
    let mut values: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for fact in &world.state.borrow().facts {
        let Output::Visible { partition, records, .. } = fact else { continue };
        let (_, records) = decode_batch(records).expect("a stored batch");
        let texts = records
            .iter()
            .map(|record| String::from_utf8_lossy(record.value.as_deref().unwrap_or(b"")).into());
        values.entry(partition.partition).or_default().extend(texts);
    }
    values
}

pub fn leader(partition: i32) -> i32 {
    kafka::ClusterSpec::new(BROKERS.to_vec(), vec![]).leader_of(TOPIC, partition)
}

pub fn world() -> World {
    World::new(vec![TopicSpec::new(TOPIC, 6)])
}

#[test]
fn a11_outcomes_come_in_the_given_order_with_contiguous_offsets_per_partition() {
    let mut world = world();
    let producer = producer(&world);
    let keys = ["AAPL", "k3", "AAPL", "order-12345", "AAPL"];
    let outcomes = send(&mut world, &producer, keys.map(|key| record(key, key)).to_vec());
    let aapl: Vec<i64> = [0, 2, 4].map(|index| offset(&outcomes[index])).to_vec();
    assert_eq!(aapl, [aapl[0], aapl[0] + 1, aapl[0] + 2]);
    for (key, outcome) in keys.iter().zip(&outcomes) {
        assert_eq!(outcome.expect("written").partition, partition_for(key.as_bytes(), 6));
    }
    assert!(world.state.borrow().sent["Produce"] <= 3, "one request per leader");
}

#[test]
fn a9_b16_an_answer_that_is_lost_is_repeated_with_the_same_sequence_and_written_once() {
    let mut world = world();
    let producer = producer(&world);
    world.state.borrow_mut().lose_answers.insert("Produce", 3);
    let outcomes = send(&mut world, &producer, vec![record("AAPL", "a"), record("AAPL", "b")]);
    assert_eq!(outcomes.iter().map(offset).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(world.state.borrow().sent["Produce"], 4);
    assert_eq!(written(&world).into_values().collect::<Vec<_>>(), [["a", "b"]]);
}

#[test]
fn a9_with_no_answer_in_time_the_outcome_is_unknown_and_b21_the_epoch_is_bumped() {
    let mut world = world();
    let producer = producer(&world);
    send(&mut world, &producer, vec![record("AAPL", "before")]);
    let broker = leader(partition_for(b"AAPL", 6));
    world.state.borrow_mut().silent.insert(broker);
    let outcomes = send(&mut world, &producer, vec![record("AAPL", "silent"), record("AAPL", "too")]);
    assert_eq!(outcomes, [Err(ProduceError::Unknown); 2]);
    world.state.borrow_mut().silent.clear();
    // As many records as were lost sight of: under the old epoch these would pass for a repetition, and be lost.
    let outcomes = send(&mut world, &producer, vec![record("AAPL", "after"), record("AAPL", "that")]);
    assert_eq!(outcomes.iter().map(offset).collect::<Vec<_>>(), [3, 4], "the silent ones were written, once");
    let epochs: Vec<i16> = world.state.borrow().facts.iter().filter_map(epoch_of).collect();
    assert_eq!(epochs, [0, 0, 1]);
}

fn epoch_of(fact: &Output) -> Option<i16> {
    let Output::Visible { records, .. } = fact else { return None };
    Some(decode_batch(records).expect("a stored batch").0.producer_epoch)
}

#[test]
fn a7_a_dead_leader_is_waited_for_and_refused_sends_are_certainly_not_written() {
    let mut world = world();
    let producer = producer(&world);
    let broker = leader(partition_for(b"AAPL", 6));
    world.state.borrow_mut().crash(broker);
    let outcomes = send(&mut world, &producer, vec![record("AAPL", "lost")]);
    assert_eq!(outcomes, [Err(ProduceError::TimedOut)]);
    assert_eq!(world.state.borrow().now / 1000, 120, "delivery.timeout.ms");

    let restarted = Rc::clone(&world.state);
    let link = world.link();
    world.spawn(async move {
        kafka::client::Link::sleep_ms(&*link, 20_000).await;
        restarted.borrow_mut().restart(broker);
    });
    let outcomes = send(&mut world, &producer, vec![record("AAPL", "found")]);
    assert_eq!(offset(&outcomes[0]), 0);
    assert_eq!(written(&world).into_values().collect::<Vec<_>>(), [["found"]]);
}

#[test]
fn a8_a_batch_that_is_too_large_is_split_and_only_the_large_record_fails() {
    let mut world = World::with(vec![TopicSpec::new(TOPIC, 1)], |config| config.message_max_bytes = 300);
    let producer = producer(&world);
    let large = "x".repeat(300);
    let values = ["a", "b", "c", &large, "e"];
    let outcomes = send(&mut world, &producer, values.map(|value| record("k", value)).to_vec());
    let refused = Err(ProduceError::Refused(ResponseError::MessageTooLarge));
    assert_eq!(outcomes[..3].iter().map(offset).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(outcomes[3..], [refused, Err(ProduceError::NotSent)]);
    let outcomes = send(&mut world, &producer, vec![record("k", "next")]);
    assert_eq!(offset(&outcomes[0]), 3, "a refused batch takes no sequence");
}

#[test]
fn a13_an_unknown_topic_fails_in_time() {
    let mut world = world();
    let producer = producer(&world);
    let stray = ProducerRecord { topic: topic_name("nowhere"), ..record("k", "v") };
    let outcomes = send(&mut world, &producer, vec![stray, record("AAPL", "v")]);
    assert_eq!(outcomes[0], Err(ProduceError::TimedOut));
}

#[test]
fn g64_records_without_a_key_stick_to_one_partition_per_send() {
    let mut world = world();
    let producer = producer(&world);
    let mut partitions = Vec::new();
    for _ in 0..3 {
        let keyless = || ProducerRecord { key: None, ..record("", "v") };
        let outcomes = send(&mut world, &producer, vec![keyless(), keyless()]);
        let places: Vec<i32> = outcomes.iter().map(|outcome| outcome.expect("written").partition).collect();
        assert_eq!(places[0], places[1]);
        partitions.push(places[0]);
    }
    partitions.dedup();
    assert_eq!(partitions.len(), 3);
}

#[test]
fn a9_a_send_dropped_half_way_does_not_upset_the_next_one() {
    let mut world = world();
    let producer = producer(&world);
    send(&mut world, &producer, vec![record("AAPL", "first")]);
    let dropped = Rc::clone(&producer);
    let task = world.spawn({
        #[expect(clippy::await_holding_refcell_ref, reason = "one task at a time uses the producer")]
        async move {
            let _ = dropped.borrow_mut().send(vec![record("AAPL", "dropped")]).await;
        }
    });
    world.run_for(1);
    world.kill(task);
    let outcomes = send(&mut world, &producer, vec![record("AAPL", "third")]);
    assert_eq!(offset(&outcomes[0]), 2, "the dropped one had reached the leader");
    let name = TopicPartition::new(TOPIC, partition_for(b"AAPL", 6));
    let range = world.state.borrow().brokers[&leader(name.partition)].log_range(&name);
    assert_eq!(range, Some((0, 3)));
}
