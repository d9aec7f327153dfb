//! What happens to consumer groups from outside: who coordinates them, rebalances that somebody forces.
//!
//! Called by the simulator's faults.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::GroupId;
use kafka_protocol::protocol::StrBytes;

use super::state_topics::CoordinatorOf;
use super::{Broker, Output};
use crate::cluster::{CONSUMER_OFFSETS, TimestampMs, TopicPartition};
use crate::coordination::Todo;
use crate::image::NO_LEADER;

impl Broker {
    /// The broker that coordinates a group, as `FindCoordinator` tells it: the leader of the group's partition of
    /// `__consumer_offsets`, where there is one.
    pub fn coordinator_of(&self, group: &str) -> Option<i32> {
        let at = TopicPartition::new(CONSUMER_OFFSETS, self.config.cluster.offsets_partition_of(group));
        self.image.partition(&at).map(|partition| partition.leader).filter(|leader| *leader != NO_LEADER)
    }

    /// Groups that are coordinated here, with the client ids of their members.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupId, Vec<&str>)> {
        self.coordinator.groups()
    }

    /// Makes a group rebalance, as when somebody joins it and leaves again: its members hear of it with their next
    /// heartbeats. `GROUP_ID_NOT_FOUND` where the group has no members.
    pub fn rebalance(&mut self, now: TimestampMs, group: &str) -> Result<Vec<Output>, ResponseError> {
        let mut todo = Todo::default();
        self.coordinator.force_rebalance(now, &group_id(group), &mut todo)?;
        let mut outputs = Vec::new();
        self.do_todo(now, CoordinatorOf::Groups, todo, &mut outputs);
        self.settle(now, &mut outputs);
        Ok(outputs)
    }

    /// Throws the members of a client out of a group, as an administrator does: they hear `UNKNOWN_MEMBER_ID`.
    pub fn remove_member(
        &mut self,
        now: TimestampMs,
        group: &str,
        client_id: &str,
    ) -> Result<Vec<Output>, ResponseError> {
        let mut todo = Todo::default();
        self.coordinator.force_out(now, &group_id(group), client_id, &mut todo)?;
        let mut outputs = Vec::new();
        self.do_todo(now, CoordinatorOf::Groups, todo, &mut outputs);
        self.settle(now, &mut outputs);
        Ok(outputs)
    }
}

fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_owned()))
}
