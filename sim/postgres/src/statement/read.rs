//! Get, Scan, Count: committed rows (the latest, or those of the snapshot) and the transaction's own, never
//! anybody else's uncommitted ones.
//!
//! A NULL in a prefix matches NULLs (IS NOT DISTINCT FROM).

use host::ports::store::{Key, Reply, Row, Scan, Table, Value};

use super::Actor;
use crate::database::Database;
use crate::error::{SqlError, sqlstate};
use crate::statement::types::check_types;
use crate::table::Path;

impl Database {
    pub fn get(&mut self, actor: &Actor<'_>, table: &'static Table, keys: &[Key]) -> Result<Reply, SqlError> {
        let table = self.table(table)?;
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            let key = self.primary_key(table, key)?;
            self.note_row_read(actor.transaction, table, &key)?;
            rows.extend(self.visible(actor.transaction, table, &key).map(|row| row.to_vec()));
        }
        Ok(Reply::Rows(rows))
    }

    pub fn scan(&mut self, actor: &Actor<'_>, scan: &Scan) -> Result<Reply, SqlError> {
        let table = self.table(scan.table)?;
        let path = path(scan.table, scan.index)?;
        let given = scan.prefix.len() + scan.after.as_ref().map_or(0, Vec::len);
        check_columns(scan.table, path, given.max(scan.prefix.len() + usize::from(scan.up_to.is_some())))?;
        let after = scan.after.iter().flatten();
        compares(scan.table, path, scan.prefix.iter().chain(after))?;
        compares(scan.table, path, scan.prefix.iter().chain(&scan.up_to))?;
        self.bounds.set(&scan.prefix, scan.after.as_deref(), scan.up_to.as_ref());
        let data = &self.tables[table];
        let rows: Vec<Row> = match self.overlay(actor.transaction, table) {
            None => {
                let walk = data.walk(path, &self.bounds).take(scan.limit);
                walk.map(|(.., row)| row.to_vec()).collect()
            }
            Some(overlay) => {
                overlay.merge(data, path, &self.bounds).take(scan.limit).map(|row| row.to_vec()).collect()
            }
        };
        let last = rows.last().filter(|_| rows.len() == scan.limit).map(Vec::as_slice);
        self.note_range_read(actor.transaction, table, path, last)?;
        Ok(Reply::Rows(rows))
    }

    pub fn count(
        &mut self,
        actor: &Actor<'_>,
        declared: &'static Table,
        index: Option<&'static str>,
        prefix: &Key,
    ) -> Result<Reply, SqlError> {
        let table = self.table(declared)?;
        let path = path(declared, index)?;
        check_columns(declared, path, prefix.len())?;
        compares(declared, path, prefix)?;
        self.bounds.set(prefix, None, None);
        let data = &self.tables[table];
        let count = match self.overlay(actor.transaction, table) {
            None => data.count(path, &self.bounds),
            Some(overlay) => overlay.merge(data, path, &self.bounds).count(),
        };
        self.note_range_read(actor.transaction, table, path, None)?;
        Ok(Reply::Count(count as u64))
    }
}

fn path(table: &Table, index: Option<&str>) -> Result<Path, SqlError> {
    let Some(name) = index else { return Ok(Path::Primary) };
    let found = table.indexes.iter().position(|index| index.name == name);
    found
        .map(Path::Index)
        .ok_or_else(|| SqlError::new(sqlstate::UNDEFINED_OBJECT, format!("index \"{name}\" does not exist")))
}

fn check_columns(table: &Table, path: Path, given: usize) -> Result<(), SqlError> {
    let columns = match path {
        Path::Primary => table.key,
        Path::Index(index) => table.indexes[index].columns.len() + table.key,
    };
    if given > columns {
        let message = format!("a scan of {} has {columns} columns to compare, not {given}", table.name);
        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
    }
    Ok(())
}

/// The values are of the types of the columns that the path orders by.
fn compares<'a>(
    table: &Table,
    path: Path,
    values: impl IntoIterator<Item = &'a Value>,
) -> Result<(), SqlError> {
    let columns: &[usize] = match path {
        Path::Primary => &[],
        Path::Index(index) => table.indexes[index].columns,
    };
    check_types(table, columns.iter().copied().chain(0..table.key).zip(values))
}
