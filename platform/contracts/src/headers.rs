//! Record headers: which stream a message comes from, its place in it, and what led to it.

use bytes::Bytes;

/// Names as they stand on the wire.
pub mod name {
    pub const SOURCE: &str = "source-stream";
    pub const SEQUENCE: &str = "sequence";
    pub const EVENT_ID: &str = "event-id";
    pub const CAUSE: &str = "cause";
    pub const TRADE_DATE: &str = "trade-date";
    pub const SCHEMA_VERSION: &str = "schema-version";
}

/// The headers of one message. `(source, topic, sequence)` is gap-free and starts at 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Headers {
    /// `<service>/<stream>`.
    pub source: String,
    pub sequence: u64,
    /// `<service>/<stream>@<version>`: the last event that the decision appended to the source stream.
    pub event_id: String,
    /// The id of the input that led to it.
    pub cause: String,
    /// ISO 8601 date; empty where the message belongs to none.
    pub trade_date: String,
    pub schema_version: u32,
}

impl Headers {
    /// As Kafka record headers.
    pub fn to_pairs(&self) -> Vec<(&'static str, Bytes)> {
        vec![
            (name::SOURCE, self.source.clone().into()),
            (name::SEQUENCE, self.sequence.to_string().into()),
            (name::EVENT_ID, self.event_id.clone().into()),
            (name::CAUSE, self.cause.clone().into()),
            (name::TRADE_DATE, self.trade_date.clone().into()),
            (name::SCHEMA_VERSION, self.schema_version.to_string().into()),
        ]
    }

    /// Reads record headers; `None` if one of source, sequence, event id is missing or not readable.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Option<Self> {
        let mut headers = Self::default();
        for (name, value) in pairs {
            let value = std::str::from_utf8(value).ok()?;
            match name {
                name::SOURCE => headers.source = value.to_owned(),
                name::SEQUENCE => headers.sequence = value.parse().ok()?,
                name::EVENT_ID => headers.event_id = value.to_owned(),
                name::CAUSE => headers.cause = value.to_owned(),
                name::TRADE_DATE => headers.trade_date = value.to_owned(),
                name::SCHEMA_VERSION => headers.schema_version = value.parse().ok()?,
                _ => {}
            }
        }
        let complete = !headers.source.is_empty() && headers.sequence > 0 && !headers.event_id.is_empty();
        complete.then_some(headers)
    }
}
