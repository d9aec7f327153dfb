//! Committed offsets: the next record to read, per group and partition. The last write wins, also backwards.
//!
//! Real: `OffsetMetadataManager`, `ClassicGroup.validateOffsetCommit`. Seam for transactions: offsets pending until
//! a marker, and `UNSTABLE_OFFSET_COMMIT` for readers that ask for stable ones; today all are stable.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequest, OffsetCommitRequestPartition};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::protocol::StrBytes;

use super::state::{Group, State};
use super::{Coordinator, PartitionExists};
use crate::broker::{Output, ReplyTo};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::protocol::code;

/// `offset.metadata.max.bytes`.
const OFFSET_METADATA_MAX_BYTES: usize = 4096;

pub(super) struct CommittedOffset {
    offset: i64,
    leader_epoch: i32,
    metadata: Option<StrBytes>,
    committed_at: TimestampMs,
}

impl Coordinator {
    pub fn commit(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: OffsetCommitRequest,
        exists: impl PartitionExists,
    ) -> Vec<Output> {
        let mut outputs = Vec::new();
        let accepted = self.check_group(&request.group_id).and_then(|()| {
            self.with_group(now, &request.group_id, &mut outputs, |group, env| {
                group.check_commit(&request)?;
                group.renew_session(env.now, &request.member_id);
                Ok(())
            })
        });
        let mut group = self.groups.get_mut(&request.group_id);
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for wanted in topic.partitions {
                let index = wanted.partition_index;
                let outcome = accepted.and_then(|()| match &mut group {
                    Some(group) if exists(&topic.name, index) => group.store(now, &topic.name, wanted),
                    _ => Err(ResponseError::UnknownTopicOrPartition),
                });
                let response = OffsetCommitResponsePartition::default().with_partition_index(index);
                partitions.push(response.with_error_code(code(outcome)));
            }
            topics
                .push(OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions));
        }
        if accepted.is_ok() && group.is_some_and(|group| group.state == State::Empty) {
            self.note_offsets(now);
        }
        outputs.push(reply.respond(OffsetCommitResponse::default().with_topics(topics)));
        outputs
    }

    pub fn fetch_offsets(&self, request: OffsetFetchRequest) -> OffsetFetchResponse {
        let groups = request.groups.into_iter().map(|wanted| match self.check_group(&wanted.group_id) {
            Err(error) => OffsetFetchResponseGroup::default()
                .with_group_id(wanted.group_id)
                .with_error_code(error.code()),
            Ok(()) => self.fetch_group_offsets(wanted),
        });
        OffsetFetchResponse::default().with_groups(groups.collect())
    }

    fn fetch_group_offsets(&self, wanted: OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
        let group = self.groups.get(&wanted.group_id);
        let response = |topic: &TopicName, partition: i32| {
            let name = TopicPartition { topic: topic.clone(), partition };
            let response = OffsetFetchResponsePartitions::default().with_partition_index(partition);
            match group.and_then(|group| group.offsets.get(&name)) {
                None => response.with_committed_offset(-1).with_metadata(Some(StrBytes::default())),
                Some(committed) => response
                    .with_committed_offset(committed.offset)
                    .with_committed_leader_epoch(committed.leader_epoch)
                    .with_metadata(Some(committed.metadata.clone().unwrap_or_default())),
            }
        };
        let mut topics: Vec<OffsetFetchResponseTopics> = Vec::new();
        match wanted.topics {
            Some(wanted) => topics.extend(wanted.into_iter().map(|topic| {
                let partitions =
                    topic.partition_indexes.iter().map(|index| response(&topic.name, *index)).collect();
                OffsetFetchResponseTopics::default().with_name(topic.name).with_partitions(partitions)
            })),
            None => {
                for name in group.into_iter().flat_map(|group| group.offsets.keys()) {
                    let partition = response(&name.topic, name.partition);
                    match topics.last_mut() {
                        Some(last) if last.name == name.topic => last.partitions.push(partition),
                        _ => topics.push(
                            OffsetFetchResponseTopics::default()
                                .with_name(name.topic.clone())
                                .with_partitions(vec![partition]),
                        ),
                    }
                }
            }
        }
        OffsetFetchResponseGroup::default().with_group_id(wanted.group_id).with_topics(topics)
    }
}

impl Group {
    /// Without a generation only an empty group takes commits; a member must name its own, and not while it is about
    /// to get its assignment.
    fn check_commit(&self, request: &OffsetCommitRequest) -> Result<(), ResponseError> {
        let generation = request.generation_id_or_member_epoch;
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        let names_member = !request.member_id.is_empty() || request.group_instance_id.is_some();
        if generation < 0 && !names_member {
            return Err(ResponseError::UnknownMemberId);
        }
        self.check_member(&request.member_id, request.group_instance_id.as_ref())?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        match self.state {
            State::CompletingRebalance => Err(ResponseError::RebalanceInProgress),
            State::Empty | State::PreparingRebalance | State::Stable => Ok(()),
        }
    }

    fn store(
        &mut self,
        now: TimestampMs,
        topic: &TopicName,
        wanted: OffsetCommitRequestPartition,
    ) -> Result<(), ResponseError> {
        if wanted.committed_metadata.as_ref().is_some_and(|text| text.len() > OFFSET_METADATA_MAX_BYTES) {
            return Err(ResponseError::OffsetMetadataTooLarge);
        }
        let committed = CommittedOffset {
            offset: wanted.committed_offset,
            leader_epoch: wanted.committed_leader_epoch,
            metadata: wanted.committed_metadata,
            committed_at: now,
        };
        let name = TopicPartition { topic: topic.clone(), partition: wanted.partition_index };
        self.offsets.insert(name, committed);
        Ok(())
    }

    /// When the first offset of a group without members expires.
    pub fn offsets_expire_at(&self, retention_ms: i64) -> Option<TimestampMs> {
        let offsets = self.offsets.values().filter(|_| self.state == State::Empty);
        let since = offsets.map(|committed| committed.committed_at.max(self.empty_since)).min()?;
        Some(since + retention_ms + 1)
    }

    /// `offsets.retention.minutes`, counted from the last commit or from when the group became empty.
    pub fn expire_offsets(&mut self, now: TimestampMs, retention_ms: i64) {
        if self.state == State::Empty {
            let empty_since = self.empty_since;
            self.offsets.retain(|_, committed| now - committed.committed_at.max(empty_since) <= retention_ms);
        }
    }
}
