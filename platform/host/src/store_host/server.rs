//! HTTP of a service: commands in batches, once per idempotency key; reads beside them.

use std::collections::BTreeSet;
use std::rc::Rc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{Fuse, FusedFuture, LocalBoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use http::{Request, Response};
use xxhash_rust::xxh3::xxh3_64;

use super::StoreHost;
use super::batch::{Batch, Item, ItemKey};
use super::connection::Connection;
use super::execute::{Executed, Outcome, StoredAnswer, key_reused, lookup_statement};
use super::operations::Operation;
use super::patience::{Caller, Callers, RETRY_AFTER_S};
use super::replies::Replies;
use crate::http_api::{self, HttpAction, HttpCommand};
use crate::ports::Incoming;
use crate::ports::store::{Isolation, Role, Statement};
use crate::service::{Lookup, LookupResult, Service};

/// A command that waits for its transaction.
struct Waiting<C> {
    item: Item<C>,
    caller: Caller,
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
    /// Serves until the process is to end and all else has ended.
    pub(crate) async fn serve(self: &Rc<Self>) {
        let mut waiting: Vec<Waiting<S::Command>> = Vec::new();
        let mut callers = Callers::default();
        let mut idle = vec![Connection::new(self.ports.clone(), Role::Primary)];
        let mut deciding: FuturesUnordered<LocalBoxFuture<'_, Connection>> = FuturesUnordered::new();
        let mut reading: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        let mut patience = Fuse::terminated();
        loop {
            if !waiting.is_empty()
                && let Some(connection) = idle.pop()
            {
                let batch = self.next_batch(&mut waiting);
                deciding.push(self.decide_requests(connection, batch).boxed_local());
            }
            if deciding.is_empty() && reading.is_empty() && self.shutdown.only_server_is_left() {
                return;
            }
            match callers.next_due() {
                Some(until) if patience.is_terminated() => {
                    patience = self.ports.clock.sleep_until(until).fuse();
                }
                Some(_) => {}
                None => patience = Fuse::terminated(),
            }
            futures::select_biased! {
                incoming = self.ports.http.accept().fuse() => match self.admit(incoming, &mut callers) {
                    Admitted::Command(command) => waiting.push(command),
                    Admitted::Read(read) => reading.push(self.read(read).boxed_local()),
                    Admitted::Operation(operation, caller) => {
                        let answer = move |response| caller.answer(response);
                        reading.push(self.operate(operation).map(answer).boxed_local());
                    }
                    Admitted::Answered => {}
                },
                connection = deciding.select_next_some() => idle.push(connection),
                () = reading.select_next_some() => {}
                () = patience => {
                    callers.dismiss(self.ports.clock.now());
                    waiting.retain(|command| command.caller.is_waiting());
                }
                () = self.shutdown.task_ended().fuse() => {}
            }
        }
    }

    fn admit(&self, incoming: Incoming, callers: &mut Callers) -> Admitted<S::Command> {
        let Incoming { request, respond } = incoming;
        if self.shutdown.is_asked() {
            respond(http_api::unavailable("shutting-down", "this instance ends", RETRY_AFTER_S));
            return Admitted::Answered;
        }
        if let Err(flood) = http_api::check_headers(request.headers()) {
            respond(flood.response());
            return Admitted::Answered;
        }
        let now = self.ports.clock.now();
        if let Some(operation) = Operation::of(&request) {
            return Admitted::Operation(operation, callers.add(now, respond));
        }
        match self.service.on_request(&request) {
            HttpAction::Answer(response) => {
                respond(response);
                Admitted::Answered
            }
            HttpAction::Read(lookups) => {
                Admitted::Read(Read { request, lookups, caller: callers.add(now, respond) })
            }
            HttpAction::Command(HttpCommand { scope, idempotency_key, command }) => {
                let hash = xxh3_64(request.body()) as i64;
                let cause = format!("request/{scope}/{idempotency_key}");
                let key = ItemKey::Http { scope, key: idempotency_key, hash };
                let item = Item::new(Ok(Some(command)), cause, key);
                Admitted::Command(Waiting { item, caller: callers.add(now, respond) })
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
        let (items, callers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.item, waiting.caller)).unzip();
        let anybody_waits = || callers.iter().any(Caller::is_waiting);
        match self.execute_while(&mut connection, Batch::of(items), &anybody_waits).await {
            Some(Executed::Done { outcomes, .. }) => {
                for (outcome, caller) in outcomes.into_iter().zip(&callers) {
                    caller.answer(response_of(outcome));
                }
            }
            Some(Executed::Fenced) => unreachable!("only records of the log are fenced"),
            // All were told to come again, and nothing of theirs may have been committed.
            None => {}
        }
        connection
    }

    async fn read(&self, read: Read) {
        let Read { request, lookups, caller } = read;
        // A replica would do; with its lag come `version` and `min-version`, which belong to it.
        let mut connection = Connection::new(self.ports.clone(), Role::Primary);
        let mut statements = vec![Statement::Begin(Isolation::ReadCommitted)];
        statements.extend(lookups.iter().map(lookup_statement));
        statements.push(Statement::Commit);
        while caller.is_waiting() {
            match connection.run(statements.clone()).await {
                Ok(replies) => {
                    let mut replies = Replies(replies.into_iter());
                    replies.begun();
                    let rows: Vec<LookupResult> = lookups.iter().map(|_| replies.lookup()).collect();
                    caller.answer(self.service.render(&request, &rows));
                }
                Err(_) => connection.back_off().await,
            }
        }
    }
}

enum Admitted<C> {
    Command(Waiting<C>),
    Read(Read),
    Operation(Operation, Caller),
    Answered,
}

struct Read {
    request: Request<Bytes>,
    lookups: Vec<Lookup>,
    caller: Caller,
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
