//! A Kafka broker's node.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Deref};
use std::rc::Rc;

use contracts::{Headers, Message};
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use host::signal::Signal;
use invariants::Fact;
use invariants::fact::Visible;
use kafka::client::LinkError;
use kafka::cluster::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use kafka::records::{BatchHeader, decode_batch};
use kafka::{Broker, ConnectionId, Output, Peer, PeerAnswer, Request, Response, TopicPartition};

use super::controller::ControllerSeat;
use super::deadline::Deadline;
use crate::adapters::{CallError, Peers};
use crate::world::World;
use crate::world::network::{Inbound, NodeIndex, Payload};
use crate::world::node::Node;

/// The brokers of the cluster, and their controller.
pub type Cluster = Rc<Brokers>;

pub struct Brokers {
    seats: Vec<BrokerSeat>,
    pub controller: ControllerSeat,
    /// Up to where facts about what can be read were told: a new leader may tell them again.
    told: RefCell<BTreeMap<TopicPartition, i64>>,
}

impl Brokers {
    pub fn new(seats: Vec<BrokerSeat>, controller: ControllerSeat) -> Cluster {
        Rc::new(Self { seats, controller, told: RefCell::default() })
    }

    fn seat(&self, id: i32) -> Option<&BrokerSeat> {
        self.seats.iter().find(|seat| seat.broker.borrow().id() == id)
    }

    /// A partition has a new leader: what its log does not have was told of, and is gone.
    pub fn lead_anew(&self, at: &TopicPartition, leader: i32) {
        let end = self.seat(leader).and_then(|seat| seat.broker.borrow().replica_end(at));
        if let (Some(end), Some(told)) = (end, self.told.borrow_mut().get_mut(at)) {
            *told = (*told).min(end);
        }
    }

    /// The name of a broker's node.
    pub fn name_of(&self, id: i32) -> String {
        // Nodes count from 1, Kafka's own broker ids from 0.
        format!("kafka/{}", id + 1)
    }

    /// Whether nobody has told of what lies below this offset.
    fn is_news(&self, at: &TopicPartition, end_offset: i64) -> bool {
        let mut told = self.told.borrow_mut();
        match told.get_mut(at) {
            Some(known) if *known >= end_offset => false,
            Some(known) => {
                *known = end_offset;
                true
            }
            None => {
                told.insert(at.clone(), end_offset);
                true
            }
        }
    }

    /// The broker that leads a partition, as the controller knows it.
    pub fn leader_of(&self, at: &TopicPartition) -> Option<&BrokerSeat> {
        self.seat(self.controller.controller.borrow().leader_of(at)?)
    }
}

impl Deref for Brokers {
    type Target = [BrokerSeat];

    fn deref(&self) -> &[BrokerSeat] {
        &self.seats
    }
}

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

    /// The machine has lost its power: what was not on its disk after `writeback_ms` is gone.
    pub fn lose_power(&self, world: &World, writeback_ms: i64) {
        let now_ms = world.now_ns().div_euclid(1_000_000);
        for lost in self.broker.borrow_mut().lose_power(now_ms, writeback_ms) {
            if let Output::Truncated { partition, from, to } = lost {
                tell_truncated(world, self.node, &partition, from, to);
            }
        }
    }

    /// Leaves it to the broker's process to deliver what came of something done to it from outside.
    pub fn stir(&self, outputs: Vec<Output>) {
        self.undelivered.borrow_mut().extend(outputs);
        self.stirred.send();
    }
}

/// A request to a peer on its way, by its correlation.
type Calls = FuturesUnordered<LocalBoxFuture<'static, (u64, Result<PeerAnswer, LinkError>)>>;

/// A broker's process.
struct Process {
    node: Node,
    cluster: Cluster,
    place: usize,
    peers: Peers,
    calls: Calls,
}

/// Runs broker number `place` of the cluster.
pub async fn run(node: Node, cluster: Cluster, place: usize) {
    let peers = Peers::new(node.clone());
    let process = Process { node, cluster, place, peers, calls: FuturesUnordered::new() };
    process.run().await;
}

impl Process {
    fn seat(&self) -> &BrokerSeat {
        &self.cluster[self.place]
    }

    async fn run(mut self) {
        self.seat().undelivered.take();
        let now = now_ms(&self.node);
        let outputs = if self.node.incarnation > 1 {
            let mut broker = self.seat().broker.borrow_mut();
            broker.crash();
            broker.restart(now)
        } else {
            self.seat().broker.borrow_mut().start(now)
        };
        if self.put_out(outputs).is_break() {
            return;
        }
        let mut deadline = Deadline::new(self.node.world.agenda.clone());
        loop {
            let due_ms = self.seat().broker.borrow().next_deadline();
            deadline.set_in(due_ms.map(|due| ahead_ns(&self.node, due)));
            let outputs = futures::select_biased! {
                inbound = self.node.receive().fuse() => take_in(&self.node, &self.cluster[self.place].broker, inbound),
                (correlation, answer) = self.calls.select_next_some() => {
                    on_time(&self.node, &self.cluster[self.place].broker).answered(now_ms(&self.node), correlation, answer)
                }
                () = self.cluster[self.place].stirred.received().fuse() => self.cluster[self.place].undelivered.take(),
                () = self.node.asked_to_stop().fuse() => return,
                () = deadline.passed().fuse() => {
                    on_time(&self.node, &self.cluster[self.place].broker).tick(now_ms(&self.node))
                }
            };
            if self.put_out(outputs).is_break() {
                return;
            }
        }
    }

    /// Breaks where the broker halts.
    fn put_out(&self, outputs: Vec<Output>) -> ControlFlow<()> {
        for output in outputs {
            match output {
                Output::Respond { conn, correlation, response } => {
                    self.node.world.network.reply(conn.0, correlation, Box::new(response));
                }
                Output::Close { conn } => self.node.world.network.reset(conn.0),
                Output::Send { to, correlation, request, timeout_ms } => {
                    self.send(to, correlation, request, timeout_ms);
                }
                Output::Visible { partition, leader_epoch, records, .. } => {
                    tell_visible(&self.node, &self.cluster, &partition, leader_epoch, records);
                }
                Output::Truncated { partition, from, to } => {
                    tell_truncated(&self.node.world, self.node.index, &partition, from, to);
                }
                Output::Halt => {
                    self.node.tell("", &Fact::LogDirFailed);
                    return ControlFlow::Break(());
                }
                Output::Rebalanced { group, generation, members } => {
                    let members = members.iter().map(|member| member.client_id.to_string()).collect();
                    self.node.tell("", &Fact::Rebalanced { group: group.to_string(), generation, members });
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn send(&self, to: Peer, correlation: u64, request: Request, timeout_ms: i64) {
        let node = match to {
            Peer::Controller => Some(self.cluster.controller.node),
            Peer::Broker(id) => self.cluster.seat(id).map(|seat| seat.node),
        };
        let peers = self.peers.clone();
        let timeout_ns = timeout_ms.max(0).unsigned_abs() * 1_000_000;
        self.calls.push(Box::pin(async move {
            let Some(node) = node else { return (correlation, Err(LinkError::Refused)) };
            let answer = peers.call(node, Box::new(request), timeout_ns).await;
            (correlation, answer.map(peer_answer).map_err(link_error))
        }));
    }
}

/// The coordinators' own topics are nobody's facts.
fn tell_truncated(world: &World, node: NodeIndex, at: &TopicPartition, from: i64, to: i64) {
    if !is_internal(&at.topic) {
        let (topic, partition) = (at.topic.to_string(), at.partition);
        world.tell(node, "", &Fact::LogTruncated { topic, partition, from, to });
    }
}

/// A topic of the coordinators.
pub fn is_internal(topic: &str) -> bool {
    matches!(topic, CONSUMER_OFFSETS | TRANSACTION_STATE)
}

/// Brokers answer with responses, the controller with more.
fn peer_answer(payload: Payload) -> PeerAnswer {
    match payload.downcast::<Response>() {
        Ok(response) => PeerAnswer::from(*response),
        Err(other) => *other.downcast().expect("the controller answers with peer answers"),
    }
}

fn link_error(error: CallError) -> LinkError {
    match error {
        CallError::Refused => LinkError::Refused,
        CallError::Reset => LinkError::Reset,
        CallError::TimedOut => LinkError::TimedOut,
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

/// Each record once, whoever leads.
fn tell_visible(
    node: &Node,
    cluster: &Brokers,
    at: &TopicPartition,
    leader_epoch: i32,
    records: bytes::Bytes,
) {
    let header = BatchHeader::read(&records).expect("a broker stores batches that decode");
    if !cluster.is_news(at, header.last_offset() + 1) {
        return;
    }
    let (_, records) = decode_batch(&records).expect("a broker stores batches that decode");
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
