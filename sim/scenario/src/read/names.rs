//! Names that the catalogue knows: venues, invariants, marks.

use serde_json::{Value as Json, json};

use super::{Context, Field, Here, List};
use crate::catalogue::Catalogue;
use crate::scenario::{Expect, Invariants};
use crate::text::nearest::nearest;
use crate::text::tree::{Node, Place, Value};

/// A name of one list of the catalogue.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name {
    Venue,
    Invariant,
    Mark,
}

impl Name {
    fn word(self) -> &'static str {
        match self {
            Name::Venue => "venue",
            Name::Invariant => "invariant",
            Name::Mark => "mark",
        }
    }

    fn known(self, catalogue: &Catalogue) -> Vec<&str> {
        match self {
            Name::Venue => catalogue.venues.iter().map(|venue| venue.name.as_str()).collect(),
            Name::Invariant => catalogue.invariants.iter().map(String::as_str).collect(),
            Name::Mark => catalogue.marks.iter().map(String::as_str).collect(),
        }
    }

    fn check(self, name: &str, place: Place, here: &Here<'_>) -> Option<String> {
        let Some(catalogue) = here.context.catalogue else {
            return Some(name.to_owned());
        };
        known_name(self.word(), name, &self.known(catalogue), place, here)
    }
}

/// `name`, if it is one of `known`; else a mistake with the nearest one.
pub(super) fn known_name(
    word: &str,
    name: &str,
    known: &[&str],
    place: Place,
    here: &Here<'_>,
) -> Option<String> {
    if known.contains(&name) {
        return Some(name.to_owned());
    }
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.len() <= 12 => format!("known: {}", known.join(", ")),
        None => format!("`bellwether list {}` prints the known ones", listed(word)),
    };
    here.refuse(place, format!("unknown {word} `{name}`"), Some(hint))
}

/// What `list` calls things of this kind.
fn listed(word: &str) -> String {
    match word {
        "fault action" => "faults".to_owned(),
        "load profile" => "workloads".to_owned(),
        "database" => "targets".to_owned(),
        word => format!("{word}s"),
    }
}

impl Field for Name {
    type Out = String;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<String> {
        match node.value.as_text() {
            Some(name) => self.check(name, node.place, here),
            None => here.wrong_type(node, &format!("the name of a {}", self.word()), None),
        }
    }

    fn schema(&self, context: &Context<'_>) -> Json {
        match context.catalogue.map(|catalogue| self.known(catalogue)).filter(|known| !known.is_empty()) {
            Some(known) => json!({ "enum": known }),
            None => json!({ "type": "string" }),
        }
    }
}

/// `"pass"` or `"violation:<invariant>"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected;

impl Field for Expected {
    type Out = Expect;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Expect> {
        let form = || Some(r#""pass", or "violation:<invariant>" for a canary"#.to_owned());
        let Some(text) = node.value.as_text() else {
            return here.wrong_type(node, "an expectation", form());
        };
        match text.split_once(':') {
            None if text == "pass" => Some(Expect::Pass),
            Some(("violation", invariant)) => {
                Name::Invariant.check(invariant, node.place, here).map(Expect::Violation)
            }
            _ => here.refuse(node.place, format!("`{text}` is not an expectation"), form()),
        }
    }

    fn schema(&self, context: &Context<'_>) -> Json {
        let invariants =
            context.catalogue.map(|catalogue| catalogue.invariants.as_slice()).unwrap_or_default();
        let violations = invariants.iter().map(|invariant| format!("violation:{invariant}"));
        json!({ "enum": std::iter::once("pass".to_owned()).chain(violations).collect::<Vec<_>>() })
    }
}

/// `"all"`, or an array of invariants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched;

impl Field for Watched {
    type Out = Invariants;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Invariants> {
        match &node.value {
            Value::Text(text) if text == "all" => Some(Invariants::All),
            Value::List(_) => List(Name::Invariant).read(node, here).map(Invariants::Named),
            _ => here.wrong_type(node, r#""all" or an array of invariants"#, None),
        }
    }

    fn schema(&self, context: &Context<'_>) -> Json {
        json!({ "anyOf": [{ "enum": ["all"] }, List(Name::Invariant).schema(context)] })
    }
}
