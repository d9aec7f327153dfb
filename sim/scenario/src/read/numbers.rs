//! Integers, odds and flags.

use std::marker::PhantomData;
use std::ops::RangeInclusive;

use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use super::{Context, Field, Here};
use crate::text::tree::{Node, Value};
use crate::values::Ppm;

/// An integer within a range.
#[derive(Clone, Debug)]
pub struct Number<T> {
    range: RangeInclusive<i64>,
    out: PhantomData<T>,
}

/// An integer of `range`; `T` must hold all of it.
pub fn number<T>(range: RangeInclusive<i64>) -> Number<T> {
    Number { range, out: PhantomData }
}

impl<T: Default + TryFrom<i64>> Field for Number<T> {
    type Out = T;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<T> {
        let Value::Integer(written) = node.value else {
            return here.wrong_type(node, "an integer", None);
        };
        let inside = Some(written).filter(|written| self.range.contains(written));
        match inside.and_then(|inside| T::try_from(inside).ok()) {
            Some(number) => Some(number),
            None => {
                let (min, max) = (self.range.start(), self.range.end());
                here.refuse(node.place, format!("{written} is not between {min} and {max}"), None)
            }
        }
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "type": "integer", "minimum": self.range.start(), "maximum": self.range.end() })
    }
}

/// Odds in parts per million.
#[derive(Clone, Copy, Debug)]
pub struct Odds;

impl Field for Odds {
    type Out = Ppm;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Ppm> {
        match &node.value {
            Value::Integer(odds) => match u32::try_from(*odds) {
                Ok(odds) if odds <= Ppm::MILLION => Some(Ppm(odds)),
                _ => {
                    let hint = "odds are parts per million: 1_000_000 is always, 10_000 is one in a hundred";
                    here.refuse(
                        node.place,
                        format!("{odds} is not between 0 and 1000000"),
                        Some(hint.to_owned()),
                    )
                }
            },
            Value::Float(written) => {
                let million = Decimal::from(Ppm::MILLION);
                let odds = written.parse::<Decimal>().ok().and_then(|odds| odds.checked_mul(million));
                let hint = match odds.filter(|odds| odds.is_integer() && *odds <= million) {
                    Some(odds) => format!("odds are parts per million: {written} is {}", odds.normalize()),
                    None => "odds are integers, in parts per million".to_owned(),
                };
                here.wrong_type(node, "an integer", Some(hint))
            }
            _ => here.wrong_type(node, "an integer, in parts per million", None),
        }
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "type": "integer", "minimum": 0, "maximum": Ppm::MILLION })
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Flag;

impl Field for Flag {
    type Out = bool;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<bool> {
        match node.value {
            Value::Flag(flag) => Some(flag),
            _ => here.wrong_type(node, "true or false", None),
        }
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "type": "boolean" })
    }
}
