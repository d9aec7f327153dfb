//! Three brokers, their controller and a network, on a virtual clock.
//!
//! Fakes a network that keeps order per direction between two parties, with latencies from the seed and a stall now and
//! then. A broker that is paused gets nothing until it goes on; one that is down refuses. A client's connection that is
//! dropped is not told to the brokers.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::task::Waker;

use kafka::client::LinkError;
use kafka::{
    Broker, BrokerConfig, ConnectionId, Controller, ControllerOutput, Output, Peer, PeerAnswer, Request,
    RequestKind, Response,
};
use kafka_suite::BROKERS;

/// The virtual clock begins here.
pub const BEGIN: i64 = 1_750_000_000_000;

/// One number after another, all from the seed (SplitMix64).
pub struct Draws(u64);

impl Draws {
    pub fn new(seed: u64) -> Draws {
        Draws(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> i64 {
        i64::try_from(self.next() % bound).expect("bounds are small")
    }
}

enum Event {
    Request { broker: i32, conn: ConnectionId, call: u64, request: Request },
    Answer { call: u64, result: Result<Response, LinkError> },
    PeerRequest { from: i32, to: Peer, correlation: u64, request: Request },
    PeerAnswer { to: i32, correlation: u64, answer: Result<PeerAnswer, LinkError> },
    Wake(u64),
}

/// A direction between two parties: order is kept within it.
type Way = (u64, u64);

/// Connections of brokers are numbered from here.
const PEERS: u64 = 1 << 40;
const CONTROLLER: u64 = PEERS - 1;

fn party(broker: i32) -> u64 {
    PEERS + u64::from(broker.unsigned_abs())
}

fn broker_on(conn: ConnectionId) -> Option<i32> {
    conn.0.checked_sub(PEERS).map(|broker| i32::try_from(broker).expect("brokers have small ids"))
}

struct Call {
    broker: i32,
    conn: ConnectionId,
    /// The client bears a connection that ends at the wrong moment.
    may_lose: bool,
    waiting: Waiting,
}

#[derive(Default)]
struct Waiting {
    result: Option<Result<Response, LinkError>>,
    waker: Option<Waker>,
}

impl Waiting {
    fn end(&mut self, result: Result<Response, LinkError>) {
        if self.result.is_none() {
            self.result = Some(result);
            self.waker.take().into_iter().for_each(Waker::wake);
        }
    }
}

pub struct State {
    pub now: i64,
    pub draws: Draws,
    next_id: u64,
    events: BTreeMap<(i64, u64), Event>,
    last_due: BTreeMap<Way, i64>,
    brokers: BTreeMap<i32, Broker>,
    controller: Controller,
    down: BTreeSet<i32>,
    /// With what came for them since.
    paused: BTreeMap<i32, Vec<Event>>,
    calls: BTreeMap<u64, Call>,
    sleeps: BTreeMap<u64, Waiting>,
    /// Copies that were made.
    late_end_txn: Option<Rc<Cell<u32>>>,
}

impl State {
    pub fn new(seed: u64, config: &BrokerConfig, late_end_txn: Option<Rc<Cell<u32>>>) -> State {
        let config_of = |id| BrokerConfig { id, ..config.clone() };
        let brokers = BROKERS.into_iter().map(|id| (id, Broker::new(config_of(id)))).collect();
        let mut state = State {
            now: BEGIN,
            draws: Draws::new(seed),
            next_id: 0,
            events: BTreeMap::new(),
            last_due: BTreeMap::new(),
            brokers,
            controller: Controller::new(config.cluster.clone(), BEGIN),
            down: BTreeSet::new(),
            paused: BTreeMap::new(),
            calls: BTreeMap::new(),
            sleeps: BTreeMap::new(),
            late_end_txn,
        };
        for id in BROKERS {
            let outputs = state.broker(id).start(BEGIN);
            state.emit(id, outputs);
        }
        state
    }

    fn broker(&mut self, id: i32) -> &mut Broker {
        self.brokers.get_mut(&id).expect("a broker of the cluster")
    }

    pub fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn schedule(&mut self, after_ms: i64, event: Event) {
        let id = self.id();
        self.events.insert((self.now + after_ms, id), event);
    }

    /// Over the network: behind what went the same way before.
    fn send(&mut self, way: Way, event: Event) {
        let stall = if self.draws.below(200) == 0 { self.draws.below(300) } else { 0 };
        let due = self.now + 1 + self.draws.below(5) + stall;
        let last = self.last_due.entry(way).or_insert(due);
        *last = due.max(*last);
        let after = *last - self.now;
        self.schedule(after, event);
    }

    pub fn begin_call(
        &mut self,
        broker: i32,
        conn: ConnectionId,
        may_lose: bool,
        request: Request,
        timeout_ms: i64,
    ) -> u64 {
        let call = self.id();
        self.calls.insert(call, Call { broker, conn, may_lose, waiting: Waiting::default() });
        self.schedule(timeout_ms, Event::Answer { call, result: Err(LinkError::TimedOut) });
        if may_lose && self.draws.below(200) == 0 {
            self.schedule(1, Event::Answer { call, result: Err(LinkError::Reset) });
        } else {
            self.copy(broker, conn, &request);
            self.send((conn.0, party(broker)), Event::Request { broker, conn, call, request });
        }
        call
    }

    /// Half of the `EndTxn`s come a second time, and nobody waits for the answer.
    fn copy(&mut self, broker: i32, conn: ConnectionId, request: &Request) {
        const LATE_MS: u64 = 150;
        let Some(copies) = self.late_end_txn.clone() else { return };
        if matches!(request.kind, RequestKind::EndTxn(_)) && self.draws.below(2) == 0 {
            copies.set(copies.get() + 1);
            let (late_ms, call) = (self.draws.below(LATE_MS), self.id());
            self.schedule(late_ms, Event::Request { broker, conn, call, request: request.clone() });
        }
    }

    pub fn begin_sleep(&mut self, ms: i64) -> u64 {
        let id = self.id();
        self.sleeps.insert(id, Waiting::default());
        self.schedule(ms, Event::Wake(id));
        id
    }

    /// The result of a call or a sleep, if it is there; else who is to be woken then.
    pub fn outcome(&mut self, id: u64, waker: &Waker) -> Option<Result<Response, LinkError>> {
        let waiting = match self.calls.get_mut(&id) {
            Some(call) => &mut call.waiting,
            None => self.sleeps.get_mut(&id).expect("registered until dropped"),
        };
        let result = waiting.result.take();
        if result.is_none() {
            waiting.waker = Some(waker.clone());
        }
        result
    }

    pub fn forget(&mut self, id: u64) {
        self.calls.remove(&id);
        self.sleeps.remove(&id);
    }

    /// The next event or deadline up to `until`; false if there is none.
    pub fn step(&mut self, until: i64) -> bool {
        let event = self.events.first_key_value().map(|((due, _), _)| *due);
        let runs = |id: &i32| !self.down.contains(id) && !self.paused.contains_key(id);
        let running = self.brokers.iter().filter(|(id, _)| runs(id));
        let deadlines = running.filter_map(|(id, broker)| broker.next_deadline().map(|due| (due, Some(*id))));
        let deadline = deadlines.chain(self.controller.next_deadline().map(|due| (due, None))).min();
        match (event, deadline) {
            (event, Some((due, who))) if event.is_none_or(|event| due < event) && due <= until => {
                self.now = self.now.max(due);
                let now = self.now;
                match who {
                    Some(id) => {
                        let outputs = self.broker(id).tick(now);
                        self.emit(id, outputs);
                    }
                    None => {
                        let outputs = self.controller.tick(now);
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
        let receiver = match &event {
            Event::Request { broker, .. } => Some(*broker),
            Event::PeerRequest { to: Peer::Broker(broker), .. } => Some(*broker),
            Event::PeerAnswer { to, .. } => Some(*to),
            _ => None,
        };
        if let Some(held) = receiver.and_then(|broker| self.paused.get_mut(&broker)) {
            held.push(event);
            return;
        }
        let now = self.now;
        match event {
            Event::Request { broker, call, .. } if self.down.contains(&broker) => {
                self.schedule(1, Event::Answer { call, result: Err(LinkError::Refused) });
            }
            Event::Request { broker, conn, call, request } => {
                let outputs = self.broker(broker).handle(now, conn, call, request);
                self.emit(broker, outputs);
            }
            Event::PeerRequest { from, to, correlation, request } => {
                self.ask_peer(from, to, correlation, request);
            }
            Event::PeerAnswer { to, .. } if self.down.contains(&to) => {}
            Event::PeerAnswer { to, correlation, answer } => {
                let outputs = self.broker(to).answered(now, correlation, answer);
                self.emit(to, outputs);
            }
            Event::Answer { call, result } => {
                if let Some(call) = self.calls.get_mut(&call) {
                    call.waiting.end(result);
                }
            }
            Event::Wake(id) => {
                if let Some(waiting) = self.sleeps.get_mut(&id) {
                    waiting.end(Err(LinkError::TimedOut));
                }
            }
        }
    }

    fn ask_peer(&mut self, from: i32, to: Peer, correlation: u64, request: Request) {
        let (now, conn) = (self.now, ConnectionId(party(from)));
        match to {
            Peer::Controller => {
                let outputs = self.controller.handle(now, conn, correlation, request);
                self.emit_controllers(outputs);
            }
            Peer::Broker(id) if self.down.contains(&id) => {
                let answer = Err(LinkError::Refused);
                self.schedule(1, Event::PeerAnswer { to: from, correlation, answer });
            }
            Peer::Broker(id) => {
                let outputs = self.broker(id).handle(now, conn, correlation, request);
                self.emit(id, outputs);
            }
        }
    }

    fn emit_controllers(&mut self, outputs: Vec<ControllerOutput>) {
        for output in outputs {
            if let ControllerOutput::Respond { conn, correlation, answer } = output {
                let to = broker_on(conn).expect("only brokers ask the controller");
                let answer = Event::PeerAnswer { to, correlation, answer: Ok(answer) };
                self.send((CONTROLLER, conn.0), answer);
            }
        }
    }

    fn emit(&mut self, broker: i32, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send { to, correlation, request, timeout_ms } => {
                    let receiver = match to {
                        Peer::Broker(id) => party(id),
                        Peer::Controller => CONTROLLER,
                    };
                    let asked = Event::PeerRequest { from: broker, to, correlation, request };
                    self.send((party(broker), receiver), asked);
                    let answer = Err(LinkError::TimedOut);
                    self.schedule(timeout_ms, Event::PeerAnswer { to: broker, correlation, answer });
                }
                Output::Respond { conn, correlation, response } => {
                    self.respond(broker, conn, correlation, response);
                }
                Output::Close { conn } => self.reset(|call| call.conn == conn && call.broker == broker),
                _ => {}
            }
        }
    }

    fn respond(&mut self, broker: i32, conn: ConnectionId, correlation: u64, response: Response) {
        let way = (party(broker), conn.0);
        if let Some(to) = broker_on(conn) {
            let answer = Ok(PeerAnswer::from(response));
            self.send(way, Event::PeerAnswer { to, correlation, answer });
            return;
        }
        let may_lose = self.calls.get(&correlation).is_some_and(|call| call.may_lose);
        let is_lost = may_lose && self.draws.below(200) == 0;
        let result = if is_lost { Err(LinkError::Reset) } else { Ok(response) };
        self.send(way, Event::Answer { call: correlation, result });
    }

    fn reset(&mut self, which: impl Fn(&Call) -> bool) {
        for call in self.calls.values_mut().filter(|call| which(call)) {
            call.waiting.end(Err(LinkError::Reset));
        }
    }

    /// A broker begins to hand over what it leads.
    pub fn prepare_to_stop(&mut self, broker: i32) {
        let now = self.now;
        let outputs = self.broker(broker).prepare_to_stop(now);
        self.emit(broker, outputs);
    }

    pub fn may_stop(&mut self, broker: i32) -> bool {
        self.broker(broker).may_stop()
    }

    /// A broker's process dies.
    pub fn kill(&mut self, broker: i32) {
        self.down.insert(broker);
        self.paused.remove(&broker);
        self.broker(broker).crash();
        self.reset(|call| call.broker == broker);
    }

    pub fn power_off(&mut self, brokers: &[i32]) {
        // What is written and not flushed by now is gone: the kernel has not yet written anything back.
        const WRITEBACK_MS: i64 = 3_600_000;
        let now = self.now;
        for broker in brokers {
            self.kill(*broker);
            let outputs = self.broker(*broker).lose_power(now, WRITEBACK_MS);
            self.emit(*broker, outputs);
        }
    }

    pub fn start(&mut self, broker: i32) {
        let now = self.now;
        self.down.remove(&broker);
        let outputs = self.broker(broker).restart(now);
        self.emit(broker, outputs);
    }

    pub fn pause(&mut self, broker: i32) {
        self.paused.entry(broker).or_default();
    }

    pub fn resume(&mut self, broker: i32) {
        for event in self.paused.remove(&broker).unwrap_or_default() {
            self.schedule(0, event);
        }
    }
}
