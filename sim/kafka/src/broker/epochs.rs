//! `OffsetForLeaderEpoch` (KIP-320): where an epoch ended in the leader's log, so that a consumer sees a truncation.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, TopicName};

use super::{Broker, check_leader_epoch};

impl Broker {
    pub(super) fn offsets_for_leader_epochs(
        &self,
        request: OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| {
                let response = EpochEndOffset::default().with_partition(wanted.partition);
                match self.end_of_epoch(&topic.topic, wanted) {
                    Ok((epoch, offset)) => response.with_leader_epoch(epoch).with_end_offset(offset),
                    Err(error) => response.with_error_code(error.code()),
                }
            });
            let partitions = partitions.collect();
            OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    }

    fn end_of_epoch(
        &self,
        topic: &TopicName,
        wanted: &OffsetForLeaderPartition,
    ) -> Result<(i32, i64), ResponseError> {
        let (_, replica) = self.led(topic, wanted.partition)?;
        check_leader_epoch(replica, wanted.current_leader_epoch)?;
        Ok(replica.log.epochs.end_of(wanted.leader_epoch, replica.log.end_offset()))
    }
}
