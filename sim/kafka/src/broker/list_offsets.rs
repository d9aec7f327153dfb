//! `ListOffsets`: earliest, latest, newest timestamp, and the first record at or after a time.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use super::{Broker, check_leader_epoch};

/// Asks for the offset of the next record to be written.
pub const LATEST_TIMESTAMP: i64 = -1;
/// Asks for the log's first offset.
pub const EARLIEST_TIMESTAMP: i64 = -2;
/// Asks for the record with the newest timestamp (KIP-734).
pub const MAX_TIMESTAMP: i64 = -3;

impl Broker {
    pub(super) fn list_offsets(&self, request: ListOffsetsRequest) -> ListOffsetsResponse {
        let (isolation_level, is_follower) = (request.isolation_level, request.replica_id.0 >= 0);
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| {
                let response =
                    ListOffsetsPartitionResponse::default().with_partition_index(wanted.partition_index);
                match self.list_offset(isolation_level, is_follower, &topic.name, wanted) {
                    Ok((timestamp, offset, epoch)) => {
                        response.with_timestamp(timestamp).with_offset(offset).with_leader_epoch(epoch)
                    }
                    Err(error) => response.with_error_code(error.code()),
                }
            });
            let partitions = partitions.collect();
            ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }

    /// Timestamp, offset and leader epoch; -1 for all where there is no such record. Nothing is found beyond what the reader
    /// may read.
    fn list_offset(
        &self,
        isolation_level: i8,
        is_follower: bool,
        topic: &TopicName,
        wanted: &ListOffsetsPartition,
    ) -> Result<(i64, i64, i32), ResponseError> {
        let (_, replica) = self.led(topic, wanted.partition_index)?;
        check_leader_epoch(replica, wanted.current_leader_epoch)?;
        let log = &replica.log;
        let end = match isolation_level {
            _ if is_follower => log.end_offset(),
            0 => replica.high_watermark,
            _ => replica.last_stable_offset(),
        };
        let epoch_of = |offset: i64| log.epochs.of(offset).unwrap_or(-1);
        let record = |found: Option<(i64, i64)>| match found.filter(|(_, offset)| *offset < end) {
            Some((timestamp, offset)) => (timestamp, offset, epoch_of(offset)),
            None => (-1, -1, -1),
        };
        // A new leader does not know how far the old one's consumers have read until followers have fetched from it.
        let is_behind = replica.leading().is_some_and(|leading| replica.high_watermark < leading.epoch_start);
        if is_behind && !is_follower && wanted.timestamp != EARLIEST_TIMESTAMP {
            return Err(ResponseError::OffsetNotAvailable);
        }
        match wanted.timestamp {
            LATEST_TIMESTAMP => Ok((-1, end, replica.leader_epoch)),
            EARLIEST_TIMESTAMP => Ok((-1, log.start_offset(), epoch_of(log.start_offset()))),
            MAX_TIMESTAMP => Ok(record(log.offset_of_max_timestamp())),
            timestamp if timestamp >= 0 => Ok(record(log.offset_for_timestamp(timestamp))),
            _ => Err(ResponseError::UnsupportedVersion),
        }
    }
}
