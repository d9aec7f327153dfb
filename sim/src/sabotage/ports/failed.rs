//! A commit of unknown outcome, taken for one that failed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;
use bytes::Bytes;
use host::Problem;
use host::ports::store::{Key, Reply, Row, Session, Statement, StoreError, Value};
use host::store_host::tables::INBOX;
use http::StatusCode;

use super::store::{Edit, run_edited};

/// Requests that a process takes for failed, by scope and key, with the hash of what was asked last; whichever
/// session it tries again on.
#[derive(Default)]
pub struct Failed(RefCell<BTreeMap<Key, Value>>);

/// Answers a request that its commit has failed where nobody knows, and does not look whether it has.
pub struct Pessimistic {
    pub inner: Box<dyn Session>,
    pub failed: Rc<Failed>,
}

/// The request whose answer is stored.
fn answered(statement: &Statement) -> Option<&Key> {
    match statement {
        Statement::UpdateIf { table, key, .. } if table.name == INBOX.name => Some(key),
        _ => None,
    }
}

impl Failed {
    fn edit(&self, statement: Statement) -> Edit {
        let mut failed = self.0.borrow_mut();
        match &statement {
            Statement::Insert { table, row, .. } if table.name == INBOX.name => {
                match failed.get_mut(&row[..2]) {
                    Some(hash) => {
                        *hash = row[2].clone();
                        Edit::KeepBack(Reply::Changed(0))
                    }
                    None => Edit::Send(statement),
                }
            }
            Statement::Get { table, keys } if table.name == INBOX.name => match failed.get(&keys[0]) {
                Some(hash) => Edit::KeepBack(Reply::Rows(vec![refusal(&keys[0], hash)])),
                None => Edit::Send(statement),
            },
            _ => Edit::Send(statement),
        }
    }
}

/// The row of a request that was answered like this.
fn refusal(key: &Key, hash: &Value) -> Row {
    let problem =
        Problem::new(StatusCode::CONFLICT, "transaction-failed", "it was not done, ask for something new");
    let (status, body): (_, Bytes) = (problem.status, problem.response().into_body());
    let columns = [hash.clone(), Value::Int(status.into()), body.into(), Value::Int(0)];
    key.iter().cloned().chain(columns).collect()
}

#[async_trait(?Send)]
impl Session for Pessimistic {
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        let asked: Vec<Key> = statements.iter().filter_map(answered).cloned().collect();
        let edits: Vec<Edit> = statements.into_iter().map(|statement| self.failed.edit(statement)).collect();
        let replies = run_edited(self.inner.as_mut(), edits).await;
        if replies == Err(StoreError::UnknownCommit) {
            self.failed.0.borrow_mut().extend(asked.into_iter().map(|key| (key, Value::Null)));
        }
        replies
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        self.inner.notified().await
    }
}
