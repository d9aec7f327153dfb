//! `SyncGroup`: the leader hands in the assignment, everybody gets a share once it is written.
//!
//! Real: `GroupMetadataManager.classicGroupSync`.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use kafka_protocol::messages::sync_group_response::SyncGroupResponse;
use kafka_protocol::protocol::StrBytes;

use super::state::{Group, Parked, State, answer_sync};
use super::stored::group_record;
use super::writes::Then;
use super::{Coordinator, Env};
use crate::broker::{MemberAssignment, Output, ReplyTo};
use crate::cluster::TimestampMs;
use crate::consumer_protocol::assigned_partitions;
use crate::coordination::Todo;

impl Coordinator {
    pub(super) fn sync(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: SyncGroupRequest,
        todo: &mut Todo,
    ) {
        let outcome = self.check_group(&request.group_id).and_then(|_| {
            let group_id = request.group_id.clone();
            let synced = self.with_group(now, &group_id, todo, |group, env| group.sync(env, reply, request));
            synced.unwrap_or(Err(ResponseError::UnknownMemberId))
        });
        if let Err(error) = outcome {
            todo.outputs.push(reply.respond(sync_error(error)));
        }
    }
}

pub(super) fn sync_error(error: ResponseError) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(error.code())
}

impl Group {
    fn sync(
        &mut self,
        env: &mut Env<'_>,
        reply: ReplyTo,
        request: SyncGroupRequest,
    ) -> Result<(), ResponseError> {
        let id = &request.member_id;
        if self.state == State::Empty {
            return Err(ResponseError::UnknownMemberId);
        }
        self.check_alive()?;
        self.check_member(id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        let differs = |given: &Option<StrBytes>, ours: &Option<StrBytes>| given.is_some() && given != ours;
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol_name)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match self.state {
            State::PreparingRebalance => return Err(ResponseError::RebalanceInProgress),
            State::CompletingRebalance => {
                if let Some(member) = self.members.get_mut(id) {
                    member.sync = Some(Parked(Some(reply)));
                    member.synced = true;
                }
                if self.is_leader(id) {
                    self.write_assignment(env, request.assignments);
                }
            }
            State::Stable => {
                if let Some(member) = self.members.get_mut(id) {
                    member.synced = true;
                    let assignment = member.assignment.clone();
                    env.push(reply.respond(self.synced_response(assignment)));
                }
            }
            State::Empty | State::Dead => {}
        }
        if self.members.values().all(|member| member.synced) {
            self.sync_deadline = None;
        }
        Ok(())
    }

    fn synced_response(&self, assignment: Bytes) -> SyncGroupResponse {
        SyncGroupResponse::default()
            .with_protocol_type(self.protocol_type.clone())
            .with_protocol_name(self.protocol_name.clone())
            .with_assignment(assignment)
    }

    /// The leader has decided. Members that it left out get nothing.
    fn write_assignment(&mut self, env: &mut Env<'_>, assignments: Vec<SyncGroupRequestAssignment>) {
        let mut shares: BTreeMap<StrBytes, Bytes> =
            self.members.keys().map(|id| (id.clone(), Bytes::new())).collect();
        for share in assignments {
            if let Some(ours) = shares.get_mut(&share.member_id) {
                *ours = share.assignment;
            }
        }
        let mut stored = self.to_stored();
        for member in &mut stored.members {
            member.assignment = shares.get(&member.member_id).cloned().unwrap_or_default();
        }
        let then = Then::Synced { group: self.id.clone(), generation: self.generation, shares };
        env.write(vec![group_record(&self.id, &stored)], then);
    }

    /// The assignment of a generation is written, or is not. It may be another generation by now.
    pub fn assigned(
        &mut self,
        env: &mut Env<'_>,
        generation: i32,
        mut shares: BTreeMap<StrBytes, Bytes>,
        outcome: Result<(), ResponseError>,
    ) {
        if self.state != State::CompletingRebalance || self.generation != generation {
            return;
        }
        if let Err(error) = outcome {
            self.refuse_syncs(env, error);
            self.prepare_rebalance(env);
            return;
        }
        for (id, member) in &mut self.members {
            member.assignment = shares.remove(id).unwrap_or_default();
        }
        self.enter(State::Stable, env);
        env.note_expiry(self.expires_at(env.settings));
        let members = self.members.iter().map(|(id, member)| MemberAssignment {
            member_id: id.clone(),
            client_id: member.client_id.clone(),
            // Other kinds of groups hand out what they like: not partitions, as far as a broker can tell.
            partitions: assigned_partitions(member.assignment.clone()).unwrap_or_default(),
        });
        let members = members.collect();
        env.push(Output::Rebalanced { group: self.id.clone(), generation: self.generation, members });
        let response = self.synced_response(Bytes::new());
        for member in self.members.values_mut().filter(|member| member.sync.is_some()) {
            let response = response.clone().with_assignment(member.assignment.clone());
            answer_sync(member, &mut env.todo.outputs, response);
            member.renew_session(env.now);
        }
    }
}
