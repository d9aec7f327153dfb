//! Heads: what the sources of our topics have published last. A lost tail shows by nothing else, for no later
//! message comes and parks.
//!
//! A topic's sources are asked some time after one of its partitions became ours, then each hour, and at once when the
//! log's start has passed our position. A source tells of its outbox in pages by id; up to where all was settled and
//! taken in is kept in a row, so that an hour's check costs an hour's messages. What a source has and we lack
//! after another minute is asked for again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use futures::FutureExt;
use http::Request;
use model::Timestamp;
use serde::{Deserialize, Serialize};

use super::connection::Connection;
use super::gaps::{PATIENCE_MS, SOURCE_TIMEOUT, Stream, last_taken, standing_of};
use super::replies::Replies;
use super::tables::CHECKED;
use super::{StoreHost, later};
use crate::ports::store::{Isolation, OnConflict, Role, Statement, StoreError, Value};
use crate::service::Service;
use crate::signal::Signal;

const FIRST_CHECK_AFTER_MS: u64 = 600_000;
const CHECK_EVERY_MS: u64 = 3_600_000;
/// After a check that could not be made.
const AGAIN_AFTER_MS: u64 = 60_000;

/// The heads of one page of a source's outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadsPage {
    pub heads: Vec<StreamHead>,
    /// The last row of the page before which everything was recorded long ago.
    pub settled: i64,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<i64>,
}

/// A stream's last sequence among the rows of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamHead {
    pub stream: String,
    pub last: u64,
}

/// When which topic is to be checked.
#[derive(Default)]
pub struct Checks {
    due: RefCell<BTreeMap<String, Check>>,
    changed: Signal,
}

#[derive(Clone, Copy, Debug)]
struct Check {
    at: Timestamp,
    /// Also what was checked before.
    from_the_start: bool,
}

impl Checks {
    /// Topics that are ours: others are not checked any more.
    pub fn own<'a>(&self, topics: impl Iterator<Item = &'a str>, now: Timestamp) {
        let mut due = self.due.borrow_mut();
        let first = Check { at: later(now, FIRST_CHECK_AFTER_MS), from_the_start: false };
        *due = topics.map(|topic| (topic.to_owned(), due.get(topic).copied().unwrap_or(first))).collect();
        drop(due);
        self.changed.send();
    }

    /// The log has lost records of this topic that were not read.
    pub fn check_all(&self, topic: &str, now: Timestamp) {
        self.due.borrow_mut().insert(topic.to_owned(), Check { at: now, from_the_start: true });
        self.changed.send();
    }

    fn next(&self) -> Option<Timestamp> {
        self.due.borrow().values().map(|check| check.at).min()
    }

    fn first_due(&self, now: Timestamp) -> Option<(String, Check)> {
        let due = self.due.borrow();
        due.iter().find(|(_, check)| check.at <= now).map(|(topic, check)| (topic.clone(), *check))
    }

    /// Unless something was said about the topic meanwhile.
    fn put_off(&self, topic: &str, checked: Check, to: Check) {
        if let Some(check) = self.due.borrow_mut().get_mut(topic)
            && check.at == checked.at
        {
            *check = to;
        }
    }
}

impl<S: Service> StoreHost<S> {
    /// Checks topics when they are due, until the process is to end.
    pub(crate) async fn check_heads(self: Rc<Self>) {
        let mut connection = Connection::new(self.ports.clone(), Role::Primary);
        loop {
            let next = self.checks.next();
            let due = async {
                match next {
                    Some(at) => self.ports.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            futures::select_biased! {
                () = self.shutdown.asked().fuse() => return,
                () = self.checks.changed.received().fuse() => {}
                () = due.fuse() => {}
            }
            while let Some((topic, check)) = self.checks.first_due(self.ports.clock.now()) {
                let checked = futures::select_biased! {
                    () = self.shutdown.asked().fuse() => return,
                    checked = self.check_topic(&mut connection, &topic, check.from_the_start).fuse() => checked,
                };
                let (pause, from_the_start) =
                    if checked { (CHECK_EVERY_MS, false) } else { (AGAIN_AFTER_MS, check.from_the_start) };
                let at = later(self.ports.clock.now(), pause);
                self.checks.put_off(&topic, check, Check { at, from_the_start });
            }
        }
    }

    /// Whether every source of the topic told all.
    async fn check_topic(&self, connection: &mut Connection, topic: &str, from_the_start: bool) -> bool {
        let sources = contracts::topics::find(topic).map_or(&[][..], |topic| topic.producers);
        let mut complete = true;
        for source in sources {
            match self.check_source(connection, topic, source, from_the_start).await {
                Ok(told_all) => complete &= told_all,
                Err(error) => {
                    tracing::warn!(instance = %self.instance, topic, source, %error, "heads are not checked yet");
                    complete = false;
                }
            }
        }
        complete
    }

    async fn check_source(
        &self,
        connection: &mut Connection,
        topic: &str,
        source: &str,
        from_the_start: bool,
    ) -> Result<bool, StoreError> {
        let stored = self.checked_up_to(connection, topic, source).await?;
        let mut after = if from_the_start { 0 } else { stored };
        let (mut settled, mut lacking) = (after, BTreeMap::new());
        loop {
            let Some(page) = self.heads_of(topic, source, after).await else { return Ok(false) };
            let known = lacking.len();
            let heads = page.heads.into_iter().map(|head| {
                let stream: Stream = (format!("{source}/{}", head.stream), topic.to_owned());
                (stream, head.last)
            });
            self.file_lacking(connection, heads.collect(), &mut lacking).await?;
            if known == 0 && lacking.is_empty() {
                settled = settled.max(page.settled);
            }
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        if settled > stored {
            self.keep_checked(connection, topic, source, settled).await?;
        }
        if !lacking.is_empty() {
            self.ask_for_lacking(connection, lacking).await?;
        }
        Ok(true)
    }

    async fn heads_of(&self, topic: &str, source: &str, after: i64) -> Option<HeadsPage> {
        let request = Request::get(format!("/host/v1/heads?topic={topic}&after={after}"));
        let request = request.body(Bytes::new()).expect("a constant path and plain values make a request");
        let response = self.ports.http.call(source, request, SOURCE_TIMEOUT).await.ok()?;
        serde_json::from_slice(response.body()).ok().filter(|_| response.status().is_success())
    }

    /// Files the streams of which we have not taken in all, with what was taken last and what there is.
    async fn file_lacking(
        &self,
        connection: &mut Connection,
        heads: Vec<(Stream, u64)>,
        lacking: &mut BTreeMap<Stream, (u64, u64)>,
    ) -> Result<(), StoreError> {
        if heads.is_empty() {
            return Ok(());
        }
        for (stream, (last, head)) in self.standing(connection, heads).await? {
            if last < head {
                let known = lacking.entry(stream).or_insert((last, head));
                *known = (last, head.max(known.1));
            }
        }
        Ok(())
    }

    /// What was taken in last of each stream; of one that waits behind a dead letter, as if it were all.
    async fn standing(
        &self,
        connection: &mut Connection,
        heads: Vec<(Stream, u64)>,
    ) -> Result<Vec<(Stream, (u64, u64))>, StoreError> {
        let mut statements = vec![Statement::Begin(Isolation::ReadCommitted)];
        statements.extend(heads.iter().flat_map(|(stream, _)| standing_of(stream)));
        statements.push(Statement::Commit);
        let mut replies = Replies(connection.run(statements).await?.into_iter());
        replies.begun();
        let standing = heads.into_iter().map(|(stream, head)| {
            let last = last_taken(&mut replies);
            let is_dead = replies.rows().iter().any(|row| row[5].as_int().unsigned_abs() == last + 1);
            (stream, (if is_dead { head } else { last }, head))
        });
        Ok(standing.collect())
    }

    /// Most that is lacking is on its way: asks for what has not moved after a while.
    async fn ask_for_lacking(
        &self,
        connection: &mut Connection,
        lacking: BTreeMap<Stream, (u64, u64)>,
    ) -> Result<(), StoreError> {
        self.ports.clock.sleep_until(later(self.ports.clock.now(), PATIENCE_MS.unsigned_abs())).await;
        let heads = lacking.iter().map(|(stream, (_, head))| (stream.clone(), *head)).collect();
        for (stream, (last, head)) in self.standing(connection, heads).await? {
            if last < head && lacking[&stream].0 == last {
                self.ask(stream.0, stream.1, last + 1, head).await;
            }
        }
        Ok(())
    }

    async fn checked_up_to(
        &self,
        connection: &mut Connection,
        topic: &str,
        source: &str,
    ) -> Result<i64, StoreError> {
        let statements = vec![
            Statement::Begin(Isolation::ReadCommitted),
            Statement::Get { table: &CHECKED, keys: vec![vec![source.into(), topic.into()]] },
            Statement::Commit,
        ];
        let mut replies = Replies(connection.run(statements).await?.into_iter());
        replies.begun();
        Ok(replies.rows().first().map_or(0, |row| row[2].as_int()))
    }

    async fn keep_checked(
        &self,
        connection: &mut Connection,
        topic: &str,
        source: &str,
        up_to: i64,
    ) -> Result<(), StoreError> {
        let row = vec![source.into(), topic.into(), Value::Int(up_to)];
        let statements = vec![
            Statement::Begin(Isolation::ReadCommitted),
            Statement::Insert { table: &CHECKED, row, on_conflict: OnConflict::Update },
            Statement::Commit,
        ];
        connection.run(statements).await.map(drop)
    }
}
