//! Phase one of loading: TOML to a tree in which each key and value knows where it stands.
//!
//! The tree is our own and not `toml`'s: values of `--set` join it, with places of their own.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::Draft;
use super::path::{self, Step};

/// Where something stands: source 0 is the file, source n the n-th override.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub source: usize,
    pub start: usize,
    pub end: usize,
}

impl Place {
    pub fn new(source: usize, span: Range<usize>) -> Self {
        Place { source, start: span.start, end: span.end }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Node {
    pub value: Value,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Integer(i64),
    /// As written; nothing in a scenario is a float, so it is kept for the message only.
    Float(String),
    Flag(bool),
    Datetime(String),
    List(Vec<Node>),
    Table(Entries),
}

impl Default for Value {
    fn default() -> Self {
        Value::Table(Entries::new())
    }
}

pub type Entries = BTreeMap<String, Entry>;

#[derive(Clone, Debug)]
pub struct Entry {
    pub key: Place,
    pub node: Node,
}

impl Value {
    /// What a reader of the file would call it.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Flag(_) => "a boolean",
            Value::Datetime(_) => "a date or time",
            Value::List(_) => "an array",
            Value::Table(_) => "a table",
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The tree of `text`, or every syntax error in it.
pub fn parse(text: &str) -> Result<Node, Vec<Draft>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut drafts: Vec<Draft> = errors.iter().map(|error| syntax_error(0, 0, error)).collect();
    let span = table.span();
    let entries = entries(0, 0, table.into_inner(), &mut drafts);
    if drafts.is_empty() {
        Ok(Node { value: Value::Table(entries), place: Place::new(0, span) })
    } else {
        Err(drafts)
    }
}

/// One value that starts at byte `offset` of source `source`.
pub fn parse_value(source: usize, offset: usize, text: &str) -> Result<Node, Draft> {
    let value = DeValue::parse(text).map_err(|error| syntax_error(source, offset, &error))?;
    let mut drafts = Vec::new();
    let node = node(source, offset, value, &mut drafts);
    drafts.pop().map_or(Ok(node), Err)
}

fn syntax_error(source: usize, offset: usize, error: &toml::de::Error) -> Draft {
    let span = error.span().unwrap_or(0..0);
    let place = Place::new(source, span.start + offset..span.end + offset);
    Draft::new(place, String::new(), format!("not TOML: {}", error.message().replace('\n', ", ")))
}

fn node(source: usize, offset: usize, value: Spanned<DeValue<'_>>, drafts: &mut Vec<Draft>) -> Node {
    let span = value.span();
    let place = Place::new(source, span.start + offset..span.end + offset);
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => {
                drafts.push(Draft::new(place, String::new(), format!("{integer} does not fit in 64 bits")));
                Value::Integer(0)
            }
        },
        DeValue::Float(float) => Value::Float(float.to_string()),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
        DeValue::Array(items) => {
            Value::List(items.into_iter().map(|item| node(source, offset, item, drafts)).collect())
        }
        DeValue::Table(table) => Value::Table(entries(source, offset, table, drafts)),
    };
    Node { value, place }
}

fn entries(source: usize, offset: usize, table: DeTable<'_>, drafts: &mut Vec<Draft>) -> Entries {
    let entry = |(key, value): (Spanned<toml::de::DeString<'_>>, Spanned<DeValue<'_>>)| {
        let span = key.span();
        let place = Place::new(source, span.start + offset..span.end + offset);
        (key.into_inner().into_owned(), Entry { key: place, node: node(source, offset, value, drafts) })
    };
    table.into_iter().map(entry).collect()
}

impl Node {
    /// The value at `path`, such as `load[0].from`.
    pub fn find(&self, path: &str) -> Option<&Node> {
        let mut node = self;
        for step in path::parse(path)? {
            node = match (&node.value, step) {
                (Value::Table(entries), Step::Key(key)) => &entries.get(&key)?.node,
                (Value::List(items), Step::Index(index)) => items.get(index)?,
                _ => return None,
            };
        }
        Some(node)
    }

    /// The place of `path`, or of the nearest table around it that is written.
    pub fn place_of(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(node) = self.find(path) {
                return node.place;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return self.place,
            }
        }
    }

    /// The same value without places: how it is kept for its owner to read again.
    pub fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Text(text) | Value::Float(text) | Value::Datetime(text) => {
                toml::Value::String(text.clone())
            }
            Value::Integer(number) => toml::Value::Integer(*number),
            Value::Flag(flag) => toml::Value::Boolean(*flag),
            Value::List(items) => toml::Value::Array(items.iter().map(Node::to_toml).collect()),
            Value::Table(entries) => toml::Value::Table(
                entries.iter().map(|(key, entry)| (key.clone(), entry.node.to_toml())).collect(),
            ),
        }
    }

    /// The tree of a value that was kept by [`Node::to_toml`].
    pub fn from_toml(value: &toml::Value) -> Self {
        let value = match value {
            toml::Value::String(text) => Value::Text(text.clone()),
            toml::Value::Integer(number) => Value::Integer(*number),
            toml::Value::Float(float) => Value::Float(float.to_string()),
            toml::Value::Boolean(flag) => Value::Flag(*flag),
            toml::Value::Datetime(datetime) => Value::Datetime(datetime.to_string()),
            toml::Value::Array(items) => Value::List(items.iter().map(Node::from_toml).collect()),
            toml::Value::Table(table) => Value::Table(Node::entries_from_toml(table)),
        };
        Node { value, place: Place::default() }
    }

    pub fn entries_from_toml(table: &toml::Table) -> Entries {
        let entry = |(key, value): (&String, &toml::Value)| {
            (key.clone(), Entry { key: Place::default(), node: Node::from_toml(value) })
        };
        table.iter().map(entry).collect()
    }
}
