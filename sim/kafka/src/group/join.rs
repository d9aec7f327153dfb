//! `JoinGroup`: new members, returning members, static members (KIP-345), and the id handshake (KIP-394).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequest;
use kafka_protocol::messages::join_group_response::JoinGroupResponse;
use kafka_protocol::protocol::StrBytes;

use super::state::{Group, Member, Parked, State, answer_join, answer_sync};
use super::sync::sync_error;
use super::{Coordinator, Env};
use crate::broker::{Output, ReplyTo};
use crate::cluster::TimestampMs;

impl Coordinator {
    pub fn join(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: JoinGroupRequest,
        client_id: StrBytes,
    ) -> Vec<Output> {
        let session_timeouts = self.settings.min_session_timeout_ms..=self.settings.max_session_timeout_ms;
        let checked = self.check_group(&request.group_id).and_then(|()| {
            let in_range = session_timeouts.contains(&request.session_timeout_ms);
            if in_range { Ok(()) } else { Err(ResponseError::InvalidSessionTimeout) }
        });
        let mut outputs = Vec::new();
        let (group_id, member_id) = (request.group_id.clone(), request.member_id.clone());
        let outcome = checked.and_then(|()| {
            let joins = |group: &mut Group, env: &mut Env<'_>| group.join(env, reply, request, client_id);
            self.with_group(now, &group_id, &mut outputs, joins)
        });
        outputs.extend(outcome.map_err(|error| reply.respond(join_error(error, member_id))).err());
        outputs
    }
}

pub(super) fn join_error(error: ResponseError, member_id: StrBytes) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_generation_id(-1)
        .with_protocol_name(Some(StrBytes::default()))
        .with_member_id(member_id)
}

fn protocols_of(request: &JoinGroupRequest) -> Vec<(StrBytes, bytes::Bytes)> {
    request.protocols.iter().map(|protocol| (protocol.name.clone(), protocol.metadata.clone())).collect()
}

impl Group {
    /// Parks the request or answers it; an error is for the caller to answer.
    fn join(
        &mut self,
        env: &mut Env<'_>,
        reply: ReplyTo,
        request: JoinGroupRequest,
        client_id: StrBytes,
    ) -> Result<(), ResponseError> {
        self.check_protocols(&request)?;
        if !request.member_id.is_empty() {
            return self.join_with_id(env, reply, &request, client_id);
        }
        match &request.group_instance_id {
            Some(instance) => {
                let member_id = env.new_member_id(instance);
                match self.static_members.get(instance).cloned() {
                    Some(old) => self.replace_static_member(env, reply, &request, &old, member_id),
                    None => self.add_member(env, reply, &request, client_id, member_id),
                }
            }
            None => {
                let member_id = env.new_member_id(&client_id);
                self.pending.insert(member_id.clone(), env.now + i64::from(request.session_timeout_ms));
                env.outputs.push(reply.respond(join_error(ResponseError::MemberIdRequired, member_id)));
            }
        }
        Ok(())
    }

    fn check_protocols(&self, request: &JoinGroupRequest) -> Result<(), ResponseError> {
        let consistent = if self.members.is_empty() {
            !request.protocol_type.is_empty() && !request.protocols.is_empty()
        } else {
            let candidates = self.candidate_protocols();
            self.protocol_type.as_ref() == Some(&request.protocol_type)
                && request.protocols.iter().any(|protocol| candidates.contains(&protocol.name))
        };
        if consistent { Ok(()) } else { Err(ResponseError::InconsistentGroupProtocol) }
    }

    fn join_with_id(
        &mut self,
        env: &mut Env<'_>,
        reply: ReplyTo,
        request: &JoinGroupRequest,
        client_id: StrBytes,
    ) -> Result<(), ResponseError> {
        let id = &request.member_id;
        if request.group_instance_id.is_none() && self.pending.remove(id).is_some() {
            self.add_member(env, reply, request, client_id, id.clone());
            return Ok(());
        }
        self.check_member(id, request.group_instance_id.as_ref())?;
        let same_protocols =
            self.members.get(id).is_some_and(|member| member.protocols == protocols_of(request));
        let rejoins = match self.state {
            State::Empty => return Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => true,
            State::CompletingRebalance => !same_protocols,
            State::Stable => !same_protocols || self.leader.as_ref() == Some(id),
        };
        if rejoins {
            self.update_member(request, reply);
            match self.state {
                State::PreparingRebalance => self.try_complete_join(env),
                _ => self.prepare_rebalance(env),
            }
        } else {
            // It has missed the answer to its last join: nothing has changed, so it is told again.
            self.renew_session(env.now, id);
            env.outputs.push(reply.respond(self.joined_response(id)));
        }
        Ok(())
    }

    fn update_member(&mut self, request: &JoinGroupRequest, reply: ReplyTo) {
        if let Some(member) = self.members.get_mut(&request.member_id) {
            member.protocols = protocols_of(request);
            member.session_timeout_ms = i64::from(request.session_timeout_ms);
            member.rebalance_timeout_ms = i64::from(request.rebalance_timeout_ms);
            member.join = Some(Parked(Some(reply)));
        }
    }

    fn add_member(
        &mut self,
        env: &mut Env<'_>,
        reply: ReplyTo,
        request: &JoinGroupRequest,
        client_id: StrBytes,
        member_id: StrBytes,
    ) {
        let session_timeout_ms = i64::from(request.session_timeout_ms);
        let member = Member {
            client_id,
            group_instance_id: request.group_instance_id.clone(),
            session_timeout_ms,
            rebalance_timeout_ms: i64::from(request.rebalance_timeout_ms),
            protocols: protocols_of(request),
            assignment: bytes::Bytes::new(),
            session_deadline: env.now + session_timeout_ms,
            join: Some(Parked(Some(reply))),
            sync: None,
            synced: false,
        };
        if let Some(instance) = &request.group_instance_id {
            self.static_members.insert(instance.clone(), member_id.clone());
        }
        self.protocol_type.get_or_insert_with(|| request.protocol_type.clone());
        self.leader.get_or_insert_with(|| member_id.clone());
        self.members.insert(member_id, member);
        if let Some(initial) = self.preparing.as_mut().and_then(|preparing| preparing.initial.as_mut()) {
            initial.newcomers = true;
        }
        match self.state {
            State::PreparingRebalance => self.try_complete_join(env),
            _ => self.prepare_rebalance(env),
        }
    }

    /// A second instance with the same `group.instance.id`: it takes over, and the first one is fenced. Without a
    /// change of subscription a stable group goes on in its generation.
    fn replace_static_member(
        &mut self,
        env: &mut Env<'_>,
        reply: ReplyTo,
        request: &JoinGroupRequest,
        old_id: &StrBytes,
        new_id: StrBytes,
    ) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        answer_join(&mut member, env.outputs, join_error(ResponseError::FencedInstanceId, old_id.clone()));
        answer_sync(&mut member, env.outputs, sync_error(ResponseError::FencedInstanceId));
        let protocols = protocols_of(request);
        let unchanged = member.protocols == protocols;
        member.protocols = protocols;
        member.session_timeout_ms = i64::from(request.session_timeout_ms);
        member.rebalance_timeout_ms = i64::from(request.rebalance_timeout_ms);
        member.session_deadline = env.now + member.session_timeout_ms;
        if let Some(instance) = &member.group_instance_id {
            self.static_members.insert(instance.clone(), new_id.clone());
        }
        let was_leader = self.leader.as_ref() == Some(old_id);
        if was_leader {
            self.leader = Some(new_id.clone());
        }
        if self.state == State::Stable && unchanged {
            self.members.insert(new_id.clone(), member);
            self.write_down();
            let mut response = self.joined_response(&new_id).with_skip_assignment(was_leader);
            if was_leader {
                // Below version 9 a leader cannot be told to skip the assignment: it is told of the old leader.
                response =
                    response.with_leader(old_id.clone()).with_members(Vec::new()).with_skip_assignment(false);
            }
            env.outputs.push(reply.respond(response));
            return;
        }
        member.join = Some(Parked(Some(reply)));
        self.members.insert(new_id, member);
        match self.state {
            State::PreparingRebalance => self.try_complete_join(env),
            _ => self.prepare_rebalance(env),
        }
    }
}
