//! A service: a deterministic, event-sourced state machine that never waits.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contracts::Message;
use contracts::stored::Payload;
use http::{Request, Response};
use model::Timestamp;

use crate::decision::{Decision, Reject};
use crate::http_api::HttpAction;
use crate::ports::store::{Key, Row, Table, Value};

/// Name of a stream within its service: `<kind>/<id>`, e.g. `account/A-17`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(Arc<str>);

impl StreamId {
    pub fn new(kind: &str, id: impl AsRef<str>) -> Self {
        Self(format!("{kind}/{}", id.as_ref()).into())
    }

    /// A stream by its whole name.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the first slash.
    pub fn kind(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(kind, _)| kind)
    }

    /// What stands behind the first slash.
    pub fn id(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, id)| id)
    }

    pub fn to_value(&self) -> Value {
        Value::Text(self.0.clone())
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl Borrow<str> for StreamId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// How a decision uses a stream. Readers share its lock, a writer has it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    Read,
    Write,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRef {
    pub id: StreamId,
    pub access: Access,
}

impl StreamRef {
    pub fn read(kind: &str, id: impl AsRef<str>) -> Self {
        Self { id: StreamId::new(kind, id), access: Access::Read }
    }

    pub fn write(kind: &str, id: impl AsRef<str>) -> Self {
        Self { id: StreamId::new(kind, id), access: Access::Write }
    }
}

/// Rows that a decision or a read needs. A decision's lookups are made under its locks, and only see what a
/// stream that it holds for writing guards: whoever adds such rows reads that stream.
#[derive(Clone, Debug)]
pub struct Lookup {
    pub table: &'static Table,
    pub index: Option<&'static str>,
    pub prefix: Key,
    pub after: Option<Key>,
    pub up_to: Option<Value>,
    pub kind: LookupKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupKind {
    Count,
    Rows { limit: usize },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupResult {
    Count(u64),
    Rows(Vec<Row>),
}

impl LookupResult {
    /// Programmer error where rows were asked for.
    pub fn count(&self) -> u64 {
        match self {
            Self::Count(count) => *count,
            Self::Rows(_) => panic!("the lookup asked for rows"),
        }
    }

    /// Programmer error where a count was asked for.
    pub fn rows(&self) -> &[Row] {
        match self {
            Self::Rows(rows) => rows,
            Self::Count(_) => panic!("the lookup asked for a count"),
        }
    }
}

impl Lookup {
    pub fn count(table: &'static Table, index: Option<&'static str>, prefix: Key) -> Self {
        Self { table, index, prefix, after: None, up_to: None, kind: LookupKind::Count }
    }

    pub fn rows(table: &'static Table, index: Option<&'static str>, prefix: Key, limit: usize) -> Self {
        Self { table, index, prefix, after: None, up_to: None, kind: LookupKind::Rows { limit } }
    }

    pub fn after(mut self, after: Option<Key>) -> Self {
        self.after = after;
        self
    }

    pub fn up_to(mut self, value: Value) -> Self {
        self.up_to = Some(value);
        self
    }
}

/// What a decision may see: the states of the streams that its command named, its lookups, and two clocks.
pub struct View<'a, S> {
    states: &'a BTreeMap<StreamId, S>,
    lookups: &'a [LookupResult],
    absent: &'a S,
    /// The database's clock: for business cut-offs.
    pub database_time: Timestamp,
}

impl<'a, S> View<'a, S> {
    pub fn new(
        states: &'a BTreeMap<StreamId, S>,
        lookups: &'a [LookupResult],
        absent: &'a S,
        database_time: Timestamp,
    ) -> Self {
        Self { states, lookups, absent, database_time }
    }

    /// The state of a named stream; the default state where it has no events yet.
    pub fn state(&self, stream: &StreamId) -> &'a S {
        self.states.get(stream).unwrap_or(self.absent)
    }

    pub fn lookup(&self, position: usize) -> &'a LookupResult {
        &self.lookups[position]
    }
}

/// A stored effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    pub id: String,
    pub valid_until: Option<Timestamp>,
    pub payload: Bytes,
}

/// What the host does with an effect next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectStep {
    Send,
    /// After silence: ask what became of it.
    Query,
}

/// A call to an outside party.
#[derive(Debug)]
pub struct EffectCall {
    pub party: &'static str,
    pub request: Request<Bytes>,
    pub timeout: Duration,
}

/// What a response means for the effect.
#[derive(Debug)]
pub enum EffectAnswer<C> {
    /// The outcome is known: decide this, and the effect is done.
    Definite(C),
    /// Received, not finished: query later.
    Pending,
    /// A query's answer: the other party does not know it, by its own clock `at`.
    NotFound { at: Timestamp },
    /// It did not get through (5xx, 429): the same again later.
    Again,
}

/// A service is a value: its fields are its settings.
pub trait Service: 'static {
    /// As in topics and source streams, e.g. `position`.
    const NAME: &'static str;
    type Command: Clone + std::fmt::Debug + 'static;
    type Event: Payload + std::fmt::Debug + 'static;
    type State: Clone + Default + 'static;

    /// Tables of the read models.
    fn tables(&self) -> Vec<&'static Table> {
        Vec::new()
    }

    /// Every stream that the decision reads or writes; sees neither time nor state.
    fn streams(&self, command: &Self::Command) -> Vec<StreamRef>;

    /// Rows that the decision needs. A command with lookups is decided in a batch of its own.
    fn lookups(&self, _command: &Self::Command) -> Vec<Lookup> {
        Vec::new()
    }

    /// Decides. `now` is the node's clock.
    fn decide(
        &self,
        now: Timestamp,
        command: &Self::Command,
        view: &View<'_, Self::State>,
    ) -> Result<Decision<Self::Event>, Reject<Self::Event>>;

    /// Folds an event into a state. Infallible.
    fn apply(&self, state: &mut Self::State, event: &Self::Event);

    /// The command of a consumed message; `None` where the service has no use for it.
    fn on_message(&self, message: &Message) -> Option<Self::Command>;

    /// The command of a timer that is due, by the id it was armed with.
    fn on_timer(&self, _id: &str) -> Option<Self::Command> {
        None
    }

    /// What an HTTP request means.
    fn on_request(&self, request: &Request<Bytes>) -> HttpAction<Self::Command>;

    /// Renders the rows of a [`HttpAction::Read`].
    fn render(&self, _request: &Request<Bytes>, _rows: &[LookupResult]) -> Response<Bytes> {
        crate::http_api::Problem::not_found("nothing to read here").response()
    }

    /// The call that an effect means. Only asked of services that have effects.
    fn effect_call(&self, _effect: &Effect, _step: EffectStep) -> EffectCall {
        panic!("{} has no effects", Self::NAME)
    }

    /// The receiver of an effect's calls, where a party has several that fail alone: none holds up the others.
    fn effect_lane(&self, _effect: &Effect) -> Option<String> {
        None
    }

    /// What the response to such a call means.
    fn effect_answer(
        &self,
        _effect: &Effect,
        _step: EffectStep,
        _response: &Response<Bytes>,
    ) -> EffectAnswer<Self::Command> {
        panic!("{} has no effects", Self::NAME)
    }

    /// The definite negative: the other party did not know it at a time past `valid_until`.
    fn effect_expired(&self, _effect: &Effect) -> Option<Self::Command> {
        None
    }

    /// Whether silence is resolved by a query; otherwise the effect is simply sent again.
    fn effect_can_be_queried(&self, _effect: &Effect) -> bool {
        false
    }

    /// Timers to arm when an instance takes over the duties, if they are not armed: periodic work.
    fn standing_timers(&self, _now: Timestamp) -> Vec<(String, Timestamp)> {
        Vec::new()
    }
}
