//! `[[sabotage]]`: keys that every planted habit has, and those of the habit.

use serde_json::{Value as Json, json};

use super::names::known_name;
use super::{Context, Field, Here, Section, Table, Text};
use crate::catalogue::Habit;
use crate::params::Params;
use crate::sabotage::Sabotage;
use crate::text::tree::Node;

/// One planted habit.
#[derive(Clone, Copy, Debug)]
pub(super) struct SabotageTable;

impl Field for SabotageTable {
    type Out = Sabotage;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Sabotage> {
        Section(|table| read_sabotage(table, None)).read(node, here)
    }

    /// One alternative per habit, because each has keys of its own.
    fn schema(&self, context: &Context<'_>) -> Json {
        let habits = context.catalogue.map(|catalogue| catalogue.habits.as_slice()).unwrap_or_default();
        let describe = |habit: &Habit| {
            let mut schema = Table::describe(context, |table| read_sabotage(table, Some(habit)));
            schema["properties"]["habit"] = json!({ "const": habit.name, "description": habit.about });
            schema
        };
        json!({ "oneOf": habits.iter().map(describe).collect::<Vec<_>>() })
    }
}

fn read_sabotage(table: &mut Table<'_>, described: Option<&Habit>) -> Sabotage {
    let habit_name = table.required("habit", "What is done wrong.", HabitName);
    let known = table.context().catalogue.and_then(|catalogue| catalogue.habit(&habit_name));
    let Some(habit) = described.or(known).cloned() else {
        // Without its habit nothing else of it can be judged.
        table.forgive_the_rest();
        return Sabotage { habit: habit_name, ..Sabotage::default() };
    };
    let who = Owner(&habit.of);
    let of = match habit.of.as_slice() {
        [only] => table.or("of", "The service that has it.", who, only.clone()),
        _ => table.required("of", "The service that has it.", who),
    };
    let params = Params(table.capture(habit.read));
    Sabotage { habit: habit_name, of, params }
}

/// A habit of the catalogue.
struct HabitName;

impl Field for HabitName {
    type Out = String;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<String> {
        let name = Text.read(node, here)?;
        let habits = here.context.catalogue.map(|catalogue| catalogue.habits.as_slice()).unwrap_or_default();
        let known: Vec<&str> = habits.iter().map(|habit| habit.name.as_str()).collect();
        known_name("habit", &name, &known, node.place, here)
    }

    fn schema(&self, context: &Context<'_>) -> Json {
        Text.schema(context)
    }
}

/// One of the services that can have the habit.
struct Owner<'h>(&'h [String]);

impl Field for Owner<'_> {
    type Out = String;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<String> {
        let name = Text.read(node, here)?;
        let known: Vec<&str> = self.0.iter().map(String::as_str).collect();
        if known.contains(&name.as_str()) {
            return Some(name);
        }
        let hint = format!("it can be that of {}", known.join(", "));
        here.refuse(node.place, format!("the habit cannot be that of `{name}`"), Some(hint))
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "enum": self.0 })
    }
}
