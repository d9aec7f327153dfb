//! Two servers, the clock, and a network without latency: what the bench's sessions talk to.

use std::collections::{BTreeMap, VecDeque};

use futures::channel::{mpsc, oneshot};
use host::ports::store::{Reply, Statement, StoreError};
use postgres::{Output, Server, ServerRole, Settings, SynchronousCommit, WalRecord};
use store_suite::{Node, SessionNumber, Setup, tables};

const FOR_EVER_NS: u64 = u64::MAX / 4;

type Answer = Result<Vec<Reply>, StoreError>;

struct Connection {
    node: Node,
    number: SessionNumber,
    notifications: mpsc::UnboundedSender<&'static str>,
    /// What the client sends stays on its way.
    muted: bool,
}

pub struct Servers {
    nodes: [Server; 2],
    pub now_ns: u64,
    connections: BTreeMap<u64, Connection>,
    calls: BTreeMap<u64, (u64, oneshot::Sender<Answer>)>,
    /// Whence the log flows, if it does.
    link: Option<Node>,
    hold_log: bool,
    /// Of the first node.
    pub hold_recovery: bool,
    log: VecDeque<WalRecord>,
    last: u64,
    pub last_closing: Option<&'static str>,
}

fn index(node: Node) -> usize {
    match node {
        Node::First => 0,
        Node::Second => 1,
    }
}

fn other(node: Node) -> Node {
    match node {
        Node::First => Node::Second,
        Node::Second => Node::First,
    }
}

fn settings(setup: Setup) -> Settings {
    Settings {
        synchronous_commit: match setup.synchronous_commit {
            store_suite::SynchronousCommit::Off => SynchronousCommit::Off,
            store_suite::SynchronousCommit::Local => SynchronousCommit::Local,
            store_suite::SynchronousCommit::RemoteWrite => SynchronousCommit::RemoteWrite,
            store_suite::SynchronousCommit::On => SynchronousCommit::On,
            store_suite::SynchronousCommit::RemoteApply => SynchronousCommit::RemoteApply,
        },
        max_connections: setup.max_connections as usize,
        deadlock_timeout_ms: setup.deadlock_timeout_ms,
        lock_timeout_ms: setup.lock_timeout_ms,
        idle_in_transaction_session_timeout_ms: setup.idle_in_transaction_session_timeout_ms,
        statement_timeout_ms: setup.statement_timeout_ms,
        wal_writer_delay_ms: setup.wal_writer_delay_ms,
        sequence_cache: setup.sequence_cache,
        max_standby_streaming_delay_ms: 0,
        ..Settings::default()
    }
}

impl Servers {
    pub fn new(setup: Setup) -> Self {
        let settings = settings(setup);
        let server = |role| Server::new(settings.clone(), role, tables::ALL.to_vec());
        Self {
            nodes: [server(ServerRole::Primary), server(ServerRole::Standby)],
            now_ns: 1_750_000_000_000_000_000,
            connections: BTreeMap::new(),
            calls: BTreeMap::new(),
            link: Some(Node::First),
            hold_log: false,
            hold_recovery: false,
            log: VecDeque::new(),
            last: 0,
            last_closing: None,
        }
    }

    pub fn server(&self, node: Node) -> &Server {
        &self.nodes[index(node)]
    }

    /// Log flows, and the servers will agree.
    pub fn is_linked(&self) -> bool {
        self.link.is_some()
    }

    pub fn connect(
        &mut self,
        node: Node,
        number: SessionNumber,
    ) -> Result<(u64, mpsc::UnboundedReceiver<&'static str>), StoreError> {
        self.last += 1;
        let conn = self.last;
        self.nodes[index(node)].connect(self.now_ns, conn)?;
        let (notifications, receiver) = mpsc::unbounded();
        self.connections.insert(conn, Connection { node, number, notifications, muted: false });
        Ok((conn, receiver))
    }

    /// The answer, or nothing if the connection breaks before it comes.
    pub fn run(&mut self, conn: u64, statements: Vec<Statement>) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        let Some(connection) = self.connections.get(&conn) else {
            // The receiver finds that nobody will answer.
            return receiver;
        };
        self.last += 1;
        let call = self.last;
        self.calls.insert(call, (conn, sender));
        if !connection.muted {
            self.act(connection.node, |server, now_ns, out| server.run(now_ns, conn, call, statements, out));
        }
        receiver
    }

    pub fn is_connected(&self, conn: u64) -> bool {
        self.connections.contains_key(&conn)
    }

    /// The client has gone.
    pub fn disconnect(&mut self, conn: u64) {
        if let Some(connection) = self.connections.remove(&conn) {
            self.calls.retain(|_, (of, _)| *of != conn);
            self.act(connection.node, |server, now_ns, out| server.disconnected(now_ns, conn, out));
        }
    }

    pub fn act(&mut self, node: Node, act: impl FnOnce(&mut Server, u64, &mut Vec<Output>)) {
        let mut out = Vec::new();
        act(&mut self.nodes[index(node)], self.now_ns, &mut out);
        self.deliver(node, out);
    }

    /// On the node that this session is on.
    pub fn act_on_session(
        &mut self,
        number: SessionNumber,
        act: impl FnOnce(&mut Server, u64, u64, &mut Vec<Output>),
    ) {
        let found = self.connections.iter().find(|(_, connection)| connection.number == number);
        let Some((conn, node)) = found.map(|(conn, connection)| (*conn, connection.node)) else { return };
        self.act(node, |server, now_ns, out| act(server, now_ns, conn, out));
    }

    pub fn mute(&mut self, number: SessionNumber) {
        let connection = self.connections.values_mut().find(|connection| connection.number == number);
        connection.expect("a session").muted = true;
    }

    pub fn next_deadline(&self) -> Option<u64> {
        self.moving().into_iter().filter_map(|node| self.server(node).next_deadline()).min()
    }

    /// Whatever is due by now happens.
    pub fn tick(&mut self) {
        for node in self.moving() {
            self.act(node, Server::tick);
        }
        self.connect_standby();
    }

    /// Nodes for which time passes.
    fn moving(&self) -> Vec<Node> {
        let held = self.hold_recovery && !self.server(Node::First).is_running();
        if held { vec![Node::Second] } else { vec![Node::First, Node::Second] }
    }

    pub fn hold_log(&mut self, hold: bool) {
        self.hold_log = hold;
        self.carry_log();
    }

    pub fn hold_flush(&mut self, hold: bool) {
        let delay_ns = if hold { FOR_EVER_NS } else { 0 };
        self.act(Node::Second, |server, _, _| server.set_flush_delay(delay_ns));
    }

    pub fn hold_replay(&mut self, hold: bool) {
        let delay_ns = if hold { FOR_EVER_NS } else { 0 };
        self.act(Node::Second, |server, now_ns, out| server.set_replay_delay(now_ns, delay_ns, out));
    }

    /// The process ends, in whichever way, and with it everything that it was connected to.
    pub fn goes_down(&mut self, node: Node, act: impl FnOnce(&mut Server, u64, &mut Vec<Output>)) {
        self.act(node, act);
        self.reset(node);
    }

    /// All connections of the node break, that to the other node among them.
    fn reset(&mut self, node: Node) {
        let gone: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.node == node)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in gone {
            self.connections.remove(&conn);
            self.calls.retain(|_, (of, _)| *of != conn);
        }
        if let Some(source) = self.link.take() {
            self.nodes[index(source)].standby_disconnected(self.now_ns);
        }
        self.log.clear();
    }

    pub fn start(&mut self, node: Node) {
        self.nodes[index(node)].start(self.now_ns);
    }

    pub fn promote(&mut self) {
        if let Some(source) = self.link.take() {
            self.nodes[index(source)].standby_disconnected(self.now_ns);
        }
        self.log.clear();
        self.act(Node::Second, |server, now_ns, out| {
            server.promote(now_ns, out);
        });
    }

    pub fn rewind(&mut self) {
        let [first, second] = &mut self.nodes;
        let mut out = Vec::new();
        first.rewind_to(second, &mut out);
        first.start(self.now_ns);
        self.deliver(Node::First, out);
    }

    /// A standby that runs and is not connected asks for the log.
    fn connect_standby(&mut self) {
        if self.link.is_some() {
            return;
        }
        let standby =
            [Node::First, Node::Second].into_iter().find(|node| self.server(*node).is_in_recovery());
        let Some(source) = standby.map(other) else { return };
        let status = self.server(other(source)).wal_status();
        let mut connected = false;
        self.act(source, |server, now_ns, out| {
            connected = server.standby_connected(now_ns, status, out).is_ok();
        });
        self.link = connected.then_some(source);
        self.carry_log();
    }

    fn deliver(&mut self, node: Node, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Reply { call, result, .. } => {
                    if let Some((_, sender)) = self.calls.remove(&call) {
                        // Nobody listens where the client has given the call up.
                        sender.send(result).ok();
                    }
                }
                Output::Notification { conn, channel } => {
                    if let Some(connection) = self.connections.get(&conn) {
                        connection.notifications.unbounded_send(channel).ok();
                    }
                }
                Output::Closed { conn, sqlstate } => {
                    self.last_closing = Some(sqlstate);
                    self.connections.remove(&conn);
                    self.calls.retain(|_, (of, _)| *of != conn);
                }
                Output::SendWal(record) => self.log.push_back(record),
                Output::AckWal(ack) => {
                    if let Some(source) = self.link.filter(|source| *source != node) {
                        self.act(source, |server, now_ns, out| server.wal_ack(now_ns, ack, out));
                    }
                }
                Output::Crashed { .. } => self.reset(node),
                Output::CommittedTx(_) | Output::CommitLost(_) | Output::Promoted { .. } => {}
            }
        }
        self.carry_log();
    }

    fn carry_log(&mut self) {
        while let (false, Some(source)) = (self.hold_log, self.link)
            && let Some(record) = self.log.pop_front()
        {
            self.act(other(source), |server, now_ns, out| server.wal(now_ns, record, out));
        }
    }
}
