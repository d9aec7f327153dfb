//! `OffsetDelete` and `DeleteGroups`: tombstones for what an administrator does not want any more.
//!
//! Real: `OffsetMetadataManager.deleteOffsets`, `deleteAllOffsets`, `GroupCoordinatorShard.deleteGroups`.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_protocol::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};
use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequest;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{GroupId, TopicName};

use super::state::{Group, State};
use super::stored::{group_tombstone, offset_tombstone};
use super::writes::{Deletion, Removal, Then, Waiting};
use super::{Coordinator, PartitionExists};
use crate::broker::ReplyTo;
use crate::cluster::{TimestampMs, TopicPartition};
use crate::coordination::Todo;
use crate::protocol::code;

impl Coordinator {
    pub(super) fn delete_offsets(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: OffsetDeleteRequest,
        exists: PartitionExists<'_>,
        todo: &mut Todo,
    ) {
        let named = request.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|wanted| (topic.name.clone(), wanted.partition_index))
        });
        let named: Vec<(TopicName, i32)> = named.filter(|(topic, index)| exists(topic, *index)).collect();
        let checked = if named.is_empty() {
            Ok(None)
        } else {
            self.check_group(&request.group_id).and_then(|partition| {
                let group = self.groups.get(&request.group_id).ok_or(ResponseError::GroupIdNotFound)?;
                group.check_offset_deletion()?;
                Ok(Some((partition, group)))
            })
        };
        let (partition, group) = match checked {
            Ok(Some((partition, group))) => (Some(partition), Some(group)),
            Ok(None) => (None, None),
            Err(error) => {
                let response = OffsetDeleteResponse::default().with_error_code(error.code());
                return todo.outputs.push(reply.respond(response));
            }
        };
        let outcome = |topic: &TopicName, index: i32| match group {
            _ if !exists(topic, index) => Err(ResponseError::UnknownTopicOrPartition),
            Some(group) if group.is_subscribed_to(topic) => Err(ResponseError::GroupSubscribedToTopic),
            _ => Ok(()),
        };
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| {
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(wanted.partition_index)
                    .with_error_code(code(outcome(&topic.name, wanted.partition_index)))
            });
            let partitions = partitions.collect();
            OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
        });
        let response = OffsetDeleteResponse::default().with_topics(topics.collect());
        let unwanted = named.into_iter().filter(|(topic, index)| outcome(topic, *index).is_ok());
        let unwanted = unwanted.map(|(topic, partition)| TopicPartition { topic, partition });
        let all = group.map(|group| self.offsets_of(group)).unwrap_or_default();
        let offsets: Vec<TopicPartition> = unwanted.filter(|at| all.contains(at)).collect();
        let Some(partition) = partition else { return todo.outputs.push(reply.respond(response)) };
        if !offsets.is_empty() {
            let removal = Removal { group: request.group_id, offsets, entirely: false };
            self.remove(partition, removal, todo);
        }
        self.answer(partition, reply, response, todo);
        self.look_for_expiry(now, partition);
    }

    /// Every partition that the group has an offset for, be it that it is on its way or of an open transaction.
    fn offsets_of(&self, group: &Group) -> BTreeSet<TopicPartition> {
        let pending = group.pending_offsets.values().flat_map(|offsets| offsets.keys());
        group.offsets.keys().chain(pending).chain(self.writes.offsets_of(&group.id)).cloned().collect()
    }

    fn remove(&mut self, partition: i32, removal: Removal, todo: &mut Todo) {
        let Removal { group, offsets, entirely } = &removal;
        let mut records: Vec<_> = offsets.iter().map(|at| offset_tombstone(group, at)).collect();
        records.extend(entirely.then(|| group_tombstone(group)));
        self.writes.write(todo, partition, None, records, Then::Removed(vec![removal]));
    }

    pub(super) fn delete_groups(
        &mut self,
        _now: TimestampMs,
        reply: ReplyTo,
        request: DeleteGroupsRequest,
        todo: &mut Todo,
    ) {
        let rest = request.groups_names.into();
        self.go_on_deleting(Deletion { reply: Some(reply), results: Vec::new(), rest }, todo);
    }

    /// Deletes the first group of those that are left, and waits for its tombstones before it goes on.
    pub(super) fn go_on_deleting(&mut self, mut deletion: Deletion, todo: &mut Todo) {
        while let Some(group_id) = deletion.rest.front() {
            match self.delete_group(group_id, todo) {
                Ok(ticket) => return self.writes.wait(ticket, Waiting::Deletion(deletion)),
                Err(error) => deletion.done(Err(error)),
            }
        }
        if let Some(reply) = deletion.reply {
            let response = DeleteGroupsResponse::default().with_results(deletion.results);
            todo.outputs.push(reply.respond(response));
        }
    }

    fn delete_group(&mut self, group_id: &GroupId, todo: &mut Todo) -> Result<u64, ResponseError> {
        let partition = self.check_group(group_id)?;
        let group = self.groups.get(group_id).ok_or(ResponseError::GroupIdNotFound)?;
        match group.state {
            State::Empty => {}
            State::Dead => return Err(ResponseError::GroupIdNotFound),
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                return Err(ResponseError::NonEmptyGroup);
            }
        }
        let offsets = self.offsets_of(group).into_iter().collect();
        if let Some(group) = self.groups.get_mut(group_id) {
            group.state = State::Dead;
        }
        self.remove(partition, Removal { group: group_id.clone(), offsets, entirely: true }, todo);
        self.writes.last(partition).ok_or(ResponseError::NotCoordinator)
    }
}

impl Deletion {
    /// What came of the first group of those that are left.
    pub fn done(&mut self, outcome: Result<(), ResponseError>) {
        if let Some(group) = self.rest.pop_front() {
            let result = DeletableGroupResult::default().with_group_id(group);
            self.results.push(result.with_error_code(code(outcome)));
        }
    }
}

impl Group {
    fn check_offset_deletion(&self) -> Result<(), ResponseError> {
        match self.state {
            State::Dead => Err(ResponseError::GroupIdNotFound),
            State::Empty => Ok(()),
            // Of a consumer group it is known what its members read.
            _ if self.is_consumer_group() => Ok(()),
            _ => Err(ResponseError::NonEmptyGroup),
        }
    }
}
