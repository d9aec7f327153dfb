//! E55: groups that outlive their coordinator's process, move to another broker, or are made to rebalance.

use std::cell::RefCell;
use std::rc::Rc;

use kafka::client::Link;
use kafka::cluster::CONSUMER_OFFSETS;
use kafka::{
    ClusterSpec, Request, RequestKind, Response, ResponseError, TopicPartition, TopicSpec, topic_name,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupResponse,
    OffsetCommitResponse, OffsetFetchResponse, SyncGroupResponse,
};

use crate::bench::{Bench, TOPIC, answer};
use crate::e_groups::{SESSION_MS, group, join_request, joins, sync_request, text};
use crate::e_offsets::commit_request;
use crate::world::{BROKERS, World};

const GROUP: &str = "clearing";

#[test]
fn e55_after_a_crash_members_go_on_and_their_sessions_begin_anew() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a", "b"]);
    bench.pass(SESSION_MS - 1);
    bench.broker.crash();
    assert_eq!(bench.broker.next_deadline(), None);
    bench.now += 3_600_000;
    bench.broker.restart(bench.now);
    bench.pass(SESSION_MS - 1);
    assert_eq!(bench.heartbeat(&members[0], 1), Ok(()), "no rebalance");
    bench.pass(1);
    assert_eq!(bench.heartbeat(&members[1], 1), Err(ResponseError::UnknownMemberId));
}

#[test]
fn e55_a_rebalance_that_a_crash_interrupts_is_forgotten() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a"]);
    let newcomer = bench.member_id("b");
    bench.ask(join_request(&newcomer));
    assert_eq!(bench.heartbeat(&members[0], 1), Err(ResponseError::RebalanceInProgress));
    bench.broker.crash();
    bench.broker.restart(bench.now);
    assert_eq!(bench.heartbeat(&members[0], 1), Ok(()), "as it was last written");
    let response: JoinGroupResponse = bench.call(join_request(&newcomer));
    assert_eq!(response.error_code, ResponseError::UnknownMemberId.code());
    assert_ne!(bench.member_id("b"), newcomer, "member ids are never reused");
}

#[test]
fn e45_a_forced_rebalance_makes_everybody_join_again() {
    let mut bench = Bench::new();
    assert_eq!(bench.broker.rebalance(bench.now, GROUP), Err(ResponseError::GroupIdNotFound));
    let members = bench.stable_group(&["a", "b"]);
    assert_eq!(bench.broker.rebalance(bench.now, GROUP), Ok(Vec::new()));
    assert_eq!(bench.broker.rebalance(bench.now, GROUP), Ok(Vec::new()), "it is under way already");
    for member in &members {
        assert_eq!(bench.heartbeat(member, 1), Err(ResponseError::RebalanceInProgress));
    }
    bench.ask(join_request(&members[1]));
    assert_eq!(joins(&bench.ask(join_request(&members[0]))), [(2, 0), (2, 0)]);
}

#[test]
fn e46_a_member_that_is_thrown_out_hears_so_even_while_it_waits() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a", "b"]);
    let unknown = Err(ResponseError::UnknownMemberId);
    assert_eq!(bench.broker.remove_member(bench.now, GROUP, "nobody"), unknown);
    bench.ask(join_request(&members[0]));
    let parked = bench.correlation;
    let outputs = bench.broker.remove_member(bench.now, GROUP, "a").expect("it is a member");
    let refused: JoinGroupResponse = answer(&outputs, parked).expect("told at once");
    assert_eq!(refused.error_code, ResponseError::UnknownMemberId.code());
    assert_eq!(bench.heartbeat(&members[1], 1), Err(ResponseError::RebalanceInProgress));
    let groups: Vec<(String, Vec<&str>)> =
        bench.broker.groups().map(|(id, clients)| (id.to_string(), clients)).collect();
    assert_eq!(groups, [(GROUP.to_owned(), vec!["b"])]);
}

/// Three brokers that replicate `__consumer_offsets`, and a stable group of two members.
struct Cluster {
    world: World,
    members: Vec<String>,
}

/// The answer to a request that may wait.
type Later<R> = Rc<RefCell<Option<R>>>;

impl Cluster {
    fn new() -> Cluster {
        let world = World::replicated(vec![TopicSpec::new(TOPIC, 2)], |_| {});
        let mut cluster = Cluster { world, members: Vec::new() };
        cluster.world.run_for(1_000);
        let coordinator = cluster.coordinator();
        for _ in 0..2 {
            let response: JoinGroupResponse = cluster.ask(coordinator, join_request(""));
            cluster.members.push(response.member_id.to_string());
        }
        let joined: Vec<Later<JoinGroupResponse>> =
            cluster.members.clone().iter().map(|id| cluster.later(coordinator, join_request(id))).collect();
        cluster.world.run_for(6_100);
        let leader = joined[0].borrow().as_ref().expect("joined").leader.to_string();
        let members = cluster.members.clone();
        let synced: Vec<Later<SyncGroupResponse>> = members
            .iter()
            .map(|id| {
                let shares: &[(&str, &'static str)] = if *id == leader { &[(id, "everything")] } else { &[] };
                cluster.later(coordinator, sync_request(id, 1, shares))
            })
            .collect();
        cluster.world.run_for(100);
        assert!(synced.iter().all(|synced| synced.borrow().as_ref().expect("synced").error_code == 0));
        cluster
    }

    fn at() -> TopicPartition {
        let partition = ClusterSpec::new(BROKERS.to_vec(), vec![]).offsets_partition_of(GROUP);
        TopicPartition::new(CONSUMER_OFFSETS, partition)
    }

    /// As the controller has it.
    fn coordinator(&self) -> i32 {
        self.world.state.borrow().leader_of(&Cluster::at()).expect("somebody leads")
    }

    fn others(&self) -> Vec<i32> {
        let coordinator = self.coordinator();
        BROKERS.into_iter().filter(|id| *id != coordinator).collect()
    }

    fn later<R: TryFrom<Response, Error = Response> + 'static>(
        &mut self,
        broker: i32,
        request: impl Into<RequestKind>,
    ) -> Later<R> {
        let link = self.world.link();
        let request = Request::new(text("client"), request);
        let slot = Rc::new(RefCell::new(None));
        let filled = Rc::clone(&slot);
        self.world.spawn(async move {
            if let Ok(response) = link.call(broker, request, 60_000).await {
                *filled.borrow_mut() = Some(R::try_from(response).expect("in kind"));
            }
        });
        slot
    }

    fn ask<R: TryFrom<Response, Error = Response> + 'static>(
        &mut self,
        broker: i32,
        request: impl Into<RequestKind>,
    ) -> R {
        let link = self.world.link();
        let request = Request::new(text("client"), request);
        let response = self.world.block_on(async move { link.call(broker, request, 60_000).await });
        R::try_from(response.expect("an answer")).expect("in kind")
    }

    fn heartbeat(&mut self, broker: i32, member: usize, generation: i32) -> Result<(), ResponseError> {
        let request = HeartbeatRequest::default()
            .with_group_id(group())
            .with_generation_id(generation)
            .with_member_id(text(&self.members[member]));
        let response: HeartbeatResponse = self.ask(broker, request);
        ResponseError::try_from_code(response.error_code).map_or(Ok(()), Err)
    }

    fn commit(&mut self, broker: i32, offset: i64) -> Result<(), ResponseError> {
        let member = self.members[0].clone();
        let response: OffsetCommitResponse = self.ask(broker, commit_request(&member, 1, 0, offset));
        ResponseError::try_from_code(response.topics[0].partitions[0].error_code).map_or(Ok(()), Err)
    }

    fn committed(&mut self, broker: i32) -> i64 {
        let topic =
            OffsetFetchRequestTopics::default().with_name(topic_name(TOPIC)).with_partition_indexes(vec![0]);
        let wanted = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![topic]));
        let response: OffsetFetchResponse =
            self.ask(broker, OffsetFetchRequest::default().with_groups(vec![wanted]));
        assert_eq!(response.groups[0].error_code, 0);
        response.groups[0].topics[0].partitions[0].committed_offset
    }

    fn move_to(&mut self, broker: i32, load_ms: i64) {
        self.world.state.borrow_mut().move_coordinator(GROUP, broker, load_ms);
        self.world.run_for(100);
    }
}

#[test]
fn e55_a_coordinator_that_moves_sends_members_on_and_they_stay_in_their_generation() {
    let mut cluster = Cluster::new();
    let (old, new) = (cluster.coordinator(), cluster.others()[0]);
    assert_eq!(cluster.commit(old, 7), Ok(()));
    cluster.move_to(new, 2_000);
    assert_eq!(cluster.heartbeat(old, 0, 1), Err(ResponseError::NotCoordinator));
    assert_eq!(cluster.commit(new, 8), Err(ResponseError::CoordinatorLoadInProgress));
    assert_eq!(cluster.heartbeat(new, 0, 7), Ok(()), "which generation it is will be known in a moment");
    for broker in BROKERS {
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(GROUP)]);
        let found: FindCoordinatorResponse = cluster.ask(broker, request);
        assert_eq!(found.coordinators[0].node_id.0, new);
    }
    cluster.world.run_for(2_000);
    assert_eq!(cluster.heartbeat(new, 0, 7), Err(ResponseError::IllegalGeneration));
    assert_eq!(cluster.heartbeat(new, 0, 1), Ok(()));
    assert_eq!(cluster.committed(new), 7);
    let leaders_share: SyncGroupResponse = {
        let member = cluster.members[0].clone();
        cluster.ask(new, sync_request(&member, 1, &[]))
    };
    assert_eq!(leaders_share.error_code, 0);
}

#[test]
fn e55_members_that_do_not_find_the_new_coordinator_are_out_there() {
    let mut cluster = Cluster::new();
    let new = cluster.others()[0];
    cluster.move_to(new, 0);
    cluster.world.run_for(SESSION_MS - 1_000);
    assert_eq!(cluster.heartbeat(new, 0, 1), Ok(()));
    cluster.world.run_for(1_000);
    assert_eq!(cluster.heartbeat(new, 1, 1), Err(ResponseError::UnknownMemberId));
    assert_eq!(cluster.heartbeat(new, 0, 1), Err(ResponseError::RebalanceInProgress));
}

#[test]
fn e55_whoever_waits_at_the_old_coordinator_is_told_at_once() {
    let mut cluster = Cluster::new();
    let (old, new) = (cluster.coordinator(), cluster.others()[0]);
    let newcomer: JoinGroupResponse = cluster.ask(old, join_request(""));
    let parked: Later<JoinGroupResponse> = cluster.later(old, join_request(&newcomer.member_id));
    cluster.world.run_for(100);
    assert!(parked.borrow().is_none());
    cluster.move_to(new, 0);
    let told = parked.borrow().as_ref().expect("told").error_code;
    assert_eq!(told, ResponseError::NotCoordinator.code());
    assert_eq!(cluster.heartbeat(new, 0, 1), Ok(()), "the interrupted rebalance is forgotten");
    let again: JoinGroupResponse = cluster.ask(new, join_request(""));
    assert_ne!(again.member_id, newcomer.member_id, "no id comes twice, whoever gives it out");
}

#[test]
fn e55_a_parked_sync_is_told_of_the_move_too() {
    let mut cluster = Cluster::new();
    let (old, new) = (cluster.coordinator(), cluster.others()[0]);
    let members = cluster.members.clone();
    let joined: Vec<Later<JoinGroupResponse>> = {
        let now = cluster.world.state.borrow().now;
        let outputs =
            cluster.world.state.borrow_mut().brokers.get_mut(&old).expect("a broker").rebalance(now, GROUP);
        assert_eq!(outputs, Ok(Vec::new()));
        members.iter().map(|id| cluster.later(old, join_request(id))).collect()
    };
    cluster.world.run_for(100);
    let leader = joined[0].borrow().as_ref().expect("joined").leader.to_string();
    let follower = members.iter().find(|id| **id != leader).expect("two members");
    let parked: Later<SyncGroupResponse> = cluster.later(old, sync_request(follower, 2, &[]));
    cluster.world.run_for(100);
    cluster.move_to(new, 0);
    assert_eq!(parked.borrow().as_ref().expect("told").error_code, ResponseError::NotCoordinator.code());
    assert_eq!(
        cluster.heartbeat(new, 0, 2),
        Err(ResponseError::IllegalGeneration),
        "that generation was never finished"
    );
}

#[test]
fn e55_a_dead_coordinators_groups_are_at_the_next_leader_and_can_move_back() {
    let mut cluster = Cluster::new();
    let old = cluster.coordinator();
    assert_eq!(cluster.commit(old, 7), Ok(()));
    cluster.world.state.borrow_mut().crash(old);
    let mut waited_ms = 0;
    while cluster.coordinator() == old {
        cluster.world.run_for(100);
        waited_ms += 100;
        assert!(waited_ms < 30_000, "the controller notices");
    }
    let new = cluster.coordinator();
    cluster.world.run_for(100);
    assert_eq!(cluster.heartbeat(new, 0, 1), Ok(()), "its session began anew");
    assert_eq!(cluster.committed(new), 7);
    cluster.world.state.borrow_mut().restart(old);
    cluster.world.run_for(5_000);
    assert_eq!(cluster.heartbeat(new, 0, 1), Ok(()));
    assert_eq!(cluster.heartbeat(new, 1, 1), Ok(()));
    assert_eq!(cluster.heartbeat(old, 0, 1), Err(ResponseError::NotCoordinator));
    cluster.move_to(old, 0);
    assert_eq!(cluster.heartbeat(old, 0, 1), Ok(()));
    assert_eq!(cluster.committed(old), 7);
    assert_eq!(cluster.heartbeat(new, 0, 1), Err(ResponseError::NotCoordinator));
}

#[test]
fn e48_a_commit_that_is_not_replicated_in_time_is_refused_and_comes_true_later() {
    let mut cluster = Cluster::new();
    let (coordinator, others) = (cluster.coordinator(), cluster.others());
    assert_eq!(cluster.commit(coordinator, 7), Ok(()));
    others.iter().for_each(|id| cluster.world.state.borrow_mut().crash(*id));
    assert_eq!(cluster.commit(coordinator, 8), Err(ResponseError::CoordinatorNotAvailable));
    assert_eq!(cluster.committed(coordinator), 7, "what is not replicated is not seen");
    others.iter().for_each(|id| cluster.world.state.borrow_mut().restart(*id));
    cluster.world.run_for(60_000);
    assert_eq!(cluster.committed(coordinator), 8, "it was in the log all the same");
}

#[test]
fn e48_without_enough_replicas_nothing_is_committed() {
    let mut cluster = Cluster::new();
    let (coordinator, others) = (cluster.coordinator(), cluster.others());
    others.iter().for_each(|id| cluster.world.state.borrow_mut().crash(*id));
    for _ in 0..4 {
        cluster.world.run_for(5_000);
        for member in 0..2 {
            assert_eq!(cluster.heartbeat(coordinator, member, 1), Ok(()));
        }
    }
    assert_eq!(cluster.commit(coordinator, 8), Err(ResponseError::CoordinatorNotAvailable));
    others.iter().for_each(|id| cluster.world.state.borrow_mut().restart(*id));
    cluster.world.run_for(60_000);
    assert_eq!(cluster.committed(coordinator), -1);
}
