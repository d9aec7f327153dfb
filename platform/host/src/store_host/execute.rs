//! The transaction of a batch: guards, locks, states, decisions, writes, commit.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::Timestamp;

use super::batch::{Batch, Item, ItemKey, PositionGuard};
use super::cache::Cached;
use super::connection::Connection;
use super::fate::{Fate, sort_items};
use super::replies::Replies;
use super::tables::{EVENTS, HEADS};
use super::writes::{Head, Writes};
use super::{StoreHost, count};
use crate::decision::{Decision, Reject};
use crate::http_api::Problem;
use crate::ports::store::{
    Isolation, LockMode, LockWait, OnConflict, Reply, Scan, Statement, StoreError, Value,
};
use crate::service::{Access, Lookup, LookupKind, LookupResult, Service, StreamId, View};
use contracts::stored::Payload;

/// Inbox rows are kept this long.
const INBOX_KEPT_MS: i64 = 7 * 24 * 3_600_000;
/// Refusals in a row after which a batch is taken apart.
const FAILURES_BEFORE_SINGLES: u32 = 3;

/// What a service says to a command.
type Decided<E> = Result<Decision<E>, Reject<E>>;

/// What became of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Decided(Option<StoredAnswer>),
    /// Taken before; with the answer that was stored then.
    Duplicate(Option<StoredAnswer>),
    /// The idempotency key was used for something else.
    KeyReused,
    /// Waits for its predecessors.
    Parked,
    /// Cannot be decoded: kept aside.
    DeadLetter,
}

/// An answer as the inbox keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    pub status: u16,
    pub body: Bytes,
}

/// The end of a batch.
#[derive(Debug)]
pub enum Executed {
    Done {
        outcomes: Vec<Outcome>,
        /// Streams (source, topic) whose next message is parked.
        successors: Vec<(String, String)>,
    },
    /// Another owner has claimed the partition, or moved its position.
    Fenced,
}

/// The first pipeline of the transaction, and what its replies will mean.
struct Opening {
    streams: BTreeMap<StreamId, Named>,
    lookups: Vec<Lookup>,
    statements: Vec<Statement>,
}

/// A stream that the batch names.
#[derive(Clone, Copy)]
struct Named {
    access: Access,
    /// Its head is inserted first, for it may be missing.
    is_inserted: bool,
}

/// What the locks gave: heads, states as far as they are cached, and the streams whose state is behind.
struct Read<T> {
    heads: BTreeMap<StreamId, Head>,
    /// With the version that the cached state stands at.
    stale: Vec<(StreamId, u64)>,
    states: BTreeMap<StreamId, T>,
}

impl<S: Service> StoreHost<S> {
    /// Decides a batch exactly once: retries conflicts and unknown outcomes until there is an answer.
    pub(crate) async fn execute(&self, connection: &mut Connection, batch: Batch<S::Command>) -> Executed {
        let executed = self.execute_while(connection, batch, &|| true).await;
        executed.expect("it is wanted for ever")
    }

    /// The same, as long as it is wanted, and beyond while a commit is of unknown outcome. `None`: not decided.
    pub(crate) async fn execute_while(
        &self,
        connection: &mut Connection,
        batch: Batch<S::Command>,
        is_wanted: &dyn Fn() -> bool,
    ) -> Option<Executed> {
        let (mut failures, mut unheard) = (0, false);
        loop {
            let error = match self.transact(connection, &batch).await {
                Ok(executed) => {
                    if unheard {
                        // What an earlier try committed without our hearing of it has woken nobody.
                        self.duties.wake_all();
                    }
                    return Some(executed);
                }
                Err(error) => error,
            };
            failures += 1;
            unheard |= error == StoreError::UnknownCommit;
            if error.is_conflict() {
                count(&self.counters.conflicts, 1);
            } else {
                tracing::warn!(instance = %self.instance, %error, "transaction failed, trying again");
                connection.back_off_after(failures).await;
            }
            let refused = matches!(error, StoreError::Database { .. });
            if refused && failures >= FAILURES_BEFORE_SINGLES && batch.items.len() > 1 {
                return Box::pin(self.execute_singly(connection, batch, is_wanted)).await;
            }
            if !unheard && !is_wanted() {
                return None;
            }
        }
    }

    /// Whether a command is to be decided in a batch of its own: its lookups see the database, not the batch.
    pub(crate) fn stands_alone(&self, item: &Item<S::Command>) -> bool {
        item.command.as_ref().is_some_and(|command| !self.service.lookups(command).is_empty())
    }

    /// Items in their order, in batches of the right size.
    pub(crate) fn batches_of(&self, items: Vec<Item<S::Command>>) -> Vec<Batch<S::Command>> {
        let mut batches: Vec<Batch<S::Command>> = Vec::new();
        let mut closed = true;
        for item in items {
            let alone = self.stands_alone(&item);
            match batches.last_mut() {
                Some(batch) if !closed && !alone && batch.items.len() < self.settings.batch_size => {
                    batch.items.push(item);
                }
                _ => batches.push(Batch::of(vec![item])),
            }
            closed = alone;
        }
        batches
    }

    async fn execute_singly(
        &self,
        connection: &mut Connection,
        batch: Batch<S::Command>,
        is_wanted: &dyn Fn() -> bool,
    ) -> Option<Executed> {
        let mut all = (Vec::new(), Vec::new());
        for single in batch.singles() {
            match self.execute_while(connection, single, is_wanted).await? {
                Executed::Done { outcomes, successors } => {
                    all.0.extend(outcomes);
                    all.1.extend(successors);
                }
                Executed::Fenced => return Some(Executed::Fenced),
            }
        }
        Some(Executed::Done { outcomes: all.0, successors: all.1 })
    }

    async fn transact(
        &self,
        connection: &mut Connection,
        batch: &Batch<S::Command>,
    ) -> Result<Executed, StoreError> {
        let opening = self.open(batch);
        let sent = self.ports.clock.now();
        let mut replies = Replies(connection.run(opening.statements).await?.into_iter());
        count(&self.counters.transactions, 1);
        let database_time = replies.begun();
        self.observe_database_time(database_time.1, sent);
        if batch.position.is_some() && replies.changed() == 0 {
            connection.run(vec![Statement::Rollback]).await?;
            return Ok(Executed::Fenced);
        }
        let sorted = sort_items(batch, &mut replies);
        let Read { heads, stale, mut states } = self.read_heads(&opening.streams, &mut replies);
        let lookups: Vec<LookupResult> = opening.lookups.iter().map(|_| replies.lookup()).collect();
        self.reload(connection, &stale, &mut states).await?;
        let mut writes =
            Writes::new(S::NAME, heads, database_time.0, self.ports.clock.now(), database_time.1);
        let outcomes =
            self.decide_all(batch, sorted.fates, &mut states, &lookups, database_time.1, &mut writes);
        let (statements, duties) = writes.finish(self.duties.is_holder());
        let replies = connection.run(statements).await?;
        debug_assert_eq!(replies.last(), Some(&Reply::Committed));
        self.keep(states, opening.streams, duties.heads);
        self.duties.woken_by(&duties.wakes);
        Ok(Executed::Done { outcomes, successors: sorted.successors })
    }

    /// Begin, guards, locks in key order, lookups: one pipeline.
    fn open(&self, batch: &Batch<S::Command>) -> Opening {
        let mut statements = vec![Statement::Begin(Isolation::ReadCommitted)];
        statements.extend(batch.position.as_ref().map(PositionGuard::statement));
        let expires_ms = self.database_now().as_millisecond() + INBOX_KEPT_MS;
        for item in &batch.items {
            statements.extend(item.key.guards(expires_ms));
        }
        let streams = self.named_streams(batch);
        for (stream, Named { access, is_inserted }) in &streams {
            if *is_inserted {
                let row = vec![stream.to_value(), Value::Int(0), "".into()];
                statements.push(Statement::Insert { table: &HEADS, row, on_conflict: OnConflict::DoNothing });
            }
            let mode = match access {
                Access::Read => LockMode::Share,
                Access::Write => LockMode::Update,
            };
            let keys = vec![vec![stream.to_value()]];
            statements.push(Statement::Lock { table: &HEADS, keys, mode, wait: LockWait::Wait });
        }
        let lookups = match &batch.items[..] {
            [Item { command: Some(command), .. }] => self.service.lookups(command),
            _ => Vec::new(),
        };
        statements.extend(lookups.iter().map(lookup_statement));
        Opening { streams, lookups, statements }
    }

    /// The union of all streams of the batch, each in the strongest mode needed.
    fn named_streams(&self, batch: &Batch<S::Command>) -> BTreeMap<StreamId, Named> {
        let cache = self.cache.borrow();
        let mut streams: BTreeMap<StreamId, Named> = BTreeMap::new();
        for stream in batch.items.iter().flat_map(|item| &item.command).flat_map(|c| self.service.streams(c))
        {
            let is_inserted = !cache.knows(&stream.id);
            let named = streams.entry(stream.id).or_insert(Named { access: stream.access, is_inserted });
            named.access = named.access.max(stream.access);
        }
        streams
    }

    /// Head rows, the streams whose cached state is behind, and the states to start from.
    fn read_heads(&self, streams: &BTreeMap<StreamId, Named>, replies: &mut Replies) -> Read<S::State> {
        let mut cache = self.cache.borrow_mut();
        let mut read = Read { heads: BTreeMap::new(), stale: Vec::new(), states: BTreeMap::new() };
        for (stream, Named { access, is_inserted }) in streams {
            if *is_inserted {
                replies.changed();
            }
            let row = replies.rows().pop().expect("the head was inserted just before where it was missing");
            let head = Head::from_row(&row, *access);
            let cached = match access {
                Access::Write => cache.take(stream),
                Access::Read => cache.copy(stream),
            };
            let (version, state) = match cached {
                Some(cached) if cached.version <= head.version => (cached.version, cached.state),
                _ => (0, S::State::default()),
            };
            if version < head.version {
                read.stale.push((stream.clone(), version));
            }
            read.states.insert(stream.clone(), state);
            read.heads.insert(stream.clone(), head);
        }
        read
    }

    /// Folds the events that stale states have not seen.
    async fn reload(
        &self,
        connection: &mut Connection,
        stale: &[(StreamId, u64)],
        states: &mut BTreeMap<StreamId, S::State>,
    ) -> Result<(), StoreError> {
        if stale.is_empty() {
            return Ok(());
        }
        let scans = stale.iter().map(|(stream, version)| {
            Statement::Scan(Scan {
                table: &EVENTS,
                index: None,
                prefix: vec![stream.to_value()],
                after: Some(vec![Value::Int(*version as i64)]),
                up_to: None,
                limit: usize::MAX,
            })
        });
        let mut replies = Replies(connection.run(scans.collect()).await?.into_iter());
        for (stream, _) in stale {
            let state = states.get_mut(stream).expect("every stale stream was read");
            for row in replies.rows() {
                let event = S::Event::decode(row[2].as_bytes().clone());
                let event = event.expect("stored events were written by this service and stay readable");
                self.service.apply(state, &event);
            }
        }
        Ok(())
    }

    fn decide_all(
        &self,
        batch: &Batch<S::Command>,
        fates: Vec<Fate>,
        states: &mut BTreeMap<StreamId, S::State>,
        lookups: &[LookupResult],
        database_time: Timestamp,
        writes: &mut Writes,
    ) -> Vec<Outcome> {
        let absent = S::State::default();
        let now = self.ports.clock.now();
        let mut outcomes = Vec::with_capacity(batch.items.len());
        for (item, fate) in batch.items.iter().zip(fates) {
            outcomes.push(match fate {
                Fate::Take => {
                    writes.take(item);
                    let view = View::new(states, lookups, &absent, database_time);
                    let decided =
                        item.command.as_ref().map(|command| self.service.decide(now, command, &view));
                    Outcome::Decided(self.enact(item, decided, states, writes))
                }
                Fate::Duplicate(answer) => {
                    count(&self.counters.duplicates, 1);
                    if let (ItemKey::Http { scope, key, .. }, Some(stored)) = (&item.key, &answer) {
                        // Written again, so that this commit waits as the first one did before it is told.
                        writes.answer(scope, key, stored);
                    }
                    writes.drop_parked(item);
                    Outcome::Duplicate(answer)
                }
                Fate::KeyReused => Outcome::KeyReused,
                Fate::Park => {
                    count(&self.counters.parked, 1);
                    writes.park(item);
                    Outcome::Parked
                }
                Fate::Dead => {
                    count(&self.counters.dead_letters, 1);
                    writes.bury(item);
                    Outcome::DeadLetter
                }
            });
        }
        outcomes
    }

    /// Applies a decision to the states and turns it into writes; gives the answer for who waits.
    fn enact(
        &self,
        item: &Item<S::Command>,
        decided: Option<Decided<S::Event>>,
        states: &mut BTreeMap<StreamId, S::State>,
        writes: &mut Writes,
    ) -> Option<StoredAnswer> {
        let (decision, refusal) = match decided? {
            Ok(decision) => (decision, None),
            Err(reject) => (reject.decision, Some(reject.problem)),
        };
        count(&self.counters.decisions, 1);
        for (stream, event) in &decision.events {
            let state = states.get_mut(stream).unwrap_or_else(|| panic!("{stream} was not named"));
            self.service.apply(state, event);
            writes.event(stream, event.encode(), &item.cause);
        }
        let answer = match (&refusal, &decision.answer) {
            (Some(problem), _) => {
                count(&self.counters.rejects, 1);
                Some(StoredAnswer { status: problem.status, body: problem.response().into_body() })
            }
            (None, Some(answer)) => Some(StoredAnswer {
                status: answer.status,
                body: serde_json::to_vec(&answer.body).expect("JSON values serialise").into(),
            }),
            (None, None) => None,
        };
        writes.decision(decision, &item.cause);
        if let ItemKey::Http { scope, key, .. } = &item.key {
            let stored = answer.clone().unwrap_or(StoredAnswer { status: 204, body: Bytes::new() });
            writes.answer(scope, key, &stored);
            return Some(stored);
        }
        answer
    }

    /// Keeps the states that this transaction made current.
    fn keep(
        &self,
        states: BTreeMap<StreamId, S::State>,
        streams: BTreeMap<StreamId, Named>,
        mut heads: BTreeMap<StreamId, Head>,
    ) {
        let mut cache = self.cache.borrow_mut();
        for (stream, state) in states {
            let head = heads.remove(&stream).expect("every state has its head");
            if streams[&stream].access == Access::Write || cache.version_of(&stream) != Some(head.version) {
                cache.put(stream, Cached { version: head.version, state });
            }
        }
    }
}

pub(super) fn lookup_statement(lookup: &Lookup) -> Statement {
    match lookup.kind {
        LookupKind::Count => {
            let Lookup { table, index, prefix, .. } = lookup.clone();
            assert!(lookup.after.is_none() && lookup.up_to.is_none(), "a count has a prefix only");
            Statement::Count { table, index, prefix }
        }
        LookupKind::Rows { limit } => {
            let Lookup { table, index, prefix, after, up_to, .. } = lookup.clone();
            Statement::Scan(Scan { table, index, prefix, after, up_to, limit })
        }
    }
}

/// The problem for a key that was used with another payload.
pub(super) fn key_reused() -> Problem {
    Problem::unprocessable(
        "idempotency-key-reused",
        "this Idempotency-Key was used with another payload; use a new key for a new request",
    )
}
