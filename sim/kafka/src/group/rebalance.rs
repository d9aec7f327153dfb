//! Generations: collecting members, choosing protocol and leader, and everything that ends by time.
//!
//! Real: `GroupMetadataManager.prepareRebalance`, `completeClassicGroupJoin`, `expireClassicGroupMemberHeartbeat`.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use kafka_protocol::protocol::StrBytes;

use super::Env;
use super::state::{Group, InitialDelay, Preparing, State, answer_join, answer_sync};
use super::sync::sync_error;
use crate::broker::Output;

impl Group {
    /// Starts collecting members for the next generation.
    pub fn prepare_rebalance(&mut self, env: &mut Env<'_>) {
        if self.state == State::CompletingRebalance {
            for member in self.members.values_mut() {
                member.assignment = Bytes::new();
                answer_sync(member, env.outputs, sync_error(ResponseError::RebalanceInProgress));
                member.session_deadline = env.now + member.session_timeout_ms;
            }
        }
        let rebalance_timeout_ms = self.max_rebalance_timeout_ms();
        let preparing = if self.state == State::Empty {
            let delay_ms = env.initial_rebalance_delay_ms;
            let remaining_ms = (rebalance_timeout_ms - delay_ms).max(0);
            Preparing {
                deadline: env.now + delay_ms,
                initial: Some(InitialDelay { remaining_ms, newcomers: false }),
            }
        } else {
            Preparing { deadline: env.now + rebalance_timeout_ms, initial: None }
        };
        self.sync_deadline = None;
        self.preparing = Some(preparing);
        self.state = State::PreparingRebalance;
        self.try_complete_join(env);
    }

    /// Ends the collection if everybody is there. The initial delay is always waited for.
    pub fn try_complete_join(&mut self, env: &mut Env<'_>) {
        let delayed = self.preparing.as_ref().is_none_or(|preparing| preparing.initial.is_some());
        let all_joined = self.members.values().all(|member| member.join.is_some()) && self.pending.is_empty();
        if !delayed && all_joined {
            self.complete_join(env);
        }
    }

    fn complete_join(&mut self, env: &mut Env<'_>) {
        let absent = |group: &Group, also_static: bool| -> Vec<StrBytes> {
            let members = group.members.iter();
            members
                .filter(|(_, member)| {
                    member.join.is_none() && (also_static || member.group_instance_id.is_none())
                })
                .map(|(id, _)| id.clone())
                .collect()
        };
        for id in absent(self, false) {
            self.remove_member(&id);
        }
        if !self.members.is_empty() && absent(self, true).len() == self.members.len() {
            // Only static members are left and none has come back: wait for one, or for its session to end.
            let deadline = env.now + self.max_rebalance_timeout_ms().max(1);
            self.preparing = Some(Preparing { deadline, initial: None });
            return;
        }
        self.preparing = None;
        self.generation = self.generation.wrapping_add(1).max(1);
        if self.members.is_empty() {
            self.become_empty(env);
            return;
        }
        let leader_joined =
            self.leader.as_ref().and_then(|id| self.members.get(id)).is_some_and(|m| m.join.is_some());
        if !leader_joined {
            self.leader =
                self.members.iter().find(|(_, member)| member.join.is_some()).map(|(id, _)| id.clone());
        }
        self.protocol_name = Some(self.select_protocol());
        self.state = State::CompletingRebalance;
        self.sync_deadline = Some(env.now + self.max_rebalance_timeout_ms());
        self.answer_joins(env);
    }

    fn become_empty(&mut self, env: &mut Env<'_>) {
        self.state = State::Empty;
        self.protocol_name = None;
        self.protocol_type = None;
        self.leader = None;
        self.empty_since = env.now;
        self.write_down();
        let (group, generation) = (self.id.clone(), self.generation);
        env.outputs.push(Output::Rebalanced { group, generation, members: Vec::new() });
    }

    fn answer_joins(&mut self, env: &mut Env<'_>) {
        let ids: Vec<StrBytes> = self.members.keys().cloned().collect();
        for id in ids {
            let response = self.joined_response(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            let was_waiting = member.join.is_some();
            answer_join(member, env.outputs, response);
            member.synced = false;
            if was_waiting {
                member.session_deadline = env.now + member.session_timeout_ms;
            }
        }
    }

    /// The current generation as this member is told it; the leader also gets the members.
    pub fn joined_response(&self, member_id: &StrBytes) -> JoinGroupResponse {
        let protocol = self.protocol_name.clone().unwrap_or_default();
        let is_leader = self.leader.as_ref() == Some(member_id);
        let members = self.members.iter().filter(|_| is_leader).map(|(id, member)| {
            JoinGroupResponseMember::default()
                .with_member_id(id.clone())
                .with_group_instance_id(member.group_instance_id.clone())
                .with_metadata(member.metadata(&protocol))
        });
        let members = members.collect();
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(self.protocol_type.clone())
            .with_protocol_name(Some(protocol))
            .with_leader(self.leader.clone().unwrap_or_default())
            .with_member_id(member_id.clone())
            .with_members(members)
    }

    /// Protocols that every member supports.
    pub fn candidate_protocols(&self) -> Vec<StrBytes> {
        let Some(first) = self.members.values().next() else { return Vec::new() };
        let supported_by_all = |name: &StrBytes| {
            self.members.values().all(|member| member.protocols.iter().any(|(other, _)| other == name))
        };
        first.protocols.iter().map(|(name, _)| name.clone()).filter(supported_by_all).collect()
    }

    /// Each member votes for the first of its protocols that all support. A tie goes to the first by name.
    fn select_protocol(&self) -> StrBytes {
        let candidates = self.candidate_protocols();
        let mut votes: BTreeMap<StrBytes, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| candidates.contains(name)) {
                *votes.entry(name.clone()).or_default() += 1;
            }
        }
        let most = votes.values().copied().max().unwrap_or(0);
        let winner = votes.into_iter().find(|(_, count)| *count == most);
        winner.map(|(name, _)| name).expect("a member is only let in if it shares a protocol with all others")
    }

    pub fn remove_member(&mut self, id: &StrBytes) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance) = member.group_instance_id
            && self.static_members.get(&instance) == Some(id)
        {
            self.static_members.remove(&instance);
        }
        if self.leader.as_ref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// A member is out: the others get a new generation.
    pub fn rebalance_without(&mut self, env: &mut Env<'_>, id: &StrBytes) {
        self.remove_member(id);
        match self.state {
            State::Empty => {}
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(env),
            State::PreparingRebalance => self.try_complete_join(env),
        }
    }

    /// Does what is due by `env.now`.
    pub fn expire(&mut self, env: &mut Env<'_>) {
        let now = env.now;
        self.pending.retain(|_, deadline| *deadline > now);
        let lost = |group: &Group| {
            let mut members = group.members.iter();
            members.find(|(_, m)| !m.is_waiting() && m.session_deadline <= now).map(|(id, _)| id.clone())
        };
        while let Some(id) = lost(self) {
            self.rebalance_without(env, &id);
        }
        if self.sync_deadline.is_some_and(|deadline| deadline <= now) {
            self.sync_deadline = None;
            self.expire_unsynced(env);
        }
        if self.state == State::PreparingRebalance {
            self.try_complete_join(env);
        }
        if self.preparing.as_ref().is_some_and(|preparing| preparing.deadline <= now) {
            self.expire_preparing(env);
        }
    }

    fn expire_preparing(&mut self, env: &mut Env<'_>) {
        if let Some(preparing) = &mut self.preparing
            && let Some(initial) = &mut preparing.initial
            && initial.newcomers
            && initial.remaining_ms > 0
        {
            let delay_ms = env.initial_rebalance_delay_ms.min(initial.remaining_ms);
            initial.remaining_ms -= delay_ms;
            initial.newcomers = false;
            preparing.deadline = env.now + delay_ms;
            return;
        }
        self.complete_join(env);
    }

    /// Members that never asked for their assignment are out.
    fn expire_unsynced(&mut self, env: &mut Env<'_>) {
        let unsynced: Vec<StrBytes> =
            self.members.iter().filter(|(_, member)| !member.synced).map(|(id, _)| id.clone()).collect();
        if unsynced.is_empty() {
            return;
        }
        for id in unsynced {
            self.remove_member(&id);
        }
        self.prepare_rebalance(env);
    }
}
