//! Keys that a load profile or a fault action adds to its table.
//!
//! Their owner describes them once, as a type that implements [`FromTable`]. The loader checks a file with that
//! type and keeps the keys as they are written; the workload or fault reads them again into it.

use serde::Serialize;

use crate::read::{Context, Field, Here, Table};
use crate::text::tree::{Node, Place};

/// A type that is read from a table of a scenario file, key by key.
///
/// It reads the same keys whatever their values are: the schema is made by reading an empty table.
pub trait FromTable {
    fn read(table: &mut Table<'_>) -> Self;
}

/// The extra keys of a `[[load]]` or `[[fault]]`, already checked by their owner.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Params(pub(crate) toml::Table);

impl Params {
    /// One of the keys, if it is there and can be read as this: for whoever is not their owner.
    pub fn key<F: Field>(&self, key: &str, field: F) -> Option<F::Out> {
        let entries = Node::entries_from_toml(&self.0);
        let context = Context::new(None);
        let entry = entries.get(key)?;
        field.read(&entry.node, &Here { context: &context, path: key.to_owned() })
    }

    /// Removes a key, as if it had not been written.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// The keys as their owner's type. Asking for another type than the one that checked them is a mistake of
    /// the programmer, and panics.
    pub fn read<P: FromTable>(&self) -> P {
        let entries = Node::entries_from_toml(&self.0);
        let context = Context::new(None);
        let mut table =
            Table::new(Here { context: &context, path: String::new() }, &entries, Place::default());
        let params = P::read(&mut table);
        table.finish();
        let mistakes = context.into_drafts();
        assert!(mistakes.is_empty(), "these keys were checked by their owner: {mistakes:?}");
        params
    }
}
