//! The service under the host: it counts payments, each by the name of its debtor.
//!
//! What it adds up depends on the order, and what it publishes names the input that it was: so that nothing can be
//! counted twice, left out or turned round without being seen.

use std::collections::BTreeMap;

use bytes::Bytes;
use contracts::events::{NotificationEvent, PaymentEvent};
use contracts::message::DecodeError;
use contracts::stored::Payload;
use contracts::{Message, topics};
use host::log_host::InputRecord;
use host::service::StreamId;
use host::{LogDecision, LogService, LogTopics};
use model::Timestamp;

pub const NAME: &str = "counting";
pub const INPUT: &str = topics::PAYMENT_EVENTS;
pub const OUTPUT: &str = topics::NOTIFICATION_EVENTS;
pub const CHANGELOG: &str = "counting-changelog";
pub const DEAD_LETTERS: &str = "counting-dead-letter";

const MODULUS: u64 = 1_000_003;

pub struct Counter;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    name: String,
    by: u64,
    offset: i64,
}

/// An input has been counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    pub name: String,
    pub by: u64,
    pub offset: i64,
}

/// By name.
pub type Counts = BTreeMap<String, u64>;

impl Payload for Counted {
    fn encode(&self) -> Bytes {
        format!("{} {} {}", self.name, self.by, self.offset).into()
    }

    fn decode(payload: Bytes) -> Result<Self, DecodeError> {
        let read = || {
            let mut words = std::str::from_utf8(&payload).ok()?.split(' ');
            let name = words.next()?.to_owned();
            Some(Self { name, by: words.next()?.parse().ok()?, offset: words.next()?.parse().ok()? })
        };
        read().ok_or(DecodeError::Incomplete("a number"))
    }
}

/// Another order gives another number.
pub fn count(counts: &mut Counts, name: &str, by: u64) -> u64 {
    let value = counts.entry(name.to_owned()).or_default();
    *value = (*value * 31 + by) % MODULUS;
    *value
}

/// An input: nothing to count where `by` is 0.
pub fn input(name: &str, by: u64) -> Message {
    PaymentEvent { debtor: name.to_owned(), amount: by.to_string(), ..PaymentEvent::default() }.into()
}

/// What an input asks for: name and number.
pub fn asked(message: &Message) -> Option<(String, u64)> {
    match message {
        Message::PaymentEvent(event) => {
            let by = event.amount.parse().expect("the test sends numbers");
            (by > 0).then(|| (event.debtor.clone(), by))
        }
        _ => None,
    }
}

impl LogService for Counter {
    const NAME: &'static str = NAME;
    const TOPICS: LogTopics = LogTopics { input: INPUT, changelog: CHANGELOG, dead_letters: DEAD_LETTERS };

    type Command = Add;
    type Event = Counted;
    type State = Counts;

    fn on_record(&self, record: &InputRecord<'_>) -> Option<Add> {
        asked(record.message).map(|(name, by)| Add { name, by, offset: record.offset })
    }

    fn decide(&self, _: Timestamp, Add { name, by, offset }: &Add, state: &Counts) -> LogDecision<Counted> {
        let value = count(&mut state.clone(), name, *by);
        let told = NotificationEvent { notice_id: value.to_string(), ..NotificationEvent::default() };
        LogDecision::none().event(Counted { name: name.clone(), by: *by, offset: *offset }).publish(
            StreamId::new("count", name),
            name,
            told,
        )
    }

    fn apply(&self, state: &mut Counts, event: &Counted) {
        count(state, &event.name, event.by);
    }

    fn snapshot(&self, state: &Counts) -> Option<Bytes> {
        let lines = state.iter().map(|(name, value)| format!("{name} {value}\n"));
        Some(lines.collect::<String>().into())
    }

    fn restore(&self, snapshot: Bytes) -> Option<Counts> {
        let lines = std::str::from_utf8(&snapshot).ok()?.lines();
        lines
            .map(|line| {
                line.split_once(' ').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            })
            .collect()
    }
}
