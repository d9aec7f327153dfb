//! Clients, three brokers and their controller in one process, on a virtual clock: a small deterministic event loop.
//!
//! Every message takes 1 ms. Fakes a network that keeps order per event queue; faults are brokers that are down, silent to
//! clients or cut off from their peers, and answers that are lost.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use kafka::client::{Link, LinkError};
use kafka::{
    Broker, BrokerConfig, ClusterSpec, ConnectionId, Controller, ControllerOutput, Output, Peer, PeerAnswer,
    Request, Response, TopicPartition, TopicSpec, Trouble,
};

use crate::troubles::counting;

const LATENCY_MS: i64 = 1;
pub const BROKERS: [i32; 3] = [0, 1, 2];

/// Answers a request to a broker in its place, as (broker, request); `None`: the broker answers itself.
pub type Script = Box<dyn FnMut(i32, &Request) -> Option<Result<Response, LinkError>>>;

enum Event {
    Request { broker: i32, conn: ConnectionId, call: u64, request: Request },
    Answer { call: u64, result: Result<Response, LinkError> },
    PeerRequest { from: i32, to: Peer, correlation: u64, request: Request },
    PeerAnswer { to: i32, correlation: u64, answer: Result<PeerAnswer, LinkError> },
    Wake(u64),
}

/// Connections of brokers are numbered from here.
const PEERS: u64 = 1 << 40;

fn connection_of(broker: i32) -> ConnectionId {
    ConnectionId(PEERS + u64::from(broker.unsigned_abs()))
}

fn broker_on(conn: ConnectionId) -> Option<i32> {
    conn.0.checked_sub(PEERS).map(|broker| i32::try_from(broker).expect("brokers have small ids"))
}

#[derive(Default)]
struct Waiting {
    result: Option<Result<Response, LinkError>>,
    waker: Option<Waker>,
}

pub struct State {
    pub now: i64,
    next_id: u64,
    events: BTreeMap<(i64, u64), Event>,
    pub brokers: BTreeMap<i32, Broker>,
    pub controller: Controller,
    /// What the controller told.
    pub elections: Vec<ControllerOutput>,
    /// Brokers that neither reach their peers and the controller nor are reached by them.
    pub cut_off: BTreeSet<i32>,
    /// Brokers do not reach each other; all reach the controller.
    pub apart: bool,
    /// Requests from broker to broker so far.
    pub fetches_among_brokers: u32,
    pub down: BTreeSet<i32>,
    /// Takes requests in and never answers.
    pub silent: BTreeSet<i32>,
    /// How many answers to requests of this name are still to be lost (as a reset connection).
    pub lose_answers: BTreeMap<&'static str, u32>,
    pub script: Option<Script>,
    calls: BTreeMap<u64, (Waiting, &'static str)>,
    sleeps: BTreeMap<u64, Waiting>,
    /// Requests sent, by name.
    pub sent: BTreeMap<&'static str, u32>,
    pub facts: Vec<Output>,
}

/// The event loop. Clients hold a [`SimLink`] to its state.
pub struct World {
    pub state: Rc<RefCell<State>>,
    tasks: Vec<Option<Task>>,
}

struct Task {
    future: LocalBoxFuture<'static, ()>,
    woken: Arc<Flag>,
    pub polls: u32,
    paused: bool,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub struct SimLink {
    state: Rc<RefCell<State>>,
    conn: ConnectionId,
}

impl World {
    pub fn new(topics: Vec<TopicSpec>) -> World {
        World::with(topics, |_| {})
    }

    pub fn with(topics: Vec<TopicSpec>, adjust: impl Fn(&mut BrokerConfig)) -> World {
        World::of(ClusterSpec::new(BROKERS.to_vec(), topics), adjust)
    }

    /// A cluster whose topics have three replicas, two of which must be in sync.
    pub fn replicated(topics: Vec<TopicSpec>, adjust: impl Fn(&mut ClusterSpec)) -> World {
        let mut cluster = ClusterSpec::new(BROKERS.to_vec(), topics);
        cluster.settings.default_replication_factor = 3;
        cluster.settings.min_insync_replicas = 2;
        adjust(&mut cluster);
        World::of(cluster, |_| {})
    }

    fn of(cluster: ClusterSpec, adjust: impl Fn(&mut BrokerConfig)) -> World {
        let broker = |id: i32| {
            let mut config = BrokerConfig::new(id, cluster.clone());
            adjust(&mut config);
            (id, Broker::new(config))
        };
        let state = State {
            now: 0,
            next_id: 0,
            events: BTreeMap::new(),
            brokers: BROKERS.into_iter().map(broker).collect(),
            controller: Controller::new(cluster.clone(), 0),
            elections: Vec::new(),
            cut_off: BTreeSet::new(),
            apart: false,
            fetches_among_brokers: 0,
            down: BTreeSet::new(),
            silent: BTreeSet::new(),
            lose_answers: BTreeMap::new(),
            script: None,
            calls: BTreeMap::new(),
            sleeps: BTreeMap::new(),
            sent: BTreeMap::new(),
            facts: Vec::new(),
        };
        let world = World { state: Rc::new(RefCell::new(state)), tasks: Vec::new() };
        for id in BROKERS {
            let mut state = world.state.borrow_mut();
            let outputs = state.brokers.get_mut(&id).expect("a broker").start(0);
            state.emit(id, outputs);
        }
        world
    }

    /// A client's link, with a connection of its own.
    pub fn link(&self) -> Rc<SimLink> {
        let conn = ConnectionId(self.state.borrow_mut().id());
        Rc::new(SimLink { state: Rc::clone(&self.state), conn })
    }

    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> usize {
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        self.tasks.push(Some(Task { future: Box::pin(future), woken, polls: 0, paused: false }));
        self.tasks.len() - 1
    }

    /// The process of a task dies, mid-await.
    pub fn kill(&mut self, task: usize) {
        self.tasks[task] = None;
    }

    /// The process of a task stands still, or goes on. What came meanwhile is there then.
    pub fn pause(&mut self, task: usize, paused: bool) {
        self.tasks[task].as_mut().expect("it lives").paused = paused;
    }

    /// How often a task was woken.
    pub fn polls(&self, task: usize) -> u32 {
        self.tasks[task].as_ref().map_or(0, |task| task.polls)
    }

    pub fn block_on<T: 'static>(&mut self, future: impl Future<Output = T> + 'static) -> T {
        let slot = Rc::new(RefCell::new(None));
        let filled = Rc::clone(&slot);
        self.spawn(async move {
            let value = future.await;
            *filled.borrow_mut() = Some(value);
        });
        let until = self.state.borrow().now + 3_600_000;
        self.run(until, || slot.borrow().is_some());
        slot.borrow_mut().take().expect("the future ends within an hour")
    }

    pub fn run_for(&mut self, ms: i64) {
        let until = self.state.borrow().now + ms;
        self.run(until, || false);
        self.state.borrow_mut().now = until;
    }

    fn run(&mut self, until: i64, done: impl Fn() -> bool) {
        loop {
            self.poll_tasks();
            if done() || !self.state.borrow_mut().step(until) {
                return;
            }
        }
    }

    fn poll_tasks(&mut self) {
        loop {
            let mut progress = false;
            for slot in &mut self.tasks {
                let Some(task) = slot else { continue };
                if task.paused || !task.woken.0.swap(false, Ordering::Relaxed) {
                    continue;
                }
                progress = true;
                task.polls += 1;
                let waker = Waker::from(Arc::clone(&task.woken));
                if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    *slot = None;
                }
            }
            if !progress {
                return;
            }
        }
    }
}

impl State {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn schedule(&mut self, after_ms: i64, event: Event) {
        let id = self.id();
        self.events.insert((self.now + after_ms, id), event);
    }

    /// The next event or broker deadline up to `until`; false if there is none.
    fn step(&mut self, until: i64) -> bool {
        let event = self.events.first_key_value().map(|((due, _), _)| *due);
        let alive = self.brokers.iter().filter(|(id, _)| !self.down.contains(id));
        let deadlines = alive.filter_map(|(id, broker)| broker.next_deadline().map(|due| (due, Some(*id))));
        let deadline = deadlines.chain(self.controller.next_deadline().map(|due| (due, None))).min();
        match (event, deadline) {
            (event, Some((due, id))) if event.is_none_or(|event| due < event) && due <= until => {
                self.now = self.now.max(due);
                match id {
                    Some(id) => {
                        let outputs = self.brokers.get_mut(&id).expect("a broker").tick(self.now);
                        self.emit(id, outputs);
                    }
                    None => {
                        let outputs = self.controller.tick(self.now);
                        self.emit_controllers(outputs);
                    }
                }
                true
            }
            (Some(due), _) if due <= until => {
                let (_, event) = self.events.pop_first().expect("just seen");
                self.now = due;
                self.handle(event);
                true
            }
            _ => false,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Request { broker, call, .. } if self.down.contains(&broker) => {
                self.schedule(LATENCY_MS, Event::Answer { call, result: Err(LinkError::Refused) });
            }
            Event::Request { broker, conn, call, request } => {
                let scripted = self.script.as_mut().and_then(|script| script(broker, &request));
                if let Some(result) = scripted {
                    return self.schedule(LATENCY_MS, Event::Answer { call, result });
                }
                let now = self.now;
                let outputs =
                    self.brokers.get_mut(&broker).expect("a broker").handle(now, conn, call, request);
                self.emit(broker, outputs);
            }
            Event::PeerRequest { from, to, correlation, request } => {
                self.ask_peer(from, to, correlation, request);
            }
            Event::PeerAnswer { to, .. } if self.down.contains(&to) => {}
            Event::PeerAnswer { to, correlation, answer } => {
                let now = self.now;
                let outputs = self.brokers.get_mut(&to).expect("a broker").answered(now, correlation, answer);
                self.emit(to, outputs);
            }
            Event::Answer { call, result } => {
                if let Some((waiting, _)) = self.calls.get_mut(&call)
                    && waiting.result.is_none()
                {
                    waiting.result = Some(result);
                    waiting.waker.take().into_iter().for_each(Waker::wake);
                }
            }
            Event::Wake(id) => {
                if let Some(waiting) = self.sleeps.get_mut(&id) {
                    waiting.result = Some(Err(LinkError::TimedOut));
                    waiting.waker.take().into_iter().for_each(Waker::wake);
                }
            }
        }
    }

    fn ask_peer(&mut self, from: i32, to: Peer, correlation: u64, request: Request) {
        let conn = connection_of(from);
        self.fetches_among_brokers += u32::from(matches!(to, Peer::Broker(_)));
        match to {
            Peer::Controller if !self.cut_off.contains(&from) => {
                let outputs = self.controller.handle(self.now, conn, correlation, request);
                self.emit_controllers(outputs);
            }
            Peer::Broker(_) if self.apart => {}
            Peer::Broker(id) if !self.cut_off.contains(&from) && !self.cut_off.contains(&id) => {
                if self.down.contains(&id) {
                    let answer = Err(LinkError::Refused);
                    self.schedule(LATENCY_MS, Event::PeerAnswer { to: from, correlation, answer });
                    return;
                }
                let broker = self.brokers.get_mut(&id).expect("a broker");
                let outputs = broker.handle(self.now, conn, correlation, request);
                self.emit(id, outputs);
            }
            _ => {}
        }
    }

    pub fn emit_controllers(&mut self, outputs: Vec<ControllerOutput>) {
        for output in outputs {
            match output {
                ControllerOutput::Respond { conn, correlation, answer } => {
                    let to = broker_on(conn).expect("only brokers ask the controller");
                    if !self.cut_off.contains(&to) {
                        self.schedule(LATENCY_MS, Event::PeerAnswer { to, correlation, answer: Ok(answer) });
                    }
                }
                fact => self.elections.push(fact),
            }
        }
    }

    pub fn emit(&mut self, broker: i32, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send { to, correlation, request, timeout_ms } => {
                    self.schedule(LATENCY_MS, Event::PeerRequest { from: broker, to, correlation, request });
                    let answer = Err(LinkError::TimedOut);
                    self.schedule(timeout_ms, Event::PeerAnswer { to: broker, correlation, answer });
                }
                Output::Respond { conn, correlation, response } if broker_on(conn).is_some() => {
                    let to = broker_on(conn).expect("just asked");
                    if !self.cut_off.contains(&to) && !self.cut_off.contains(&broker) {
                        let answer = Ok(PeerAnswer::from(response));
                        self.schedule(LATENCY_MS, Event::PeerAnswer { to, correlation, answer });
                    }
                }
                Output::Respond { correlation: call, response, .. } if !self.silent.contains(&broker) => {
                    let lost = self.calls.get(&call).and_then(|(_, name)| self.lose_answers.get_mut(name));
                    let result = match lost {
                        Some(left) if *left > 0 => {
                            *left -= 1;
                            Err(LinkError::Reset)
                        }
                        _ => Ok(response),
                    };
                    self.schedule(LATENCY_MS, Event::Answer { call, result });
                }
                Output::Respond { .. } => {}
                fact => self.facts.push(fact),
            }
        }
    }

    /// A broker's process dies: its connections are reset.
    pub fn crash(&mut self, broker: i32) {
        self.down.insert(broker);
        self.brokers.get_mut(&broker).expect("a broker").crash();
        // Coarse: calls to other brokers are reset too. Clients must cope with that anyway.
        let calls: Vec<u64> = self.calls.keys().copied().collect();
        for call in calls {
            self.schedule(LATENCY_MS, Event::Answer { call, result: Err(LinkError::Reset) });
        }
    }

    /// The machine of a broker loses its power.
    pub fn power_off(&mut self, broker: i32, writeback_ms: i64) {
        self.crash(broker);
        let now = self.now;
        let outputs = self.brokers.get_mut(&broker).expect("a broker").lose_power(now, writeback_ms);
        self.emit(broker, outputs);
    }

    /// Who leads a partition, as the controller knows it.
    pub fn leader_of(&self, at: &TopicPartition) -> Option<i32> {
        self.controller.leader_of(at)
    }

    /// Requests sent so far, of all names.
    pub fn sent_in_all(&self) -> u32 {
        self.sent.values().sum()
    }

    /// Another broker leads the group's partition of `__consumer_offsets`, and takes so long to read it.
    pub fn move_coordinator(&mut self, group: &str, to: i32, load_ms: i64) {
        let partition = ClusterSpec::new(BROKERS.to_vec(), Vec::new()).offsets_partition_of(group);
        self.brokers.get_mut(&to).expect("a broker").slow_load(group, load_ms);
        let at = TopicPartition::new(kafka::cluster::CONSUMER_OFFSETS, partition);
        let (moved, outputs) = self.controller.move_leader(self.now, &at, to);
        assert!(moved, "it was elsewhere, and {to} is in sync");
        self.emit_controllers(outputs);
    }

    /// Puts a trouble on every broker, with draws that count up from 0 at each.
    pub fn trouble(&mut self, trouble: &Trouble) {
        for broker in self.brokers.values_mut() {
            broker.begin_trouble(0, trouble.clone(), counting());
        }
    }

    pub fn end_trouble(&mut self) {
        self.brokers.values_mut().for_each(|broker| broker.end_trouble(0));
    }

    /// How often the brokers' troubles hit.
    pub fn met(&self) -> u64 {
        self.brokers.values().map(|broker| broker.met(0)).sum()
    }

    pub fn restart(&mut self, broker: i32) {
        self.down.remove(&broker);
        let now = self.now;
        let outputs = self.brokers.get_mut(&broker).expect("a broker").restart(now);
        self.emit(broker, outputs);
    }
}

/// A call or a sleep under way; dropped, it is forgotten.
struct Pending {
    state: Rc<RefCell<State>>,
    id: u64,
    is_call: bool,
}

impl Future for Pending {
    type Output = Result<Response, LinkError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let state = &mut *self.state.borrow_mut();
        let waiting = if self.is_call {
            state.calls.get_mut(&self.id).map(|(waiting, _)| waiting)
        } else {
            state.sleeps.get_mut(&self.id)
        };
        let waiting = waiting.expect("registered until dropped");
        match waiting.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                waiting.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut state = self.state.borrow_mut();
        state.calls.remove(&self.id);
        state.sleeps.remove(&self.id);
    }
}

#[async_trait(?Send)]
impl Link for SimLink {
    async fn call(&self, broker: i32, request: Request, timeout_ms: i64) -> Result<Response, LinkError> {
        let pending = {
            let mut state = self.state.borrow_mut();
            let (id, name) = (state.id(), request.kind.name());
            *state.sent.entry(name).or_default() += 1;
            state.calls.insert(id, (Waiting::default(), name));
            state.schedule(LATENCY_MS, Event::Request { broker, conn: self.conn, call: id, request });
            state.schedule(timeout_ms, Event::Answer { call: id, result: Err(LinkError::TimedOut) });
            Pending { state: Rc::clone(&self.state), id, is_call: true }
        };
        pending.await
    }

    fn now_ms(&self) -> i64 {
        self.state.borrow().now
    }

    async fn sleep_ms(&self, ms: i64) {
        let pending = {
            let mut state = self.state.borrow_mut();
            let id = state.id();
            state.sleeps.insert(id, Waiting::default());
            state.schedule(ms, Event::Wake(id));
            Pending { state: Rc::clone(&self.state), id, is_call: false }
        };
        let _ = pending.await;
    }
}
