//! StoreHost: runs a service on a relational store, exactly once.
//!
//! One transaction per batch of one kind of input: the input's guard first, then every named stream locked
//! in key order, stale states reloaded, decisions, and all they ask for. What the guards are:
//! - records of the log: the input position, with its claim;
//! - HTTP commands: the inbox row of (scope, idempotency key);
//! - timers and answers of effects: their own rows, deleted where they are as they were read.
//!
//! So a transaction of unknown outcome is simply done again: its guard tells whether it happened.

pub mod batch;
pub mod cache;
pub mod connection;
mod decide;
pub mod duties;
pub mod effects;
pub mod execute;
mod fate;
pub mod gaps;
pub mod heads;
pub mod inputs;
mod lanes;
pub mod letters;
pub mod operations;
pub mod panics;
pub mod patience;
pub mod relay;
mod replies;
pub mod server;
pub mod shutdown;
pub mod tables;
pub mod timers;
pub mod writes;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::FutureExt;
use model::Timestamp;

use self::cache::Cache;
use self::connection::DatabaseClock;
use self::duties::Duties;
use self::heads::Checks;
use self::shutdown::Shutdown;
use crate::ports::Ports;
use crate::ports::store::Table;
use crate::service::Service;

/// Sizes and times of a host. Not business settings.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// Most inputs in one transaction.
    pub batch_size: usize,
    /// Most rows that the relay, timers and effects read at a time.
    pub page_size: usize,
    /// Most calls to outside parties at a time.
    pub effects_in_flight: usize,
    /// Most of them to one receiver, where a party has several.
    pub effects_in_flight_per_lane: usize,
    /// Fallback scan where no wake-up came.
    pub scan_every_ms: u64,
    /// States per cache generation.
    pub cache_size: usize,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self {
            batch_size: 100,
            page_size: 500,
            effects_in_flight: 64,
            effects_in_flight_per_lane: 8,
            scan_every_ms: 60_000,
            cache_size: 20_000,
        }
    }
}

/// What a host counts.
#[derive(Debug, Default)]
pub struct HostCounters {
    pub decisions: Cell<u64>,
    pub rejects: Cell<u64>,
    pub transactions: Cell<u64>,
    pub conflicts: Cell<u64>,
    pub duplicates: Cell<u64>,
    pub parked: Cell<u64>,
    pub dead_letters: Cell<u64>,
}

pub(crate) fn count(counter: &Cell<u64>, by: u64) {
    counter.set(counter.get() + by);
}

/// A service on its store: shared by the tasks of one process.
pub struct StoreHost<S: Service> {
    pub(crate) service: S,
    /// The instance, e.g. `position/2`.
    pub(crate) instance: String,
    pub(crate) ports: Rc<Ports>,
    pub(crate) settings: HostSettings,
    pub(crate) counters: Rc<HostCounters>,
    pub(crate) cache: RefCell<Cache<S::State>>,
    pub(crate) database_clock: Cell<DatabaseClock>,
    pub(crate) duties: Duties,
    pub(crate) shutdown: Shutdown,
    pub(crate) checks: Checks,
}

/// The tables of a service's database.
pub fn tables_of<S: Service>(service: &S) -> Vec<&'static Table> {
    tables::ALL.iter().copied().chain(service.tables()).collect()
}

impl<S: Service> StoreHost<S> {
    pub fn new(
        service: S,
        instance: &str,
        ports: Ports,
        settings: HostSettings,
        counters: Rc<HostCounters>,
    ) -> Rc<Self> {
        let cache = RefCell::new(Cache::new(settings.cache_size));
        Rc::new(Self {
            service,
            instance: instance.to_owned(),
            ports: Rc::new(ports),
            settings,
            counters,
            cache,
            database_clock: Cell::default(),
            duties: Duties::default(),
            shutdown: Shutdown::default(),
            checks: Checks::default(),
        })
    }

    /// Serves HTTP, and does everything else in tasks of its own. Returns after [`StoreHost::shut_down`].
    pub async fn run(self: Rc<Self>) {
        if !contracts::topics::consumed_by(S::NAME).is_empty() {
            self.spawn("inputs", self.clone().consume().boxed_local());
            self.spawn("heads", self.clone().check_heads().boxed_local());
        }
        self.spawn("duties", self.clone().hold_duties().boxed_local());
        futures::select_biased! {
            () = self.serve().fuse() => {}
            () = self.out_of_time().fuse() => {}
        }
    }

    /// `sent`: the node's clock when the transaction's begin was sent. Its answer has just come.
    pub(crate) fn observe_database_time(&self, database: Timestamp, sent: Timestamp) {
        let mut clock = self.database_clock.get();
        clock.observe(database, (sent, self.ports.clock.now()));
        self.database_clock.set(clock);
    }

    pub(crate) fn database_now(&self) -> Timestamp {
        self.database_clock.get().estimate(self.ports.clock.now())
    }
}

/// `at`, moved by milliseconds; stays within what a timestamp can hold.
pub(crate) fn shifted(at: Timestamp, by_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond().saturating_add(by_ms)).unwrap_or(Timestamp::MAX)
}

pub(crate) fn later(at: Timestamp, by_ms: u64) -> Timestamp {
    shifted(at, i64::try_from(by_ms).unwrap_or(i64::MAX))
}
