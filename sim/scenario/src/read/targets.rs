//! Targets of faults: `position/2`, `kafka/1`, `postgres/settlement/primary`, `bank`.

use serde_json::{Value as Json, json};

use super::names::known_name;
use super::{Choice, Context, Field, Here, Table};
use crate::catalogue::{Catalogue, OUTSIDE};
use crate::fault::{Role, Shape, Target, TargetSpec};
use crate::text::tree::{Node, Value};

/// One target. Numbers are checked against the topology once that is known.
#[derive(Clone, Copy, Debug)]
pub struct OneTarget;

impl Field for OneTarget {
    type Out = Target;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Target> {
        let Some(text) = node.value.as_text() else {
            return here.wrong_type(
                node,
                "a target",
                Some("`bellwether list targets` prints them".to_owned()),
            );
        };
        let parts: Vec<&str> = text.split('/').collect();
        if parts[0] == "postgres" {
            return database(&parts[1..], node, here);
        }
        let is_outside = match here.context.catalogue {
            Some(catalogue) => catalogue.outside.iter().any(|name| name == text),
            None => OUTSIDE.contains(&text),
        };
        let number = match parts[1..] {
            [] if is_outside => return Some(Target::Outside { name: text.to_owned() }),
            [] => None,
            [number] => match number.parse().ok().filter(|number| *number > 0) {
                Some(number) => Some(number),
                None => return here.refuse(node.place, format!("`{number}` is not a number from 1"), None),
            },
            _ => return here.refuse(node.place, format!("`{text}` has too many parts for a target"), None),
        };
        if parts[0] == "kafka" {
            return Some(Target::Broker { number });
        }
        let name = match here.context.catalogue {
            Some(catalogue) => known_name("target", parts[0], &first_parts(catalogue), node.place, here)?,
            None => parts[0].to_owned(),
        };
        Some(Target::Service { name, instance: number })
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

fn first_parts(catalogue: &Catalogue) -> Vec<&str> {
    let services = catalogue.services.iter().map(|service| service.name.as_str());
    services.chain(catalogue.outside.iter().map(String::as_str)).chain(["kafka", "postgres"]).collect()
}

fn database(parts: &[&str], node: &Node, here: &Here<'_>) -> Option<Target> {
    let (name, role) = match *parts {
        [name] => (name, None),
        [name, "primary"] => (name, Some(Role::Primary)),
        [name, "standby"] => (name, Some(Role::Standby)),
        _ => {
            let hint = "postgres/<database>, with /primary or /standby for one server of it".to_owned();
            return here.refuse(node.place, "names no database server", Some(hint));
        }
    };
    let name = match here.context.catalogue {
        Some(catalogue) => {
            let known: Vec<&str> = catalogue.databases.iter().map(String::as_str).collect();
            known_name("database", name, &known, node.place, here)?
        }
        None => name.to_owned(),
    };
    Some(Target::Database { name, role })
}

/// A target, or `{ shape, of }`.
#[derive(Clone, Copy, Debug)]
pub struct TargetOrShape;

const SHAPES: &[(&str, Shape)] = &[
    ("one", Shape::One),
    ("minority", Shape::Minority),
    ("halves", Shape::Halves),
    ("ring", Shape::Ring),
    ("one-way", Shape::OneWay),
];

impl Field for TargetOrShape {
    type Out = Option<TargetSpec>;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Self::Out> {
        let Value::Table(entries) = &node.value else {
            return OneTarget.read(node, here).map(|target| Some(TargetSpec::One(target)));
        };
        let mistakes = here.context.mistakes();
        let mut table = Table::new(here.clone(), entries, node.place);
        let (shape, of) = shaped(&mut table);
        table.finish();
        (here.context.mistakes() == mistakes).then_some(Some(TargetSpec::Shaped { shape, of }))
    }

    fn schema(&self, context: &Context<'_>) -> Json {
        json!({ "anyOf": [OneTarget.schema(context), Table::describe(context, shaped)] })
    }
}

fn shaped(table: &mut Table<'_>) -> (Shape, Target) {
    let shape = table.required("shape", "Which part of the targets.", Choice(SHAPES));
    (shape, table.required("of", "The targets to choose from.", OneTarget))
}
