//! Many sessions in any order: money is kept, updates are not lost, unique is unique, and every call is
//! answered once the others finish.
//!
//! Strict two-phase locks make the order of commits a serial order: committed transactions are replayed in it
//! against a naive model, which only knows accounts with versions and balances.

use std::collections::{BTreeMap, BTreeSet};

use host::ports::store::{LockMode, LockWait, OnConflict, Reply, Statement, Value};
use proptest::prelude::*;

use crate::harness::*;

const ACCOUNTS_COUNT: i64 = 4;
const TOTAL: i64 = 100 * ACCOUNTS_COUNT;

#[derive(Clone, Debug)]
enum Task {
    /// Both rows under lock, in this order, then both updates.
    Locked { from: i64, to: i64, amount: i64 },
    /// Reads, then updates that expect the versions read. Gives up if it lost.
    Optimistic { from: i64, to: i64, amount: i64 },
    /// Shares all rows in this order: what it sees must add up.
    Audit { first: i64 },
    /// Locks one row and leaves without a word.
    Vanish { id: i64 },
}

fn task() -> impl Strategy<Value = Task> {
    let two = || (1..=ACCOUNTS_COUNT, 1..ACCOUNTS_COUNT, 1_i64..30);
    let other = |from: i64, step: i64| (from + step - 1) % ACCOUNTS_COUNT + 1;
    prop_oneof![
        4 => two().prop_map(move |(from, step, amount)| Task::Locked { from, to: other(from, step), amount }),
        3 => two()
            .prop_map(move |(from, step, amount)| Task::Optimistic { from, to: other(from, step), amount }),
        2 => (1..=ACCOUNTS_COUNT).prop_map(|first| Task::Audit { first }),
        1 => (1..=ACCOUNTS_COUNT).prop_map(|id| Task::Vanish { id }),
    ]
}

/// What a client does next, after the answer to what it did last.
enum Then {
    Start,
    Update,
    Finish,
    RollBack,
}

struct Client {
    conn: u64,
    tasks: Vec<Task>,
    then: Then,
    call: Option<u64>,
}

impl Client {
    fn can_go_on(&self, world: &World) -> bool {
        match self.call {
            Some(call) => !world.is_waiting(call),
            None => !self.tasks.is_empty(),
        }
    }

    fn step(&mut self, world: &mut World) {
        let answer = self.call.take().map(|call| world.answer(call));
        let Some(task) = self.tasks.last().cloned() else { return };
        let replies = match answer {
            None => Vec::new(),
            Some(Ok(replies)) => replies,
            Some(Err(error)) => {
                assert!(error.is_conflict(), "{error}");
                self.send(world, Then::Start, vec![Statement::Rollback]);
                return;
            }
        };
        match self.then {
            Then::Start => self.begin(world, &task),
            Then::Update => self.update(world, &task, &replies),
            Then::Finish if replies.contains(&Reply::Changed(0)) => {
                self.send(world, Then::RollBack, vec![Statement::Rollback]);
            }
            Then::Finish => self.send(world, Then::RollBack, vec![Statement::Commit]),
            Then::RollBack => {
                self.tasks.pop();
                self.then = Then::Start;
            }
        }
    }

    fn send(&mut self, world: &mut World, then: Then, statements: Vec<Statement>) {
        self.then = then;
        self.call = Some(world.start(self.conn, statements));
    }

    fn begin(&mut self, world: &mut World, task: &Task) {
        match *task {
            Task::Locked { from, to, .. } => {
                let locks = lock(&[from, to], LockMode::Update, LockWait::Wait);
                self.send(world, Then::Update, vec![begin(), locks]);
            }
            Task::Optimistic { from, to, .. } => {
                let keys = vec![vec![from.into()], vec![to.into()]];
                self.send(world, Then::Update, vec![begin(), Statement::Get { table: &ACCOUNTS, keys }]);
            }
            Task::Audit { first } => {
                let ids: Vec<i64> =
                    (0..ACCOUNTS_COUNT).map(|step| (first + step - 1) % ACCOUNTS_COUNT + 1).collect();
                self.send(world, Then::Update, vec![begin(), lock(&ids, LockMode::Share, LockWait::Wait)]);
            }
            Task::Vanish { id } => {
                world.start(self.conn, vec![begin(), for_update(id), delete(id)]);
                world.disconnect(self.conn);
                self.conn = world.session();
                self.tasks.pop();
            }
        }
    }

    fn update(&mut self, world: &mut World, task: &Task, replies: &[Reply]) {
        let found = rows(&replies[1]).to_vec();
        match *task {
            Task::Locked { amount, .. } | Task::Optimistic { amount, .. } => {
                let change = |row: &[Value], amount: i64| {
                    update(row[0].as_int(), row[1].as_int(), row[2].as_int() + amount)
                };
                let changes = vec![change(&found[0], -amount), change(&found[1], amount)];
                self.send(world, Then::Finish, changes);
            }
            Task::Audit { .. } => {
                let sum: i64 = found.iter().map(|row| row[2].as_int()).sum();
                assert_eq!(sum, TOTAL, "an audit under locks sees half of a transfer");
                self.send(world, Then::RollBack, vec![Statement::Commit]);
            }
            Task::Vanish { .. } => unreachable!("it has gone"),
        }
    }
}

/// Lets the clients go on as the schedule says, then until all have finished.
fn play(world: &mut World, clients: &mut [Client], schedule: &[usize]) {
    for pick in schedule {
        match pick.checked_sub(clients.len()) {
            None if clients[*pick].can_go_on(world) => clients[*pick].step(world),
            None => {}
            Some(0) => world.hold_log = true,
            Some(1) => world.release_log(),
            Some(_) => world.advance_ms(700),
        }
    }
    world.release_log();
    let mut rounds = 0;
    while clients.iter().any(|client| !client.tasks.is_empty() || client.call.is_some()) {
        rounds += 1;
        assert!(rounds < 10_000, "somebody waits for ever");
        let mut moved = false;
        for client in clients.iter_mut() {
            while client.can_go_on(world) {
                client.step(world);
                moved = true;
            }
        }
        if !moved {
            world.advance_ms(1_000);
        }
    }
}

/// Each commit takes every row one version further, and keeps the sum.
fn replay(world: &World) -> BTreeMap<i64, (i64, i64)> {
    let mut model: BTreeMap<i64, (i64, i64)> = (1..=ACCOUNTS_COUNT).map(|id| (id, (0, 100))).collect();
    for transaction in &world.committed {
        for change in &*transaction.changes {
            let [id, version, balance] = [0, 1, 2].map(|column| change.row[column].as_int());
            let before = model.insert(id, (version, balance)).expect("accounts are not made");
            assert_eq!(version, before.0 + 1, "an update is lost");
        }
        assert_eq!(model.values().map(|(_, balance)| balance).sum::<i64>(), TOTAL);
    }
    model
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn transfers_under_locks_and_by_version_keep_the_money(
        tasks in proptest::collection::vec(proptest::collection::vec(task(), 1..4), 2..6),
        schedule in proptest::collection::vec(0_usize..9, 0..80),
    ) {
        let mut world = World::with_accounts(ACCOUNTS_COUNT);
        let mut clients: Vec<Client> = tasks
            .into_iter()
            .map(|tasks| Client { conn: world.session(), tasks, then: Then::Start, call: None })
            .collect();
        play(&mut world, &mut clients, &schedule);
        world.at_rest();
        let model = replay(&world);
        let left: BTreeMap<i64, (i64, i64)> = world
            .primary
            .rows("accounts")
            .map(|row| (row[0].as_int(), (row[1].as_int(), row[2].as_int())))
            .collect();
        prop_assert_eq!(left, model);
    }
}

fn stream() -> impl Strategy<Value = Value> {
    "[ab]".prop_map(Value::text)
}

/// Anything that touches a few rows of a table with a unique index and a partial one.
fn statement() -> impl Strategy<Value = Statement> {
    let id = || 1_i64..5;
    let conflict =
        prop_oneof![Just(OnConflict::Error), Just(OnConflict::DoNothing), Just(OnConflict::Update)];
    let wait =
        prop_oneof![3 => Just(LockWait::Wait), 1 => Just(LockWait::NoWait), 1 => Just(LockWait::SkipLocked)];
    let mode = prop_oneof![Just(LockMode::Share), Just(LockMode::Update)];
    prop_oneof![
        4 => (id(), stream(), 1_i64..3, conflict).prop_map(|(id, stream, sequence, on_conflict)| {
            let row = vec![id.into(), stream, sequence.into(), 0.into()];
            Statement::Insert { table: &OUTBOX, row, on_conflict }
        }),
        2 => (id(), stream()).prop_map(|(id, stream)| Statement::UpdateIf {
            table: &OUTBOX,
            key: vec![id.into()],
            expected: vec![],
            set: vec![(1, stream)],
        }),
        1 => id().prop_map(mark_sent),
        2 => id().prop_map(|id| Statement::DeleteIf {
            table: &OUTBOX,
            key: vec![id.into()],
            expected: vec![],
        }),
        3 => (proptest::collection::vec(id(), 1..4), mode, wait).prop_map(|(ids, mode, wait)| {
            let keys = ids.into_iter().map(|id| vec![id.into()]).collect();
            Statement::Lock { table: &OUTBOX, keys, mode, wait }
        }),
    ]
}

/// One transaction, a statement at a time.
struct Script {
    conn: u64,
    /// The next one last.
    left: Vec<Statement>,
    call: Option<u64>,
}

impl Script {
    fn new(conn: u64, statements: Vec<Statement>) -> Self {
        let whole = [begin()].into_iter().chain(statements).chain([Statement::Commit]);
        let left = whole.collect::<Vec<_>>().into_iter().rev().collect();
        Self { conn, left, call: None }
    }

    fn is_over(&self) -> bool {
        self.left.is_empty() && self.call.is_none()
    }

    /// Whether it did something.
    fn step(&mut self, world: &mut World) -> bool {
        if self.is_over() || self.call.is_some_and(|call| world.is_waiting(call)) {
            return false;
        }
        if let Some(Err(error)) = self.call.take().map(|call| world.answer(call)) {
            assert!(["23505", "40P01", "55P03"].iter().any(|expected| error.to_string().contains(expected)));
            self.left = vec![Statement::Rollback];
        }
        self.call = self.left.pop().map(|statement| world.start(self.conn, vec![statement]));
        true
    }
}

fn run_scripts(world: &mut World, scripts: &mut [Script], schedule: &[usize]) {
    for pick in schedule {
        match pick.checked_sub(scripts.len()) {
            None => drop(scripts[*pick].step(world)),
            Some(0) => world.hold_log = !world.hold_log,
            Some(_) => world.advance_ms(700),
        }
    }
    world.release_log();
    for _ in 0..1_000 {
        let moved = scripts.iter_mut().filter_map(|script| script.step(world).then_some(())).count();
        if scripts.iter().all(Script::is_over) {
            return;
        }
        if moved == 0 {
            world.advance_ms(1_000);
        }
    }
    panic!("somebody waits for ever");
}

/// The unique index is unique, and each index shows exactly the rows that belong into it.
fn check_indexes(world: &mut World) {
    let table: Vec<Vec<Value>> = world.primary.rows("outbox").map(|row| row.to_vec()).collect();
    let values: BTreeSet<_> = table.iter().map(|row| (&row[1], &row[2])).collect();
    assert_eq!(values.len(), table.len(), "two rows share a unique value: {table:?}");
    let conn = world.session();
    for index in ["outbox_unsent", "outbox_stream"] {
        let all = Statement::Scan(scan(&OUTBOX, Some(index), vec![]));
        let answer = world.ok(conn, vec![begin(), all, Statement::Commit]);
        let mut found = rows(&answer[1]).to_vec();
        found.sort();
        let belongs = |row: &&Vec<Value>| index == "outbox_stream" || row[3] == Value::Int(0);
        let expected: Vec<_> = table.iter().filter(belongs).cloned().collect();
        assert_eq!(found, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn whatever_sessions_do_every_call_is_answered_and_indexes_hold(
        first in proptest::collection::vec(statement(), 0..4),
        scripts in proptest::collection::vec(proptest::collection::vec(statement(), 1..6), 2..5),
        schedule in proptest::collection::vec(0_usize..7, 0..60),
    ) {
        let mut world = World::new();
        let conn = world.session();
        run_scripts(&mut world, &mut [Script::new(conn, first)], &[]);
        let mut scripts: Vec<Script> =
            scripts.into_iter().map(|statements| Script::new(world.session(), statements)).collect();
        run_scripts(&mut world, &mut scripts, &schedule);
        world.at_rest();
        check_indexes(&mut world);
    }
}
