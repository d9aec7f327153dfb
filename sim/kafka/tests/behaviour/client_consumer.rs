//! Consumers of a group against three brokers.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use kafka::client::{
    Assignor, AutoOffsetReset, Consumer, ConsumerConfig, ConsumerError, ConsumerEvent, ProducerRecord,
};
use kafka::{Output, TopicPartition, TopicSpec};

use crate::client_producer::{TOPIC, producer, record, send};
use crate::world::{BROKERS, SimLink, World};

/// What a consumer saw, with the time, one line per event.
pub type Log = Rc<RefCell<Vec<(i64, ConsumerEvent)>>>;

pub fn config(client_id: &str) -> ConsumerConfig {
    let mut config = ConsumerConfig::new(BROKERS.to_vec(), "clearing", client_id, vec![TOPIC.to_owned()]);
    config.auto_offset_reset = AutoOffsetReset::Earliest;
    config
}

/// Runs a consumer that notes every event and commits after every batch of records.
pub fn start(world: &mut World, config: ConsumerConfig) -> (usize, Log) {
    let log: Log = Rc::default();
    let link = world.link();
    let consumer = Consumer::new(Rc::clone(&link), config);
    let task = world.spawn(consume(consumer, link, Rc::clone(&log)));
    (task, log)
}

async fn consume(mut consumer: Consumer<SimLink>, link: Rc<SimLink>, log: Log) {
    loop {
        let event = consumer.poll().await;
        let now = kafka::client::Link::now_ms(&*link);
        log.borrow_mut().push((now, event.clone()));
        if let ConsumerEvent::Records { topic, partition, .. } = event {
            let name = TopicPartition { topic, partition };
            let next = consumer.position(&name).expect("assigned");
            let _ = consumer.commit(&[(name, next)]).await;
        }
    }
}

pub fn values(log: &Log) -> Vec<String> {
    let log = log.borrow();
    let records = log.iter().filter_map(|(_, event)| match event {
        ConsumerEvent::Records { records, .. } => Some(records),
        _ => None,
    });
    let text = |record: &kafka::client::ConsumerRecord| {
        String::from_utf8_lossy(record.value.as_deref().unwrap_or(b"")).into_owned()
    };
    records.flatten().map(text).collect()
}

pub fn assigned(log: &Log) -> Vec<i32> {
    let log = log.borrow();
    let last = log.iter().rev().find_map(|(_, event)| match event {
        ConsumerEvent::Assigned(partitions) => Some(partitions.iter().map(|p| p.partition).collect()),
        _ => None,
    });
    last.unwrap_or_default()
}

pub fn world() -> World {
    World::new(vec![TopicSpec::new(TOPIC, 6)])
}

/// Records with values `from..to`, each with its value as key.
pub fn numbered(numbers: std::ops::Range<u32>) -> Vec<ProducerRecord> {
    numbers.map(|number| record(&format!("k{number}"), &number.to_string())).collect()
}

pub fn sorted(mut values: Vec<String>) -> Vec<u32> {
    values.sort_by_key(String::len);
    let mut numbers: Vec<u32> = values.iter().map(|value| value.parse().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn e45_two_consumers_share_a_topic_and_read_everything_once() {
    let mut world = world();
    let producer = producer(&world);
    let (_, first) = start(&mut world, config("a"));
    let (_, second) = start(&mut world, config("b"));
    world.run_for(20_000);
    assert_eq!((assigned(&first), assigned(&second)), (vec![0, 1, 2], vec![3, 4, 5]));
    send(&mut world, &producer, numbered(0..100));
    world.run_for(1_000);
    let both: Vec<String> = values(&first).into_iter().chain(values(&second)).collect();
    assert_eq!(sorted(both), (0..100).collect::<Vec<_>>());
    assert!(!values(&first).is_empty() && !values(&second).is_empty());
}

#[test]
fn e45_no_partition_has_two_owners_in_a_generation() {
    let mut world = world();
    for (index, client) in ["a", "b", "c", "d"].iter().enumerate() {
        start(&mut world, config(client));
        world.run_for(25_000 * (i64::try_from(index).expect("small") + 1));
    }
    let mut generations = BTreeSet::new();
    for fact in &world.state.borrow().facts {
        let Output::Rebalanced { generation, members, .. } = fact else { continue };
        let owned: Vec<&TopicPartition> = members.iter().flat_map(|member| &member.partitions).collect();
        let distinct: BTreeSet<_> = owned.iter().collect();
        assert_eq!((owned.len(), distinct.len()), (6, 6));
        assert!(generations.insert(*generation));
    }
    assert!(generations.len() >= 4, "{generations:?}");
}

#[test]
fn e46_a_dead_consumers_partitions_are_taken_over_and_offsets_go_on() {
    let mut world = world();
    let producer = producer(&world);
    let (dies, first) = start(&mut world, config("a"));
    let (_, second) = start(&mut world, config("b"));
    world.run_for(20_000);
    send(&mut world, &producer, numbered(0..50));
    world.run_for(1_000);
    world.kill(dies);
    send(&mut world, &producer, numbered(50..100));
    world.run_for(40_000);
    assert_eq!(assigned(&second), [3, 4, 5], "the session has not ended yet");
    world.run_for(60_000);
    assert_eq!(assigned(&second), [0, 1, 2, 3, 4, 5]);
    let both: Vec<String> = values(&first).into_iter().chain(values(&second)).collect();
    assert_eq!(sorted(both), (0..100).collect::<Vec<_>>(), "committed offsets were continued from");
}

#[test]
fn e45_a_consumer_that_joins_takes_its_share_and_the_other_is_told_first() {
    let mut world = world();
    let (_, first) = start(&mut world, config("a"));
    world.run_for(20_000);
    assert_eq!(assigned(&first), [0, 1, 2, 3, 4, 5]);
    let (_, second) = start(&mut world, config("b"));
    world.run_for(20_000);
    assert_eq!((assigned(&first), assigned(&second)), (vec![0, 1, 2], vec![3, 4, 5]));
    let kinds: Vec<&str> = first.borrow().iter().map(|(_, event)| kind(event)).collect();
    assert_eq!(kinds, ["assigned", "revoked", "assigned"]);
    let revoked_at = first.borrow()[1].0;
    assert!(revoked_at <= second.borrow()[0].0, "revoked before the newcomer gets it");
}

pub fn kind(event: &ConsumerEvent) -> &'static str {
    match event {
        ConsumerEvent::Assigned(_) => "assigned",
        // Given up or lost: gone.
        ConsumerEvent::Revoked(_) | ConsumerEvent::Lost(_) => "revoked",
        ConsumerEvent::IncrementallyAssigned(_) => "assigned some",
        ConsumerEvent::IncrementallyRevoked(_) => "revoked some",
        ConsumerEvent::Records { .. } => "records",
        ConsumerEvent::Error(_) => "error",
    }
}

#[test]
fn e47_a_lone_consumer_is_assigned_after_the_initial_delay() {
    let mut world = world();
    let (_, log) = start(&mut world, config("a"));
    world.run_for(10_000);
    assert_eq!(log.borrow()[0].0 / 1_000, 3);
}

#[test]
fn e52_without_a_commit_latest_skips_and_earliest_reads_what_was_there() {
    for (reset, expected) in [(AutoOffsetReset::Latest, 10..20), (AutoOffsetReset::Earliest, 0..20)] {
        let mut world = world();
        let producer = producer(&world);
        send(&mut world, &producer, numbered(0..10));
        let mut config = config("a");
        config.auto_offset_reset = reset;
        let (_, log) = start(&mut world, config);
        world.run_for(10_000);
        send(&mut world, &producer, numbered(10..20));
        world.run_for(1_000);
        assert_eq!(sorted(values(&log)), expected.collect::<Vec<_>>(), "{reset:?}");
    }
}

#[test]
fn e52_none_reports_partitions_without_a_commit() {
    let mut world = World::new(vec![TopicSpec::new(TOPIC, 1)]);
    let mut config = config("a");
    config.auto_offset_reset = AutoOffsetReset::None;
    let (_, log) = start(&mut world, config);
    world.run_for(10_000);
    let missing = ConsumerError::NoOffsetForPartition(TopicPartition::new(TOPIC, 0));
    assert_eq!(log.borrow().last().map(|(_, event)| event.clone()), Some(ConsumerEvent::Error(missing)));
}

#[test]
fn h68_a_position_outside_of_the_log_is_reset() {
    let mut world = World::new(vec![TopicSpec::new(TOPIC, 1)]);
    let producer = producer(&world);
    send(&mut world, &producer, numbered(0..5));
    let link = world.link();
    let got = world.block_on(async move {
        let mut consumer = Consumer::new(link, config("a"));
        let partition = TopicPartition::new(TOPIC, 0);
        loop {
            match consumer.poll().await {
                ConsumerEvent::Assigned(_) => consumer.seek(&partition, 1_000),
                ConsumerEvent::Records { records, .. } => return records,
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!(got.len(), 5);
    assert_eq!(got[0].headers[0].0.as_str(), "sequence");
}

#[test]
fn e56_fetched_records_of_a_revoked_partition_are_dropped() {
    let mut world = World::new(vec![TopicSpec::new(TOPIC, 1)]);
    let producer = producer(&world);
    send(&mut world, &producer, numbered(0..10));
    let mut slow = config("a");
    slow.max_poll_records = 3;
    let link = world.link();
    let (kinds, positions) = world.block_on(async move {
        let mut consumer = Consumer::new(Rc::clone(&link), slow);
        let partition = TopicPartition::new(TOPIC, 0);
        let (mut kinds, mut positions) = (Vec::new(), Vec::new());
        while kinds.len() < 5 {
            let event = consumer.poll().await;
            kinds.push(kind(&event));
            if kinds.len() == 2 {
                // Three of ten are delivered; the host says that another generation is on, and commits nothing.
                positions.push(consumer.position(&partition));
                kafka::client::Link::sleep_ms(&*link, 200_000).await;
                let _ = consumer.commit(&[(partition.clone(), 3)]).await;
            }
            positions.push(consumer.position(&partition));
        }
        (kinds, positions)
    });
    assert_eq!(kinds, ["assigned", "records", "revoked", "assigned", "records"]);
    assert_eq!(
        positions.last(),
        Some(&Some(3)),
        "its session had ended: read again from the start, {positions:?}"
    );
}

#[test]
fn an_idle_consumer_wakes_for_heartbeats_and_empty_fetches_alone() {
    let mut world = world();
    let (task, _) = start(&mut world, config("a"));
    world.run_for(60_000);
    let (polls, sent) = (world.polls(task), world.state.borrow().sent.clone());
    world.run_for(600_000);
    let now = world.state.borrow().sent.clone();
    let more: BTreeMap<&str, u32> = now.iter().map(|(name, count)| (*name, count - sent[name])).collect();
    let talk: Vec<(&str, u32)> = more.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(talk, [("Fetch", 60), ("Heartbeat", 40)]);
    // A heartbeat is a wait and an answer; the three fetches end together.
    assert!(world.polls(task) - polls <= 2 * 40 + 60, "{}", world.polls(task) - polls);
}

#[test]
fn a_broker_that_crashes_and_comes_back_is_read_on_from() {
    let mut world = world();
    let producer = producer(&world);
    let (_, log) = start(&mut world, config("a"));
    world.run_for(10_000);
    send(&mut world, &producer, numbered(0..30));
    world.run_for(1_000);
    for broker in BROKERS {
        world.state.borrow_mut().crash(broker);
        world.run_for(20_000);
        world.state.borrow_mut().restart(broker);
        world.run_for(80_000);
    }
    send(&mut world, &producer, numbered(30..60));
    world.run_for(1_000);
    assert_eq!(sorted(values(&log)), (0..60).collect::<Vec<_>>());
}

#[test]
fn polls_may_be_dropped_at_any_point() {
    let mut world = world();
    let producer = producer(&world);
    let link = world.link();
    let log: Log = Rc::default();
    let seen = Rc::clone(&log);
    world.spawn(async move {
        let mut consumer = Consumer::new(Rc::clone(&link), config("a"));
        loop {
            use futures::FutureExt;
            let event = futures::select_biased! {
                event = consumer.poll().fuse() => Some(event),
                () = kafka::client::Link::sleep_ms(&*link, 1).fuse() => None,
            };
            seen.borrow_mut().extend(event.map(|event| (0, event)));
        }
    });
    world.run_for(10_000);
    send(&mut world, &producer, numbered(0..100));
    world.run_for(1_000);
    assert_eq!(sorted(values(&log)), (0..100).collect::<Vec<_>>());
}

#[test]
fn paused_partitions_are_silent_and_resumed_ones_go_on_where_they_were() {
    let mut world = World::new(vec![TopicSpec::new(TOPIC, 1)]);
    let producer = producer(&world);
    let link = world.link();
    let log: Log = Rc::default();
    let seen = Rc::clone(&log);
    world.spawn(async move {
        use futures::FutureExt;
        let mut consumer = Consumer::new(Rc::clone(&link), config("a"));
        let partitions = [TopicPartition::new(TOPIC, 0)];
        let mut wake = Box::pin(kafka::client::Link::sleep_ms(&*link, 20_000)).fuse();
        loop {
            futures::select_biased! {
                event = consumer.poll().fuse() => {
                    if matches!(event, ConsumerEvent::Assigned(_)) {
                        consumer.pause(&partitions);
                    }
                    seen.borrow_mut().push((kafka::client::Link::now_ms(&*link), event));
                }
                () = wake => consumer.resume(&partitions),
            }
        }
    });
    world.run_for(10_000);
    send(&mut world, &producer, numbered(0..5));
    world.run_for(9_000);
    assert!(values(&log).is_empty());
    world.run_for(2_000);
    assert_eq!(sorted(values(&log)), (0..5).collect::<Vec<_>>());
}

#[test]
fn a_consumer_that_leaves_hands_over_at_once() {
    let mut world = world();
    let mut config_b = config("b");
    config_b.partition_assignment_strategy = vec![Assignor::RoundRobin];
    let mut config_a = config("a");
    config_a.partition_assignment_strategy = vec![Assignor::RoundRobin];
    let link = world.link();
    world.spawn(async move {
        use futures::FutureExt;
        let mut consumer = Consumer::new(Rc::clone(&link), config_a);
        let mut wake = Box::pin(kafka::client::Link::sleep_ms(&*link, 30_000)).fuse();
        loop {
            futures::select_biased! {
                _ = consumer.poll().fuse() => {}
                () = wake => return consumer.leave().await,
            }
        }
    });
    let (_, second) = start(&mut world, config_b);
    world.run_for(29_000);
    assert_eq!(assigned(&second), [1, 3, 5]);
    world.run_for(20_000);
    assert_eq!(assigned(&second), [0, 1, 2, 3, 4, 5], "at its next heartbeat");
}

#[test]
fn d44_a_static_consumer_whose_instance_id_is_taken_stops_for_good() {
    let mut world = world();
    let with_instance =
        |client: &str| ConsumerConfig { group_instance_id: Some("clearing-0".into()), ..config(client) };
    let (_, first) = start(&mut world, with_instance("a"));
    world.run_for(20_000);
    let (_, second) = start(&mut world, with_instance("b"));
    world.run_for(20_000);
    assert_eq!(assigned(&second), [0, 1, 2, 3, 4, 5]);
    let kinds: Vec<&str> = first.borrow().iter().map(|(_, event)| kind(event)).collect();
    assert_eq!(kinds, ["assigned", "revoked", "error"]);
    let last = first.borrow().last().map(|(_, event)| event.clone());
    assert_eq!(last, Some(ConsumerEvent::Error(ConsumerError::Fenced)));
}

#[test]
fn a_coordinator_that_is_silent_for_less_than_the_session_costs_nothing() {
    let mut world = world();
    let producer = producer(&world);
    let (_, log) = start(&mut world, config("a"));
    world.run_for(10_000);
    let coordinator = kafka::ClusterSpec::new(BROKERS.to_vec(), vec![]).coordinator_of("clearing");
    world.state.borrow_mut().silent.insert(coordinator);
    world.run_for(40_000);
    world.state.borrow_mut().silent.clear();
    world.run_for(100_000);
    send(&mut world, &producer, numbered(0..20));
    world.run_for(1_000);
    let kinds: Vec<&str> = log.borrow().iter().map(|(_, event)| kind(event)).collect();
    assert!(!kinds.contains(&"revoked"), "{kinds:?}");
    assert_eq!(sorted(values(&log)), (0..20).collect::<Vec<_>>());
}

#[test]
fn the_same_run_gives_the_same_events_at_the_same_times() {
    let run = || {
        let mut world = world();
        let producer = producer(&world);
        let logs: Vec<Log> = ["a", "b", "c"].map(|client| start(&mut world, config(client)).1).to_vec();
        world.run_for(20_000);
        send(&mut world, &producer, numbered(0..200));
        world.kill(0);
        world.run_for(120_000);
        let events: Vec<_> = logs.iter().map(|log| log.borrow().clone()).collect();
        let facts = format!("{:?}", world.state.borrow().facts);
        (events, facts)
    };
    assert!(run() == run());
}
