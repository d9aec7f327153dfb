//! What a service on a LogHost is: pure functions of an input, the state of its partition, and the clock.

use bytes::Bytes;
use contracts::stored::Payload;
use contracts::{Headers, Message};
use model::Timestamp;

use crate::decision::Outgoing;
use crate::service::StreamId;

/// The topics of a service on a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTopics {
    /// What is decided, in the order of each partition. Timers and reference data arrive in here too.
    pub input: &'static str,
    /// The service's own: as many partitions as the input, and nobody else writes there. Without snapshots it is kept
    /// for ever.
    pub changelog: &'static str,
    /// Inputs that cannot be decoded.
    pub dead_letters: &'static str,
}

/// An input as it stands in the log.
#[derive(Clone, Debug)]
pub struct InputRecord<'a> {
    pub message: &'a Message,
    /// `None` where the record carries none, or not all that they need.
    pub headers: Option<&'a Headers>,
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
}

/// What a decision asks of its host, all of it in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct LogDecision<E> {
    /// Appended to the changelog, in this order.
    pub events: Vec<E>,
    /// Published in the sequence of their source streams. A stream belongs to one input partition.
    pub messages: Vec<Outgoing>,
}

/// A service whose state lives in memory, one for each input partition, and is a fold over the changelog.
///
/// Nothing but the record, the state and the clock may influence a decision. An input that comes twice (a producer
/// that repeats itself without idempotence) is the service's to recognise, by business identifiers.
pub trait LogService: 'static {
    /// Also the consumer group, and the beginning of each `transactional.id`.
    const NAME: &'static str;
    const TOPICS: LogTopics;

    type Command;
    type Event: Payload;
    type State: Default;

    /// What a record asks for; `None` where it is of no interest.
    fn on_record(&self, record: &InputRecord<'_>) -> Option<Self::Command>;

    /// Reads, writes nothing. A refusal is an event and a message like any other outcome.
    fn decide(
        &self,
        now: Timestamp,
        command: &Self::Command,
        state: &Self::State,
    ) -> LogDecision<Self::Event>;

    /// Infallible: recovery is a fold over stored events.
    fn apply(&self, state: &mut Self::State, event: &Self::Event);

    /// The state as bytes, so that the changelog before it may be deleted. `None`: this service takes no snapshots.
    fn snapshot(&self, _: &Self::State) -> Option<Bytes> {
        None
    }

    /// The state that a snapshot stands for; `None` where the bytes are none of [`LogService::snapshot`].
    fn restore(&self, _: Bytes) -> Option<Self::State> {
        None
    }
}

impl<E> LogDecision<E> {
    pub fn none() -> Self {
        Self { events: Vec::new(), messages: Vec::new() }
    }

    pub fn event(mut self, event: E) -> Self {
        self.events.push(event);
        self
    }

    pub fn publish(mut self, stream: StreamId, key: impl Into<String>, message: impl Into<Message>) -> Self {
        let (key, message, trade_date) = (key.into(), message.into(), String::new());
        self.messages.push(Outgoing { stream, key, trade_date, message });
        self
    }
}
