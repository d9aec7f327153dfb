//! One task's connection to its database: opened when needed, replaced when broken.

use std::rc::Rc;
use std::time::Duration;

use model::Timestamp;

use super::later;
use crate::ports::Ports;
use crate::ports::store::{Reply, Role, Session, Statement, StoreError};

/// First and longest pause before connecting again.
const BACK_OFF_MS: (u64, u64) = (50, 5_000);

pub struct Connection {
    ports: Rc<Ports>,
    role: Role,
    session: Option<Box<dyn Session>>,
    failures: u32,
}

impl Connection {
    pub fn new(ports: Rc<Ports>, role: Role) -> Self {
        Self { ports, role, session: None, failures: 0 }
    }

    /// Runs a pipeline. On an error the transaction is over: rolled back, lost, or committed unheard.
    pub async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        if self.session.is_none() {
            self.session = Some(self.ports.store.connect(self.role).await?);
        }
        let session = self.session.as_mut().expect("connected just above");
        let result = session.run(statements).await;
        match &result {
            Ok(_) => self.failures = 0,
            Err(error) if error.ends_session() => self.session = None,
            Err(StoreError::Database { .. }) => {
                if session.run(vec![Statement::Rollback]).await.is_err() {
                    self.session = None;
                }
            }
            Err(_) => self.session = None,
        }
        result
    }

    /// The open session, for waiting on notifications.
    pub fn session(&mut self) -> Option<&mut Box<dyn Session>> {
        self.session.as_mut()
    }

    /// Ends the open transaction.
    pub async fn abandon(&mut self) {
        if let Some(session) = &mut self.session
            && session.run(vec![Statement::Rollback]).await.is_err()
        {
            self.session = None;
        }
    }

    pub fn forget(&mut self) {
        self.session = None;
    }

    /// Waits longer after each failure in a row.
    pub async fn back_off(&mut self) {
        self.failures += 1;
        self.back_off_after(self.failures).await;
    }

    /// Waits as after so many failures.
    pub async fn back_off_after(&self, failures: u32) {
        let (first, longest) = BACK_OFF_MS;
        let pause = (first << (failures - 1).min(10)).min(longest);
        let jitter = self.ports.entropy.next_u64() % (pause / 2 + 1);
        self.ports.clock.sleep_until(later(self.ports.clock.now(), pause + jitter)).await;
    }
}

/// The database's clock, estimated from its last answer and the node's own clock since.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatabaseClock {
    ahead_of_node_ms: i64,
    /// The same by the moment of the answer: it is at least so far ahead.
    at_least_ahead_ms: i64,
}

impl DatabaseClock {
    /// `database`: read at some moment between these two of the node's.
    pub fn observe(&mut self, database: Timestamp, (sent, answered): (Timestamp, Timestamp)) {
        self.ahead_of_node_ms = database.as_millisecond() - sent.as_millisecond();
        self.at_least_ahead_ms = database.as_millisecond() - answered.as_millisecond();
    }

    /// What the database's clock shows at most.
    pub fn estimate(&self, node: Timestamp) -> Timestamp {
        super::shifted(node, self.ahead_of_node_ms)
    }

    /// What the database's clock shows at least.
    pub fn at_least(&self, node: Timestamp) -> Timestamp {
        super::shifted(node, self.at_least_ahead_ms)
    }

    /// The node's clock reading at which the database's clock will probably show `database`.
    pub fn on_node(&self, database: Timestamp) -> Timestamp {
        super::shifted(database, -self.ahead_of_node_ms)
    }
}

/// How long a lease lasts after each renewal.
pub const LEASE: Duration = Duration::from_secs(150);
