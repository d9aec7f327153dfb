//! Decorators around the ports of the hosts under test: errors at a chosen place, and hosts that are broken on purpose.
//!
//! A database's error is told before the pipeline reaches the server, and the transaction is rolled back there. A
//! lost connection loses the pipeline, or only its answer.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use async_trait::async_trait;
use host::ports::log::{LogConsumer, LogProducer, OutRecord, SendError};
use host::ports::store::{OnConflict, Reply, Role, Session, Statement, Store, StoreError, Value};
use host::ports::{Clock, Log};
use model::Timestamp;

/// How long a partition without a leader holds up a send, as `delivery.timeout.ms` does.
const DELIVERY_TIMEOUT_MS: i64 = 120_000;

/// What happens to a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Sqlstate(&'static str),
    /// The connection breaks before the server sees the pipeline.
    LostBefore,
    /// ... after the server has run it.
    LostAfter,
}

/// A way in which a host is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Every transaction finds its idempotency keys unused.
    ForgetsRequests,
    /// What was taken in of a source stream is not written down.
    ForgetsSequences,
    /// Every seventh record counts as acknowledged and is not sent.
    LosesMessages,
}

#[derive(Default)]
pub struct Sabotage {
    /// Pipelines of hosts since the count was begun.
    pub pipelines: Cell<u64>,
    /// At which of them what happens.
    pub trouble: Cell<Option<(u64, Trouble)>>,
    /// The same happens to so many pipelines in a row.
    pub times: Cell<u64>,
    pub lie: Cell<Option<Lie>>,
    /// Partitions that have no leader.
    pub leaderless: RefCell<BTreeSet<(&'static str, i32)>>,
    lies: Cell<u64>,
}

impl Sabotage {
    /// From now on pipelines are counted, and the `at`-th and those after it meet trouble.
    pub fn begin(&self, at: u64, trouble: Trouble, times: u64) {
        self.pipelines.set(0);
        self.trouble.set(Some((at, trouble)));
        self.times.set(times);
    }

    fn next_trouble(&self) -> Option<Trouble> {
        let number = self.pipelines.get();
        self.pipelines.set(number + 1);
        let (at, trouble) = self.trouble.get()?;
        let is_hit = number >= at && self.times.get() > 0;
        if is_hit {
            self.times.set(self.times.get() - 1);
        }
        is_hit.then_some(trouble)
    }

    fn lies(&self, lie: Lie) -> Option<u64> {
        let number = self.lies.get();
        self.lies.set(number + 1);
        (self.lie.get() == Some(lie)).then_some(number)
    }
}

pub struct SabotagedStore {
    pub store: Rc<dyn Store>,
    pub sabotage: Rc<Sabotage>,
}

#[async_trait(?Send)]
impl Store for SabotagedStore {
    async fn connect(&self, role: Role) -> Result<Box<dyn Session>, StoreError> {
        let session = Some(self.store.connect(role).await?);
        Ok(Box::new(SabotagedSession { session, sabotage: self.sabotage.clone() }))
    }
}

struct SabotagedSession {
    session: Option<Box<dyn Session>>,
    sabotage: Rc<Sabotage>,
}

#[async_trait(?Send)]
impl Session for SabotagedSession {
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        let Some(session) = &mut self.session else { return Err(StoreError::Lost) };
        let statements = self.sabotage.twisted(statements);
        let rolls_back = matches!(statements[..], [Statement::Rollback]);
        let commits = statements.iter().any(|statement| matches!(statement, Statement::Commit));
        let lost = if commits { StoreError::UnknownCommit } else { StoreError::Lost };
        match if rolls_back { None } else { self.sabotage.next_trouble() } {
            None => session.run(statements).await,
            Some(Trouble::Sqlstate(sqlstate)) => {
                session.run(vec![Statement::Rollback]).await?;
                let statement = statements.len() - 1;
                Err(StoreError::Database { sqlstate, statement, message: "on order".to_owned() })
            }
            Some(Trouble::LostBefore) => {
                self.session = None;
                Err(lost)
            }
            Some(Trouble::LostAfter) => {
                let _ = session.run(statements).await;
                self.session = None;
                Err(lost)
            }
        }
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        match &mut self.session {
            Some(session) => session.notified().await,
            None => Err(StoreError::Lost),
        }
    }
}

impl Sabotage {
    fn twisted(&self, mut statements: Vec<Statement>) -> Vec<Statement> {
        let takes_request = |statement: &Statement| matches!(statement, Statement::Insert { table, on_conflict: OnConflict::DoNothing, .. } if table.name == "inbox");
        if statements.iter().any(takes_request)
            && let Some(number) = self.lies(Lie::ForgetsRequests)
        {
            statements.iter_mut().for_each(|statement| rename_request(statement, number));
        }
        if self.lie.get() == Some(Lie::ForgetsSequences) {
            for statement in &mut statements {
                if let Statement::Insert { table, row, on_conflict } = statement
                    && table.name == "last_sequences"
                {
                    // One less: the last message of the batch can come again.
                    row[2] = Value::Int(row[2].as_int() - 1);
                    *on_conflict = OnConflict::Update;
                }
            }
        }
        statements
    }
}

fn rename_request(statement: &mut Statement, number: u64) {
    let rename = |key: &mut Value| *key = format!("{}#{number}", key.as_text()).as_str().into();
    match statement {
        Statement::Insert { table, row, .. } if table.name == "inbox" => rename(&mut row[1]),
        Statement::Get { table, keys } if table.name == "inbox" => {
            keys.iter_mut().for_each(|key| rename(&mut key[1]))
        }
        _ => {}
    }
}

pub struct SabotagedLog {
    pub log: Rc<dyn Log>,
    pub clock: Rc<dyn Clock>,
    pub sabotage: Rc<Sabotage>,
}

impl Log for SabotagedLog {
    fn producer(&self) -> Box<dyn LogProducer> {
        let (log, clock, sabotage) = (self.log.clone(), self.clock.clone(), self.sabotage.clone());
        Box::new(SabotagedProducer { producer: log.producer(), log, clock, sabotage })
    }

    fn consumer(&self, group: &str, topics: &[&'static str]) -> Box<dyn LogConsumer> {
        self.log.consumer(group, topics)
    }

    fn partition_of(&self, topic: &'static str, key: &[u8]) -> i32 {
        self.log.partition_of(topic, key)
    }
}

struct SabotagedProducer {
    producer: Box<dyn LogProducer>,
    log: Rc<dyn Log>,
    clock: Rc<dyn Clock>,
    sabotage: Rc<Sabotage>,
}

impl SabotagedProducer {
    fn is_leaderless(&self, record: &OutRecord) -> bool {
        let partition = self.log.partition_of(record.topic, &record.key);
        self.sabotage.leaderless.borrow().contains(&(record.topic, partition))
    }
}

#[async_trait(?Send)]
impl LogProducer for SabotagedProducer {
    /// One partition without a leader holds up the results of all.
    async fn send(&mut self, records: Vec<OutRecord>) -> Vec<Result<(), SendError>> {
        let stuck: Vec<bool> = records.iter().map(|record| self.is_leaderless(record)).collect();
        let lost: Vec<bool> = records
            .iter()
            .map(|_| self.sabotage.lies(Lie::LosesMessages).is_some_and(|number| number % 7 == 6))
            .collect();
        let goes = |place: usize| !stuck[place] && !lost[place];
        let sent: Vec<OutRecord> = records
            .into_iter()
            .enumerate()
            .filter(|(place, _)| goes(*place))
            .map(|(_, record)| record)
            .collect();
        let mut results = self.producer.send(sent).await.into_iter();
        if stuck.contains(&true) {
            let until = self.clock.now().as_millisecond() + DELIVERY_TIMEOUT_MS;
            let until = Timestamp::from_millisecond(until).expect("the run ends before that");
            self.clock.sleep_until(until).await;
        }
        let places = 0..stuck.len();
        places
            .map(|place| match (stuck[place], lost[place]) {
                (true, _) => Err(SendError("no leader".to_owned())),
                (false, true) => Ok(()),
                (false, false) => results.next().expect("one result per record"),
            })
            .collect()
    }
}
