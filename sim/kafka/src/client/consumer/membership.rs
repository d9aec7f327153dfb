//! The way into a generation: look-up, `JoinGroup`, `SyncGroup`, `OffsetFetch`. One step at a time, each a task.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use kafka_protocol::messages::join_group_response::JoinGroupResponse;
use kafka_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use kafka_protocol::messages::leave_group_response::LeaveGroupResponse;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponse;
use kafka_protocol::messages::sync_group_request::SyncGroupRequest;
use kafka_protocol::messages::sync_group_response::SyncGroupResponse;
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::assignor::{
    Membership, assign, assignor_named, decode_assignment, encode_assignments, encode_subscription,
    subscribers,
};
use super::{
    Consumer, ConsumerConfig, ConsumerError, ConsumerEvent, Done, Failure, IsolationLevel, Phase, Slot,
};
use crate::client::coordinator::CoordinatorOf;
use crate::client::metadata::Metadata;
use crate::client::{Caller, Link, LinkError};
use crate::cluster::TopicPartition;
use crate::protocol::check;

const PROTOCOL_TYPE: StrBytes = StrBytes::from_static_str("consumer");
/// Java waits this much longer for a `JoinGroup` than the rebalance may take.
const JOIN_GRACE_MS: i64 = 5_000;

/// Committed offsets and the leader epochs committed with them, -1 where there are none.
pub(super) type Committed = BTreeMap<TopicPartition, (i64, i32)>;

pub(super) struct Found {
    metadata: Metadata,
    coordinator: Result<i32, ResponseError>,
}

pub(super) type Joined = JoinGroupResponse;

pub(super) struct Synced {
    /// What a leader had to ask for.
    metadata: Option<Metadata>,
    response: SyncGroupResponse,
}

pub(super) fn group_id(config: &ConsumerConfig) -> GroupId {
    GroupId(StrBytes::from_string(config.group_id.clone()))
}

pub(super) fn instance_id(config: &ConsumerConfig) -> Option<StrBytes> {
    config.group_instance_id.clone().map(StrBytes::from_string)
}

impl<L: Link + ?Sized> Caller<L> {
    /// The group's coordinator, as any broker sees it.
    pub(super) async fn group_coordinator(
        &self,
        config: &ConsumerConfig,
    ) -> Result<Result<i32, ResponseError>, LinkError> {
        let (servers, timeout_ms) = (&config.bootstrap_servers, config.request_timeout_ms);
        self.find_coordinator(servers, CoordinatorOf::Group, &config.group_id, timeout_ms).await
    }
}

impl<L: Link + ?Sized + 'static> Consumer<L> {
    /// Starts the next step into the group, and heartbeats inside of it.
    pub(super) fn advance_membership(&mut self) {
        match self.phase {
            _ if self.is_away => {}
            Phase::Outside => self.look_up(),
            // The host has not seen what it has to give up, or what it had read is being committed.
            Phase::Rejoining if !self.events.is_empty() || self.waits_for_commit => self.keep_heartbeat(),
            Phase::Rejoining if self.coordinator.is_none() => self.look_up(),
            Phase::Rejoining => self.join(),
            Phase::Stable => self.keep_heartbeat(),
            Phase::Entering | Phase::Fatal => {}
        }
    }

    fn look_up(&mut self) {
        self.phase = Phase::Entering;
        let (caller, config, topics) = (self.caller.clone(), self.config.clone(), self.topics.clone());
        let delay_ms = std::mem::take(&mut self.group_delay_ms);
        self.tasks.start(Slot::Membership, async move {
            if delay_ms > 0 {
                caller.link.sleep_ms(delay_ms).await;
            }
            let looked_up = async {
                let servers = &config.bootstrap_servers;
                let metadata = caller.metadata(servers, topics.iter(), config.request_timeout_ms).await?;
                Ok(Found { metadata, coordinator: caller.group_coordinator(&config).await? })
            };
            Done::Found(looked_up.await)
        });
    }

    pub(super) fn found(&mut self, result: Result<Found, LinkError>) {
        let Found { metadata, coordinator } = match result {
            Ok(found) => found,
            Err(_) => return self.enter_again(),
        };
        self.metadata.merge(metadata);
        let unknown = |topic: &&TopicName| !self.metadata.knows(topic);
        let unknown: Vec<TopicName> = self.topics.iter().filter(unknown).cloned().collect();
        if !unknown.is_empty() {
            self.events.push_back(ConsumerEvent::Error(ConsumerError::UnknownTopics(unknown)));
            return self.enter_again();
        }
        match coordinator {
            Ok(broker) => {
                self.coordinator = Some(broker);
                self.phase = Phase::Rejoining;
            }
            Err(error) => self.refused(error),
        }
    }

    fn join(&mut self) {
        let Some(coordinator) = self.coordinator else { return };
        self.tasks.cancel(Slot::Heartbeat);
        self.phase = Phase::Entering;
        let owned = self.partitions.keys().cloned().collect();
        let membership = Membership { owned, last_share: &self.last_share, generation: self.generation };
        let protocols =
            self.config.partition_assignment_strategy.iter().map(|assignor| {
                JoinGroupRequestProtocol::default()
                    .with_name(assignor.name())
                    .with_metadata(encode_subscription(*assignor, &self.topics, &membership))
            });
        let request = JoinGroupRequest::default()
            .with_group_id(group_id(&self.config))
            .with_session_timeout_ms(self.config.session_timeout_ms)
            .with_rebalance_timeout_ms(self.config.max_poll_interval_ms)
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(instance_id(&self.config))
            .with_protocol_type(PROTOCOL_TYPE)
            .with_protocols(protocols.collect());
        let timeout_ms = i64::from(self.config.max_poll_interval_ms) + JOIN_GRACE_MS;
        let delay_ms = std::mem::take(&mut self.group_delay_ms);
        let caller = self.caller.clone();
        self.tasks.start(Slot::Membership, async move {
            if delay_ms > 0 {
                caller.link.sleep_ms(delay_ms).await;
            }
            Done::Joined(caller.call::<JoinGroupResponse>(coordinator, request, timeout_ms).await)
        });
    }

    pub(super) fn joined(&mut self, result: Result<Joined, LinkError>) {
        let Ok(response) = result else {
            self.coordinator = None;
            return self.enter_again();
        };
        match check(response.error_code) {
            Ok(()) => {
                self.member_id = response.member_id.clone();
                self.generation = response.generation_id;
                self.sync(response);
            }
            Err(ResponseError::MemberIdRequired) => {
                self.member_id = response.member_id;
                self.phase = Phase::Rejoining;
            }
            Err(error) => self.refused(error),
        }
    }

    fn sync(&mut self, joined: JoinGroupResponse) {
        let Some(coordinator) = self.coordinator else { return self.enter_again() };
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(&self.config))
            .with_generation_id(self.generation)
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(instance_id(&self.config))
            .with_protocol_type(Some(PROTOCOL_TYPE))
            .with_protocol_name(joined.protocol_name.clone());
        let strategies = &self.config.partition_assignment_strategy;
        let assignor = assignor_named(strategies, joined.protocol_name.as_ref());
        let is_leader = joined.leader == self.member_id;
        let known = self.metadata.clone();
        let (caller, config) = (self.caller.clone(), self.config.clone());
        self.tasks.start(Slot::Membership, async move {
            let synced = async {
                let (mut request, mut metadata) = (request, None);
                if is_leader {
                    let group = subscribers(assignor, joined.members);
                    let wanted: Vec<&TopicName> = group.iter().flat_map(|member| &member.topics).collect();
                    let mut view = known;
                    if !wanted.iter().all(|topic| view.knows(topic)) {
                        let servers = &config.bootstrap_servers;
                        view = caller
                            .metadata(servers, wanted.iter().copied(), config.request_timeout_ms)
                            .await?;
                        metadata = Some(view.clone());
                    }
                    let partitions =
                        wanted.iter().map(|topic| ((*topic).clone(), view.partitions(topic))).collect();
                    let shares = assign(assignor, &group, &partitions);
                    request = request.with_assignments(encode_assignments(&group, shares));
                }
                let timeout_ms = i64::from(config.max_poll_interval_ms) + JOIN_GRACE_MS;
                let response = caller.call(coordinator, request, timeout_ms).await?;
                Ok(Synced { metadata, response })
            };
            Done::Synced(synced.await)
        });
    }

    pub(super) fn synced(&mut self, result: Result<Synced, LinkError>) {
        let Ok(Synced { metadata, response }) = result else {
            self.coordinator = None;
            return self.enter_again();
        };
        if let Some(metadata) = metadata {
            self.metadata.merge(metadata);
        }
        match check(response.error_code) {
            Ok(()) => self.given(decode_assignment(response.assignment)),
            Err(error) => self.refused(error),
        }
    }

    /// Asks where the group has come to in the partitions that are new. Heartbeats begin here.
    pub(super) fn fetch_positions(&mut self, delay_ms: i64) {
        self.keep_heartbeat();
        let Some(coordinator) = self.coordinator else { return self.enter_again() };
        if self.entering.is_empty() || !self.config.begin_at_committed {
            let nowhere = self.entering.iter().map(|name| (name.clone(), (-1, -1)));
            return self.positions(Ok(nowhere.collect()));
        }
        let (caller, config, wanted) = (self.caller.clone(), self.config.clone(), self.entering.clone());
        self.tasks.start(Slot::Membership, async move {
            if delay_ms > 0 {
                caller.link.sleep_ms(delay_ms).await;
            }
            Done::Positions(caller.committed(&config, coordinator, &wanted).await)
        });
    }

    /// Tries to get in again after a pause, from the look-up if the coordinator is not known.
    pub(super) fn enter_again(&mut self) {
        self.group_delay_ms = self.group_backoff.next();
        self.tasks.cancel(Slot::Membership);
        self.tasks.cancel(Slot::Heartbeat);
        self.phase = if self.coordinator.is_none() { Phase::Outside } else { Phase::Rejoining };
    }

    /// The coordinator said no, on the way in or inside: what that means for the membership.
    pub(super) fn refused(&mut self, error: ResponseError) {
        match error {
            ResponseError::RebalanceInProgress => self.rejoin(),
            ResponseError::UnknownMemberId => {
                self.member_id = StrBytes::default();
                self.rejoin_after_loss();
            }
            ResponseError::IllegalGeneration => self.rejoin_after_loss(),
            ResponseError::NotCoordinator | ResponseError::CoordinatorNotAvailable => {
                self.coordinator = None;
                if self.phase != Phase::Stable {
                    self.enter_again();
                }
            }
            ResponseError::FencedInstanceId => {
                self.tasks.cancel_all();
                self.lose_all();
                self.phase = Phase::Fatal;
                self.events.push_back(ConsumerEvent::Error(ConsumerError::Fenced));
            }
            other => {
                if !other.is_retriable() {
                    self.events.push_back(ConsumerEvent::Error(ConsumerError::Broker(other)));
                }
                if self.phase != Phase::Stable {
                    self.enter_again();
                }
            }
        }
    }

    /// Leaves the group in good order, as far as the coordinator can be reached: commits what was reported, and says
    /// goodbye. What was fetched is dropped, without
    /// an event. A static member stays in the group until its session ends. Polled again, the consumer joins anew.
    pub async fn leave(&mut self) {
        self.tasks.cancel_all();
        self.commit_last_reports().await;
        let goodbye = self.goodbye();
        self.lose_all();
        self.events.clear();
        self.phase = Phase::Outside;
        let Some((coordinator, request)) = goodbye else { return };
        let timeout_ms = self.config.request_timeout_ms;
        // Without an answer the session ends by itself.
        let _ = self.caller.call::<LeaveGroupResponse>(coordinator, request, timeout_ms).await;
    }

    /// What ends the membership at once; nothing for a static member. The member id is gone afterwards.
    pub(super) fn goodbye(&mut self) -> Option<(i32, LeaveGroupRequest)> {
        let member_id = std::mem::take(&mut self.member_id);
        let coordinator = self.coordinator.filter(|_| !member_id.is_empty())?;
        if self.config.group_instance_id.is_some() {
            return None;
        }
        let request = LeaveGroupRequest::default()
            .with_group_id(group_id(&self.config))
            .with_members(vec![MemberIdentity::default().with_member_id(member_id)]);
        Some((coordinator, request))
    }
}

impl<L: Link + ?Sized> Caller<L> {
    /// Where a group has come to. A reader of committed records wants offsets that are certain (KIP-447).
    pub(super) async fn committed(
        &self,
        config: &ConsumerConfig,
        coordinator: i32,
        partitions: &[TopicPartition],
    ) -> Result<Committed, Failure> {
        let mut topics: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
        partitions.iter().for_each(|p| topics.entry(&p.topic).or_default().push(p.partition));
        let topics = topics.into_iter().map(|(name, partitions)| {
            OffsetFetchRequestTopics::default().with_name(name.clone()).with_partition_indexes(partitions)
        });
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(group_id(config))
            .with_topics(Some(topics.collect()));
        let request = OffsetFetchRequest::default()
            .with_groups(vec![group])
            .with_require_stable(config.isolation_level == IsolationLevel::ReadCommitted);
        let timeout_ms = config.request_timeout_ms;
        let response = self.call::<OffsetFetchResponse>(coordinator, request, timeout_ms).await?;
        read_positions(response).map_err(Failure::Broker)
    }
}

fn read_positions(response: OffsetFetchResponse) -> Result<Committed, ResponseError> {
    let mut committed = Committed::new();
    for group in response.groups {
        check(group.error_code)?;
        for topic in group.topics {
            for found in topic.partitions {
                check(found.error_code)?;
                let partition =
                    TopicPartition { topic: topic.name.clone(), partition: found.partition_index };
                committed.insert(partition, (found.committed_offset, found.committed_leader_epoch));
            }
        }
    }
    Ok(committed)
}
