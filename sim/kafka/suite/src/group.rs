//! Members of a group told by raw requests, in the classic protocol.

use bytes::Bytes;
use kafka::client::LinkError;
use kafka::{GroupId, ResponseError, topic_name};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    SyncGroupRequest, SyncGroupResponse,
};

use crate::stage::{Stage, check, is_retriable, text};
use crate::topic::Topic;
use crate::transaction::Member;

pub const SESSION_MS: i32 = 30_000;
/// A join waits for the other members.
const JOIN_MS: i64 = 40_000;

impl Member {
    fn id(&self) -> GroupId {
        GroupId(text(&self.group))
    }
}

impl Stage {
    /// One `JoinGroup`, as it is answered.
    pub async fn try_join(&self, member: &Member, session_ms: i32) -> Result<JoinGroupResponse, LinkError> {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"metadata"));
        let request = JoinGroupRequest::default()
            .with_group_id(member.id())
            .with_session_timeout_ms(session_ms)
            .with_rebalance_timeout_ms(20_000)
            .with_member_id(text(&member.member_id))
            .with_group_instance_id(member.instance_id.clone().map(text))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        let coordinator = self.group_coordinator(&member.group).await;
        self.try_ask(coordinator, request, JOIN_MS).await
    }

    /// Joins with a member id that the coordinator gives first (KIP-394). The generation is not yet synced.
    pub async fn join(&self, mut member: Member, session_ms: i32) -> (Member, JoinGroupResponse) {
        self.eventually("a group is joined", async || {
            let answer = self.try_join(&member, session_ms).await.expect("an answer");
            member.member_id = answer.member_id.to_string();
            match check(answer.error_code) {
                Ok(()) => {
                    member.generation = answer.generation_id;
                    Some((member.clone(), answer))
                }
                Err(ResponseError::UnknownMemberId) => {
                    member.member_id.clear();
                    None
                }
                Err(error) if error == ResponseError::MemberIdRequired || is_retriable(error) => None,
                Err(error) => panic!("JoinGroup: {error}"),
            }
        })
        .await
    }

    /// One `SyncGroup`, as it is answered. A leader gives every member its own id as assignment.
    pub async fn try_sync(&self, member: &Member, members: &[String]) -> Result<Bytes, ResponseError> {
        let assignment = |id: &String| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(id))
                .with_assignment(Bytes::copy_from_slice(id.as_bytes()))
        };
        let request = SyncGroupRequest::default()
            .with_group_id(member.id())
            .with_generation_id(member.generation)
            .with_member_id(text(&member.member_id))
            .with_group_instance_id(member.instance_id.clone().map(text))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(members.iter().map(assignment).collect());
        let coordinator = self.group_coordinator(&member.group).await;
        let answer: SyncGroupResponse = self.ask(coordinator, request).await;
        check(answer.error_code).map(|()| answer.assignment)
    }

    /// The only member of a group, joined and synced.
    pub async fn lone_member(&self, group: &str, session_ms: i32) -> Member {
        let (member, _) = self.join(Member::of(self.name(group)), session_ms).await;
        let ids = [member.member_id.clone()];
        self.try_sync(&member, &ids).await.expect("the leader of its generation");
        member
    }

    /// One `Heartbeat`, as it is answered.
    pub async fn try_heartbeat(&self, member: &Member) -> Result<(), ResponseError> {
        let request = HeartbeatRequest::default()
            .with_group_id(member.id())
            .with_generation_id(member.generation)
            .with_member_id(text(&member.member_id))
            .with_group_instance_id(member.instance_id.clone().map(text));
        let coordinator = self.group_coordinator(&member.group).await;
        let answer: HeartbeatResponse = self.ask(coordinator, request).await;
        check(answer.error_code)
    }

    pub async fn leave(&self, member: &Member) {
        let identity = MemberIdentity::default()
            .with_member_id(text(&member.member_id))
            .with_group_instance_id(member.instance_id.clone().map(text));
        let request = LeaveGroupRequest::default().with_group_id(member.id()).with_members(vec![identity]);
        let coordinator = self.group_coordinator(&member.group).await;
        let answer: LeaveGroupResponse = self.ask(coordinator, request).await;
        assert_eq!(check(answer.error_code), Ok(()), "LeaveGroup");
    }

    /// One `OffsetCommit` of one partition, as it is answered.
    pub async fn try_commit(
        &self,
        member: &Member,
        topic: &Topic,
        partition: i32,
        offset: i64,
    ) -> Result<(), ResponseError> {
        let coordinator = self.group_coordinator(&member.group).await;
        self.commit_at(coordinator, member, topic, partition, offset).await
    }

    pub async fn commit_at(
        &self,
        broker: i32,
        member: &Member,
        topic: &Topic,
        partition: i32,
        offset: i64,
    ) -> Result<(), ResponseError> {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(-1);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(topic_name(&topic.name))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(member.id())
            .with_generation_id_or_member_epoch(member.generation)
            .with_member_id(text(&member.member_id))
            .with_group_instance_id(member.instance_id.clone().map(text))
            .with_topics(vec![topic]);
        let answer: OffsetCommitResponse = self.ask(broker, request).await;
        check(answer.topics[0].partitions[0].error_code)
    }

    /// Tries until the coordinator is ready.
    pub async fn commit(&self, member: &Member, topic: &Topic, partition: i32, offset: i64) {
        self.eventually("an offset is committed", async || {
            match self.try_commit(member, topic, partition, offset).await {
                Err(error) if is_retriable(error) => None,
                Ok(()) => Some(()),
                Err(error) => panic!("OffsetCommit: {error}"),
            }
        })
        .await;
    }

    /// One `OffsetFetch` of one partition, as it is answered; -1: nothing is committed.
    pub async fn try_committed(
        &self,
        group: &str,
        topic: &Topic,
        partition: i32,
        require_stable: bool,
    ) -> Result<i64, ResponseError> {
        let coordinator = self.group_coordinator(group).await;
        self.committed_at(coordinator, group, topic, partition, require_stable).await
    }

    pub async fn committed_at(
        &self,
        broker: i32,
        group: &str,
        topic: &Topic,
        partition: i32,
        require_stable: bool,
    ) -> Result<i64, ResponseError> {
        let asked = OffsetFetchRequestTopics::default()
            .with_name(topic_name(&topic.name))
            .with_partition_indexes(vec![partition]);
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(text(group)))
            .with_member_epoch(-1)
            .with_topics(Some(vec![asked]));
        let request =
            OffsetFetchRequest::default().with_groups(vec![asked]).with_require_stable(require_stable);
        let answer: OffsetFetchResponse = self.ask(broker, request).await;
        let found = &answer.groups[0];
        check(found.error_code)?;
        let found = &found.topics[0].partitions[0];
        check(found.error_code).map(|()| found.committed_offset)
    }

    /// What a group has committed; -1: nothing.
    pub async fn committed(&self, group: &str, topic: &Topic, partition: i32) -> i64 {
        self.eventually("the coordinator tells an offset", async || {
            match self.try_committed(group, topic, partition, false).await {
                Err(error) if is_retriable(error) => None,
                outcome => Some(outcome.unwrap_or_else(|error| panic!("OffsetFetch: {error}"))),
            }
        })
        .await
    }
}

/// Who joined, as the leader of a generation is told.
pub fn member_ids(answer: &JoinGroupResponse) -> Vec<String> {
    answer.members.iter().map(|member| member.member_id.to_string()).collect()
}
