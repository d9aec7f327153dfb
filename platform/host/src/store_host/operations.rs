//! Requests to the host itself: dead letters for operators, republication for consumers with a gap.
//!
//! - `GET /api/v1/dead-letters`
//! - `POST /api/v1/dead-letters/{id}/replay`
//! - `POST /host/v1/republications {stream, topic, from, to}`: outbox rows are kept, so the relay sends them again.

use bytes::Bytes;
use contracts::Message;
use http::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::StoreHost;
use super::batch::{Batch, Item, ItemKey};
use super::connection::Connection;
use super::duties::Wake;
use super::execute::{Executed, Outcome};
use super::patience::store_unavailable;
use super::replies::Replies;
use super::tables::{DEAD_LETTERS, OUTBOX};
use crate::http_api::{Problem, json as answer};
use crate::ports::store::{Isolation, Role, Row, Scan, Statement, StoreError, Value};
use crate::service::Service;

/// Most dead letters in one answer.
const LETTERS_MAX: usize = 500;

/// A request to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    ListDeadLetters,
    Replay(i64),
    Republish(Republication),
    /// Addressed to the host, and not readable.
    Unreadable(String),
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
            (&Method::GET, ["api", "v1", "dead-letters"]) => Some(Self::ListDeadLetters),
            (&Method::POST, ["api", "v1", "dead-letters", id, "replay"]) => Some(match id.parse() {
                Ok(id) => Self::Replay(id),
                Err(_) => Self::Unreadable(format!("`{id}` is not the number of a dead letter")),
            }),
            (&Method::POST, ["host", "v1", "republications"]) => {
                Some(match serde_json::from_slice(request.body()) {
                    Ok(wanted) => Self::Republish(wanted),
                    Err(error) => Self::Unreadable(error.to_string()),
                })
            }
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
            Operation::Unreadable(why) => Ok(Problem::bad_request("unreadable-request", why).response()),
        };
        result.unwrap_or_else(|_| store_unavailable())
    }

    async fn list_dead_letters(&self, connection: &mut Connection) -> Result<Response<Bytes>, StoreError> {
        let rows = self.dead_letters(connection, Vec::new()).await?;
        let letters: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({
                    "id": row[0].as_int(), "topic": row[1].as_text(), "partition": row[2].as_int(),
                    "offset": row[3].as_int(), "source": row[4].as_text(), "sequence": row[5].as_int(),
                    "reason": row[6].as_text(), "attempts": row[7].as_int(),
                })
            })
            .collect();
        Ok(answer(200, &json!({ "deadLetters": letters })))
    }

    async fn dead_letters(&self, connection: &mut Connection, prefix: Row) -> Result<Vec<Row>, StoreError> {
        let scan =
            Scan { table: &DEAD_LETTERS, index: None, prefix, after: None, up_to: None, limit: LETTERS_MAX };
        let begin = Statement::Begin(Isolation::ReadCommitted);
        let replies = connection.run(vec![begin, Statement::Scan(scan), Statement::Commit]).await?;
        let mut replies = Replies(replies.into_iter());
        replies.begun();
        Ok(replies.rows())
    }

    /// Decodes it once more: a newer build may know what an older one did not.
    async fn replay_dead_letter(
        &self,
        connection: &mut Connection,
        id: i64,
    ) -> Result<Response<Bytes>, StoreError> {
        let Some(row) = self.dead_letters(connection, vec![Value::Int(id)]).await?.pop() else {
            return Ok(Problem::not_found(format!("there is no dead letter {id}")).response());
        };
        let message = match Message::decode(row[1].as_text(), row[8].as_bytes().clone()) {
            Ok(message) if !row[4].as_text().is_empty() => message,
            Ok(_) => return Ok(still_dead("its headers are missing")),
            Err(error) => return Ok(still_dead(&error.to_string())),
        };
        let item = Item {
            command: self.service.on_message(&message),
            cause: format!("dead-letter/{id}"),
            key: ItemKey::Message {
                source: row[4].as_text().to_owned(),
                topic: row[1].as_text().to_owned(),
                sequence: row[5].as_int() as u64,
                payload: row[8].as_bytes().clone(),
                event_id: format!("dead-letter/{id}"),
                parked: false,
            },
        };
        let Executed::Done { outcomes, successors } = self.execute(connection, Batch::of(vec![item])).await
        else {
            unreachable!("only batches with an input position are fenced")
        };
        if matches!(outcomes[..], [Outcome::Parked]) {
            return Ok(still_dead("its predecessors are missing: replay those first"));
        }
        self.take_parked(connection, successors).await;
        self.forget_letters(connection, &row).await?;
        Ok(answer(200, &json!({ "id": id, "status": "REPLAYED" })))
    }

    /// Deletes every letter of the same message: it may have come more than once.
    async fn forget_letters(&self, connection: &mut Connection, row: &Row) -> Result<(), StoreError> {
        let scan = Scan {
            table: &DEAD_LETTERS,
            index: Some("by_message"),
            prefix: vec![row[1].clone(), row[4].clone(), row[5].clone()],
            after: None,
            up_to: None,
            limit: usize::MAX,
        };
        let begin = Statement::Begin(Isolation::ReadCommitted);
        let replies = connection.run(vec![begin, Statement::Scan(scan)]).await?;
        let mut replies = Replies(replies.into_iter());
        replies.begun();
        let delete = |row: &Row| {
            let key = vec![row[0].clone()];
            Statement::DeleteIf { table: &DEAD_LETTERS, key, expected: Vec::new() }
        };
        let mut statements: Vec<Statement> = replies.rows().iter().map(delete).collect();
        statements.push(Statement::Commit);
        connection.run(statements).await.map(drop)
    }

    /// Unmarks the rows, and wakes whoever holds the relay.
    async fn republish(
        &self,
        connection: &mut Connection,
        wanted: &Republication,
    ) -> Result<Response<Bytes>, StoreError> {
        let before = i64::try_from(wanted.from).unwrap_or(i64::MAX).saturating_sub(1);
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
        let mut statements: Vec<Statement> = rows
            .iter()
            .map(|row| Statement::UpdateIf {
                table: &OUTBOX,
                key: vec![row[0].clone()],
                expected: Vec::new(),
                set: vec![(OUTBOX.column("sent"), Value::Int(0))],
            })
            .collect();
        let channel = Wake::channel(&[Wake::Relay]).expect("the relay has a channel");
        statements.extend([Statement::Notify { channel }, Statement::Commit]);
        connection.run(statements).await?;
        self.duties.woken_by(&[Wake::Relay]);
        Ok(answer(200, &json!({ "republished": rows.len() })))
    }
}

fn still_dead(why: &str) -> Response<Bytes> {
    Problem::new(StatusCode::CONFLICT, "still-dead", why).response()
}

/// A consumer's request to the source of a stream.
pub fn republication_request(wanted: &Republication) -> Request<Bytes> {
    Request::post("/host/v1/republications")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(serde_json::to_vec(wanted).expect("plain data serialises")))
        .expect("a constant path and header make a request")
}
