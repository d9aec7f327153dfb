//! A database server's node: sessions in, answers out, whatever role the server has at the moment.

use std::rc::Rc;

use futures::FutureExt;
use host::ports::store::{Statement, StoreError};
use host::store_host::tables::EVENTS;
use invariants::Fact;
use postgres::{CommittedTx, Output, WalAck};

use super::connections::{Connections, Muted};
use super::facts::tell_committed;
use super::follow::follow;
use super::troubles::Cut;
use super::{Database, Greeting, Request, Seat, Welcome, steady_ns};
use crate::nodes::deadline::Deadline;
use crate::world::network::{CallId, ConnectionId, Inbound, Payload};
use crate::world::node::Node;

/// A standby that owes its acknowledgement for so long leaves synchronous_standby_names.
const STANDBY_PATIENCE_NS: u64 = 10_000_000_000;
/// Between two tries of a server that comes back to be rewound to a leader that is not there.
const AGAIN_NS: u64 = 1_000_000_000;

/// Whether a transaction with this statement is a decision.
fn stores_an_event(statement: &Statement) -> bool {
    matches!(statement, Statement::Insert { table, .. } if table.name == EVENTS.name)
}

/// A server's process.
pub struct Serving {
    pub node: Node,
    pub database: Rc<Database>,
    seat: usize,
}

/// Runs the server of this seat.
pub async fn run(node: Node, database: Rc<Database>, seat: usize) {
    let serving = Rc::new(Serving { node: node.clone(), database, seat });
    *serving.seat().connections.borrow_mut() = Connections::default();
    serving.seat().undelivered.take();
    let mut out = Vec::new();
    if node.incarnation > 1 {
        serving.come_back(&mut out).await;
    }
    let mut follows = false;
    let mut deadline = Deadline::new(node.world.agenda.clone());
    loop {
        serving.assume_role(&mut out);
        if !serving.leads() && !std::mem::replace(&mut follows, true) {
            node.spawn(follow(serving.clone()));
        }
        serving.put_out(&mut out);
        serving.judge_standby(&mut out);
        deadline.set_in(serving.next_ns());
        futures::select_biased! {
            inbound = node.receive().fuse() => serving.take_in(inbound, &mut out),
            () = serving.seat().stirred.received().fuse() => out.extend(serving.seat().undelivered.take()),
            () = node.asked_to_stop().fuse() => return serving.shut_down(&mut out),
            () = deadline.passed().fuse() => serving.tick(&mut out),
        }
    }
}

impl Serving {
    pub fn seat(&self) -> &Seat {
        &self.database.seats[self.seat]
    }

    pub fn leads(&self) -> bool {
        self.database.leads(self.seat)
    }

    fn now(&self) -> u64 {
        steady_ns(&self.node.world)
    }

    /// Whether the server takes sessions: it does not recover.
    pub fn is_up(&self) -> bool {
        self.seat().disk.borrow().is_running()
    }

    /// What a new process finds on its disk, and what the cluster manager makes of it.
    async fn come_back(&self, out: &mut Vec<Output>) {
        self.seat().disk.borrow_mut().crash(out);
        while !self.leads() && !self.seat().disk.borrow().is_in_recovery() {
            if self.rewind_disk(out) {
                break;
            }
            self.put_out(out);
            let agenda = &self.node.world.agenda;
            agenda.alarm(agenda.elapsed() + AGAIN_NS).await;
        }
        self.seat().disk.borrow_mut().start(self.now());
    }

    /// A server that is down takes the leader's history, if the leader is there to give it.
    fn rewind_disk(&self, out: &mut Vec<Output>) -> bool {
        let (world, leader) = (&self.node.world, self.database.leader());
        let there = world.is_running(leader.node) && world.network.is_reachable(self.node.index, leader.node);
        if self.leads() || !there || leader.disk.borrow().is_in_recovery() {
            return false;
        }
        self.seat().disk.borrow_mut().rewind_to(&leader.disk.borrow(), out);
        true
    }

    /// A standby that cannot follow is made anew.
    pub fn rewind(&self) {
        let mut out = Vec::new();
        self.seat().disk.borrow_mut().crash(&mut out);
        self.rewind_disk(&mut out);
        self.seat().disk.borrow_mut().start(self.now());
        self.reset_all();
        self.put_out(&mut out);
        self.seat().stirred.send();
    }

    /// The cluster manager may have made this server the leader.
    fn assume_role(&self, out: &mut Vec<Output>) {
        let mut server = self.seat().disk.borrow_mut();
        if self.leads() && server.is_in_recovery() && server.is_running() {
            server.promote(self.now(), out);
        }
    }

    fn next_ns(&self) -> Option<u64> {
        let now = self.now();
        let server = self.seat().disk.borrow().next_deadline();
        let owed = self.seat().connections.borrow().owed_since.map(|since| since + STANDBY_PATIENCE_NS);
        [server, owed].into_iter().flatten().min().map(|due| due.saturating_sub(now))
    }

    fn tick(&self, out: &mut Vec<Output>) {
        self.seat().disk.borrow_mut().tick(self.now(), out);
    }

    fn take_in(&self, inbound: Inbound, out: &mut Vec<Output>) {
        let now = self.now();
        let mut connections = self.seat().connections.borrow_mut();
        let mut server = self.seat().disk.borrow_mut();
        server.set_clock(self.node.clock_ns() - self.node.world.now_ns());
        match inbound {
            Inbound::Opened { connection, .. } => match server.connect(now, connection) {
                Ok(()) => {
                    connections.open.insert(connection);
                }
                Err(error) => {
                    connections.refused.insert(connection, error);
                }
            },
            Inbound::Closed { connection } => {
                connections.refused.remove(&connection);
                connections.open.remove(&connection);
                if connections.standby == Some(connection) {
                    connections.standby = None;
                    server.standby_disconnected(now);
                }
                server.disconnected(now, connection, out);
            }
            Inbound::Call { connection, call, payload } => {
                drop((connections, server));
                self.take_call(connection, call, payload, out);
            }
        }
    }

    fn take_call(&self, connection: ConnectionId, call: CallId, payload: Payload, out: &mut Vec<Output>) {
        let Ok(request) = payload.downcast::<Request>() else { return };
        let network = &self.node.world.network;
        match *request {
            Request::Hello => network.reply(connection, call, Box::new(self.welcome(connection))),
            Request::Run(statements) => self.run_statements(connection, call, statements, out),
            Request::StartReplication(status) => {
                let answer = self.let_follow(connection, status, out);
                network.reply(connection, call, Box::new(answer));
            }
            Request::WalAck(ack) => self.acknowledged(ack, out),
        }
    }

    fn welcome(&self, connection: ConnectionId) -> Welcome {
        if let Some(error) = self.seat().connections.borrow().refused.get(&connection) {
            return Err(error.clone());
        }
        let server = self.seat().disk.borrow();
        Ok(Greeting { in_recovery: server.is_in_recovery(), timeline: server.timeline() })
    }

    fn run_statements(
        &self,
        connection: ConnectionId,
        call: CallId,
        statements: Vec<Statement>,
        out: &mut Vec<Output>,
    ) {
        let now = self.now();
        match self.seat().troubles.borrow_mut().cut(&statements) {
            Some(Cut::Before) => {
                self.node.world.network.reset(connection);
                self.seat().disk.borrow_mut().disconnected(now, connection, out);
                return;
            }
            Some(Cut::After) => {
                let muted = Muted { decides: statements.iter().any(stores_an_event) };
                self.seat().connections.borrow_mut().muted.insert((connection, call), muted);
            }
            None => {}
        }
        self.seat().disk.borrow_mut().run(now, connection, call, statements, out);
    }

    fn let_follow(
        &self,
        connection: ConnectionId,
        status: WalAck,
        out: &mut Vec<Output>,
    ) -> Result<(), StoreError> {
        self.seat().connections.borrow_mut().standby = Some(connection);
        self.seat().disk.borrow_mut().standby_connected(self.now(), status, out)?;
        self.note(status, out);
        Ok(())
    }

    fn acknowledged(&self, ack: WalAck, out: &mut Vec<Output>) {
        self.seat().disk.borrow_mut().wal_ack(self.now(), ack, out);
        self.note(ack, out);
    }

    /// A standby that has caught up is synchronous again.
    fn note(&self, ack: WalAck, out: &mut Vec<Output>) {
        let mut connections = self.seat().connections.borrow_mut();
        let mut server = self.seat().disk.borrow_mut();
        if ack.timeline != server.timeline() {
            return;
        }
        connections.acknowledged = ack.flushed;
        let wanted = server.wants_synchronous_standby();
        if wanted && self.leads() && !self.database.synchronous.get() && ack.flushed >= server.lsn() {
            self.database.synchronous.set(true);
            server.set_synchronous_standby(self.now(), true, out);
            self.node.tell("", &Fact::StandbyJoined { database: self.database.name.to_string() });
        }
    }

    /// The leader does not wait for ever for a standby that is dead.
    fn judge_standby(&self, out: &mut Vec<Output>) {
        let mut connections = self.seat().connections.borrow_mut();
        let mut server = self.seat().disk.borrow_mut();
        let owes = !server.is_in_recovery()
            && self.database.synchronous.get()
            && connections.acknowledged < server.lsn();
        if !owes || !self.leads() {
            connections.owed_since = None;
            return;
        }
        let now = self.now();
        let since = *connections.owed_since.get_or_insert(now);
        if now >= since + STANDBY_PATIENCE_NS {
            connections.owed_since = None;
            self.database.synchronous.set(false);
            server.set_synchronous_standby(now, false, out);
            self.node.tell("", &Fact::StandbyLeft { database: self.database.name.to_string() });
            self.seat().stirred.send();
        }
    }

    /// Carries what the server does to where it belongs.
    pub fn put_out(&self, out: &mut Vec<Output>) {
        // A cut connection ends a session, which can let others go on.
        while !out.is_empty() {
            for output in std::mem::take(out) {
                self.put(output, out);
            }
        }
    }

    fn put(&self, output: Output, more: &mut Vec<Output>) {
        let network = &self.node.world.network;
        let mut connections = self.seat().connections.borrow_mut();
        match output {
            Output::Reply { conn, call, result } => match connections.muted.remove(&(conn, call)) {
                Some(muted) => {
                    network.reset(conn);
                    self.seat().disk.borrow_mut().disconnected(self.now(), conn, more);
                    if muted.decides && result.is_ok() {
                        let database = self.database.name.to_string();
                        self.node.tell("", &Fact::CommitUnheard { database });
                    }
                }
                None => network.reply(conn, call, Box::new(result)),
            },
            Output::Notification { conn, channel } => network.push(conn, Box::new(channel)),
            Output::Closed { conn, .. } => {
                connections.open.remove(&conn);
                network.reset(conn);
            }
            Output::SendWal(record) => {
                // Without a standby's connection it stays in the log, and is sent when one starts.
                if let Some(standby) = connections.standby {
                    network.push(standby, Box::new(record));
                }
            }
            Output::AckWal(ack) => {
                if let Some(upstream) = &connections.upstream {
                    drop(upstream.call(Box::new(Request::WalAck(ack))));
                }
            }
            Output::CommittedTx(transaction) => {
                if self.database.told.borrow_mut().is_news(&transaction) {
                    tell_committed(&self.node, &self.database.name, &transaction);
                    self.doom(&transaction);
                }
            }
            Output::CommitLost(lost) => {
                self.database.told.borrow_mut().lost(&lost);
                if !self.database.doomed.borrow_mut().remove(&lost.transaction) {
                    self.tell_lost(lost.transaction);
                }
            }
            Output::Promoted { timeline, .. } => {
                connections.upstream = None;
                let database = self.database.name.to_string();
                self.node.tell("", &Fact::Promoted { database, timeline });
                self.take_over();
            }
            Output::Crashed { .. } => {
                drop(connections);
                let database = self.database.name.to_string();
                self.node.tell("", &Fact::ServerPanicked { database });
                self.reset_all();
            }
        }
    }

    /// What the old primary has told of and this server lacks is lost from now on, though the old one still shows it:
    /// streams go on from here.
    fn take_over(&self) {
        let Some(old) = self.database.follower() else { return };
        let lost = old.disk.borrow().lost_to(&self.seat().disk.borrow());
        for lost in lost {
            self.database.doomed.borrow_mut().insert(lost.transaction);
            self.tell_lost(lost.transaction);
        }
    }

    /// What an old primary commits after the promotion will not be there when it is rewound.
    fn doom(&self, transaction: &CommittedTx) {
        let leader = self.database.leader();
        if self.leads() || leader.disk.borrow().is_in_recovery() || leader.disk.borrow().has(transaction) {
            return;
        }
        self.database.doomed.borrow_mut().insert(transaction.transaction);
        self.tell_lost(transaction.transaction);
    }

    fn tell_lost(&self, transaction: u64) {
        let database = self.database.name.to_string();
        self.node.tell("", &Fact::CommitLost { database, transaction });
    }

    /// The process lives on, and no session does.
    fn reset_all(&self) {
        let gone = self.seat().connections.take();
        if let Some(upstream) = gone.upstream {
            upstream.close();
        }
        gone.open
            .into_iter()
            .chain(gone.refused.into_keys())
            .for_each(|conn| self.node.world.network.reset(conn));
    }

    /// A fast shutdown: what is under way rolls back, what is committed is flushed and sent.
    fn shut_down(&self, out: &mut Vec<Output>) {
        self.seat().disk.borrow_mut().shutdown(self.now(), out);
        self.put_out(out);
    }
}
