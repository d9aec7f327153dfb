//! A group as data, its deadlines, and the checks that every request of a member passes.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{GroupId, JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::offsets::CommittedOffset;
use super::stored::Stored;
use crate::broker::{ConnectionId, Output, ReplyTo};
use crate::cluster::{TimestampMs, TopicPartition};

/// Kafka's names of a classic group's states; `Dead` does not occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

/// A request that waits. Without a reply address its connection is gone: it counts, but is not answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parked(pub Option<ReplyTo>);

#[derive(Clone)]
pub(super) struct Member {
    pub client_id: StrBytes,
    pub group_instance_id: Option<StrBytes>,
    pub session_timeout_ms: i64,
    pub rebalance_timeout_ms: i64,
    pub protocols: Vec<(StrBytes, Bytes)>,
    pub assignment: Bytes,
    pub session_deadline: TimestampMs,
    pub join: Option<Parked>,
    pub sync: Option<Parked>,
    /// Has asked for this generation's assignment.
    pub synced: bool,
}

impl Member {
    pub fn is_waiting(&self) -> bool {
        self.join.is_some() || self.sync.is_some()
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
    pub state: State,
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
    pub offsets: BTreeMap<TopicPartition, CommittedOffset>,
    pub empty_since: TimestampMs,
    /// The last finished generation, as written.
    pub stored: Stored,
}

impl Group {
    pub fn new(id: GroupId, now: TimestampMs) -> Group {
        Group {
            id,
            state: State::Empty,
            generation: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending: BTreeMap::new(),
            preparing: None,
            sync_deadline: None,
            offsets: BTreeMap::new(),
            empty_since: now,
            stored: Stored::default(),
        }
    }

    /// Exactly when [`Group::expire`] has something to do.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        let sessions =
            self.members.values().filter(|member| !member.is_waiting()).map(|m| m.session_deadline);
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

    pub fn renew_session(&mut self, now: TimestampMs, member_id: &StrBytes) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.session_deadline = now + member.session_timeout_ms;
        }
    }

    pub fn max_rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
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

    /// Nothing in it that anyone could ask for. Its generation starts over if it comes back, as in Kafka.
    pub fn is_forgettable(&self) -> bool {
        self.state == State::Empty && self.offsets.is_empty() && self.pending.is_empty()
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
