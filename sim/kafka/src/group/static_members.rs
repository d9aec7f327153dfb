//! Static members (KIP-345): a second instance with the same `group.instance.id` takes over, and the first is fenced.
//!
//! Real: `GroupMetadataManager.updateStaticMemberThenRebalanceOrCompleteJoin`, `ClassicGroup.replaceStaticMember`. In a
//! stable group whose protocol stays the same, nobody else notices; the answer then waits until the new id is written.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequest;
use kafka_protocol::messages::join_group_response::JoinGroupResponse;
use kafka_protocol::protocol::StrBytes;

use super::join::join_error;
use super::state::{Group, Member, State, answer_join, answer_sync};
use super::stored::group_record;
use super::sync::sync_error;
use super::writes::Then;
use super::{Client, Env};
use crate::broker::ReplyTo;

/// The first version in which a leader can be told to leave the assignment as it is (KIP-814).
const SKIP_ASSIGNMENT_VERSION: i16 = 9;

/// A new id for a static member, and what to go back to if it cannot be written.
pub(super) struct Replacement {
    old_id: StrBytes,
    new_id: StrBytes,
    old_leader: Option<StrBytes>,
    old_protocols: Vec<(StrBytes, Bytes)>,
    old_session_timeout_ms: i32,
    old_rebalance_timeout_ms: i32,
    can_skip_assignment: bool,
}

impl Group {
    pub(super) fn replace_static_member(
        &mut self,
        env: &mut Env<'_>,
        reply: ReplyTo,
        request: &JoinGroupRequest,
        client: &Client,
        old_id: &StrBytes,
        new_id: StrBytes,
    ) {
        let old_leader = self.leader.clone();
        let Some(mut member) = self.rename_member(env, old_id, &new_id) else { return };
        let replacement = Replacement {
            old_id: old_id.clone(),
            new_id: new_id.clone(),
            old_leader,
            old_protocols: member.protocols.clone(),
            old_session_timeout_ms: member.session_timeout_ms,
            old_rebalance_timeout_ms: member.rebalance_timeout_ms,
            can_skip_assignment: client.version >= SKIP_ASSIGNMENT_VERSION,
        };
        member.renew_session(env.now);
        member.update(request, reply);
        self.members.insert(new_id, member);
        match self.state {
            State::Stable if self.protocol_name.as_ref() == Some(&self.select_protocol()) => {
                let record = group_record(&self.id, &self.to_stored());
                env.write(vec![record], Then::Replaced { group: self.id.clone(), replacement });
            }
            // The leader may be about to assign to the old id.
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(env),
            State::PreparingRebalance | State::Empty | State::Dead => self.try_complete_join(env),
        }
    }

    /// Takes the member out of the group for the new id to be put in. Whoever waits under the old one is fenced.
    fn rename_member(&mut self, env: &mut Env<'_>, old_id: &StrBytes, new_id: &StrBytes) -> Option<Member> {
        let mut member = self.members.remove(old_id)?;
        let fenced = ResponseError::FencedInstanceId;
        answer_join(&mut member, &mut env.todo.outputs, join_error(fenced, old_id.clone()));
        answer_sync(&mut member, &mut env.todo.outputs, sync_error(fenced));
        if let Some(instance) = &member.group_instance_id {
            self.static_members.insert(instance.clone(), new_id.clone());
        }
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        member.is_new = false;
        Some(member)
    }

    /// The new id is in the log, or it is not and the old one is back.
    pub(super) fn replaced(
        &mut self,
        env: &mut Env<'_>,
        replacement: Replacement,
        outcome: Result<(), ResponseError>,
    ) {
        let new_id = &replacement.new_id;
        match outcome {
            Ok(()) => {
                let response = self.replaced_response(&replacement);
                if let Some(member) = self.members.get_mut(new_id) {
                    answer_join(member, &mut env.todo.outputs, response);
                    member.renew_session(env.now);
                }
            }
            Err(error) => {
                let response = self.replaced_response(&replacement);
                let refused = JoinGroupResponse::default()
                    .with_error_code(error.code())
                    .with_generation_id(response.generation_id)
                    .with_protocol_type(response.protocol_type)
                    .with_protocol_name(response.protocol_name)
                    .with_leader(replacement.old_leader.clone().unwrap_or_default());
                if let Some(member) = self.members.get_mut(new_id) {
                    answer_join(member, &mut env.todo.outputs, refused);
                    self.take_back(env, replacement);
                }
            }
        }
    }

    fn replaced_response(&self, replacement: &Replacement) -> JoinGroupResponse {
        let response = self.joined_response(&replacement.new_id);
        if replacement.can_skip_assignment {
            return response.with_skip_assignment(self.is_leader(&replacement.new_id));
        }
        // It cannot be told to skip the assignment: it is told of the old leader, so that it takes itself for a follower.
        let leader = replacement.old_leader.clone().unwrap_or_default();
        response.with_leader(leader).with_members(Vec::new())
    }

    fn take_back(&mut self, env: &mut Env<'_>, replacement: Replacement) {
        let Replacement { old_id, new_id, old_protocols, .. } = replacement;
        let Some(mut member) = self.rename_member(env, &new_id, &old_id) else { return };
        member.protocols = old_protocols;
        member.session_timeout_ms = replacement.old_session_timeout_ms;
        member.rebalance_timeout_ms = replacement.old_rebalance_timeout_ms;
        member.renew_session(env.now);
        self.members.insert(old_id, member);
    }
}
