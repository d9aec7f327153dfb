//! Retention: logs that lose their oldest records by time, or because an administrator deletes them.
//!
//! Real: `LogManager.cleanupLogs`, `UnifiedLog.deleteOldSegments`, `KafkaApis.handleDeleteRecordsRequest`. Kafka looks every
//! `log.retention.check.interval.ms`; here the broker only wakes for the first of these times at which something can
//! have expired, so that an idle one sleeps. Deleted is deleted: no `file.delete.delay.ms`.

use kafka_protocol::ResponseError;

use super::{Broker, Output};
use crate::cluster::{CleanupPolicy, TimestampMs, TopicPartition};

impl Broker {
    /// A partition's first segment may expire when the broker's clock shows `expires_at`: notes when to look.
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

    /// Deletes segments past `retention.ms`, and producer state past `producer.id.expiration.ms`. The broker does this by
    /// itself in [`Broker::tick`].
    pub fn expire(&mut self, now: TimestampMs) -> Vec<Output> {
        let clock = self.clock(now);
        let mut shortened = Vec::new();
        let mut next_expiry: Option<TimestampMs> = None;
        for (name, topic) in &mut self.topics {
            for (index, partition) in (0..).zip(&mut topic.partitions) {
                let Some(partition) = partition else { continue };
                partition.producers.expire(clock, self.config.producer_id_expiration_ms);
                if topic.spec.cleanup_policy != CleanupPolicy::Delete {
                    continue;
                }
                if partition.log.expire(clock, topic.spec.retention_ms) {
                    shortened.push(TopicPartition { topic: name.clone(), partition: index });
                }
                let expiry = partition.log.expires_at(topic.spec.retention_ms);
                next_expiry = next_expiry.into_iter().chain(expiry).min();
            }
        }
        self.next_retention_check = next_expiry.map(|expiry| self.check_after(now, expiry));
        let mut outputs = Vec::new();
        self.wake_fetches(&shortened, &mut outputs);
        outputs
    }

    /// `DeleteRecords`: the log of a partition led here starts at `before_offset` from now on (-1: at its end). An earlier
    /// offset than its start changes nothing, a later one than its end is out of range.
    pub fn delete_records(
        &mut self,
        at: &TopicPartition,
        before_offset: i64,
    ) -> Result<Vec<Output>, ResponseError> {
        self.partition(&at.topic, at.partition)?;
        let slot = usize::try_from(at.partition).ok();
        let topic = self.topics.get_mut(&at.topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let partition = slot.and_then(|slot| topic.partitions.get_mut(slot)).and_then(Option::as_mut);
        let log = &mut partition.ok_or(ResponseError::NotLeaderOrFollower)?.log;
        let before_offset = if before_offset == -1 { log.end_offset() } else { before_offset };
        if before_offset < 0 || before_offset > log.end_offset() {
            return Err(ResponseError::OffsetOutOfRange);
        }
        log.delete_before(before_offset);
        let mut outputs = Vec::new();
        self.wake_fetches(std::slice::from_ref(at), &mut outputs);
        Ok(outputs)
    }

    /// The first offset of a partition led here whose record is not older than `timestamp`; the log's end where all are.
    /// With [`Broker::delete_records`] this is retention down to a time.
    pub fn offset_at(&self, at: &TopicPartition, timestamp: TimestampMs) -> Option<i64> {
        let (_, found) = self.partition(&at.topic, at.partition).ok()?;
        Some(found.log.offset_for_timestamp(timestamp).map_or(found.log.end_offset(), |(_, offset)| offset))
    }
}
