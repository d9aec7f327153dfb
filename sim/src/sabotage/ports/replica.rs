//! States read from a standby, which may lag.

use std::rc::Rc;

use async_trait::async_trait;
use host::Ports;
use host::ports::store::{Isolation, Reply, Role, Session, Statement, Store, StoreError};
use host::store_host::tables::EVENTS;

/// The ports, with events of streams read from the standby.
pub fn read(ports: Ports) -> Ports {
    let store = Rc::new(Split(ports.store));
    Ports { store, ..ports }
}

struct Split(Rc<dyn Store>);

#[async_trait(?Send)]
impl Store for Split {
    async fn connect(&self, role: Role) -> Result<Box<dyn Session>, StoreError> {
        let session = self.0.connect(role).await?;
        Ok(Box::new(SplitSession { store: self.0.clone(), session, replica: None }))
    }
}

struct SplitSession {
    store: Rc<dyn Store>,
    session: Box<dyn Session>,
    replica: Option<Box<dyn Session>>,
}

fn reads_events(statement: &Statement) -> bool {
    matches!(statement, Statement::Scan(scan) if scan.table.name == EVENTS.name)
}

impl SplitSession {
    async fn read(&mut self, scans: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        if self.replica.is_none() {
            self.replica = Some(self.store.connect(Role::Replica).await?);
        }
        let replica = self.replica.as_mut().expect("connected just above");
        let transaction = [vec![Statement::Begin(Isolation::ReadCommitted)], scans, vec![Statement::Commit]];
        let mut replies = match replica.run(transaction.concat()).await {
            Ok(replies) => replies,
            Err(error) => {
                self.replica = None;
                return Err(error);
            }
        };
        replies.pop();
        replies.remove(0);
        Ok(replies)
    }
}

#[async_trait(?Send)]
impl Session for SplitSession {
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        match statements.iter().all(reads_events) {
            true => self.read(statements).await,
            false => self.session.run(statements).await,
        }
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        self.session.notified().await
    }
}
