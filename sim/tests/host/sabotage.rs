//! Decorators around the ports of the hosts under test: errors at a chosen place, and hosts that are broken on purpose.
//!
//! A database's error is told before the pipeline reaches the server, and the transaction is rolled back there. A
//! lost connection loses the pipeline, or only its answer.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use host::ports::log::{LogConsumer, LogEvent, LogProducer, OutRecord, SendError};
use host::ports::store::{OnConflict, Reply, Role, Session, Statement, Store, StoreError, Value};
use host::ports::{Clock, Http, HttpError, Incoming, Log};
use http::{Method, Request, Response};
use model::Timestamp;

use crate::tally::{Asked, Tally, raise};

/// How long a partition without a leader holds up a send, as `delivery.timeout.ms` does.
const DELIVERY_TIMEOUT_MS: i64 = 120_000;

/// What an outside party knows a command by, however often it comes.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

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
    /// Every command to somebody outside is sent twice.
    CallsTwice,
    /// ... and has a new idempotency key each time that it is sent.
    RenamesCalls,
}

#[derive(Default)]
pub struct Sabotage {
    /// Pipelines of hosts since the count was begun.
    pub pipelines: Cell<u64>,
    /// At which of them what happens.
    pub trouble: Cell<Option<(u64, Trouble)>>,
    /// The same happens to so many pipelines in a row.
    pub times: Cell<u64>,
    /// So many of the next commits that store an event are done, and not answered.
    pub unheard_commits: Cell<u64>,
    pub tally: Tally,
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

    fn is_unheard(&self, statements: &[Statement]) -> bool {
        let stores_event = |statement: &Statement| matches!(statement, Statement::Insert { table, .. } if table.name == "events");
        let left = self.unheard_commits.get();
        let is_unheard = left > 0 && statements.iter().any(stores_event);
        if is_unheard {
            self.unheard_commits.set(left - 1);
        }
        is_unheard
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
        let statements = self.sabotage.twisted(statements);
        let asked: Vec<Asked> = statements.iter().map(Asked::of).collect();
        self.sabotage.tally.asked(&statements);
        let result = self.run_or_break(statements).await;
        self.sabotage.tally.answered(&asked, &result);
        result
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        match &mut self.session {
            Some(session) => session.notified().await,
            None => Err(StoreError::Lost),
        }
    }
}

impl SabotagedSession {
    async fn run_or_break(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        let Some(session) = &mut self.session else { return Err(StoreError::Lost) };
        let rolls_back = matches!(statements[..], [Statement::Rollback]);
        let commits = statements.iter().any(|statement| matches!(statement, Statement::Commit));
        let lost = if commits { StoreError::UnknownCommit } else { StoreError::Lost };
        let trouble = match rolls_back {
            true => None,
            false if commits && self.sabotage.is_unheard(&statements) => Some(Trouble::LostAfter),
            false => self.sabotage.next_trouble(),
        };
        match trouble {
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
        let consumer = self.log.consumer(group, topics);
        Box::new(WatchedConsumer { consumer, sabotage: self.sabotage.clone() })
    }

    fn partition_of(&self, topic: &'static str, key: &[u8]) -> i32 {
        self.log.partition_of(topic, key)
    }
}

struct WatchedConsumer {
    consumer: Box<dyn LogConsumer>,
    sabotage: Rc<Sabotage>,
}

#[async_trait(?Send)]
impl LogConsumer for WatchedConsumer {
    async fn poll(&mut self) -> LogEvent {
        let event = self.consumer.poll().await;
        if let LogEvent::Records { records, .. } = &event {
            raise(&self.sabotage.tally.polled_max, records.len());
        }
        event
    }

    async fn bounds(&mut self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        self.consumer.bounds(topic, partition).await
    }

    fn seek(&mut self, topic: &str, partition: i32, offset: i64) {
        self.consumer.seek(topic, partition, offset);
    }

    fn report(&mut self, topic: &str, partition: i32, next_offset: i64) {
        self.consumer.report(topic, partition, next_offset);
    }

    async fn leave(&mut self) {
        self.consumer.leave().await;
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
        let _sending = self.sabotage.tally.begin_send(records.len());
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

pub struct SabotagedHttp {
    pub http: Rc<dyn Http>,
    pub sabotage: Rc<Sabotage>,
}

#[async_trait(?Send)]
impl Http for SabotagedHttp {
    async fn call(
        &self,
        party: &str,
        mut request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, HttpError> {
        let key = request.headers().get(IDEMPOTENCY_KEY).cloned();
        if let (&Method::PUT, Some(key)) = (request.method(), key) {
            if self.sabotage.lies(Lie::CallsTwice).is_some() {
                self.http.call(party, request.clone(), timeout).await?;
            }
            if let Some(number) = self.sabotage.lies(Lie::RenamesCalls) {
                let renamed = format!("{}#{number}", key.to_str().expect("the counter's keys are text"));
                let renamed = renamed.parse().expect("a key and a number");
                request.headers_mut().insert(IDEMPOTENCY_KEY, renamed);
            }
        }
        self.http.call(party, request, timeout).await
    }

    async fn accept(&self) -> Incoming {
        self.http.accept().await
    }
}
