//! Fields made of fields: arrays, `{ min, max }`, tables.

use serde_json::{Value as Json, json};

use super::{Context, Field, Here, Table};
use crate::text::tree::{Node, Value};
use crate::values::{Draw, Drawn};

/// An array, each of whose items is read by the same field.
#[derive(Clone, Copy, Debug)]
pub struct List<F>(pub F);

impl<F: Field> Field for List<F> {
    type Out = Vec<F::Out>;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Self::Out> {
        let Value::List(items) = &node.value else {
            return here.wrong_type(node, "an array", None);
        };
        let read = |(index, item)| self.0.read(item, &here.item(index));
        Some(items.iter().enumerate().filter_map(read).collect())
    }

    fn schema(&self, context: &Context<'_>) -> Json {
        json!({ "type": "array", "items": self.0.schema(context) })
    }
}

/// A value, or `{ min, max }` to draw one from, both ends included.
#[derive(Clone, Debug)]
pub struct Between<F>(pub F);

impl<F: Field + Clone> Field for Between<F>
where
    F::Out: Draw + std::fmt::Display,
{
    type Out = Drawn<F::Out>;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Self::Out> {
        let Value::Table(entries) = &node.value else {
            return self.0.read(node, here).map(Drawn::Fixed);
        };
        let mut table = Table::new(here.clone(), entries, node.place);
        let mistakes = here.context.mistakes();
        let (min, max) = self.ends(&mut table);
        table.finish();
        if here.context.mistakes() > mistakes {
            return None;
        }
        if max < min {
            return here.refuse(node.place, format!("min {min} is above max {max}"), None);
        }
        if min.steps_to(max).is_none_or(|steps| steps >= i64::MAX as u64) {
            return here.refuse(node.place, format!("{min} to {max} is too wide a range to draw from"), None);
        }
        Some(Drawn::Between { min, max })
    }

    fn schema(&self, context: &Context<'_>) -> Json {
        json!({ "anyOf": [self.0.schema(context), Table::describe(context, |table| self.ends(table))] })
    }
}

impl<F: Field + Clone> Between<F> {
    fn ends(&self, table: &mut Table<'_>) -> (F::Out, F::Out) {
        let min = table.required("min", "The least value.", self.0.clone());
        (min, table.required("max", "The greatest value.", self.0.clone()))
    }
}

/// A table that a function reads.
#[derive(Clone, Copy, Debug)]
pub struct Section<T>(pub fn(&mut Table<'_>) -> T);

impl<T: Default> Field for Section<T> {
    type Out = T;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<T> {
        let Value::Table(entries) = &node.value else {
            return here.wrong_type(node, "a table", None);
        };
        let mut table = Table::new(here.clone(), entries, node.place);
        let value = (self.0)(&mut table);
        table.finish();
        Some(value)
    }

    fn schema(&self, context: &Context<'_>) -> Json {
        Table::describe(context, self.0)
    }
}

/// A field whose values other than some are refused for now, with the reason.
#[derive(Clone, Debug)]
pub(super) struct Only<F: Field> {
    pub field: F,
    pub only: F::Out,
    pub why: &'static str,
}

impl<F: Field> Field for Only<F>
where
    F::Out: PartialEq + std::fmt::Display + serde::Serialize,
{
    type Out = F::Out;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<F::Out> {
        let value = self.field.read(node, here)?;
        if value == self.only {
            return Some(value);
        }
        let hint = Some(format!("for now only: {}", self.only));
        here.refuse(node.place, format!("{value} is not supported: {}", self.why), hint)
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "enum": [self.only] })
    }
}
