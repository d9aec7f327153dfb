//! The node of Kafka's controller.
//!
//! Fakes a quorum that always has a leader: its one node is hit by no fault but those of its links.

use std::cell::RefCell;

use futures::FutureExt;
use host::signal::Signal;
use invariants::Fact;
use kafka::{ConnectionId, Controller, ControllerOutput, Elected, Request};

use super::broker::{Cluster, is_internal};
use super::deadline::Deadline;
use crate::world::network::{Inbound, NodeIndex};
use crate::world::node::Node;

/// The controller, and what was done to it from outside.
pub struct ControllerSeat {
    pub controller: RefCell<Controller>,
    pub node: NodeIndex,
    undelivered: RefCell<Vec<ControllerOutput>>,
    stirred: Signal,
}

impl ControllerSeat {
    pub fn new(controller: Controller, node: NodeIndex) -> Self {
        Self {
            controller: RefCell::new(controller),
            node,
            undelivered: RefCell::default(),
            stirred: Signal::default(),
        }
    }

    /// Leaves it to the controller's process to deliver what came of something done to it from outside.
    pub fn stir(&self, outputs: Vec<ControllerOutput>) {
        self.undelivered.borrow_mut().extend(outputs);
        self.stirred.send();
    }
}

/// Runs the controller.
pub async fn run(node: Node, cluster: Cluster) {
    let seat = &cluster.controller;
    let mut deadline = Deadline::new(node.world.agenda.clone());
    loop {
        let due_ms = seat.controller.borrow().next_deadline();
        let ahead_ns =
            |due: i64| u64::try_from(due.saturating_mul(1_000_000) - node.world.now_ns()).unwrap_or(0);
        deadline.set_in(due_ms.map(ahead_ns));
        let outputs = futures::select_biased! {
            inbound = node.receive().fuse() => take_in(&node, seat, inbound),
            () = seat.stirred.received().fuse() => seat.undelivered.take(),
            () = node.asked_to_stop().fuse() => return,
            () = deadline.passed().fuse() => seat.controller.borrow_mut().tick(now_ms(&node)),
        };
        outputs.into_iter().for_each(|output| put_out(&node, &cluster, output));
    }
}

fn now_ms(node: &Node) -> i64 {
    node.world.now_ns().div_euclid(1_000_000)
}

fn take_in(node: &Node, seat: &ControllerSeat, inbound: Inbound) -> Vec<ControllerOutput> {
    let mut controller = seat.controller.borrow_mut();
    match inbound {
        Inbound::Call { connection, call, payload } => match payload.downcast::<Request>() {
            Ok(request) => controller.handle(now_ms(node), ConnectionId(connection), call, *request),
            Err(_) => Vec::new(),
        },
        Inbound::Closed { connection } => {
            controller.disconnected(ConnectionId(connection));
            Vec::new()
        }
        Inbound::Opened { .. } => Vec::new(),
    }
}

fn put_out(node: &Node, cluster: &Cluster, output: ControllerOutput) {
    match output {
        ControllerOutput::Respond { conn, correlation, answer } => {
            node.world.network.reply(conn.0, correlation, Box::new(answer));
        }
        ControllerOutput::Close { conn } => node.world.network.reset(conn.0),
        ControllerOutput::Elected(elected) => tell_elected(node, cluster, &elected),
        ControllerOutput::BrokerFenced { .. } => {}
    }
}

fn tell_elected(node: &Node, cluster: &Cluster, elected: &Elected) {
    let at = &elected.partition;
    if is_internal(&at.topic) {
        return;
    }
    elected.leader.into_iter().for_each(|leader| cluster.lead_anew(at, leader));
    let fact = Fact::LeaderElected {
        topic: at.topic.to_string(),
        partition: at.partition,
        leader: elected.leader.map(|leader| cluster.name_of(leader)),
        leader_epoch: elected.leader_epoch,
        unclean: elected.unclean,
    };
    node.tell("", &fact);
}
