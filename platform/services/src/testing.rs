//! The one way to test a service: a [`Bench`] feeds it messages, timers, requests and answers of outside
//! parties, keeps what the host would keep, and renders one line per outcome for inline snapshots.
//!
//! It holds every decision to the host's contract on the way: written streams are named for writing, lookups
//! name declared tables, deciding twice gives the same, events survive their encoding. It leaves out what is
//! the host's business: inbox, sequences of incoming messages, locks, retries.

mod compact;
pub mod edge;
pub mod hosted;
mod tables;
pub mod tokens;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use contracts::Message;
use contracts::events::Trade;
use contracts::stored::Payload;
use host::ports::store::{Row, Table, Value};
use host::{
    Access, Answer, Decision, Effect, EffectAnswer, EffectStep, HttpAction, LookupResult, Outgoing, Problem,
    RowChange, Service, StreamId, StreamRef, TimerChange, View,
};
use http::{Method, Request, Response};
use model::Timestamp;

use self::compact::compact;
use self::tables::Tables;

/// A service value with everything that its host would remember of it.
pub struct Bench<S: Service> {
    pub service: S,
    /// The node's clock and the database's, one and the same here.
    pub now: Timestamp,
    states: BTreeMap<StreamId, S::State>,
    absent: S::State,
    tables: Tables,
    timers: BTreeMap<String, Timestamp>,
    effects: BTreeMap<String, Effect>,
    sequences: BTreeMap<(StreamId, &'static str), u64>,
    /// Every message that was published, in order: to hand on, or to feed again.
    pub published: Vec<Outgoing>,
}

impl<S: Service> Bench<S> {
    /// A bench at an instant such as `2026-03-06T09:30:00-05:00`.
    pub fn new(service: S, now: &str) -> Self {
        let tables = Tables::new(service.tables());
        Self {
            service,
            now: instant(now),
            states: BTreeMap::new(),
            absent: S::State::default(),
            tables,
            timers: BTreeMap::new(),
            effects: BTreeMap::new(),
            sequences: BTreeMap::new(),
            published: Vec::new(),
        }
    }

    /// Moves the clock. Timers do not fire by themselves.
    pub fn at(&mut self, now: &str) {
        self.now = instant(now);
    }

    /// Appends an event without a decision, as the opening of a simulation does.
    pub fn seed(&mut self, stream: &str, event: impl Into<S::Event>) {
        self.append(&StreamId::named(stream), &event.into());
    }

    /// Puts a row without a decision.
    pub fn seed_row(&mut self, table: &'static Table, row: Row) {
        self.tables.put(table, row);
    }

    pub fn state(&self, stream: &str) -> &S::State {
        self.states.get(stream).unwrap_or(&self.absent)
    }

    /// A consumed message. Ids that are hashes are shown by their beginning.
    pub fn message(&mut self, message: impl Into<Message>) -> String {
        let message = message.into();
        let message =
            Message::decode(message.topic(), message.encode()).expect("messages survive their encoding");
        match self.service.on_message(&message) {
            Some(command) => self.command(&command),
            None => "ignored\n".to_owned(),
        }
    }

    /// A timer that fires, armed or not: a second firing is something that happens.
    pub fn timer(&mut self, id: &str) -> String {
        self.timers.remove(id);
        match self.service.on_timer(id) {
            Some(command) => self.command(&command),
            None => "ignored\n".to_owned(),
        }
    }

    /// Fires every timer that is due, in order of time and id, until none is.
    pub fn due_timers(&mut self) -> String {
        let mut lines = String::new();
        while let Some(id) = self.next_due() {
            writeln!(lines, "fire     {}", short_ids(&id)).expect("a String takes all");
            lines += &self.timer(&id);
        }
        lines
    }

    fn next_due(&self) -> Option<String> {
        let due = self.timers.iter().filter(|(_, due)| **due <= self.now);
        due.min_by_key(|(id, due)| (**due, *id)).map(|(id, _)| id.clone())
    }

    /// The armed timers, one per line.
    pub fn armed(&self) -> String {
        self.timers.iter().map(|(id, due)| format!("{id} at {due}\n")).collect()
    }

    /// A request with client `client-1` and the idempotency key. `body` may be empty.
    pub fn post(&mut self, path: &str, key: &str, body: &str) -> String {
        let headers = [("x-client", "client-1"), ("idempotency-key", key)];
        self.request(request(Method::POST, path, &headers, body))
    }

    pub fn get(&mut self, path: &str) -> String {
        self.request(request(Method::GET, path, &[], ""))
    }

    /// Any request.
    pub fn request(&mut self, request: Request<Bytes>) -> String {
        match self.service.on_request(&request) {
            HttpAction::Command(http) => {
                let head = format!("command  {} / {}\n", http.scope, http.idempotency_key);
                head + &self.command(&http.command)
            }
            HttpAction::Read(lookups) => {
                let results: Vec<LookupResult> =
                    lookups.iter().map(|lookup| self.tables.look_up(lookup)).collect();
                render_response(&self.service.render(&request, &results))
            }
            HttpAction::Answer(response) => render_response(&response),
        }
    }

    /// The calls that pending effects mean at this step.
    pub fn effect_calls(&self, step: EffectStep) -> String {
        let calls = self.effects.values().map(|effect| {
            let call = self.service.effect_call(effect, step);
            let body = String::from_utf8_lossy(call.request.body()).into_owned();
            format!("{}: {} {} {} {body}", effect.id, call.party, call.request.method(), call.request.uri())
        });
        calls.map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    /// An outside party's response to an effect. A definite one ends it.
    pub fn effect_answer(&mut self, id: &str, step: EffectStep, status: u16, body: &str) -> String {
        let effect = self.pending_effect(id);
        let response = Response::builder().status(status).body(Bytes::copy_from_slice(body.as_bytes()));
        match self.service.effect_answer(&effect, step, &response.expect("a valid status")) {
            EffectAnswer::Definite(command) => {
                self.effects.remove(id);
                self.command(&command)
            }
            EffectAnswer::Pending => "pending\n".to_owned(),
            EffectAnswer::NotFound { at } => format!("not found at {at}\n"),
            EffectAnswer::Again => "again\n".to_owned(),
        }
    }

    /// The definite negative of an effect.
    pub fn effect_expired(&mut self, id: &str) -> String {
        let effect = self.pending_effect(id);
        self.effects.remove(id);
        match self.service.effect_expired(&effect) {
            Some(command) => self.command(&command),
            None => "ignored\n".to_owned(),
        }
    }

    /// Whether an effect is pending, and whether its silence is resolved by a query.
    pub fn queries(&self, id: &str) -> bool {
        self.service.effect_can_be_queried(&self.pending_effect(id))
    }

    /// The receiver of an effect, where its party has several.
    pub fn lane(&self, id: &str) -> Option<String> {
        self.service.effect_lane(&self.pending_effect(id))
    }

    fn pending_effect(&self, id: &str) -> Effect {
        self.effects.get(id).unwrap_or_else(|| panic!("no effect {id} is pending")).clone()
    }

    /// All rows of a table, one per line.
    pub fn rows(&self, table: &'static Table) -> String {
        self.tables.all(table).map(|row| render_row(row) + "\n").collect()
    }

    /// Decides a command and keeps the outcome.
    pub fn command(&mut self, command: &S::Command) -> String {
        let streams = self.service.streams(command);
        let named: BTreeMap<StreamId, S::State> = streams
            .iter()
            .filter_map(|stream| Some((stream.id.clone(), self.states.get(&stream.id)?.clone())))
            .collect();
        let lookups: Vec<LookupResult> =
            self.service.lookups(command).iter().map(|lookup| self.tables.look_up(lookup)).collect();
        let view = View::new(&named, &lookups, &self.absent, self.now);
        let outcome = self.service.decide(self.now, command, &view);
        let again = self.service.decide(self.now, command, &view);
        assert_eq!(format!("{outcome:?}"), format!("{again:?}"), "deciding twice gives the same");
        let lines = match outcome {
            Ok(decision) => {
                let lines = self.keep(decision, &streams);
                if lines.is_empty() { "nothing\n".to_owned() } else { lines }
            }
            Err(reject) => {
                assert_eq!(reject.decision.answer, None, "the answer of a reject is its problem");
                let lines = self.keep(reject.decision, &streams);
                lines + &format!("reject   {}\n", render_problem(&reject.problem))
            }
        };
        short_ids(&lines)
    }

    fn keep(&mut self, decision: Decision<S::Event>, streams: &[StreamRef]) -> String {
        let written = |stream: &StreamId| {
            let named = streams.iter().any(|named| named.id == *stream && named.access == Access::Write);
            assert!(named, "the decision writes {stream}, which the command does not name for writing");
        };
        let mut lines = Vec::new();
        for (stream, event) in decision.events {
            written(&stream);
            lines.push(format!("event    {stream} {}", compact(&event)));
            self.append(&stream, &event);
        }
        for message in decision.messages {
            written(&message.stream);
            lines.push(self.publish(message));
        }
        for row in decision.rows {
            lines.push(self.change(row));
        }
        for timer in decision.timers {
            lines.push(self.arm(timer));
        }
        for effect in decision.effects {
            lines.push(self.start(&effect.id, effect.valid_until, effect.payload));
        }
        lines.extend(decision.answer.map(|answer| render_answer(&answer)));
        lines.into_iter().map(|line| line + "\n").collect()
    }

    fn append(&mut self, stream: &StreamId, event: &S::Event) {
        let stored = S::Event::decode(event.encode()).expect("events survive their encoding");
        self.service.apply(self.states.entry(stream.clone()).or_default(), &stored);
    }

    fn publish(&mut self, outgoing: Outgoing) -> String {
        let sequence = self.sequences.entry((outgoing.stream.clone(), outgoing.message.topic())).or_default();
        *sequence += 1;
        let line = format!(
            "publish  {} #{sequence} from {} key {} date {} {}",
            outgoing.message.topic(),
            outgoing.stream,
            outgoing.key,
            if outgoing.trade_date.is_empty() { "-" } else { &outgoing.trade_date },
            compact(&outgoing.message),
        );
        self.published.push(outgoing);
        line
    }

    fn change(&mut self, change: RowChange) -> String {
        match change {
            RowChange::Put { table, row } => {
                let line = format!("put      {} {}", table.name, render_row(&row));
                self.tables.put(table, row);
                line
            }
            RowChange::Delete { table, key } => {
                let line = format!("delete   {} {}", table.name, render_row(&key));
                self.tables.delete(table, &key);
                line
            }
        }
    }

    fn arm(&mut self, change: TimerChange) -> String {
        match change {
            TimerChange::Arm { id, due } => {
                let line = format!("arm      {id} at {due}");
                self.timers.insert(id, due);
                line
            }
            TimerChange::ArmNoLater { id, due } => {
                let line = format!("arm      {id} no later than {due}");
                let armed = self.timers.entry(id).or_insert(due);
                *armed = due.min(*armed);
                line
            }
            TimerChange::Cancel { id } => {
                self.timers.remove(&id);
                format!("cancel   {id}")
            }
        }
    }

    fn start(&mut self, id: &str, valid_until: Option<Timestamp>, payload: Bytes) -> String {
        let until = valid_until.map(|at| format!(" until {at}")).unwrap_or_default();
        let effect = Effect { id: id.to_owned(), valid_until, payload };
        self.effects.insert(id.to_owned(), effect);
        format!("effect   {id}{until}")
    }
}

/// A request as a gateway would pass it on. A body is JSON.
pub fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Bytes> {
    let mut request = Request::builder().method(method).uri(path);
    if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Bytes::copy_from_slice(body.as_bytes())).expect("a valid request")
}

/// A-1 buys 100 IBM at 10.25 of A-2.
pub fn trade(trade_id: &str, trade_date: &str) -> Trade {
    Trade {
        trade_id: trade_id.into(),
        instrument_id: "IBM".into(),
        buyer_account_id: "A-1".into(),
        seller_account_id: "A-2".into(),
        quantity: 100,
        price: "10.25".into(),
        currency: "USD".into(),
        trade_date: trade_date.into(),
    }
}

/// An instant, from RFC 3339 text.
pub fn instant(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("`{text}` is not an instant: {error}"))
}

fn render_row(row: &[Value]) -> String {
    let values = row.iter().map(|value| match value {
        Value::Null => "null".to_owned(),
        Value::Text(text) if text.is_empty() => "-".to_owned(),
        Value::Int(value) => value.to_string(),
        Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => format!("<{} bytes>", bytes.len()),
    });
    values.collect::<Vec<_>>().join(" | ")
}

fn render_answer(answer: &Answer) -> String {
    format!("answer   {} {}", answer.status, answer.body)
}

fn render_problem(problem: &Problem) -> String {
    let instance =
        if problem.instance.is_empty() { String::new() } else { format!(" [{}]", problem.instance) };
    format!("{} {}{instance} {}", problem.status, problem.code, problem.detail)
}

/// Status and body of a response, as a line.
pub fn render_response(response: &Response<Bytes>) -> String {
    let body = String::from_utf8_lossy(response.body());
    short_ids(&format!("answer   {} {body}\n", response.status().as_u16()))
}

/// Ids that are hashes (32 hex digits), by their first six: `6f7078…`.
fn short_ids(text: &str) -> String {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_hex) {
        let (before, from) = rest.split_at(start);
        let len = from.find(|c| !is_hex(c)).unwrap_or(from.len());
        short += before;
        match len {
            32 => short.extend([&from[..6], "…"]),
            _ => short += &from[..len],
        }
        rest = &from[len..];
    }
    short + rest
}
