//! Rebalances from outside: a new generation, or members thrown out, as an administrator does it.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::GroupId;
use kafka_protocol::protocol::StrBytes;

use super::state::{Group, State};
use super::{Coordinator, Env};
use crate::cluster::TimestampMs;
use crate::coordination::Todo;

impl Coordinator {
    /// All members of a group must join again, as when somebody comes and goes.
    pub fn force_rebalance(
        &mut self,
        now: TimestampMs,
        group_id: &GroupId,
        todo: &mut Todo,
    ) -> Result<(), ResponseError> {
        self.force(now, group_id, todo, |group, env| match group.state {
            State::Empty | State::Dead => Err(ResponseError::GroupIdNotFound),
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
        todo: &mut Todo,
    ) -> Result<(), ResponseError> {
        self.force(now, group_id, todo, |group, env| {
            let theirs = group.members.iter().filter(|(_, member)| member.client_id.as_str() == client_id);
            let theirs: Vec<StrBytes> = theirs.map(|(id, _)| id.clone()).collect();
            if theirs.is_empty() {
                return Err(ResponseError::UnknownMemberId);
            }
            theirs.iter().for_each(|id| group.throw_out(env, id));
            group.go_on_without(env);
            Ok(())
        })
    }

    fn force(
        &mut self,
        now: TimestampMs,
        group_id: &GroupId,
        todo: &mut Todo,
        deed: impl FnOnce(&mut Group, &mut Env<'_>) -> Result<(), ResponseError>,
    ) -> Result<(), ResponseError> {
        self.check_group(group_id)?;
        self.with_group(now, group_id, todo, deed).unwrap_or(Err(ResponseError::GroupIdNotFound))
    }

    /// Groups that are coordinated here, with the client ids of their members.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupId, Vec<&str>)> {
        let is_loaded = |group: &Group| self.led.get(&group.partition).is_some_and(|led| !led.is_loading());
        let groups = self.groups.iter().filter(move |(_, group)| is_loaded(group));
        groups.map(|(id, group)| (id, group.members.values().map(|m| m.client_id.as_str()).collect()))
    }
}
