//! The host of the brokers: gives them requests and time, and takes their outputs where they belong.
//!
//! All of it happens on one thread. Nothing here waits while a broker is borrowed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures::channel::oneshot;
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;

use super::clock::Clock;
use super::config::Limits;
use crate::broker::{Broker, ConnectionId, Output};
use crate::cluster::TimestampMs;
use crate::protocol::{Request, Response};

/// What came of a request.
pub(super) enum Answer {
    Response(Response),
    /// The broker wants the connection closed.
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Runs,
    /// As after SIGSTOP: the sockets are open, and nobody is home.
    Paused,
    Stopped,
}

struct Slot {
    broker: Broker,
    condition: Condition,
    address: SocketAddr,
    listener: Option<AbortHandle>,
    connections: BTreeMap<ConnectionId, AbortHandle>,
}

pub(super) struct Host {
    clock: Clock,
    pub limits: Limits,
    /// Permits of [`REQUEST_UNIT`] bytes for requests that are being read.
    pub request_memory: Semaphore,
    slots: RefCell<BTreeMap<i32, Slot>>,
    waiting: RefCell<BTreeMap<(ConnectionId, u64), oneshot::Sender<Answer>>>,
    last_connection: Cell<u64>,
    /// Until when the ticking sleeps.
    armed: Cell<Option<TimestampMs>>,
    /// A deadline came nearer.
    nearer: Notify,
    /// A broker goes on after a pause.
    resumed: Notify,
}

/// What memory for requests is counted in.
pub(super) const REQUEST_UNIT: usize = 64 << 10;

impl Host {
    pub fn new(limits: Limits, brokers: impl IntoIterator<Item = (Broker, SocketAddr)>) -> Host {
        let slots = brokers.into_iter().map(|(broker, address)| {
            let connections = BTreeMap::new();
            (broker.id(), Slot { broker, condition: Condition::Runs, address, listener: None, connections })
        });
        let host = Host {
            clock: Clock::start(),
            request_memory: Semaphore::new(limits.queued_max_request_bytes.div_ceil(REQUEST_UNIT)),
            limits,
            slots: RefCell::new(slots.collect()),
            waiting: RefCell::default(),
            last_connection: Cell::new(0),
            armed: Cell::new(None),
            nearer: Notify::new(),
            resumed: Notify::new(),
        };
        host.set_clocks();
        host
    }

    /// Steady time goes its own way; the clock on the wall may be set at any moment.
    fn set_clocks(&self) {
        let ahead_ms = self.clock.wall_ahead_ms();
        self.slots.borrow_mut().values_mut().for_each(|slot| slot.broker.set_clock(ahead_ms));
    }

    pub fn address(&self, broker: i32) -> SocketAddr {
        self.slots.borrow()[&broker].address
    }

    pub fn now(&self) -> TimestampMs {
        self.clock.now()
    }

    /// Gives a request to a broker. The receiver is cancelled if there will be no answer.
    pub fn submit(
        &self,
        broker: i32,
        conn: ConnectionId,
        correlation: u64,
        request: Request,
    ) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert((conn, correlation), sender);
        self.act(broker, |broker, now| broker.handle(now, conn, correlation, request));
        receiver
    }

    /// Lets a broker do something, and takes its outputs where they belong.
    pub fn act(&self, broker: i32, act: impl FnOnce(&mut Broker, TimestampMs) -> Vec<Output>) {
        let now = self.now();
        let outputs = {
            let mut slots = self.slots.borrow_mut();
            let slot = slots.get_mut(&broker).expect("only brokers of this host are asked for");
            act(&mut slot.broker, now)
        };
        self.route(broker, outputs);
        self.rearm();
    }

    fn route(&self, from: i32, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Respond { conn, correlation, response } => {
                    if let Some(waiting) = self.waiting.borrow_mut().remove(&(conn, correlation)) {
                        // A connection that ended meanwhile wants no answer.
                        let _ = waiting.send(Answer::Response(response));
                    }
                }
                Output::Close { conn } => self.close(conn),
                Output::TopicCreated(spec) => {
                    for (id, slot) in self.slots.borrow_mut().iter_mut() {
                        if *id != from {
                            slot.broker.learn_topic(spec.clone());
                        }
                    }
                }
                Output::Visible { .. } | Output::Rebalanced { .. } => {}
            }
        }
    }

    fn close(&self, conn: ConnectionId) {
        let mut waiting = self.waiting.borrow_mut();
        let asked: Vec<(ConnectionId, u64)> =
            waiting.range((conn, 0)..=(conn, u64::MAX)).map(|(asked, _)| *asked).collect();
        for asked in asked {
            if let Some(sender) = waiting.remove(&asked) {
                let _ = sender.send(Answer::Close);
            }
        }
    }

    /// A new connection's number, or `None` where there are too many.
    pub fn connect(&self, broker: i32) -> Option<ConnectionId> {
        let slots = self.slots.borrow();
        let slot = &slots[&broker];
        if slot.condition == Condition::Stopped || slot.connections.len() >= self.limits.max_connections {
            return None;
        }
        let conn = ConnectionId(self.last_connection.get() + 1);
        self.last_connection.set(conn.0);
        Some(conn)
    }

    /// Remembers a connection's task, to end it with its broker.
    pub fn connected(&self, broker: i32, conn: ConnectionId, task: AbortHandle) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(&broker) {
            slot.connections.insert(conn, task);
        }
    }

    pub fn disconnected(&self, broker: i32, conn: ConnectionId) {
        self.waiting.borrow_mut().retain(|(waiting, _), _| *waiting != conn);
        if let Some(slot) = self.slots.borrow_mut().get_mut(&broker) {
            slot.connections.remove(&conn);
            if slot.condition != Condition::Stopped {
                slot.broker.disconnected(conn);
            }
        }
    }

    pub fn listens(&self, broker: i32, task: AbortHandle) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(&broker) {
            slot.listener = Some(task);
        }
    }

    /// The broker's process dies: its sockets close, and what was in memory only is gone.
    pub fn stop(&self, broker: i32) {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(&broker).expect("only brokers of this host are asked for");
        if slot.condition == Condition::Stopped {
            return;
        }
        slot.condition = Condition::Stopped;
        slot.listener.take().inspect(AbortHandle::abort);
        let connections = std::mem::take(&mut slot.connections);
        connections.values().for_each(AbortHandle::abort);
        self.waiting.borrow_mut().retain(|(conn, _), _| !connections.contains_key(conn));
        slot.broker.crash();
    }

    /// The process is back. Its listener is the caller's to open.
    pub fn start_again(&self, broker: i32) {
        let topics: Vec<_> = {
            let slots = self.slots.borrow();
            slots.values().flat_map(|slot| slot.broker.topics().cloned().collect::<Vec<_>>()).collect()
        };
        let now = self.now();
        {
            let mut slots = self.slots.borrow_mut();
            let slot = slots.get_mut(&broker).expect("only brokers of this host are asked for");
            slot.condition = Condition::Runs;
            slot.broker.restart(now);
            topics.into_iter().for_each(|topic| slot.broker.learn_topic(topic));
        }
        self.rearm();
    }

    pub fn is_stopped(&self, broker: i32) -> bool {
        self.slots.borrow()[&broker].condition == Condition::Stopped
    }

    pub fn pause(&self, broker: i32) {
        self.turn(broker, Condition::Runs, Condition::Paused);
    }

    pub fn resume(&self, broker: i32) {
        self.turn(broker, Condition::Paused, Condition::Runs);
        self.resumed.notify_waiters();
        self.rearm();
    }

    fn turn(&self, broker: i32, from: Condition, to: Condition) {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(&broker).expect("only brokers of this host are asked for");
        if slot.condition == from {
            slot.condition = to;
        }
    }

    /// Waits while the broker is paused.
    pub async fn until_running(&self, broker: i32) {
        loop {
            let resumed = self.resumed.notified();
            if self.slots.borrow()[&broker].condition != Condition::Paused {
                return;
            }
            resumed.await;
        }
    }

    fn next_deadline(&self) -> Option<TimestampMs> {
        let slots = self.slots.borrow();
        let running = slots.values().filter(|slot| slot.condition == Condition::Runs);
        running.filter_map(|slot| slot.broker.next_deadline()).min()
    }

    fn rearm(&self) {
        let armed = self.armed.get().unwrap_or(TimestampMs::MAX);
        if self.next_deadline().is_some_and(|next| next < armed) {
            self.nearer.notify_one();
        }
    }

    /// Wakes brokers at their deadlines, for ever.
    pub async fn tick(&self) {
        /// The clock on the wall is looked at this often, and a deadline that stays due is not met in a circle.
        const AT_LEAST_MS: i64 = 1;
        const AT_MOST_MS: i64 = 1_000;
        loop {
            let now = self.now();
            let next = self.next_deadline().unwrap_or(i64::MAX);
            let until = next.clamp(now + AT_LEAST_MS, now + AT_MOST_MS);
            self.armed.set(Some(until));
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(self.clock.instant(until)) => {}
                () = self.nearer.notified() => continue,
            }
            self.set_clocks();
            self.tick_due();
        }
    }

    fn tick_due(&self) {
        let now = self.now();
        let is_due = |slot: &Slot| {
            slot.condition == Condition::Runs && slot.broker.next_deadline().is_some_and(|due| due <= now)
        };
        let due: Vec<i32> =
            self.slots.borrow().iter().filter(|(_, slot)| is_due(slot)).map(|(id, _)| *id).collect();
        for broker in due {
            self.act(broker, Broker::tick);
        }
    }

    /// Looks at a broker.
    pub fn with<R>(&self, broker: i32, look: impl FnOnce(&mut Broker, TimestampMs) -> R) -> R {
        let now = self.now();
        let mut slots = self.slots.borrow_mut();
        look(&mut slots.get_mut(&broker).expect("only brokers of this host are asked for").broker, now)
    }
}
