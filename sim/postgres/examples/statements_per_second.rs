//! How long a statement takes: `cargo run --release -p postgres --example statements_per_second`.
//!
//! Transactions as the host makes them (position, heads under lock, events, outbox, commit) through a primary
//! and its standby, then reads and a relay's marks.

use std::time::Instant;

use host::ports::store::{
    Column, Index, Isolation, LockMode, LockWait, OnConflict, Scan, Statement, Table, Value,
};
use postgres::{Output, Server, ServerRole, Settings};

static POSITIONS: Table = Table {
    name: "positions",
    columns: &[Column::text("topic"), Column::int("partition"), Column::int("next"), Column::int("claim")],
    key: 2,
    serial: false,
    indexes: &[],
};
static HEADS: Table = Table {
    name: "heads",
    columns: &[Column::text("stream"), Column::int("version"), Column::int("sequence")],
    key: 1,
    serial: false,
    indexes: &[],
};
static EVENTS: Table = Table {
    name: "events",
    columns: &[
        Column::text("stream"),
        Column::int("version"),
        Column::bytes("payload"),
        Column::text("cause"),
        Column::int("at"),
    ],
    key: 2,
    serial: false,
    indexes: &[],
};
static OUTBOX: Table = Table {
    name: "outbox",
    columns: &[
        Column::int("id"),
        Column::text("stream"),
        Column::int("sequence"),
        Column::text("topic"),
        Column::bytes("payload"),
        Column::int("sent"),
    ],
    key: 1,
    serial: true,
    indexes: &[Index { name: "unsent", columns: &[1, 2], only_where: Some((5, 0)), unique: false }],
};

const TRANSACTIONS: i64 = 300_000;
const STREAMS: i64 = 2_000;

struct World {
    primary: Server,
    standby: Server,
    out: Vec<Output>,
    inserted: usize,
}

impl World {
    fn run(&mut self, conn: u64, statements: Vec<Statement>) {
        self.primary.run(1_750_000_000_000_000_000, conn, 0, statements, &mut self.out);
        let mut acks = Vec::new();
        let mut index = 0;
        while index < self.out.len() {
            match &self.out[index] {
                Output::SendWal(record) => self.standby.wal(0, record.clone(), &mut acks),
                Output::CommittedTx(committed) => self.inserted += committed.inserted("events").count(),
                Output::Reply { result, .. } => assert!(result.is_ok(), "{result:?}"),
                other => panic!("{other:?}"),
            }
            for ack in acks.drain(..) {
                let Output::AckWal(ack) = ack else { panic!("{ack:?}") };
                self.primary.wal_ack(0, ack, &mut self.out);
            }
            index += 1;
        }
        self.out.clear();
    }
}

fn stream(number: i64) -> Value {
    Value::text(format!("position/ACC-{number:06}"))
}

fn decision(number: i64) -> Vec<Statement> {
    let (id, version) = (number % STREAMS, number / STREAMS);
    let payload = Value::Bytes(vec![7; 120].into());
    let topic = Value::text("orders");
    let event =
        vec![stream(id), (version + 1).into(), payload.clone(), Value::text("orders/0/17"), number.into()];
    let message = vec![Value::Null, stream(id), (version + 1).into(), topic.clone(), payload, 0.into()];
    let key = vec![topic, 0.into()];
    let set = vec![(2, (number + 1).into())];
    let position = Statement::UpdateIf { table: &POSITIONS, key, expected: vec![(2, number.into())], set };
    let expected = vec![(1, version.into())];
    let set = vec![(1, (version + 1).into()), (2, (version + 1).into())];
    vec![
        Statement::Begin(Isolation::ReadCommitted),
        position,
        Statement::Lock {
            table: &HEADS,
            keys: vec![vec![stream(id)], vec![stream((id + 1) % STREAMS)]],
            mode: LockMode::Update,
            wait: LockWait::Wait,
        },
        Statement::Insert { table: &EVENTS, row: event, on_conflict: OnConflict::Error },
        Statement::Insert { table: &OUTBOX, row: message, on_conflict: OnConflict::Error },
        Statement::UpdateIf { table: &HEADS, key: vec![stream(id)], expected, set },
        Statement::Commit,
    ]
}

/// Makes and runs the calls, then makes them only: the difference is the database's.
#[expect(clippy::disallowed_methods, reason = "a measurement of real time")]
fn measure(world: &mut World, what: &str, calls: i64, mut make: impl FnMut(i64) -> Vec<Statement>) {
    let mut statements = 0;
    let start = Instant::now();
    for call in 0..calls {
        let made = make(call);
        statements += made.len() as u128;
        world.run(1, made);
    }
    let whole = start.elapsed();
    let start = Instant::now();
    for call in 0..calls {
        drop(std::hint::black_box(make(call)));
    }
    let made = start.elapsed();
    let each = (whole - made).as_nanos() / statements;
    println!("{what:<40} {statements:>9} statements {:>6} ms, {each:>5} ns each", whole.as_millis());
}

fn get(number: i64) -> Statement {
    Statement::Get { table: &HEADS, keys: vec![vec![stream(number % STREAMS)]] }
}

fn scan(number: i64, limit: usize) -> Statement {
    Statement::Scan(Scan {
        table: &EVENTS,
        index: None,
        prefix: vec![stream(number % STREAMS)],
        after: Some(vec![100.into()]),
        up_to: None,
        limit,
    })
}

fn mark(id: i64) -> Statement {
    Statement::UpdateIf {
        table: &OUTBOX,
        key: vec![id.into()],
        expected: vec![(5, 0.into())],
        set: vec![(5, 1.into())],
    }
}

fn marks(call: i64) -> Vec<Statement> {
    let marks = (1..=100).map(|n| mark(call * 100 + n));
    let begin = [Statement::Begin(Isolation::ReadCommitted)];
    begin.into_iter().chain(marks).chain([Statement::Commit]).collect()
}

fn main() {
    let tables = || vec![&POSITIONS, &HEADS, &EVENTS, &OUTBOX];
    let primary = Server::new(Settings::default(), ServerRole::Primary, tables());
    let standby = Server::new(Settings::default(), ServerRole::Standby, tables());
    let mut world = World { primary, standby, out: Vec::new(), inserted: 0 };
    for server in [&mut world.primary, &mut world.standby] {
        server.seed(&POSITIONS, vec![vec![Value::text("orders"), 0.into(), 0.into(), 1.into()]]);
        server.seed(&HEADS, (0..STREAMS).map(|id| vec![stream(id), 0.into(), 0.into()]).collect());
    }
    world.primary.connect(0, 1).expect("a connection");
    let world = &mut world;
    measure(world, "decisions, primary and standby", TRANSACTIONS, decision);
    world.run(1, vec![Statement::Begin(Isolation::ReadCommitted)]);
    measure(world, "get by key, 2,000 rows", 10_000, |call| (0..100).map(|n| get(call * 100 + n)).collect());
    measure(world, "scan of 1 row, 300,000 rows", 2_000, |call| {
        (0..100).map(|n| scan(call * 100 + n, 1)).collect()
    });
    measure(world, "scan of 10 rows, 300,000 rows", 2_000, |call| {
        (0..100).map(|n| scan(call * 100 + n, 10)).collect()
    });
    world.run(1, vec![Statement::Commit]);
    measure(world, "marks, primary and standby", TRANSACTIONS / 100, marks);
    assert_eq!(world.primary.digest(), world.standby.digest());
    println!("{} events seen in facts, primary and standby equal", world.inserted);
}
