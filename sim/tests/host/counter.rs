//! The service under the host: it adds up numbers.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use contracts::Message;
use contracts::events::notification_stored::Event;
use contracts::events::{NoticeDue, NotificationEvent};
use host::ports::store::{Column, Table};
use host::{
    Decision, Effect, EffectAnswer, EffectCall, EffectStep, HttpAction, HttpCommand, Lookup, LookupResult,
    NewEffect, Problem, Reject, Service, StreamId, StreamRef, View,
};
use http::{Request, Response, StatusCode};
use model::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::sabotage::IDEMPOTENCY_KEY;

pub const TICK_US: u64 = 10_000_000;

pub static COUNTERS: Table = Table {
    name: "counters",
    columns: &[Column::text("name"), Column::int("value")],
    key: 1,
    serial: false,
    indexes: &[],
};

/// So much cannot be added: the service panics, until it is cured.
pub const POISON: u64 = 1_000_000_007;
/// The counter whose timers and effects panic.
const BOOM: &str = "boom";

#[derive(Default)]
pub struct Counter {
    pub cured: Rc<Cell<bool>>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Body {
    name: String,
    by: u64,
}

#[derive(Clone, Debug)]
pub enum Command {
    Add(Body),
    /// Adds 1 so many times, each time a tick later.
    Ticks(Body),
    Tick(String),
    /// Adds 100 when somebody outside has answered.
    Ping(Body),
    Answered(String),
}

#[derive(Clone, Debug, Default)]
pub struct Count {
    value: u64,
    ticks: u64,
}

impl Command {
    fn is_poison(&self) -> bool {
        match self {
            Self::Add(body) => body.by == POISON,
            Self::Tick(name) | Self::Answered(name) => name == BOOM,
            Self::Ticks(_) | Self::Ping(_) => false,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Add(body) | Self::Ticks(body) | Self::Ping(body) => &body.name,
            Self::Tick(name) | Self::Answered(name) => name,
        }
    }
}

/// An event in the shape that the service of this name stores.
fn event(kind: &str, number: u64) -> Event {
    Event::Due(NoticeDue { event_id: kind.to_owned(), text: number.to_string(), ..NoticeDue::default() })
}

/// What an event adds.
pub fn added(event: &Event) -> Option<u64> {
    match event {
        Event::Due(due) if due.event_id == "add" => due.text.parse().ok(),
        _ => None,
    }
}

fn add(stream: StreamId, before: &Count, by: u64) -> Decision<Event> {
    let (value, name) = (before.value + by, stream.id().to_owned());
    let published =
        NotificationEvent { notice_id: value.to_string(), event_id: name.clone(), ..Default::default() };
    Decision::event(Decision::none(), stream.clone(), event("add", by))
        .put(&COUNTERS, vec![name.as_str().into(), (value as i64).into()])
        .publish(stream, name, "", published)
        .answer(200, json!({ "value": value }))
}

impl Service for Counter {
    const NAME: &'static str = "notification";
    type Command = Command;
    type Event = Event;
    type State = Count;

    fn tables(&self) -> Vec<&'static Table> {
        vec![&COUNTERS]
    }

    fn streams(&self, command: &Command) -> Vec<StreamRef> {
        vec![StreamRef::write("counter", command.name())]
    }

    fn decide(
        &self,
        _: Timestamp,
        command: &Command,
        view: &View<'_, Count>,
    ) -> Result<Decision<Event>, Reject<Event>> {
        assert!(self.cured.get() || !command.is_poison(), "poison");
        let stream = StreamId::new("counter", command.name());
        let state = view.state(&stream);
        let next_tick = view.database_time + Duration::from_micros(TICK_US);
        let timer = format!("tick/{}", command.name());
        Ok(match command {
            Command::Add(Body { by: 0, .. }) => {
                return Err(Decision::none().reject(Problem::unprocessable("nothing-to-add", "by is 0")));
            }
            Command::Add(body) => add(stream, state, body.by),
            Command::Ticks(body) => Decision::none()
                .event(stream, event("ticks", body.by))
                .arm(timer, next_tick)
                .answer(202, json!({})),
            Command::Tick(_) => {
                let fired = add(stream.clone(), state, 1)
                    .event(stream, event("ticks", state.ticks.saturating_sub(1)));
                if state.ticks > 1 { fired.arm(timer, next_tick) } else { fired }
            }
            Command::Ping(body) => Decision::none()
                .effect(NewEffect { id: body.name.clone(), valid_until: None, payload: Bytes::new() })
                .answer(202, json!({})),
            Command::Answered(_) => add(stream, state, 100),
        })
    }

    fn apply(&self, state: &mut Count, event: &Event) {
        let Event::Due(due) = event else { return };
        let number: u64 = due.text.parse().expect("only this service writes its events");
        match due.event_id.as_str() {
            "add" => state.value += number,
            _ => state.ticks = number,
        }
    }

    /// A payment event stands for any message: it adds its amount to its debtor.
    fn on_message(&self, message: &Message) -> Option<Command> {
        match message {
            Message::PaymentEvent(event) => {
                let by = event.amount.parse().expect("the test sends numbers");
                Some(Command::Add(Body { name: event.debtor.clone(), by }))
            }
            _ => None,
        }
    }

    fn on_timer(&self, id: &str) -> Option<Command> {
        id.strip_prefix("tick/").map(|name| Command::Tick(name.to_owned()))
    }

    fn on_request(&self, request: &Request<Bytes>) -> HttpAction<Command> {
        let path = request.uri().path();
        if let Some(name) = path.strip_prefix("/api/v1/counters/") {
            return HttpAction::Read(vec![Lookup::rows(&COUNTERS, None, vec![name.into()], 1)]);
        }
        let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok());
        let body = serde_json::from_slice::<Body>(request.body());
        let (Some(key), Ok(body)) = (key, body) else {
            return HttpAction::Answer(Problem::bad_request("bad-request", path).response());
        };
        let command = match path {
            "/api/v1/increments" => Command::Add(body),
            "/api/v1/ticks" => Command::Ticks(body),
            _ => Command::Ping(body),
        };
        let (scope, idempotency_key) = (format!("client{path}"), key.to_owned());
        HttpAction::Command(HttpCommand { scope, idempotency_key, command })
    }

    fn render(&self, _: &Request<Bytes>, rows: &[LookupResult]) -> Response<Bytes> {
        let value = rows[0].rows().first().map_or(0, |row| row[1].as_int());
        host::http_api::json(200, &json!({ "value": value }))
    }

    fn effect_call(&self, effect: &Effect, step: EffectStep) -> EffectCall {
        let method = if step == EffectStep::Send { "PUT" } else { "GET" };
        let request = Request::builder().method(method).uri(format!("/pings/{}", effect.id));
        let request = request.header(IDEMPOTENCY_KEY, &effect.id);
        let request = request.body(Bytes::new()).expect("a plain request");
        EffectCall { party: "outside", request, timeout: Duration::from_secs(2) }
    }

    fn effect_answer(
        &self,
        effect: &Effect,
        _: EffectStep,
        response: &Response<Bytes>,
    ) -> EffectAnswer<Command> {
        match response.status() {
            StatusCode::OK => EffectAnswer::Definite(Command::Answered(effect.id.clone())),
            _ => EffectAnswer::NotFound { at: Timestamp::UNIX_EPOCH },
        }
    }

    fn effect_can_be_queried(&self, _: &Effect) -> bool {
        true
    }
}
