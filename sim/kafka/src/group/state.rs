//! A group as data, its deadlines, and the checks that every request of a member passes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{GroupId, JoinGroupResponse, SyncGroupResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::Env;
use super::stored::CommittedOffset;
use crate::broker::{ConnectionId, Output, ReplyTo};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::consumer_protocol::subscribed_topics;

/// Kafka's names of a classic group's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    /// Its tombstone is being written.
    Dead,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
            State::Dead => "Dead",
        }
    }
}

/// A request that waits. Without a reply address its connection is gone: it counts, but is not answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parked(pub Option<ReplyTo>);

#[derive(Clone)]
pub(super) struct Member {
    pub client_id: StrBytes,
    pub group_instance_id: Option<StrBytes>,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocols: Vec<(StrBytes, Bytes)>,
    pub assignment: Bytes,
    pub session_deadline: TimestampMs,
    /// Has not been in a generation yet: it may be dropped even while it waits to join.
    pub is_new: bool,
    pub join: Option<Parked>,
    pub sync: Option<Parked>,
    /// Has asked for this generation's assignment.
    pub synced: bool,
}

impl Member {
    /// Whether its session counts: a member that waits for the coordinator need not send heartbeats.
    pub fn can_expire(&self) -> bool {
        self.is_new || (self.join.is_none() && self.sync.is_none())
    }

    pub fn renew_session(&mut self, now: TimestampMs) {
        self.session_deadline = now + i64::from(self.session_timeout_ms);
    }

    pub fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name.as_str() == protocol);
        found.map_or_else(Bytes::new, |(_, metadata)| metadata.clone())
    }
}

/// A rebalance that collects members.
pub(super) struct Preparing {
    pub deadline: TimestampMs,
    /// The first rebalance of an empty group only ends with its delay.
    pub initial: Option<InitialDelay>,
}

pub(super) struct InitialDelay {
    /// By how much newcomers may still prolong it.
    pub remaining_ms: i64,
    pub newcomers: bool,
}

pub(super) struct Group {
    pub id: GroupId,
    /// Of `__consumer_offsets`.
    pub partition: i32,
    pub state: State,
    /// By the broker's clock; `None` where an old record did not say.
    pub state_since: Option<TimestampMs>,
    pub generation: i32,
    pub protocol_type: Option<StrBytes>,
    pub protocol_name: Option<StrBytes>,
    pub leader: Option<StrBytes>,
    pub members: BTreeMap<StrBytes, Member>,
    /// `group.instance.id` → member id.
    pub static_members: BTreeMap<StrBytes, StrBytes>,
    /// Ids given out with `MEMBER_ID_REQUIRED` and not used yet, with the time they lapse.
    pub pending: BTreeMap<StrBytes, TimestampMs>,
    pub preparing: Option<Preparing>,
    /// Until when all members must have asked for their assignment.
    pub sync_deadline: Option<TimestampMs>,
    /// What the members of this generation read; `None` where it is not a consumer group, or they do not say.
    pub subscribed: Option<BTreeSet<TopicName>>,
    pub offsets: BTreeMap<TopicPartition, CommittedOffset>,
    /// Offsets of open transactions, by producer id.
    pub pending_offsets: BTreeMap<i64, BTreeMap<TopicPartition, CommittedOffset>>,
    /// Something of it is in the log.
    pub is_written: bool,
}

impl Group {
    pub fn new(id: GroupId, partition: i32, clock: TimestampMs) -> Group {
        Group {
            id,
            partition,
            state: State::Empty,
            state_since: Some(clock),
            generation: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending: BTreeMap::new(),
            preparing: None,
            sync_deadline: None,
            subscribed: None,
            offsets: BTreeMap::new(),
            pending_offsets: BTreeMap::new(),
            is_written: false,
        }
    }

    pub fn enter(&mut self, state: State, env: &Env<'_>) {
        self.state = state;
        self.state_since = Some(env.clock);
    }

    /// Exactly when [`Group::expire`] has something to do.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        let sessions = self.members.values().filter(|member| member.can_expire()).map(|m| m.session_deadline);
        let pending = self.pending.values().copied();
        let preparing = self.preparing.iter().map(|preparing| preparing.deadline);
        sessions.chain(pending).chain(preparing).chain(self.sync_deadline).min()
    }

    /// The member is in the group, and is the current holder of its instance id.
    pub fn check_member(
        &self,
        member_id: &StrBytes,
        instance: Option<&StrBytes>,
    ) -> Result<(), ResponseError> {
        if let Some(instance) = instance {
            match self.static_members.get(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(holder) if holder != member_id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ResponseError::UnknownMemberId) }
    }

    pub fn check_alive(&self) -> Result<(), ResponseError> {
        if self.state == State::Dead { Err(ResponseError::CoordinatorNotAvailable) } else { Ok(()) }
    }

    pub fn renew_session(&mut self, now: TimestampMs, member_id: &StrBytes) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.renew_session(now);
        }
    }

    pub fn is_leader(&self, member_id: &StrBytes) -> bool {
        self.leader.as_ref() == Some(member_id)
    }

    pub fn max_rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|member| i64::from(member.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    /// Every member waits for the next generation, and nobody is still to come.
    pub fn have_all_joined(&self) -> bool {
        self.members.values().all(|member| member.join.is_some()) && self.pending.is_empty()
    }

    /// The rebalance under way is the first one of a group that was empty.
    pub fn is_initial_rebalance(&self) -> bool {
        self.preparing.as_ref().is_some_and(|preparing| preparing.initial.is_some())
    }

    pub fn is_consumer_group(&self) -> bool {
        self.protocol_type.as_deref() == Some("consumer")
    }

    /// Reads from the members' metadata what they subscribe to.
    pub fn note_subscriptions(&mut self) {
        self.subscribed = self.is_consumer_group().then_some(()).and_then(|()| {
            let mut topics = BTreeSet::new();
            if self.members.is_empty() {
                return Some(topics);
            }
            let protocol = self.protocol_name.as_deref()?;
            for member in self.members.values() {
                topics.extend(subscribed_topics(member.metadata(protocol))?);
            }
            Some(topics)
        });
    }

    /// A consumer group that does not say what it reads may read anything.
    pub fn is_subscribed_to(&self, topic: &TopicName) -> bool {
        self.subscribed.as_ref().map_or_else(|| self.is_consumer_group(), |topics| topics.contains(topic))
    }

    pub fn drop_connection(&mut self, conn: ConnectionId) {
        let gone = |parked: &mut Option<Parked>| {
            if let Some(Parked(reply)) = parked
                && reply.is_some_and(|reply| reply.conn == conn)
            {
                *reply = None;
            }
        };
        for member in self.members.values_mut() {
            gone(&mut member.join);
            gone(&mut member.sync);
        }
    }
}

/// Answers a parked `JoinGroup` and takes it off the member.
pub(super) fn answer_join(member: &mut Member, outputs: &mut Vec<Output>, response: JoinGroupResponse) {
    if let Some(Parked(Some(reply))) = member.join.take() {
        outputs.push(reply.respond(response));
    }
}

/// Answers a parked `SyncGroup` and takes it off the member.
pub(super) fn answer_sync(member: &mut Member, outputs: &mut Vec<Output>, response: SyncGroupResponse) {
    if let Some(Parked(Some(reply))) = member.sync.take() {
        outputs.push(reply.respond(response));
    }
}
