//! The transaction coordinator: which producer has a transactional id, and what its transaction has come to.
//!
//! Called by the broker that it lives in: requests, time and callbacks in, a [`Todo`] out. Real: `TransactionCoordinator`,
//! `TransactionStateManager`, `TransactionMarkerChannelManager` of Kafka 4.x. Each transition is written to the id's
//! partition of `__transaction_state` before it takes effect or is answered: PREPARE, then a marker in every partition of
//! the transaction, then COMPLETE. Leaves out two-phase commit (KIP-939), ACLs, and the strict check of markers of
//! KIP-1228 (`WriteTxnMarkers` 2); all markers of one transaction for one broker go in one request, where Kafka
//! also joins those of other transactions.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use crate::broker::{ConnectionId, ReplyTo};
use crate::cluster::{ClusterSettings, TimestampMs, place};
use crate::coordination::{StateWrite, Todo};
use crate::protocol::Response;
use crate::records::{BatchHeader, Record};

mod add;
mod config;
mod describe;
mod end;
mod init;
mod markers;
mod metadata;
mod questions;
mod record;
mod state;
mod sweep;

use add::{AddAsker, Batch};
pub use config::TransactionConfig;
use end::EndAsker;
use markers::{MarkerSend, Retry};
use metadata::{Metadata, Transaction};
pub(crate) use questions::{Answered, Needed, Question, Questions, Refusals, TransactionSupport};
use state::TransactionVersion;

/// How long the write of a tombstone may take (`request.timeout.ms` of brokers).
const FORGET_TIMEOUT_MS: i64 = 30_000;

/// What a call needs of the broker.
pub(crate) struct Env<'a> {
    /// Steady time, which waits go by.
    pub now: TimestampMs,
    /// What the broker's clock shows: the times that are written, and that transactions time out by.
    pub clock: TimestampMs,
    /// Whom the broker takes for the leader of a partition.
    pub leader_of: &'a dyn Fn(&TopicName, i32) -> Leader,
    /// A producer id that was never given out.
    pub next_producer_id: &'a mut dyn FnMut() -> Result<i64, ResponseError>,
    pub todo: &'a mut Todo,
}

/// Where a partition's markers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leader {
    Broker(i32),
    /// The partition has none at the moment.
    None,
    NoSuchPartition,
}

/// The ids of one partition of `__transaction_state`.
struct StatePartition {
    /// The leader epoch in which this broker leads it: the coordinator epoch of its markers.
    epoch: i32,
    is_loading: bool,
    transactions: BTreeMap<StrBytes, Transaction>,
}

/// A transition that is being written.
struct Write {
    partition: i32,
    id: StrBytes,
    then: Then,
}

/// What follows when it is.
enum Then {
    Init { reply: Option<ReplyTo>, to: Metadata },
    Add { asker: AddAsker, to: Metadata },
    Prepare { asker: EndAsker, to: Metadata, is_fence: bool },
    Complete { to: Metadata },
    Forget,
}

pub(crate) struct TransactionCoordinator {
    config: TransactionConfig,
    /// Of `__transaction_state`.
    partitions: i32,
    /// The finalised `transaction.version`.
    server_version: TransactionVersion,
    /// Partitions of `__transaction_state` led here.
    led: BTreeMap<i32, StatePartition>,
    writes: BTreeMap<u64, Write>,
    marker_sends: BTreeMap<u64, MarkerSend>,
    retries: BTreeMap<(TimestampMs, u64), Retry>,
    batches: BTreeMap<u64, Batch>,
    last_ticket: u64,
    next_sweep: Option<TimestampMs>,
    next_expiry: Option<TimestampMs>,
}

impl TransactionCoordinator {
    pub fn new(config: TransactionConfig, cluster: &ClusterSettings) -> TransactionCoordinator {
        TransactionCoordinator {
            config,
            partitions: cluster.transaction_state_log_num_partitions,
            server_version: TransactionVersion::of_level(cluster.transaction_version),
            led: BTreeMap::new(),
            writes: BTreeMap::new(),
            marker_sends: BTreeMap::new(),
            retries: BTreeMap::new(),
            batches: BTreeMap::new(),
            last_ticket: 0,
            next_sweep: None,
            next_expiry: None,
        }
    }

    /// The partition of `__transaction_state` that keeps an id.
    pub fn partition_of(&self, id: &str) -> i32 {
        place(id, self.partitions)
    }

    fn ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// The partition that keeps the id, if it is led here and read.
    fn partition(&mut self, id: &StrBytes) -> Result<&mut StatePartition, ResponseError> {
        let partition = self.partition_of(id);
        match self.led.get_mut(&partition) {
            None => Err(ResponseError::NotCoordinator),
            Some(led) if led.is_loading => Err(ResponseError::CoordinatorLoadInProgress),
            Some(led) => Ok(led),
        }
    }

    /// What is known of an id; `None`: nobody has used it, or it is forgotten.
    fn transaction(&mut self, id: &StrBytes) -> Result<Option<&mut Transaction>, ResponseError> {
        self.partition(id).map(|partition| partition.transactions.get_mut(id))
    }

    /// Writes where an id goes; until [`TransactionCoordinator::written`] it is pending.
    fn write(&mut self, env: &mut Env<'_>, id: &StrBytes, then: Then) {
        let (version, ticket) = (self.server_version, self.ticket());
        let (pending, record) = match &then {
            Then::Init { to, .. }
            | Then::Add { to, .. }
            | Then::Prepare { to, .. }
            | Then::Complete { to } => (to.state, record::record(id, to, version)),
            Then::Forget => (state::TransactionState::Dead, record::tombstone(id)),
        };
        let partition = self.partition_of(id);
        if let Ok(Some(transaction)) = self.transaction(id) {
            transaction.pending = Some(pending);
        }
        self.writes.insert(ticket, Write { partition, id: id.clone(), then });
        let records = vec![record];
        env.todo.writes.push(StateWrite { partition, ticket, transaction: None, records });
    }

    /// What came of a write: the transition takes effect, or does not, although its record may be in the log. A write that
    /// timed out stays without effect here when it is replicated later, as in `TransactionStateManager`: the next coordinator
    /// finds it.
    pub fn written(&mut self, env: &mut Env<'_>, ticket: u64, outcome: Result<i64, ResponseError>) {
        let Some(write) = self.writes.remove(&ticket) else { return };
        let outcome = outcome.map(|_| ()).map_err(state_log_error);
        let Ok(Some(transaction)) = self.transaction(&write.id) else { return };
        transaction.pending = None;
        match write.then {
            Then::Init { reply, to } => {
                let outcome = outcome.map(|()| transaction.metadata = to.clone());
                init::answer(env.todo, reply, outcome.map(|()| (to.producer_id, to.producer_epoch)));
                self.note_expiry(env.now);
            }
            Then::Add { asker, to } => {
                let outcome = outcome.map(|()| transaction.metadata = to);
                if outcome.is_ok() {
                    self.note_sweep(env.now);
                }
                self.answer_add(env.todo, asker, outcome);
            }
            Then::Prepare { asker, to, is_fence } => {
                self.prepared(env, &write.id, asker, outcome.map(|()| to), is_fence);
            }
            Then::Complete { to } => self.completed(env, &write.id, to, outcome),
            Then::Forget => {
                if outcome.is_ok()
                    && let Ok(partition) = self.partition(&write.id)
                {
                    partition.transactions.remove(&write.id);
                }
            }
        }
    }

    /// This broker leads a partition of `__transaction_state` from now on: its log will be replayed.
    pub fn elected(&mut self, partition: i32, leader_epoch: i32, todo: &mut Todo) {
        self.resigned(partition, todo);
        let transactions = BTreeMap::new();
        self.led.insert(partition, StatePartition { epoch: leader_epoch, is_loading: true, transactions });
    }

    /// Takes a batch of the log of a partition that is being read. Records of unknown formats are passed over.
    pub fn replay(&mut self, partition: i32, header: &BatchHeader, records: &[Record]) {
        let Some(led) = self.led.get_mut(&partition) else { return };
        if header.is_control() {
            return;
        }
        for record in records {
            let Some(id) = record.key.as_ref().and_then(record::read_key) else { continue };
            match record.value.as_ref() {
                None => {
                    led.transactions.remove(&id);
                }
                Some(value) => {
                    if let Some(metadata) = record::read_value(value) {
                        led.transactions.insert(id, Transaction::new(metadata));
                    }
                }
            }
        }
    }

    /// The whole log was replayed: decided transactions go on with their markers.
    pub fn loaded(&mut self, env: &mut Env<'_>, partition: i32) {
        let Some(led) = self.led.get_mut(&partition) else { return };
        led.is_loading = false;
        let decided = led.transactions.iter().filter(|(_, it)| it.metadata.state.is_prepared());
        let decided: Vec<StrBytes> = decided.map(|(id, _)| id.clone()).collect();
        for id in decided {
            self.begin_completion(env, &id);
        }
        self.note_all(env.now);
    }

    /// Another broker leads the partition: whoever waits here must go there.
    pub fn resigned(&mut self, partition: i32, todo: &mut Todo) {
        self.led.remove(&partition);
        self.marker_sends.retain(|_, send| send.partition != partition);
        self.retries.retain(|_, retry| retry.partition != partition);
        let theirs = self.writes.iter().filter(|(_, write)| write.partition == partition);
        let theirs: Vec<u64> = theirs.map(|(ticket, _)| *ticket).collect();
        for ticket in theirs {
            let Some(write) = self.writes.remove(&ticket) else { continue };
            let refused = Err(ResponseError::NotCoordinator);
            match write.then {
                Then::Init { reply, .. } => init::answer(todo, reply, refused.map(|()| (0, 0))),
                Then::Add { asker, .. } => self.answer_add(todo, asker, refused),
                Then::Prepare { asker, .. } => end::answer(todo, asker, refused.map(|()| (0, 0))),
                Then::Complete { .. } | Then::Forget => {}
            }
        }
    }

    /// How long a write may take: as long as the producer lets a transaction take.
    pub fn write_timeout_ms(&self, ticket: u64) -> i64 {
        let timeout_ms = self.writes.get(&ticket).and_then(|write| match &write.then {
            Then::Init { to, .. }
            | Then::Add { to, .. }
            | Then::Prepare { to, .. }
            | Then::Complete { to } => Some(to.timeout_ms),
            Then::Forget => None,
        });
        timeout_ms.map_or(FORGET_TIMEOUT_MS, i64::from)
    }

    pub fn next_deadline(&self) -> Option<TimestampMs> {
        let retry = self.retries.first_key_value().map(|((due, _), _)| *due);
        [retry, self.next_sweep, self.next_expiry].into_iter().flatten().min()
    }

    /// Sends again what could not be sent, aborts what takes too long, forgets what nobody uses.
    pub fn tick(&mut self, env: &mut Env<'_>) {
        self.retry(env);
        self.sweep(env);
        self.expire(env);
    }

    /// Nothing more is sent on this connection; what it asked for goes on.
    pub fn drop_connection(&mut self, conn: ConnectionId) {
        let forget = |reply: &mut Option<ReplyTo>| {
            if reply.is_some_and(|reply| reply.conn == conn) {
                *reply = None;
            }
        };
        for write in self.writes.values_mut() {
            match &mut write.then {
                Then::Init { reply, .. } => forget(reply),
                Then::Add {
                    asker: AddAsker::Partitions { reply, .. } | AddAsker::Offsets { reply }, ..
                } => {
                    forget(reply);
                }
                Then::Prepare { asker: EndAsker::Client { reply } | EndAsker::Init { reply }, .. } => {
                    forget(reply)
                }
                _ => {}
            }
        }
        self.batches.values_mut().for_each(|batch| forget(&mut batch.reply));
    }

    /// The process dies. Tickets go on, so that no outcome is taken for another's.
    pub fn crash(&mut self) {
        self.led.clear();
        self.writes.clear();
        self.marker_sends.clear();
        self.retries.clear();
        self.batches.clear();
        self.next_sweep = None;
        self.next_expiry = None;
    }
}

/// What a client hears when the state could not be written (`TransactionStateManager.appendTransactionToLog`).
fn state_log_error(error: ResponseError) -> ResponseError {
    match error {
        ResponseError::UnknownTopicOrPartition
        | ResponseError::NotEnoughReplicas
        | ResponseError::NotEnoughReplicasAfterAppend
        | ResponseError::RequestTimedOut => ResponseError::CoordinatorNotAvailable,
        ResponseError::NotLeaderOrFollower | ResponseError::KafkaStorageError => {
            ResponseError::NotCoordinator
        }
        ResponseError::MessageTooLarge | ResponseError::RecordListTooLarge => {
            ResponseError::UnknownServerError
        }
        other => other,
    }
}

fn respond(todo: &mut Todo, reply: Option<ReplyTo>, response: impl Into<Response>) {
    todo.outputs.extend(reply.map(|reply| reply.respond(response)));
}

#[cfg(test)]
mod tests;
