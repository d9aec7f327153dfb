//! What the decorators see pass between a host and its ports: how much at once, and what went wrong.
//!
//! Coverage reads it (a test of unknown commits in which none is unknown shows nothing), and so do the tests of
//! back-pressure: what a host holds is what it was handed and has not finished with.

use std::cell::Cell;

use host::ports::store::{Reply, Statement, StoreError};

#[derive(Default)]
pub struct Tally {
    pub unknown_commits: Cell<u64>,
    /// Batches whose input position was another one's by then.
    pub fencings: Cell<u64>,
    /// Most events in one transaction.
    pub events_max: Cell<usize>,
    /// Most rows that a scan gave. Not of events: a state is a fold over all of its stream's.
    pub rows_max: Cell<usize>,
    /// Most records that a consumer was handed at a time.
    pub polled_max: Cell<usize>,
    /// Records that producers have and that are not acknowledged yet; of all hosts together.
    pub sending: Cell<usize>,
    pub sending_max: Cell<usize>,
}

pub fn raise(most: &Cell<usize>, to: usize) {
    most.set(most.get().max(to));
}

fn add(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Tally {
    /// What a pipeline asks for.
    pub fn asked(&self, statements: &[Statement]) {
        let appends = |statement: &&Statement| matches!(statement, Statement::Insert { table, .. } if table.name == "events");
        raise(&self.events_max, statements.iter().filter(appends).count());
    }

    /// What came of it. `statements`: without their contents.
    pub fn answered(&self, asked: &[Asked], result: &Result<Vec<Reply>, StoreError>) {
        let replies = match result {
            Ok(replies) => replies,
            Err(StoreError::UnknownCommit) => return add(&self.unknown_commits),
            Err(_) => return,
        };
        for (asked, reply) in asked.iter().zip(replies) {
            match (asked, reply) {
                (Asked::Page, Reply::Rows(rows)) => raise(&self.rows_max, rows.len()),
                (Asked::InputPosition, Reply::Changed(0)) => add(&self.fencings),
                _ => {}
            }
        }
    }

    pub fn begin_send(&self, records: usize) -> Sending<'_> {
        self.sending.set(self.sending.get() + records);
        raise(&self.sending_max, self.sending.get());
        Sending { tally: self, records }
    }
}

/// What a statement is, as far as its reply is counted.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    Page,
    /// The guard of a batch of records.
    InputPosition,
    Other,
}

impl Asked {
    pub fn of(statement: &Statement) -> Self {
        match statement {
            Statement::Scan(scan) if scan.table.name != "events" => Self::Page,
            Statement::UpdateIf { table, expected, .. }
                if table.name == "input_positions" && !expected.is_empty() =>
            {
                Self::InputPosition
            }
            _ => Self::Other,
        }
    }
}

/// Records on their way. A send that is given up counts no longer.
pub struct Sending<'a> {
    tally: &'a Tally,
    records: usize,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.tally.sending.set(self.tally.sending.get() - self.records);
    }
}
