//! Random transactions of two or three sessions, played on two stores: what each session was told must be the same.
//!
//! A step is one statement of one session; a session that is in no transaction begins one first, one whose
//! transaction has failed rolls back first, one that waits skips its step. After each step everything settles.
//! The script ends where chance begins: when all sessions wait (a deadlock, and who is its victim), and when one
//! ends its transaction, or an error does, while two wait (they may wake in any order).
//!
//! A transaction that has deleted a row does not insert one with its key, and none at REPEATABLE READ inserts a key
//! that anybody has deleted: the simulated store takes the two rows for one (see the README).
//!
//! SERIALIZABLE is left out: PostgreSQL may refuse what has a serial order, depending on its plans (13.2.3).

mod strategy;

use host::ports::store::{Isolation, Key, Reply, Statement, StoreError, Value};

use crate::bench::SessionNumber;
use crate::stage::{Answer, Call, Stage};
use crate::tables::{self, COMMIT, ROLLBACK, all, begin};

pub use strategy::scripts;

#[derive(Clone, Debug)]
pub struct Script {
    pub sessions: usize,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub struct Step {
    /// Modulo the number of sessions.
    pub session: usize,
    /// For a transaction that begins here.
    pub isolation: Isolation,
    pub statement: Statement,
}

/// How one session stands.
struct Player {
    session: SessionNumber,
    call: Option<Call>,
    is_open: bool,
    has_failed: bool,
    /// Of its open transaction.
    isolation: Isolation,
    deleted: Vec<Place>,
}

/// A table and a key.
type Place = (&'static str, Key);

/// Plays the script. Gives what the sessions were told, line by line, then what is committed at the end.
pub fn play(stage: &mut Stage<'_>, script: &Script) -> Vec<String> {
    let mut told = Vec::new();
    stage.accounts(2);
    const READ_COMMITTED: Isolation = Isolation::ReadCommitted;
    let new = |session| Player {
        session,
        call: None,
        is_open: false,
        has_failed: false,
        isolation: READ_COMMITTED,
        deleted: vec![],
    };
    let mut players: Vec<Player> = (0..script.sessions).map(|_| new(stage.session())).collect();
    for step in &script.steps {
        let number = step.session % players.len();
        let waiting = players.iter().filter(|player| player.call.is_some()).count();
        let ends =
            matches!(step.statement, Statement::Commit | Statement::Rollback) || players[number].has_failed;
        if waiting == players.len() || (waiting > 1 && ends) {
            break;
        }
        let deleted: Vec<Place> = players.iter().flat_map(|player| player.deleted.clone()).collect();
        if players[number].call.is_some() || players[number].inserts_again(step, &deleted) {
            continue;
        }
        let statements = players[number].next(step);
        let call = stage.start(players[number].session, statements.clone());
        players[number].call = Some(call);
        told.push(format!("{number}: {}", brief(&statements)));
        stage.settle();
        if let Some(error @ Err(_)) = stage.outcome(call).filter(|_| waiting > 1) {
            told.push(format!("{number} is told {}", outcome(&error)));
            break;
        }
        for (number, player) in players.iter_mut().enumerate() {
            if let Some(answer) = player.call.and_then(|call| stage.outcome(call)) {
                player.take(&answer);
                told.push(format!("{number} is told {}", outcome(&answer)));
            }
        }
    }
    let reader = stage.session();
    for table in tables::ALL {
        let replies = stage.ok(reader, vec![begin(), all(table), COMMIT]);
        told.push(format!("{}: {:?}", table.name, replies[1]));
    }
    told
}

impl Player {
    fn inserts_again(&self, step: &Step, by_anybody: &[Place]) -> bool {
        let Statement::Insert { table, row, .. } = &step.statement else { return false };
        let isolation = if self.is_open { self.isolation } else { step.isolation };
        let deleted = if isolation == Isolation::ReadCommitted { &self.deleted } else { by_anybody };
        let mut of_table = deleted.iter().filter(|(name, _)| *name == table.name);
        // A sequence may give the key again.
        of_table.any(|(_, key)| row[0] == Value::Null || row[..table.key] == key[..])
    }

    fn next(&mut self, step: &Step) -> Vec<Statement> {
        let statement = step.statement.clone();
        if !self.is_open {
            self.isolation = step.isolation;
        }
        if let Statement::DeleteIf { table, key, .. } = &statement {
            self.deleted.push((table.name, key.clone()));
        }
        match (self.has_failed, self.is_open) {
            (true, _) => vec![ROLLBACK],
            (false, true) => vec![statement],
            (false, false) => vec![Statement::Begin(step.isolation), statement],
        }
    }

    fn take(&mut self, answer: &Answer) {
        self.call = None;
        self.has_failed = answer.is_err();
        self.is_open = match answer.as_ref().map(|replies| replies.last()) {
            Ok(Some(Reply::Committed | Reply::RolledBack)) => false,
            Ok(_) | Err(_) => true,
        };
    }
}

/// Without what differs from server to server: ids, times, words.
fn outcome(answer: &Answer) -> String {
    match answer {
        Ok(replies) => {
            let replies = replies.iter().map(|reply| match reply {
                Reply::Begun { .. } => "begun".into(),
                reply => format!("{reply:?}"),
            });
            replies.collect::<Vec<_>>().join(", ")
        }
        Err(StoreError::Database { sqlstate, statement, .. }) => format!("{sqlstate} at {statement}"),
        Err(error) => error.to_string(),
    }
}

fn brief(statements: &[Statement]) -> String {
    let statements = statements.iter().map(|statement| match statement {
        Statement::Begin(isolation) => format!("begin {isolation:?}"),
        Statement::Commit => "commit".into(),
        Statement::Rollback => "rollback".into(),
        Statement::Get { table, keys } => format!("get {} {keys:?}", table.name),
        Statement::Lock { table, keys, mode, wait } => {
            format!("lock {} {keys:?} {mode:?} {wait:?}", table.name)
        }
        Statement::Insert { table, row, on_conflict } => {
            format!("insert {} {row:?} {on_conflict:?}", table.name)
        }
        Statement::UpdateIf { table, key, expected, set } => {
            format!("update {} {key:?} if {expected:?} set {set:?}", table.name)
        }
        Statement::DeleteIf { table, key, expected } => {
            format!("delete {} {key:?} if {expected:?}", table.name)
        }
        Statement::Count { table, index, prefix } => format!("count {} {index:?} {prefix:?}", table.name),
        Statement::Scan(scan) => format!(
            "scan {} {:?} {:?} after {:?} up to {:?} limit {}",
            scan.table.name, scan.index, scan.prefix, scan.after, scan.up_to, scan.limit
        ),
        Statement::Listen { channel } => format!("listen {channel}"),
        Statement::Notify { channel } => format!("notify {channel}"),
    });
    statements.collect::<Vec<_>>().join("; ")
}
