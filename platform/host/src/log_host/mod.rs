//! LogHost: services whose truth is the log. The state of each input partition is in memory; one Kafka transaction per
//! batch holds the offset of its inputs, its messages and the service's own changelog.
//!
//! **Exactly once.** A batch is decided once, and committed or not. The `transactional.id` belongs to the input
//! partition, so a new owner's `InitProducerId` fences the old one and ends what it left open, before anything is read.
//! The group's metadata go with the offset (KIP-447), so whom the group has replaced commits nothing.
//!
//! **Recovery** (`recovery`) reads what was committed and decides nothing. **An aborted batch** is sent again as it was
//! decided. **A commit of unknown outcome** is asked for again, or the owner recovers (`transaction`).
//!
//! **Left out**: gaps in sources' sequences are not waited for, and duplicates from producers that are not idempotent
//! are the service's to recognise; a panic in a decision ends the process, and the partition stands until the service is
//! repaired; the changelog is not deleted by the host, also where snapshots would allow it.

mod batch;
mod changelog;
mod mailbox;
mod membership;
mod memory;
mod owner;
mod recovery;
mod service;
mod transaction;
mod trouble;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

pub use batch::dead_letter;
pub use changelog::{Entry, Progress, Unreadable};
pub use service::{InputRecord, LogDecision, LogService, LogTopics};

use crate::ports::transactional_log::{GroupMetadata, TransactionalLog};
use crate::ports::{Clock, Entropy};
use crate::signal::{Latch, Signal};
use crate::store_host::later;

/// A call that goes on is made again so often before the owner gives up.
const RESUMES_MAX: u32 = 6;
/// First and longest pause between two tries.
const PAUSE_MS: (u64, u64) = (50, 2_000);

/// What a LogHost needs of the world.
#[derive(Clone)]
pub struct LogPorts {
    pub clock: Rc<dyn Clock>,
    pub entropy: Rc<dyn Entropy>,
    pub log: Rc<dyn TransactionalLog>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogHostSettings {
    /// Most inputs in one transaction.
    pub batch_size: usize,
    /// A partition whose owner has so many records before it is paused.
    pub queued_records_max: usize,
    /// A snapshot is taken after so many events, if the service takes any.
    pub snapshot_every_events: u64,
}

impl Default for LogHostSettings {
    fn default() -> Self {
        Self { batch_size: 500, queued_records_max: 2_000, snapshot_every_events: 100_000 }
    }
}

/// What a host has done. Nothing depends on it.
#[derive(Debug, Default)]
pub struct LogHostCounters {
    pub batches: Cell<u64>,
    pub inputs: Cell<u64>,
    pub recoveries: Cell<u64>,
    pub aborts: Cell<u64>,
    /// Commits that were not answered in time.
    pub unknown_commits: Cell<u64>,
    /// Owners that a newer producer, or the coordinator, has put an end to.
    pub fencings: Cell<u64>,
    pub dead_letters: Cell<u64>,
    pub snapshots: Cell<u64>,
}

/// A service on its log: one process of it.
pub struct LogHost<S: LogService> {
    service: S,
    /// The instance, e.g. `matching/2`.
    instance: String,
    ports: LogPorts,
    settings: LogHostSettings,
    counters: Rc<LogHostCounters>,
    /// Who this process is in the group, for its transactions.
    metadata: RefCell<GroupMetadata>,
    /// An owner wants something of the member.
    attention: Rc<Signal>,
    shutdown: Latch,
}

impl<S: LogService> LogHost<S> {
    pub fn new(
        service: S,
        instance: &str,
        ports: LogPorts,
        settings: LogHostSettings,
        counters: Rc<LogHostCounters>,
    ) -> Rc<Self> {
        Rc::new(Self {
            service,
            instance: instance.to_owned(),
            ports,
            settings,
            counters,
            metadata: RefCell::default(),
            attention: Rc::default(),
            shutdown: Latch::default(),
        })
    }

    /// Takes part in the group and processes the partitions that it gets. Returns after [`LogHost::shut_down`].
    pub async fn run(self: Rc<Self>) {
        self.take_part().await;
    }

    /// Asks the process to end: what was begun is finished or aborted, and the group is left.
    pub fn shut_down(&self) {
        self.shutdown.set();
    }

    /// Waits longer after each failure in a row.
    async fn pause(&self, failures: u32) {
        let (first, longest) = PAUSE_MS;
        let pause = (first << failures.saturating_sub(1).min(10)).min(longest);
        let jitter = self.ports.entropy.next_u64() % (pause / 2 + 1);
        self.ports.clock.sleep_until(later(self.ports.clock.now(), pause + jitter)).await;
    }
}
