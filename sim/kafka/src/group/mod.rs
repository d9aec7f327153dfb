//! The group coordinator: who is in which consumer group, which generation it is, and what it has committed.
//!
//! Fakes Kafka's classic protocol (`GroupMetadataManager`, `ClassicGroup`): Join, Sync, Heartbeat, Leave, with time-
//! outs as data; groups are written down and read back as through `__consumer_offsets`. Omits KIP-848's protocol, the
//! `Dead` state (an unknown group is an empty one), `group.max.size`, and pending transactional offsets (the seam is
//! [`offsets`]).

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::heartbeat_request::HeartbeatRequest;
use kafka_protocol::messages::heartbeat_response::HeartbeatResponse;
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::broker::{ConnectionId, Output, ReplyTo};
use crate::cluster::{BrokerConfig, ClusterSpec, TimestampMs};
use crate::protocol::code;

mod force;
mod join;
mod leave;
mod offsets;
mod rebalance;
mod state;
mod stored;
mod sync;

use state::{Group, State};
use stored::Loading;

/// All groups of one broker.
pub(crate) struct Coordinator {
    broker: i32,
    cluster: ClusterSpec,
    settings: Settings,
    groups: BTreeMap<GroupId, Group>,
    /// Each group's next deadline, earliest first.
    deadlines: BTreeSet<(TimestampMs, GroupId)>,
    /// Stands in for the UUID in member ids, and survives crashes so that no id comes twice.
    next_member: u64,
    /// Partitions of `__consumer_offsets` that are led elsewhere than at first.
    moved: BTreeMap<i32, i32>,
    /// Partitions of `__consumer_offsets` that came here and are being read.
    loading: BTreeMap<i32, Loading>,
    /// No offset expires before.
    offsets_expire_at: Option<TimestampMs>,
}

struct Settings {
    initial_rebalance_delay_ms: i64,
    min_session_timeout_ms: i32,
    max_session_timeout_ms: i32,
    offsets_retention_ms: i64,
}

/// What a group's transitions need of the world.
struct Env<'a> {
    now: TimestampMs,
    initial_rebalance_delay_ms: i64,
    next_member: &'a mut u64,
    outputs: &'a mut Vec<Output>,
}

impl Env<'_> {
    /// A member id that was never given out before: the client's id, or the instance's, and a number.
    fn new_member_id(&mut self, prefix: &str) -> StrBytes {
        *self.next_member += 1;
        StrBytes::from_string(format!("{prefix}-{}", self.next_member))
    }
}

impl Coordinator {
    pub fn new(config: &BrokerConfig) -> Coordinator {
        Coordinator {
            broker: config.id,
            cluster: config.cluster.clone(),
            settings: Settings {
                initial_rebalance_delay_ms: config.group_initial_rebalance_delay_ms,
                min_session_timeout_ms: config.group_min_session_timeout_ms,
                max_session_timeout_ms: config.group_max_session_timeout_ms,
                offsets_retention_ms: config.offsets_retention_minutes * 60 * 1000,
            },
            groups: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            next_member: 0,
            moved: BTreeMap::new(),
            loading: BTreeMap::new(),
            offsets_expire_at: None,
        }
    }

    fn check_group(&self, group_id: &GroupId) -> Result<(), ResponseError> {
        if group_id.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        if self.broker_of(group_id) != self.broker {
            return Err(ResponseError::NotCoordinator);
        }
        if !self.loading.is_empty() && self.loading.contains_key(&self.cluster.offsets_partition_of(group_id))
        {
            return Err(ResponseError::CoordinatorLoadInProgress);
        }
        Ok(())
    }

    /// The group's coordinator.
    pub fn broker_of(&self, group_id: &str) -> i32 {
        let at_first = self.cluster.coordinator_of(group_id);
        if self.moved.is_empty() {
            return at_first;
        }
        self.moved.get(&self.cluster.offsets_partition_of(group_id)).copied().unwrap_or(at_first)
    }

    /// Runs a transition of one group (which comes into being here) and keeps its deadline up to date.
    fn with_group<R>(
        &mut self,
        now: TimestampMs,
        group_id: &GroupId,
        outputs: &mut Vec<Output>,
        transition: impl FnOnce(&mut Group, &mut Env<'_>) -> R,
    ) -> R {
        let group = self.groups.entry(group_id.clone()).or_insert_with(|| Group::new(group_id.clone(), now));
        let before = group.next_deadline();
        let mut env = Env {
            now,
            initial_rebalance_delay_ms: self.settings.initial_rebalance_delay_ms,
            next_member: &mut self.next_member,
            outputs,
        };
        let result = transition(group, &mut env);
        let after = group.next_deadline();
        let became_empty = group.state == State::Empty && before.is_some() && after.is_none();
        if before != after {
            before.map(|deadline| self.deadlines.remove(&(deadline, group_id.clone())));
            after.map(|deadline| self.deadlines.insert((deadline, group_id.clone())));
        }
        if became_empty {
            self.note_offsets(now);
        }
        result
    }

    pub fn next_deadline(&self) -> Option<TimestampMs> {
        let due = self.deadlines.first().map(|(deadline, _)| *deadline);
        [due, self.loaded_at(), self.offsets_expire_at].into_iter().flatten().min()
    }

    /// Ends sessions, rebalances and delays that are due.
    pub fn tick(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        self.load(now);
        if self.offsets_expire_at.is_some_and(|due| due <= now) {
            self.expire_offsets(now);
        }
        while let Some((deadline, group_id)) = self.deadlines.first().cloned()
            && deadline <= now
        {
            self.with_group(now, &group_id, outputs, |group, env| group.expire(env));
        }
    }

    /// Offsets of a group without members are there, and expire some day.
    fn note_offsets(&mut self, now: TimestampMs) {
        let expire_at = now + self.settings.offsets_retention_ms + 1;
        self.offsets_expire_at = Some(self.offsets_expire_at.map_or(expire_at, |due| due.min(expire_at)));
    }

    pub fn heartbeat(&mut self, now: TimestampMs, reply: ReplyTo, request: &HeartbeatRequest) -> Vec<Output> {
        let mut outputs = Vec::new();
        let mut outcome = self.check_group(&request.group_id);
        if outcome.is_ok() {
            outcome = self.with_group(now, &request.group_id, &mut outputs, |group, env| {
                group.heartbeat(env.now, request)
            });
        }
        outputs.push(reply.respond(HeartbeatResponse::default().with_error_code(code(outcome))));
        outputs
    }

    /// The members' connections are gone; see [`crate::Broker::disconnected`].
    pub fn drop_connection(&mut self, conn: ConnectionId) {
        self.groups.values_mut().for_each(|group| group.drop_connection(conn));
    }

    pub fn expire_offsets(&mut self, now: TimestampMs) {
        let retention_ms = self.settings.offsets_retention_ms;
        self.groups.values_mut().for_each(|group| group.expire_offsets(now, retention_ms));
        self.groups.retain(|_, group| !group.is_forgettable());
        let expiries = self.groups.values().filter_map(|group| group.offsets_expire_at(retention_ms));
        self.offsets_expire_at = expiries.min();
    }
}

impl Group {
    fn heartbeat(&mut self, now: TimestampMs, request: &HeartbeatRequest) -> Result<(), ResponseError> {
        self.check_member(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        self.renew_session(now, &request.member_id);
        match self.state {
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            // A follower may heartbeat while it waits for the leader's assignment.
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }
}

/// Whether a topic has a partition of this number.
pub(crate) trait PartitionExists: Fn(&TopicName, i32) -> bool {}
impl<F: Fn(&TopicName, i32) -> bool> PartitionExists for F {}
