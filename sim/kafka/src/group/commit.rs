//! `OffsetCommit` and `TxnOffsetCommit`: who may commit, and what is written. The last write wins, also backwards.
//!
//! Real: `OffsetMetadataManager.commitOffset`, `commitTransactionalOffset`, `ClassicGroup.validateOffsetCommit`. Whether
//! the transaction knows of the group is for the log to ask, as for any batch of a transaction (KIP-890).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequest, OffsetCommitRequestPartition};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::state::{Group, State};
use super::stored::{CommittedOffset, offset_record};
use super::writes::{Commit, Then};
use super::{Coordinator, PartitionExists};
use crate::broker::ReplyTo;
use crate::cluster::{TimestampMs, TopicPartition};
use crate::coordination::{StateTransaction, Todo};
use crate::protocol::{Response, code};

/// `offset.metadata.max.bytes`.
const OFFSET_METADATA_MAX_BYTES: usize = 4096;
/// The first version of `OffsetCommit` that can be told of a group that is not there.
const UNKNOWN_GROUP_VERSION: i16 = 9;
/// The first version of `TxnOffsetCommit` that adds the group to the transaction by itself (KIP-890).
const ADDING_VERSION: i16 = 5;

/// Who commits, and for which generation.
struct Committer<'a> {
    group: &'a GroupId,
    generation: i32,
    member_id: &'a StrBytes,
    instance: Option<&'a StrBytes>,
    is_transactional: bool,
    /// What a stranger is told who names a generation.
    unknown_group: ResponseError,
}

/// Offsets to be written, and the outcome for every partition of the request, in its order.
struct Sorted {
    offsets: Vec<(TopicPartition, CommittedOffset)>,
    outcomes: Vec<Result<(), ResponseError>>,
}

impl Sorted {
    fn take(&mut self, at: TopicPartition, exists: PartitionExists<'_>, offset: CommittedOffset) {
        self.outcomes.push(if !exists(&at.topic, at.partition) {
            Err(ResponseError::UnknownTopicOrPartition)
        } else if offset.metadata.len() > OFFSET_METADATA_MAX_BYTES {
            Err(ResponseError::OffsetMetadataTooLarge)
        } else {
            self.offsets.push((at, offset));
            Ok(())
        });
    }

    /// Only topics that are not there: the coordinator is not even asked.
    fn is_unknown(&self) -> bool {
        self.outcomes.iter().all(|outcome| *outcome == Err(ResponseError::UnknownTopicOrPartition))
    }

    /// Nothing is written. What is not there is not there all the same.
    fn refuse(&mut self, error: ResponseError) {
        for outcome in &mut self.outcomes {
            if *outcome != Err(ResponseError::UnknownTopicOrPartition) {
                *outcome = Err(error);
            }
        }
    }
}

fn at(topic: &TopicName, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.clone(), partition }
}

impl Coordinator {
    pub(super) fn commit(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: OffsetCommitRequest,
        version: i16,
        exists: PartitionExists<'_>,
        todo: &mut Todo,
    ) {
        let committer = Committer {
            group: &request.group_id,
            generation: request.generation_id_or_member_epoch,
            member_id: &request.member_id,
            instance: request.group_instance_id.as_ref(),
            is_transactional: false,
            unknown_group: if version >= UNKNOWN_GROUP_VERSION {
                ResponseError::GroupIdNotFound
            } else {
                ResponseError::IllegalGeneration
            },
        };
        let clock = self.clock(now);
        let expires_at = (request.retention_time_ms >= 0).then(|| clock + request.retention_time_ms);
        let offset = |wanted: &OffsetCommitRequestPartition| CommittedOffset {
            offset: wanted.committed_offset,
            leader_epoch: wanted.committed_leader_epoch,
            metadata: wanted.committed_metadata.clone().unwrap_or_default(),
            committed_at: clock,
            expires_at,
            record_offset: -1,
        };
        let mut sorted = Sorted { offsets: Vec::new(), outcomes: Vec::new() };
        for topic in &request.topics {
            for wanted in &topic.partitions {
                sorted.take(at(&topic.name, wanted.partition_index), exists, offset(wanted));
            }
        }
        let partition = self.write_commit(now, &committer, None, &mut sorted, todo);
        let mut outcomes = sorted.outcomes.into_iter();
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().zip(&mut outcomes).map(|(wanted, outcome)| {
                let response = OffsetCommitResponsePartition::default();
                response.with_partition_index(wanted.partition_index).with_error_code(code(outcome))
            });
            let partitions = partitions.collect();
            OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
        });
        let response = OffsetCommitResponse::default().with_topics(topics.collect());
        self.answer_commit(partition, reply, response.into(), todo);
    }

    pub(super) fn commit_in_transaction(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: TxnOffsetCommitRequest,
        version: i16,
        exists: PartitionExists<'_>,
        todo: &mut Todo,
    ) {
        let committer = Committer {
            group: &request.group_id,
            generation: request.generation_id,
            member_id: &request.member_id,
            instance: request.group_instance_id.as_ref(),
            is_transactional: true,
            unknown_group: ResponseError::IllegalGeneration,
        };
        let clock = self.clock(now);
        let offset = |wanted: &TxnOffsetCommitRequestPartition| CommittedOffset {
            offset: wanted.committed_offset,
            leader_epoch: wanted.committed_leader_epoch,
            metadata: wanted.committed_metadata.clone().unwrap_or_default(),
            committed_at: clock,
            expires_at: None,
            record_offset: -1,
        };
        let mut sorted = Sorted { offsets: Vec::new(), outcomes: Vec::new() };
        for topic in &request.topics {
            for wanted in &topic.partitions {
                sorted.take(at(&topic.name, wanted.partition_index), exists, offset(wanted));
            }
        }
        let transaction = StateTransaction {
            transactional_id: request.transactional_id.0.clone(),
            producer_id: request.producer_id.0,
            producer_epoch: request.producer_epoch,
            is_added: version >= ADDING_VERSION,
        };
        let partition = self.write_commit(now, &committer, Some(transaction), &mut sorted, todo);
        let mut outcomes = sorted.outcomes.into_iter();
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().zip(&mut outcomes).map(|(wanted, outcome)| {
                let response = TxnOffsetCommitResponsePartition::default();
                response.with_partition_index(wanted.partition_index).with_error_code(code(outcome))
            });
            let partitions = partitions.collect();
            TxnOffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
        });
        let response = TxnOffsetCommitResponse::default().with_topics(topics.collect());
        self.answer_commit(partition, reply, response.into(), todo);
    }

    fn answer_commit(&mut self, partition: Option<i32>, reply: ReplyTo, response: Response, todo: &mut Todo) {
        match partition {
            Some(partition) => self.answer(partition, reply, response, todo),
            None => todo.outputs.push(reply.respond(response)),
        }
    }

    /// Writes what may be written. The partition whose writes the answer waits for, if the coordinator was asked at all.
    fn write_commit(
        &mut self,
        now: TimestampMs,
        committer: &Committer<'_>,
        transaction: Option<StateTransaction>,
        sorted: &mut Sorted,
        todo: &mut Todo,
    ) -> Option<i32> {
        if sorted.is_unknown() {
            return None;
        }
        let accepted = self.check_group(committer.group).and_then(|partition| {
            if committer.generation < 0 {
                // Whoever manages its partitions itself: a simple group.
                self.create_group(now, committer.group, partition);
            }
            let accepted = self.with_group(now, committer.group, todo, |group, env| {
                group.check_commit(committer)?;
                if !committer.is_transactional && group.state != State::Empty {
                    group.renew_session(env.now, committer.member_id);
                }
                Ok(partition)
            });
            accepted.unwrap_or(Err(committer.unknown_group))
        });
        match accepted {
            Err(error) => {
                sorted.refuse(error);
                None
            }
            Ok(partition) => {
                if !sorted.offsets.is_empty() {
                    let group = committer.group.clone();
                    let offsets = std::mem::take(&mut sorted.offsets);
                    let records =
                        offsets.iter().map(|(at, offset)| offset_record(&group, at, offset)).collect();
                    let producer_id = transaction.as_ref().map(|transaction| transaction.producer_id);
                    let then = Then::Committed(Commit { group, producer_id, offsets });
                    self.writes.write(todo, partition, transaction, records, then);
                }
                Some(partition)
            }
        }
    }
}

impl Group {
    /// Without a generation only an empty group takes plain commits; a member must name its own, and not while it is
    /// about to get its assignment. A transaction that names nobody is not checked: it may be a zombie's.
    fn check_commit(&self, committer: &Committer<'_>) -> Result<(), ResponseError> {
        self.check_alive()?;
        if committer.generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        let names_member =
            committer.generation >= 0 || !committer.member_id.is_empty() || committer.instance.is_some();
        if names_member {
            self.check_member(committer.member_id, committer.instance)?;
            if committer.generation != self.generation {
                return Err(ResponseError::IllegalGeneration);
            }
        } else if !committer.is_transactional {
            return Err(ResponseError::UnknownMemberId);
        }
        if !committer.is_transactional && self.state == State::CompletingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }
}
