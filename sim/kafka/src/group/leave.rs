//! `LeaveGroup`: members that go in good order, or are thrown out by an administrator.
//!
//! Real: `GroupMetadataManager.classicGroupLeave`.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use kafka_protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};

use super::state::{Group, State};
use super::{Coordinator, Env};
use crate::broker::ReplyTo;
use crate::cluster::TimestampMs;
use crate::coordination::Todo;
use crate::protocol::code;

impl Coordinator {
    pub(super) fn leave(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: LeaveGroupRequest,
        todo: &mut Todo,
    ) {
        let refused = |error: ResponseError| LeaveGroupResponse::default().with_error_code(error.code());
        let partition = match self.check_group(&request.group_id) {
            Ok(partition) => partition,
            Err(error) => return todo.outputs.push(reply.respond(refused(error))),
        };
        let members = &request.members;
        let left = self.with_group(now, &request.group_id, todo, |group, env| group.leave(env, members));
        let unknown = || members.iter().map(|m| gone(m, Err(ResponseError::UnknownMemberId))).collect();
        let response = match left.unwrap_or_else(|| Ok(unknown())) {
            Ok(members) => LeaveGroupResponse::default().with_members(members),
            Err(error) => refused(error),
        };
        self.answer(partition, reply, response, todo);
    }
}

fn gone(identity: &MemberIdentity, outcome: Result<(), ResponseError>) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(identity.member_id.clone())
        .with_group_instance_id(identity.group_instance_id.clone())
        .with_error_code(code(outcome))
}

impl Group {
    fn leave(
        &mut self,
        env: &mut Env<'_>,
        identities: &[MemberIdentity],
    ) -> Result<Vec<MemberResponse>, ResponseError> {
        self.check_alive()?;
        let members: Vec<MemberResponse> =
            identities.iter().map(|identity| gone(identity, self.leave_one(env, identity))).collect();
        if members.iter().any(|member| member.error_code == 0) {
            self.go_on_without(env);
        }
        Ok(members)
    }

    /// Members are out: the others get a new generation.
    pub fn go_on_without(&mut self, env: &mut Env<'_>) {
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(env),
            State::PreparingRebalance => self.try_complete_join(env),
            State::Empty | State::Dead => {}
        }
    }

    fn leave_one(&mut self, env: &mut Env<'_>, identity: &MemberIdentity) -> Result<(), ResponseError> {
        let id = &identity.member_id;
        let instance = identity.group_instance_id.as_ref();
        if id.is_empty() {
            // An administrator may throw out a static member by its instance id alone.
            let holder = instance.and_then(|instance| self.static_members.get(instance)).cloned();
            self.throw_out(env, &holder.ok_or(ResponseError::UnknownMemberId)?);
        } else if self.pending.remove(id).is_none() {
            self.check_member(id, instance)?;
            self.throw_out(env, id);
        }
        Ok(())
    }
}
