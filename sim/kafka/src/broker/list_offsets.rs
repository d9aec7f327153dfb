//! `ListOffsets`: earliest, latest, newest timestamp, and the first record at or after a time.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use super::Broker;

/// Asks for the offset of the next record to be written.
pub const LATEST_TIMESTAMP: i64 = -1;
/// Asks for the log's first offset.
pub const EARLIEST_TIMESTAMP: i64 = -2;
/// Asks for the record with the newest timestamp (KIP-734).
pub const MAX_TIMESTAMP: i64 = -3;

impl Broker {
    pub(super) fn list_offsets(&self, request: ListOffsetsRequest) -> ListOffsetsResponse {
        let isolation_level = request.isolation_level;
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| {
                let response =
                    ListOffsetsPartitionResponse::default().with_partition_index(wanted.partition_index);
                match self.list_offset(isolation_level, &topic.name, wanted) {
                    Ok((timestamp, offset)) => response
                        .with_timestamp(timestamp)
                        .with_offset(offset)
                        .with_leader_epoch(if offset < 0 { -1 } else { self.leader_epoch }),
                    Err(error) => response.with_error_code(error.code()),
                }
            });
            let partitions = partitions.collect();
            ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }

    /// (timestamp, offset); -1 for both where there is no such record.
    fn list_offset(
        &self,
        isolation_level: i8,
        topic: &TopicName,
        wanted: &ListOffsetsPartition,
    ) -> Result<(i64, i64), ResponseError> {
        if isolation_level != 0 {
            return Err(ResponseError::UnsupportedVersion);
        }
        self.check_leader_epoch(wanted.current_leader_epoch)?;
        let (_, partition) = self.partition(topic, wanted.partition_index)?;
        let log = &partition.log;
        match wanted.timestamp {
            LATEST_TIMESTAMP => Ok((-1, log.end_offset())),
            EARLIEST_TIMESTAMP => Ok((-1, log.start_offset())),
            MAX_TIMESTAMP => Ok(log.offset_of_max_timestamp().unwrap_or((-1, -1))),
            timestamp if timestamp >= 0 => Ok(log.offset_for_timestamp(timestamp).unwrap_or((-1, -1))),
            _ => Err(ResponseError::UnsupportedVersion),
        }
    }
}
