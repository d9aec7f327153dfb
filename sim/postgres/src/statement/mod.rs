//! Statements inside a transaction, by what they do to rows (manual 13.2).

mod dependency;
mod lock;
mod read;
pub mod types;
mod write;

use std::collections::BTreeMap;
use std::ops::Range;

use host::ports::store::{Isolation, Statement};

use crate::database::Database;
use crate::error::SqlError;
use crate::session::{Progress, Step};
use crate::transaction::Transaction;

/// Who executes a statement.
pub struct Actor<'a> {
    pub conn: u64,
    pub transaction: &'a mut Transaction,
    /// Values of sequences that the session holds.
    pub sequences: &'a mut BTreeMap<usize, Range<i64>>,
    pub progress: &'a mut Progress,
}

/// Executes a statement, or goes on with it after a wait. What it has to remember between the two is in the
/// statement itself and in the progress.
pub fn execute(
    database: &mut Database,
    actor: &mut Actor<'_>,
    statement: &mut Statement,
) -> Result<Step, SqlError> {
    if actor.transaction.read_only
        && let Some(command) = writing_command(statement)
    {
        return Err(SqlError::read_only(command));
    }
    if actor.transaction.isolation != Isolation::ReadCommitted {
        database.enter(actor.transaction)?;
    }
    match statement {
        Statement::Get { table, keys } => database.get(actor, table, keys).map(Step::Done),
        Statement::Scan(scan) => database.scan(actor, scan).map(Step::Done),
        Statement::Count { table, index, prefix } => {
            database.count(actor, table, *index, prefix).map(Step::Done)
        }
        Statement::Lock { table, keys, mode, wait } => database.lock(actor, table, keys, *mode, *wait),
        Statement::Insert { table, row, on_conflict } => database.insert(actor, table, row, *on_conflict),
        Statement::UpdateIf { table, key, expected, set } => {
            database.update_if(actor, table, key, expected, set)
        }
        Statement::DeleteIf { table, key, expected } => database.delete_if(actor, table, key, expected),
        Statement::Begin(_)
        | Statement::Commit
        | Statement::Rollback
        | Statement::Listen { .. }
        | Statement::Notify { .. } => unreachable!("statements about the session are the session's"),
    }
}

/// What a standby refuses, by the name in its message (26.4.2).
pub fn writing_command(statement: &Statement) -> Option<&'static str> {
    match statement {
        Statement::Lock { .. } => Some("SELECT FOR UPDATE"),
        Statement::Insert { .. } => Some("INSERT"),
        Statement::UpdateIf { .. } => Some("UPDATE"),
        Statement::DeleteIf { .. } => Some("DELETE"),
        Statement::Listen { .. } => Some("LISTEN"),
        Statement::Notify { .. } => Some("NOTIFY"),
        Statement::Begin(_)
        | Statement::Commit
        | Statement::Rollback
        | Statement::Get { .. }
        | Statement::Scan(_)
        | Statement::Count { .. } => None,
    }
}
