//! Decorators around the ports of the hosts under test: errors at a chosen place, and hosts that are broken on purpose.
//!
//! A database's error is told before the pipeline reaches the server, and the transaction is rolled back there. A
//! lost connection loses the pipeline, or only its answer.

#[path = "sabotage/claims.rs"]
mod claims;
#[path = "sabotage/lies.rs"]
mod lies;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use host::ports::log::{LogConsumer, LogEvent, LogProducer, OutRecord, SendError};
use host::ports::store::{Key, Reply, Role, Session, Statement, Store, StoreError, Value};
use host::ports::{Clock, Http, HttpError, Incoming, Log};
use http::{Method, Request, Response};
use model::Timestamp;

pub use self::lies::Lie;

use self::claims::{Claims, Owned};
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
    /// So many of them are neither done nor answered.
    pub lost_commits: Cell<u64>,
    pub claims: Claims,
    pub tally: Tally,
    pub lie: Cell<Option<Lie>>,
    /// Partitions that have no leader.
    pub leaderless: RefCell<BTreeSet<(&'static str, i32)>>,
    lies: Cell<u64>,
    /// Requests whose commit was of unknown outcome.
    unheard: RefCell<BTreeSet<Key>>,
    /// Timers that have fired, as they were armed.
    fired: RefCell<BTreeSet<(Key, Value)>>,
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

    /// What is in store for a commit that stores an event.
    fn next_unknown(&self, statements: &[Statement]) -> Option<Trouble> {
        let stores_event = |statement: &Statement| matches!(statement, Statement::Insert { table, .. } if table.name == "events");
        if !statements.iter().any(stores_event) {
            return None;
        }
        let both = [(&self.unheard_commits, Trouble::LostAfter), (&self.lost_commits, Trouble::LostBefore)];
        let (left, trouble) = both.into_iter().find(|(left, _)| left.get() > 0)?;
        left.set(left.get() - 1);
        Some(trouble)
    }

    fn next_lie(&self) -> u64 {
        self.lies.replace(self.lies.get() + 1)
    }

    fn lies(&self, lie: Lie) -> Option<u64> {
        let number = self.next_lie();
        (self.lie.get() == Some(lie)).then_some(number)
    }
}

pub struct SabotagedStore {
    pub store: Rc<dyn Store>,
    pub sabotage: Rc<Sabotage>,
    /// Of this process.
    pub owned: Owned,
}

#[async_trait(?Send)]
impl Store for SabotagedStore {
    async fn connect(&self, role: Role) -> Result<Box<dyn Session>, StoreError> {
        let session = Some(self.store.connect(role).await?);
        let (sabotage, owned) = (self.sabotage.clone(), self.owned.clone());
        Ok(Box::new(SabotagedSession { session, sabotage, owned }))
    }
}

struct SabotagedSession {
    session: Option<Box<dyn Session>>,
    sabotage: Rc<Sabotage>,
    owned: Owned,
}

#[async_trait(?Send)]
impl Session for SabotagedSession {
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        let statements = self.sabotage.twisted(statements);
        let asked: Vec<Asked> = statements.iter().map(Asked::of).collect();
        let (answers, moves) =
            (lies::answers(&statements), self.sabotage.claims.asked(&self.owned, &statements));
        self.sabotage.tally.asked(&statements);
        let result = self.run_or_break(statements).await;
        self.sabotage.tally.answered(&asked, &result);
        self.sabotage.claims.answered(&self.owned, moves, &result);
        self.sabotage.hear(answers, result.as_ref().err());
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
        let unknown = if commits { self.sabotage.next_unknown(&statements) } else { None };
        let trouble = match rolls_back {
            true => None,
            false => unknown.or_else(|| self.sabotage.next_trouble()),
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
