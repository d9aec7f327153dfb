//! Strings: free text, words of a list, decimals, selections.

use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use super::{Context, Field, Here};
use crate::text::nearest::nearest;
use crate::text::tree::{Node, Value};
use crate::values::Selection;

/// Free text that is not empty.
#[derive(Clone, Copy, Debug)]
pub struct Text;

impl Field for Text {
    type Out = String;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<String> {
        match node.value.as_text() {
            Some("") => here.refuse(node.place, "must not be empty", None),
            Some(text) => Some(text.to_owned()),
            None => here.wrong_type(node, "a string", None),
        }
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// A name that others are made of: ids and keys begin with it, so it has no spaces.
#[derive(Clone, Copy, Debug)]
pub struct Label;

impl Label {
    fn is_allowed(character: char) -> bool {
        character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
    }
}

impl Field for Label {
    type Out = String;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<String> {
        let text = Text.read(node, here)?;
        if text.chars().all(Self::is_allowed) {
            return Some(text);
        }
        let spoken = text.chars().map(|character| if Self::is_allowed(character) { character } else { '-' });
        let hint = format!("write `{}`", spoken.collect::<String>());
        here.refuse(node.place, "must be made of letters, digits, `-`, `_` and `.`", Some(hint))
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]+$" })
    }
}

/// One word of a fixed list, and what each stands for.
#[derive(Clone, Copy, Debug)]
pub struct Choice<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Default + Clone> Field for Choice<T> {
    type Out = T;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<T> {
        let words = || self.0.iter().map(|(word, _)| *word);
        let Some(text) = node.value.as_text() else {
            return here.wrong_type(
                node,
                &format!("one of {}", words().collect::<Vec<_>>().join(", ")),
                None,
            );
        };
        if let Some((_, value)) = self.0.iter().find(|(word, _)| *word == text) {
            return Some(value.clone());
        }
        let hint = match nearest(text, words()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", words().collect::<Vec<_>>().join(", ")),
        };
        here.refuse(node.place, format!("unknown value `{text}`"), Some(hint))
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "enum": self.0.iter().map(|(word, _)| *word).collect::<Vec<_>>() })
    }
}

/// An exact decimal in a string, with at most so many places after the point.
#[derive(Clone, Copy, Debug)]
pub struct Decimals {
    pub places: u32,
    /// Whether 0 is allowed; less never is.
    pub zero: bool,
}

impl Decimals {
    /// An amount of money, in cents at the finest.
    pub const MONEY: Decimals = Decimals { places: 2, zero: true };
    /// A price; finer than the tick where a load wants to be refused for it.
    pub const PRICE: Decimals = Decimals { places: 6, zero: false };
    /// Far above any amount here, far below where checked arithmetic ends.
    const MAX: i64 = 1_000_000_000_000_000;
}

impl Field for Decimals {
    type Out = Decimal;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Decimal> {
        let text = match &node.value {
            Value::Text(text) => text,
            Value::Float(written) => return self.not_a_string(node, here, written.clone()),
            Value::Integer(written) => return self.not_a_string(node, here, written.to_string()),
            _ => return here.wrong_type(node, "a decimal in a string", None),
        };
        let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-');
        let Some(decimal) = Decimal::from_str_exact(text).ok().filter(|_| plain) else {
            let hint = r#"digits, and a point before decimal places: "1000000.00""#.to_owned();
            return here.refuse(node.place, format!("`{text}` is not a decimal"), Some(hint));
        };
        if decimal.is_sign_negative() || decimal.is_zero() && !self.zero {
            let bound = if self.zero { "not below 0" } else { "above 0" };
            return here.refuse(node.place, format!("{decimal} must be {bound}"), None);
        }
        if decimal.scale() > self.places || decimal > Decimal::from(Self::MAX) {
            let places = self.places;
            let message = format!("{decimal} is too fine or too large: at most {places} decimal places");
            return here.refuse(node.place, message, None);
        }
        Some(decimal)
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "type": "string", "pattern": format!("^[0-9]+(\\.[0-9]{{1,{}}})?$", self.places) })
    }
}

impl Decimals {
    fn not_a_string(self, node: &Node, here: &Here<'_>, written: String) -> Option<Decimal> {
        let hint = format!("decimals are strings, so that no digit is lost: \"{written}\"");
        here.wrong_type(node, "a decimal in a string", Some(hint))
    }
}

/// A selection of accounts or instruments, by number.
#[derive(Clone, Copy, Debug)]
pub enum Selected {
    Accounts,
    Instruments,
}

impl Selected {
    fn count(self, context: &Context<'_>) -> Option<u32> {
        match self {
            Selected::Accounts => context.accounts.get(),
            Selected::Instruments => context.instruments.get(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Selected::Accounts => "accounts",
            Selected::Instruments => "instruments",
        }
    }
}

impl Field for Selected {
    type Out = Selection;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Selection> {
        let form = || Some(r#""all", a range "1..10" (both ends included) or an array [1, 4]"#.to_owned());
        let selection = match &node.value {
            Value::Text(text) => Selection::parse(text),
            Value::List(items) => numbers(items).map(Selection::Listed),
            _ => return here.wrong_type(node, "a selection", form()),
        };
        let Some(selection) = selection else {
            return here.refuse(node.place, format!("does not select {}", self.word()), form());
        };
        let (first, last) = match &selection {
            Selection::All => return Some(selection),
            Selection::Range(first, last) => (*first, *last),
            Selection::Listed(numbers) => {
                (numbers.iter().copied().min().unwrap_or(0), numbers.iter().copied().max().unwrap_or(0))
            }
        };
        let count = self.count(here.context).unwrap_or(u32::MAX);
        if first == 0 || first > last || last > count {
            let hint = format!("there are {count} {}, numbered from 1", self.word());
            return here.refuse(
                node.place,
                format!("selects no {} or unknown ones", self.word()),
                Some(hint),
            );
        }
        Some(selection)
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "anyOf": [
            { "type": "string", "pattern": "^(all|[0-9]+\\.\\.[0-9]+)$" },
            { "type": "array", "items": { "type": "integer", "minimum": 1 }, "minItems": 1 },
        ] })
    }
}

fn numbers(items: &[Node]) -> Option<Vec<u32>> {
    let number = |item: &Node| match item.value {
        Value::Integer(number) => u32::try_from(number).ok(),
        _ => None,
    };
    items.iter().map(number).collect()
}
