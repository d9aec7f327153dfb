//! The brokers and their controller as one machine: requests and time in, answers to clients out.
//!
//! What they say to each other is delivered in memory, in the order in which it is said. A broker that is stopped refuses;
//! one that is paused (as after SIGSTOP) lets everything wait, and who asked gives up when its time is up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::broker::{Broker, ConnectionId, Output};
use crate::client::LinkError;
use crate::cluster::TimestampMs;
use crate::controller::{Controller, ControllerOutput};
use crate::peer::{Peer, PeerAnswer};
use crate::protocol::{Request, Response};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Runs,
    Paused,
    Stopped,
}

/// What clients are to be told.
#[derive(Debug)]
pub(super) enum Told {
    Answer { conn: ConnectionId, correlation: u64, response: Response },
    Close { conn: ConnectionId },
}

enum Delivery {
    Request { from: i32, to: Peer, correlation: u64, request: Request },
    Answer { to: i32, correlation: u64, answer: Result<PeerAnswer, LinkError> },
}

struct Slot {
    broker: Broker,
    condition: Condition,
    /// What came while it was paused.
    held: Vec<Delivery>,
}

/// A request of one broker that has no answer yet.
struct Call {
    to: Peer,
    deadline: TimestampMs,
}

pub(super) struct Cluster {
    slots: BTreeMap<i32, Slot>,
    controller: Controller,
    /// By the asking broker and its number.
    calls: BTreeMap<(i32, u64), Call>,
    by_deadline: BTreeSet<(TimestampMs, i32, u64)>,
    queue: VecDeque<Delivery>,
    told: Vec<Told>,
}

/// Connections of brokers to their peers are numbered from here, those of clients below.
const PEERS: u64 = 1 << 62;

fn connection_of(broker: i32) -> ConnectionId {
    ConnectionId(PEERS + u64::from(broker.unsigned_abs()))
}

fn broker_on(conn: ConnectionId) -> Option<i32> {
    conn.0.checked_sub(PEERS).and_then(|broker| i32::try_from(broker).ok())
}

impl Cluster {
    pub fn new(brokers: impl IntoIterator<Item = Broker>, controller: Controller) -> Cluster {
        let slot =
            |broker: Broker| (broker.id(), Slot { broker, condition: Condition::Runs, held: Vec::new() });
        Cluster {
            slots: brokers.into_iter().map(slot).collect(),
            controller,
            calls: BTreeMap::new(),
            by_deadline: BTreeSet::new(),
            queue: VecDeque::new(),
            told: Vec::new(),
        }
    }

    /// All brokers begin their work.
    pub fn start(&mut self, now: TimestampMs) -> Vec<Told> {
        let ids: Vec<i32> = self.slots.keys().copied().collect();
        for id in ids {
            let outputs = self.broker(id).start(now);
            self.take(now, id, outputs);
        }
        self.deliver(now)
    }

    pub fn broker(&mut self, id: i32) -> &mut Broker {
        &mut self.slot(id).broker
    }

    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    pub fn brokers(&mut self) -> impl Iterator<Item = &mut Broker> {
        self.slots.values_mut().map(|slot| &mut slot.broker)
    }

    pub fn condition(&self, id: i32) -> Condition {
        self.slots.get(&id).map_or(Condition::Stopped, |slot| slot.condition)
    }

    fn slot(&mut self, id: i32) -> &mut Slot {
        self.slots.get_mut(&id).unwrap_or_else(|| panic!("there is no broker {id}"))
    }

    /// Lets a broker do something.
    pub fn act(
        &mut self,
        now: TimestampMs,
        id: i32,
        act: impl FnOnce(&mut Broker, TimestampMs) -> Vec<Output>,
    ) -> Vec<Told> {
        let outputs = act(self.broker(id), now);
        self.take(now, id, outputs);
        self.deliver(now)
    }

    fn take(&mut self, now: TimestampMs, from: i32, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Respond { conn, correlation, response } => match broker_on(conn) {
                    Some(to) => {
                        self.queue.push_back(Delivery::Answer {
                            to,
                            correlation,
                            answer: Ok(response.into()),
                        });
                    }
                    None => self.told.push(Told::Answer { conn, correlation, response }),
                },
                Output::Close { conn } => match broker_on(conn) {
                    Some(asker) => self.reset(asker, Peer::Broker(from)),
                    None => self.told.push(Told::Close { conn }),
                },
                Output::Send { to, correlation, request, timeout_ms } => {
                    let deadline = now.saturating_add(timeout_ms);
                    self.calls.insert((from, correlation), Call { to, deadline });
                    self.by_deadline.insert((deadline, from, correlation));
                    self.queue.push_back(Delivery::Request { from, to, correlation, request });
                }
                // Facts are for oracles, and only a trouble fails a log directory.
                Output::Visible { .. }
                | Output::Truncated { .. }
                | Output::Rebalanced { .. }
                | Output::Halt => {}
            }
        }
    }

    /// Delivers until nobody has anything to say.
    fn deliver(&mut self, now: TimestampMs) -> Vec<Told> {
        while let Some(delivery) = self.queue.pop_front() {
            match delivery {
                Delivery::Request { from, to: Peer::Controller, correlation, request } => {
                    let outputs = self.controller.handle(now, connection_of(from), correlation, request);
                    self.take_from_controller(outputs);
                }
                Delivery::Request { from, to: Peer::Broker(to), .. } => {
                    self.deliver_request(now, from, to, delivery);
                }
                Delivery::Answer { to, correlation, answer } => {
                    self.deliver_answer(now, to, correlation, answer);
                }
            }
        }
        std::mem::take(&mut self.told)
    }

    fn deliver_request(&mut self, now: TimestampMs, from: i32, to: i32, delivery: Delivery) {
        let slot = self.slot(to);
        match (slot.condition, delivery) {
            (Condition::Runs, Delivery::Request { correlation, request, .. }) => {
                let outputs = slot.broker.handle(now, connection_of(from), correlation, request);
                self.take(now, to, outputs);
            }
            (Condition::Stopped, Delivery::Request { correlation, .. }) => {
                let answer = Err(LinkError::Refused);
                self.queue.push_back(Delivery::Answer { to: from, correlation, answer });
            }
            (_, delivery) => slot.held.push(delivery),
        }
    }

    fn deliver_answer(
        &mut self,
        now: TimestampMs,
        to: i32,
        correlation: u64,
        answer: Result<PeerAnswer, LinkError>,
    ) {
        let slot = self.slot(to);
        match slot.condition {
            Condition::Paused => slot.held.push(Delivery::Answer { to, correlation, answer }),
            Condition::Stopped => {}
            Condition::Runs => {
                // Who asked may have given up.
                let Some(call) = self.calls.remove(&(to, correlation)) else { return };
                self.by_deadline.remove(&(call.deadline, to, correlation));
                let outputs = self.broker(to).answered(now, correlation, answer);
                self.take(now, to, outputs);
            }
        }
    }

    fn take_from_controller(&mut self, outputs: Vec<ControllerOutput>) {
        for output in outputs {
            match output {
                ControllerOutput::Respond { conn, correlation, answer } => {
                    let to = broker_on(conn).expect("only brokers talk to the controller");
                    self.queue.push_back(Delivery::Answer { to, correlation, answer: Ok(answer) });
                }
                ControllerOutput::Close { conn } => {
                    let asker = broker_on(conn).expect("only brokers talk to the controller");
                    self.reset(asker, Peer::Controller);
                }
                ControllerOutput::Elected(_) | ControllerOutput::BrokerFenced { .. } => {}
            }
        }
    }

    /// The connection from a broker to a peer ends.
    fn reset(&mut self, from: i32, to: Peer) {
        let open = self.calls.range((from, 0)..=(from, u64::MAX)).filter(|(_, call)| call.to == to);
        let broken = open.map(|((_, correlation), _)| Delivery::Answer {
            to: from,
            correlation: *correlation,
            answer: Err(LinkError::Reset),
        });
        self.queue.extend(broken);
    }

    /// The broker's process dies, or its machine with `writeback_ms` of what was not yet written back.
    pub fn stop(&mut self, now: TimestampMs, id: i32, lost_power: Option<i64>) -> Vec<Told> {
        let slot = self.slot(id);
        if slot.condition == Condition::Stopped {
            return Vec::new();
        }
        slot.condition = Condition::Stopped;
        slot.held.clear();
        match lost_power {
            None => slot.broker.crash(),
            // Facts are for oracles.
            Some(writeback_ms) => drop(slot.broker.lose_power(now, writeback_ms)),
        }
        self.calls.retain(|(from, _), _| *from != id);
        self.by_deadline.retain(|(_, from, _)| *from != id);
        self.controller.disconnected(connection_of(id));
        let others: Vec<i32> = self.slots.keys().copied().filter(|other| *other != id).collect();
        for other in others {
            self.broker(other).disconnected(connection_of(id));
            self.reset(other, Peer::Broker(id));
        }
        self.deliver(now)
    }

    /// The process is back.
    pub fn start_again(&mut self, now: TimestampMs, id: i32) -> Vec<Told> {
        self.slot(id).condition = Condition::Runs;
        self.act(now, id, Broker::restart)
    }

    pub fn pause(&mut self, id: i32) {
        let slot = self.slot(id);
        if slot.condition == Condition::Runs {
            slot.condition = Condition::Paused;
        }
    }

    pub fn resume(&mut self, now: TimestampMs, id: i32) -> Vec<Told> {
        let slot = self.slot(id);
        if slot.condition == Condition::Paused {
            slot.condition = Condition::Runs;
            let held = std::mem::take(&mut slot.held);
            self.queue.extend(held);
        }
        self.deliver(now)
    }

    pub fn next_deadline(&self) -> Option<TimestampMs> {
        let running = self.slots.values().filter(|slot| slot.condition == Condition::Runs);
        let brokers = running.filter_map(|slot| slot.broker.next_deadline());
        let calls = self.by_deadline.first().map(|(deadline, ..)| *deadline);
        brokers.chain(calls).chain(self.controller.next_deadline()).min()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: TimestampMs) -> Vec<Told> {
        let is_due = |deadline: Option<TimestampMs>| deadline.is_some_and(|deadline| deadline <= now);
        if is_due(self.controller.next_deadline()) {
            let outputs = self.controller.tick(now);
            self.take_from_controller(outputs);
        }
        let late = self.by_deadline.iter().take_while(|(deadline, ..)| *deadline <= now);
        let late = late.map(|(_, to, correlation)| Delivery::Answer {
            to: *to,
            correlation: *correlation,
            answer: Err(LinkError::TimedOut),
        });
        self.queue.extend(late);
        // A paused broker finds its time-outs when it goes on.
        self.by_deadline = self.by_deadline.split_off(&(now + 1, i32::MIN, 0));
        let due: Vec<i32> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.condition == Condition::Runs && is_due(slot.broker.next_deadline()))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let outputs = self.broker(id).tick(now);
            self.take(now, id, outputs);
        }
        self.deliver(now)
    }
}
