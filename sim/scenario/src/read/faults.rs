//! `[[fault]]`: keys that every fault has, and those of its action.

use serde_json::{Value as Json, json};

use super::names::known_name;
use super::{Between, Context, Field, Here, Lasting, Moment, Odds, Section, Table, TargetOrShape, Text};
use crate::catalogue::FaultAction;
use crate::fault::{FaultSpec, Occurs};
use crate::params::Params;
use crate::text::tree::Node;
use crate::values::{Ppm, TimeSpan};

/// One fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct FaultTable;

impl Field for FaultTable {
    type Out = FaultSpec;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<FaultSpec> {
        Section(|table| read_fault(table, None)).read(node, here)
    }

    /// One alternative per action, because each has keys of its own.
    fn schema(&self, context: &Context<'_>) -> Json {
        let actions =
            context.catalogue.map(|catalogue| catalogue.fault_actions.as_slice()).unwrap_or_default();
        let describe = |action: &FaultAction| {
            let mut schema = Table::describe(context, |table| read_fault(table, Some(action)));
            schema["properties"]["action"] = json!({ "const": action.name, "description": action.about });
            schema
        };
        let known: Vec<Json> = actions.iter().map(describe).collect();
        if known.is_empty() { json!({ "not": {} }) } else { json!({ "oneOf": known }) }
    }
}

fn read_fault(table: &mut Table<'_>, described: Option<&FaultAction>) -> FaultSpec {
    let name = table.required("action", "What breaks.", ActionName);
    let known = table.context().catalogue.and_then(|catalogue| catalogue.fault_action(&name));
    let Some(action) = described.or(known).cloned() else {
        // Without its action nothing else of a fault can be judged.
        table.forgive_the_rest();
        return FaultSpec { action: name, ..FaultSpec::default() };
    };
    let target = table.optional("target", "Whom it hits.", TargetOrShape).flatten();
    let occurs = read_occurs(table);
    let lasts = if action.is_momentary {
        read_no_length(table, &name);
        None
    } else {
        table.optional("for", "How long it lasts.", Between(Lasting))
    };
    let odds_ppm = table.or("odds_ppm", "Odds of each occurrence to happen.", Odds, Ppm(Ppm::MILLION));
    let params = Params(table.capture(action.read));
    FaultSpec { action: name, target, occurs, lasts, odds_ppm, params }
}

fn read_occurs(table: &mut Table<'_>) -> Occurs {
    let at = table.optional("at", "The moment it begins.", Moment);
    let every = table.optional("every", "Again and again between `from` and `to`.", Lasting);
    let from = table.optional("from", "The window's first moment.", Moment);
    let to = table.optional("to", "The window's last moment.", Moment);
    let jitter = table.optional("jitter", "Each time later by up to this.", Lasting);
    match (jitter, every) {
        (Some(_), None) => table.refuse("jitter", "`jitter` belongs to `every`", None),
        (Some(jitter), Some(every)) if jitter > every => {
            let hint = format!("at most {every}");
            table.refuse("jitter", "`jitter` is longer than `every`", Some(hint));
        }
        _ => {}
    }
    match (at, every, from, to) {
        (Some(at), None, None, None) => return Occurs::At { at },
        (None, Some(every), Some(from), Some(to)) if every > TimeSpan::default() => {
            return Occurs::Every { every, from, to, jitter: jitter.unwrap_or_default() };
        }
        (None, None, Some(from), Some(to)) => return Occurs::Window { from, to },
        _ => {}
    }
    let (key, message) = match (at, every, from, to) {
        (Some(_), ..) => ("at", "`at` is one moment, and goes with none of `every`, `from` and `to`"),
        (_, _, Some(_), None) => ("from", "`from` without `to`"),
        (_, _, None, Some(_)) => ("to", "`to` without `from`"),
        (_, Some(_), None, None) => ("every", "`every` without `from` and `to`"),
        (_, Some(_), ..) => ("every", "`every` is no time at all"),
        _ => ("at", "does not say when it happens"),
    };
    let hint = "either `at`, or `from` and `to`, or `every` with `from` and `to`".to_owned();
    table.refuse(key, message, Some(hint));
    Occurs::default()
}

/// An action that is over in a moment has no `for`, and says so rather than not to know it.
fn read_no_length(table: &mut Table<'_>, action: &str) {
    if table.entry("for").is_some() {
        table.optional("for", "", Between(Lasting));
        table.refuse("for", format!("`{action}` is over in a moment, and lasts for no time"), None);
    }
}

/// An action of the catalogue.
struct ActionName;

impl Field for ActionName {
    type Out = String;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<String> {
        let name = Text.read(node, here)?;
        let actions =
            here.context.catalogue.map(|catalogue| catalogue.fault_actions.as_slice()).unwrap_or_default();
        if actions.is_empty() {
            return here.refuse(
                node.place,
                format!("cannot do `{name}`: no fault action is registered"),
                None,
            );
        }
        let known: Vec<&str> = actions.iter().map(|action| action.name.as_str()).collect();
        known_name("fault action", &name, &known, node.place, here)
    }

    fn schema(&self, context: &Context<'_>) -> Json {
        Text.schema(context)
    }
}
