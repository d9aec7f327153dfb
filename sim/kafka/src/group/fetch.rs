//! `OffsetFetch`: where to go on reading. With `require_stable` (KIP-447) it waits for what is being written, and tells
//! of offsets whose transaction is open.
//!
//! Real: `OffsetMetadataManager.fetchOffsets`, `fetchAllOffsets`.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::protocol::StrBytes;

use super::Coordinator;
use super::state::Group;
use super::writes::Waiting;
use crate::broker::ReplyTo;
use crate::cluster::TopicPartition;
use crate::coordination::Todo;

impl Coordinator {
    pub(super) fn fetch_offsets(&mut self, reply: ReplyTo, request: OffsetFetchRequest, todo: &mut Todo) {
        let mut barriers = Vec::new();
        if request.require_stable {
            let partitions =
                request.groups.iter().filter_map(|wanted| self.check_group(&wanted.group_id).ok());
            barriers.extend(partitions.filter_map(|partition| self.writes.last(partition)));
        }
        self.fetch_after(reply, request, barriers, todo);
    }

    /// Answers when the last of these writes is there.
    pub(super) fn fetch_after(
        &mut self,
        reply: ReplyTo,
        request: OffsetFetchRequest,
        mut barriers: Vec<u64>,
        todo: &mut Todo,
    ) {
        barriers.retain(|ticket| self.writes.is_under_way(*ticket));
        match barriers.pop() {
            Some(ticket) => self.writes.wait(ticket, Waiting::Fetch { reply, request, barriers }),
            None => todo.outputs.push(reply.respond(self.read_offsets(request, None))),
        }
    }

    /// What is committed. A write that should have been there, and is not, makes its partition's groups look elsewhere.
    pub(super) fn read_offsets(
        &self,
        request: OffsetFetchRequest,
        failed_partition: Option<i32>,
    ) -> OffsetFetchResponse {
        let require_stable = request.require_stable;
        let groups = request.groups.into_iter().map(|wanted| {
            let checked = match self.check_group(&wanted.group_id) {
                Ok(partition) if failed_partition == Some(partition) => Err(ResponseError::NotCoordinator),
                other => other,
            };
            match checked {
                Ok(_) => self.read_group(wanted, require_stable),
                Err(error) => OffsetFetchResponseGroup::default()
                    .with_group_id(wanted.group_id)
                    .with_error_code(error.code()),
            }
        });
        OffsetFetchResponse::default().with_groups(groups.collect())
    }

    fn read_group(&self, wanted: OffsetFetchRequestGroup, require_stable: bool) -> OffsetFetchResponseGroup {
        let group = self.groups.get(&wanted.group_id);
        let topics = match wanted.topics {
            Some(topics) => topics
                .into_iter()
                .map(|topic| {
                    let partitions = topic.partition_indexes.iter().map(|index| {
                        let at = TopicPartition { topic: topic.name.clone(), partition: *index };
                        read_offset(group, &at, require_stable)
                    });
                    let partitions = partitions.collect();
                    OffsetFetchResponseTopics::default().with_name(topic.name).with_partitions(partitions)
                })
                .collect(),
            None => group.map_or_else(Vec::new, |group| group.read_all(require_stable)),
        };
        OffsetFetchResponseGroup::default().with_group_id(wanted.group_id).with_topics(topics)
    }
}

fn read_offset(
    group: Option<&Group>,
    at: &TopicPartition,
    require_stable: bool,
) -> OffsetFetchResponsePartitions {
    let nothing = OffsetFetchResponsePartitions::default()
        .with_partition_index(at.partition)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::default()));
    let Some(group) = group else { return nothing };
    if require_stable && group.is_unstable(at) {
        return nothing.with_error_code(ResponseError::UnstableOffsetCommit.code());
    }
    match group.offsets.get(at) {
        None => nothing,
        Some(committed) => nothing
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_metadata(Some(committed.metadata.clone())),
    }
}

impl Group {
    fn read_all(&self, require_stable: bool) -> Vec<OffsetFetchResponseTopics> {
        let mut topics: Vec<OffsetFetchResponseTopics> = Vec::new();
        for at in self.offsets.keys() {
            let partition = read_offset(Some(self), at, require_stable);
            match topics.last_mut() {
                Some(last) if last.name == at.topic => last.partitions.push(partition),
                _ => topics.push(
                    OffsetFetchResponseTopics::default()
                        .with_name(at.topic.clone())
                        .with_partitions(vec![partition]),
                ),
            }
        }
        topics
    }
}
