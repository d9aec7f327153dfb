//! The network: connections between nodes, in order per direction, with a verdict per link.
//!
//! Fakes: TCP connections that carry whole messages: requests with their answers, and pushes. Latency is
//! drawn per message; a connection keeps its order; a dead process refuses or resets, a machine without power is
//! silent; link faults ([`rules`]) judge each message when it is sent and again when it arrives.
//! Omits: segments, congestion, name resolution, TLS, sizes (a thin link counts messages). Messages are passed by
//! value, not as bytes, except where the protocol itself carries bytes (record batches, HTTP bodies).

mod delivery;
mod ends;
mod faults;
pub mod rules;

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::{Poll, Waker};

pub use self::ends::{Link, Receive, Reply};
use self::rules::Rules;
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

/// One-way latency of a link without faults, drawn per message.
#[derive(Clone, Debug)]
pub struct Links {
    pub base_ns: u64,
    pub jitter_ns: u64,
}

/// Makes a request that may be repeated a second time.
pub type Again = fn(&Payload) -> Payload;

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
        again: Option<Again>,
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
    /// Messages that wait in each direction for a fault to end.
    stalled_to_server: u32,
    stalled_to_client: u32,
    /// The process at this end is gone; another one may be there now, which knows nothing of the connection.
    client_gone: bool,
    server_gone: bool,
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

/// What is at the other end of a link.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Presence {
    /// The machine runs, and nobody listens: its kernel refuses and resets.
    #[default]
    Down,
    Up,
    /// The machine is off: silence.
    Dark,
}

/// A message that cannot pass for now.
struct Stalled {
    since: Elapsed,
    message: Message,
}

#[derive(Default)]
struct Mailbox {
    presence: Presence,
    inbound: VecDeque<Inbound>,
    waker: Option<Waker>,
}

struct Inner {
    rules: Rules,
    rng: Rng,
    mailboxes: Vec<Mailbox>,
    connections: BTreeMap<ConnectionId, Connection>,
    in_flight: BTreeMap<u64, Message>,
    /// In the order of sending.
    stalled: Vec<Stalled>,
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
    pub fn new(agenda: Rc<Agenda>, links: &Links, rng: Rng) -> Rc<Self> {
        let inner = Inner {
            rules: Rules::new(links.base_ns, links.jitter_ns),
            rng,
            mailboxes: Vec::new(),
            connections: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            stalled: Vec::new(),
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
            stalled_to_server: 0,
            stalled_to_client: 0,
            client_gone: false,
            server_gone: false,
            opener: None,
            calls: BTreeMap::new(),
            pushes: VecDeque::new(),
            push_waker: None,
        }
    }

    fn stalled(&mut self, to_server: bool) -> &mut u32 {
        if to_server { &mut self.stalled_to_server } else { &mut self.stalled_to_client }
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

    fn is_to_server(&self) -> bool {
        match self {
            Self::Open { .. } | Self::Call { .. } => true,
            Self::Opened { .. } | Self::Refused { .. } | Self::Reply { .. } | Self::Push { .. } => false,
            Self::Close { to_server, .. } => *to_server,
        }
    }
}
