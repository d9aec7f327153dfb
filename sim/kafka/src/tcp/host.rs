//! The host of the brokers: gives them requests and time, and takes their answers to the connections that wait.
//!
//! All of it happens on one thread. Nothing here waits while the cluster is borrowed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::channel::oneshot;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, JoinHandle};

use super::clock::Clock;
use super::cluster::{Cluster, Condition, Told};
use super::config::Limits;
use super::data::{Data, DataError};
use crate::broker::{Broker, ConnectionId, Output};
use crate::cluster::TimestampMs;
use crate::image::Image;
use crate::protocol::{Request, Response};

/// What came of a request.
pub(super) enum Answer {
    Response(Response),
    /// The broker wants the connection closed.
    Close,
}

/// A broker's sockets.
struct Door {
    address: SocketAddr,
    listener: Option<JoinHandle<()>>,
    connections: BTreeMap<ConnectionId, AbortHandle>,
}

pub(super) struct Host {
    clock: Clock,
    pub limits: Limits,
    /// Permits of [`REQUEST_UNIT`] bytes for requests that are being read.
    pub request_memory: Semaphore,
    cluster: RefCell<Cluster>,
    data: RefCell<Option<Data>>,
    /// Why nothing can be saved any more.
    failed: RefCell<Option<DataError>>,
    fails: Notify,
    doors: RefCell<BTreeMap<i32, Door>>,
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
    /// The cluster has begun its work at time 0 of the clock.
    pub fn new(
        limits: Limits,
        clock: Clock,
        mut cluster: Cluster,
        data: Option<Data>,
        addresses: &BTreeMap<i32, SocketAddr>,
    ) -> Host {
        let doors = addresses.iter().map(|(id, address)| {
            (*id, Door { address: *address, listener: None, connections: BTreeMap::new() })
        });
        cluster.brokers().for_each(|broker| broker.set_clock(clock.wall_ahead_ms()));
        Host {
            clock,
            request_memory: Semaphore::new(limits.queued_max_request_bytes.div_ceil(REQUEST_UNIT)),
            limits,
            cluster: RefCell::new(cluster),
            data: RefCell::new(data),
            failed: RefCell::new(None),
            fails: Notify::new(),
            doors: RefCell::new(doors.collect()),
            waiting: RefCell::default(),
            last_connection: Cell::new(0),
            armed: Cell::new(None),
            nearer: Notify::new(),
            resumed: Notify::new(),
        }
    }

    pub fn address(&self, broker: i32) -> SocketAddr {
        self.doors.borrow()[&broker].address
    }

    fn condition(&self, broker: i32) -> Condition {
        self.cluster.borrow().condition(broker)
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
        self.change(|cluster, now| cluster.act(now, broker, act));
    }

    fn change(&self, change: impl FnOnce(&mut Cluster, TimestampMs) -> Vec<Told>) {
        if self.failed.borrow().is_some() {
            return;
        }
        let now = self.clock.now();
        let told = change(&mut self.cluster.borrow_mut(), now);
        if let Err(error) = self.save(now) {
            // Nobody is told of what was not saved.
            self.failed.replace(Some(error));
            self.fails.notify_one();
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        for told in told {
            match told {
                Told::Answer { conn, correlation, response } => {
                    if let Some(sender) = waiting.remove(&(conn, correlation)) {
                        // A connection that ended meanwhile wants no answer.
                        let _ = sender.send(Answer::Response(response));
                    }
                }
                Told::Close { conn } => {
                    let all = (conn, 0)..=(conn, u64::MAX);
                    let asked: Vec<(ConnectionId, u64)> =
                        waiting.range(all).map(|(asked, _)| *asked).collect();
                    for sender in asked.iter().filter_map(|asked| waiting.remove(asked)) {
                        let _ = sender.send(Answer::Close);
                    }
                }
            }
        }
        drop(waiting);
        let armed = self.armed.get().unwrap_or(TimestampMs::MAX);
        if self.cluster.borrow().next_deadline().is_some_and(|next| next < armed) {
            self.nearer.notify_one();
        }
    }

    fn save(&self, now: TimestampMs) -> Result<(), DataError> {
        match &mut *self.data.borrow_mut() {
            None => Ok(()),
            Some(data) => data.save(now, &mut self.cluster.borrow_mut()),
        }
    }

    /// Waits until nothing can be saved any more.
    pub async fn until_failed(&self) -> DataError {
        loop {
            if let Some(error) = self.failed.take() {
                return error;
            }
            self.fails.notified().await;
        }
    }

    /// A new connection's number, or `None` where there are too many.
    pub fn connect(&self, broker: i32) -> Option<ConnectionId> {
        let connections = self.doors.borrow()[&broker].connections.len();
        if self.condition(broker) == Condition::Stopped || connections >= self.limits.max_connections {
            return None;
        }
        let conn = ConnectionId(self.last_connection.get() + 1);
        self.last_connection.set(conn.0);
        Some(conn)
    }

    /// Remembers a connection's task, to end it with its broker.
    pub fn connected(&self, broker: i32, conn: ConnectionId, task: AbortHandle) {
        if let Some(door) = self.doors.borrow_mut().get_mut(&broker) {
            door.connections.insert(conn, task);
        }
    }

    pub fn disconnected(&self, broker: i32, conn: ConnectionId) {
        self.waiting.borrow_mut().retain(|(waiting, _), _| *waiting != conn);
        if let Some(door) = self.doors.borrow_mut().get_mut(&broker) {
            door.connections.remove(&conn);
        }
        if self.condition(broker) != Condition::Stopped {
            self.cluster.borrow_mut().broker(broker).disconnected(conn);
        }
    }

    pub fn listens(&self, broker: i32, task: JoinHandle<()>) {
        if let Some(door) = self.doors.borrow_mut().get_mut(&broker) {
            door.listener = Some(task);
        }
    }

    /// The broker's process dies, or its machine with what was not yet written back: its sockets close. Gives the
    /// listener's task, with whose end the port refuses.
    pub fn stop(&self, broker: i32, lost_power: Option<i64>) -> Option<JoinHandle<()>> {
        let mut listener = None;
        if let Some(door) = self.doors.borrow_mut().get_mut(&broker) {
            listener = door.listener.take().inspect(JoinHandle::abort);
            let connections = std::mem::take(&mut door.connections);
            connections.values().for_each(AbortHandle::abort);
            self.waiting.borrow_mut().retain(|(conn, _), _| !connections.contains_key(conn));
        }
        self.change(|cluster, now| cluster.stop(now, broker, lost_power));
        // Tasks that wait for the end of a pause see that there is none.
        self.resumed.notify_waiters();
        listener
    }

    /// The process is back. Its listener is the caller's to open.
    pub fn start_again(&self, broker: i32) {
        self.change(|cluster, now| cluster.start_again(now, broker));
    }

    pub fn is_stopped(&self, broker: i32) -> bool {
        self.condition(broker) == Condition::Stopped
    }

    pub fn pause(&self, broker: i32) {
        self.cluster.borrow_mut().pause(broker);
    }

    pub fn resume(&self, broker: i32) {
        self.change(|cluster, now| cluster.resume(now, broker));
        self.resumed.notify_waiters();
    }

    /// Waits while the broker is paused.
    pub async fn until_running(&self, broker: i32) {
        loop {
            let resumed = self.resumed.notified();
            if self.condition(broker) != Condition::Paused {
                return;
            }
            resumed.await;
        }
    }

    /// The cluster as this broker knows it.
    pub fn image(&self, broker: i32) -> Arc<Image> {
        Arc::clone(self.cluster.borrow_mut().broker(broker).image())
    }

    /// Wakes the cluster at its deadlines, for ever.
    pub async fn tick(&self) {
        /// A deadline that stays due is not met in a circle, and the clock on the wall is looked at now and then.
        const AT_LEAST_MS: i64 = 1;
        const AT_MOST_MS: i64 = 1_000;
        loop {
            let now = self.clock.now();
            let next = self.cluster.borrow().next_deadline().unwrap_or(i64::MAX);
            let until = next.clamp(now + AT_LEAST_MS, now + AT_MOST_MS);
            self.armed.set(Some(until));
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(self.clock.instant(until)) => {}
                () = self.nearer.notified() => continue,
            }
            let ahead_ms = self.clock.wall_ahead_ms();
            self.cluster.borrow_mut().brokers().for_each(|broker| broker.set_clock(ahead_ms));
            self.change(|cluster, now| cluster.tick(now));
        }
    }

    /// Looks at a broker.
    pub fn with<R>(&self, broker: i32, look: impl FnOnce(&mut Broker, TimestampMs) -> R) -> R {
        let now = self.clock.now();
        look(self.cluster.borrow_mut().broker(broker), now)
    }
}
