//! JSON bodies of requests, field by field: every mistake is told with the path of its field.
//!
//! Decimals are texts (`"10.25"`), as a JSON number would pass through a float somewhere on its way.

use std::fmt::Display;
use std::str::FromStr;

use bytes::Bytes;
use host::Problem;
use http::{Request, StatusCode};
use serde_json::{Map, Value};

use super::gate;
use super::strict_json;

/// The largest body that is read.
pub const BODY_LEN_MAX: usize = 64 * 1024;
/// The longest text of a field, in bytes. No id, number, date or address is longer.
pub const TEXT_LEN_MAX: usize = 256;

/// The fields of a JSON object, with where it stands in the body.
#[derive(Debug)]
pub struct Fields<'a> {
    path: String,
    fields: &'a Map<String, Value>,
}

/// Reads the body of a request as JSON.
///
/// # Errors
/// 413; 400 `malformed-json` with line and column.
pub fn json(body: &[u8]) -> Result<Value, Problem> {
    if body.len() > BODY_LEN_MAX {
        return Err(too_large());
    }
    strict_json::read(body).map_err(|why| Problem::bad_request("malformed-json", why))
}

/// Reads the body of a request as JSON that says it is.
///
/// # Errors
/// As [`json`], and 415.
pub fn of(request: &Request<Bytes>) -> Result<Value, Problem> {
    gate::check_json(request.headers())?;
    json(request.body())
}

pub fn too_large() -> Problem {
    let detail = format!("a body has at most {BODY_LEN_MAX} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
}

impl<'a> Fields<'a> {
    /// The fields of the body, which have these names and no others.
    ///
    /// # Errors
    /// 400 `bad-field`, as of every method here.
    pub fn of(body: &'a Value, names: &[&str]) -> Result<Self, Problem> {
        Self::at(String::new(), body, names)
    }

    fn at(path: String, value: &'a Value, names: &[&str]) -> Result<Self, Problem> {
        let Value::Object(fields) = value else {
            return Err(bad_field(if path.is_empty() { "body" } else { &path }, "must be an object"));
        };
        let this = Self { path, fields };
        match fields.keys().find(|name| !names.contains(&name.as_str())) {
            Some(unknown) => {
                Err(this.bad(unknown, format!("is not known here; known are {}", names.join(", "))))
            }
            None => Ok(this),
        }
    }

    /// A text.
    pub fn text(&self, name: &str) -> Result<&'a str, Problem> {
        self.required(name, self.optional_text(name)?)
    }

    /// A text, where the field is there and not null.
    pub fn optional_text(&self, name: &str) -> Result<Option<&'a str>, Problem> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() > TEXT_LEN_MAX => {
                Err(self.bad(name, format!("has at most {TEXT_LEN_MAX} bytes")))
            }
            Some(Value::String(text)) if text.contains(char::is_control) => {
                Err(self.bad(name, "has a control character"))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.bad(name, "must be a text")),
        }
    }

    /// A text that reads as a `T`: an id, a price, a date, a currency.
    pub fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Problem> {
        self.required(name, self.optional_parsed(name)?)
    }

    /// The same, where the field is there and not null.
    pub fn optional_parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        let text = self.optional_text(name)?;
        text.map(str::parse).transpose().map_err(|error: T::Err| self.bad(name, error))
    }

    /// A whole number from 0.
    pub fn whole(&self, name: &str) -> Result<u64, Problem> {
        let number = match self.fields.get(name) {
            None | Some(Value::Null) => None,
            Some(value) => {
                Some(value.as_u64().ok_or_else(|| self.bad(name, "must be a whole number from 0"))?)
            }
        };
        self.required(name, number)
    }

    /// A list of objects, whose fields have these names and no others.
    pub fn list(&self, name: &str, names: &[&str]) -> Result<Vec<Fields<'a>>, Problem> {
        let items = match self.fields.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::Array(items)) => Some(items),
            Some(_) => return Err(self.bad(name, "must be a list")),
        };
        let items = self.required(name, items)?.iter().enumerate();
        items.map(|(at, item)| Self::at(format!("{}[{at}]", self.path_of(name)), item, names)).collect()
    }

    /// The refusal of a field, for reasons of the caller's own.
    pub fn bad(&self, name: &str, why: impl Display) -> Problem {
        bad_field(&self.path_of(name), why)
    }

    fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, Problem> {
        value.ok_or_else(|| self.bad(name, "is missing"))
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

fn bad_field(path: &str, why: impl Display) -> Problem {
    Problem::bad_request("bad-field", format!("{path}: {why}"))
}

#[cfg(test)]
mod tests {
    use model::{AccountId, Price};

    use super::*;

    /// Reads a body with a text, a price, a number and a list, as a command would.
    fn read(body: &str) -> Result<(), Problem> {
        let body = json(body.as_bytes())?;
        let fields = Fields::of(&body, &["price", "quantity", "accounts"])?;
        fields.parsed::<Price>("price")?;
        fields.whole("quantity")?;
        for account in fields.list("accounts", &["accountId"])? {
            account.parsed::<AccountId>("accountId")?;
        }
        Ok(())
    }

    #[test]
    fn every_mistake_is_told_with_the_path_of_its_field() {
        let good = r#"{"price":"10.25","quantity":3,"accounts":[{"accountId":"A-1"},{"accountId":"A-2"}]}"#;
        assert_eq!(read(good), Ok(()));
        for (from, to, detail) in [
            (r#""10.25""#, "10.25", "price: must be a text"),
            (r#""10.25""#, r#""10,25""#, "price: `10,25` is not a plain decimal number"),
            (r#""10.25""#, "null", "price: is missing"),
            ("3", "-3", "quantity: must be a whole number from 0"),
            ("3", "3.0", "quantity: must be a whole number from 0"),
            (r#""quantity":3,"#, "", "quantity: is missing"),
            ("quantity", "qty", "qty: is not known here; known are price, quantity, accounts"),
            ("A-2", "A 2", "accounts[1].accountId: ` ` at position 1 is not allowed in an id"),
            (r#"{"accountId":"A-2"}"#, "2", "accounts[1]: must be an object"),
            (r#"[{"accountId":"A-1"},{"accountId":"A-2"}]"#, "{}", "accounts: must be a list"),
        ] {
            let refused = read(&good.replacen(from, to, 1)).expect_err(detail);
            assert_eq!(
                (refused.status, refused.code.as_str(), refused.detail.as_str()),
                (400, "bad-field", detail)
            );
        }
        assert_eq!(read("[]").expect_err("no object").detail, "body: must be an object");
        let malformed = read("{\"price\":").expect_err("not JSON");
        assert_eq!(malformed.code, "malformed-json");
        assert!(malformed.detail.contains("line 1 column 9"), "{}", malformed.detail);
    }
}
