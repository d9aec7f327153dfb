//! The SQL texts: one per table and shape, made when first needed, for all sessions of a store.
//!
//! Parameters are numbered in the order in which `bind` gives their values.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use host::ports::store::{Kind, LockMode, LockWait, OnConflict, Table};
use postgres_protocol::Oid;

use crate::ddl::{condition, names, quoted};
use crate::shape::{Shape, declared, order};

#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    /// Of the prepared statement, in every session.
    pub name: String,
    pub sql: String,
    pub parameters: Vec<Oid>,
}

#[derive(Default)]
pub struct Catalogue {
    texts: RefCell<BTreeMap<(&'static str, Shape), Rc<Text>>>,
}

impl Catalogue {
    pub fn text(&self, table: &'static Table, shape: Shape) -> Rc<Text> {
        let mut texts = self.texts.borrow_mut();
        let number = texts.len();
        let entry = texts.entry((table.name, shape));
        entry
            .or_insert_with_key(|(_, shape)| {
                let mut writer = Writer { table, parameters: Vec::new() };
                let sql = writer.sql(shape);
                Rc::new(Text { name: format!("s{number}"), sql, parameters: writer.parameters })
            })
            .clone()
    }
}

struct Writer {
    table: &'static Table,
    parameters: Vec<Oid>,
}

impl Writer {
    fn sql(&mut self, shape: &Shape) -> String {
        match shape {
            Shape::Get => self.by_keys(""),
            Shape::Lock(mode, wait) => self.by_keys(locking(*mode, *wait)),
            Shape::Scan { index, prefix, after, up_to } => self.scan(*index, prefix, after, *up_to),
            Shape::Count { index, prefix } => {
                let (table, clause) = (quoted(self.table.name), self.matching(*index, prefix));
                format!("SELECT count(*) FROM {table} WHERE {clause}")
            }
            Shape::Insert { takes_next_id, on_conflict } => self.insert(*takes_next_id, *on_conflict),
            Shape::UpdateIf { expected, set } => {
                let set = self.assignments(set);
                let (table, clause) = (quoted(self.table.name), self.row_as_expected(expected));
                format!("UPDATE {table} SET {set} WHERE {clause}")
            }
            Shape::DeleteIf { expected } => {
                let (table, clause) = (quoted(self.table.name), self.row_as_expected(expected));
                format!("DELETE FROM {table} WHERE {clause}")
            }
        }
    }

    /// `$n`, for a value of the column.
    fn value(&mut self, column: usize) -> String {
        self.parameters.push(oid(self.table.columns[column].kind));
        format!("${}", self.parameters.len())
    }

    fn name(&self, column: usize) -> String {
        quoted(self.table.columns[column].name)
    }

    fn all_columns(&self) -> String {
        let table = self.table;
        let columns = table.columns.iter().map(|column| format!("t.{}", quoted(column.name)));
        columns.collect::<Vec<_>>().join(", ")
    }

    /// The rows with these keys, in the order of the keys; locked in that order too, since rows are locked
    /// after they are sorted.
    fn by_keys(&mut self, locking: &str) -> String {
        let (mut arrays, mut keys, mut join) = (Vec::new(), Vec::new(), Vec::new());
        for column in 0..self.table.key {
            self.parameters.push(array_oid(self.table.columns[column].kind));
            arrays.push(format!("${}", self.parameters.len()));
            keys.push(format!("k{column}"));
            join.push(format!("t.{} = k.k{column}", self.name(column)));
        }
        format!(
            "SELECT {} FROM unnest({}) WITH ORDINALITY AS k({}, n) JOIN {} AS t ON {} ORDER BY k.n{locking}",
            self.all_columns(),
            arrays.join(", "),
            keys.join(", "),
            quoted(self.table.name),
            join.join(" AND "),
        )
    }

    fn scan(&mut self, index: Option<usize>, prefix: &[bool], after: &[bool], up_to: bool) -> String {
        let columns = order(self.table, index);
        let mut clause = self.matching(index, prefix);
        let rest = &columns[prefix.len()..];
        if !after.is_empty() {
            clause.push_str(" AND ");
            clause.push_str(&self.behind(&rest[..after.len()], after));
        }
        if up_to {
            let (column, value) = (self.name(rest[0]), self.value(rest[0]));
            clause.push_str(&format!(" AND t.{column} <= {value}"));
        }
        self.parameters.push(INT8);
        let mut by: Vec<String> = Vec::new();
        for column in columns {
            let name = format!("t.{}", self.name(column));
            if !by.contains(&name) {
                by.push(name);
            }
        }
        format!(
            "SELECT {} FROM {} AS t WHERE {clause} ORDER BY {} LIMIT ${}",
            self.all_columns(),
            quoted(self.table.name),
            by.join(", "),
            self.parameters.len(),
        )
    }

    /// Rows of the index whose first columns are these.
    fn matching(&mut self, index: Option<usize>, prefix: &[bool]) -> String {
        let only = declared(self.table, index).and_then(|index| index.only_where);
        let mut conditions: Vec<String> = only.map(|only| condition(self.table, only)).into_iter().collect();
        for (column, null) in order(self.table, index).into_iter().zip(prefix) {
            conditions.push(self.equals(column, *null));
        }
        if conditions.is_empty() { "true".into() } else { conditions.join(" AND ") }
    }

    fn equals(&mut self, column: usize, null: bool) -> String {
        if null {
            return format!("{} IS NULL", self.name(column));
        }
        let value = self.value(column);
        format!("{} = {value}", self.name(column))
    }

    /// Behind a position. A comparison of rows can use the index, but knows nothing of NULLS LAST: so it is
    /// for keys only.
    fn behind(&mut self, columns: &[usize], nulls: &[bool]) -> String {
        if !nulls.contains(&true) && columns.iter().all(|column| *column < self.table.key) {
            let values: Vec<String> = columns.iter().map(|column| self.value(*column)).collect();
            return format!("({}) > ({})", names(self.table, columns.iter().copied()), values.join(", "));
        }
        let ([column, columns @ ..], [null, nulls @ ..]) = (columns, nulls) else {
            unreachable!("a position has columns, and each is NULL or not")
        };
        let name = self.name(*column);
        if *null {
            return match columns {
                [] => "false".into(),
                _ => format!("({name} IS NULL AND {})", self.behind(columns, nulls)),
            };
        }
        let value = self.value(*column);
        match columns {
            [] => format!("({name} > {value} OR {name} IS NULL)"),
            _ => {
                let further = self.behind(columns, nulls);
                format!("({name} > {value} OR {name} IS NULL OR ({name} = {value} AND {further}))")
            }
        }
    }

    fn insert(&mut self, takes_next_id: bool, on_conflict: OnConflict) -> String {
        let table = self.table;
        let given = usize::from(takes_next_id)..table.columns.len();
        let values: Vec<String> = given.clone().map(|column| self.value(column)).collect();
        let sql = format!(
            "INSERT INTO {} AS t ({}) VALUES ({})",
            quoted(table.name),
            names(table, given),
            values.join(", ")
        );
        let replace = || {
            // A table of nothing but a key still has to lock the row that is there.
            let first = if table.key < table.columns.len() { table.key } else { 0 };
            let set = (first..table.columns.len()).map(|column| self.name(column));
            let set: Vec<String> = set.map(|name| format!("{name} = EXCLUDED.{name}")).collect();
            format!(" ON CONFLICT ({}) DO UPDATE SET {}", names(table, 0..table.key), set.join(", "))
        };
        match on_conflict {
            OnConflict::Error => sql,
            OnConflict::DoNothing => sql + " ON CONFLICT DO NOTHING",
            OnConflict::Update => sql + &replace(),
            OnConflict::UpdateIfLess { column } => {
                let name = self.name(column);
                format!("{sql}{} WHERE EXCLUDED.{name} < t.{name}", replace())
            }
        }
    }

    fn assignments(&mut self, set: &[usize]) -> String {
        if set.is_empty() {
            let key = self.name(0);
            return format!("{key} = {key}");
        }
        let set: Vec<String> =
            set.iter().map(|column| format!("{} = {}", self.name(*column), self.value(*column))).collect();
        set.join(", ")
    }

    fn row_as_expected(&mut self, expected: &[usize]) -> String {
        let mut conditions: Vec<String> =
            (0..self.table.key).map(|column| self.equals(column, false)).collect();
        for column in expected {
            let value = self.value(*column);
            conditions.push(format!("{} IS NOT DISTINCT FROM {value}", self.name(*column)));
        }
        conditions.join(" AND ")
    }
}

fn locking(mode: LockMode, wait: LockWait) -> &'static str {
    match (mode, wait) {
        (LockMode::Share, LockWait::Wait) => " FOR SHARE OF t",
        (LockMode::Share, LockWait::NoWait) => " FOR SHARE OF t NOWAIT",
        (LockMode::Share, LockWait::SkipLocked) => " FOR SHARE OF t SKIP LOCKED",
        (LockMode::Update, LockWait::Wait) => " FOR UPDATE OF t",
        (LockMode::Update, LockWait::NoWait) => " FOR UPDATE OF t NOWAIT",
        (LockMode::Update, LockWait::SkipLocked) => " FOR UPDATE OF t SKIP LOCKED",
    }
}

// Object ids of PostgreSQL's own types (`pg_type.dat`).
pub const INT8: Oid = 20;
const TEXT: Oid = 25;
const BYTEA: Oid = 17;

pub fn oid(kind: Kind) -> Oid {
    match kind {
        Kind::Int => INT8,
        Kind::Text => TEXT,
        Kind::Bytes => BYTEA,
    }
}

fn array_oid(kind: Kind) -> Oid {
    match kind {
        Kind::Int => 1016,
        Kind::Text => 1009,
        Kind::Bytes => 1001,
    }
}
