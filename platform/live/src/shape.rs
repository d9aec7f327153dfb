//! What a statement's SQL text depends on besides its table, and what is refused before there is a text.

use host::ports::store::{Index, LockMode, LockWait, OnConflict, Scan, Statement, Table, Value};

use crate::error::{SqlError, sqlstate};

/// Compared with NULL or with a value.
pub type Nulls = Vec<bool>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    Get,
    Lock(LockMode, LockWait),
    Scan { index: Option<usize>, prefix: Nulls, after: Nulls, up_to: bool },
    Count { index: Option<usize>, prefix: Nulls },
    Insert { takes_next_id: bool, on_conflict: OnConflict },
    UpdateIf { expected: Vec<usize>, set: Vec<usize> },
    DeleteIf { expected: Vec<usize> },
}

/// The table and shape of a statement on rows. Error: what PostgreSQL has no chance to refuse by itself.
pub fn of(statement: &Statement) -> Result<(&'static Table, Shape), SqlError> {
    match statement {
        Statement::Get { table, keys } => {
            keys.iter().try_for_each(|key| whole_key(table, key))?;
            Ok((table, Shape::Get))
        }
        Statement::Lock { table, keys, mode, wait } => {
            keys.iter().try_for_each(|key| whole_key(table, key))?;
            Ok((table, Shape::Lock(*mode, *wait)))
        }
        Statement::Scan(scan) => Ok((scan.table, of_scan(scan)?)),
        Statement::Count { table, index, prefix } => {
            let index = index_of(table, *index)?;
            compares(table, index, prefix)?;
            Ok((table, Shape::Count { index, prefix: nulls(prefix) }))
        }
        Statement::Insert { table, row, on_conflict } => {
            if row.len() != table.columns.len() {
                let message =
                    format!("{} has {} columns, not {}", table.name, table.columns.len(), row.len());
                return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
            }
            if let OnConflict::UpdateIfLess { column } = on_conflict {
                exists(table, *column)?;
            }
            types(table, row.iter().enumerate())?;
            let takes_next_id = table.serial && row[0] == Value::Null;
            Ok((table, Shape::Insert { takes_next_id, on_conflict: *on_conflict }))
        }
        Statement::UpdateIf { table, key, expected, set } => {
            whole_key(table, key)?;
            let (expected, set) = (assigned(table, expected)?, assigned(table, set)?);
            if set.iter().any(|column| *column < table.key) {
                let message = format!("changing the primary key of \"{}\" is not supported", table.name);
                return Err(SqlError::new(sqlstate::FEATURE_NOT_SUPPORTED, message));
            }
            Ok((table, Shape::UpdateIf { expected, set }))
        }
        Statement::DeleteIf { table, key, expected } => {
            whole_key(table, key)?;
            Ok((table, Shape::DeleteIf { expected: assigned(table, expected)? }))
        }
        other => unreachable!("{other:?} is not about rows"),
    }
}

fn of_scan(scan: &Scan) -> Result<Shape, SqlError> {
    let index = index_of(scan.table, scan.index)?;
    compares(scan.table, index, scan.prefix.iter().chain(scan.after.iter().flatten()))?;
    compares(scan.table, index, scan.prefix.iter().chain(&scan.up_to))?;
    Ok(Shape::Scan {
        index,
        prefix: nulls(&scan.prefix),
        after: scan.after.as_deref().map(nulls).unwrap_or_default(),
        // Nothing is greater than NULL.
        up_to: scan.up_to.as_ref().is_some_and(|value| *value != Value::Null),
    })
}

/// The columns that a scan orders by: those of the index, then the primary key.
pub fn order(table: &Table, index: Option<usize>) -> Vec<usize> {
    let columns = index.map_or(&[][..], |index| table.indexes[index].columns);
    columns.iter().copied().chain(0..table.key).collect()
}

pub fn declared(table: &'static Table, index: Option<usize>) -> Option<&'static Index> {
    index.map(|index| &table.indexes[index])
}

fn nulls(values: &[Value]) -> Nulls {
    values.iter().map(|value| *value == Value::Null).collect()
}

fn index_of(table: &Table, name: Option<&str>) -> Result<Option<usize>, SqlError> {
    let Some(name) = name else { return Ok(None) };
    let found = table.indexes.iter().position(|index| index.name == name);
    let missing = || SqlError::new(sqlstate::UNDEFINED_OBJECT, format!("index \"{name}\" does not exist"));
    found.map(Some).ok_or_else(missing)
}

/// The values are as many as a scan can compare at most, and of its columns' types.
fn compares<'a>(
    table: &Table,
    index: Option<usize>,
    values: impl IntoIterator<Item = &'a Value>,
) -> Result<(), SqlError> {
    let columns = order(table, index);
    let values: Vec<&Value> = values.into_iter().collect();
    if values.len() > columns.len() {
        let (most, given) = (columns.len(), values.len());
        let message = format!("a scan of {} has {most} columns to compare, not {given}", table.name);
        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
    }
    types(table, columns.into_iter().zip(values))
}

fn whole_key(table: &Table, key: &[Value]) -> Result<(), SqlError> {
    if key.len() != table.key {
        let message = format!("{} has a key of {} columns, not {}", table.name, table.key, key.len());
        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
    }
    types(table, key.iter().enumerate())
}

fn assigned(table: &Table, values: &[(usize, Value)]) -> Result<Vec<usize>, SqlError> {
    values.iter().try_for_each(|(column, _)| exists(table, *column))?;
    types(table, values.iter().map(|(column, value)| (*column, value)))?;
    Ok(values.iter().map(|(column, _)| *column).collect())
}

fn exists(table: &Table, column: usize) -> Result<(), SqlError> {
    if column >= table.columns.len() {
        let message = format!("column {column} of relation \"{}\" does not exist", table.name);
        return Err(SqlError::new(sqlstate::UNDEFINED_COLUMN, message));
    }
    Ok(())
}

fn types<'a>(table: &Table, values: impl IntoIterator<Item = (usize, &'a Value)>) -> Result<(), SqlError> {
    let wrong = values.into_iter().find(|(column, value)| !table.columns[*column].takes(value));
    wrong.map_or(Ok(()), |(column, value)| {
        let (name, kind) = (table.columns[column].name, table.columns[column].kind);
        let message = format!("column \"{name}\" of \"{}\" is {kind:?}, not {value:?}", table.name);
        Err(SqlError::new(sqlstate::DATATYPE_MISMATCH, message))
    })
}
