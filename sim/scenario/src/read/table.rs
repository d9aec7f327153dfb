//! A table that is being read key by key, or described key by key.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::{Context, Field, Here};
use crate::text::diagnostics::Draft;
use crate::text::nearest::nearest;
use crate::text::tree::{Entries, Entry, Node, Place};

/// One table of a scenario file. A reader names each key once, with its field and what it is for.
pub struct Table<'a> {
    here: Here<'a>,
    input: Input<'a>,
    known: Vec<String>,
    /// Keys that are missing, and what each is for.
    missing: Vec<(String, String)>,
}

enum Input<'a> {
    File {
        entries: &'a Entries,
        place: Place,
    },
    /// Nothing to read: the keys are written down for the schema.
    Schema {
        properties: Map<String, Json>,
        required: Vec<String>,
    },
}

impl<'a> Table<'a> {
    pub(crate) fn new(here: Here<'a>, entries: &'a Entries, place: Place) -> Self {
        Table { here, input: Input::File { entries, place }, known: Vec::new(), missing: Vec::new() }
    }

    /// A key that must be there.
    pub fn required<F: Field>(&mut self, key: &str, about: &str, field: F) -> F::Out {
        self.read(key, about, &field, None, true).unwrap_or_default()
    }

    /// A key that may be missing.
    pub fn optional<F: Field>(&mut self, key: &str, about: &str, field: F) -> Option<F::Out> {
        self.read(key, about, &field, None, false)
    }

    /// A key with a default.
    pub fn or<F: Field>(&mut self, key: &str, about: &str, field: F, default: F::Out) -> F::Out
    where
        F::Out: Serialize,
    {
        let shown = serde_json::to_value(&default).ok();
        self.read(key, about, &field, shown, false).unwrap_or(default)
    }

    /// A key whose default is what its own readers give for an empty table.
    pub fn section<F: Field>(&mut self, key: &str, about: &str, field: F) -> F::Out {
        let written = self.read(key, about, &field, None, false);
        if self.is_schema() {
            return F::Out::default();
        }
        written.or_else(|| field.read(&Node::default(), &self.here.key(key))).unwrap_or_default()
    }

    fn read<F: Field>(
        &mut self,
        key: &str,
        about: &str,
        field: &F,
        default: Option<Json>,
        required: bool,
    ) -> Option<F::Out> {
        match &mut self.input {
            Input::File { entries, .. } => {
                self.known.push(key.to_owned());
                match entries.get(key) {
                    Some(entry) => {
                        let read = field.read(&entry.node, &self.here.key(key));
                        // A wrong value was reported; the default must not be reported on top of it.
                        return Some(read.unwrap_or_default());
                    }
                    None if required => self.missing.push((key.to_owned(), about.to_owned())),
                    None => {}
                }
            }
            Input::Schema { properties, required: list } => {
                let mut schema = field.schema(self.here.context);
                if let Some(schema) = schema.as_object_mut() {
                    schema.insert("description".to_owned(), json!(about));
                    schema.extend(default.map(|default| ("default".to_owned(), default)));
                }
                properties.insert(key.to_owned(), schema);
                if required {
                    list.push(key.to_owned());
                }
            }
        }
        None
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&'a Entry> {
        match self.input {
            Input::File { entries, .. } => entries.get(key),
            Input::Schema { .. } => None,
        }
    }

    pub(crate) fn is_schema(&self) -> bool {
        matches!(self.input, Input::Schema { .. })
    }

    pub(crate) fn context(&self) -> &'a Context<'a> {
        self.here.context
    }

    /// Reports a mistake at `key`, or at the table where the key is missing.
    pub fn refuse(&self, key: &str, message: impl Into<String>, hint: Option<String>) {
        let Input::File { place, .. } = self.input else { return };
        let (here, place) = match self.entry(key) {
            Some(entry) => (self.here.key(key), entry.key),
            None => (Here { context: self.here.context, path: self.here.path.clone() }, place),
        };
        here.refuse::<()>(place, message, hint);
    }

    /// Runs a reader and gives the keys that it read, as they are written.
    pub(crate) fn capture(&mut self, read: impl FnOnce(&mut Self)) -> toml::Table {
        let before = self.known.len();
        read(self);
        let keys = self.known[before..].iter();
        keys.filter_map(|key| self.entry(key).map(|entry| (key.clone(), entry.node.to_toml()))).collect()
    }

    /// Accepts whatever else is there: an earlier mistake makes it impossible to judge.
    pub(crate) fn forgive_the_rest(&mut self) {
        if let Input::File { entries, .. } = self.input {
            self.known.extend(entries.keys().cloned());
        }
    }

    /// Reports the keys that no reader asked for, and the ones that are missing.
    pub(crate) fn finish(mut self) {
        let Input::File { entries, place } = self.input else { return };
        if !self.missing.is_empty() {
            self.here.context.blanks.set(true);
        }
        for (key, entry) in entries.iter().filter(|(key, _)| !self.known.contains(key)) {
            let unused = self.known.iter().filter(|known| !entries.contains_key(*known));
            let meant = nearest(key, unused.map(String::as_str)).map(str::to_owned);
            self.missing.retain(|(missing, _)| Some(missing) != meant.as_ref());
            let hint = meant.map(|meant| format!("did you mean `{meant}`?"));
            let hint = hint.or_else(|| Some(format!("known keys: {}", self.known.join(", "))));
            let draft = Draft::new(entry.key, self.here.key(key).path, format!("unknown key `{key}`"));
            self.here.context.report(Draft { hint, ..draft });
        }
        for (key, about) in self.missing {
            let here = self.here.key(&key);
            here.refuse::<()>(place, format!("`{key}` is missing"), Some(about));
        }
    }

    /// The JSON Schema of the table that `read` reads.
    pub(crate) fn describe<T>(context: &Context<'_>, read: impl FnOnce(&mut Table<'_>) -> T) -> Json {
        let input = Input::Schema { properties: Map::new(), required: Vec::new() };
        let here = Here { context, path: String::new() };
        let mut table = Table { here, input, known: Vec::new(), missing: Vec::new() };
        read(&mut table);
        let Input::Schema { properties, required } = table.input else {
            unreachable!("a table keeps its input");
        };
        let mut schema = BTreeMap::from([
            ("type", json!("object")),
            ("properties", Json::Object(properties)),
            ("additionalProperties", json!(false)),
        ]);
        if !required.is_empty() {
            schema.insert("required", json!(required));
        }
        json!(schema)
    }
}
