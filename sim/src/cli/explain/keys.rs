//! The keys of a fault's action or of a habit, out of the same schema that editors use.

use serde_json::{Map, Value};

/// A table of a scenario with a choice of kinds, each with keys of its own.
#[derive(Clone, Copy)]
pub struct Tables {
    /// The table's name in a scenario.
    pub table: &'static str,
    /// The key that names the kind.
    pub kind: &'static str,
}

pub const FAULTS: Tables = Tables { table: "fault", kind: "action" };
pub const HABITS: Tables = Tables { table: "sabotage", kind: "habit" };

/// What is said of a kind.
pub struct Described {
    pub about: String,
    /// Name, and what it means, with its default.
    pub keys: Vec<(String, String)>,
}

impl Tables {
    /// The kind of this name, if there is one.
    pub fn describe(self, schema: &Value, name: &str) -> Option<Described> {
        let kinds = schema["properties"][self.table]["items"]["oneOf"].as_array()?;
        let kind = kinds.iter().find(|kind| kind["properties"][self.kind]["const"] == name)?;
        let about = kind["properties"][self.kind]["description"].as_str().unwrap_or_default().to_owned();
        let required =
            |key: &str| kind["required"].as_array().is_some_and(|all| all.iter().any(|one| one == key));
        let keys = kind["properties"].as_object()?.iter().filter(|(key, _)| *key != self.kind);
        let keys = keys.map(|(key, schema)| (key.clone(), meaning(schema, required(key))));
        Some(Described { about, keys: keys.collect() })
    }
}

fn meaning(schema: &Value, required: bool) -> String {
    let mut said = schema["description"].as_str().unwrap_or_default().to_owned();
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().map(written).collect();
        said += &format!(" One of {}.", words.join(", "));
    }
    match &schema["default"] {
        Value::Null if required => said + " [required]",
        Value::Null => said,
        default => format!("{said} [default: {}]", written(default)),
    }
}

/// A value as a scenario writes it.
fn written(value: &Value) -> String {
    let table = |table: &Map<String, Value>| {
        let keys = table.iter().map(|(key, value)| format!("{key} = {}", written(value)));
        format!("{{ {} }}", keys.collect::<Vec<_>>().join(", "))
    };
    value.as_object().map_or_else(|| value.to_string(), table)
}
