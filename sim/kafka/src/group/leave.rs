//! `LeaveGroup`: members that go in good order.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use kafka_protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};

use super::state::Group;
use super::{Coordinator, Env};
use crate::broker::{Output, ReplyTo};
use crate::cluster::TimestampMs;
use crate::protocol::code;

impl Coordinator {
    pub fn leave(&mut self, now: TimestampMs, reply: ReplyTo, request: LeaveGroupRequest) -> Vec<Output> {
        let mut outputs = Vec::new();
        let response = match self.check_group(&request.group_id) {
            Err(error) => LeaveGroupResponse::default().with_error_code(error.code()),
            Ok(()) => {
                let leaves = |group: &mut Group, env: &mut Env<'_>| {
                    request.members.into_iter().map(|member| group.leave(env, member)).collect()
                };
                let members = self.with_group(now, &request.group_id, &mut outputs, leaves);
                LeaveGroupResponse::default().with_members(members)
            }
        };
        outputs.push(reply.respond(response));
        outputs
    }
}

impl Group {
    fn leave(&mut self, env: &mut Env<'_>, identity: MemberIdentity) -> MemberResponse {
        let outcome = self.try_leave(env, &identity);
        MemberResponse::default()
            .with_member_id(identity.member_id)
            .with_group_instance_id(identity.group_instance_id)
            .with_error_code(code(outcome))
    }

    fn try_leave(&mut self, env: &mut Env<'_>, identity: &MemberIdentity) -> Result<(), ResponseError> {
        let mut id = identity.member_id.clone();
        if self.pending.remove(&id).is_some() {
            self.try_complete_join_if_preparing(env);
            return Ok(());
        }
        // An administrator may throw out a static member by its instance id alone.
        if let (true, Some(instance)) = (id.is_empty(), &identity.group_instance_id) {
            id = self.static_members.get(instance).cloned().ok_or(ResponseError::UnknownMemberId)?;
        }
        self.check_member(&id, identity.group_instance_id.as_ref())?;
        if let Some(member) = self.members.get_mut(&id) {
            member.join.take();
            member.sync.take();
        }
        self.rebalance_without(env, &id);
        Ok(())
    }

    fn try_complete_join_if_preparing(&mut self, env: &mut Env<'_>) {
        if self.preparing.is_some() {
            self.try_complete_join(env);
        }
    }
}
