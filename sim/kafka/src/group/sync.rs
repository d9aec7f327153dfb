//! `SyncGroup`: the leader hands in the assignment, everybody gets a share.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use kafka_protocol::messages::sync_group_response::SyncGroupResponse;
use kafka_protocol::protocol::StrBytes;

use super::state::{Group, Parked, State, answer_sync};
use super::{Coordinator, Env};
use crate::broker::{MemberAssignment, Output, ReplyTo};
use crate::cluster::TimestampMs;
use crate::consumer_protocol::assigned_partitions;

impl Coordinator {
    pub fn sync(&mut self, now: TimestampMs, reply: ReplyTo, request: SyncGroupRequest) -> Vec<Output> {
        let mut outputs = Vec::new();
        let outcome = self.check_group(&request.group_id).and_then(|()| {
            let group_id = request.group_id.clone();
            self.with_group(now, &group_id, &mut outputs, |group, env| group.sync(env, reply, request))
        });
        outputs.extend(outcome.map_err(|error| reply.respond(sync_error(error))).err());
        outputs
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
            State::Empty => return Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => return Err(ResponseError::RebalanceInProgress),
            State::CompletingRebalance => {
                if let Some(member) = self.members.get_mut(id) {
                    member.sync = Some(Parked(Some(reply)));
                    member.synced = true;
                }
                if self.leader.as_ref() == Some(id) {
                    self.distribute(env, request.assignments);
                }
            }
            State::Stable => {
                self.renew_session(env.now, id);
                if let Some(member) = self.members.get_mut(id) {
                    member.synced = true;
                    let assignment = member.assignment.clone();
                    env.outputs.push(reply.respond(self.synced_response(assignment)));
                }
            }
        }
        if self.state == State::Stable && self.members.values().all(|member| member.synced) {
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

    /// The leader has decided. Members that it left out get nothing, and are told so.
    fn distribute(&mut self, env: &mut Env<'_>, assignments: Vec<SyncGroupRequestAssignment>) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        for share in assignments {
            if let Some(member) = self.members.get_mut(&share.member_id) {
                member.assignment = share.assignment;
            }
        }
        self.state = State::Stable;
        self.write_down();
        let members = self.members.iter().map(|(id, member)| MemberAssignment {
            member_id: id.clone(),
            client_id: member.client_id.clone(),
            // Other kinds of groups hand out what they like: not partitions, as far as a broker can tell.
            partitions: assigned_partitions(member.assignment.clone()).unwrap_or_default(),
        });
        let members = members.collect();
        env.outputs.push(Output::Rebalanced { group: self.id.clone(), generation: self.generation, members });
        let shares = self.members.iter().filter(|(_, member)| member.sync.is_some());
        let shares: Vec<(StrBytes, Bytes)> =
            shares.map(|(id, m)| (id.clone(), m.assignment.clone())).collect();
        for (id, assignment) in shares {
            let response = self.synced_response(assignment);
            if let Some(member) = self.members.get_mut(&id) {
                answer_sync(member, env.outputs, response);
            }
            self.renew_session(env.now, &id);
        }
    }
}
