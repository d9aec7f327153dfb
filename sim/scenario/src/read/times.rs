//! Lengths of time, days and moments.

use jiff::civil::DateTime;
use serde_json::{Value as Json, json};

use super::{Context, Field, Here};
use crate::scenario::{Day, Until};
use crate::text::tree::{Node, Value};
use crate::values::{SignedSpan, TimeSpan};
use crate::when::{When, parse_date, parse_weekday, weekday_name};

/// A length of time, `"1h30m"`, above zero.
#[derive(Clone, Copy, Debug)]
pub struct Lasting;

const LASTING_FORM: &str =
    r#"whole numbers with units d, h, m, s, ms, us, ns, large to small: "1h30m", "250ms""#;
const LASTING_PATTERN: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?([0-9]+ns)?$";

impl Field for Lasting {
    type Out = TimeSpan;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<TimeSpan> {
        let Some(text) = node.value.as_text() else {
            return here.wrong_type(node, "a duration in a string", Some(LASTING_FORM.to_owned()));
        };
        match TimeSpan::parse(text) {
            Some(span) => Some(span),
            None => {
                here.refuse(node.place, format!("`{text}` is not a duration"), Some(LASTING_FORM.to_owned()))
            }
        }
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "type": "string", "minLength": 2, "pattern": LASTING_PATTERN })
    }
}

/// A length of time with a sign, `"-1m"`.
#[derive(Clone, Copy, Debug)]
pub struct Signed;

impl Field for Signed {
    type Out = SignedSpan;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<SignedSpan> {
        let hint = || Some(format!("{LASTING_FORM}, after a minus to go back"));
        let Some(text) = node.value.as_text() else {
            return here.wrong_type(node, "a duration in a string", hint());
        };
        match SignedSpan::parse(text) {
            Some(span) => Some(span),
            None => here.refuse(node.place, format!("`{text}` is not a duration"), hint()),
        }
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "type": "string", "minLength": 2 })
    }
}

/// A moment of the run; see [`When`] for its forms.
#[derive(Clone, Copy, Debug)]
pub struct Moment;

const MOMENT_FORM: &str =
    r#"every session day "09:30"; once "Mon 18:00:02", "T+1 18:00:02" or "2026-03-06T18:00:02""#;

/// Strings and TOML's own dates and times are read alike.
fn written(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) | Value::Datetime(text) => Some(text),
        _ => None,
    }
}

impl Field for Moment {
    type Out = When;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<When> {
        let Some(text) = written(node) else {
            return here.wrong_type(node, "a time", Some(MOMENT_FORM.to_owned()));
        };
        match When::parse(text) {
            Some(when) => Some(when),
            None => here.refuse(node.place, format!("`{text}` is not a time"), Some(MOMENT_FORM.to_owned())),
        }
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "type": "string", "pattern": "^([A-Z][a-z]{2} |T\\+[1-9] |[0-9]{4}-[0-9]{2}-[0-9]{2}T)?[0-9]{2}:[0-9]{2}" })
    }
}

/// A full local date and time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local;

const LOCAL_PATTERN: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}";

impl Field for Local {
    type Out = DateTime;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<DateTime> {
        let form = || Some(r#"local to the venue: "2026-03-06T08:00""#.to_owned());
        let Some(text) = written(node) else {
            return here.wrong_type(node, "a local date and time", form());
        };
        match When::parse(text) {
            Some(When::At(local, None)) => Some(local),
            _ => here.refuse(node.place, format!("`{text}` is not a local date and time"), form()),
        }
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "type": "string", "pattern": LOCAL_PATTERN })
    }
}

/// `until`: `settled`, a local date and time, or a duration.
#[derive(Clone, Copy, Debug)]
pub(super) struct End;

impl Field for End {
    type Out = Until;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Until> {
        let form =
            || Some(r#""settled", a local date and time "2026-03-09T20:00", or a duration "36h""#.to_owned());
        let Some(text) = written(node) else {
            return here.wrong_type(node, "an end", form());
        };
        if text == "settled" {
            return Some(Until::Settled);
        }
        match (When::parse(text), TimeSpan::parse(text)) {
            (Some(When::At(local, None)), _) => Some(Until::At(local)),
            (_, Some(span)) => Some(Until::After(span)),
            _ => here.refuse(node.place, format!("`{text}` is not an end of a run"), form()),
        }
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        json!({ "anyOf": [
            { "enum": ["settled"] },
            { "type": "string", "pattern": LOCAL_PATTERN },
            { "type": "string", "minLength": 2, "pattern": LASTING_PATTERN },
        ] })
    }
}

/// A weekday or a date.
#[derive(Clone, Copy, Debug)]
pub(super) struct OneDay;

impl Field for OneDay {
    type Out = Day;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Day> {
        let form = || Some(r#"Mon, Tue, … or a date "2026-03-06""#.to_owned());
        let Some(text) = written(node) else {
            return here.wrong_type(node, "a day", form());
        };
        let day = parse_weekday(text).map(Day::Weekday).or_else(|| parse_date(text).map(Day::Date));
        match day {
            Some(day) => Some(day),
            None => here.refuse(node.place, format!("`{text}` is not a day"), form()),
        }
    }

    fn schema(&self, _: &Context<'_>) -> Json {
        let weekdays: Vec<_> =
            jiff::civil::Weekday::Monday.cycle_forward().take(7).map(weekday_name).collect();
        json!({ "anyOf": [
            { "enum": weekdays },
            { "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" },
        ] })
    }
}
