//! Retention: logs that lose their oldest records by time, or because an administrator deletes them.
//!
//! Real: `LogManager.cleanupLogs`, `UnifiedLog.deleteOldSegments`, `KafkaApis.handleDeleteRecordsRequest`. Kafka looks every
//! `log.retention.check.interval.ms`; here the broker only wakes for the first of these times at which something can
//! have expired, so that an idle one sleeps. Deleted is deleted: no `file.delete.delay.ms`.

use kafka_protocol::ResponseError;

use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use super::leading::Moved;
use super::{Broker, Output};
use crate::cluster::{TimestampMs, TopicPartition};

impl Broker {
    /// A partition's first segment may go when the broker's clock shows `expires_at`: notes when to look.
    pub(super) fn note_expiry(&mut self, now: TimestampMs, expires_at: TimestampMs) {
        let check = self.check_after(now, expires_at);
        self.next_retention_check = Some(self.next_retention_check.map_or(check, |next| next.min(check)));
    }

    /// The first retention check after `now` that finds what expires when the clock shows `expires_at`.
    fn check_after(&self, now: TimestampMs, expires_at: TimestampMs) -> TimestampMs {
        let interval_ms = self.config.log_retention_check_interval_ms.max(1);
        let expires_at = expires_at.saturating_sub(self.clock_ahead_ms);
        let earliest = expires_at.max(now.saturating_add(1));
        earliest.saturating_add(interval_ms - 1).div_euclid(interval_ms).saturating_mul(interval_ms)
    }

    pub(super) fn check_retention(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        if self.next_retention_check.is_some_and(|check| check <= now) {
            outputs.extend(self.expire(now));
        }
    }

    /// Deletes segments past `retention.ms` or beyond `retention.bytes`, and producer state past
    /// `producer.id.expiration.ms`. The broker does this by itself in [`Broker::tick`]. Followers delete what their leader has
    /// deleted.
    pub fn expire(&mut self, now: TimestampMs) -> Vec<Output> {
        let clock = self.clock(now);
        let mut shortened = Vec::new();
        let mut next_expiry: Option<TimestampMs> = None;
        for (name, topic) in &mut self.topics {
            for (index, replica) in (0..).zip(&mut topic.replicas) {
                let Some(replica) = replica else { continue };
                replica.producers.expire(clock, self.config.producer_id_expiration());
                if !topic.spec.cleanup_policy.deletes() || replica.leading().is_none() {
                    continue;
                }
                let high_watermark = replica.high_watermark;
                let expired = replica.log.expire(clock, topic.spec.retention_ms, high_watermark);
                if replica.log.outgrow(topic.spec.retention_bytes, high_watermark) || expired {
                    replica.producers.log_start_moved(replica.log.start_offset());
                    shortened.push(TopicPartition { topic: name.clone(), partition: index });
                }
                let expiry = replica.log.shrinks_at(&topic.spec);
                next_expiry = next_expiry.into_iter().chain(expiry).min();
            }
        }
        self.next_retention_check = next_expiry.map(|expiry| self.check_after(now, expiry));
        let mut outputs = Vec::new();
        for at in shortened {
            self.wake(&at, Moved::State, &mut outputs);
        }
        outputs
    }

    /// A partition is led here from now on, or set anew: its segments expire here.
    pub(super) fn note_first_expiry(&mut self, now: TimestampMs, at: &TopicPartition) {
        let Ok((spec, replica)) = self.led(&at.topic, at.partition) else { return };
        if let Some(expires_at) = replica.log.shrinks_at(spec) {
            self.note_expiry(now, expires_at);
        }
    }

    /// `DeleteRecords`: the log of a partition led here starts at `before_offset` from now on (-1: at the high watermark). An
    /// earlier offset than its start changes nothing, a later one than the high watermark is out of range.
    pub fn delete_records(
        &mut self,
        at: &TopicPartition,
        before_offset: i64,
    ) -> Result<Vec<Output>, ResponseError> {
        let (_, replica) = self.led_mut(&at.topic, at.partition)?;
        let before_offset = if before_offset == -1 { replica.high_watermark } else { before_offset };
        if before_offset < 0 || before_offset > replica.high_watermark {
            return Err(ResponseError::OffsetOutOfRange);
        }
        replica.log.delete_before(before_offset);
        replica.producers.log_start_moved(replica.log.start_offset());
        let mut outputs = Vec::new();
        self.wake(at, Moved::State, &mut outputs);
        Ok(outputs)
    }

    pub(super) fn delete_records_request(
        &mut self,
        request: DeleteRecordsRequest,
        outputs: &mut Vec<Output>,
    ) -> DeleteRecordsResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| {
                let at = TopicPartition { topic: topic.name.clone(), partition: wanted.partition_index };
                let result =
                    DeleteRecordsPartitionResult::default().with_partition_index(wanted.partition_index);
                match self.delete_records(&at, wanted.offset) {
                    Ok(woken) => {
                        outputs.extend(woken);
                        let start = self.log_range(&at).map_or(-1, |(start, _)| start);
                        result.with_low_watermark(start)
                    }
                    Err(error) => result.with_low_watermark(-1).with_error_code(error.code()),
                }
            });
            let partitions = partitions.collect();
            DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions)
        });
        DeleteRecordsResponse::default().with_topics(topics.collect())
    }

    /// The first offset of a partition led here whose record is not older than `timestamp`; the log's end where all are.
    /// With [`Broker::delete_records`] this is retention down to a time.
    pub fn offset_at(&self, at: &TopicPartition, timestamp: TimestampMs) -> Option<i64> {
        let (_, found) = self.led(&at.topic, at.partition).ok()?;
        Some(found.log.offset_for_timestamp(timestamp).map_or(found.log.end_offset(), |(_, offset)| offset))
    }
}
