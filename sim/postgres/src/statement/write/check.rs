//! What PostgreSQL refuses in the values of a row, before any row is looked at.

use host::ports::store::{OnConflict, Table, Value};

use crate::error::{SqlError, sqlstate};
use crate::key::KEY_BYTES_MAX;
use crate::statement::types::check_types;
use crate::table::{Path, position};

/// As many values as columns, and the one that decides a conflict among them.
pub fn columns(table: &Table, row: &[Value], on_conflict: OnConflict) -> Result<(), SqlError> {
    if row.len() != table.columns.len() {
        let message = format!("{} has {} columns, not {}", table.name, table.columns.len(), row.len());
        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
    }
    check_types(table, row.iter().enumerate())?;
    match on_conflict {
        OnConflict::UpdateIfLess { column } => column_exists(table, column),
        OnConflict::Error | OnConflict::DoNothing | OnConflict::Update => Ok(()),
    }
}

fn column_exists(table: &Table, column: usize) -> Result<(), SqlError> {
    if column >= table.columns.len() {
        let message = format!("column {column} of relation \"{}\" does not exist", table.name);
        return Err(SqlError::new(sqlstate::UNDEFINED_COLUMN, message));
    }
    Ok(())
}

/// Columns exist, and none to be set is of the key: an update that moves a row is not built.
pub fn assignments(
    table: &Table,
    expected: &[(usize, Value)],
    set: &[(usize, Value)],
) -> Result<(), SqlError> {
    expected.iter().chain(set).try_for_each(|(column, _)| column_exists(table, *column))?;
    check_types(table, expected.iter().chain(set).map(|(column, value)| (*column, value)))?;
    if set.iter().any(|(column, _)| *column < table.key) {
        let message = format!("changing the primary key of \"{}\" is not supported", table.name);
        return Err(SqlError::new(sqlstate::FEATURE_NOT_SUPPORTED, message));
    }
    Ok(())
}

/// Keys have no NULL, texts no NUL, index entries fit.
pub fn values(table: &Table, row: &[Value]) -> Result<(), SqlError> {
    if let Some(column) = row[..table.key].iter().position(|value| *value == Value::Null) {
        let (column, name) = (table.columns[column].name, table.name);
        let message =
            format!("null value in column \"{column}\" of relation \"{name}\" violates not-null constraint");
        return Err(SqlError::new(sqlstate::NOT_NULL_VIOLATION, message));
    }
    if row.iter().any(|value| matches!(value, Value::Text(text) if text.as_bytes().contains(&0))) {
        let message = "invalid byte sequence for encoding \"UTF8\": 0x00";
        return Err(SqlError::new(sqlstate::CHARACTER_NOT_IN_REPERTOIRE, message));
    }
    let primary = std::iter::once(Path::Primary);
    let paths = primary.chain((0..table.indexes.len()).map(Path::Index));
    paths.into_iter().try_for_each(|path| fits(table, path, row))
}

fn fits(table: &Table, path: Path, row: &[Value]) -> Result<(), SqlError> {
    let columns: &[usize] = match path {
        Path::Primary => &[],
        Path::Index(index) => table.indexes[index].columns,
    };
    let values = columns.iter().map(|column| &row[*column]).chain(&row[..table.key]);
    if values.map(size_max).sum::<usize>() <= KEY_BYTES_MAX {
        return Ok(());
    }
    let mut encoded = Vec::new();
    if position(table, path, row, &mut encoded).is_some() && encoded.len() > KEY_BYTES_MAX {
        let size = encoded.len();
        let message =
            format!("index row size {size} exceeds btree maximum {KEY_BYTES_MAX} of \"{}\"", table.name);
        return Err(SqlError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, message));
    }
    Ok(())
}

/// Encoded size at most: cheap to say, and nearly always small enough.
fn size_max(value: &Value) -> usize {
    match value {
        Value::Null | Value::Int(_) => 9,
        Value::Text(text) => text.len() + 3,
        Value::Bytes(bytes) => 2 * bytes.len() + 3,
    }
}
