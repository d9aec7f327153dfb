//! Clients and three brokers in one process, on a virtual clock: a deterministic event loop of a few dozen lines.
//!
//! Every message takes 1 ms. Fakes a network that keeps order per event queue; faults are brokers that are down or
//! silent, and answers that are lost.

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
use kafka::{Broker, BrokerConfig, ClusterSpec, ConnectionId, Output, Request, Response, TopicSpec, Trouble};

use crate::troubles::counting;

const LATENCY_MS: i64 = 1;
pub const BROKERS: [i32; 3] = [0, 1, 2];

/// Answers a request to a broker in its place, as (broker, request); `None`: the broker answers itself.
pub type Script = Box<dyn FnMut(i32, &Request) -> Option<Result<Response, LinkError>>>;

enum Event {
    Request { broker: i32, conn: ConnectionId, call: u64, request: Request },
    Answer { call: u64, result: Result<Response, LinkError> },
    Wake(u64),
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
        let cluster = ClusterSpec { brokers: BROKERS.to_vec(), topics };
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
            down: BTreeSet::new(),
            silent: BTreeSet::new(),
            lose_answers: BTreeMap::new(),
            script: None,
            calls: BTreeMap::new(),
            sleeps: BTreeMap::new(),
            sent: BTreeMap::new(),
            facts: Vec::new(),
        };
        World { state: Rc::new(RefCell::new(state)), tasks: Vec::new() }
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
        let deadline = alive.filter_map(|(id, broker)| broker.next_deadline().map(|due| (due, *id))).min();
        match (event, deadline) {
            (event, Some((due, id))) if event.is_none_or(|event| due < event) && due <= until => {
                self.now = self.now.max(due);
                let outputs = self.brokers.get_mut(&id).expect("a broker").tick(due);
                self.emit(id, outputs);
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

    pub fn emit(&mut self, broker: i32, outputs: Vec<Output>) {
        for output in outputs {
            match output {
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

    /// Requests sent so far, of all names.
    pub fn sent_in_all(&self) -> u32 {
        self.sent.values().sum()
    }

    /// All brokers' clocks show the same time here.
    pub fn move_coordinator(&mut self, group: &str, to: i32, load_ms: i64) {
        let now = self.now;
        let mut brokers: Vec<(i64, &mut Broker)> =
            self.brokers.values_mut().map(|broker| (now, broker)).collect();
        let moved = kafka::move_coordinator(&mut brokers, group, to, load_ms).expect("it was elsewhere");
        self.emit(moved.from, moved.outputs);
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
        self.brokers.get_mut(&broker).expect("a broker").restart(now);
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
