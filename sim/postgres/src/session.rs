//! One session: its transaction's state, the pipeline under way, and what it waits for.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use host::ports::store::{Reply, Row, Statement};

use crate::locks::LockKey;
use crate::output::Lsn;
use crate::transaction::Transaction;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Idle,
    Open,
    /// An error aborted the transaction: its locks are gone, it wants a ROLLBACK.
    Failed,
}

#[derive(Default)]
pub struct Session {
    pub state: State,
    pub transaction: Transaction,
    pub pipeline: Option<Pipeline>,
    /// Calls that arrived before the last one was answered.
    pub later: VecDeque<(u64, Vec<Statement>)>,
    pub wait: Option<Wait>,
    /// Deadlines of this session in the server's queue.
    pub armed: Vec<(u64, Timer)>,
    pub listening: Vec<&'static str>,
    /// Values of sequences that the session has taken and not used, by table.
    pub sequences: BTreeMap<usize, Range<i64>>,
    /// Channels to tell of when the session is idle, each once.
    pub notified: Vec<&'static str>,
    /// The session has ended while its commit waited to be durable.
    pub gone: bool,
    /// An error that ends the session, which is closed as soon as it rests.
    pub fatal: Option<&'static str>,
}

/// Statements of one call.
pub struct Pipeline {
    pub call: u64,
    pub statements: Vec<Statement>,
    pub next: usize,
    pub replies: Vec<Reply>,
    pub progress: Progress,
}

/// How far a statement of several rows has come.
#[derive(Default)]
pub struct Progress {
    pub cursor: usize,
    pub rows: Vec<Row>,
    /// The lock waited for was granted just now, on a row that may have gone meanwhile.
    pub granted: bool,
    /// When the statement began, if it has waited. Statements that do not wait take no time.
    pub began_ns: Option<u64>,
}

pub enum Wait {
    Lock(LockKey),
    /// For the end of this session's transaction.
    Transaction(u64),
    /// For the flush of its commit, and for the synchronous standby.
    Commit(Lsn),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    Deadlock,
    Lock,
    Statement,
    IdleInTransaction,
}

/// What came of executing a statement.
pub enum Step {
    Done(Reply),
    Wait(Wait),
}

impl Pipeline {
    pub fn new(call: u64, statements: Vec<Statement>) -> Self {
        let replies = Vec::with_capacity(statements.len());
        Self { call, statements, next: 0, replies, progress: Progress::default() }
    }

    pub fn done(&mut self, reply: Reply) {
        self.replies.push(reply);
        self.next += 1;
        self.progress.cursor = 0;
        self.progress.granted = false;
        self.progress.began_ns = None;
    }
}

impl Session {
    /// Nothing under way and no transaction open: notifications may be told.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle && self.pipeline.is_none()
    }
}
