//! Consumers with librdkafka's and Java's habits: auto-commit, poll interval, cooperative rebalances.

use std::collections::BTreeMap;
use std::rc::Rc;

use futures::FutureExt;
use kafka::client::{
    Assignor, AutoOffsetReset, CommitError, Consumer, ConsumerConfig, ConsumerError, ConsumerEvent,
    ErrorCode, IsolationLevel, Link,
};
use kafka::{Output, ResponseError, TopicPartition, TopicSpec};

use crate::client_consumer::{Log, assigned, config, kind, numbered, sorted, start, values, world};
use crate::client_producer::{TOPIC, producer, record, send};
use crate::world::{BROKERS, SimLink, World};

const SECOND_MS: i64 = 1_000;

fn librdkafka(client_id: &str) -> ConsumerConfig {
    let topics = vec![TOPIC.to_owned()];
    let config = ConsumerConfig::librdkafka(BROKERS.to_vec(), "clearing", client_id, topics);
    let isolation_level = IsolationLevel::ReadUncommitted;
    ConsumerConfig { auto_offset_reset: AutoOffsetReset::Earliest, isolation_level, ..config }
}

fn java(client_id: &str) -> ConsumerConfig {
    let config = ConsumerConfig::java(BROKERS.to_vec(), "clearing", client_id, vec![TOPIC.to_owned()]);
    ConsumerConfig { auto_offset_reset: AutoOffsetReset::Earliest, ..config }
}

fn cooperative(client_id: &str) -> ConsumerConfig {
    ConsumerConfig { partition_assignment_strategy: vec![Assignor::CooperativeSticky], ..config(client_id) }
}

/// Until the next records; other events are passed over.
async fn next_records(consumer: &mut Consumer<SimLink>) -> usize {
    loop {
        if let ConsumerEvent::Records { records, .. } = consumer.poll().await {
            return records.len();
        }
    }
}

/// Takes two batches of three, works on the second for a minute, and dies. What the group knows then.
fn committed_at_death(config: ConsumerConfig) -> Option<i64> {
    let mut world = World::new(vec![TopicSpec::new(TOPIC, 1)]);
    let producer = producer(&world);
    send(&mut world, &producer, numbered(0..10));
    let config = ConsumerConfig { max_poll_records: 3, ..config };
    let link = world.link();
    let victim = world.spawn(async move {
        let mut consumer = Consumer::new(Rc::clone(&link), config);
        next_records(&mut consumer).await;
        let mut pause = Box::pin(link.sleep_ms(20 * SECOND_MS)).fuse();
        futures::select_biased! {
            () = consumer.drive().fuse() => {}
            () = pause => {}
        }
        next_records(&mut consumer).await;
        consumer.drive().await;
    });
    world.run_for(90 * SECOND_MS);
    world.kill(victim);
    committed(&mut world)
}

fn committed(world: &mut World) -> Option<i64> {
    let (link, name) = (world.link(), TopicPartition::new(TOPIC, 0));
    world.block_on(async move {
        let mut reader = Consumer::new(link, config("reader"));
        loop {
            if let ConsumerEvent::Assigned(_) = reader.poll().await {
                let found = reader.committed(std::slice::from_ref(&name)).await.expect("answered");
                return found[&name];
            }
        }
    })
}

#[test]
fn e53_librdkafka_commits_what_was_handed_over_and_java_what_was_before_it() {
    assert_eq!(
        committed_at_death(librdkafka("a")),
        Some(6),
        "the second batch is lost if nobody finished it"
    );
    assert_eq!(committed_at_death(java("a")), Some(3));
}

#[test]
fn e53_without_offset_store_only_stored_offsets_are_committed() {
    let mut world = World::new(vec![TopicSpec::new(TOPIC, 1)]);
    let producer = producer(&world);
    send(&mut world, &producer, numbered(0..10));
    let config = ConsumerConfig { enable_auto_offset_store: false, ..librdkafka("a") };
    let link = world.link();
    let victim = world.spawn(async move {
        let mut consumer = Consumer::new(link, config);
        next_records(&mut consumer).await;
        consumer.store_offsets(&[(TopicPartition::new(TOPIC, 0), 4)]);
        consumer.drive().await;
    });
    world.run_for(20 * SECOND_MS);
    world.kill(victim);
    assert_eq!(committed(&mut world), Some(4));
}

#[test]
fn e53_offsets_are_committed_before_the_partitions_go_to_another() {
    for (first, second) in [(librdkafka("a"), librdkafka("b")), (java("a"), java("b"))] {
        let mut world = world();
        let producer = producer(&world);
        // Never by time: only the rebalance commits.
        let slow = |config| ConsumerConfig { auto_commit_interval_ms: 3_600_000, ..config };
        let (_, log_a) = start_without_commits(&mut world, slow(first));
        world.run_for(10 * SECOND_MS);
        send(&mut world, &producer, numbered(0..60));
        world.run_for(SECOND_MS);
        let (_, log_b) = start_without_commits(&mut world, slow(second));
        world.run_for(30 * SECOND_MS);
        send(&mut world, &producer, numbered(60..120));
        world.run_for(SECOND_MS);
        let both: Vec<String> = values(&log_a).into_iter().chain(values(&log_b)).collect();
        assert_eq!(sorted(both), (0..120).collect::<Vec<_>>(), "nothing twice");
        assert!(!values(&log_b).is_empty());
    }
}

fn start_without_commits(world: &mut World, config: ConsumerConfig) -> (usize, Log) {
    let (log, link): (Log, _) = (Rc::default(), world.link());
    let seen = Rc::clone(&log);
    let task = world.spawn(async move {
        let mut consumer = Consumer::new(Rc::clone(&link), config);
        loop {
            let event = consumer.poll().await;
            seen.borrow_mut().push((link.now_ms(), event));
        }
    });
    (task, log)
}

/// A consumer that works on its first record for 400 s, driven meanwhile, and then notes what it is told.
fn start_busy(world: &mut World, config: ConsumerConfig) -> Log {
    let (log, link): (Log, _) = (Rc::default(), world.link());
    let seen = Rc::clone(&log);
    world.spawn(async move {
        let mut consumer = Consumer::new(Rc::clone(&link), config);
        next_records(&mut consumer).await;
        let generation = consumer.group_metadata().generation_id;
        let mut busy = Box::pin(link.sleep_ms(400 * SECOND_MS)).fuse();
        futures::select_biased! {
            () = consumer.drive().fuse() => {}
            () = busy => {}
        }
        assert!(generation > 0 && consumer.group_metadata().generation_id == -1);
        let commit = consumer.commit(&[(TopicPartition::new(TOPIC, 0), 1)]).await;
        assert_eq!(commit, Err(CommitError::NotAMember));
        loop {
            let event = consumer.poll().await;
            seen.borrow_mut().push((link.now_ms(), event));
        }
    });
    log
}

#[test]
fn e46_a_driven_consumer_that_is_not_polled_leaves_and_comes_back_when_it_is() {
    for base in [librdkafka("a"), java("a"), config("a")] {
        let mut world = world();
        let producer = producer(&world);
        send(&mut world, &producer, vec![record("AAPL", "poison")]);
        let log = start_busy(&mut world, base);
        world.run_for(320 * SECOND_MS);
        let (_, other) = start(&mut world, config("b"));
        world.run_for(20 * SECOND_MS);
        assert_eq!(assigned(&other).len(), 6);
        world.run_for(100 * SECOND_MS);
        let events: Vec<ConsumerEvent> = log.borrow().iter().map(|(_, event)| event.clone()).collect();
        assert!(matches!(events[1], ConsumerEvent::Lost(_)), "{events:?}");
        assert!(matches!(events[2], ConsumerEvent::Assigned(_)), "{events:?}");
        let ConsumerEvent::Error(error) = &events[0] else { panic!("{events:?}") };
        assert_eq!(error.error().code(), ErrorCode::MaxPollExceeded);
    }
}

#[test]
fn e46_a_rebalance_waits_for_a_busy_member_until_its_poll_interval_ends() {
    let mut world = world();
    let producer = producer(&world);
    send(&mut world, &producer, vec![record("AAPL", "poison")]);
    let log = start_busy(&mut world, config("a"));
    world.run_for(200 * SECOND_MS);
    let (_, other) = start(&mut world, config("b"));
    world.run_for(90 * SECOND_MS);
    assert!(assigned(&other).is_empty(), "it heartbeats, and has not given up its partitions");
    world.run_for(20 * SECOND_MS);
    assert_eq!(assigned(&other).len(), 6);
    world.run_for(150 * SECOND_MS);
    let kinds: Vec<&str> = log.borrow().iter().map(|(_, event)| kind(event)).collect();
    assert_eq!(kinds[..3], ["revoked", "error", "assigned"]);
}

/// Owners by generation, from the facts.
fn generations(world: &World) -> Vec<BTreeMap<TopicPartition, String>> {
    let state = world.state.borrow();
    let generations = state.facts.iter().filter_map(|fact| match fact {
        Output::Rebalanced { members, .. } => Some(members),
        _ => None,
    });
    let owners = generations.map(|members| {
        let owned = members.iter().flat_map(|member| {
            member.partitions.iter().map(|name| (name.clone(), member.client_id.to_string()))
        });
        owned.collect()
    });
    owners.collect()
}

#[test]
fn e45_cooperative_moves_only_what_must_move_in_two_rebalances() {
    let mut world = world();
    let producer = producer(&world);
    let (_, first) = start(&mut world, cooperative("a"));
    world.run_for(20 * SECOND_MS);
    let (_, second) = start(&mut world, cooperative("b"));
    world.run_for(60 * SECOND_MS);
    let kinds = |log: &Log| -> Vec<&str> { log.borrow().iter().map(|(_, event)| kind(event)).collect() };
    assert_eq!(kinds(&first), ["assigned some", "revoked some"], "three stay without a word");
    assert_eq!(kinds(&second), ["assigned some"]);
    let generations = generations(&world);
    let owners: Vec<usize> = generations.iter().map(BTreeMap::len).collect();
    assert_eq!(owners, [6, 3, 6], "in between the moving ones are nobody's");
    let stays =
        |name: &&TopicPartition| generations.iter().all(|owners| owners.get(*name).is_some_and(|o| o == "a"));
    assert_eq!(generations[0].keys().filter(stays).count(), 3);
    send(&mut world, &producer, numbered(0..60));
    world.run_for(SECOND_MS);
    let both: Vec<String> = values(&first).into_iter().chain(values(&second)).collect();
    assert_eq!(sorted(both), (0..60).collect::<Vec<_>>());
}

#[test]
fn e45_cooperative_members_read_on_during_a_rebalance() {
    let mut world = world();
    let producer = producer(&world);
    let (_, first) = start(&mut world, cooperative("a"));
    let (slow, _) = start(&mut world, cooperative("c"));
    world.run_for(60 * SECOND_MS);
    // It does not join the next generation: the others wait for it, up to the rebalance time-out.
    world.pause(slow, true);
    let (_, second) = start(&mut world, cooperative("b"));
    world.run_for(30 * SECOND_MS);
    assert!(assigned(&second).is_empty());
    let before = values(&first).len();
    send(&mut world, &producer, numbered(0..60));
    world.run_for(SECOND_MS);
    assert!(values(&first).len() > before, "its own partitions, in the middle of the rebalance");
}

#[test]
fn e45_when_a_cooperative_member_dies_the_others_keep_theirs() {
    let mut world = world();
    let (dies, _) = start(&mut world, cooperative("a"));
    let (_, second) = start(&mut world, cooperative("b"));
    world.run_for(60 * SECOND_MS);
    world.kill(dies);
    world.run_for(120 * SECOND_MS);
    let kinds: Vec<&str> = second.borrow().iter().map(|(_, event)| kind(event)).collect();
    assert!(!kinds.contains(&"revoked"), "{kinds:?}");
    let all: usize = second
        .borrow()
        .iter()
        .map(|(_, event)| match event {
            ConsumerEvent::IncrementallyAssigned(names) => names.len(),
            ConsumerEvent::IncrementallyRevoked(names) => 0usize.wrapping_sub(names.len()),
            _ => 0,
        })
        .fold(0, usize::wrapping_add);
    assert_eq!(all, 6);
}

#[test]
fn e45_sticky_members_get_back_what_they_had() {
    let mut world = world();
    let sticky = |client: &str| ConsumerConfig {
        partition_assignment_strategy: vec![Assignor::Sticky],
        ..config(client)
    };
    let (_, first) = start(&mut world, sticky("a"));
    let (_, second) = start(&mut world, sticky("b"));
    world.run_for(30 * SECOND_MS);
    let before = (assigned(&first), assigned(&second));
    let (dies, third) = start(&mut world, sticky("c"));
    world.run_for(60 * SECOND_MS);
    assert_eq!(assigned(&third).len(), 2);
    for (now, before) in [(assigned(&first), &before.0), (assigned(&second), &before.1)] {
        assert_eq!(now.len(), 2);
        assert!(now.iter().all(|partition| before.contains(partition)));
    }
    world.kill(dies);
    world.run_for(120 * SECOND_MS);
    assert_eq!(assigned(&first).len() + assigned(&second).len(), 6);
}

#[test]
fn e45_a_group_agrees_on_an_assignor_that_all_know() {
    let mut world = world();
    let both = ConsumerConfig {
        partition_assignment_strategy: vec![Assignor::Sticky, Assignor::RoundRobin],
        ..config("a")
    };
    let one = ConsumerConfig { partition_assignment_strategy: vec![Assignor::RoundRobin], ..config("b") };
    let (_, first) = start(&mut world, both);
    let (_, second) = start(&mut world, one);
    world.run_for(30 * SECOND_MS);
    assert_eq!((assigned(&first), assigned(&second)), (vec![0, 2, 4], vec![1, 3, 5]));
}

#[test]
fn e49_offsets_may_be_committed_while_partitions_are_given_up() {
    let mut world = world();
    let link = world.link();
    let committed: Rc<std::cell::RefCell<Vec<Result<(), CommitError>>>> = Rc::default();
    let seen = Rc::clone(&committed);
    world.spawn(async move {
        let mut consumer = Consumer::new(link, config("a"));
        loop {
            if let ConsumerEvent::Revoked(_) = consumer.poll().await {
                let result = consumer.commit(&[(TopicPartition::new(TOPIC, 0), 7)]).await;
                seen.borrow_mut().push(result);
            }
        }
    });
    world.run_for(10 * SECOND_MS);
    start(&mut world, config("b"));
    world.run_for(20 * SECOND_MS);
    assert_eq!(*committed.borrow(), [Ok(())]);
}

#[test]
fn h70_offsets_are_found_by_time() {
    let mut world = World::new(vec![TopicSpec::new(TOPIC, 1)]);
    let producer = producer(&world);
    for time in [10, 20, 30] {
        let dated = kafka::client::ProducerRecord { timestamp_ms: time, ..record("k", "v") };
        send(&mut world, &producer, vec![dated]);
    }
    let link = world.link();
    let found = world.block_on(async move {
        let mut consumer = Consumer::new(link, config("a"));
        next_records(&mut consumer).await;
        let name = || TopicPartition::new(TOPIC, 0);
        let found =
            consumer.offsets_for_times(&[(name(), 5), (name(), 15), (name(), 30), (name(), 31)]).await;
        assert_eq!(consumer.bounds(&name()).await, Some((0, 3)));
        found
    });
    assert_eq!(found, [Some(0), Some(1), Some(2), None]);
}

#[test]
fn i80_consumer_errors_have_librdkafkas_classes() {
    assert!(ConsumerError::Fenced.error().is_fatal());
    let rebalance = CommitError::Refused(ResponseError::NotCoordinator).error();
    assert!(rebalance.is_retriable() && !rebalance.is_fatal());
    let stale = CommitError::Refused(ResponseError::IllegalGeneration).error();
    assert_eq!((stale.code().name().as_str(), stale.is_retriable()), ("ILLEGAL_GENERATION", false));
    assert!(CommitError::Refused(ResponseError::FencedInstanceId).error().is_fatal());
}
