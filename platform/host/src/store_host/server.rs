//! HTTP of a service: commands in batches, once per idempotency key; reads beside them.

use std::collections::BTreeSet;
use std::rc::Rc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use http::{Request, Response, StatusCode};
use xxhash_rust::xxh3::xxh3_64;

use super::StoreHost;
use super::batch::{Batch, Item, ItemKey};
use super::connection::Connection;
use super::execute::{Executed, Outcome, StoredAnswer, key_reused, lookup_statement};
use super::operations::Operation;
use super::replies::Replies;
use crate::http_api::{HttpAction, HttpCommand, Problem};
use crate::ports::Incoming;
use crate::ports::store::{Isolation, Role, Statement};
use crate::service::{Lookup, LookupResult, Service};

type Responder = Box<dyn FnOnce(Response<Bytes>)>;

/// A command that waits for its transaction.
struct Waiting<C> {
    item: Item<C>,
    respond: Responder,
}

impl<C> Waiting<C> {
    /// Scope and idempotency key.
    fn key(&self) -> (String, String) {
        match &self.item.key {
            ItemKey::Http { scope, key, .. } => (scope.clone(), key.clone()),
            _ => unreachable!("requests have request keys"),
        }
    }
}

impl<S: Service> StoreHost<S> {
    /// Serves until the process ends.
    pub(crate) async fn serve(self: &Rc<Self>) {
        let mut waiting: Vec<Waiting<S::Command>> = Vec::new();
        let mut idle = vec![Connection::new(self.ports.clone(), Role::Primary)];
        let mut deciding: FuturesUnordered<LocalBoxFuture<'_, Connection>> = FuturesUnordered::new();
        let mut reading: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        loop {
            if !waiting.is_empty()
                && let Some(connection) = idle.pop()
            {
                let batch = self.next_batch(&mut waiting);
                deciding.push(self.decide_requests(connection, batch).boxed_local());
            }
            futures::select_biased! {
                incoming = self.ports.http.accept().fuse() => match self.admit(incoming) {
                    Admitted::Command(command) => waiting.push(command),
                    Admitted::Read(read) => reading.push(self.read(read).boxed_local()),
                    Admitted::Operation(operation, respond) => {
                        reading.push(self.operate(operation).map(respond).boxed_local());
                    }
                    Admitted::Answered => {}
                },
                connection = deciding.select_next_some() => idle.push(connection),
                () = reading.select_next_some() => {}
            }
        }
    }

    fn admit(&self, incoming: Incoming) -> Admitted<S::Command> {
        let Incoming { request, respond } = incoming;
        if let Some(operation) = Operation::of(&request) {
            return Admitted::Operation(operation, respond);
        }
        match self.service.on_request(&request) {
            HttpAction::Answer(response) => {
                respond(response);
                Admitted::Answered
            }
            HttpAction::Read(lookups) => Admitted::Read(Read { request, lookups, respond }),
            HttpAction::Command(HttpCommand { scope, idempotency_key, command }) => {
                let hash = xxh3_64(request.body()) as i64;
                let cause = format!("request/{scope}/{idempotency_key}");
                let key = ItemKey::Http { scope, key: idempotency_key, hash };
                Admitted::Command(Waiting { item: Item { command: Some(command), cause, key }, respond })
            }
        }
    }

    /// Commands for one transaction. One whose key is in it already waits for the next.
    fn next_batch(&self, waiting: &mut Vec<Waiting<S::Command>>) -> Vec<Waiting<S::Command>> {
        let mut keys = BTreeSet::new();
        let (mut batch, mut rest): (Vec<Waiting<_>>, Vec<Waiting<_>>) = (Vec::new(), Vec::new());
        let mut closed = false;
        for command in waiting.drain(..) {
            let alone = self.stands_alone(&command.item);
            let full = batch.len() >= self.settings.batch_size || (alone && !batch.is_empty());
            if closed || full || !keys.insert(command.key()) {
                rest.push(command);
                continue;
            }
            closed = alone;
            batch.push(command);
        }
        *waiting = rest;
        batch
    }

    async fn decide_requests(
        &self,
        mut connection: Connection,
        batch: Vec<Waiting<S::Command>>,
    ) -> Connection {
        let (items, responders): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.item, waiting.respond)).unzip();
        match self.execute(&mut connection, Batch::of(items)).await {
            Executed::Done { outcomes, .. } => {
                for (outcome, respond) in outcomes.into_iter().zip(responders) {
                    respond(response_of(outcome));
                }
            }
            Executed::Fenced => unreachable!("only records of the log are fenced"),
        }
        connection
    }

    async fn read(&self, read: Read) {
        let Read { request, lookups, respond } = read;
        // A replica would do; with its lag come `version` and `min-version`, which belong to it.
        let mut connection = Connection::new(self.ports.clone(), Role::Primary);
        let mut statements = vec![Statement::Begin(Isolation::ReadCommitted)];
        statements.extend(lookups.iter().map(lookup_statement));
        statements.push(Statement::Commit);
        let response = match connection.run(statements).await {
            Ok(replies) => {
                let mut replies = Replies(replies.into_iter());
                replies.begun();
                let rows: Vec<LookupResult> = lookups.iter().map(|_| replies.lookup()).collect();
                self.service.render(&request, &rows)
            }
            Err(_) => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", "try again").response()
            }
        };
        respond(response);
    }
}

enum Admitted<C> {
    Command(Waiting<C>),
    Read(Read),
    Operation(Operation, Responder),
    Answered,
}

struct Read {
    request: Request<Bytes>,
    lookups: Vec<Lookup>,
    respond: Responder,
}

fn response_of(outcome: Outcome) -> Response<Bytes> {
    match outcome {
        Outcome::Decided(Some(answer)) | Outcome::Duplicate(Some(answer)) => stored_response(answer),
        Outcome::KeyReused => key_reused().response(),
        Outcome::Decided(None) | Outcome::Duplicate(None) | Outcome::Parked | Outcome::DeadLetter => {
            unreachable!("a request has an answer")
        }
    }
}

fn stored_response(answer: StoredAnswer) -> Response<Bytes> {
    let content_type = if answer.status >= 400 { "application/problem+json" } else { "application/json" };
    Response::builder()
        .status(answer.status)
        .header(http::header::CONTENT_TYPE, content_type)
        .body(answer.body)
        .expect("a stored status and a constant header make a response")
}
