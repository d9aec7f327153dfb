//! A partition of `__consumer_offsets` comes here, is read, and goes.
//!
//! Real: `CoordinatorRuntime`'s contexts, `GroupMetadataManager.replay`, `onLoaded`, `onUnloaded`,
//! `OffsetMetadataManager.replay`. A group is written when a generation is finished, so a rebalance that was under way is
//! forgotten; sessions begin anew when a group is loaded.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::GroupId;
use kafka_protocol::protocol::StrBytes;

use super::join::join_error;
use super::state::{Group, Member, State, answer_join, answer_sync};
use super::stored::{CommittedOffset, Key, StoredGroup, StoredMember, read_key};
use super::sync::sync_error;
use super::{Coordinator, Timer};
use crate::cluster::TimestampMs;
use crate::coordination::Todo;
use crate::records::{BatchHeader, EndTxnMarker, Record};

/// A partition that is led here.
pub(super) struct Led {
    leader_epoch: i32,
    /// `None` while it is being read.
    loaded_at: Option<TimestampMs>,
    /// Member ids given out in this epoch.
    members: u64,
    /// Transactions with offsets that wait for their marker, by producer id.
    pub open_transactions: BTreeMap<i64, BTreeSet<GroupId>>,
    /// The next check that can find something expired.
    pub next_check: Option<TimestampMs>,
}

impl Led {
    pub fn is_loading(&self) -> bool {
        self.loaded_at.is_none()
    }

    pub fn loaded_at(&self) -> TimestampMs {
        self.loaded_at.unwrap_or_default()
    }

    /// A member id that was never given out before: the client's id, or the instance's, and what stands for a UUID. No two
    /// coordinators of a group have the same epoch.
    pub fn new_member_id(&mut self, partition: i32, prefix: &str) -> StrBytes {
        self.members += 1;
        let (epoch, member) = (self.leader_epoch, self.members);
        StrBytes::from_string(format!("{prefix}-{epoch:08x}-{partition:04x}-4000-8000-{member:012x}"))
    }
}

impl Coordinator {
    /// This broker leads the partition from now on. Until [`Coordinator::loaded`] its groups are not there.
    pub fn elected(&mut self, now: TimestampMs, partition: i32, leader_epoch: i32, todo: &mut Todo) {
        self.resigned(now, partition, todo);
        let led = Led {
            leader_epoch,
            loaded_at: None,
            members: 0,
            open_transactions: BTreeMap::new(),
            next_check: None,
        };
        self.led.insert(partition, led);
    }

    /// Reads a batch of the partition's log, in order.
    pub fn replay(&mut self, partition: i32, header: &BatchHeader, records: Vec<Record>) {
        if header.is_control() {
            for record in records {
                if let Some(marker) = EndTxnMarker::of(&record) {
                    self.end_transaction(partition, header.producer_id, marker.commit);
                }
            }
            return;
        }
        let producer_id = (header.producer_id >= 0).then_some(header.producer_id);
        for record in records {
            match record.key.and_then(read_key) {
                Some(Key::Offset { group, at }) => match record.value {
                    None => self.remove_offset(&group, &at),
                    Some(value) => {
                        if let Some(committed) = CommittedOffset::read(value, record.offset) {
                            self.loaded_group(&group, partition).keep(producer_id, at, committed);
                            self.note_transaction(partition, producer_id, &group);
                        }
                    }
                },
                Some(Key::Group(group)) => match record.value {
                    None => drop(self.groups.remove(&group)),
                    Some(value) => {
                        if let Some(stored) = StoredGroup::read(value) {
                            self.loaded_group(&group, partition).restore(stored);
                        }
                    }
                },
                None => {}
            }
        }
    }

    fn loaded_group(&mut self, id: &GroupId, partition: i32) -> &mut Group {
        let group = self.groups.entry(id.clone()).or_insert_with(|| Group::new(id.clone(), partition, 0));
        group.is_written = true;
        group
    }

    /// The log was read to its end: groups can be asked for, and their members' sessions begin.
    pub fn loaded(&mut self, now: TimestampMs, partition: i32, todo: &mut Todo) {
        let Some(led) = self.led.get_mut(&partition) else { return };
        led.loaded_at = Some(now);
        let max_size = self.settings.max_size;
        let groups = self.groups.values_mut().filter(|group| group.partition == partition);
        let mut too_large = Vec::new();
        for group in groups {
            group.members.values_mut().for_each(|member| member.renew_session(now));
            if let Some(deadline) = group.next_deadline() {
                self.deadlines.insert((deadline, Timer::Group(group.id.clone())));
            }
            if group.members.len() > max_size {
                too_large.push(group.id.clone());
            }
        }
        for id in too_large {
            self.with_group(now, &id, todo, |group, env| group.prepare_rebalance(env));
        }
        self.look_for_expiry(now, partition);
    }

    /// Gives the partition up, and forgets its groups. Whoever waits here is sent to look elsewhere.
    pub fn resigned(&mut self, _now: TimestampMs, partition: i32, todo: &mut Todo) {
        let Some(led) = self.led.remove(&partition) else { return };
        if let Some(check) = led.next_check {
            self.deadlines.remove(&(check, Timer::Expiry(partition)));
        }
        for write in self.writes.give_up(partition) {
            for waiting in write.waiting {
                self.fail_waiting(waiting, partition, ResponseError::NotCoordinator, todo);
            }
        }
        let theirs = self.groups.values().filter(|group| group.partition == partition);
        for id in theirs.map(|group| group.id.clone()).collect::<Vec<_>>() {
            if let Some(group) = self.groups.get_mut(&id) {
                for (member_id, member) in &mut group.members {
                    let refused = join_error(ResponseError::NotCoordinator, member_id.clone());
                    answer_join(member, &mut todo.outputs, refused);
                    answer_sync(member, &mut todo.outputs, sync_error(ResponseError::NotCoordinator));
                }
            }
            self.forget_group(&id);
        }
    }

    /// The process dies: all of this was in its memory.
    pub fn crash(&mut self) {
        self.groups.clear();
        self.led.clear();
        self.deadlines.clear();
        self.writes.crash();
    }
}

impl Group {
    pub fn to_stored(&self) -> StoredGroup {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| StoredMember {
            member_id: id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            client_id: member.client_id.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(protocol),
            assignment: member.assignment.clone(),
        });
        StoredGroup {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol_name.clone(),
            leader: self.leader.clone(),
            state_since: self.state_since,
            members: members.collect(),
        }
    }

    /// Becomes what was written. Its sessions wait to be begun.
    fn restore(&mut self, stored: StoredGroup) {
        let StoredGroup { protocol_type, generation, protocol, leader, state_since, members } = stored;
        let protocol_name = protocol.clone().unwrap_or_default();
        self.state = if members.is_empty() { State::Empty } else { State::Stable };
        self.state_since = state_since;
        self.generation = generation;
        self.protocol_type = protocol_type;
        self.protocol_name = protocol;
        self.leader = leader;
        self.static_members.clear();
        self.members.clear();
        for member in members {
            if let Some(instance) = &member.group_instance_id {
                self.static_members.insert(instance.clone(), member.member_id.clone());
            }
            let id = member.member_id.clone();
            self.members.insert(id, restored(member, &protocol_name));
        }
        self.note_subscriptions();
    }
}

fn restored(stored: StoredMember, protocol: &StrBytes) -> Member {
    Member {
        client_id: stored.client_id,
        group_instance_id: stored.group_instance_id,
        session_timeout_ms: stored.session_timeout_ms,
        rebalance_timeout_ms: stored.rebalance_timeout_ms,
        protocols: vec![(protocol.clone(), stored.subscription)],
        assignment: stored.assignment,
        session_deadline: 0,
        is_new: false,
        join: None,
        sync: None,
        synced: true,
    }
}
