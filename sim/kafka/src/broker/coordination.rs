//! What happens to consumer groups from outside: coordinators that move, rebalances that somebody forces.
//!
//! Called by the simulator's faults. Fakes the controller: a partition of `__consumer_offsets` gets another leader, all
//! brokers know it at once, and its groups are there as they were last written, also from a broker that is dead (in
//! Kafka from a replica).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::GroupId;
use kafka_protocol::protocol::StrBytes;

use super::{Broker, Output};
use crate::cluster::TimestampMs;
use crate::coordination::Todo;

/// A coordinator that moved.
#[derive(Debug, Clone, PartialEq)]
pub struct CoordinatorMoved {
    pub from: i32,
    pub to: i32,
    /// Of the broker it left: answers to members that were waiting there.
    pub outputs: Vec<Output>,
}

/// Makes broker `to` the coordinator of a group, and of all groups in the same partition of `__consumer_offsets`: the old
/// one answers `NOT_COORDINATOR`, the new one `COORDINATOR_LOAD_IN_PROGRESS` for `load_ms`. All brokers must be given,
/// dead ones too, each with the time on its own clock. `None` where nothing moves. Ask the new one for its deadline.
pub fn move_coordinator(
    brokers: &mut [(TimestampMs, &mut Broker)],
    group: &str,
    to: i32,
    load_ms: i64,
) -> Option<CoordinatorMoved> {
    let from = brokers.first()?.1.coordinator_of(group);
    let is_there = |id: i32| brokers.iter().any(|(_, broker)| broker.config.id == id);
    if from == to || !is_there(from) || !is_there(to) {
        return None;
    }
    let (now, old) = brokers.iter_mut().find(|(_, broker)| broker.config.id == from)?;
    let partition = old.config.cluster.offsets_partition_of(group);
    let (log, outputs) = old.resign(*now, partition);
    brokers.iter_mut().for_each(|(_, broker)| broker.learn_leader(partition, to));
    let (now, new) = brokers.iter_mut().find(|(_, broker)| broker.config.id == to)?;
    new.take_over(*now, partition, log, *now + load_ms);
    Some(CoordinatorMoved { from, to, outputs })
}

impl Broker {
    /// The broker that coordinates a group, as `FindCoordinator` tells it.
    pub fn coordinator_of(&self, group: &str) -> i32 {
        let cluster = &self.config.cluster;
        let moved = self.offsets_topic.leader_of(cluster.offsets_partition_of(group));
        moved.unwrap_or_else(|| cluster.coordinator_of(group))
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
        Ok(self.settle(now, todo))
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
        Ok(self.settle(now, todo))
    }
}

fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_owned()))
}
