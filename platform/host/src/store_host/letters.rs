//! Dead letters: what could not be decoded, or panicked three times, kept for an operator.
//!
//! A replay is one more input: of a message, taken in its stream's order and deleted in the same transaction; of a
//! timer, the timer armed again; of an effect, the effect there again, to be asked about first. So two operators, or
//! one who asks twice, get one effect.

use bytes::Bytes;
use contracts::Message;
use http::{Response, StatusCode};
use serde_json::json;

use super::StoreHost;
use super::batch::{Batch, Item, ItemKey, Origin, effect_name, timer_name};
use super::connection::Connection;
use super::duties::Wake;
use super::execute::{Executed, Outcome};
use super::panics::{Panicked, caught, forget};
use super::patience::store_unavailable;
use super::replies::Replies;
use super::tables::{DEAD_LETTERS, EFFECTS, TIMERS};
use super::writes::{EFFECT_LETTERS, TIMER_LETTERS};
use crate::http_api::{Problem, json as answer};
use crate::ports::store::{
    Isolation, LockMode, LockWait, OnConflict, Row, Scan, Statement, StoreError, Value,
};
use crate::service::{Effect, Service};

/// Most dead letters in one answer.
const LETTERS_MAX: usize = 500;

impl<S: Service> StoreHost<S> {
    pub(super) async fn list_dead_letters(
        &self,
        connection: &mut Connection,
    ) -> Result<Response<Bytes>, StoreError> {
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

    /// Has it taken in once more: a newer build may know what an older one did not.
    pub(super) async fn replay_dead_letter(
        &self,
        connection: &mut Connection,
        id: i64,
    ) -> Result<Response<Bytes>, StoreError> {
        let Some(row) = self.dead_letters(connection, vec![Value::Int(id)]).await?.pop() else {
            return Ok(Problem::not_found(format!("there is no dead letter {id}")).response());
        };
        match row[1].as_text() {
            TIMER_LETTERS => self.revive(connection, &row, self.timer_of(&row)).await,
            EFFECT_LETTERS => self.revive(connection, &row, self.effect_of(&row)).await,
            _ => self.replay_message(connection, &row).await,
        }
    }

    async fn replay_message(
        &self,
        connection: &mut Connection,
        row: &Row,
    ) -> Result<Response<Bytes>, StoreError> {
        let id = row[0].as_int();
        let message = match Message::decode(row[1].as_text(), row[8].as_bytes().clone()) {
            Ok(message) if !row[4].as_text().is_empty() => message,
            Ok(_) => return Ok(still_dead("its headers are missing")),
            Err(error) => return Ok(still_dead(&error.to_string())),
        };
        let key = ItemKey::Message {
            source: row[4].as_text().to_owned(),
            topic: row[1].as_text().to_owned(),
            sequence: row[5].as_int() as u64,
            payload: row[8].as_bytes().clone(),
            event_id: format!("dead-letter/{id}"),
            origin: Origin::DeadLetter(id),
        };
        let command = caught(|| self.service.on_message(&message));
        let batch = Batch::of(vec![Item::new(command, format!("dead-letter/{id}"), key)]);
        let (outcomes, successors) = match self.try_execute(connection, &batch, &|| true).await {
            Ok(Some(Executed::Done { outcomes, successors })) => (outcomes, successors),
            Ok(Some(Executed::Fenced)) => unreachable!("only batches with an input position are fenced"),
            Ok(None) => return Ok(store_unavailable()),
            Err(Panicked { why, .. }) => return Ok(still_dead(&format!("panicked again: {why}"))),
        };
        if matches!(outcomes[..], [Outcome::Parked]) {
            return Ok(still_dead("its predecessors are missing: replay those first"));
        }
        self.take_parked(connection, successors).await;
        self.forget_letters(connection, row).await?;
        Ok(replayed(id))
    }

    /// The row that a timer's letter stands for, due at once.
    fn timer_of(&self, row: &Row) -> (Statement, String, Wake) {
        let due = self.database_now();
        let (id, sequence) = (row[4].clone(), row[5].as_int());
        let name = timer_name(id.as_text(), sequence);
        let timer = vec![id, Value::Int(due.as_millisecond()), Value::Int(sequence)];
        let arm = Statement::Insert { table: &TIMERS, row: timer, on_conflict: OnConflict::DoNothing };
        (arm, name, Wake::Timers { due })
    }

    /// The row that an effect's letter stands for. Whether it was sent is not known, so it is asked about if it can be.
    fn effect_of(&self, row: &Row) -> (Statement, String, Wake) {
        let (id, payload) = (row[4].as_text().to_owned(), row[8].as_bytes().clone());
        let valid_until_ms = Some(row[3].as_int()).filter(|at| *at >= 0);
        let valid_until = valid_until_ms.map(|at| super::shifted(model::Timestamp::UNIX_EPOCH, at));
        let effect = Effect { id, valid_until, payload };
        let step = i64::from(self.service.effect_can_be_queried(&effect));
        let stored = vec![
            row[4].clone(),
            row[8].clone(),
            valid_until_ms.map_or(Value::Null, Value::Int),
            Value::Int(step),
            Value::Int(0),
            Value::Int(self.database_now().as_millisecond()),
        ];
        let insert = Statement::Insert { table: &EFFECTS, row: stored, on_conflict: OnConflict::DoNothing };
        (insert, effect_name(&effect.id), Wake::Effects)
    }

    /// Puts back what a letter stands for, once, and forgets its panics.
    async fn revive(
        &self,
        connection: &mut Connection,
        row: &Row,
        (put_back, name, wake): (Statement, String, Wake),
    ) -> Result<Response<Bytes>, StoreError> {
        let keys = vec![vec![row[0].clone()]];
        let (mode, wait) = (LockMode::Update, LockWait::Wait);
        let begin = Statement::Begin(Isolation::ReadCommitted);
        let lock = Statement::Lock { table: &DEAD_LETTERS, keys, mode, wait };
        let mut replies = Replies(connection.run(vec![begin, lock]).await?.into_iter());
        replies.begun();
        if replies.rows().is_empty() {
            connection.run(vec![Statement::Rollback]).await?;
            return Ok(replayed(row[0].as_int()));
        }
        let key = vec![row[0].clone()];
        let channel = Wake::channel(&[wake]).expect("every duty has a channel");
        let delete = Statement::DeleteIf { table: &DEAD_LETTERS, key, expected: Vec::new() };
        let statements =
            vec![delete, put_back, forget(&name), Statement::Notify { channel }, Statement::Commit];
        connection.run(statements).await?;
        self.duties.woken_by(&[wake]);
        Ok(replayed(row[0].as_int()))
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
}

fn replayed(id: i64) -> Response<Bytes> {
    answer(200, &json!({ "id": id, "status": "REPLAYED" }))
}

fn still_dead(why: &str) -> Response<Bytes> {
    Problem::new(StatusCode::CONFLICT, "still-dead", why).response()
}
