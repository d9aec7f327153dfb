//! SERIALIZABLE: store.md 5, 7, 11. What commits has a serial order; what cannot have one gets 40001.

use std::collections::BTreeMap;

use host::ports::store::{Isolation, OnConflict, Reply, Statement, Value};
use proptest::prelude::*;

use crate::harness::*;

fn serializable() -> Statement {
    begin_at(Isolation::Serializable)
}

fn everything() -> Statement {
    Statement::Scan(scan(&ACCOUNTS, None, vec![]))
}

#[test]
fn b05_write_skew_is_refused_perhaps_only_at_commit() {
    let mut world = World::with_accounts(2);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![serializable(), get(1), get(2), update(1, 0, 0)]);
    world.ok(b, vec![serializable(), get(1), get(2), update(2, 0, 0), Statement::Commit]);
    world.err(a, vec![Statement::Commit], "40001");
    assert_eq!((world.balance(1), world.balance(2)), (Some(100), Some(0)));
    world.ok(a, vec![serializable(), get(1), get(2), update(1, 0, 0), Statement::Commit]);
    world.at_rest();
}

#[test]
fn b05_rows_that_were_not_there_count() {
    let mut world = World::new();
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![serializable(), everything(), insert(1, 0, 1, OnConflict::Error)]);
    let call = world
        .start(b, vec![serializable(), everything(), insert(2, 0, 2, OnConflict::Error), Statement::Commit]);
    world.answer(call).expect("the first to commit");
    world.err(a, vec![Statement::Commit], "40001");
    world.at_rest();
}

#[test]
fn b05_a_reader_of_both_sides_makes_two_writers_dangerous() {
    let mut world = World::with_accounts(2);
    let (batch, deposit, report) = (world.session(), world.session(), world.session());
    world.ok(deposit, vec![serializable(), get(1)]);
    world.ok(batch, vec![serializable(), update(1, 0, 1), Statement::Commit]);
    world.ok(report, vec![serializable(), get(1), get(2), Statement::Commit]);
    world.err(deposit, vec![update(2, 0, 2)], "40001");
    world.ok(deposit, vec![Statement::Rollback]);
    world.at_rest();
}

#[test]
fn transactions_that_do_not_meet_or_follow_one_another_commit() {
    let mut world = World::with_accounts(4);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![serializable(), get(1), update(2, 0, 0)]);
    world.ok(b, vec![serializable(), get(3), update(4, 0, 0), Statement::Commit]);
    world.ok(a, vec![Statement::Commit]);
    world.ok(a, vec![serializable(), get(4), update(3, 0, 0)]);
    world.ok(b, vec![serializable(), get(1), get(2), update(1, 0, 0), Statement::Commit]);
    world.ok(a, vec![Statement::Commit]);
    world.ok(b, vec![serializable(), get(3), update(4, 1, 1), Statement::Commit]);
    world.at_rest();
}

#[test]
fn b11_under_serializable_the_error_is_40001_where_both_looked_first() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![serializable(), get(7)]);
    world.ok(b, vec![serializable(), get(7), insert(7, 0, 1, OnConflict::Error), Statement::Commit]);
    world.err(a, vec![insert(7, 0, 2, OnConflict::Error)], "40001");
    world.ok(a, vec![Statement::Rollback]);
    world.at_rest();
}

#[test]
fn b07_a_retry_of_the_whole_transaction_succeeds_where_one_of_its_end_does_not() {
    let mut world = World::with_accounts(1);
    let (a, b) = (world.session(), world.session());
    world.ok(a, vec![begin_at(Isolation::RepeatableRead), get(1)]);
    world.ok(b, vec![begin(), update(1, 0, 1), Statement::Commit]);
    world.err(a, vec![update(1, 0, 2)], "40001");
    world.err(a, vec![update(1, 0, 2)], "25P02");
    world.ok(a, vec![Statement::Rollback]);
    let stale = world.ok(a, vec![begin_at(Isolation::RepeatableRead), update(1, 0, 2), Statement::Commit]);
    assert_eq!(stale[1], Reply::Changed(0), "the value read before is of no use");
    let anew =
        world.ok(a, vec![begin_at(Isolation::RepeatableRead), get(1), update(1, 1, 2), Statement::Commit]);
    assert_eq!(anew[2], Reply::Changed(1));
    world.at_rest();
}

/// What a transaction does, one statement at a time.
#[derive(Clone, Debug)]
enum Act {
    Get(i64),
    Range(i64, i64),
    Set(i64, i64),
    Insert(i64, i64),
    Delete(i64),
}

impl Act {
    fn statement(&self) -> Statement {
        match *self {
            Self::Get(id) => get(id),
            Self::Range(after, limit) => {
                let mut range = scan(&ACCOUNTS, None, vec![]);
                range.after = Some(vec![after.into()]);
                range.limit = limit.unsigned_abs() as usize;
                Statement::Scan(range)
            }
            Self::Set(id, balance) => Statement::UpdateIf {
                table: &ACCOUNTS,
                key: vec![id.into()],
                expected: vec![],
                set: vec![(2, balance.into())],
            },
            Self::Insert(id, balance) => insert(id, 0, balance, OnConflict::DoNothing),
            Self::Delete(id) => delete(id),
        }
    }

    /// The same, one transaction after the other.
    fn play(&self, model: &mut BTreeMap<i64, i64>) -> Reply {
        let row = |(id, balance): (&i64, &i64)| account(*id, 0, *balance);
        match *self {
            Self::Get(id) => Reply::Rows(model.get_key_value(&id).map(row).into_iter().collect()),
            Self::Range(after, limit) => {
                let range = model.range(after + 1..).take(limit.unsigned_abs() as usize);
                Reply::Rows(range.map(row).collect())
            }
            Self::Set(id, balance) => match model.get_mut(&id) {
                Some(stored) => {
                    *stored = balance;
                    Reply::Changed(1)
                }
                None => Reply::Changed(0),
            },
            Self::Insert(id, balance) => {
                let free = !model.contains_key(&id);
                model.entry(id).or_insert(balance);
                Reply::Changed(u64::from(free))
            }
            Self::Delete(id) => Reply::Changed(u64::from(model.remove(&id).is_some())),
        }
    }
}

fn act() -> impl Strategy<Value = Act> {
    let id = || 1_i64..6;
    prop_oneof![
        3 => id().prop_map(Act::Get),
        2 => (0_i64..5, 1_i64..4).prop_map(|(after, limit)| Act::Range(after, limit)),
        3 => (id(), 0_i64..1_000).prop_map(|(id, balance)| Act::Set(id, balance)),
        1 => (id(), 0_i64..1_000).prop_map(|(id, balance)| Act::Insert(id, balance)),
        1 => id().prop_map(Act::Delete),
    ]
}

struct Client {
    conn: u64,
    acts: Vec<Act>,
    replies: Vec<Reply>,
    call: Option<u64>,
    done: usize,
    /// Whether it committed, once that is known.
    outcome: Option<bool>,
}

impl Client {
    fn step(&mut self, world: &mut World) -> bool {
        if self.outcome.is_some() || self.call.is_some_and(|call| world.is_waiting(call)) {
            return false;
        }
        if let Some(call) = self.call.take() {
            match world.answer(call) {
                Ok(mut replies) => self.replies.push(replies.remove(0)),
                Err(error) => {
                    assert!(error.is_conflict(), "{error}");
                    world.ok(self.conn, vec![Statement::Rollback]);
                    self.outcome = Some(false);
                    return true;
                }
            }
        }
        if self.done == self.acts.len() + 2 {
            self.outcome = Some(true);
            return true;
        }
        let statement = match self.done {
            0 => serializable(),
            done if done <= self.acts.len() => self.acts[done - 1].statement(),
            _ => Statement::Commit,
        };
        self.done += 1;
        self.call = Some(world.start(self.conn, vec![statement]));
        true
    }
}

fn orders(of: &[usize]) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![vec![]];
    }
    let first = |position: usize| {
        let mut rest = of.to_vec();
        let first = rest.remove(position);
        orders(&rest).into_iter().map(move |rest| [vec![first], rest].concat())
    };
    (0..of.len()).flat_map(first).collect()
}

fn opening() -> BTreeMap<i64, i64> {
    (1..=3).map(|id| (id, 100)).collect()
}

/// Whether the clients saw what they would have seen in this order.
fn explains(order: &[usize], clients: &[Client], left: &BTreeMap<i64, i64>) -> bool {
    let mut model = opening();
    let same = order.iter().all(|client| {
        let client = &clients[*client];
        client.acts.iter().zip(&client.replies[1..]).all(|(act, reply)| act.play(&mut model) == *reply)
    });
    same && model == *left
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn b05_whatever_commits_under_serializable_has_a_serial_order(
        scripts in proptest::collection::vec(proptest::collection::vec(act(), 1..5), 2..5),
        schedule in proptest::collection::vec(0_usize..5, 0..40),
    ) {
        let mut world = World::with_accounts(3);
        let mut clients: Vec<Client> = scripts
            .into_iter()
            .map(|acts| Client {
                conn: world.session(), acts, replies: vec![], call: None, done: 0, outcome: None,
            })
            .collect();
        for pick in schedule {
            match clients.get_mut(pick) {
                Some(client) => drop(client.step(&mut world)),
                None => world.hold_log = !world.hold_log,
            }
        }
        world.release_log();
        while clients.iter().any(|client| client.outcome.is_none()) {
            let mut moved = false;
            for client in &mut clients {
                moved |= client.step(&mut world);
            }
            if !moved {
                world.advance_ms(1_000);
            }
        }
        world.at_rest();
        let committed: Vec<usize> =
            (0..clients.len()).filter(|client| clients[*client].outcome == Some(true)).collect();
        let left = world.primary.rows("accounts").map(|row: &std::sync::Arc<[Value]>| (row[0].as_int(), row[2].as_int()));
        let left: BTreeMap<i64, i64> = left.collect();
        prop_assert!(
            orders(&committed).iter().any(|order| explains(order, &clients, &left)),
            "no serial order explains {:?}",
            clients.iter().map(|client| (&client.acts, &client.replies, client.outcome)).collect::<Vec<_>>()
        );
    }
}
