//! Scan and Count: order, bounds, partial indexes, the transaction's own rows; against a naive model.

use host::ports::store::{Column, Index, OnConflict, Reply, Row, Scan, Statement, Table, Value};
use postgres::{Output, Server, ServerRole, Settings};
use proptest::prelude::*;

use crate::harness::{OUTBOX, World, begin, mark_sent, outbox, rows, scan};

#[test]
fn a_partial_index_holds_the_rows_of_its_condition_only() {
    let mut world = World::new();
    let a = world.session();
    let fill = vec![begin(), outbox("b", 1), outbox("a", 2), outbox("a", 1), mark_sent(1), Statement::Commit];
    world.ok(a, fill);
    let unsent = || Statement::Scan(scan(&OUTBOX, Some("outbox_unsent"), vec![]));
    let all = || Statement::Scan(scan(&OUTBOX, Some("outbox_stream"), vec![]));
    let answer = world.ok(a, vec![begin(), unsent(), all(), mark_sent(3), unsent(), Statement::Rollback]);
    let ids = |reply: &Reply| rows(reply).iter().map(|row| row[0].as_int()).collect::<Vec<_>>();
    assert_eq!([ids(&answer[1]), ids(&answer[2]), ids(&answer[4])], [vec![3, 2], vec![3, 2, 1], vec![2]]);
    world.at_rest();
}

#[test]
fn a_scan_goes_on_behind_a_position() {
    let mut world = World::new();
    let a = world.session();
    let mut fill = vec![begin()];
    fill.extend((1..=9).map(|sequence| outbox("s", sequence)));
    fill.push(Statement::Commit);
    world.ok(a, fill);
    let part = Scan {
        after: Some(vec![3.into()]),
        up_to: Some(7.into()),
        limit: 3,
        ..scan(&OUTBOX, Some("outbox_unsent"), vec!["s".into()])
    };
    let behind = Scan { after: Some(vec![6.into()]), ..part.clone() };
    let nothing = Scan { after: Some(vec![8.into()]), ..part.clone() };
    let answer = world.ok(
        a,
        vec![
            begin(),
            Statement::Scan(part),
            Statement::Scan(behind),
            Statement::Scan(nothing),
            Statement::Commit,
        ],
    );
    let sequences = |reply: &Reply| rows(reply).iter().map(|row| row[2].as_int()).collect::<Vec<_>>();
    assert_eq!([sequences(&answer[1]), sequences(&answer[2])], [vec![4, 5, 6], vec![7]]);
    assert_eq!(sequences(&answer[3]), [] as [i64; 0]);
}

static GRID: Table = Table {
    name: "grid",
    columns: &[Column::int("x"), Column::int("y"), Column::text("colour"), Column::int("flag")],
    key: 2,
    serial: false,
    indexes: &[
        Index { name: "by_colour", columns: &[2, 1], only_where: None, unique: false },
        Index { name: "flagged", columns: &[2], only_where: Some((3, 1)), unique: false },
    ],
};

fn small() -> impl Strategy<Value = Value> {
    (0_i64..4).prop_map(Value::Int)
}

fn colour() -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 4 => "[ab]{1,2}".prop_map(Value::text)]
}

fn grid_row() -> impl Strategy<Value = Row> {
    (small(), small(), colour(), 0_i64..2).prop_map(|(x, y, colour, flag)| vec![x, y, colour, flag.into()])
}

fn change() -> impl Strategy<Value = Statement> {
    prop_oneof![
        3 => grid_row().prop_map(|row| Statement::Insert { table: &GRID, row, on_conflict: OnConflict::Update }),
        1 => (small(), small())
            .prop_map(|(x, y)| Statement::DeleteIf { table: &GRID, key: vec![x, y], expected: vec![] }),
        1 => (small(), small(), 0_i64..2).prop_map(|(x, y, flag)| Statement::UpdateIf {
            table: &GRID,
            key: vec![x, y],
            expected: vec![],
            set: vec![(3, flag.into())],
        }),
    ]
}

/// The columns that a path orders by, then how much of them is given where.
fn grid_scan() -> impl Strategy<Value = Scan> {
    let index = prop_oneof![Just(None), Just(Some("by_colour")), Just(Some("flagged"))];
    (index, grid_row(), 0_usize..3, 0_usize..4, any::<bool>(), grid_row(), 0_usize..9).prop_map(
        |(index, values, prefix, after, bounded, upper, limit)| {
            let columns = order(index);
            let pick = |row: &Row, range: &[usize]| range.iter().map(|c| row[*c].clone()).collect::<Vec<_>>();
            let rest = &columns[prefix.min(columns.len())..];
            let after = &rest[..after.min(rest.len())];
            Scan {
                table: &GRID,
                index,
                prefix: pick(&values, &columns[..columns.len() - rest.len()]),
                after: (!after.is_empty()).then(|| pick(&values, after)),
                up_to: rest.first().filter(|_| bounded).map(|column| upper[*column].clone()),
                limit,
            }
        },
    )
}

fn order(index: Option<&str>) -> Vec<usize> {
    match index {
        None => vec![0, 1],
        Some("by_colour") => vec![2, 1, 0, 1],
        Some(_) => vec![2, 0, 1],
    }
}

/// NULLS LAST.
fn sortable(value: &Value) -> (bool, Value) {
    (*value == Value::Null, value.clone())
}

fn naive(table: &[Row], scan: &Scan) -> Vec<Row> {
    let columns = order(scan.index);
    let position = |row: &Row| columns.iter().map(|column| sortable(&row[*column])).collect::<Vec<_>>();
    let given = |values: &[Value]| values.iter().map(sortable).collect::<Vec<_>>();
    let mut found: Vec<Row> = table
        .iter()
        .filter(|row| scan.index != Some("flagged") || row[3] == Value::Int(1))
        .filter(|row| position(row).starts_with(&given(&scan.prefix)))
        .filter(|row| {
            let rest = &position(row)[scan.prefix.len()..];
            scan.after.as_ref().is_none_or(|after| rest[..after.len()] > given(after)[..])
                && scan.up_to.as_ref().is_none_or(|up_to| rest[0] <= sortable(up_to))
        })
        .cloned()
        .collect();
    found.sort_by_key(position);
    found.truncate(scan.limit);
    found
}

fn run(server: &mut Server, statements: Vec<Statement>) -> Vec<Reply> {
    let mut out = Vec::new();
    server.run(0, 1, 0, statements, &mut out);
    match out.pop() {
        Some(Output::Reply { result, .. }) => result.expect("no error"),
        other => panic!("{other:?}"),
    }
}

/// What the changes make of the table, naively. Rows in no order.
fn replay(table: &mut Vec<Row>, changes: &[Statement]) {
    for change in changes {
        match change {
            Statement::Insert { row, .. } => {
                table.retain(|old| old[..2] != row[..2]);
                table.push(row.clone());
            }
            Statement::DeleteIf { key, .. } => table.retain(|old| old[..2] != key[..]),
            Statement::UpdateIf { key, set, .. } => {
                for row in table.iter_mut().filter(|row| row[..2] == key[..]) {
                    row[set[0].0] = set[0].1.clone();
                }
            }
            other => panic!("{other:?} is no change"),
        }
    }
}

proptest! {
    #[test]
    fn scans_are_as_a_naive_model_says(
        committed in proptest::collection::vec(change(), 0..20),
        own in proptest::collection::vec(change(), 0..8),
        scans in proptest::collection::vec(grid_scan(), 1..6),
    ) {
        let mut server = Server::new(Settings::alone(), ServerRole::Primary, vec![&GRID]);
        server.connect(0, 1).expect("a connection");
        let mut table = Vec::new();
        replay(&mut table, &committed);
        replay(&mut table, &own);
        let mut statements = vec![begin()];
        statements.extend(committed);
        statements.extend([Statement::Commit, begin()]);
        statements.extend(own);
        run(&mut server, statements);
        // The transaction's own view, then the same view once it is committed.
        for _ in 0..2 {
            for scan in &scans {
                let replies = run(&mut server, vec![
                    Statement::Scan(scan.clone()),
                    Statement::Count { table: &GRID, index: scan.index, prefix: scan.prefix.clone() },
                ]);
                prop_assert_eq!(rows(&replies[0]), naive(&table, scan), "{:?}", scan);
                let counted = Scan { after: None, up_to: None, limit: usize::MAX, ..scan.clone() };
                prop_assert_eq!(&replies[1], &Reply::Count(naive(&table, &counted).len() as u64));
            }
            run(&mut server, vec![Statement::Commit, begin()]);
        }
    }
}
