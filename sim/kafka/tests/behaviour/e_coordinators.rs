//! E55: groups that outlive their coordinator's process, move to another broker, or are made to rebalance.

use kafka::{
    Broker, BrokerConfig, ClusterSpec, ConnectionId, CoordinatorMoved, Output, Request, RequestKind,
    Response, ResponseError, TopicSpec, move_coordinator,
};
use kafka_protocol::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupResponse,
    SyncGroupResponse,
};

use crate::bench::{Bench, CONN, TOPIC, answer};
use crate::e_groups::{SESSION_MS, group, join_request, joins, sync_request, text};

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
fn e55_only_the_coordinator_answers() {
    let cluster = ClusterSpec::new(vec![0, 1, 2], vec![]);
    let other = (0..3).find(|id| *id != cluster.coordinator_of(GROUP)).expect("two others");
    let mut bench = Bench::of(BrokerConfig::new(other, cluster), 0);
    assert_eq!(bench.heartbeat("a-1", 1), Err(ResponseError::NotCoordinator));
}

/// Three brokers with a stable group of the clients `a` and `b`, at the same time on all clocks.
struct Cluster {
    brokers: Vec<Bench>,
    members: Vec<String>,
    old: usize,
    new: usize,
}

impl Cluster {
    fn new() -> Cluster {
        let cluster = ClusterSpec::new(vec![0, 1, 2], vec![TopicSpec::new(TOPIC, 2)]);
        let old = usize::try_from(cluster.coordinator_of(GROUP)).expect("small");
        let bench = |id| Bench::of(BrokerConfig::new(id, cluster.clone()), 1_000_000);
        let mut brokers: Vec<Bench> = (0..3).map(bench).collect();
        let members = brokers[old].stable_group(&["a", "b"]);
        let now = brokers[old].now;
        brokers.iter_mut().for_each(|bench| bench.now = now);
        Cluster { brokers, members, old, new: (old + 1) % 3 }
    }

    fn move_to(&mut self, to: usize, load_ms: i64) -> Option<CoordinatorMoved> {
        let mut brokers: Vec<(i64, &mut Broker)> =
            self.brokers.iter_mut().map(|bench| (bench.now, &mut bench.broker)).collect();
        move_coordinator(&mut brokers, GROUP, i32::try_from(to).expect("small"), load_ms)
    }

    fn old(&mut self) -> &mut Bench {
        &mut self.brokers[self.old]
    }

    fn new_one(&mut self) -> &mut Bench {
        &mut self.brokers[self.new]
    }
}

#[test]
fn e55_a_coordinator_that_moves_sends_members_on_and_they_stay_in_their_generation() {
    let mut cluster = Cluster::new();
    let member = cluster.members[0].clone();
    cluster.old().commit(&member, 1, 0, 7).expect("committed");
    let moved = cluster.move_to(cluster.new, 2_000).expect("moved");
    assert_eq!(moved.outputs, [], "nobody was waiting");
    assert_eq!(cluster.old().heartbeat(&member, 1), Err(ResponseError::NotCoordinator));
    for bench in &mut cluster.brokers {
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(GROUP)]);
        let found: FindCoordinatorResponse = bench.call(request);
        assert_eq!(found.coordinators[0].node_id.0, moved.to);
    }
    let new = cluster.new_one();
    assert_eq!(new.commit(&member, 1, 0, 8), Err(ResponseError::CoordinatorLoadInProgress));
    assert_eq!(new.heartbeat("nobody-1", 7), Ok(()), "whoever it is may be known in a moment");
    new.pass(1_999);
    assert_eq!(new.commit(&member, 1, 0, 8), Err(ResponseError::CoordinatorLoadInProgress));
    new.pass(1);
    assert_eq!(new.heartbeat("nobody-1", 1), Err(ResponseError::UnknownMemberId));
    assert_eq!(new.heartbeat(&member, 1), Ok(()));
    assert_eq!(new.committed(0), 7);
}

#[test]
fn e55_members_that_do_not_find_the_new_coordinator_are_out_there() {
    let mut cluster = Cluster::new();
    cluster.move_to(cluster.new, 2_000).expect("moved");
    let (silent, member) = (cluster.members[1].clone(), cluster.members[0].clone());
    let new = cluster.new_one();
    new.pass(2_000 + SESSION_MS - 1);
    assert_eq!(new.heartbeat(&member, 1), Ok(()));
    new.pass(1);
    assert_eq!(new.heartbeat(&silent, 1), Err(ResponseError::UnknownMemberId));
    assert_eq!(new.heartbeat(&member, 1), Err(ResponseError::RebalanceInProgress));
    assert_eq!(cluster.old().broker.next_deadline(), None, "the old one has forgotten them");
}

#[test]
fn e55_whoever_waits_at_the_old_coordinator_is_told_at_once() {
    let mut cluster = Cluster::new();
    let first = cluster.members[0].clone();
    let newcomer = cluster.old().member_id("c");
    cluster.old().ask(join_request(&newcomer));
    let moved = cluster.move_to(cluster.new, 0).expect("moved");
    assert_eq!(joins(&moved.outputs), [(-1, ResponseError::NotCoordinator.code())]);
    let new = cluster.new_one();
    assert_eq!(new.heartbeat(&first, 1), Ok(()), "the interrupted rebalance is forgotten");
    let again = new.member_id("c");
    assert!(
        again != newcomer && !cluster.members.contains(&again),
        "no id comes twice, whoever gives it out"
    );
}

#[test]
fn e55_a_dead_brokers_groups_can_move_and_move_back() {
    let mut cluster = Cluster::new();
    let member = cluster.members[0].clone();
    cluster.old().broker.crash();
    cluster.move_to(cluster.new, 0).expect("moved");
    assert_eq!(cluster.new_one().heartbeat(&member, 1), Ok(()));
    let now = cluster.old().now;
    cluster.old().broker.restart(now);
    assert_eq!(cluster.old().heartbeat(&member, 1), Err(ResponseError::NotCoordinator));
    assert_eq!(cluster.move_to(cluster.new, 0), None, "it is there");
    cluster.move_to(cluster.old, 0).expect("moved back");
    assert_eq!(cluster.old().heartbeat(&member, 1), Ok(()));
    assert_eq!(cluster.new_one().heartbeat(&member, 1), Err(ResponseError::NotCoordinator));
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

#[test]
fn e55_a_parked_sync_is_told_of_the_move_too() {
    let mut cluster = Cluster::new();
    let members = cluster.members.clone();
    let old = cluster.old();
    old.broker.rebalance(old.now, GROUP).expect("two members");
    members.iter().for_each(|member| drop(old.ask(join_request(member))));
    old.ask(sync_request(&members[1], 2, &[]));
    let parked = old.correlation;
    let moved = cluster.move_to(cluster.new, 0).expect("moved");
    let refused: SyncGroupResponse = answer(&moved.outputs, parked).expect("told at once");
    assert_eq!(refused.error_code, ResponseError::NotCoordinator.code());
    let stale = HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(2)
        .with_member_id(text(&members[1]));
    let request = Request::new(text("b"), RequestKind::from(stale));
    let now = cluster.new_one().now;
    let outputs = cluster.new_one().broker.handle(now, ConnectionId(9), 1, request);
    assert_ne!(CONN, ConnectionId(9));
    let [Output::Respond { response: Response::Heartbeat(HeartbeatResponse { error_code, .. }), .. }] =
        &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(*error_code, ResponseError::IllegalGeneration.code(), "that generation was never finished");
}
