//! Which scripts there are: a few rows, so that sessions meet.

use bytes::Bytes;
use host::ports::store::{
    Isolation, Key, LockMode, LockWait, OnConflict, Row, Scan, Statement, Table, Value,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Script, Step};
use crate::tables::{ACCOUNTS, EVENTS, GRID, OUTBOX};

pub fn scripts() -> impl Strategy<Value = Script> {
    (2_usize..4, vec(step(), 1..40)).prop_map(|(sessions, steps)| Script { sessions, steps })
}

fn step() -> impl Strategy<Value = Step> {
    let isolation = prop_oneof![Just(Isolation::ReadCommitted), Just(Isolation::RepeatableRead)];
    let statement = prop_oneof![
        12 => write(),
        4 => lock(),
        3 => read(),
        4 => Just(Statement::Commit),
        1 => Just(Statement::Rollback),
    ];
    (0_usize..6, isolation, statement).prop_map(|(session, isolation, statement)| Step {
        session,
        isolation,
        statement,
    })
}

fn small() -> impl Strategy<Value = Value> {
    (1_i64..3).prop_map(Value::Int)
}

fn flag() -> impl Strategy<Value = Value> {
    (0_i64..2).prop_map(Value::Int)
}

fn letter() -> impl Strategy<Value = Value> {
    // Of which "B" is before "a" in the "C" collation only.
    "[aB]".prop_map(Value::text)
}

fn nullable(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 3 => value.prop_map(|value| value)]
}

fn note() -> impl Strategy<Value = Value> {
    nullable((0_u8..2).prop_map(|byte| Value::Bytes(Bytes::from(vec![byte]))))
}

/// A row of one of the tables.
fn row() -> impl Strategy<Value = (&'static Table, Row)> {
    let payload = Value::Bytes(Bytes::from_static(b"payload"));
    prop_oneof![
        3 => (small(), small(), small()).prop_map(|(id, version, balance)| (&ACCOUNTS, vec![id, version, balance])),
        1 => (letter(), small()).prop_map(move |(stream, version)| (&EVENTS, vec![stream, version, payload.clone()])),
        2 => (nullable(small()), letter(), small(), flag())
            .prop_map(|(id, stream, sequence, sent)| (&OUTBOX, vec![id, stream, sequence, sent])),
        2 => (small(), small(), nullable(letter()), flag(), note())
            .prop_map(|(x, y, colour, flag, note)| (&GRID, vec![x, y, colour, flag, note])),
    ]
}

/// A table and the key of a row that may be there.
fn place() -> impl Strategy<Value = (&'static Table, Key)> {
    row().prop_map(|(table, row)| {
        let key = row[..table.key].iter();
        let known = key.map(|value| if *value == Value::Null { Value::Int(1) } else { value.clone() });
        (table, known.collect())
    })
}

fn on_conflict() -> impl Strategy<Value = OnConflict> {
    prop_oneof![
        3 => Just(OnConflict::Error),
        2 => Just(OnConflict::DoNothing),
        2 => Just(OnConflict::Update),
        1 => Just(OnConflict::UpdateIfLess { column: 2 }),
    ]
}

fn write() -> impl Strategy<Value = Statement> {
    prop_oneof![
        4 => (row(), on_conflict()).prop_map(|((table, row), on_conflict)| Statement::Insert {
            table,
            row,
            on_conflict
        }),
        4 => (row(), any::<prop::sample::Index>(), any::<bool>()).prop_map(|((table, row), column, guarded)| {
            let column = table.key + column.index(table.columns.len() - table.key);
            let key = row[..table.key].iter();
            let key = key.map(|value| if *value == Value::Null { Value::Int(1) } else { value.clone() });
            let last = table.columns.len() - 1;
            let expected = if guarded { vec![(last, row[last].clone())] } else { vec![] };
            Statement::UpdateIf { table, key: key.collect(), expected, set: vec![(column, row[column].clone())] }
        }),
        2 => place().prop_map(|(table, key)| Statement::DeleteIf { table, key, expected: vec![] }),
    ]
}

fn lock() -> impl Strategy<Value = Statement> {
    let mode = prop_oneof![Just(LockMode::Share), Just(LockMode::Update)];
    let wait =
        prop_oneof![4 => Just(LockWait::Wait), 1 => Just(LockWait::NoWait), 1 => Just(LockWait::SkipLocked)];
    (vec(small(), 1..4), mode, wait).prop_map(|(ids, mode, wait)| {
        let keys = ids.into_iter().map(|id| vec![id]).collect();
        Statement::Lock { table: &ACCOUNTS, keys, mode, wait }
    })
}

fn read() -> impl Strategy<Value = Statement> {
    prop_oneof![
        place().prop_map(|(table, key)| Statement::Get { table, keys: vec![key] }),
        scan().prop_map(Statement::Scan),
        scan().prop_map(|scan| Statement::Count {
            table: scan.table,
            index: scan.index,
            prefix: scan.prefix
        }),
    ]
}

/// The columns that an index orders by, then how much of them is given where.
fn scan() -> impl Strategy<Value = Scan> {
    let index = prop_oneof![Just(None), (0_usize..GRID.indexes.len()).prop_map(Some)];
    let values =
        || row().prop_filter_map("of the grid", |(table, row)| (table.name == GRID.name).then_some(row));
    (index, values(), 0_usize..3, 0_usize..4, any::<bool>(), values(), 1_usize..9).prop_map(
        |(index, values, prefix, after, bounded, upper, limit)| {
            let indexed = index.map_or(&[][..], |index| GRID.indexes[index].columns);
            let columns: Vec<usize> = indexed.iter().copied().chain(0..GRID.key).collect();
            let (prefix, rest) = columns.split_at(prefix.min(columns.len()));
            let pick =
                |row: &Row, columns: &[usize]| columns.iter().map(|c| row[*c].clone()).collect::<Key>();
            let after = &rest[..after.min(rest.len())];
            Scan {
                table: &GRID,
                index: index.map(|index| GRID.indexes[index].name),
                prefix: pick(&values, prefix),
                after: (!after.is_empty()).then(|| pick(&values, after)),
                up_to: rest.first().filter(|_| bounded).map(|column| upper[*column].clone()),
                limit,
            }
        },
    )
}
