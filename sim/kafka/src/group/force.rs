//! Rebalances from outside: a new generation, or members thrown out, as an administrator does it.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::GroupId;
use kafka_protocol::protocol::StrBytes;

use super::join::join_error;
use super::state::{Group, State, answer_join, answer_sync};
use super::sync::sync_error;
use super::{Coordinator, Env};
use crate::broker::Output;
use crate::cluster::TimestampMs;

impl Coordinator {
    /// All members of a group must join again, as when somebody comes and goes.
    pub fn force_rebalance(
        &mut self,
        now: TimestampMs,
        group_id: &GroupId,
    ) -> Result<Vec<Output>, ResponseError> {
        self.force(now, group_id, |group, env| match group.state {
            State::Empty => Err(ResponseError::GroupIdNotFound),
            State::PreparingRebalance => Ok(()),
            State::CompletingRebalance | State::Stable => {
                group.prepare_rebalance(env);
                Ok(())
            }
        })
    }

    /// `Admin.removeMembersFromConsumerGroup`: the members of this client are out.
    pub fn force_out(
        &mut self,
        now: TimestampMs,
        group_id: &GroupId,
        client_id: &str,
    ) -> Result<Vec<Output>, ResponseError> {
        self.force(now, group_id, |group, env| {
            let theirs = group.members.iter().filter(|(_, member)| member.client_id.as_str() == client_id);
            let theirs: Vec<StrBytes> = theirs.map(|(id, _)| id.clone()).collect();
            if theirs.is_empty() {
                return Err(ResponseError::UnknownMemberId);
            }
            theirs.iter().for_each(|id| group.throw_out(env, id));
            Ok(())
        })
    }

    fn force(
        &mut self,
        now: TimestampMs,
        group_id: &GroupId,
        deed: impl FnOnce(&mut Group, &mut Env<'_>) -> Result<(), ResponseError>,
    ) -> Result<Vec<Output>, ResponseError> {
        self.check_group(group_id)?;
        if !self.groups.contains_key(group_id) {
            return Err(ResponseError::GroupIdNotFound);
        }
        let mut outputs = Vec::new();
        self.with_group(now, group_id, &mut outputs, deed)?;
        Ok(outputs)
    }

    /// Groups that are coordinated here, with the client ids of their members.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupId, Vec<&str>)> {
        self.groups
            .iter()
            .map(|(id, group)| (id, group.members.values().map(|member| member.client_id.as_str()).collect()))
    }
}

impl Group {
    fn throw_out(&mut self, env: &mut Env<'_>, id: &StrBytes) {
        if let Some(member) = self.members.get_mut(id) {
            answer_join(member, env.outputs, join_error(ResponseError::UnknownMemberId, id.clone()));
            answer_sync(member, env.outputs, sync_error(ResponseError::UnknownMemberId));
        }
        self.rebalance_without(env, id);
    }
}
