//! Committing offsets, waited for or with the next polls.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::OffsetCommitResponse;

use super::membership::{group_id, instance_id};
use super::{CommitError, Consumer, Done, Failure, Phase, Slot};
use crate::client::{Link, LinkError};
use crate::cluster::TopicPartition;
use crate::protocol::check;

impl<L: Link + ?Sized + 'static> Consumer<L> {
    /// `commitSync`, without its retries. Each offset is that of the next record to read. Heartbeats rest meanwhile.
    pub async fn commit(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<(), CommitError> {
        let result = self.commit_task(offsets)?.await;
        self.judge_commit(result);
        result
    }

    /// Where the group has come to in these partitions; `None` where nothing was committed. Heartbeats rest meanwhile.
    pub async fn committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Option<i64>>, CommitError> {
        let coordinator = self.coordinator.ok_or(CommitError::NotAMember)?;
        let found = self.caller.committed(&self.config, coordinator, partitions).await;
        let found = found.map_err(|failure| match failure {
            Failure::Broker(error) => CommitError::Refused(error),
            Failure::Unanswered => CommitError::Unknown(LinkError::TimedOut),
        })?;
        Ok(found.into_iter().map(|(name, (offset, _))| (name, Some(offset).filter(|o| *o >= 0))).collect())
    }

    /// Notes how far the host is, for whoever watches the group: committed with a later heartbeat, or when leaving,
    /// so that it costs an idle consumer nothing. What was not committed when partitions are revoked is dropped.
    pub fn report(&mut self, partition: TopicPartition, next_offset: i64) {
        if self.partitions.contains_key(&partition) {
            self.reported.insert(partition, next_offset);
        }
    }

    pub(super) fn commit_reports(&mut self) {
        if self.reported.is_empty() || self.tasks.is_running(Slot::Commit) {
            return;
        }
        let offsets: Vec<(TopicPartition, i64)> = self.reported.clone().into_iter().collect();
        if let Ok(task) = self.commit_task(&offsets) {
            self.reporting = std::mem::take(&mut self.reported);
            self.tasks.start(Slot::Commit, async move { Done::Committed(task.await) });
        }
    }

    /// The last of the reports, as far as the coordinator takes them.
    pub(super) async fn commit_last_reports(&mut self) {
        let mut offsets = std::mem::take(&mut self.reporting);
        offsets.append(&mut self.reported);
        self.poll_begins();
        offsets.append(&mut self.auto_commit.committing);
        offsets.append(&mut self.auto_commit.stored);
        let offsets: Vec<(TopicPartition, i64)> = offsets.into_iter().collect();
        if !offsets.is_empty()
            && let Ok(task) = self.commit_task(&offsets)
        {
            // Nobody's progress depends on it.
            let _ = task.await;
        }
    }

    pub(super) fn forget_reports(&mut self) {
        self.reported.clear();
        self.reporting.clear();
    }

    /// `commitAsync`: goes out with the next poll, and replaces one that is still under way. Of a failure only the
    /// effect on the membership is seen.
    pub fn commit_async(&mut self, offsets: &[(TopicPartition, i64)]) {
        self.report_again();
        if let Ok(task) = self.commit_task(offsets) {
            self.tasks.start(Slot::Commit, async move { Done::Committed(task.await) });
        }
    }

    /// What was being committed was not, or nobody will hear of it.
    fn report_again(&mut self) {
        for (partition, offset) in std::mem::take(&mut self.reporting) {
            self.reported.entry(partition).or_insert(offset);
        }
    }

    pub(super) fn commit_task(
        &self,
        offsets: &[(TopicPartition, i64)],
    ) -> Result<impl Future<Output = Result<(), CommitError>> + 'static + use<L>, CommitError> {
        let coordinator = self.coordinator.filter(|_| self.generation >= 0).ok_or(CommitError::NotAMember)?;
        let mut topics: BTreeMap<&TopicName, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, offset) in offsets {
            let state = self.partitions.get(partition).filter(|state| state.fetch_offset() == Some(*offset));
            let wanted = OffsetCommitRequestPartition::default()
                .with_partition_index(partition.partition)
                .with_committed_offset(*offset)
                .with_committed_leader_epoch(state.map_or(-1, |state| state.epoch));
            topics.entry(&partition.topic).or_default().push(wanted);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            OffsetCommitRequestTopic::default().with_name(name.clone()).with_partitions(partitions)
        });
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id(&self.config))
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(instance_id(&self.config))
            .with_topics(topics.collect());
        let (caller, timeout_ms) = (self.caller.clone(), self.config.request_timeout_ms);
        Ok(async move {
            let answer = caller.call::<OffsetCommitResponse>(coordinator, request, timeout_ms).await;
            let response = answer.map_err(CommitError::Unknown)?;
            let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            let refused = partitions.find_map(|partition| check(partition.error_code).err());
            refused.map_or(Ok(()), |error| Err(CommitError::Refused(error)))
        })
    }

    pub(super) fn commit_answered(&mut self, result: Result<(), CommitError>) {
        self.waits_for_commit = false;
        let committing = std::mem::take(&mut self.auto_commit.committing);
        match result {
            Ok(()) => self.reporting.clear(),
            Err(_) => {
                self.report_again();
                for (partition, offset) in committing {
                    if self.partitions.contains_key(&partition) {
                        self.auto_commit.stored.entry(partition).or_insert(offset);
                    }
                }
            }
        }
        self.judge_commit(result);
    }

    /// A refusal may say that this member is not what it believes to be.
    fn judge_commit(&mut self, result: Result<(), CommitError>) {
        if let Err(CommitError::Refused(error)) = result {
            let about_membership = matches!(
                error,
                ResponseError::UnknownMemberId
                    | ResponseError::IllegalGeneration
                    | ResponseError::RebalanceInProgress
                    | ResponseError::FencedInstanceId
                    | ResponseError::NotCoordinator
                    | ResponseError::CoordinatorNotAvailable
            );
            if about_membership && self.phase == Phase::Stable {
                self.refused(error);
            }
        }
    }
}
