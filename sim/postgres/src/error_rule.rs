//! Errors that a server is told to give: the SQLSTATE, to which statements, and how often.
//!
//! The error comes as PostgreSQL would give it: before the statement did anything, the transaction aborted by it,
//! the session ended by it where it is FATAL. Chance is the caller's: a server draws nothing.

use host::ports::store::Statement;

use crate::error::SqlError;

/// Statements by their kind, and the beginning of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatementKind {
    Connect,
    Begin,
    Commit,
    Rollback,
    Get,
    Scan,
    Count,
    Lock,
    Insert,
    Update,
    Delete,
    Listen,
    Notify,
}

impl StatementKind {
    pub fn of(statement: &Statement) -> Self {
        match statement {
            Statement::Begin(_) => Self::Begin,
            Statement::Commit => Self::Commit,
            Statement::Rollback => Self::Rollback,
            Statement::Get { .. } => Self::Get,
            Statement::Scan(_) => Self::Scan,
            Statement::Count { .. } => Self::Count,
            Statement::Lock { .. } => Self::Lock,
            Statement::Insert { .. } => Self::Insert,
            Statement::UpdateIf { .. } => Self::Update,
            Statement::DeleteIf { .. } => Self::Delete,
            Statement::Listen { .. } => Self::Listen,
            Statement::Notify { .. } => Self::Notify,
        }
    }
}

/// What fails, with what, and when.
pub struct ErrorRule {
    /// 57P01, 57P02, 57P03 and 25P03 also end the session; class 08 ends it without a word.
    pub sqlstate: &'static str,
    /// Empty: all but `Connect` and `Rollback`.
    pub statements: Vec<StatementKind>,
    /// Empty: all, and statements without a table. Else statements on these.
    pub tables: Vec<&'static str>,
    /// Asked for each statement that the rule is for, once.
    pub strikes: Box<dyn FnMut() -> bool>,
}

impl ErrorRule {
    /// Every `n`-th statement of those that the rule is for.
    pub fn every(n: u64, sqlstate: &'static str) -> Self {
        assert!(n > 0, "every 0-th statement is none");
        let mut count: u64 = 0;
        let strikes = Box::new(move || {
            count += 1;
            count.is_multiple_of(n)
        });
        Self { sqlstate, statements: Vec::new(), tables: Vec::new(), strikes }
    }

    pub(crate) fn on_connect(&mut self) -> Option<SqlError> {
        let meant = self.statements.contains(&StatementKind::Connect);
        (meant && (self.strikes)()).then(|| self.error())
    }

    pub(crate) fn on_statement(&mut self, statement: &Statement) -> Option<SqlError> {
        let kind = StatementKind::of(statement);
        let kind_meant = if self.statements.is_empty() {
            kind != StatementKind::Rollback
        } else {
            self.statements.contains(&kind)
        };
        let table_meant = || self.tables.is_empty() || self.tables.iter().any(|name| is_on(statement, name));
        (kind_meant && table_meant() && (self.strikes)()).then(|| self.error())
    }

    fn error(&self) -> SqlError {
        SqlError::new(self.sqlstate, message(self.sqlstate))
    }
}

fn is_on(statement: &Statement, name: &str) -> bool {
    match statement {
        Statement::Scan(scan) => scan.table.name == name,
        Statement::Get { table, .. }
        | Statement::Count { table, .. }
        | Statement::Lock { table, .. }
        | Statement::Insert { table, .. }
        | Statement::UpdateIf { table, .. }
        | Statement::DeleteIf { table, .. } => table.name == name,
        Statement::Begin(_)
        | Statement::Commit
        | Statement::Rollback
        | Statement::Listen { .. }
        | Statement::Notify { .. } => false,
    }
}

/// PostgreSQL's words for the errors that such rules are made of, else the condition's class.
fn message(sqlstate: &str) -> &'static str {
    match sqlstate {
        "40001" => "could not serialize access due to concurrent update",
        "40P01" => "deadlock detected",
        "53100" => "could not extend file: No space left on device",
        "53200" => "out of memory",
        "53300" => "sorry, too many clients already",
        "55P03" => "canceling statement due to lock timeout",
        "57014" => "canceling statement due to statement timeout",
        "57P01" => "terminating connection due to administrator command",
        "57P02" => "terminating connection because of crash of another server process",
        "57P03" => "the database system is starting up",
        "58030" => "could not read block: Input/output error",
        "XX000" => "internal error",
        "XX001" => "invalid page in block",
        _ => "the statement failed",
    }
}
