//! A primary, a synchronous standby, and a network without latency that can hold back the log.

use std::collections::{BTreeMap, VecDeque};

use host::ports::store::{
    Column, Index, Isolation, Key, LockMode, LockWait, OnConflict, Reply, Row, Scan, Statement, StoreError,
    Table, Value,
};
use postgres::{CommitLost, CommittedTx, Lsn, Output, Server, ServerRole, Settings, Told, WalAck, WalRecord};

pub static ACCOUNTS: Table = Table {
    name: "accounts",
    columns: &[Column::int("id"), Column::int("version"), Column::int("balance")],
    key: 1,
    serial: false,
    indexes: &[],
};

pub static EVENTS: Table = Table {
    name: "events",
    columns: &[Column::text("stream"), Column::int("version"), Column::text("payload")],
    key: 2,
    serial: false,
    indexes: &[],
};

pub static OUTBOX: Table = Table {
    name: "outbox",
    columns: &[Column::int("id"), Column::text("stream"), Column::int("sequence"), Column::int("sent")],
    key: 1,
    serial: true,
    indexes: &[
        Index { name: "outbox_unsent", columns: &[1, 2], only_where: Some((3, 0)), unique: false },
        Index { name: "outbox_stream", columns: &[1, 2], only_where: None, unique: true },
    ],
};

pub type Answer = Result<Vec<Reply>, StoreError>;

pub struct World {
    pub primary: Server,
    pub standby: Server,
    pub now_ns: u64,
    pub answers: BTreeMap<u64, Answer>,
    pub committed: Vec<CommittedTx>,
    pub notified: Vec<(u64, &'static str)>,
    pub closed: Vec<(u64, &'static str)>,
    /// Commits told of, and gone.
    pub lost: Vec<CommitLost>,
    pub recovery_ns: Option<u64>,
    told: Told,
    /// While true, the log stays on its way to the standby.
    pub hold_log: bool,
    /// On its way to the standby.
    pub log: VecDeque<WalRecord>,
    last_conn: u64,
    last_call: u64,
}

impl World {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let tables = || vec![&ACCOUNTS, &EVENTS, &OUTBOX];
        Self {
            primary: Server::new(settings.clone(), ServerRole::Primary, tables()),
            standby: Server::new(settings, ServerRole::Standby, tables()),
            now_ns: 1_750_000_000_000_000_000,
            answers: BTreeMap::new(),
            committed: Vec::new(),
            notified: Vec::new(),
            closed: Vec::new(),
            lost: Vec::new(),
            recovery_ns: None,
            told: Told::default(),
            hold_log: false,
            log: VecDeque::new(),
            last_conn: 0,
            last_call: 0,
        }
    }

    /// With accounts 1 to `count`, each at version 0 with a balance of 100.
    pub fn with_accounts(count: i64) -> Self {
        let mut world = Self::new();
        let rows: Vec<Row> = (1..=count).map(|id| account(id, 0, 100)).collect();
        world.primary.seed(&ACCOUNTS, rows.clone());
        world.standby.seed(&ACCOUNTS, rows);
        world
    }

    pub fn session(&mut self) -> u64 {
        self.last_conn += 1;
        self.primary.connect(self.now_ns, self.last_conn).expect("a connection");
        self.last_conn
    }

    pub fn start(&mut self, conn: u64, statements: Vec<Statement>) -> u64 {
        self.last_call += 1;
        let mut out = Vec::new();
        self.primary.run(self.now_ns, conn, self.last_call, statements, &mut out);
        self.deliver(out);
        self.last_call
    }

    /// A call that is answered at once, without error.
    #[track_caller]
    pub fn ok(&mut self, conn: u64, statements: Vec<Statement>) -> Vec<Reply> {
        let call = self.start(conn, statements);
        self.answer(call).expect("no error")
    }

    /// A call that is answered at once with this SQLSTATE.
    #[track_caller]
    pub fn err(&mut self, conn: u64, statements: Vec<Statement>, expected: &str) {
        let call = self.start(conn, statements);
        assert_eq!(self.sqlstate(call), expected);
    }

    /// A call that has to wait.
    #[track_caller]
    pub fn waits(&mut self, conn: u64, statements: Vec<Statement>) -> u64 {
        let call = self.start(conn, statements);
        assert!(!self.answers.contains_key(&call), "answered: {:?}", self.answers[&call]);
        call
    }

    pub fn is_waiting(&self, call: u64) -> bool {
        !self.answers.contains_key(&call)
    }

    #[track_caller]
    pub fn answer(&mut self, call: u64) -> Answer {
        self.answers.remove(&call).expect("the call is answered")
    }

    #[track_caller]
    pub fn sqlstate(&mut self, call: u64) -> &'static str {
        match self.answer(call) {
            Err(StoreError::Database { sqlstate, .. }) => sqlstate,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub fn disconnect(&mut self, conn: u64) {
        let mut out = Vec::new();
        self.primary.disconnected(self.now_ns, conn, &mut out);
        self.deliver(out);
    }

    pub fn advance_ms(&mut self, ms: u64) {
        self.now_ns += ms * 1_000_000;
        let mut out = Vec::new();
        self.primary.tick(self.now_ns, &mut out);
        self.deliver(out);
        let mut out = Vec::new();
        self.standby.tick(self.now_ns, &mut out);
        self.deliver(out);
    }

    /// One thing that is done to the primary.
    pub fn primary(&mut self, act: impl FnOnce(&mut Server, u64, &mut Vec<Output>)) {
        let mut out = Vec::new();
        act(&mut self.primary, self.now_ns, &mut out);
        self.deliver(out);
    }

    /// The standby is promoted; from now on it is the primary, and the old one is down in its place.
    pub fn fail_over(&mut self) -> u32 {
        self.primary(|server, _, out| server.crash(out));
        std::mem::swap(&mut self.primary, &mut self.standby);
        self.log.clear();
        let mut timeline = 0;
        self.primary(|server, now_ns, out| timeline = server.promote(now_ns, out));
        timeline
    }

    /// What is down in the standby's place becomes one, and follows.
    pub fn rewind_standby(&mut self) {
        let mut out = Vec::new();
        self.standby.rewind_to(&self.primary, &mut out);
        self.standby.start(self.now_ns);
        self.standby.ready(self.now_ns, &mut out);
        self.deliver(out);
        self.reconnect_standby();
    }

    /// Lets the log through again.
    pub fn release_log(&mut self) {
        self.hold_log = false;
        self.deliver(Vec::new());
    }

    /// The standby connects again after a break.
    pub fn reconnect_standby(&mut self) {
        self.log.clear();
        let mut out = Vec::new();
        let received = self.standby.lsn();
        let status = self.standby.wal_status();
        self.primary.standby_connected(self.now_ns, status, &mut out).expect("the log is kept");
        let first = out.iter().find_map(|output| match output {
            Output::SendWal(record) => Some(record.lsn),
            _ => None,
        });
        assert!(first.is_none_or(|first| first == Lsn(received.0 + 1)), "sent again: {first:?}");
        self.deliver(out);
    }

    pub fn deliver(&mut self, out: Vec<Output>) {
        let mut todo = VecDeque::from(out);
        loop {
            while let Some(output) = todo.pop_front() {
                match output {
                    Output::Reply { call, result, .. } => {
                        assert!(self.answers.insert(call, result).is_none(), "one answer per call");
                    }
                    Output::Notification { conn, channel } => self.notified.push((conn, channel)),
                    Output::Closed { conn, sqlstate } => self.closed.push((conn, sqlstate)),
                    Output::CommittedTx(transaction) => {
                        if self.told.is_news(&transaction) {
                            self.committed.push(transaction);
                        }
                    }
                    Output::CommitLost(lost) => {
                        self.told.lost(&lost);
                        self.lost.push(lost);
                    }
                    Output::Promoted { .. } => {}
                    Output::Crashed { recovery_ns } => self.recovery_ns = Some(recovery_ns),
                    Output::SendWal(record) => self.log.push_back(record),
                    Output::AckWal(ack) => self.ack(ack, &mut todo),
                }
            }
            if self.hold_log {
                return;
            }
            let Some(record) = self.log.pop_front() else { return };
            let mut out = Vec::new();
            self.standby.wal(self.now_ns, record, &mut out);
            todo.extend(out);
        }
    }

    fn ack(&mut self, ack: WalAck, todo: &mut VecDeque<Output>) {
        let mut out = Vec::new();
        self.primary.wal_ack(self.now_ns, ack, &mut out);
        todo.extend(out);
    }

    /// The committed balance.
    pub fn balance(&mut self, id: i64) -> Option<i64> {
        let row = self.primary.rows("accounts").find(|row| row[0] == Value::Int(id))?;
        Some(row[2].as_int())
    }

    #[track_caller]
    pub fn at_rest(&self) {
        assert!(self.primary.is_quiet(), "something is under way on the primary");
        assert_eq!(self.primary.digest(), self.standby.digest(), "primary and standby differ");
    }
}

pub fn begin() -> Statement {
    Statement::Begin(Isolation::ReadCommitted)
}

pub fn begin_at(isolation: Isolation) -> Statement {
    Statement::Begin(isolation)
}

pub fn account(id: i64, version: i64, balance: i64) -> Row {
    vec![id.into(), version.into(), balance.into()]
}

pub fn get(id: i64) -> Statement {
    Statement::Get { table: &ACCOUNTS, keys: vec![vec![id.into()]] }
}

pub fn lock(ids: &[i64], mode: LockMode, wait: LockWait) -> Statement {
    let keys: Vec<Key> = ids.iter().map(|id| vec![Value::Int(*id)]).collect();
    Statement::Lock { table: &ACCOUNTS, keys, mode, wait }
}

pub fn for_update(id: i64) -> Statement {
    lock(&[id], LockMode::Update, LockWait::Wait)
}

pub fn for_share(id: i64) -> Statement {
    lock(&[id], LockMode::Share, LockWait::Wait)
}

pub fn insert(id: i64, version: i64, balance: i64, on_conflict: OnConflict) -> Statement {
    Statement::Insert { table: &ACCOUNTS, row: account(id, version, balance), on_conflict }
}

/// From one version to the next, with a new balance.
pub fn update(id: i64, version: i64, balance: i64) -> Statement {
    let set = vec![(1, (version + 1).into()), (2, balance.into())];
    Statement::UpdateIf { table: &ACCOUNTS, key: vec![id.into()], expected: vec![(1, version.into())], set }
}

pub fn delete(id: i64) -> Statement {
    Statement::DeleteIf { table: &ACCOUNTS, key: vec![id.into()], expected: vec![] }
}

pub fn event(stream: &str, version: i64) -> Statement {
    let row = vec![stream.into(), version.into(), "payload".into()];
    Statement::Insert { table: &EVENTS, row, on_conflict: OnConflict::Error }
}

pub fn outbox_row(id: Value, stream: &str, sequence: i64, sent: i64) -> Row {
    vec![id, stream.into(), sequence.into(), sent.into()]
}

pub fn outbox(stream: &str, sequence: i64) -> Statement {
    let row = outbox_row(Value::Null, stream, sequence, 0);
    Statement::Insert { table: &OUTBOX, row, on_conflict: OnConflict::Error }
}

pub fn mark_sent(id: i64) -> Statement {
    Statement::UpdateIf {
        table: &OUTBOX,
        key: vec![id.into()],
        expected: vec![(3, 0.into())],
        set: vec![(3, 1.into())],
    }
}

pub fn scan(table: &'static Table, index: Option<&'static str>, prefix: Key) -> Scan {
    Scan { table, index, prefix, after: None, up_to: None, limit: usize::MAX }
}

#[track_caller]
pub fn rows(reply: &Reply) -> &[Row] {
    match reply {
        Reply::Rows(rows) => rows,
        other => panic!("no rows: {other:?}"),
    }
}
