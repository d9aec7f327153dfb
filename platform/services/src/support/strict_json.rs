//! JSON of strangers, read in one way only: UTF-8 without a byte order mark, no field twice in an object, and no
//! deeper than anything here nests. (RFC 8259 leaves the meaning of repeated names open; RFC 7493 forbids them.)

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep objects and lists may nest. The deepest body there is has three levels.
pub const DEPTH_MAX: u32 = 16;

/// Reads a whole text as one value.
///
/// # Errors
/// What is wrong, with line and column where there is one.
pub fn read(bytes: &[u8]) -> Result<Value, String> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err("the text begins with a byte order mark".to_owned());
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("the text is not UTF-8 from byte {} on", error.valid_up_to()))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0 }.deserialize(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// A value that stands `depth` levels deep.
#[derive(Clone, Copy)]
struct Strict {
    depth: u32,
}

impl Strict {
    fn inner<E: Error>(self) -> Result<Self, E> {
        match self.depth < DEPTH_MAX {
            true => Ok(Self { depth: self.depth + 1 }),
            false => Err(E::custom(format!("nested deeper than {DEPTH_MAX} levels"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    /// Never meant for anything: a field that wants a number wants a whole one, and says so.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("field `{name}` stands twice")));
            }
            object.insert(name, entries.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_well_formed_reads_as_it_always_did() {
        for text in [
            "null",
            " true ",
            r#"{"a":[1,-2,1.5,"x",{"b":null}],"c":{}}"#,
            "18446744073709551615",
            r#""\u00e9\ud83d\ude00""#,
        ] {
            assert_eq!(read(text.as_bytes()), Ok(serde_json::from_str(text).expect("JSON")), "{text}");
        }
        assert_eq!(read(br#"{"a":{"x":1},"b":{"x":2}}"#), Ok(json!({ "a": { "x": 1 }, "b": { "x": 2 } })));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_read() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(deep(16).as_bytes()).is_ok());
        for (text, why) in [
            (r#"{"a":1,"a":1}"#.to_owned(), "field `a` stands twice"),
            (r#"{"a":1,"\u0061":2}"#.to_owned(), "field `a` stands twice"),
            (r#"[{"b":{"c":1,"c":1}}]"#.to_owned(), "field `c` stands twice"),
            (deep(17), "nested deeper than 16 levels"),
            ("[".repeat(60_000), "nested deeper than 16 levels"),
            (r#"{"a":"#.repeat(10_000), "nested deeper than 16 levels"),
            ("\u{feff}{}".to_owned(), "byte order mark"),
            ("{} {}".to_owned(), "trailing characters"),
            ("{},".to_owned(), "trailing characters"),
            ("NaN".to_owned(), "expected value"),
            ("Infinity".to_owned(), "expected value"),
            ("1e999".to_owned(), "number out of range"),
            ("01".to_owned(), "invalid number"),
            ("\"a\u{1}b\"".to_owned(), "control character"),
            (r#""\ud800""#.to_owned(), "end of hex escape"),
            (r#"{'a':1}"#.to_owned(), "key must be a string"),
            ("// x\n{}".to_owned(), "expected value"),
            (String::new(), "EOF"),
        ] {
            let error = read(text.as_bytes()).expect_err(why);
            assert!(error.contains(why), "{:.40}: {error}", text);
        }
        let utf16: Vec<u8> = "{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(read(&utf16).is_err());
        assert_eq!(read(b"{\"a\":\"\xff\"}"), Err("the text is not UTF-8 from byte 6 on".to_owned()));
        // An overlong encoding of `/`, and a surrogate: neither is UTF-8.
        assert!(read(b"\"\xc0\xaf\"").is_err() && read(b"\"\xed\xa0\x80\"").is_err());
    }
}
