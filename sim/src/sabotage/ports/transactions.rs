//! Transactions, done wrong: committed late, apart, without their locks, or not at all.

use async_trait::async_trait;
use host::ports::store::{Isolation, LockMode, OnConflict, Reply, Session, Statement, StoreError, Table};
use host::store_host::tables::{EVENTS, HEADS, INBOX, INPUTS, SEQUENCES};

use super::store::{Edit, run_edited};
use crate::sabotage::Odds;

fn is(table: &Table, other: &Table) -> bool {
    table.name == other.name
}

/// Ends the transaction, and begins the next.
fn split() -> Vec<Statement> {
    vec![Statement::Commit, Statement::Begin(Isolation::ReadCommitted)]
}

/// The stream of an event that is stored.
fn stream_of_event(statement: &Statement) -> Option<&str> {
    match statement {
        Statement::Insert { table, row, .. } if is(table, &EVENTS) => Some(row[0].as_text()),
        _ => None,
    }
}

/// The answer to a request, in the transaction of its decision.
fn stores_an_answer(statement: &Statement) -> bool {
    matches!(statement, Statement::UpdateIf { table, .. } if is(table, &INBOX))
}

/// Says that the commit of an answer has happened, and sends it with what comes next.
pub struct Unheard {
    inner: Box<dyn Session>,
    owed: bool,
}

impl Unheard {
    pub fn new(inner: Box<dyn Session>) -> Self {
        Self { inner, owed: false }
    }
}

#[async_trait(?Send)]
impl Session for Unheard {
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        let mut owed = std::mem::take(&mut self.owed);
        let answers = statements.iter().any(stores_an_answer);
        let edits = statements.into_iter().map(|statement| match statement {
            Statement::Commit if answers => {
                owed = true;
                Edit::KeepBack(Reply::Committed)
            }
            statement if std::mem::take(&mut owed) => Edit::Behind(vec![Statement::Commit], statement),
            statement => Edit::Send(statement),
        });
        let edits: Vec<Edit> = edits.collect();
        self.owed = owed;
        run_edited(self.inner.as_mut(), edits).await
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        self.inner.notified().await
    }
}

/// Takes a commit of unknown outcome for one that happened.
pub struct Optimistic {
    pub inner: Box<dyn Session>,
}

#[async_trait(?Send)]
impl Session for Optimistic {
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        let decides = statements.iter().any(|statement| stream_of_event(statement).is_some());
        match self.inner.run(statements).await {
            // Of the replies to a decision's writes only the last one is read.
            Err(StoreError::UnknownCommit) if decides => Ok(vec![Reply::Committed]),
            replies => replies,
        }
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        self.inner.notified().await
    }
}

/// Edits each pipeline by itself.
pub struct Edited<F> {
    pub inner: Box<dyn Session>,
    pub edit: F,
}

#[async_trait(?Send)]
impl<F: Fn(Vec<Statement>) -> Vec<Edit>> Session for Edited<F> {
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        let edits = (self.edit)(statements);
        run_edited(self.inner.as_mut(), edits).await
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        self.inner.notified().await
    }
}

/// An error of the commit is swallowed: what is struck is rolled back, and told as committed. Commands of clients
/// only: they alone are told.
pub fn commit_swallowed(odds: Odds, statements: Vec<Statement>) -> Vec<Edit> {
    let is_input = statements.iter().any(takes_message);
    let struck = !is_input && statements.iter().filter_map(stream_of_event).any(|stream| odds.strike(stream));
    let edits = statements.into_iter().map(|statement| match statement {
        Statement::Commit if struck => Edit::Gloss(Statement::Rollback, Reply::Committed),
        statement => Edit::Send(statement),
    });
    edits.collect()
}

/// What is stored of each stream has a transaction of its own.
pub fn stream_by_stream(statements: Vec<Statement>) -> Vec<Edit> {
    let mut last: Option<String> = None;
    let edits = statements.into_iter().map(|statement| {
        let Some(stream) = stream_of_event(&statement).map(str::to_owned) else {
            return Edit::Send(statement);
        };
        let is_next = last.replace(stream.clone()).is_some_and(|last| last != stream);
        if is_next { Edit::Behind(split(), statement) } else { Edit::Send(statement) }
    });
    edits.collect()
}

/// Commits that messages were taken, with the input position, before what they lead to. A process that dies in between
/// has lost them: asked for again, they count as taken.
pub struct PositionFirst {
    pub inner: Box<dyn Session>,
}

#[async_trait(?Send)]
impl Session for PositionFirst {
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        let (mut taken, rest): (Vec<_>, Vec<_>) = statements.into_iter().partition(takes_message);
        if taken.is_empty() {
            return self.inner.run(rest).await;
        }
        taken.push(Statement::Commit);
        self.inner.run(taken).await?;
        let effects = std::iter::once(Statement::Begin(Isolation::ReadCommitted)).chain(rest);
        // Of the replies to a decision's writes only the last one is read.
        self.inner.run(effects.collect()).await
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        self.inner.notified().await
    }
}

fn takes_message(statement: &Statement) -> bool {
    matches!(statement, Statement::Insert { table, .. } if is(table, &SEQUENCES))
}

/// The input position is known to the process only: another one begins where the log does.
pub fn position_unwritten(statements: Vec<Statement>) -> Vec<Edit> {
    let next = INPUTS.column("next");
    let edits = statements.into_iter().map(|statement| match &statement {
        Statement::UpdateIf { table, set, .. }
            if is(table, &INPUTS) && set.iter().any(|(column, _)| *column == next) =>
        {
            Edit::KeepBack(Reply::Changed(1))
        }
        _ => Edit::Send(statement),
    });
    edits.collect()
}

/// The input position is moved whoever has claimed the partition meanwhile, and wherever it is by now.
pub fn claim_ignored(statements: Vec<Statement>) -> Vec<Edit> {
    let edits = statements.into_iter().map(|statement| match statement {
        Statement::UpdateIf { table, key, set, .. } if is(table, &INPUTS) => {
            Statement::UpdateIf { table, key, expected: Vec::new(), set }
        }
        other => other,
    });
    edits.map(Edit::Send).collect()
}

/// Streams are read without a lock, and written whatever has happened meanwhile.
pub fn last_writer_wins(statements: Vec<Statement>) -> Vec<Edit> {
    let edits = statements.into_iter().map(|statement| match statement {
        Statement::Lock { table, keys, .. } if is(table, &HEADS) => Statement::Get { table, keys },
        Statement::UpdateIf { table, key, set, .. } if is(table, &HEADS) => {
            Statement::UpdateIf { table, key, expected: Vec::new(), set }
        }
        Statement::Insert { table, row, .. } if is(table, &EVENTS) => {
            Statement::Insert { table, row, on_conflict: OnConflict::Update }
        }
        other => other,
    });
    edits.map(Edit::Send).collect()
}

/// Streams that are only read are not locked.
pub fn reads_unlocked(statements: Vec<Statement>) -> Vec<Edit> {
    let edits = statements.into_iter().map(|statement| match statement {
        Statement::Lock { table, keys, mode: LockMode::Share, .. } if is(table, &HEADS) => {
            Statement::Get { table, keys }
        }
        other => other,
    });
    edits.map(Edit::Send).collect()
}
