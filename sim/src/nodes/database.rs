//! The nodes of a database: a primary, and a standby that follows its log.

use std::cell::RefCell;
use std::rc::Rc;

use contracts::{Message, SCHEMA_VERSION, StoredEvent};
use futures::FutureExt;
use host::ports::store::{Statement, Value};
use invariants::Fact;
use invariants::fact::{Committed, EventRow, OutboxRow};
use postgres::{CommittedTx, Output, Server, StoredRow, WalAck, WalRecord};

use super::deadline::Deadline;
use crate::world::network::{ConnectionId, Inbound, Link, NodeIndex, Payload};
use crate::world::node::Node;

/// What a database server is asked over the network.
pub enum Request {
    Run(Vec<Statement>),
    /// A standby wants the log after what it has.
    StartReplication(WalAck),
    WalAck(WalAck),
}

/// A server's disk and memory.
pub type Disk = Rc<RefCell<Server>>;

/// Runs the primary of `database`.
pub async fn run_primary(node: Node, database: Rc<str>, disk: Disk) {
    let mut primary = Primary { node: node.clone(), database, disk: disk.clone(), standby: None };
    let mut out = Vec::new();
    if node.incarnation > 1 {
        let mut server = disk.borrow_mut();
        server.crash(&mut out);
        server.start(clock_ns(&node));
        server.ready(clock_ns(&node), &mut out);
    }
    let mut deadline = Deadline::new(node.world.agenda.clone());
    loop {
        out.drain(..).for_each(|output| primary.put_out(output));
        let now = clock_ns(&node);
        deadline.set_in(disk.borrow().next_deadline().map(|due| due.saturating_sub(now)));
        futures::select_biased! {
            inbound = node.receive().fuse() => primary.take_in(inbound, &mut out),
            () = node.asked_to_stop().fuse() => return,
            () = deadline.passed().fuse() => disk.borrow_mut().tick(clock_ns(&node), &mut out),
        }
    }
}

struct Primary {
    node: Node,
    database: Rc<str>,
    disk: Disk,
    standby: Option<ConnectionId>,
}

impl Primary {
    fn take_in(&mut self, inbound: Inbound, out: &mut Vec<Output>) {
        let now = clock_ns(&self.node);
        let mut server = self.disk.borrow_mut();
        match inbound {
            Inbound::Opened { connection, .. } => {
                // A server that is full or starting says so by closing.
                if server.connect(now, connection).is_err() {
                    self.node.world.network.reset(connection);
                }
            }
            Inbound::Closed { connection } if self.standby == Some(connection) => {
                self.standby = None;
                server.standby_disconnected(now);
            }
            Inbound::Closed { connection } => server.disconnected(now, connection, out),
            Inbound::Call { connection, call, payload } => match downcast(payload) {
                Some(Request::Run(statements)) => server.run(now, connection, call, statements, out),
                Some(Request::StartReplication(status)) => {
                    self.standby = Some(connection);
                    // A standby from before a gap in the log cannot follow: it has to be made anew.
                    if server.standby_connected(now, status, out).is_err() {
                        self.node.world.network.reset(connection);
                    }
                }
                Some(Request::WalAck(ack)) => server.wal_ack(now, ack, out),
                None => {}
            },
        }
    }

    fn put_out(&self, output: Output) {
        let network = &self.node.world.network;
        match output {
            Output::Reply { conn, call, result } => network.reply(conn, call, Box::new(result)),
            Output::Notification { conn, channel } => network.push(conn, Box::new(channel)),
            Output::Closed { conn, .. } => network.reset(conn),
            Output::SendWal(record) => {
                // Without a standby's connection it stays in the log, and is sent when one starts.
                if let Some(standby) = self.standby {
                    network.push(standby, Box::new(record));
                }
            }
            Output::AckWal(_) => unreachable!("a primary acknowledges no log"),
            Output::CommitLost(_) | Output::Promoted { .. } | Output::Crashed { .. } => {
                unreachable!("the disk is sound, and nobody fails over")
            }
            Output::CommittedTx(transaction) => self.tell_committed(&transaction),
        }
    }

    fn tell_committed(&self, transaction: &CommittedTx) {
        let committed = committed_fact(&self.database, transaction);
        // Leases, marks and positions change all the time and mean nothing outside the hosts.
        if committed.events.is_empty() && committed.outbox.is_empty() {
            return;
        }
        let cause = committed.events.first().map(|event| event.cause.clone());
        let cause = cause.or_else(|| committed.outbox.first().map(|row| row.headers.cause.clone()));
        self.node.tell(&cause.unwrap_or_default(), &Fact::Committed(committed));
    }
}

/// Runs the standby: follows the primary's log, answers reads.
pub async fn run_standby(node: Node, primary: NodeIndex, disk: Disk) {
    if node.incarnation > 1 {
        let mut server = disk.borrow_mut();
        server.crash(&mut Vec::new());
        server.start(clock_ns(&node));
        server.ready(clock_ns(&node), &mut Vec::new());
    }
    let follower = follow(node.clone(), primary, disk.clone());
    node.spawn(follower);
    loop {
        let inbound = node.receive().await;
        let mut out = Vec::new();
        let now = clock_ns(&node);
        match inbound {
            Inbound::Opened { connection, .. } => {
                if disk.borrow_mut().connect(now, connection).is_err() {
                    node.world.network.reset(connection);
                }
            }
            Inbound::Closed { connection } => disk.borrow_mut().disconnected(now, connection, &mut out),
            Inbound::Call { connection, call, payload } => {
                if let Some(Request::Run(statements)) = downcast(payload) {
                    disk.borrow_mut().run(now, connection, call, statements, &mut out);
                }
            }
        }
        for output in out {
            if let Output::Reply { conn, call, result } = output {
                node.world.network.reply(conn, call, Box::new(result));
            }
        }
    }
}

/// Receives the log, applies it and acknowledges; connects again when the primary is gone.
async fn follow(node: Node, primary: NodeIndex, disk: Disk) {
    loop {
        if let Ok(link) = node.world.network.connect(node.index, primary).await {
            let status = disk.borrow().wal_status();
            drop(link.call(Box::new(Request::StartReplication(status))));
            while let Ok(record) = link.pushed().await {
                apply(&node, &disk, &link, record);
            }
        }
        let agenda = &node.world.agenda;
        agenda.alarm(agenda.elapsed() + 1_000_000_000).await;
    }
}

fn apply(node: &Node, disk: &Disk, link: &Link, record: Payload) {
    let record = *record.downcast::<WalRecord>().expect("a primary pushes its log to a standby");
    let mut out = Vec::new();
    disk.borrow_mut().wal(clock_ns(node), record, &mut out);
    for output in out {
        if let Output::AckWal(ack) = output {
            drop(link.call(Box::new(Request::WalAck(ack))));
        }
    }
}

fn downcast(payload: Payload) -> Option<Request> {
    payload.downcast().ok().map(|request| *request)
}

fn clock_ns(node: &Node) -> u64 {
    u64::try_from(node.clock_ns()).expect("runs take place after 1970")
}

fn committed_fact(database: &str, transaction: &CommittedTx) -> Committed {
    let events = transaction.inserted("events").map(|row| event_row(database, row)).collect();
    let outbox = transaction.inserted("outbox").map(|row| outbox_row(database, row)).collect();
    let others =
        transaction.changes.iter().filter(|change| !matches!(change.table.name, "events" | "outbox"));
    Committed {
        database: database.to_owned(),
        transaction: transaction.transaction,
        database_time_ns: i64::try_from(transaction.now_ns).expect("runs end before the year 2262"),
        events,
        outbox,
        rows: u32::try_from(others.count()).expect("a transaction writes fewer than 2^32 rows"),
    }
}

fn event_row(database: &str, row: &StoredRow) -> EventRow {
    let payload = row[2].as_bytes().clone();
    EventRow {
        stream: row[0].as_text().to_owned(),
        version: row[1].as_int().unsigned_abs(),
        cause: row[3].as_text().to_owned(),
        event: StoredEvent::decode(database, payload.clone()).ok(),
        payload,
    }
}

fn outbox_row(database: &str, row: &[Value]) -> OutboxRow {
    let headers = contracts::Headers {
        source: format!("{database}/{}", row[1].as_text()),
        sequence: row[3].as_int().unsigned_abs(),
        event_id: row[6].as_text().to_owned(),
        cause: row[7].as_text().to_owned(),
        trade_date: row[8].as_text().to_owned(),
        schema_version: SCHEMA_VERSION,
    };
    let topic = row[2].as_text();
    OutboxRow {
        topic: topic.to_owned(),
        key: row[4].as_text().to_owned(),
        headers,
        message: Message::decode(topic, row[5].as_bytes().clone()).ok(),
    }
}
