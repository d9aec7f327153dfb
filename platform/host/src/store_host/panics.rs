//! Panics of a service: each is counted for its input before the process dies of it, and the third is the last.
//!
//! The host catches the unwinding only to write down, in a transaction of its own, which input it was; then it lets
//! the panic go on. Who finds such a count takes the input alone, and after the third panic keeps it aside:
//! - a message is a dead letter, and its stream waits behind it;
//! - a request has a stored answer, that it cannot be decided;
//! - a timer or an effect is a dead letter too, under the topic `timers` or `effects`.
//!
//! Omits panics that cannot be caught (aborts, stack overflows), and those of reading a request before its key is known.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use http::StatusCode;

use super::StoreHost;
use super::batch::{Batch, ItemKey};
use super::connection::Connection;
use super::execute::StoredAnswer;
use super::replies::Replies;
use super::tables::ATTEMPTS;
use crate::http_api::Problem;
use crate::ports::store::{
    Isolation, Key, LockMode, LockWait, OnConflict, Row, Statement, StoreError, Value,
};
use crate::service::Service;

/// So many panics end an input.
pub const PANICS_MAX: i64 = 3;

/// An input of a batch whose decision panicked.
#[derive(Debug)]
pub struct Panicked {
    /// Its place in the batch.
    pub place: usize,
    pub why: String,
}

/// What is known of an input that has panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempts {
    pub count: i64,
    pub why: String,
    pub is_kept_aside: bool,
}

/// Runs code of the service. A panic gives its text.
pub fn caught<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| text_of(&*panic))
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without text".into())
}

impl Attempts {
    fn from_row(row: &Row) -> Self {
        Self { count: row[1].as_int(), why: row[2].as_text().to_owned(), is_kept_aside: row[3].as_int() == 1 }
    }

    pub fn are_over(&self) -> bool {
        self.count >= PANICS_MAX
    }

    pub fn reason(&self) -> String {
        format!("panicked {} times: {}", self.count, self.why)
    }

    /// What the caller of a request is told from now on.
    pub fn answer(&self) -> StoredAnswer {
        let detail = "this request cannot be decided; it is not to be repeated";
        let problem = Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "cannot-be-decided", detail);
        StoredAnswer { status: problem.status, body: problem.response().into_body() }
    }
}

/// Reads what is known of the batch's inputs. Hardly ever anything.
pub fn attempts_of<C>(batch: &Batch<C>) -> Option<Statement> {
    let names = batch.items.iter().filter_map(|item| item.key.name());
    let keys: Vec<Key> = names.map(|name| vec![name.as_str().into()]).collect();
    (!keys.is_empty()).then_some(Statement::Get { table: &ATTEMPTS, keys })
}

pub fn by_input(rows: Vec<Row>) -> BTreeMap<String, Attempts> {
    rows.iter().map(|row| (row[0].as_text().to_owned(), Attempts::from_row(row))).collect()
}

/// The count of an input that is done, or that an operator gives another chance.
pub fn forget(name: &str) -> Statement {
    Statement::DeleteIf { table: &ATTEMPTS, key: vec![name.into()], expected: Vec::new() }
}

/// The input comes no further when it comes again.
pub fn keep_aside(name: &str) -> Statement {
    let set = vec![(3, Value::Int(1))];
    Statement::UpdateIf { table: &ATTEMPTS, key: vec![name.into()], expected: Vec::new(), set }
}

impl<S: Service> StoreHost<S> {
    /// Counts the panic, then lets it go on.
    pub(super) async fn die_of(&self, connection: &mut Connection, key: &ItemKey, why: String) -> ! {
        if let Some(name) = key.name() {
            self.count_panic(connection, &name, &why).await;
        }
        resume_unwind(Box::new(why))
    }

    async fn count_panic(&self, connection: &mut Connection, name: &str, why: &str) {
        let mut counted = None;
        loop {
            match self.try_count(connection, name, why, &mut counted).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(instance = %self.instance, %error, "a panic is not counted yet");
                    connection.back_off().await;
                }
            }
        }
    }

    /// `counted`: what an earlier try meant to write, and may have committed unheard.
    async fn try_count(
        &self,
        connection: &mut Connection,
        name: &str,
        why: &str,
        counted: &mut Option<i64>,
    ) -> Result<(), StoreError> {
        let row: Row = vec![name.into(), Value::Int(0), "".into(), Value::Int(0)];
        let statements = vec![
            Statement::Begin(Isolation::ReadCommitted),
            Statement::Insert { table: &ATTEMPTS, row, on_conflict: OnConflict::DoNothing },
            Statement::Lock {
                table: &ATTEMPTS,
                keys: vec![vec![name.into()]],
                mode: LockMode::Update,
                wait: LockWait::Wait,
            },
        ];
        let mut replies = Replies(connection.run(statements).await?.into_iter());
        replies.begun();
        replies.changed();
        let row = replies.rows().pop().expect("the count was inserted just before where it was missing");
        let before = row[1].as_int();
        if *counted == Some(before) {
            return connection.run(vec![Statement::Rollback]).await.map(drop);
        }
        *counted = Some(before + 1);
        let set = vec![(1, Value::Int(before + 1)), (2, why.into())];
        let update =
            Statement::UpdateIf { table: &ATTEMPTS, key: vec![name.into()], expected: Vec::new(), set };
        connection.run(vec![update, Statement::Commit]).await.map(drop)
    }
}
