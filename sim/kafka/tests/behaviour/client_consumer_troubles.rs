//! Consumers against brokers in trouble, coordinators that move, and logs that lose their beginning.

use std::collections::BTreeSet;
use std::rc::Rc;

use futures::FutureExt;
use kafka::client::{AutoOffsetReset, Consumer, ConsumerError, ConsumerEvent, Link};
use kafka::{ApiKey, Moment, ResponseError, TopicPartition, TopicSpec, Trouble};

use crate::client_consumer::{Log, assigned, config, kind, numbered, sorted, start, values, world};
use crate::client_producer::{TOPIC, producer, send};
use crate::troubles::{ALWAYS, error};
use crate::world::{BROKERS, World};

const GROUP: &str = "clearing";
const HOUR_MS: i64 = 3_600_000;

fn coordinator(world: &World) -> i32 {
    world.state.borrow().brokers[&0].coordinator_of(GROUP).expect("somebody leads its partition")
}

fn kinds(log: &Log) -> Vec<&'static str> {
    log.borrow().iter().map(|(_, event)| kind(event)).collect()
}

/// Calls of everybody while this goes on for so long.
fn calls_during(world: &mut World, ms: i64) -> i64 {
    let before = world.state.borrow().sent_in_all();
    world.run_for(ms);
    i64::from(world.state.borrow().sent_in_all() - before)
}

#[test]
fn a_leader_that_is_away_for_an_hour_is_not_run_after_and_then_read_on_from() {
    let mut world = world();
    let producer = producer(&world);
    let (_, log) = start(&mut world, config("a"));
    world.run_for(10_000);
    let away = (0..3).find(|id| *id != coordinator(&world)).expect("two others");
    world.state.borrow_mut().crash(away);
    let calls = calls_during(&mut world, HOUR_MS);
    assert!(calls < 3 * 3_600, "a fetch and two look-ups a second, not {calls}");
    world.state.borrow_mut().restart(away);
    world.run_for(2_000);
    send(&mut world, &producer, numbered(0..60));
    world.run_for(1_000);
    assert_eq!(sorted(values(&log)), (0..60).collect::<Vec<_>>());
    assert!(!kinds(&log).contains(&"revoked"));
}

#[test]
fn fetches_that_are_refused_for_an_hour_are_repeated_at_most_once_a_second() {
    for refusal in [ResponseError::NotLeaderOrFollower, ResponseError::UnknownServerError] {
        let mut world = world();
        let producer = producer(&world);
        let (_, log) = start(&mut world, config("a"));
        world.run_for(10_000);
        world.state.borrow_mut().trouble(&error(ApiKey::Fetch, refusal, Moment::Before));
        send(&mut world, &producer, numbered(0..60));
        let calls = calls_during(&mut world, HOUR_MS);
        assert!(calls < 5 * 3_600, "a fetch from each of three leaders and a look-up a second, not {calls}");
        assert!(world.state.borrow().met() > 3_000);
        world.state.borrow_mut().end_trouble();
        world.run_for(2_000);
        assert_eq!(sorted(values(&log)), (0..60).collect::<Vec<_>>());
    }
}

#[test]
fn e55_a_coordinator_that_is_away_for_an_hour_costs_no_rebalance() {
    let mut world = world();
    let producer = producer(&world);
    let (_, first) = start(&mut world, config("a"));
    let (_, second) = start(&mut world, config("b"));
    world.run_for(20_000);
    let away = coordinator(&world);
    world.state.borrow_mut().crash(away);
    let calls = calls_during(&mut world, HOUR_MS);
    assert!(calls < 2 * 5 * 3_600, "{calls}");
    world.state.borrow_mut().restart(away);
    world.run_for(120_000);
    send(&mut world, &producer, numbered(0..60));
    world.run_for(1_000);
    let both: Vec<String> = values(&first).into_iter().chain(values(&second)).collect();
    assert_eq!(sorted(both), (0..60).collect::<Vec<_>>());
    assert!(!kinds(&first).contains(&"revoked") && !kinds(&second).contains(&"revoked"));
}

#[test]
fn e55_members_follow_a_coordinator_that_moves_and_keep_their_partitions() {
    let mut world = world();
    let producer = producer(&world);
    let (_, first) = start(&mut world, config("a"));
    let (_, second) = start(&mut world, config("b"));
    world.run_for(20_000);
    for _ in 0..4 {
        let to = (coordinator(&world) + 1) % 3;
        world.state.borrow_mut().move_coordinator(GROUP, to, 10_000);
        world.run_for(60_000);
        assert_eq!(coordinator(&world), to);
    }
    send(&mut world, &producer, numbered(0..60));
    world.run_for(60_000);
    let both: Vec<String> = values(&first).into_iter().chain(values(&second)).collect();
    assert_eq!(sorted(both), (0..60).collect::<Vec<_>>());
    assert!(!kinds(&first).contains(&"revoked") && !kinds(&second).contains(&"revoked"));
}

#[test]
fn e55_a_coordinator_that_moves_during_a_rebalance_is_found_by_all() {
    let mut world = world();
    let producer = producer(&world);
    let logs: Vec<Log> = ["a", "b", "c"].map(|client| start(&mut world, config(client)).1).to_vec();
    // In the middle of the initial delay, then of a generation's end.
    for ms in [2_000, 15_000] {
        world.run_for(ms);
        let to = (coordinator(&world) + 1) % 3;
        world.state.borrow_mut().move_coordinator(GROUP, to, 5_000);
    }
    world.run_for(120_000);
    let owned: Vec<i32> = logs.iter().flat_map(assigned).collect();
    assert_eq!(owned.iter().copied().collect::<BTreeSet<_>>().len(), 6, "{owned:?}");
    assert_eq!(owned.len(), 6);
    send(&mut world, &producer, numbered(0..60));
    world.run_for(1_000);
    let all: Vec<String> = logs.iter().flat_map(values).collect();
    assert_eq!(sorted(all), (0..60).collect::<Vec<_>>());
}

#[test]
fn e45_a_forced_rebalance_gives_everybody_partitions_again_and_loses_nothing() {
    let mut world = world();
    let producer = producer(&world);
    let (_, first) = start(&mut world, config("a"));
    let (_, second) = start(&mut world, config("b"));
    world.run_for(20_000);
    let (broker, now) = (coordinator(&world), world.state.borrow().now);
    let outputs = world.state.borrow_mut().brokers.get_mut(&broker).expect("there").rebalance(now, GROUP);
    assert_eq!(outputs, Ok(Vec::new()));
    send(&mut world, &producer, numbered(0..60));
    world.run_for(20_000);
    assert_eq!(kinds(&first).iter().filter(|kind| **kind == "assigned").count(), 2);
    let both: Vec<String> = values(&first).into_iter().chain(values(&second)).collect();
    assert_eq!(sorted(both), (0..60).collect::<Vec<_>>());
}

#[test]
fn the_way_into_a_group_is_not_run_in_circles() {
    let refusals = [
        (ApiKey::JoinGroup, ResponseError::CoordinatorLoadInProgress),
        (ApiKey::JoinGroup, ResponseError::NotCoordinator),
        (ApiKey::SyncGroup, ResponseError::UnknownMemberId),
        (ApiKey::SyncGroup, ResponseError::RebalanceInProgress),
        (ApiKey::OffsetFetch, ResponseError::CoordinatorLoadInProgress),
        (ApiKey::FindCoordinator, ResponseError::CoordinatorNotAvailable),
        (ApiKey::Metadata, ResponseError::LeaderNotAvailable),
    ];
    for (api, refusal) in refusals {
        let mut world = world();
        world.state.borrow_mut().trouble(&error(api, refusal, Moment::Before));
        let (_, log) = start(&mut world, config("a"));
        let calls = calls_during(&mut world, 600_000);
        assert!(calls < 5 * 600 && world.state.borrow().met() > 3, "{api:?} {refusal:?}: {calls}");
        world.state.borrow_mut().end_trouble();
        world.run_for(60_000);
        assert_eq!(assigned(&log), [0, 1, 2, 3, 4, 5], "{api:?} {refusal:?}");
    }
}

#[test]
fn heartbeats_that_are_refused_mean_what_they_say() {
    let refusals = [
        (ResponseError::UnknownMemberId, true),
        (ResponseError::IllegalGeneration, true),
        (ResponseError::RebalanceInProgress, true),
        (ResponseError::NotCoordinator, false),
        (ResponseError::CoordinatorLoadInProgress, false),
        (ResponseError::UnknownServerError, false),
    ];
    for (refusal, rejoins) in refusals {
        let mut world = world();
        let (_, log) = start(&mut world, config("a"));
        world.run_for(10_000);
        world.state.borrow_mut().trouble(&error(ApiKey::Heartbeat, refusal, Moment::Before));
        world.run_for(15_000);
        world.state.borrow_mut().end_trouble();
        world.run_for(60_000);
        assert_eq!(kinds(&log).contains(&"revoked"), rejoins, "{refusal:?}");
        assert_eq!(assigned(&log), [0, 1, 2, 3, 4, 5], "{refusal:?}");
    }
}

#[test]
fn e46_a_zombie_hears_that_it_is_out_and_joins_again() {
    let mut world = world();
    let producer = producer(&world);
    let (zombie, first) = start(&mut world, config("a"));
    let (_, second) = start(&mut world, config("b"));
    world.run_for(20_000);
    world.pause(zombie, true);
    send(&mut world, &producer, numbered(0..30));
    world.run_for(100_000);
    assert_eq!(assigned(&second), [0, 1, 2, 3, 4, 5], "its session has ended");
    assert_eq!(sorted(values(&second)), (0..30).collect::<Vec<_>>());
    world.pause(zombie, false);
    world.run_for(1_000);
    assert!(!values(&first).is_empty(), "it reads on with what it had: fencing is not the log's business");
    world.run_for(60_000);
    assert_eq!(kinds(&first).iter().filter(|kind| **kind == "revoked").count(), 1);
    assert_eq!((assigned(&first).len(), assigned(&second).len()), (3, 3));
    send(&mut world, &producer, numbered(30..60));
    world.run_for(1_000);
    let both: BTreeSet<u32> = sorted(values(&first)).into_iter().chain(sorted(values(&second))).collect();
    assert_eq!(both.len(), 60);
}

#[test]
fn h68_a_consumer_that_retention_overtakes_is_told_or_goes_on_at_the_new_start() {
    let partition = TopicPartition::new(TOPIC, 0);
    for (reset, expected) in [(AutoOffsetReset::None, 0..10), (AutoOffsetReset::Earliest, 0..50)] {
        let mut world = World::new(vec![TopicSpec::new(TOPIC, 1)]);
        let producer = producer(&world);
        send(&mut world, &producer, numbered(0..10));
        let mut config = config("a");
        config.auto_offset_reset = AutoOffsetReset::Earliest;
        let (task, before) = start(&mut world, config.clone());
        world.run_for(10_000);
        assert_eq!(values(&before).len(), 10);
        world.kill(task);
        send(&mut world, &producer, numbered(10..50));
        for broker in world.state.borrow_mut().brokers.values_mut() {
            let _ = broker.delete_records(&partition, 20);
        }
        config.auto_offset_reset = reset;
        let (_, after) = start(&mut world, config);
        world.run_for(120_000);
        let lost = ConsumerError::OffsetOutOfRange { partition: partition.clone(), offset: 10 };
        let told = after.borrow().iter().any(|(_, event)| *event == ConsumerEvent::Error(lost.clone()));
        assert_eq!(told, reset == AutoOffsetReset::None);
        let mut read = sorted(values(&before));
        read.extend(sorted(values(&after)));
        assert_eq!(read, expected.filter(|number| !(10..20).contains(number)).collect::<Vec<_>>());
    }
}

#[test]
fn h68_records_that_are_redelivered_come_again_from_further_back_and_then_go_on() {
    let mut world = World::new(vec![TopicSpec::new(TOPIC, 1)]);
    let producer = producer(&world);
    let (_, log) = start(&mut world, config("a"));
    world.run_for(10_000);
    send(&mut world, &producer, numbered(0..10));
    world.run_for(100);
    let redeliver = |world: &World, back: u32| {
        let state = &mut *world.state.borrow_mut();
        for id in BROKERS {
            let outputs = state.brokers.get_mut(&id).expect("a broker").redeliver("a", back);
            state.emit(id, outputs);
        }
    };
    redeliver(&world, 3);
    world.run_for(100);
    let numbers = |log: &Log| -> Vec<u32> {
        values(log).iter().map(|value| value.parse().expect("a number")).collect()
    };
    assert_eq!(numbers(&log), (0..10).chain(7..10).collect::<Vec<_>>(), "at once, once");
    redeliver(&world, 1_000);
    send(&mut world, &producer, numbered(10..12));
    world.run_for(100);
    let all = (0..10).chain(7..10).chain(0..12).collect::<Vec<_>>();
    assert_eq!(numbers(&log), all, "from the log's start at the earliest");
    let met: u64 = world.state.borrow().brokers.values().map(|broker| broker.redelivered("a")).sum();
    assert_eq!(met, 2);
    redeliver(&world, 0);
    world.run_for(60_000);
    assert_eq!(numbers(&log), all);
}

#[test]
fn reports_go_out_with_a_heartbeat_and_cost_an_idle_consumer_nothing() {
    let mut world = World::new(vec![TopicSpec::new(TOPIC, 1)]);
    let producer = producer(&world);
    let link = world.link();
    world.spawn(async move {
        let mut consumer = Consumer::new(link, config("a"));
        loop {
            if let ConsumerEvent::Records { topic, partition, records } = consumer.poll().await {
                let next = records.last().expect("never empty").offset + 1;
                consumer.report(TopicPartition { topic, partition }, next);
            }
        }
    });
    world.run_for(10_000);
    for number in 0..5 {
        send(&mut world, &producer, numbered(number..number + 1));
        world.run_for(100);
    }
    assert_eq!(world.state.borrow().sent.get("OffsetCommit"), None, "not by itself");
    world.run_for(15_000);
    assert_eq!(world.state.borrow().sent["OffsetCommit"], 1);
    assert_eq!(committed(&mut world), 5);
    world.run_for(HOUR_MS);
    assert_eq!(world.state.borrow().sent["OffsetCommit"], 1, "nothing new to say");
    world.state.borrow_mut().lose_answers.insert("OffsetCommit", 1);
    send(&mut world, &producer, numbered(5..6));
    world.run_for(60_000);
    assert_eq!(world.state.borrow().sent["OffsetCommit"], 3, "said again until it is heard");
    assert_eq!(committed(&mut world), 6);
}

#[test]
fn a_consumer_that_leaves_commits_what_it_reported() {
    let mut world = World::new(vec![TopicSpec::new(TOPIC, 1)]);
    let producer = producer(&world);
    let link = world.link();
    world.spawn(async move {
        let mut consumer = Consumer::new(Rc::clone(&link), config("a"));
        let mut wake = Box::pin(Link::sleep_ms(&*link, 12_000)).fuse();
        loop {
            futures::select_biased! {
                event = consumer.poll().fuse() => if let ConsumerEvent::Records { topic, partition, .. } = event {
                    consumer.report(TopicPartition { topic, partition }, 4);
                },
                () = wake => return consumer.leave().await,
            }
        }
    });
    world.run_for(10_000);
    send(&mut world, &producer, numbered(0..4));
    world.run_for(3_000);
    assert_eq!(world.state.borrow().sent["LeaveGroup"], 1);
    assert_eq!(committed(&mut world), 4);
    let groups = world.state.borrow().brokers.values().map(|broker| broker.groups().count()).sum::<usize>();
    assert_eq!(groups, 1, "without members, but with offsets");
}

/// Where the next member of the group begins.
fn committed(world: &mut World) -> i64 {
    let mut config = config("reader");
    config.auto_offset_reset = AutoOffsetReset::None;
    let broker = coordinator(world);
    let group = kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup::default()
        .with_group_id(kafka::GroupId(kafka::StrBytes::from_static_str(GROUP)))
        .with_topics(None);
    let request = kafka_protocol::messages::OffsetFetchRequest::default().with_groups(vec![group]);
    let link = world.link();
    let answer = world.block_on(async move {
        let request = kafka::Request::new(kafka::StrBytes::from_static_str("reader"), request);
        Link::call(&*link, broker, request, 1_000).await
    });
    match answer {
        Ok(kafka::Response::OffsetFetch(response)) => {
            response.groups[0].topics[0].partitions[0].committed_offset
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_slow_fetch_delays_records_and_loses_none() {
    let mut world = world();
    let producer = producer(&world);
    let (_, log) = start(&mut world, config("a"));
    world.run_for(10_000);
    let slow = Trouble::SlowAnswer { api: ApiKey::Fetch, min_ms: 100, max_ms: 5_000, odds_ppm: ALWAYS };
    world.state.borrow_mut().trouble(&slow);
    for number in 0..60 {
        send(&mut world, &producer, numbered(number..number + 1));
        world.run_for(100);
    }
    world.run_for(20_000);
    assert_eq!(sorted(values(&log)), (0..60).collect::<Vec<_>>());
}

#[test]
fn a_fetch_without_an_answer_is_given_up_and_asked_again() {
    let mut world = world();
    let producer = producer(&world);
    let (_, log) = start(&mut world, config("a"));
    world.run_for(10_000);
    let silence = Trouble::NoAnswer { api: ApiKey::Fetch, moment: Moment::After, odds_ppm: ALWAYS };
    world.state.borrow_mut().trouble(&silence);
    send(&mut world, &producer, numbered(0..60));
    world.run_for(1_000);
    world.state.borrow_mut().end_trouble();
    assert!(values(&log).is_empty());
    world.run_for(61_000);
    assert_eq!(sorted(values(&log)), (0..60).collect::<Vec<_>>(), "after wait and request time-out");
}
