//! Keys that a load profile or a fault action adds to its table.
//!
//! Their owner describes them once, as a type that implements [`FromTable`]. The loader checks a file with that
//! type and keeps the keys as they are written; the workload or fault reads them again into it.

use serde::Serialize;

/// The extra keys of a `[[load]]` or `[[fault]]`, already checked by their owner.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Params(pub(crate) toml::Table);

/// A type that is read from a table of a scenario file, key by key.
pub trait FromTable {
    fn read(table: &mut crate::read::Table<'_>) -> Self;
}

impl Params {
    pub(crate) fn read<P: FromTable>(&self) -> P {
        todo!()
    }
}
