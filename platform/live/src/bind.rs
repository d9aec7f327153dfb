//! Values into parameters and columns into values, in PostgreSQL's binary formats (manual 55.7).

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use fallible_iterator::FallibleIterator;
use host::ports::store::{Key, Kind, Row, Scan, Statement, Table, Value};
use postgres_protocol::message::backend::DataRowBody;
use postgres_protocol::types::{ArrayDimension, array_to_sql};
use postgres_protocol::{IsNull, Oid};

use crate::catalogue::oid;

type ConversionError = Box<dyn Error + Sync + Send>;

pub enum Parameter<'a> {
    Value(&'a Value),
    /// One column of several keys.
    Column {
        element: Oid,
        keys: &'a [Key],
        column: usize,
    },
    Limit(usize),
}

/// The values of a statement in the order of its text's parameters.
pub fn parameters(statement: &Statement) -> Vec<Parameter<'_>> {
    match statement {
        Statement::Get { table, keys } | Statement::Lock { table, keys, .. } => {
            let column = |column| Parameter::Column { element: element(table, column), keys, column };
            (0..table.key).map(column).collect()
        }
        Statement::Scan(scan) => scan_parameters(scan),
        Statement::Count { prefix, .. } => given(prefix).collect(),
        Statement::Insert { table, row, .. } => {
            let skipped = usize::from(table.serial && row[0] == Value::Null);
            row[skipped..].iter().map(Parameter::Value).collect()
        }
        Statement::UpdateIf { key, expected, set, .. } => {
            let values = set.iter().map(|(_, value)| value).chain(key);
            values.chain(expected.iter().map(|(_, value)| value)).map(Parameter::Value).collect()
        }
        Statement::DeleteIf { key, expected, .. } => {
            key.iter().chain(expected.iter().map(|(_, value)| value)).map(Parameter::Value).collect()
        }
        other => unreachable!("{other:?} has no values"),
    }
}

fn scan_parameters(scan: &Scan) -> Vec<Parameter<'_>> {
    let after = scan.after.as_deref().unwrap_or_default();
    let bounds = given(&scan.prefix).chain(given(after)).chain(given(scan.up_to.as_slice()));
    bounds.chain([Parameter::Limit(scan.limit)]).collect()
}

/// Comparisons with NULL are in the text.
fn given(values: &[Value]) -> impl Iterator<Item = Parameter<'_>> {
    values.iter().filter(|value| **value != Value::Null).map(Parameter::Value)
}

fn element(table: &Table, column: usize) -> Oid {
    oid(table.columns[column].kind)
}

pub fn write(parameter: Parameter<'_>, into: &mut BytesMut) -> Result<IsNull, ConversionError> {
    match parameter {
        Parameter::Value(value) => Ok(write_value(value, into)),
        Parameter::Column { element, keys, column } => {
            let dimension = ArrayDimension { len: i32::try_from(keys.len())?, lower_bound: 1 };
            let values = keys.iter().map(|key| &key[column]);
            array_to_sql([dimension], element, values, |value, into| Ok(write_value(value, into)), into)?;
            Ok(IsNull::No)
        }
        Parameter::Limit(limit) => match i64::try_from(limit) {
            Ok(limit) => Ok(write_value(&Value::Int(limit), into)),
            Err(_) => Ok(IsNull::Yes),
        },
    }
}

fn write_value(value: &Value, into: &mut BytesMut) -> IsNull {
    match value {
        Value::Null => return IsNull::Yes,
        Value::Int(value) => into.put_i64(*value),
        Value::Text(value) => into.put_slice(value.as_bytes()),
        Value::Bytes(value) => into.put_slice(value),
    }
    IsNull::No
}

/// A row of the table. Its bytes share the message's memory.
pub fn read_row(table: &Table, body: &DataRowBody) -> io::Result<Row> {
    let columns = read_columns(body)?;
    if columns.len() != table.columns.len() {
        return Err(unexpected("another number of columns than declared"));
    }
    let kinds = table.columns.iter().map(|column| column.kind);
    columns.into_iter().zip(kinds).map(|(bytes, kind)| read_value(bytes, kind)).collect()
}

/// A row of integers.
pub fn read_integers(body: &DataRowBody) -> io::Result<Vec<i64>> {
    let value = |bytes| match read_value(bytes, Kind::Int)? {
        Value::Int(value) => Ok(value),
        _ => Err(unexpected("NULL instead of an integer")),
    };
    read_columns(body)?.into_iter().map(value).collect()
}

fn read_columns(body: &DataRowBody) -> io::Result<Vec<Option<bytes::Bytes>>> {
    let buffer = body.buffer_bytes();
    body.ranges().map(|range| Ok(range.map(|range| buffer.slice(range)))).collect()
}

fn read_value(bytes: Option<bytes::Bytes>, kind: Kind) -> io::Result<Value> {
    let Some(bytes) = bytes else { return Ok(Value::Null) };
    Ok(match kind {
        Kind::Int => {
            let bytes = bytes[..].try_into().map_err(|_| unexpected("an integer that has not 8 bytes"))?;
            Value::Int(i64::from_be_bytes(bytes))
        }
        Kind::Text => {
            let text = std::str::from_utf8(&bytes).map_err(|_| unexpected("a text that is not UTF-8"))?;
            Value::Text(Arc::from(text))
        }
        Kind::Bytes => Value::Bytes(bytes),
    })
}

pub fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server sent {what}"))
}
