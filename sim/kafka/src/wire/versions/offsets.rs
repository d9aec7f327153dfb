//! Offsets: those of one group or of many, and what a look-up by time says of the leader.

use kafka_protocol::messages::list_offsets_response::ListOffsetsResponse;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use super::Memory;

/// Up to version 7 the offsets of one group are asked for.
pub(super) fn raise_fetch(version: i16, request: &mut OffsetFetchRequest) -> Memory {
    if version >= 8 {
        return Memory::Nothing;
    }
    let topics = request.topics.take();
    let named = topics.iter().flatten().map(|topic| (topic.name.clone(), topic.partition_indexes.clone()));
    let memory = Memory::Offsets(named.collect());
    let topics = topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| {
            let raised = OffsetFetchRequestTopics::default().with_name(topic.name);
            raised.with_partition_indexes(topic.partition_indexes)
        });
        topics.collect()
    });
    let group_id = std::mem::take(&mut request.group_id);
    request.groups = vec![OffsetFetchRequestGroup::default().with_group_id(group_id).with_topics(topics)];
    memory
}

pub(super) fn lower_fetch(version: i16, response: &mut OffsetFetchResponse, memory: &Memory) {
    if version >= 8 {
        return;
    }
    let Some(group) = std::mem::take(&mut response.groups).into_iter().next() else { return };
    response.error_code = group.error_code;
    response.topics = group.topics.into_iter().map(lower_topic).collect();
    // Version 1 has no error of the group: every partition that was asked for has it.
    if version < 2
        && group.error_code != 0
        && let Memory::Offsets(named) = memory
    {
        let failed = |index: &i32| {
            let partition = OffsetFetchResponsePartition::default().with_partition_index(*index);
            partition.with_committed_offset(-1).with_error_code(group.error_code)
        };
        let topics = named.iter().map(|(name, partitions)| {
            let topic = OffsetFetchResponseTopic::default().with_name(name.clone());
            topic.with_partitions(partitions.iter().map(failed).collect())
        });
        response.topics = topics.collect();
    }
}

fn lower_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partition = |from: OffsetFetchResponsePartitions| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(from.partition_index)
            .with_committed_offset(from.committed_offset)
            .with_committed_leader_epoch(from.committed_leader_epoch)
            .with_metadata(from.metadata)
            .with_error_code(from.error_code)
    };
    let partitions = topic.partitions.into_iter().map(partition);
    OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions.collect())
}

/// Up to version 3 there is no leader epoch.
pub(super) fn lower_list(version: i16, response: &mut ListOffsetsResponse) {
    if version < 4 {
        let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.for_each(|partition| partition.leader_epoch = -1);
    }
}
