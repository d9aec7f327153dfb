//! A, I: three replicas, their leader, and what becomes of records when leaders change.

use kafka::client::Link;
use kafka::{
    Output, Request, RequestKind, Response, ResponseError, StrBytes, TopicPartition, TopicSpec, Trouble,
};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::{DeleteRecordsRequest, FetchResponse, ProduceResponse};

use crate::bench::{TOPIC, alter_topic, fetch_request, plain, produce_request};
use crate::troubles::counting;
use crate::world::World;

fn at() -> TopicPartition {
    TopicPartition::new(TOPIC, 0)
}

fn world() -> World {
    let topic = TopicSpec { retention_ms: -1, ..TopicSpec::new(TOPIC, 1) };
    let mut world = World::replicated(vec![topic], |_| {});
    world.run_for(1_000);
    world
}

fn ask(world: &mut World, broker: i32, request: impl Into<RequestKind>) -> Option<Response> {
    let link = world.link();
    let request = Request::new(StrBytes::from_static_str("test"), request);
    world.block_on(async move { link.call(broker, request, 60_000).await.ok() })
}

/// The base offset, or the error; `None` without an answer.
fn produce(world: &mut World, broker: i32, acks: i16, value: &str) -> Option<Result<i64, ResponseError>> {
    let mut request = produce_request(acks, 0, plain(&[value]));
    request.timeout_ms = 5_000;
    let response = ProduceResponse::try_from(ask(world, broker, request)?).expect("in kind");
    let partition = &response.responses[0].partition_responses[0];
    Some(ResponseError::try_from_code(partition.error_code).map_or(Ok(partition.base_offset), Err))
}

fn delete_before(world: &mut World, broker: i32, offset: i64) {
    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
    let topic = DeleteRecordsTopic::default().with_name(at().topic).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
    ask(world, broker, request).expect("an answer");
}

fn high_watermark(world: &mut World, broker: i32) -> i64 {
    let response = ask(world, broker, fetch_request(&[(0, 0)], 0, 1_000)).expect("an answer");
    FetchResponse::try_from(response).expect("in kind").responses[0].partitions[0].high_watermark
}

fn isr(world: &World) -> Vec<i32> {
    world.state.borrow().controller.image().partition(&at()).expect("it is there").isr.clone()
}

fn leader(world: &World) -> i32 {
    world.state.borrow().leader_of(&at()).expect("somebody leads")
}

fn other_than(leader: i32) -> [i32; 2] {
    let mut others = [0, 1, 2].into_iter().filter(|id| *id != leader);
    [others.next().expect("three brokers"), others.next().expect("three brokers")]
}

#[test]
fn a3_an_acknowledged_record_is_on_all_in_sync_replicas() {
    let mut world = world();
    let leader = leader(&world);
    assert_eq!(produce(&mut world, leader, -1, "a"), Some(Ok(0)));
    assert_eq!(high_watermark(&mut world, leader), 1);
    for broker in other_than(leader) {
        assert_eq!(produce(&mut world, broker, -1, "b"), Some(Err(ResponseError::NotLeaderOrFollower)));
    }
    let facts = &world.state.borrow().facts;
    assert!(facts.iter().any(|fact| matches!(fact, Output::Visible { base_offset: 0, .. })));
}

#[test]
fn a4_a76_a_dead_follower_leaves_the_in_sync_set_and_too_few_replicas_refuse_acks_all() {
    let mut world = world();
    let leader = leader(&world);
    let [first, second] = other_than(leader);
    world.state.borrow_mut().crash(first);
    world.run_for(15_000);
    assert_eq!(isr(&world), vec![leader, second], "the controller fences whom it does not hear of");
    assert_eq!(produce(&mut world, leader, -1, "a"), Some(Ok(0)), "two of two");
    world.state.borrow_mut().crash(second);
    world.run_for(15_000);
    assert_eq!(isr(&world), vec![leader]);
    assert_eq!(produce(&mut world, leader, -1, "b"), Some(Err(ResponseError::NotEnoughReplicas)));
    assert_eq!(produce(&mut world, leader, 1, "c"), Some(Ok(1)), "nothing was appended, and acks=1 goes on");
    assert_eq!(high_watermark(&mut world, leader), 1, "below min.insync.replicas it stands still");
    for broker in [first, second] {
        world.state.borrow_mut().restart(broker);
    }
    world.run_for(30_000);
    assert_eq!(isr(&world).len(), 3, "they have caught up");
    assert_eq!(high_watermark(&mut world, leader), 2);
}

#[test]
fn a76_who_does_not_fetch_stays_out_of_the_in_sync_set() {
    let mut world = world();
    let leader = leader(&world);
    world.state.borrow_mut().apart = true;
    assert_eq!(produce(&mut world, leader, 1, "a"), Some(Ok(0)));
    world.run_for(60_000);
    assert_eq!(
        isr(&world),
        vec![leader],
        "they have all that is below the high watermark, and do not come back with it"
    );
    let changes = |world: &World| {
        world.state.borrow().controller.image().partition(&at()).expect("it is there").partition_epoch
    };
    assert!(changes(&world) <= 3, "no coming and going");
    let before = changes(&world);
    world.run_for(3_600_000);
    assert_eq!(changes(&world), before);
    world.state.borrow_mut().apart = false;
    world.run_for(60_000);
    assert_eq!(isr(&world).len(), 3, "they have fetched");
    assert_eq!(high_watermark(&mut world, leader), 1);
}

#[test]
fn i72_i73_a_new_leader_comes_from_the_in_sync_set_and_the_old_one_truncates() {
    let mut world = world();
    let old = leader(&world);
    assert_eq!(produce(&mut world, old, -1, "a"), Some(Ok(0)));
    world.state.borrow_mut().cut_off.insert(old);
    assert_eq!(produce(&mut world, old, 1, "lost"), Some(Ok(1)), "it does not know yet");
    assert_eq!(
        produce(&mut world, old, -1, "unknown"),
        Some(Err(ResponseError::RequestTimedOut)),
        "nobody else has it"
    );
    world.run_for(20_000);
    let new = leader(&world);
    assert_ne!(new, old);
    assert_eq!(produce(&mut world, new, -1, "b"), Some(Ok(1)));
    world.state.borrow_mut().cut_off.clear();
    world.run_for(60_000);
    assert_eq!(produce(&mut world, old, 1, "c"), Some(Err(ResponseError::NotLeaderOrFollower)));
    assert_eq!(isr(&world).len(), 3);
    let truncated =
        world.state.borrow().facts.iter().any(
            |fact| matches!(fact, Output::Truncated { partition, from: 1, to: 3 } if *partition == at()),
        );
    assert!(truncated, "what was never replicated is gone");
}

#[test]
fn i72_without_an_in_sync_replica_there_is_no_leader_and_an_unclean_one_loses_records() {
    for unclean in [false, true] {
        let topic = TopicSpec {
            retention_ms: -1,
            min_insync_replicas: Some(1),
            unclean_leader_election_enable: Some(unclean),
            ..TopicSpec::new(TOPIC, 1)
        };
        let mut world = World::replicated(vec![topic], |_| {});
        world.run_for(1_000);
        let old = leader(&world);
        let [first, second] = other_than(old);
        world.state.borrow_mut().crash(first);
        world.state.borrow_mut().crash(second);
        world.run_for(15_000);
        assert_eq!(produce(&mut world, old, -1, "acknowledged"), Some(Ok(0)));
        world.state.borrow_mut().crash(old);
        world.state.borrow_mut().restart(first);
        world.run_for(30_000);
        let found = world.state.borrow().leader_of(&at());
        if unclean {
            assert_eq!(found, Some(first));
            assert_eq!(high_watermark(&mut world, first), 0, "an acknowledged record has vanished");
        } else {
            assert_eq!(found, None);
            world.state.borrow_mut().restart(old);
            world.run_for(30_000);
            assert_eq!(leader(&world), old);
            assert_eq!(high_watermark(&mut world, old), 1);
        }
    }
}

#[test]
fn i72_the_preferred_replica_leads_again_with_the_next_look_at_imbalance() {
    let mut world = world();
    let preferred = leader(&world);
    world.state.borrow_mut().crash(preferred);
    world.run_for(15_000);
    let other = leader(&world);
    assert_ne!(other, preferred);
    world.state.borrow_mut().restart(preferred);
    world.run_for(60_000);
    assert_eq!((isr(&world).len(), leader(&world)), (3, other), "it is in sync, and only leads later");
    world.run_for(300_000);
    assert_eq!(leader(&world), preferred, "leader.imbalance.check.interval.seconds");
}

#[test]
fn i75_leader_epochs_that_are_not_the_leaders_are_refused() {
    let mut world = world();
    let old = leader(&world);
    world.state.borrow_mut().crash(old);
    world.run_for(15_000);
    let new = leader(&world);
    let codes = [0, 1, 2].map(|epoch| {
        let mut request = fetch_request(&[(0, 0)], 0, 1_000);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let response = ask(&mut world, new, request).expect("an answer");
        FetchResponse::try_from(response).expect("in kind").responses[0].partitions[0].error_code
    });
    assert_eq!(codes, [ResponseError::FencedLeaderEpoch.code(), 0, ResponseError::UnknownLeaderEpoch.code()]);
}

#[test]
fn i77_power_loss_of_all_replicas_loses_what_was_acknowledged() {
    let mut world = world();
    let leader = leader(&world);
    assert_eq!(produce(&mut world, leader, -1, "old"), Some(Ok(0)));
    world.run_for(60_000);
    assert_eq!(produce(&mut world, leader, -1, "new"), Some(Ok(1)));
    for broker in [0, 1, 2] {
        world.state.borrow_mut().power_off(broker, 30_000);
    }
    for broker in [0, 1, 2] {
        world.state.borrow_mut().restart(broker);
    }
    world.run_for(60_000);
    let leader = self::leader(&world);
    assert_eq!(high_watermark(&mut world, leader), 1, "only what was written back is there");
}

#[test]
fn i73_a_leader_of_an_empty_epoch_follows_the_next_without_asking_for_ever() {
    let mut world = world();
    let first = leader(&world);
    assert_eq!(produce(&mut world, first, -1, "a"), Some(Ok(0)));
    // Each of two others leads for a while and appends nothing.
    world.state.borrow_mut().crash(first);
    world.run_for(15_000);
    let second = leader(&world);
    world.state.borrow_mut().crash(second);
    world.run_for(15_000);
    for broker in [first, second] {
        world.state.borrow_mut().restart(broker);
    }
    world.run_for(30_000);
    assert_eq!(isr(&world).len(), 3);
    let asked = world.state.borrow().fetches_among_brokers;
    world.run_for(60_000);
    let asked = world.state.borrow().fetches_among_brokers - asked;
    assert!(asked < 1_000, "six fetches in half a second, not {asked} in a minute");
}

#[test]
fn i71_a_follower_with_a_slow_disk_has_a_record_when_it_has_written_it() {
    let mut world = world();
    let leader = leader(&world);
    let [slow, _] = other_than(leader);
    let end = |world: &World| world.state.borrow().brokers[&slow].replica_end(&at());
    let trouble = Trouble::SlowDisk { min_ms: 2_000, max_ms: 2_000 };
    let begin = |world: &World| {
        let mut state = world.state.borrow_mut();
        state.brokers.get_mut(&slow).expect("a broker").begin_trouble(0, trouble.clone(), counting());
    };
    begin(&world);
    assert_eq!(produce(&mut world, leader, 1, "a"), Some(Ok(0)));
    world.run_for(1_500);
    assert_eq!(end(&world), Some(0), "not written yet");
    world.run_for(1_000);
    assert_eq!(end(&world), Some(1));
}

#[test]
fn h67_a_shorter_retention_ms_holds_from_the_next_check() {
    let mut world = world();
    let leader = leader(&world);
    assert_eq!(produce(&mut world, leader, -1, "a"), Some(Ok(0)));
    ask(&mut world, leader, alter_topic("retention.ms", "60000")).expect("an answer");
    world.run_for(600_000);
    let range = world.state.borrow().brokers[&leader].log_range(&at()).expect("led here");
    assert_eq!(range, (1, 1), "it was to be kept for ever");
}

#[test]
fn h68_a_follower_comes_back_when_the_log_starts_within_a_batch() {
    let mut world = world();
    let leader = leader(&world);
    let [away, _] = other_than(leader);
    world.state.borrow_mut().crash(away);
    world.run_for(15_000);
    ask(&mut world, leader, produce_request(-1, 0, plain(&["a", "b", "c"]))).expect("an answer");
    delete_before(&mut world, leader, 1);
    world.state.borrow_mut().restart(away);
    world.run_for(30_000);
    assert_eq!(isr(&world).len(), 3, "the leader sends the batch whole");
    world.state.borrow_mut().crash(leader);
    world.run_for(15_000);
    let request = fetch_request(&[(0, 0)], 0, 1_000);
    let next = self::leader(&world);
    let response = FetchResponse::try_from(ask(&mut world, next, request).expect("an answer"));
    let error = response.expect("in kind").responses[0].partitions[0].error_code;
    assert_eq!(error, ResponseError::OffsetOutOfRange.code(), "what was deleted stays so");
}

/// A process that starts while the session of its predecessor lasts: its log may end in what nobody else has.
#[test]
fn i72_a_leader_that_has_crashed_leads_nothing_before_it_is_registered_anew() {
    let mut world = world();
    let old = leader(&world);
    world.state.borrow_mut().crash(old);
    world.run_for(100);
    world.state.borrow_mut().restart(old);
    world.run_for(2_000);
    assert_eq!(leader(&world), old, "its session is not over");
    let leads = |world: &World, broker: i32| world.state.borrow().brokers[&broker].log_range(&at()).is_some();
    assert!(!leads(&world, old));
    world.run_for(20_000);
    let new = leader(&world);
    assert_ne!(new, old);
    assert!(leads(&world, new) && !leads(&world, old));
    assert_eq!(isr(&world).len(), 3, "it has come back");
}
