//! What `__consumer_offsets` holds of a group, and how groups come back from it: after a crash, or at the broker that
//! becomes the leader of the group's partition of that topic.
//!
//! Real: `GroupMetadataManager.replay`, `onLoaded`, `onUnloaded`. A group is written when a generation is finished, so a
//! rebalance that was under way is forgotten; sessions begin anew when a group is loaded. Fakes a topic whose
//! records are always there at once: a load takes as long as its caller says.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::Coordinator;
use super::join::join_error;
use super::state::{Group, Member, State, answer_join, answer_sync};
use super::sync::sync_error;
use crate::broker::Output;
use crate::cluster::TimestampMs;

/// A finished generation.
#[derive(Clone, Default)]
pub(super) struct Stored {
    generation: i32,
    protocol_type: Option<StrBytes>,
    protocol_name: Option<StrBytes>,
    leader: Option<StrBytes>,
    members: BTreeMap<StrBytes, Member>,
}

/// The groups of one partition of `__consumer_offsets` on their way to another broker.
pub(crate) struct Handover {
    pub partition: i32,
    groups: Vec<Group>,
    /// So that no member id comes twice.
    next_member: u64,
}

/// A partition of `__consumer_offsets` that is being read.
pub(super) struct Loading {
    ready_at: TimestampMs,
    groups: Vec<Group>,
}

impl Group {
    /// Writes down the current generation.
    pub fn write_down(&mut self) {
        let members = self.members.iter().map(|(id, member)| {
            let member = Member { join: None, sync: None, synced: true, ..member.clone() };
            (id.clone(), member)
        });
        self.stored = Stored {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone(),
            members: members.collect(),
        };
    }

    /// The group as it was last written. Its sessions wait to be armed.
    fn restored(self) -> Group {
        let Stored { generation, protocol_type, protocol_name, leader, members } = self.stored.clone();
        let instance_of =
            |(id, member): (&StrBytes, &Member)| Some((member.group_instance_id.clone()?, id.clone()));
        Group {
            state: if members.is_empty() { State::Empty } else { State::Stable },
            generation,
            protocol_type,
            protocol_name,
            leader,
            static_members: members.iter().filter_map(instance_of).collect(),
            members,
            offsets: self.offsets,
            stored: self.stored,
            ..Group::new(self.id, self.empty_since)
        }
    }

    fn arm_sessions(&mut self, now: TimestampMs) {
        for member in self.members.values_mut() {
            member.session_deadline = now + member.session_timeout_ms;
        }
    }
}

impl Coordinator {
    /// The process dies: what was not written is gone.
    pub fn crash(&mut self) {
        self.deadlines.clear();
        for loading in std::mem::take(&mut self.loading).into_values() {
            self.groups.extend(loading.groups.into_iter().map(|group| (group.id.clone(), group)));
        }
        let groups = std::mem::take(&mut self.groups).into_iter();
        self.groups = groups.map(|(id, group)| (id, group.restored())).collect();
    }

    /// The process is back.
    pub fn restart(&mut self, now: TimestampMs) {
        for (id, group) in &mut self.groups {
            group.arm_sessions(now);
            group.next_deadline().map(|deadline| self.deadlines.insert((deadline, id.clone())));
        }
    }

    /// Gives up the groups of a partition of `__consumer_offsets`. Whoever waits here is sent to look elsewhere.
    pub fn resign(&mut self, partition: i32, outputs: &mut Vec<Output>) -> Handover {
        let loading = self.loading.remove(&partition);
        let mut groups = loading.map(|loading| loading.groups).unwrap_or_default();
        let theirs = self.groups.keys().filter(|id| self.cluster.offsets_partition_of(id) == partition);
        for id in theirs.cloned().collect::<Vec<_>>() {
            let Some(mut group) = self.groups.remove(&id) else { continue };
            group.next_deadline().map(|deadline| self.deadlines.remove(&(deadline, id.clone())));
            for (member_id, member) in &mut group.members {
                let refused = join_error(ResponseError::NotCoordinator, member_id.clone());
                answer_join(member, outputs, refused);
                answer_sync(member, outputs, sync_error(ResponseError::NotCoordinator));
            }
            groups.push(group.restored());
        }
        Handover { partition, groups, next_member: self.next_member }
    }

    /// Takes over a partition of `__consumer_offsets`, and reads it until `ready_at`.
    pub fn take_over(&mut self, ready_at: TimestampMs, handover: Handover) {
        self.next_member = self.next_member.max(handover.next_member);
        self.loading.insert(handover.partition, Loading { ready_at, groups: handover.groups });
    }

    /// Ends the reading that is over.
    pub fn load(&mut self, now: TimestampMs) {
        if self.loading.is_empty() {
            return;
        }
        let ready: Vec<i32> =
            self.loading.iter().filter(|(_, loading)| loading.ready_at <= now).map(|(p, _)| *p).collect();
        for partition in ready {
            for mut group in self.loading.remove(&partition).into_iter().flat_map(|loading| loading.groups) {
                group.arm_sessions(now);
                let id = group.id.clone();
                group.next_deadline().map(|deadline| self.deadlines.insert((deadline, id.clone())));
                if group.state == State::Empty && !group.offsets.is_empty() {
                    self.note_offsets(now);
                }
                self.groups.insert(id, group);
            }
        }
    }

    pub fn loaded_at(&self) -> Option<TimestampMs> {
        self.loading.values().map(|loading| loading.ready_at).min()
    }

    /// From now on this broker leads that partition of `__consumer_offsets`.
    pub fn learn(&mut self, partition: i32, broker: i32) {
        self.moved.insert(partition, broker);
    }
}
