//! What a decision asks of its host, all of it in one transaction.

use bytes::Bytes;
use contracts::Message;
use model::Timestamp;

use crate::http_api::Problem;
use crate::ports::store::{Key, Row, Table};
use crate::service::StreamId;

/// Events, messages, rows, timers, effects; and the answer, where somebody waits for one.
#[derive(Clone, Debug)]
pub struct Decision<E> {
    /// Appended to streams that the command named for writing.
    pub events: Vec<(StreamId, E)>,
    pub messages: Vec<Outgoing>,
    pub rows: Vec<RowChange>,
    pub timers: Vec<TimerChange>,
    pub effects: Vec<NewEffect>,
    pub answer: Option<Answer>,
}

/// A refusal: what is recorded and published of it, and what the caller is told.
#[derive(Clone, Debug)]
pub struct Reject<E> {
    pub problem: Problem,
    /// Events and messages of the refusal.
    pub decision: Decision<E>,
}

/// A message to publish, in the sequence of its source stream, which the command names for writing.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    pub stream: StreamId,
    pub key: String,
    /// ISO 8601; empty where the message belongs to no trade date.
    pub trade_date: String,
    pub message: Message,
}

/// A change of a read model.
#[derive(Clone, Debug)]
pub enum RowChange {
    Put { table: &'static Table, row: Row },
    Delete { table: &'static Table, key: Key },
}

/// Timers are named; arming an armed one moves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerChange {
    Arm {
        id: String,
        due: Timestamp,
    },
    /// Only if it is not armed for an earlier time already.
    ArmNoLater {
        id: String,
        due: Timestamp,
    },
    Cancel {
        id: String,
    },
}

/// Something to do in the outside world, until there is a definite answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEffect {
    /// Stable: the same decision taken again gives the same id.
    pub id: String,
    /// After this, in the other party's time, "not found" is definite.
    pub valid_until: Option<Timestamp>,
    pub payload: Bytes,
}

/// The HTTP answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: serde_json::Value,
}

impl<E> Default for Decision<E> {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            messages: Vec::new(),
            rows: Vec::new(),
            timers: Vec::new(),
            effects: Vec::new(),
            answer: None,
        }
    }
}

impl<E> Decision<E> {
    /// Nothing to do: a duplicate, or news that changes nothing.
    pub fn none() -> Self {
        Self::default()
    }

    pub fn event(mut self, stream: StreamId, event: impl Into<E>) -> Self {
        self.events.push((stream, event.into()));
        self
    }

    pub fn publish(
        mut self,
        stream: StreamId,
        key: impl Into<String>,
        trade_date: impl Into<String>,
        message: impl Into<Message>,
    ) -> Self {
        let (key, trade_date, message) = (key.into(), trade_date.into(), message.into());
        self.messages.push(Outgoing { stream, key, trade_date, message });
        self
    }

    pub fn put(mut self, table: &'static Table, row: Row) -> Self {
        self.rows.push(RowChange::Put { table, row });
        self
    }

    pub fn delete(mut self, table: &'static Table, key: Key) -> Self {
        self.rows.push(RowChange::Delete { table, key });
        self
    }

    pub fn arm(mut self, id: impl Into<String>, due: Timestamp) -> Self {
        self.timers.push(TimerChange::Arm { id: id.into(), due });
        self
    }

    pub fn arm_no_later(mut self, id: impl Into<String>, due: Timestamp) -> Self {
        self.timers.push(TimerChange::ArmNoLater { id: id.into(), due });
        self
    }

    pub fn cancel(mut self, id: impl Into<String>) -> Self {
        self.timers.push(TimerChange::Cancel { id: id.into() });
        self
    }

    pub fn effect(mut self, effect: NewEffect) -> Self {
        self.effects.push(effect);
        self
    }

    pub fn answer(mut self, status: u16, body: serde_json::Value) -> Self {
        self.answer = Some(Answer { status, body });
        self
    }

    pub fn and(mut self, other: Self) -> Self {
        self.events.extend(other.events);
        self.messages.extend(other.messages);
        self.rows.extend(other.rows);
        self.timers.extend(other.timers);
        self.effects.extend(other.effects);
        self.answer = other.answer.or(self.answer);
        self
    }

    pub fn reject(self, problem: Problem) -> Reject<E> {
        Reject { problem, decision: self }
    }
}
