//! The log of one partition: batches in segments, offsets, reads, look-up by time, retention, compaction.
//!
//! Fakes a log on a disk: what a process has written survives its death, what the machine has not flushed yet is lost with
//! its power. Omits index files.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::cluster::{MessageTimestampType, TimestampMs, TopicSpec};
use crate::epochs::LeaderEpochs;
use crate::records::{BatchHeader, decode_batch, stamp};

mod compaction;
#[cfg(feature = "tcp")]
mod saved;

#[cfg(feature = "tcp")]
pub(crate) use saved::{LogChanges, SavedLog};

/// The offset is outside of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfRange;

pub(crate) struct StoredBatch {
    pub base_offset: i64,
    pub last_offset: i64,
    max_timestamp: TimestampMs,
    /// When it came into the log, in steady time.
    appended_at: TimestampMs,
    pub bytes: Bytes,
}

impl StoredBatch {
    /// Compaction has left nothing of it but its offsets and its producer.
    fn is_empty(&self) -> bool {
        BatchHeader::read(&self.bytes).is_some_and(|header| header.records_count == 0)
    }
}

struct Segment {
    batches: Vec<StoredBatch>,
    size: usize,
    /// Largest timestamp of a record: what retention goes by, so a client's old timestamps age a segment early.
    max_timestamp: TimestampMs,
    /// Timestamp of the first batch: what `segment.ms` goes by.
    first_timestamp: TimestampMs,
}

#[derive(Default)]
pub(crate) struct Log {
    segments: VecDeque<Segment>,
    start_offset: i64,
    end_offset: i64,
    /// Everything below is on the disk, whatever happens to the machine.
    flushed: i64,
    /// Everything below was compacted before.
    first_dirty: i64,
    pub epochs: LeaderEpochs,
    #[cfg(feature = "tcp")]
    saved: saved::Saved,
}

/// What an append did.
pub(crate) struct Appended {
    pub base_offset: i64,
    /// -1 unless the topic uses `LogAppendTime`.
    pub log_append_time: TimestampMs,
}

impl Log {
    pub fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// One past the last record.
    pub fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// Appends a validated batch, as the leader: the offset and the epoch are filled in. `clock` is what the broker's clock
    /// shows, `now` steady time.
    pub fn append(
        &mut self,
        (now, clock): (TimestampMs, TimestampMs),
        spec: &TopicSpec,
        leader_epoch: i32,
        header: &BatchHeader,
        batch: Bytes,
    ) -> Appended {
        let append_time =
            (spec.message_timestamp_type == MessageTimestampType::LogAppendTime).then_some(clock);
        let base_offset = self.end_offset;
        let max_timestamp = append_time.unwrap_or(header.max_timestamp);
        let bytes = stamp(batch, base_offset, leader_epoch, append_time);
        let last_offset = base_offset + i64::from(header.last_offset_delta);
        self.epochs.assign(leader_epoch, base_offset);
        let batch = StoredBatch { base_offset, last_offset, max_timestamp, appended_at: now, bytes };
        self.store(spec, batch);
        Appended { base_offset, log_append_time: append_time.unwrap_or(-1) }
    }

    /// Appends a batch as the leader has it. False where it does not follow what is there.
    pub fn append_copy(
        &mut self,
        now: TimestampMs,
        spec: &TopicSpec,
        header: &BatchHeader,
        bytes: Bytes,
    ) -> bool {
        if header.base_offset < self.end_offset {
            let is_empty = self.start_offset == self.end_offset;
            if !is_empty || header.last_offset() < self.end_offset {
                return false;
            }
            // The log starts within a batch, since records before were deleted, and the leader sends batches whole.
            self.start_over_at(header.base_offset);
        }
        self.epochs.assign(header.leader_epoch, header.base_offset);
        let (base_offset, last_offset) = (header.base_offset, header.last_offset());
        let batch = StoredBatch {
            base_offset,
            last_offset,
            max_timestamp: header.max_timestamp,
            appended_at: now,
            bytes,
        };
        self.store(spec, batch);
        true
    }

    fn store(&mut self, spec: &TopicSpec, batch: StoredBatch) {
        if self.must_roll(spec, batch.bytes.len(), batch.max_timestamp) {
            // A segment is flushed when the next one begins.
            self.flushed = self.flushed.max(self.end_offset);
            self.segments.push_back(Segment {
                batches: Vec::new(),
                size: 0,
                max_timestamp: batch.max_timestamp,
                first_timestamp: batch.max_timestamp,
            });
        }
        let segment = self.segments.back_mut().expect("the first append rolls a segment");
        segment.size += batch.bytes.len();
        segment.max_timestamp = segment.max_timestamp.max(batch.max_timestamp);
        self.end_offset = batch.last_offset + 1;
        segment.batches.push(batch);
    }

    /// Everything below is on the disk.
    pub fn flushed(&self) -> i64 {
        self.flushed
    }

    /// The whole log is on the disk.
    pub fn flush(&mut self) {
        self.flushed = self.end_offset;
    }

    /// The machine loses its power: what was neither flushed nor written back, which takes `writeback_ms`, is gone.
    pub fn lose_power(&mut self, now: TimestampMs, writeback_ms: i64) -> Option<i64> {
        let flushed = self.flushed;
        let lost = self.batches_from(flushed).find(|batch| batch.appended_at > now - writeback_ms);
        let from = lost.map(|batch| batch.base_offset.max(flushed))?;
        self.truncate_to(from).then_some(from)
    }

    /// Drops everything from an offset on. True if there was anything.
    pub fn truncate_to(&mut self, offset: i64) -> bool {
        if offset >= self.end_offset {
            // An epoch in which this replica led and nothing was appended goes all the same.
            self.epochs.truncate_from(offset);
            return false;
        }
        let mut end_offset = offset.max(self.start_offset);
        while let Some(segment) = self.segments.back_mut() {
            while let Some(last) = segment.batches.pop_if(|batch| batch.last_offset >= end_offset) {
                segment.size -= last.bytes.len();
                end_offset = end_offset.min(last.base_offset.max(self.start_offset));
            }
            if !segment.batches.is_empty() {
                break;
            }
            self.segments.pop_back();
        }
        if let Some(active) = self.segments.back_mut() {
            active.max_timestamp = active
                .batches
                .iter()
                .map(|batch| batch.max_timestamp)
                .max()
                .unwrap_or(active.first_timestamp);
        }
        self.end_offset = end_offset;
        self.flushed = self.flushed.min(end_offset);
        self.first_dirty = self.first_dirty.min(end_offset);
        self.epochs.truncate_from(end_offset);
        #[cfg(feature = "tcp")]
        self.saved.cut(end_offset);
        true
    }

    /// Forgets everything and goes on at an offset: what the leader has begins there.
    pub fn start_over_at(&mut self, offset: i64) {
        #[cfg(feature = "tcp")]
        let saved = self.saved.forgotten();
        *self = Log {
            start_offset: offset,
            end_offset: offset,
            flushed: offset,
            #[cfg(feature = "tcp")]
            saved,
            ..Log::default()
        };
    }

    fn must_roll(&self, spec: &TopicSpec, size: usize, timestamp: TimestampMs) -> bool {
        let limit = usize::try_from(spec.segment_bytes).unwrap_or(usize::MAX);
        self.segments.back().is_none_or(|active| {
            active.size + size > limit || timestamp - active.first_timestamp > spec.roll_ms()
        })
    }

    fn in_range(&self, offset: i64) -> Result<(), OutOfRange> {
        if offset < self.start_offset || offset > self.end_offset { Err(OutOfRange) } else { Ok(()) }
    }

    /// Stored batches from the one that holds `offset` on (or the next one, where offsets are sparse).
    pub fn batches_from(&self, offset: i64) -> impl Iterator<Item = &StoredBatch> {
        let ends_before =
            |segment: &Segment| segment.batches.last().is_none_or(|batch| batch.last_offset < offset);
        let first = self.segments.partition_point(ends_before);
        self.segments.range(first..).flat_map(move |segment| {
            let from = segment.batches.partition_point(|batch| batch.last_offset < offset);
            &segment.batches[from..]
        })
    }

    /// Bytes below `end` that a fetch at `offset` could have, counted up to `enough`.
    pub fn available(&self, offset: i64, end: i64, enough: usize) -> Result<usize, OutOfRange> {
        self.in_range(offset)?;
        let mut sum = 0;
        for batch in self.batches_from(offset).take_while(|batch| batch.last_offset < end) {
            sum += batch.bytes.len();
            if sum >= enough {
                break;
            }
        }
        Ok(sum)
    }

    /// Whole batches from `offset` on that end below `end`, at most `max_bytes`; with `at_least_one` the first batch always
    /// comes (KIP-74). A single batch is not copied.
    pub fn read(
        &self,
        offset: i64,
        end: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<Bytes, OutOfRange> {
        self.in_range(offset)?;
        let mut size = 0;
        let mut chosen: Vec<&Bytes> = Vec::new();
        for batch in self.batches_from(offset).take_while(|batch| batch.last_offset < end) {
            let fits = size + batch.bytes.len() <= max_bytes || (at_least_one && chosen.is_empty());
            if !fits {
                break;
            }
            size += batch.bytes.len();
            chosen.push(&batch.bytes);
        }
        Ok(match chosen[..] {
            [] => Bytes::new(),
            [single] => single.clone(),
            _ => {
                let mut bytes = BytesMut::with_capacity(size);
                chosen.iter().for_each(|batch| bytes.extend_from_slice(batch));
                bytes.freeze()
            }
        })
    }

    /// First record whose timestamp is at or after `timestamp`, as (timestamp, offset). Timestamps need not rise.
    pub fn offset_for_timestamp(&self, timestamp: TimestampMs) -> Option<(TimestampMs, i64)> {
        self.segments
            .iter()
            .filter(|segment| segment.max_timestamp >= timestamp)
            .flat_map(|segment| &segment.batches)
            .filter(|batch| batch.max_timestamp >= timestamp)
            .find_map(|batch| {
                let (_, records) = decode_batch(&batch.bytes).expect("stored batches were validated");
                let is_there = |offset| offset >= self.start_offset;
                records.into_iter().find(|record| record.timestamp >= timestamp && is_there(record.offset))
            })
            .map(|record| (record.timestamp, record.offset))
    }

    /// The largest timestamp and the first offset that has it.
    pub fn offset_of_max_timestamp(&self) -> Option<(TimestampMs, i64)> {
        let batches = self.segments.iter().flat_map(|segment| &segment.batches);
        let max = batches.filter(|batch| !batch.is_empty()).map(|batch| batch.max_timestamp).max()?;
        self.offset_for_timestamp(max)
    }

    /// Deletes segments, oldest first, whose newest record is older than `retention.ms`; also the active one, but nothing
    /// at or above the high watermark. True if there were any.
    pub fn expire(&mut self, now: TimestampMs, retention_ms: i64, high_watermark: i64) -> bool {
        let start_offset = self.start_offset;
        let is_below = |log: &Log| {
            let last = log.segments.front().and_then(|segment| segment.batches.last());
            last.is_some_and(|batch| batch.last_offset < high_watermark)
        };
        while self.expires_at(retention_ms).is_some_and(|expires_at| expires_at <= now) && is_below(self) {
            let deleted = self.segments.pop_front().expect("it expires");
            let last = deleted.batches.last().expect("segments are rolled for a batch");
            self.start_offset = self.start_offset.max(last.last_offset + 1);
        }
        self.epochs.raise_start(self.start_offset);
        self.start_offset > start_offset
    }

    /// `retention.bytes`: deletes segments, oldest first, as long as the others are still so large, and nothing at or above
    /// the high watermark. True if there were any.
    pub fn outgrow(&mut self, retention_bytes: i64, high_watermark: i64) -> bool {
        let start_offset = self.start_offset;
        while self.is_outgrown(retention_bytes)
            && let Some(first) = self.segments.front()
            && first.batches.last().is_none_or(|last| last.last_offset < high_watermark)
        {
            self.segments.pop_front();
            let next = self.segments.front().and_then(|segment| segment.batches.first());
            self.start_offset = next.map_or(self.end_offset, |batch| batch.base_offset);
        }
        self.epochs.raise_start(self.start_offset);
        self.start_offset > start_offset
    }

    fn is_outgrown(&self, retention_bytes: i64) -> bool {
        let Ok(keep) = usize::try_from(retention_bytes) else { return false };
        let others = self.segments.iter().skip(1).map(|segment| segment.size);
        self.segments.len() > 1 && others.sum::<usize>() >= keep
    }

    /// When there is something to delete by `retention.bytes`, which is at once, or by `retention.ms`.
    pub fn shrinks_at(&self, spec: &TopicSpec) -> Option<TimestampMs> {
        match spec.cleanup_policy.deletes() {
            false => None,
            true if self.is_outgrown(spec.retention_bytes) => Some(TimestampMs::MIN),
            true => self.expires_at(spec.retention_ms),
        }
    }

    /// When [`Log::expire`] would delete the first segment, if nothing is appended to it meanwhile.
    fn expires_at(&self, retention_ms: i64) -> Option<TimestampMs> {
        let first = self.segments.front().filter(|_| retention_ms >= 0)?;
        Some(first.max_timestamp.saturating_add(retention_ms).saturating_add(1))
    }

    /// `DeleteRecords`: nothing below `offset` can be read any more; segments that are all below it are gone.
    pub fn delete_before(&mut self, offset: i64) {
        self.start_offset = self.start_offset.max(offset.min(self.end_offset));
        let start_offset = self.start_offset;
        let is_below =
            |segment: &Segment| segment.batches.last().is_some_and(|last| last.last_offset < start_offset);
        while self.segments.front().is_some_and(is_below) {
            self.segments.pop_front();
        }
        self.epochs.raise_start(self.start_offset);
    }
}
