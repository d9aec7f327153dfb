//! Generations: collecting members, choosing protocol and leader, and everything that ends by time.
//!
//! Real: `GroupMetadataManager.prepareRebalance`, `completeClassicGroupJoin`, `expireClassicGroupMemberHeartbeat`.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use kafka_protocol::protocol::StrBytes;

use super::Env;
use super::join::join_error;
use super::state::{Group, InitialDelay, Preparing, State, answer_join, answer_sync};
use super::stored::group_record;
use super::sync::sync_error;
use super::writes::Then;
use crate::broker::Output;

impl Group {
    /// Starts collecting members for the next generation.
    pub fn prepare_rebalance(&mut self, env: &mut Env<'_>) {
        if self.state == State::CompletingRebalance {
            self.refuse_syncs(env, ResponseError::RebalanceInProgress);
        }
        self.sync_deadline = None;
        let rebalance_timeout_ms = self.max_rebalance_timeout_ms();
        let is_initial = self.state == State::Empty;
        self.enter(State::PreparingRebalance, env);
        if is_initial {
            let delay_ms = env.settings.initial_rebalance_delay_ms;
            let remaining_ms = (rebalance_timeout_ms - delay_ms).max(0);
            let initial = Some(InitialDelay { remaining_ms, newcomers: false });
            self.preparing = Some(Preparing { deadline: env.now + delay_ms, initial });
        } else {
            let deadline = env.now + rebalance_timeout_ms;
            self.preparing = Some(Preparing { deadline, initial: None });
            if self.have_all_joined() {
                self.complete_join(env);
            }
        }
    }

    /// Somebody joined, or changed: a rebalance begins, or the one under way may end.
    pub fn rebalance_or_complete(&mut self, env: &mut Env<'_>) {
        match self.state {
            State::PreparingRebalance => self.try_complete_join(env),
            State::Empty | State::CompletingRebalance | State::Stable => self.prepare_rebalance(env),
            State::Dead => {}
        }
    }

    /// Ends the collection if everybody is there. The initial delay is waited for.
    pub fn try_complete_join(&mut self, env: &mut Env<'_>) {
        let prepares = self.state == State::PreparingRebalance && !self.is_initial_rebalance();
        if prepares && self.have_all_joined() {
            self.complete_join(env);
        }
    }

    fn complete_join(&mut self, env: &mut Env<'_>) {
        let absent = self.members.iter().filter(|(_, m)| m.join.is_none() && m.group_instance_id.is_none());
        for id in absent.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.remove_member(&id);
        }
        if !self.elect_leader() && !self.members.is_empty() {
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
        self.protocol_name = Some(self.select_protocol());
        self.note_subscriptions();
        self.enter(State::CompletingRebalance, env);
        self.sync_deadline = Some(env.now + self.max_rebalance_timeout_ms());
        self.answer_joins(env);
    }

    /// The leader must be one of those who joined.
    fn elect_leader(&mut self) -> bool {
        let joined = |id: &StrBytes| self.members.get(id).is_some_and(|member| member.join.is_some());
        if !self.leader.as_ref().is_some_and(joined) {
            let Some((id, _)) = self.members.iter().find(|(_, member)| member.join.is_some()) else {
                return false;
            };
            self.leader = Some(id.clone());
        }
        true
    }

    fn become_empty(&mut self, env: &mut Env<'_>) {
        self.protocol_name = None;
        self.leader = None;
        self.note_subscriptions();
        self.enter(State::Empty, env);
        env.write(vec![group_record(&self.id, &self.to_stored())], Then::Nothing);
        env.note_expiry(self.expires_at(env.settings));
        let (group, generation) = (self.id.clone(), self.generation);
        env.push(Output::Rebalanced { group, generation, members: Vec::new() });
    }

    fn answer_joins(&mut self, env: &mut Env<'_>) {
        let ids: Vec<StrBytes> = self.members.keys().cloned().collect();
        for id in ids {
            let response = self.joined_response(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            answer_join(member, &mut env.todo.outputs, response);
            member.renew_session(env.now);
            member.is_new = false;
            member.synced = false;
        }
    }

    /// The current generation as this member is told it; the leader also gets the members.
    pub fn joined_response(&self, member_id: &StrBytes) -> JoinGroupResponse {
        let protocol = self.protocol_name.clone().unwrap_or_default();
        let members = self.members.iter().filter(|_| self.is_leader(member_id)).map(|(id, member)| {
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
    pub fn select_protocol(&self) -> StrBytes {
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

    /// Takes a member out of the group, without consequences.
    pub fn remove_member(&mut self, id: &StrBytes) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance) = member.group_instance_id
            && self.static_members.get(&instance) == Some(id)
        {
            self.static_members.remove(&instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Takes a member out and tells it so, if it waits to join.
    pub fn throw_out(&mut self, env: &mut Env<'_>, id: &StrBytes) {
        if let Some(member) = self.members.get_mut(id) {
            let unknown = join_error(ResponseError::UnknownMemberId, StrBytes::default());
            answer_join(member, &mut env.todo.outputs, unknown);
            answer_sync(member, &mut env.todo.outputs, sync_error(ResponseError::UnknownMemberId));
        }
        self.remove_member(id);
    }

    /// Members waiting for their assignment get none.
    pub fn refuse_syncs(&mut self, env: &mut Env<'_>, error: ResponseError) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if member.sync.is_some() {
                answer_sync(member, &mut env.todo.outputs, sync_error(error));
                member.renew_session(env.now);
            }
        }
    }

    /// Does what is due by `env.now`.
    pub fn expire(&mut self, env: &mut Env<'_>) {
        self.expire_pending(env);
        let now = env.now;
        let lost = |group: &Group| {
            let mut members = group.members.iter();
            members.find(|(_, m)| m.can_expire() && m.session_deadline <= now).map(|(id, _)| id.clone())
        };
        while let Some(id) = lost(self) {
            self.throw_out(env, &id);
            match self.state {
                State::Stable | State::CompletingRebalance => self.prepare_rebalance(env),
                State::PreparingRebalance if self.have_all_joined() => self.complete_join(env),
                State::PreparingRebalance | State::Empty | State::Dead => {}
            }
        }
        if self.sync_deadline.is_some_and(|deadline| deadline <= now) {
            self.sync_deadline = None;
            self.expire_unsynced(env);
        }
        if self.preparing.as_ref().is_some_and(|preparing| preparing.deadline <= now) {
            self.expire_preparing(env);
        }
    }

    /// Whoever was given an id and did not come back with it.
    fn expire_pending(&mut self, env: &mut Env<'_>) {
        let (before, now) = (self.pending.len(), env.now);
        self.pending.retain(|_, deadline| *deadline > now);
        let fewer = self.pending.len() < before;
        if fewer && self.state == State::PreparingRebalance && self.have_all_joined() {
            self.complete_join(env);
        }
    }

    fn expire_preparing(&mut self, env: &mut Env<'_>) {
        if let Some(preparing) = &mut self.preparing
            && let Some(initial) = &mut preparing.initial
            && initial.newcomers
            && initial.remaining_ms > 0
        {
            let delay_ms = env.settings.initial_rebalance_delay_ms.min(initial.remaining_ms);
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
