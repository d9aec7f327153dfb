//! The transaction of a batch: guards, locks, states, decisions, writes, commit.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::batch::{Batch, Item, PositionGuard};
use super::connection::Connection;
use super::fate::sort_items;
use super::panics::{Panicked, attempts_of, by_input, caught};
use super::replies::Replies;
use super::tables::{EVENTS, HEADS};
use super::writes::{Head, Writes};
use super::{StoreHost, count};
use crate::http_api::Problem;
use crate::ports::store::{
    Isolation, LockMode, LockWait, OnConflict, Reply, Scan, Statement, StoreError, Value,
};
use crate::service::{Access, Lookup, LookupKind, LookupResult, Service, StreamId};
use contracts::stored::Payload;

/// Inbox rows are kept this long.
const INBOX_KEPT_MS: i64 = 7 * 24 * 3_600_000;
/// Refusals in a row after which a batch is taken apart.
const FAILURES_BEFORE_SINGLES: u32 = 3;

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

/// How far a transaction came.
enum Transacted {
    Executed(Executed),
    /// Rolled back: one of its inputs has panicked before, and is to stand alone.
    TakeApart,
}

/// Why there is no transaction.
enum Failure {
    Store(StoreError),
    Panicked(Panicked),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The first pipeline of the transaction, and what its replies will mean.
struct Opening {
    asks_for_attempts: bool,
    streams: BTreeMap<StreamId, Named>,
    lookups: Vec<Lookup>,
    statements: Vec<Statement>,
}

/// A stream that the batch names.
#[derive(Clone, Copy)]
pub(super) struct Named {
    pub access: Access,
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
        match self.try_execute(connection, &batch, is_wanted).await {
            Ok(executed) => executed,
            Err(Panicked { place, why }) => self.die_of(connection, &batch.items[place].key, why).await,
        }
    }

    /// The same, and a panic is left to the caller. Nothing is committed then.
    pub(super) async fn try_execute(
        &self,
        connection: &mut Connection,
        batch: &Batch<S::Command>,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Option<Executed>, Panicked> {
        let (mut failures, mut unheard) = (0, false);
        loop {
            let error = match self.transact(connection, batch).await {
                Ok(Transacted::Executed(executed)) => {
                    if unheard {
                        // What an earlier try committed without our hearing of it has woken nobody.
                        self.duties.wake_all();
                    }
                    return Ok(Some(executed));
                }
                Ok(Transacted::TakeApart) => {
                    return Box::pin(self.execute_singly(connection, batch.clone(), is_wanted)).await;
                }
                Err(Failure::Store(error)) => error,
                Err(Failure::Panicked(panicked)) => {
                    connection.abandon().await;
                    return Err(panicked);
                }
            };
            failures += 1;
            unheard |= error == StoreError::UnknownCommit;
            if error.is_conflict() {
                count(&self.counters.conflicts, 1);
            } else {
                tracing::warn!(instance = %self.instance, %error, "transaction failed, trying again");
            }
            if error.ends_session() {
                self.cache.borrow_mut().clear();
            }
            if !error.is_conflict() || failures >= FAILURES_BEFORE_SINGLES {
                connection.back_off_after(failures).await;
            }
            let refused = matches!(error, StoreError::Database { .. });
            if refused && failures >= FAILURES_BEFORE_SINGLES && batch.items.len() > 1 {
                return Box::pin(self.execute_singly(connection, batch.clone(), is_wanted)).await;
            }
            if !unheard && !is_wanted() {
                return Ok(None);
            }
        }
    }

    /// Whether a command is to be decided in a batch of its own: its lookups see the database, not the batch.
    pub(crate) fn stands_alone(&self, item: &Item<S::Command>) -> bool {
        let Some(command) = &item.command else { return false };
        // One that panics here stands alone too, and panics again when its turn comes.
        caught(|| !self.service.lookups(command).is_empty()).unwrap_or(true)
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
    ) -> Result<Option<Executed>, Panicked> {
        let mut all = (Vec::new(), Vec::new());
        for (place, single) in batch.singles().into_iter().enumerate() {
            let executed = self.try_execute(connection, &single, is_wanted).await;
            match executed.map_err(|panicked| Panicked { place, ..panicked })? {
                Some(Executed::Done { outcomes, successors }) => {
                    all.0.extend(outcomes);
                    all.1.extend(successors);
                }
                Some(Executed::Fenced) => return Ok(Some(Executed::Fenced)),
                None => return Ok(None),
            }
        }
        Ok(Some(Executed::Done { outcomes: all.0, successors: all.1 }))
    }

    async fn transact(
        &self,
        connection: &mut Connection,
        batch: &Batch<S::Command>,
    ) -> Result<Transacted, Failure> {
        let opening = self.try_open(batch).map_err(Failure::Panicked)?;
        let sent = self.ports.clock.now();
        let mut replies = Replies(connection.run(opening.statements).await?.into_iter());
        count(&self.counters.transactions, 1);
        let database_time = replies.begun();
        self.observe_database_time(database_time.1, sent);
        if batch.position.is_some() && replies.changed() == 0 {
            connection.run(vec![Statement::Rollback]).await?;
            return Ok(Transacted::Executed(Executed::Fenced));
        }
        let attempts = if opening.asks_for_attempts { by_input(replies.rows()) } else { BTreeMap::new() };
        if !attempts.is_empty() && batch.items.len() > 1 {
            connection.run(vec![Statement::Rollback]).await?;
            return Ok(Transacted::TakeApart);
        }
        let sorted = sort_items(batch, &attempts, &mut replies);
        let Read { heads, stale, mut states } = self.read_heads(&opening.streams, &mut replies);
        let lookups: Vec<LookupResult> = opening.lookups.iter().map(|_| replies.lookup()).collect();
        self.reload(connection, &stale, &mut states).await?;
        let mut writes =
            Writes::new(S::NAME, heads, database_time.0, self.ports.clock.now(), database_time.1);
        if !attempts.is_empty() {
            writes.settle_attempts(&batch.items[0], &sorted.fates[0]);
        }
        let outcomes =
            self.decide_all(batch, sorted.fates, &mut states, &lookups, database_time.1, &mut writes);
        let outcomes = outcomes.map_err(Failure::Panicked)?;
        let (statements, duties) = writes.finish(self.duties.is_holder());
        let replies = connection.run(statements).await?;
        debug_assert_eq!(replies.last(), Some(&Reply::Committed));
        self.keep(states, opening.streams, duties.heads);
        self.duties.woken_by(&duties.wakes);
        Ok(Transacted::Executed(Executed::Done { outcomes, successors: sorted.successors }))
    }

    /// A panic of the service's here is the first input's that panics by itself.
    fn try_open(&self, batch: &Batch<S::Command>) -> Result<Opening, Panicked> {
        caught(|| self.open(batch)).map_err(|why| {
            let panics =
                |item: &Item<S::Command>| caught(|| self.open(&Batch::of(vec![item.clone()]))).is_err();
            Panicked { place: batch.items.iter().position(panics).unwrap_or(0), why }
        })
    }

    /// Begin, guards, locks in key order, lookups: one pipeline.
    fn open(&self, batch: &Batch<S::Command>) -> Opening {
        let mut statements = vec![Statement::Begin(Isolation::ReadCommitted)];
        statements.extend(batch.position.as_ref().map(PositionGuard::statement));
        let attempts = attempts_of(batch);
        let asks_for_attempts = attempts.is_some();
        statements.extend(attempts);
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
        Opening { asks_for_attempts, streams, lookups, statements }
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
