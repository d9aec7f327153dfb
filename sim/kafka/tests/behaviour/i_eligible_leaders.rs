//! I: who may lead when too few are in sync (KIP-966), and what is lost where nobody keeps count of that.

use kafka::client::Link;
use kafka::{
    ControllerOutput, Elected, Request, RequestKind, Response, ResponseError, StrBytes, TopicPartition,
    TopicSpec,
};
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, BrokerId, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse, FetchResponse, ProduceResponse,
};

use crate::bench::{Bench, TOPIC, alter_topic, fetch_request, plain, produce_request};
use crate::world::World;

const LEADER: i32 = 2;
const ELIGIBLE: i32 = 0;
const AWAY: i32 = 1;
/// Longer than a session, and than a follower may lag.
const A_WHILE_MS: i64 = 60_000;

fn at() -> TopicPartition {
    TopicPartition::new(TOPIC, 0)
}

fn world_with(level: i16, min_insync: i32) -> World {
    let topic =
        TopicSpec { retention_ms: -1, min_insync_replicas: Some(min_insync), ..TopicSpec::new(TOPIC, 1) };
    let mut world = World::replicated(vec![topic], |cluster| {
        cluster.settings.eligible_leader_replicas_version = level;
        cluster.settings.auto_leader_rebalance_enable = false;
    });
    world.run_for(1_000);
    assert_eq!(leader(&world), Some(LEADER));
    world
}

fn ask(world: &mut World, broker: i32, request: impl Into<RequestKind>) -> Response {
    let link = world.link();
    let request = Request::new(StrBytes::from_static_str("test"), request);
    world.block_on(async move { link.call(broker, request, 60_000).await.expect("an answer") })
}

fn produce(world: &mut World, broker: i32, value: &str) -> Result<i64, ResponseError> {
    let response = ask(world, broker, produce_request(-1, 0, plain(&[value])));
    let response = ProduceResponse::try_from(response).expect("in kind");
    let partition = &response.responses[0].partition_responses[0];
    ResponseError::try_from_code(partition.error_code).map_or(Ok(partition.base_offset), Err)
}

fn high_watermark(world: &mut World, broker: i32) -> i64 {
    let response = ask(world, broker, fetch_request(&[(0, 0)], 0, 1_000));
    FetchResponse::try_from(response).expect("in kind").responses[0].partitions[0].high_watermark
}

fn leader(world: &World) -> Option<i32> {
    world.state.borrow().leader_of(&at())
}

/// The in-sync replicas, the eligible ones, and who led last.
fn replicas(world: &World) -> (Vec<i32>, Vec<i32>, Option<i32>) {
    let state = world.state.borrow();
    let partition = state.controller.image().partition(&at()).expect("it is there");
    (partition.isr.clone(), partition.elr.clone(), partition.last_known_leader)
}

fn crash(world: &mut World, broker: i32) {
    world.state.borrow_mut().crash(broker);
    world.run_for(A_WHILE_MS);
}

fn power_off(world: &mut World, broker: i32) {
    world.state.borrow_mut().power_off(broker, 3_600_000);
    world.run_for(A_WHILE_MS);
}

fn restart(world: &mut World, broker: i32) {
    world.state.borrow_mut().restart(broker);
    world.run_for(A_WHILE_MS);
}

/// The newest election of a leader.
fn last_election(world: &World) -> Elected {
    let state = world.state.borrow();
    let elections = state.elections.iter().rev().filter_map(|output| match output {
        ControllerOutput::Elected(elected) if elected.partition == at() => Some(elected),
        _ => None,
    });
    elections.clone().find(|elected| elected.leader.is_some()).expect("somebody was elected").clone()
}

/// Two have a record that was acknowledged; the leader is alone in sync, and its machine loses its power.
fn lone_leader_without_power(level: i16) -> World {
    let mut world = world_with(level, 2);
    crash(&mut world, AWAY);
    assert_eq!(produce(&mut world, LEADER, "acknowledged"), Ok(0));
    world.state.borrow_mut().cut_off.insert(ELIGIBLE);
    world.run_for(A_WHILE_MS);
    assert_eq!(produce(&mut world, LEADER, "refused"), Err(ResponseError::NotEnoughReplicas));
    let eligible = if level > 0 { vec![ELIGIBLE] } else { Vec::new() };
    assert_eq!(replicas(&world), (vec![LEADER], eligible, None));
    power_off(&mut world, LEADER);
    world
}

#[test]
fn i72_who_leaves_when_too_few_are_in_sync_may_lead_and_nothing_is_lost() {
    let mut world = lone_leader_without_power(1);
    assert_eq!(replicas(&world), (vec![], vec![ELIGIBLE, LEADER], Some(LEADER)));
    assert_eq!(leader(&world), None);
    restart(&mut world, LEADER);
    assert_eq!(leader(&world), None, "it has lost what was acknowledged");
    assert_eq!(replicas(&world).1, vec![ELIGIBLE]);
    world.state.borrow_mut().cut_off.clear();
    world.run_for(A_WHILE_MS);
    assert_eq!(leader(&world), Some(ELIGIBLE));
    assert!(!last_election(&world).unclean);
    assert_eq!(high_watermark(&mut world, ELIGIBLE), 1);
    assert_eq!(
        replicas(&world),
        (vec![ELIGIBLE, LEADER], vec![], None),
        "two in sync: nobody else is eligible"
    );
    restart(&mut world, AWAY);
    assert_eq!(replicas(&world).0.len(), 3);
    assert_eq!(produce(&mut world, ELIGIBLE, "next"), Ok(1));
}

#[test]
fn i72_an_eligible_replica_leads_at_once_when_the_lone_leader_is_gone() {
    let mut world = world_with(1, 2);
    crash(&mut world, AWAY);
    assert_eq!(produce(&mut world, LEADER, "acknowledged"), Ok(0));
    world.state.borrow_mut().cut_off.insert(ELIGIBLE);
    world.run_for(A_WHILE_MS);
    assert_eq!(replicas(&world).1, vec![ELIGIBLE]);
    // Both change places: the leader goes before the other has caught up.
    world.state.borrow_mut().power_off(LEADER, 3_600_000);
    world.state.borrow_mut().cut_off.clear();
    world.run_for(A_WHILE_MS);
    assert_eq!(leader(&world), Some(ELIGIBLE));
    assert!(!last_election(&world).unclean);
    assert_eq!(replicas(&world), (vec![ELIGIBLE], vec![LEADER], None));
    assert_eq!(high_watermark(&mut world, ELIGIBLE), 0, "alone it does not know what both had");
    restart(&mut world, LEADER);
    assert_eq!(high_watermark(&mut world, ELIGIBLE), 1);
}

/// A canary: without the feature the same loses what two replicas had acknowledged.
#[test]
fn i72_without_eligible_leaders_a_lone_leader_loses_what_was_acknowledged() {
    let mut world = lone_leader_without_power(0);
    assert_eq!(replicas(&world), (vec![LEADER], vec![], None), "the last one stays in sync");
    world.state.borrow_mut().cut_off.clear();
    world.run_for(A_WHILE_MS);
    assert_eq!(leader(&world), None, "whoever has it may not lead");
    restart(&mut world, LEADER);
    assert_eq!(leader(&world), Some(LEADER));
    assert!(!last_election(&world).unclean);
    assert_eq!(high_watermark(&mut world, LEADER), 0, "an acknowledged record has vanished");
}

#[test]
fn i72_a_process_that_was_killed_comes_back_as_one_that_may_have_lost_something() {
    let mut world = world_with(1, 2);
    crash(&mut world, AWAY);
    crash(&mut world, ELIGIBLE);
    assert_eq!(replicas(&world), (vec![LEADER], vec![ELIGIBLE], None));
    world.state.borrow_mut().cut_off.insert(LEADER);
    world.run_for(A_WHILE_MS);
    assert_eq!(replicas(&world), (vec![], vec![ELIGIBLE, LEADER], Some(LEADER)));
    restart(&mut world, ELIGIBLE);
    assert_eq!(replicas(&world), (vec![], vec![LEADER], Some(LEADER)));
    assert_eq!(leader(&world), None);
    // The process of the other lives on: it has what it had.
    world.state.borrow_mut().cut_off.clear();
    world.run_for(A_WHILE_MS);
    assert_eq!(leader(&world), Some(LEADER));
    assert!(!last_election(&world).unclean);
}

#[test]
fn i72_who_stopped_cleanly_stays_eligible() {
    let mut world = world_with(1, 2);
    crash(&mut world, AWAY);
    assert_eq!(produce(&mut world, LEADER, "acknowledged"), Ok(0));
    for broker in [ELIGIBLE, LEADER] {
        let mut state = world.state.borrow_mut();
        let now = state.now;
        let outputs = state.brokers.get_mut(&broker).expect("a broker").prepare_to_stop(now);
        state.emit(broker, outputs);
        drop(state);
        world.run_for(2_000);
        assert!(world.state.borrow().brokers[&broker].may_stop());
        power_off(&mut world, broker);
    }
    assert_eq!(replicas(&world), (vec![], vec![ELIGIBLE, LEADER], Some(LEADER)));
    restart(&mut world, ELIGIBLE);
    assert_eq!(leader(&world), Some(ELIGIBLE), "its logs were flushed");
    assert!(!last_election(&world).unclean);
    restart(&mut world, LEADER);
    assert_eq!(high_watermark(&mut world, ELIGIBLE), 1);
}

#[test]
fn i77_when_nobody_is_eligible_the_last_known_leader_leads_uncleanly() {
    let mut world = world_with(1, 2);
    assert_eq!(produce(&mut world, LEADER, "acknowledged"), Ok(0));
    for broker in [AWAY, ELIGIBLE, LEADER] {
        crash(&mut world, broker);
    }
    assert_eq!(replicas(&world), (vec![], vec![ELIGIBLE, LEADER], Some(LEADER)));
    restart(&mut world, AWAY);
    restart(&mut world, LEADER);
    assert_eq!(replicas(&world), (vec![], vec![ELIGIBLE], Some(LEADER)));
    assert_eq!(leader(&world), None, "somebody is eligible, and not there");
    restart(&mut world, ELIGIBLE);
    assert_eq!(leader(&world), Some(LEADER));
    assert!(last_election(&world).unclean);
    assert_eq!(replicas(&world).0.len(), 3, "they follow it");
    assert_eq!(high_watermark(&mut world, LEADER), 1, "killed processes lose nothing");
}

/// In every order in which brokers are killed and come back, slowly and at once, somebody leads at last.
#[test]
fn i72_a_cluster_that_was_killed_gets_its_leaders_back() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let deaths = [[0, 1, 2], [2, 1, 0]];
    for (killed, started) in deaths.iter().flat_map(|killed| orders.iter().map(move |order| (killed, order)))
    {
        for (level, min_insync) in [(1, 2), (1, 1), (0, 2)] {
            for pause_ms in [0, 500, 30_000] {
                let mut world = world_with(level, min_insync);
                for broker in killed {
                    world.state.borrow_mut().crash(*broker);
                    world.run_for(pause_ms);
                }
                for broker in started {
                    world.state.borrow_mut().restart(*broker);
                    world.run_for(pause_ms);
                }
                world.run_for(2 * A_WHILE_MS);
                let state = world.state.borrow();
                for (name, topic) in &state.controller.image().topics {
                    for partition in &topic.partitions {
                        let all = partition.isr.len() == partition.replicas.len() && partition.leader >= 0;
                        assert!(
                            all,
                            "{name:?} {killed:?} {started:?} {level} {min_insync} {pause_ms}: {partition:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn i72_one_replica_that_is_enough_loses_with_its_power_what_it_acknowledged() {
    let mut world = world_with(1, 1);
    crash(&mut world, AWAY);
    crash(&mut world, ELIGIBLE);
    assert_eq!(produce(&mut world, LEADER, "acknowledged"), Ok(0));
    assert_eq!(replicas(&world), (vec![LEADER], vec![], None), "as many as are needed");
    power_off(&mut world, LEADER);
    restart(&mut world, AWAY);
    assert_eq!(leader(&world), None, "it was not in sync");
    restart(&mut world, LEADER);
    assert_eq!(leader(&world), Some(LEADER));
    assert!(last_election(&world).unclean);
    assert_eq!(high_watermark(&mut world, LEADER), 0);
}

#[test]
fn i72_another_min_insync_replicas_makes_nobody_eligible() {
    let mut world = world_with(1, 2);
    crash(&mut world, AWAY);
    crash(&mut world, ELIGIBLE);
    assert_eq!(replicas(&world).1, vec![ELIGIBLE]);
    ask(&mut world, LEADER, alter_topic("min.insync.replicas", "3"));
    assert_eq!(replicas(&world), (vec![LEADER], vec![], None));
}

#[test]
fn i72_describe_topic_partitions_shows_who_is_eligible_and_who_led_last() {
    let mut world = world_with(1, 2);
    let shown = |world: &mut World, broker: i32| {
        let topic = TopicRequest::default().with_name(at().topic);
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(vec![topic])
            .with_response_partition_limit(10);
        let response = DescribeTopicPartitionsResponse::try_from(ask(world, broker, request));
        let mut response = response.expect("in kind");
        let partition = response.topics.remove(0).partitions.remove(0);
        (partition.isr_nodes, partition.eligible_leader_replicas, partition.last_known_elr)
    };
    let ids = |ids: &[i32]| ids.iter().map(|id| BrokerId(*id)).collect::<Vec<_>>();
    crash(&mut world, AWAY);
    crash(&mut world, ELIGIBLE);
    assert_eq!(shown(&mut world, LEADER), (ids(&[LEADER]), Some(ids(&[ELIGIBLE])), Some(ids(&[]))));
    crash(&mut world, LEADER);
    restart(&mut world, AWAY);
    let expected = (ids(&[]), Some(ids(&[ELIGIBLE, LEADER])), Some(ids(&[LEADER])));
    assert_eq!(shown(&mut world, AWAY), expected);
}

#[test]
fn i72_api_versions_names_the_finalised_level() {
    for level in [0, 1] {
        let mut bench =
            Bench::with(|config| config.cluster.settings.eligible_leader_replicas_version = level);
        let response: ApiVersionsResponse = bench.call(ApiVersionsRequest::default());
        let name = "eligible.leader.replicas.version";
        let supported = response.supported_features.iter().find(|feature| feature.name.as_str() == name);
        assert_eq!(supported.map(|feature| feature.max_version), Some(1));
        let finalized = response.finalized_features.iter().find(|feature| feature.name.as_str() == name);
        assert_eq!(finalized.map(|feature| feature.max_version_level), (level > 0).then_some(level));
    }
}
