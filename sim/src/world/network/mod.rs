//! The network: connections between nodes, in order per direction, with a verdict per link.
//!
//! Fakes: TCP connections that carry whole messages: requests with their answers, and pushes. Latency is
//! drawn per message; a connection keeps its order; a dead process refuses or resets.
//! Omits: segments, congestion, bandwidth, name resolution, TLS. Messages are passed by value, not as bytes,
//! except where the protocol itself carries bytes (record batches, HTTP bodies).

mod ends;

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::{Poll, Waker};

pub use self::ends::{Link, Receive, Reply};
use super::agenda::{Agenda, Elapsed};
use super::rng::Rng;

/// Index of a node in the world.
pub type NodeIndex = usize;
pub type ConnectionId = u64;
pub type CallId = u64;
pub type Payload = Box<dyn Any>;

/// The other side is gone, or was never there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    Refused,
    Reset,
}

/// What a server meets on its connections.
pub enum Inbound {
    Opened { connection: ConnectionId, from: NodeIndex },
    Call { connection: ConnectionId, call: CallId, payload: Payload },
    Closed { connection: ConnectionId },
}

/// How a message fares on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Deliver { after_ns: u64 },
}

/// One-way latency of a link, drawn per message. The place where link faults take hold.
#[derive(Clone, Debug)]
pub struct Links {
    pub base_ns: u64,
    pub jitter_ns: u64,
}

impl Links {
    fn verdict(&self, _from: NodeIndex, _to: NodeIndex, rng: &mut Rng) -> Verdict {
        Verdict::Deliver { after_ns: self.base_ns + rng.below(self.jitter_ns + 1) }
    }
}

enum Message {
    Open {
        connection: ConnectionId,
    },
    Opened {
        connection: ConnectionId,
    },
    Refused {
        connection: ConnectionId,
    },
    Call {
        connection: ConnectionId,
        call: CallId,
        payload: Payload,
    },
    Reply {
        connection: ConnectionId,
        call: CallId,
        payload: Payload,
    },
    Push {
        connection: ConnectionId,
        payload: Payload,
    },
    /// Tells the server (or the client) that its peer is gone.
    Close {
        connection: ConnectionId,
        to_server: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    Refused,
    Broken,
}

struct Connection {
    client: NodeIndex,
    server: NodeIndex,
    state: State,
    last_to_server: Elapsed,
    last_to_client: Elapsed,
    opener: Option<Waker>,
    calls: BTreeMap<CallId, Call>,
    pushes: VecDeque<Payload>,
    push_waker: Option<Waker>,
}

#[derive(Default)]
struct Call {
    answer: Option<Payload>,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Mailbox {
    up: bool,
    inbound: VecDeque<Inbound>,
    waker: Option<Waker>,
}

struct Inner {
    links: Links,
    rng: Rng,
    mailboxes: Vec<Mailbox>,
    connections: BTreeMap<ConnectionId, Connection>,
    in_flight: BTreeMap<u64, Message>,
    next_connection: ConnectionId,
    next_call: CallId,
    next_message: u64,
}

/// The network of one run.
pub struct Network {
    agenda: Rc<Agenda>,
    inner: RefCell<Inner>,
}

impl Network {
    pub fn new(agenda: Rc<Agenda>, links: Links, rng: Rng) -> Rc<Self> {
        let inner = Inner {
            links,
            rng,
            mailboxes: Vec::new(),
            connections: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            next_connection: 1,
            next_call: 1,
            next_message: 1,
        };
        Rc::new(Self { agenda, inner: RefCell::new(inner) })
    }

    /// Messages sent so far.
    pub fn messages(&self) -> u64 {
        self.inner.borrow().next_message - 1
    }

    pub fn add_node(&self) -> NodeIndex {
        let mut inner = self.inner.borrow_mut();
        inner.mailboxes.push(Mailbox::default());
        inner.mailboxes.len() - 1
    }

    /// The process of the node listens from now on.
    pub fn up(&self, node: NodeIndex) {
        let mut inner = self.inner.borrow_mut();
        inner.mailboxes[node].up = true;
        inner.mailboxes[node].inbound.clear();
    }

    /// The process is gone: its peers are told, as a kernel would tell them.
    pub fn down(&self, node: NodeIndex) {
        let mut inner = self.inner.borrow_mut();
        inner.mailboxes[node].up = false;
        inner.mailboxes[node].inbound.clear();
        let touched: Vec<(ConnectionId, bool)> = inner
            .connections
            .iter()
            .filter(|(_, connection)| connection.client == node || connection.server == node)
            .map(|(id, connection)| (*id, connection.client == node))
            .collect();
        for (connection, was_client) in touched {
            self.send(&mut inner, Message::Close { connection, to_server: was_client }, was_client);
        }
    }

    /// Opens a connection: one round trip.
    pub async fn connect(self: &Rc<Self>, client: NodeIndex, server: NodeIndex) -> Result<Link, Broken> {
        let id = {
            let mut inner = self.inner.borrow_mut();
            let id = inner.next_connection;
            inner.next_connection += 1;
            inner.connections.insert(id, Connection::new(client, server));
            self.send(&mut inner, Message::Open { connection: id }, true);
            id
        };
        let link = Link { network: self.clone(), id };
        std::future::poll_fn(|context| {
            let mut inner = self.inner.borrow_mut();
            let Some(connection) = inner.connections.get_mut(&id) else {
                return Poll::Ready(Err(Broken::Reset));
            };
            match connection.state {
                State::Opening => {
                    connection.opener = Some(context.waker().clone());
                    Poll::Pending
                }
                State::Open => Poll::Ready(Ok(())),
                State::Refused => Poll::Ready(Err(Broken::Refused)),
                State::Broken => Poll::Ready(Err(Broken::Reset)),
            }
        })
        .await?;
        Ok(link)
    }

    /// The next thing that reaches the node's process.
    pub fn receive(self: &Rc<Self>, node: NodeIndex) -> Receive {
        Receive { network: self.clone(), node }
    }

    /// Answers a call. Too late, or on a broken connection, it is nothing.
    pub fn reply(&self, connection: ConnectionId, call: CallId, payload: Payload) {
        let mut inner = self.inner.borrow_mut();
        if inner.is_open(connection) {
            self.send(&mut inner, Message::Reply { connection, call, payload }, false);
        }
    }

    /// Sends the client something that it did not ask for.
    pub fn push(&self, connection: ConnectionId, payload: Payload) {
        let mut inner = self.inner.borrow_mut();
        if inner.is_open(connection) {
            self.send(&mut inner, Message::Push { connection, payload }, false);
        }
    }

    /// The server breaks a connection.
    pub fn reset(&self, connection: ConnectionId) {
        let mut inner = self.inner.borrow_mut();
        if inner.is_open(connection) {
            self.send(&mut inner, Message::Close { connection, to_server: false }, false);
        }
    }

    fn send(&self, inner: &mut Inner, message: Message, to_server: bool) {
        let id = message.connection();
        let now = self.agenda.elapsed();
        let Inner { links, rng, connections, .. } = inner;
        let Some(connection) = connections.get_mut(&id) else { return };
        let (from, to) = connection.ends(to_server);
        let Verdict::Deliver { after_ns } = links.verdict(from, to, rng);
        let last = if to_server { &mut connection.last_to_server } else { &mut connection.last_to_client };
        let due = (now + after_ns).max(*last + 1);
        *last = due;
        let number = inner.next_message;
        inner.next_message += 1;
        inner.in_flight.insert(number, message);
        self.agenda.schedule_delivery(due, number);
    }

    /// Called by the pump when a message is due.
    pub fn deliver(&self, number: u64) {
        let mut inner = self.inner.borrow_mut();
        let Some(message) = inner.in_flight.remove(&number) else { return };
        let waker = match message {
            Message::Open { connection } => self.deliver_open(&mut inner, connection),
            Message::Opened { connection } => inner.settle_opening(connection, State::Open),
            Message::Refused { connection } => inner.settle_opening(connection, State::Refused),
            Message::Call { connection, call, payload } => {
                self.deliver_to_server(&mut inner, connection, Inbound::Call { connection, call, payload })
            }
            Message::Reply { connection, call, payload } => inner.deliver_reply(connection, call, payload),
            Message::Push { connection, payload } => inner.deliver_push(connection, payload),
            Message::Close { connection, to_server: true } => {
                let waker = self.deliver_to_server(&mut inner, connection, Inbound::Closed { connection });
                inner.connections.remove(&connection);
                waker
            }
            Message::Close { connection, to_server: false } => {
                let wakers = inner.break_client_side(connection);
                drop(inner);
                wakers.into_iter().for_each(Waker::wake);
                return;
            }
        };
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn deliver_open(&self, inner: &mut Inner, connection: ConnectionId) -> Option<Waker> {
        let (from, server) = inner.connections.get(&connection)?.ends(true);
        if !inner.mailboxes[server].up {
            self.send(inner, Message::Refused { connection }, false);
            return None;
        }
        self.send(inner, Message::Opened { connection }, false);
        inner.mailboxes[server].put(Inbound::Opened { connection, from })
    }

    fn deliver_to_server(&self, inner: &mut Inner, connection: ConnectionId, what: Inbound) -> Option<Waker> {
        let (_, server) = inner.connections.get(&connection)?.ends(true);
        if !inner.mailboxes[server].up {
            self.send(inner, Message::Close { connection, to_server: false }, false);
            return None;
        }
        inner.mailboxes[server].put(what)
    }
}

impl Inner {
    fn is_open(&self, connection: ConnectionId) -> bool {
        self.connections
            .get(&connection)
            .is_some_and(|connection| matches!(connection.state, State::Open | State::Opening))
    }

    fn settle_opening(&mut self, connection: ConnectionId, state: State) -> Option<Waker> {
        let connection = self.connections.get_mut(&connection)?;
        connection.state = state;
        connection.opener.take()
    }

    fn deliver_reply(&mut self, connection: ConnectionId, call: CallId, payload: Payload) -> Option<Waker> {
        let call = self.connections.get_mut(&connection)?.calls.get_mut(&call)?;
        call.answer = Some(payload);
        call.waker.take()
    }

    fn deliver_push(&mut self, connection: ConnectionId, payload: Payload) -> Option<Waker> {
        let connection = self.connections.get_mut(&connection)?;
        connection.pushes.push_back(payload);
        connection.push_waker.take()
    }

    fn break_client_side(&mut self, connection: ConnectionId) -> Vec<Waker> {
        let Some(connection) = self.connections.get_mut(&connection) else { return Vec::new() };
        connection.state = State::Broken;
        let calls = connection.calls.values_mut().filter_map(|call| call.waker.take());
        calls.chain(connection.opener.take()).chain(connection.push_waker.take()).collect()
    }
}

impl Mailbox {
    fn put(&mut self, what: Inbound) -> Option<Waker> {
        self.inbound.push_back(what);
        self.waker.take()
    }
}

impl Connection {
    fn new(client: NodeIndex, server: NodeIndex) -> Self {
        Self {
            client,
            server,
            state: State::Opening,
            last_to_server: 0,
            last_to_client: 0,
            opener: None,
            calls: BTreeMap::new(),
            pushes: VecDeque::new(),
            push_waker: None,
        }
    }

    fn ends(&self, to_server: bool) -> (NodeIndex, NodeIndex) {
        if to_server { (self.client, self.server) } else { (self.server, self.client) }
    }
}

impl Message {
    fn connection(&self) -> ConnectionId {
        match self {
            Self::Open { connection }
            | Self::Opened { connection }
            | Self::Refused { connection }
            | Self::Call { connection, .. }
            | Self::Reply { connection, .. }
            | Self::Push { connection, .. }
            | Self::Close { connection, .. } => *connection,
        }
    }
}
