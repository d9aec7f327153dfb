//! Columns have types: what a column cannot hold is neither written nor compared with it.

use host::ports::store::{Column, Table, Value};

use crate::error::{SqlError, sqlstate};

/// A column takes values of its type only.
pub fn check_types<'a>(
    table: &Table,
    values: impl IntoIterator<Item = (usize, &'a Value)>,
) -> Result<(), SqlError> {
    let wrong = values.into_iter().find(|(column, value)| !table.columns[*column].takes(value));
    wrong.map_or(Ok(()), |(column, value)| {
        let Column { name, kind } = table.columns[column];
        let message = format!("column \"{name}\" of \"{}\" is {kind:?}, not {value:?}", table.name);
        Err(SqlError::new(sqlstate::DATATYPE_MISMATCH, message))
    })
}
