//! `JoinGroup`: new members, returning members, and the id handshake (KIP-394).
//!
//! Real: `GroupMetadataManager.classicGroupJoin` and what it calls.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequest;
use kafka_protocol::messages::join_group_response::JoinGroupResponse;
use kafka_protocol::protocol::StrBytes;

use super::state::{Group, Member, Parked, State};
use super::stored::{TEXT_MAX, group_record};
use super::writes::Then;
use super::{Client, Coordinator, Env};
use crate::broker::ReplyTo;
use crate::cluster::TimestampMs;
use crate::coordination::Todo;

/// The first version that must come back with the id it is given.
const KNOWN_MEMBER_ID_VERSION: i16 = 4;
/// `ClassicGroup.NEW_MEMBER_JOIN_TIMEOUT_MS`: how long a new member may wait before it counts as gone.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1000;

impl Coordinator {
    pub(super) fn join(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        mut request: JoinGroupRequest,
        client: &Client,
        todo: &mut Todo,
    ) {
        if request.rebalance_timeout_ms < 0 {
            // Version 0 has none.
            request.rebalance_timeout_ms = request.session_timeout_ms;
        }
        let member_id = request.member_id.clone();
        if let Err(error) = self.try_join(now, reply, request, client, todo) {
            todo.outputs.push(reply.respond(join_error(error, member_id)));
        }
    }

    fn try_join(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: JoinGroupRequest,
        client: &Client,
        todo: &mut Todo,
    ) -> Result<(), ResponseError> {
        check_texts(&request, client)?;
        let session_timeouts = self.settings.min_session_timeout_ms..=self.settings.max_session_timeout_ms;
        if !session_timeouts.contains(&request.session_timeout_ms) {
            return Err(ResponseError::InvalidSessionTimeout);
        }
        let group_id = request.group_id.clone();
        let partition = self.check_group(&group_id)?;
        let is_new_group = !self.groups.contains_key(&group_id);
        if is_new_group {
            if !request.member_id.is_empty() {
                return Err(ResponseError::UnknownMemberId);
            }
            self.create_group(now, &group_id, partition);
        }
        let joined = self.with_group(now, &group_id, todo, |group, env| {
            let joined = group.join(env, reply, &request, client);
            if is_new_group {
                let record = group_record(&group.id, &group.created());
                env.write(vec![record], Then::Created(group.id.clone()));
            }
            joined
        });
        joined.unwrap_or(Err(ResponseError::NotCoordinator))
    }
}

pub(super) fn join_error(error: ResponseError, member_id: StrBytes) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_generation_id(-1)
        .with_protocol_name(Some(StrBytes::default()))
        .with_member_id(member_id)
}

/// What is written down must fit a record.
fn check_texts(request: &JoinGroupRequest, client: &Client) -> Result<(), ResponseError> {
    let names = request.protocols.iter().map(|protocol| &protocol.name);
    let others = [&client.id, &request.protocol_type, &request.member_id];
    let mut texts = names.chain(others).chain(&request.group_instance_id);
    if texts.all(|text| text.len() <= TEXT_MAX) { Ok(()) } else { Err(ResponseError::InvalidRequest) }
}

pub(super) fn protocols_of(request: &JoinGroupRequest) -> Vec<(StrBytes, Bytes)> {
    request.protocols.iter().map(|protocol| (protocol.name.clone(), protocol.metadata.clone())).collect()
}

impl Group {
    /// Parks the request or answers it; an error is for the caller to answer.
    fn join(
        &mut self,
        env: &mut Env<'_>,
        reply: ReplyTo,
        request: &JoinGroupRequest,
        client: &Client,
    ) -> Result<(), ResponseError> {
        if !self.has_room_for(&request.member_id, env.settings.max_size) {
            self.remove_member(&request.member_id);
            self.pending.remove(&request.member_id);
            return Err(ResponseError::GroupMaxSizeReached);
        }
        self.check_alive()?;
        self.check_protocols(request)?;
        if !request.member_id.is_empty() {
            return self.join_with_id(env, reply, request, client);
        }
        match &request.group_instance_id {
            Some(instance) => {
                let member_id = env.led.new_member_id(env.partition, instance);
                match self.static_members.get(instance).cloned() {
                    Some(old) => self.replace_static_member(env, reply, request, client, &old, member_id),
                    None => self.add_member(env, reply, request, client, member_id),
                }
            }
            None => {
                let member_id = env.led.new_member_id(env.partition, &client.id);
                if client.version < KNOWN_MEMBER_ID_VERSION {
                    self.add_member(env, reply, request, client, member_id);
                } else {
                    self.pending.insert(member_id.clone(), env.now + i64::from(request.session_timeout_ms));
                    env.push(reply.respond(join_error(ResponseError::MemberIdRequired, member_id)));
                }
            }
        }
        Ok(())
    }

    /// `group.max.size`: while members are collected, whoever comes first is in.
    fn has_room_for(&self, member_id: &StrBytes, max_size: usize) -> bool {
        let known = self.members.get(member_id);
        match self.state {
            State::Empty | State::Dead => true,
            State::PreparingRebalance => {
                known.is_some_and(|member| member.join.is_some())
                    || self.members.values().filter(|member| member.join.is_some()).count() < max_size
            }
            State::CompletingRebalance | State::Stable => known.is_some() || self.members.len() < max_size,
        }
    }

    fn check_protocols(&self, request: &JoinGroupRequest) -> Result<(), ResponseError> {
        let consistent = if self.state == State::Empty {
            !request.protocol_type.is_empty() && !request.protocols.is_empty()
        } else {
            let supported = |name: &StrBytes| {
                self.members.values().all(|member| member.protocols.iter().any(|(other, _)| other == name))
            };
            self.protocol_type.as_ref() == Some(&request.protocol_type)
                && request.protocols.iter().any(|protocol| supported(&protocol.name))
        };
        if consistent { Ok(()) } else { Err(ResponseError::InconsistentGroupProtocol) }
    }

    fn join_with_id(
        &mut self,
        env: &mut Env<'_>,
        reply: ReplyTo,
        request: &JoinGroupRequest,
        client: &Client,
    ) -> Result<(), ResponseError> {
        let id = &request.member_id;
        if request.group_instance_id.is_none() && self.pending.remove(id).is_some() {
            self.add_member(env, reply, request, client, id.clone());
            return Ok(());
        }
        self.check_member(id, request.group_instance_id.as_ref())?;
        let same_protocols =
            self.members.get(id).is_some_and(|member| member.protocols == protocols_of(request));
        let rejoins = match self.state {
            State::Empty | State::Dead => return Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => true,
            State::CompletingRebalance => !same_protocols,
            State::Stable => !same_protocols || self.is_leader(id),
        };
        if rejoins {
            if let Some(member) = self.members.get_mut(id) {
                member.update(request, reply);
            }
            self.rebalance_or_complete(env);
        } else {
            // It has missed the answer to its last join: nothing has changed, so it is told again.
            env.push(reply.respond(self.joined_response(id)));
        }
        Ok(())
    }

    fn add_member(
        &mut self,
        env: &mut Env<'_>,
        reply: ReplyTo,
        request: &JoinGroupRequest,
        client: &Client,
        member_id: StrBytes,
    ) {
        let member = Member {
            client_id: client.id.clone(),
            group_instance_id: request.group_instance_id.clone(),
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            protocols: protocols_of(request),
            assignment: Bytes::new(),
            session_deadline: env.now + NEW_MEMBER_JOIN_TIMEOUT_MS,
            is_new: true,
            join: Some(Parked(Some(reply))),
            sync: None,
            synced: false,
        };
        if let Some(instance) = &request.group_instance_id {
            self.static_members.insert(instance.clone(), member_id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        self.leader.get_or_insert_with(|| member_id.clone());
        self.members.insert(member_id, member);
        if let Some(initial) = self.preparing.as_mut().and_then(|preparing| preparing.initial.as_mut()) {
            initial.newcomers = true;
        }
        self.rebalance_or_complete(env);
    }
}

impl Member {
    /// Takes over what a member that joins again says of itself, and parks its request.
    pub fn update(&mut self, request: &JoinGroupRequest, reply: ReplyTo) {
        self.protocols = protocols_of(request);
        self.session_timeout_ms = request.session_timeout_ms;
        self.rebalance_timeout_ms = request.rebalance_timeout_ms;
        self.join = Some(Parked(Some(reply)));
    }
}
