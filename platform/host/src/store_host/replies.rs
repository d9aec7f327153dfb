//! Replies of a pipeline, read in the order of its statements.

use model::Timestamp;

use crate::ports::store::{Reply, Row};
use crate::service::LookupResult;

/// Replies in the order of their statements. A reply of another kind is a programmer error.
pub(crate) struct Replies(pub std::vec::IntoIter<Reply>);

impl Replies {
    fn next(&mut self) -> Reply {
        self.0.next().expect("one reply per statement")
    }

    /// The transaction's id and the database's time.
    pub fn begun(&mut self) -> (u64, Timestamp) {
        match self.next() {
            Reply::Begun { transaction, now } => (transaction, now),
            other => panic!("expected the begin's reply, got {other:?}"),
        }
    }

    pub fn changed(&mut self) -> u64 {
        match self.next() {
            Reply::Changed(rows) => rows,
            other => panic!("expected a row count, got {other:?}"),
        }
    }

    pub fn rows(&mut self) -> Vec<Row> {
        match self.next() {
            Reply::Rows(rows) => rows,
            other => panic!("expected rows, got {other:?}"),
        }
    }

    pub fn lookup(&mut self) -> LookupResult {
        match self.next() {
            Reply::Rows(rows) => LookupResult::Rows(rows),
            Reply::Count(count) => LookupResult::Count(count),
            other => panic!("expected a lookup's reply, got {other:?}"),
        }
    }
}
