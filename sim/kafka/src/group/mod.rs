//! The group coordinator: who is in which consumer group, which generation it is, and what it has committed.
//!
//! Called by the broker. Real: Kafka's classic protocol as of 4.x (`GroupMetadataManager`, `ClassicGroup`,
//! `OffsetMetadataManager`), with its state on `__consumer_offsets`: what is to be remembered goes out as a write
//! ([`Todo`]), answers that tell of it wait for [`Coordinator::written`], and a coordinator that is elected or comes back
//! reads it again. Time-outs are data. Omits KIP-848's protocol, share and streams groups, and the hosts of clients.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::broker::{ConnectionId, Output, ReplyTo};
use crate::cluster::{BrokerConfig, ClusterSpec, TimestampMs};
use crate::coordination::Todo;
use crate::protocol::{Request, RequestKind, Response};

mod admin;
mod commit;
mod deletion;
mod expiry;
mod fetch;
mod force;
mod heartbeat;
mod join;
mod leave;
mod load;
mod outcome;
mod rebalance;
mod state;
mod static_members;
mod stored;
mod sync;
#[cfg(test)]
mod tests;
mod transactions;
mod writes;

use load::Led;
use state::Group;
use writes::Writes;

/// All groups of one broker.
pub(crate) struct Coordinator {
    cluster: ClusterSpec,
    settings: Settings,
    /// How far the broker's clock is ahead of the steady time that waits and sessions count in.
    clock_ahead_ms: i64,
    clock_has_changed: bool,
    groups: BTreeMap<GroupId, Group>,
    /// Partitions of `__consumer_offsets` that are led here.
    led: BTreeMap<i32, Led>,
    writes: Writes,
    /// What is due next, earliest first: of each group, and of each partition that holds something to expire.
    deadlines: BTreeSet<(TimestampMs, Timer)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Group(GroupId),
    Expiry(i32),
}

struct Settings {
    initial_rebalance_delay_ms: i64,
    min_session_timeout_ms: i32,
    max_session_timeout_ms: i32,
    max_size: usize,
    offsets_retention_ms: i64,
    offsets_retention_check_interval_ms: i64,
}

/// Whoever sent a request.
struct Client {
    id: StrBytes,
    version: i16,
}

/// What a group's transitions need of the world.
struct Env<'a> {
    now: TimestampMs,
    /// What the broker's clock shows.
    clock: TimestampMs,
    settings: &'a Settings,
    partition: i32,
    led: &'a mut Led,
    writes: &'a mut Writes,
    todo: &'a mut Todo,
    /// When, by the clock, the group may hold something that expires.
    expires_at: Option<TimestampMs>,
}

impl Env<'_> {
    fn note_expiry(&mut self, at: Option<TimestampMs>) {
        self.expires_at = self.expires_at.into_iter().chain(at).min();
    }
}

/// Whether a topic has a partition of this number.
pub(crate) type PartitionExists<'a> = &'a dyn Fn(&TopicName, i32) -> bool;

impl Coordinator {
    pub fn new(config: &BrokerConfig) -> Coordinator {
        Coordinator {
            cluster: config.cluster.clone(),
            settings: Settings {
                initial_rebalance_delay_ms: config.group_initial_rebalance_delay_ms,
                min_session_timeout_ms: config.group_min_session_timeout_ms,
                max_session_timeout_ms: config.group_max_session_timeout_ms,
                max_size: usize::try_from(config.group_max_size).unwrap_or(0),
                offsets_retention_ms: config.offsets_retention_minutes * 60 * 1000,
                offsets_retention_check_interval_ms: config.offsets_retention_check_interval_ms.max(1),
            },
            clock_ahead_ms: 0,
            clock_has_changed: false,
            groups: BTreeMap::new(),
            led: BTreeMap::new(),
            writes: Writes::default(),
            deadlines: BTreeSet::new(),
        }
    }

    /// Takes a request of the kinds that are about groups and their offsets. Any other closes the connection.
    pub fn handle(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: Request,
        exists: PartitionExists<'_>,
        todo: &mut Todo,
    ) {
        self.look_at_clock(now);
        self.writes.begin_request();
        let client = Client { id: request.client_id, version: request.version };
        match request.kind {
            RequestKind::JoinGroup(request) => self.join(now, reply, request, &client, todo),
            RequestKind::SyncGroup(request) => self.sync(now, reply, request, todo),
            RequestKind::Heartbeat(request) => self.heartbeat(now, reply, &request, todo),
            RequestKind::LeaveGroup(request) => self.leave(now, reply, request, todo),
            RequestKind::OffsetCommit(request) => {
                self.commit(now, reply, request, client.version, exists, todo);
            }
            RequestKind::TxnOffsetCommit(request) => {
                self.commit_in_transaction(now, reply, request, client.version, exists, todo);
            }
            RequestKind::OffsetFetch(request) => self.fetch_offsets(reply, request, todo),
            RequestKind::OffsetDelete(request) => self.delete_offsets(now, reply, request, exists, todo),
            RequestKind::DeleteGroups(request) => self.delete_groups(now, reply, request, todo),
            RequestKind::DescribeGroups(request) => {
                todo.outputs.push(reply.respond(self.describe_groups(request, client.version)));
            }
            RequestKind::ListGroups(request) => {
                todo.outputs.push(reply.respond(self.list_groups(&request)));
            }
            _ => todo.outputs.push(Output::Close { conn: reply.conn }),
        }
    }

    /// The group's partition of `__consumer_offsets`, if it can be asked for here and now.
    fn check_group(&self, group_id: &GroupId) -> Result<i32, ResponseError> {
        if group_id.is_empty() || group_id.len() > stored::TEXT_MAX {
            return Err(ResponseError::InvalidGroupId);
        }
        let partition = self.cluster.offsets_partition_of(group_id);
        match self.led.get(&partition) {
            None => Err(ResponseError::NotCoordinator),
            Some(led) if led.is_loading() => Err(ResponseError::CoordinatorLoadInProgress),
            Some(_) => Ok(partition),
        }
    }

    fn clock(&self, now: TimestampMs) -> TimestampMs {
        now.saturating_add(self.clock_ahead_ms)
    }

    /// An empty group, unless there is one of this name.
    fn create_group(&mut self, now: TimestampMs, group_id: &GroupId, partition: i32) {
        if !self.groups.contains_key(group_id) {
            let clock = self.clock(now);
            self.groups.insert(group_id.clone(), Group::new(group_id.clone(), partition, clock));
            self.note_expiry(now, partition, clock);
        }
    }

    /// Runs a transition of a group that is there, and keeps its deadline up to date.
    fn with_group<R>(
        &mut self,
        now: TimestampMs,
        group_id: &GroupId,
        todo: &mut Todo,
        transition: impl FnOnce(&mut Group, &mut Env<'_>) -> R,
    ) -> Option<R> {
        let clock = self.clock(now);
        let group = self.groups.get_mut(group_id)?;
        let partition = group.partition;
        let before = group.next_deadline();
        let mut env = Env {
            now,
            clock,
            settings: &self.settings,
            partition,
            led: self.led.get_mut(&partition)?,
            writes: &mut self.writes,
            todo,
            expires_at: None,
        };
        let result = transition(group, &mut env);
        let expires_at = env.expires_at;
        let after = group.next_deadline();
        if before != after {
            before.map(|deadline| self.deadlines.remove(&(deadline, Timer::Group(group_id.clone()))));
            after.map(|deadline| self.deadlines.insert((deadline, Timer::Group(group_id.clone()))));
        }
        if let Some(expires_at) = expires_at {
            self.note_expiry(now, partition, expires_at);
        }
        Some(result)
    }

    fn forget_group(&mut self, group_id: &GroupId) {
        if let Some(group) = self.groups.remove(group_id)
            && let Some(deadline) = group.next_deadline()
        {
            self.deadlines.remove(&(deadline, Timer::Group(group_id.clone())));
        }
    }

    /// An answer that may tell of what is still being written.
    fn answer(&mut self, partition: i32, reply: ReplyTo, response: impl Into<Response>, todo: &mut Todo) {
        self.writes.answer(todo, partition, reply, response.into());
    }

    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Ends sessions, rebalances and delays that are due, and deletes what has expired.
    pub fn tick(&mut self, now: TimestampMs, todo: &mut Todo) {
        self.look_at_clock(now);
        while let Some((deadline, timer)) = self.deadlines.first().cloned()
            && deadline <= now
        {
            match timer {
                Timer::Group(group_id) => {
                    self.with_group(now, &group_id, todo, |group, env| group.expire(env));
                }
                Timer::Expiry(partition) => self.expire_offsets(now, partition, todo),
            }
        }
    }

    /// What the broker's clock shows from now on, ahead of the times that are given.
    pub fn set_clock(&mut self, ahead_ms: i64) {
        self.clock_has_changed |= self.clock_ahead_ms != ahead_ms;
        self.clock_ahead_ms = ahead_ms;
    }

    /// By another clock offsets expire at other times.
    fn look_at_clock(&mut self, now: TimestampMs) {
        if std::mem::take(&mut self.clock_has_changed) {
            let partitions: Vec<i32> = self.led.keys().copied().collect();
            partitions.into_iter().for_each(|partition| self.look_for_expiry(now, partition));
        }
    }

    /// The members' connections are gone; see [`crate::Broker::disconnected`].
    pub fn drop_connection(&mut self, conn: ConnectionId) {
        self.groups.values_mut().for_each(|group| group.drop_connection(conn));
        self.writes.drop_connection(conn);
    }
}
