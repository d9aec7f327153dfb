//! Read-model tables in memory: keys, indexes and scans as the Store port describes them.

use std::collections::BTreeMap;

use host::ports::store::{Index, Key, Row, Table, Value};
use host::{Lookup, LookupKind, LookupResult};

pub struct Tables {
    declared: Vec<&'static Table>,
    rows: BTreeMap<&'static str, BTreeMap<Key, Row>>,
}

impl Tables {
    pub fn new(declared: Vec<&'static Table>) -> Self {
        Self { declared, rows: BTreeMap::new() }
    }

    pub fn put(&mut self, table: &'static Table, row: Row) {
        self.check(table);
        assert_eq!(row.len(), table.columns.len(), "a row of {} has all its columns", table.name);
        let wrong = table.columns.iter().zip(&row).find(|(column, value)| !column.takes(value));
        assert!(wrong.is_none(), "{} has a value of another type: {wrong:?}", table.name);
        let rows = self.rows.entry(table.name).or_default();
        rows.insert(row[..table.key].to_vec(), row);
    }

    pub fn delete(&mut self, table: &'static Table, key: &Key) {
        self.check(table);
        assert_eq!(key.len(), table.key, "a key of {} has all its columns", table.name);
        self.rows.entry(table.name).or_default().remove(key);
    }

    pub fn all(&self, table: &'static Table) -> impl Iterator<Item = &Row> {
        self.check(table);
        self.rows.get(table.name).into_iter().flat_map(BTreeMap::values)
    }

    pub fn look_up(&self, lookup: &Lookup) -> LookupResult {
        let table = lookup.table;
        let index = lookup.index.map(|name| {
            let index = table.indexes.iter().find(|index| index.name == name);
            index.unwrap_or_else(|| panic!("table {} has no index {name}", table.name))
        });
        let columns: Vec<usize> = match index {
            Some(index) => index.columns.iter().copied().chain(0..table.key).collect(),
            None => (0..table.key).collect(),
        };
        let prefix = lookup.prefix.len();
        let mut found: Vec<(Key, &Row)> = self
            .all(table)
            .filter(|row| index.is_none_or(|index| covers(index, row)))
            .map(|row| (columns.iter().map(|&column| row[column].clone()).collect::<Key>(), row))
            .filter(|(position, _)| position.starts_with(&lookup.prefix))
            .filter(|(position, _)| {
                lookup.after.as_ref().is_none_or(|after| is_after(&position[prefix..], after))
            })
            .filter(|(position, _)| lookup.up_to.as_ref().is_none_or(|up_to| position[prefix] <= *up_to))
            .collect();
        found.sort();
        match lookup.kind {
            LookupKind::Count => LookupResult::Count(u64::try_from(found.len()).expect("rows in memory")),
            LookupKind::Rows { limit } => {
                LookupResult::Rows(found.into_iter().take(limit).map(|(_, row)| row.clone()).collect())
            }
        }
    }

    fn check(&self, table: &'static Table) {
        let declared = self.declared.iter().any(|declared| std::ptr::eq(*declared, table));
        assert!(declared, "table {} is not among the service's tables", table.name);
    }
}

fn covers(index: &Index, row: &Row) -> bool {
    index.only_where.is_none_or(|(column, value)| row[column] == Value::Int(value))
}

/// Strictly after, comparing as many values as are given.
fn is_after(position: &[Value], after: &[Value]) -> bool {
    position[..after.len()] > *after
}
