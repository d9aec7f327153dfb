//! A Kafka broker's node.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use contracts::{Headers, Message};
use futures::FutureExt;
use host::signal::Signal;
use invariants::Fact;
use invariants::fact::Visible;
use kafka::{Broker, ConnectionId, Output, Request, TopicPartition};

use super::deadline::Deadline;
use crate::world::network::{Inbound, NodeIndex};
use crate::world::node::Node;

/// The brokers of the cluster.
pub type Cluster = Rc<Vec<BrokerSeat>>;

/// A broker: its disk, which outlives its process, and what was done to it from outside.
pub struct BrokerSeat {
    pub broker: RefCell<Broker>,
    pub node: NodeIndex,
    undelivered: RefCell<Vec<Output>>,
    stirred: Signal,
}

impl BrokerSeat {
    pub fn new(broker: Broker, node: NodeIndex) -> Self {
        Self {
            broker: RefCell::new(broker),
            node,
            undelivered: RefCell::default(),
            stirred: Signal::default(),
        }
    }

    /// Leaves it to the broker's process to deliver what came of something done to it from outside.
    pub fn stir(&self, outputs: Vec<Output>) {
        self.undelivered.borrow_mut().extend(outputs);
        self.stirred.send();
    }
}

/// Runs broker number `place` of the cluster.
pub async fn run(node: Node, cluster: Cluster, place: usize) {
    cluster[place].undelivered.take();
    if node.incarnation > 1 {
        let mut broker = cluster[place].broker.borrow_mut();
        broker.crash();
        broker.restart(now_ms(&node));
    }
    let mut deadline = Deadline::new(node.world.agenda.clone());
    loop {
        let due_ms = cluster[place].broker.borrow().next_deadline();
        deadline.set_in(due_ms.map(|due| ahead_ns(&node, due)));
        futures::select_biased! {
            inbound = node.receive().fuse() => {
                let outputs = take_in(&node, &cluster[place].broker, inbound);
                outputs.into_iter().for_each(|output| put_out(&node, &cluster, output));
            }
            () = cluster[place].stirred.received().fuse() => {
                let outputs = cluster[place].undelivered.take();
                outputs.into_iter().for_each(|output| put_out(&node, &cluster, output));
            }
            () = node.asked_to_stop().fuse() => return,
            () = deadline.passed().fuse() => {
                let outputs = on_time(&node, &cluster[place].broker).tick(now_ms(&node));
                outputs.into_iter().for_each(|output| put_out(&node, &cluster, output));
            }
        }
    }
}

/// Time that only goes forward, whatever becomes of the node's clock.
fn now_ms(node: &Node) -> i64 {
    node.world.now_ns().div_euclid(1_000_000)
}

/// The broker, with its node's clock as it is now.
fn on_time<'a>(node: &Node, broker: &'a RefCell<Broker>) -> RefMut<'a, Broker> {
    let mut broker = broker.borrow_mut();
    broker.set_clock((node.clock_ns() - node.world.now_ns()).div_euclid(1_000_000));
    broker
}

/// How far ahead a broker's time lies.
fn ahead_ns(node: &Node, due_ms: i64) -> u64 {
    u64::try_from(due_ms.saturating_mul(1_000_000) - node.world.now_ns()).unwrap_or(0)
}

fn take_in(node: &Node, broker: &RefCell<Broker>, inbound: Inbound) -> Vec<Output> {
    let mut broker = on_time(node, broker);
    match inbound {
        Inbound::Call { connection, call, payload } => match payload.downcast::<Request>() {
            Ok(request) => broker.handle(now_ms(node), ConnectionId(connection), call, *request),
            Err(_) => Vec::new(),
        },
        Inbound::Closed { connection } => {
            broker.disconnected(ConnectionId(connection));
            Vec::new()
        }
        Inbound::Opened { .. } => Vec::new(),
    }
}

fn put_out(node: &Node, cluster: &Cluster, output: Output) {
    match output {
        Output::Respond { conn, correlation, response } => {
            node.world.network.reply(conn.0, correlation, Box::new(response));
        }
        Output::Close { conn } => node.world.network.reset(conn.0),
        Output::Visible { partition, leader_epoch, records, .. } => {
            tell_visible(node, &partition, leader_epoch, records);
        }
        Output::Rebalanced { group, generation, members } => {
            let members = members.iter().map(|member| member.client_id.to_string()).collect();
            node.tell("", &Fact::Rebalanced { group: group.to_string(), generation, members });
        }
        Output::TopicCreated(spec) => {
            cluster.iter().for_each(|seat| seat.broker.borrow_mut().learn_topic(spec.clone()));
        }
    }
}

fn tell_visible(node: &Node, at: &TopicPartition, leader_epoch: i32, records: bytes::Bytes) {
    let (_, records) = kafka::records::decode_batch(&records).expect("a broker stores batches that decode");
    for record in records {
        let pairs = record.headers.iter().map(|(name, value)| (name.as_str(), &value[..]));
        let headers = Headers::from_pairs(pairs);
        let cause = headers.as_ref().map_or(String::new(), |headers| headers.event_id.clone());
        let payload = record.value.unwrap_or_default();
        let visible = Visible {
            topic: at.topic.to_string(),
            partition: at.partition,
            offset: record.offset,
            leader_epoch,
            key: record.key.map_or(String::new(), |key| String::from_utf8_lossy(&key).into_owned()),
            headers,
            message: Message::decode(&at.topic, payload.clone()).ok(),
            payload,
        };
        node.tell(&cause, &Fact::Visible(visible));
    }
}
