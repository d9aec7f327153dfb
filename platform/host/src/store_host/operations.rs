//! Requests to the host itself: dead letters for operators, republication for consumers with a gap.
//!
//! - `GET /api/v1/dead-letters`, for operators
//! - `POST /api/v1/dead-letters/{id}/replay`, for operators
//! - `GET /host/v1/heads?topic=…&after=…`: the last sequences of a page of outbox rows, for consumers who may lack some
//! - `POST /host/v1/republications {stream, topic, from, to}`: outbox rows are kept, so the relay sends them again.
//!
//! Who is an operator is the gateway's to find out, and its word is believed, as `x-client` is. What consumers ask
//! for is asked by services, of which nobody has a role; no gateway has a route to it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::StoreHost;
use super::connection::Connection;
use super::duties::Wake;
use super::heads::{HeadsPage, StreamHead};
use super::patience::store_unavailable;
use super::replies::Replies;
use super::tables::OUTBOX;
use crate::http_api::{OPERATOR, Problem, ROLE, json as answer};
use crate::ports::store::{Isolation, Role, Row, Scan, Statement, StoreError, Value};
use crate::service::Service;

/// Rows recorded so long ago are all visible, whatever the order of their ids.
const SETTLED_AFTER_MS: i64 = 600_000;
/// The largest body that is read, in bytes: two names and two numbers are shorter.
const BODY_LEN_MAX: usize = 4_096;

/// A request to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    ListDeadLetters,
    Replay(i64),
    Republish(Republication),
    TellHeads {
        topic: String,
        after: i64,
    },
    /// Addressed to the host, and not readable.
    Unreadable(String),
    /// For operators, and whoever asks is none.
    Forbidden,
}

/// Which messages of a stream are wanted again, first and last included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Republication {
    pub stream: String,
    pub topic: String,
    pub from: u64,
    pub to: u64,
}

impl Operation {
    /// `None`: the request is the service's.
    pub fn of(request: &Request<Bytes>) -> Option<Self> {
        let segments: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        match (request.method(), &segments[..]) {
            (&Method::GET, ["api", "v1", "dead-letters"]) => {
                Some(of_operators(request, Self::ListDeadLetters))
            }
            (&Method::POST, ["api", "v1", "dead-letters", id, "replay"]) => {
                Some(of_operators(request, replay_of(id)))
            }
            (&Method::GET, ["host", "v1", "heads"]) => {
                Some(heads_query(request.uri().query().unwrap_or_default()))
            }
            (&Method::POST, ["host", "v1", "republications"]) => Some(republication_of(request.body())),
            _ => None,
        }
    }
}

impl<S: Service> StoreHost<S> {
    pub(super) async fn operate(&self, operation: Operation) -> Response<Bytes> {
        let mut connection = Connection::new(self.ports.clone(), Role::Primary);
        let result = match operation {
            Operation::ListDeadLetters => self.list_dead_letters(&mut connection).await,
            Operation::Replay(id) => self.replay_dead_letter(&mut connection, id).await,
            Operation::Republish(wanted) => self.republish(&mut connection, &wanted).await,
            Operation::TellHeads { topic, after } => self.tell_heads(&mut connection, &topic, after).await,
            Operation::Forbidden => {
                Ok(Problem::new(StatusCode::FORBIDDEN, "forbidden", "for operators only").response())
            }
            Operation::Unreadable(why) => Ok(Problem::bad_request("unreadable-request", why).response()),
        };
        result.unwrap_or_else(|_| store_unavailable())
    }

    /// Unmarks the rows, page by page, and wakes whoever holds the relay.
    async fn republish(
        &self,
        connection: &mut Connection,
        wanted: &Republication,
    ) -> Result<Response<Bytes>, StoreError> {
        let channel = Wake::channel(&[Wake::Relay]).expect("the relay has a channel");
        let mut before = i64::try_from(wanted.from).unwrap_or(i64::MAX).saturating_sub(1);
        let mut republished = 0;
        loop {
            let scan = Scan {
                table: &OUTBOX,
                index: Some("by_stream"),
                prefix: vec![wanted.stream.as_str().into(), wanted.topic.as_str().into()],
                after: Some(vec![Value::Int(before), Value::Int(i64::MAX)]),
                up_to: Some(Value::Int(i64::try_from(wanted.to).unwrap_or(i64::MAX))),
                limit: self.settings.page_size,
            };
            let begin = Statement::Begin(Isolation::ReadCommitted);
            let replies = connection.run(vec![begin, Statement::Scan(scan)]).await?;
            let mut replies = Replies(replies.into_iter());
            replies.begun();
            let rows = replies.rows();
            let mut statements: Vec<Statement> = rows.iter().map(unmark).collect();
            statements.extend([Statement::Notify { channel }, Statement::Commit]);
            connection.run(statements).await?;
            republished += rows.len();
            match rows.last() {
                Some(row) if rows.len() == self.settings.page_size => before = row[3].as_int(),
                _ => break,
            }
        }
        self.duties.woken_by(&[Wake::Relay]);
        Ok(answer(200, &json!({ "republished": republished })))
    }

    /// The heads among the outbox rows after `after`, one page of them.
    async fn tell_heads(
        &self,
        connection: &mut Connection,
        topic: &str,
        after: i64,
    ) -> Result<Response<Bytes>, StoreError> {
        let scan = Scan {
            table: &OUTBOX,
            index: None,
            prefix: Vec::new(),
            after: Some(vec![Value::Int(after)]),
            up_to: None,
            limit: self.settings.page_size,
        };
        let begin = Statement::Begin(Isolation::ReadCommitted);
        let sent = self.ports.clock.now();
        let replies = connection.run(vec![begin, Statement::Scan(scan), Statement::Commit]).await?;
        let mut replies = Replies(replies.into_iter());
        let (_, now) = replies.begun();
        self.observe_database_time(now, sent);
        let rows = replies.rows();
        let settled_ms = now.as_millisecond() - SETTLED_AFTER_MS;
        let mut page = HeadsPage { settled: after, ..HeadsPage::default() };
        let mut heads: BTreeMap<&str, u64> = BTreeMap::new();
        for row in rows.iter().filter(|row| row[2].as_text() == topic) {
            let last = heads.entry(row[1].as_text()).or_default();
            *last = (*last).max(row[3].as_int().unsigned_abs());
        }
        page.heads =
            heads.into_iter().map(|(stream, last)| StreamHead { stream: stream.to_owned(), last }).collect();
        for row in rows.iter().take_while(|row| row[9].as_int() <= settled_ms) {
            page.settled = row[0].as_int();
        }
        page.next = rows.last().map(|row| row[0].as_int()).filter(|_| rows.len() == self.settings.page_size);
        Ok(answer(200, &page))
    }
}

fn unmark(row: &Row) -> Statement {
    Statement::UpdateIf {
        table: &OUTBOX,
        key: vec![row[0].clone()],
        expected: Vec::new(),
        set: vec![(OUTBOX.column("sent"), Value::Int(0))],
    }
}

/// The operation, if an operator asks for it. Two roles are none.
fn of_operators(request: &Request<Bytes>, operation: Operation) -> Operation {
    let mut roles = request.headers().get_all(ROLE).iter();
    match (roles.next(), roles.next()) {
        (Some(role), None) if role.as_bytes() == OPERATOR.as_bytes() => operation,
        _ => Operation::Forbidden,
    }
}

fn replay_of(id: &str) -> Operation {
    match id.parse() {
        Ok(id) => Operation::Replay(id),
        Err(_) => Operation::Unreadable(format!("`{id}` is not the number of a dead letter")),
    }
}

fn republication_of(body: &[u8]) -> Operation {
    if body.len() > BODY_LEN_MAX {
        return Operation::Unreadable(format!("a body has at most {BODY_LEN_MAX} bytes"));
    }
    match serde_json::from_slice(body) {
        Ok(wanted) => Operation::Republish(wanted),
        Err(error) => Operation::Unreadable(error.to_string()),
    }
}

fn heads_query(query: &str) -> Operation {
    let value = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|pair| pair.1)
    };
    match (value("topic"), value("after").map_or(Ok(0), str::parse)) {
        (Some(topic), Ok(after)) => Operation::TellHeads { topic: topic.to_owned(), after },
        _ => Operation::Unreadable("`topic` is a name, `after` a number".to_owned()),
    }
}

/// A consumer's request to the source of a stream.
pub fn republication_request(wanted: &Republication) -> Request<Bytes> {
    Request::post("/host/v1/republications")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(serde_json::to_vec(wanted).expect("plain data serialises")))
        .expect("a constant path and header make a request")
}
