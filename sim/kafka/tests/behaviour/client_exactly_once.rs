//! Transactions of the simulated clients on real coordinators: read, decide, write, commit, and nothing twice.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use kafka::client::{
    AutoOffsetReset, Consumer, ConsumerConfig, ConsumerEvent, Error, IsolationLevel, Link, Producer,
    ProducerConfig, ProducerRecord,
};
use kafka::{TopicPartition, TopicSpec, topic_name};

use crate::client_producer::record;
use crate::world::{BROKERS, SimLink, World};

const INPUT: &str = "orders";
const OUTPUT: &str = "fills";
const SECOND_MS: i64 = 1_000;
const PATIENCE_MS: i64 = 60 * SECOND_MS;

type Values = Rc<RefCell<Vec<String>>>;

fn world() -> World {
    World::replicated(vec![TopicSpec::new(INPUT, 1), TopicSpec::new(OUTPUT, 1)], |_| {})
}

fn to(topic: &str, value: &str) -> ProducerRecord {
    ProducerRecord { topic: topic_name(topic), partition: Some(0), ..record("k", value) }
}

fn librdkafka(id: &str) -> ProducerConfig {
    let config = ProducerConfig::librdkafka(BROKERS.to_vec(), "matching");
    ProducerConfig { transactional_id: Some(id.to_owned()), ..config }
}

fn java(id: &str) -> ProducerConfig {
    let config = ProducerConfig::java(BROKERS.to_vec(), "matching");
    ProducerConfig { transactional_id: Some(id.to_owned()), ..config }
}

fn reader(group: &str, topic: &str, isolation_level: IsolationLevel) -> ConsumerConfig {
    let config = ConsumerConfig::new(BROKERS.to_vec(), group, "reader", vec![topic.to_owned()]);
    let auto_offset_reset = AutoOffsetReset::Earliest;
    // A process that comes back is let in soon after the one before it died.
    let (session_timeout_ms, heartbeat_interval_ms) = (6_000, 2_000);
    ConsumerConfig {
        auto_offset_reset,
        isolation_level,
        session_timeout_ms,
        heartbeat_interval_ms,
        max_poll_records: 7,
        ..config
    }
}

fn watch(world: &mut World, isolation_level: IsolationLevel) -> Values {
    let (values, link): (Values, _) = (Rc::default(), world.link());
    let seen = Rc::clone(&values);
    let group = format!("audit-{isolation_level:?}");
    world.spawn(async move {
        let mut consumer = Consumer::new(link, reader(&group, OUTPUT, isolation_level));
        loop {
            if let ConsumerEvent::Records { records, .. } = consumer.poll().await {
                let texts = records.iter().map(|record| {
                    String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned()
                });
                seen.borrow_mut().extend(texts);
            }
        }
    });
    values
}

#[test]
fn f58_f59_committed_is_read_aborted_is_not_unless_asked_for() {
    for config in [librdkafka("t"), java("t")] {
        let mut world = world();
        let committed = watch(&mut world, IsolationLevel::ReadCommitted);
        let all = watch(&mut world, IsolationLevel::ReadUncommitted);
        let link = world.link();
        world.block_on(async move {
            let mut producer = Producer::new(link, config);
            producer.init_transactions(PATIENCE_MS).await.expect("initialised");
            for number in 0..6 {
                producer.begin_transaction().expect("begun");
                producer.produce(to(OUTPUT, &number.to_string())).expect("queued");
                producer.flush(PATIENCE_MS).await.expect("written");
                if number % 2 == 0 {
                    producer.commit_transaction(PATIENCE_MS).await.expect("committed");
                } else {
                    producer.abort_transaction(PATIENCE_MS).await.expect("aborted");
                }
            }
            assert!(producer.take_reports().iter().all(|report| report.result.is_ok()));
        });
        world.run_for(40 * SECOND_MS);
        assert_eq!(*committed.borrow(), ["0", "2", "4"]);
        assert_eq!(*all.borrow(), ["0", "1", "2", "3", "4", "5"]);
    }
}

#[test]
fn f57_an_open_transaction_holds_readers_back_until_it_times_out() {
    let mut world = world();
    let committed = watch(&mut world, IsolationLevel::ReadCommitted);
    let link = world.link();
    let dies = world.spawn(async move {
        let mut producer = Producer::new(link, librdkafka("t"));
        producer.init_transactions(PATIENCE_MS).await.expect("initialised");
        producer.begin_transaction().expect("begun");
        producer.produce(to(OUTPUT, "open")).expect("queued");
        producer.drive().await;
    });
    world.run_for(5 * SECOND_MS);
    world.kill(dies);
    let link = world.link();
    world.block_on(async move {
        let mut producer = Producer::new(link, ProducerConfig::new(BROKERS.to_vec(), "plain"));
        assert!(producer.send(vec![to(OUTPUT, "plain")]).await[0].is_ok());
    });
    world.run_for(30 * SECOND_MS);
    assert!(committed.borrow().is_empty(), "also what is not transactional waits behind it");
    world.run_for(60 * SECOND_MS);
    assert_eq!(*committed.borrow(), ["plain"], "after transaction.timeout.ms, and the sweep");
}

#[test]
fn d39_the_later_of_two_goes_on_and_the_earlier_is_fenced_for_good() {
    for config in [librdkafka as fn(&str) -> ProducerConfig, java] {
        let mut world = world();
        let committed = watch(&mut world, IsolationLevel::ReadCommitted);
        let (one, two) = (world.link(), world.link());
        let fenced = world.block_on(async move {
            let mut earlier = Producer::new(one, config("t"));
            earlier.init_transactions(PATIENCE_MS).await.expect("initialised");
            earlier.begin_transaction().expect("begun");
            earlier.produce(to(OUTPUT, "zombie")).expect("queued");
            earlier.flush(PATIENCE_MS).await.expect("written");
            let mut later = Producer::new(two, config("t"));
            later.init_transactions(PATIENCE_MS).await.expect("initialised");
            later.begin_transaction().expect("begun");
            later.produce(to(OUTPUT, "later")).expect("queued");
            let fenced = earlier.commit_transaction(PATIENCE_MS).await;
            later.commit_transaction(PATIENCE_MS).await.expect("committed");
            fenced
        });
        let error = fenced.expect_err("fenced");
        assert!(error.is_fatal(), "{error}");
        assert_eq!(error.code().name(), "_FENCED");
        world.run_for(40 * SECOND_MS);
        assert_eq!(*committed.borrow(), ["later"]);
    }
}

/// Reads a record, decides, writes; one transaction per batch. Ends with the first error: the process starts anew.
async fn process(link: Rc<SimLink>, config: ProducerConfig) -> Result<(), Error> {
    let mut producer = Producer::new(Rc::clone(&link), config);
    producer.init_transactions(PATIENCE_MS).await?;
    let mut consumer = Consumer::new(link, reader("matching", INPUT, IsolationLevel::ReadCommitted));
    loop {
        let ConsumerEvent::Records { topic, partition, records } = consumer.poll().await else { continue };
        producer.begin_transaction()?;
        for record in &records {
            let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
            producer.produce(to(OUTPUT, &value))?;
        }
        let name = TopicPartition { topic, partition };
        let next = records.last().map_or(0, |record| record.offset + 1);
        producer
            .send_offsets_to_transaction(&[(name, next)], &consumer.group_metadata(), PATIENCE_MS)
            .await?;
        producer.commit_transaction(PATIENCE_MS).await?;
    }
}

/// Starts a process again and again, whatever becomes of it.
fn start(world: &mut World, config: fn(&str) -> ProducerConfig, id: &'static str) -> usize {
    let link = world.link();
    world.spawn(async move {
        loop {
            let _ = process(Rc::clone(&link), config(id)).await;
            link.sleep_ms(SECOND_MS).await;
        }
    })
}

fn feed(world: &mut World, numbers: std::ops::Range<u32>) {
    let link = world.link();
    world.block_on(async move {
        let mut producer = Producer::new(link, ProducerConfig::new(BROKERS.to_vec(), "feed"));
        let records = numbers.map(|number| to(INPUT, &number.to_string())).collect();
        assert!(producer.send(records).await.iter().all(Result::is_ok));
    });
}

/// How often each number was seen.
fn counts(values: &Values) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    for value in values.borrow().iter() {
        *counts.entry(value.parse().expect("a number")).or_default() += 1;
    }
    counts
}

#[test]
fn c29_d40_every_input_has_one_output_however_often_processes_and_brokers_die() {
    let mut done_again = 0;
    let configs = [librdkafka as fn(&str) -> ProducerConfig, java].into_iter().cycle().take(6);
    for (round, config) in configs.enumerate() {
        let mut world = world();
        let committed = watch(&mut world, IsolationLevel::ReadCommitted);
        let all = watch(&mut world, IsolationLevel::ReadUncommitted);
        let mut number = 0;
        let mut victim = start(&mut world, config, "matching-0");
        world.run_for(10 * SECOND_MS);
        for step in 0..12i64 {
            feed(&mut world, number..number + 40);
            number += 40;
            // Another moment in each step and round: in the middle of a transaction more often than not.
            world.run_for(3 + 7 * step + i64::try_from(round).expect("small"));
            if step % 3 == 2 {
                let broker = i32::try_from(step).expect("small") % 3;
                world.state.borrow_mut().crash(broker);
                world.run_for(20 * SECOND_MS);
                world.state.borrow_mut().restart(broker);
            } else {
                world.kill(victim);
                victim = start(&mut world, config, "matching-0");
            }
            world.run_for(25 * SECOND_MS);
        }
        world.run_for(120 * SECOND_MS);
        let counts = counts(&committed);
        assert_eq!(counts.len(), 480, "round {round}");
        let repeated: Vec<(&u32, &u32)> = counts.iter().filter(|(_, count)| **count != 1).collect();
        assert!(repeated.is_empty(), "round {round}: {repeated:?}");
        done_again += all.borrow().len() - 480;
    }
    assert!(done_again > 0, "nothing was interrupted");
}

#[test]
fn d41_a_zombie_whose_partition_went_to_another_cannot_commit_its_offsets() {
    let mut world = world();
    let committed = watch(&mut world, IsolationLevel::ReadCommitted);
    feed(&mut world, 0..5);
    let zombie = start(&mut world, librdkafka, "matching-0");
    world.run_for(15 * SECOND_MS);
    world.pause(zombie, true);
    // Another process with a transactional.id of its own: only the generation can fence.
    start(&mut world, librdkafka, "matching-1");
    world.run_for(30 * SECOND_MS);
    feed(&mut world, 5..10);
    world.run_for(5 * SECOND_MS);
    world.pause(zombie, false);
    feed(&mut world, 10..15);
    world.run_for(60 * SECOND_MS);
    let counts = counts(&committed);
    assert_eq!(counts.len(), 15);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}
