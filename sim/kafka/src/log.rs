//! The log of one partition: batches in segments, offsets, reads, look-up by time, retention.
//!
//! Fakes a log on a disk that never fails and is always flushed: it survives a crash as it is. Omits compaction,
//! `retention.bytes` and index files; the high watermark is the log's end, since the leader is the only replica.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::cluster::{MessageTimestampType, TimestampMs, TopicSpec};
use crate::records::{BatchHeader, decode_batch, stamp};

/// The offset is outside of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfRange;

struct StoredBatch {
    last_offset: i64,
    max_timestamp: TimestampMs,
    bytes: Bytes,
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
}

/// What an append did.
pub(crate) struct Appended {
    pub base_offset: i64,
    /// -1 unless the topic uses `LogAppendTime`.
    pub log_append_time: TimestampMs,
    pub records: Bytes,
}

impl Log {
    pub fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// One past the last record; here also the high watermark and the last stable offset.
    pub fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// There is no segment.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Appends a validated batch.
    pub fn append(
        &mut self,
        now: TimestampMs,
        spec: &TopicSpec,
        leader_epoch: i32,
        header: &BatchHeader,
        batch: Bytes,
    ) -> Appended {
        let append_time = (spec.message_timestamp_type == MessageTimestampType::LogAppendTime).then_some(now);
        let base_offset = self.end_offset;
        let last_offset = base_offset + i64::from(header.last_offset_delta);
        let max_timestamp = append_time.unwrap_or(header.max_timestamp);
        let bytes = stamp(batch, base_offset, leader_epoch, append_time);

        if self.must_roll(spec, bytes.len(), max_timestamp) {
            self.segments.push_back(Segment {
                batches: Vec::new(),
                size: 0,
                max_timestamp,
                first_timestamp: max_timestamp,
            });
        }
        let segment = self.segments.back_mut().expect("the first append rolls a segment");
        segment.size += bytes.len();
        segment.max_timestamp = segment.max_timestamp.max(max_timestamp);
        segment.batches.push(StoredBatch { last_offset, max_timestamp, bytes: bytes.clone() });
        self.end_offset = last_offset + 1;
        Appended { base_offset, log_append_time: append_time.unwrap_or(-1), records: bytes }
    }

    fn must_roll(&self, spec: &TopicSpec, size: usize, timestamp: TimestampMs) -> bool {
        let limit = usize::try_from(spec.segment_bytes).unwrap_or(usize::MAX);
        self.segments.back().is_none_or(|active| {
            active.size + size > limit || timestamp - active.first_timestamp > spec.segment_ms
        })
    }

    fn in_range(&self, offset: i64) -> Result<(), OutOfRange> {
        if offset < self.start_offset || offset > self.end_offset { Err(OutOfRange) } else { Ok(()) }
    }

    /// Stored batches from the one that holds `offset` on (or the next one, where offsets are sparse).
    fn batches_from(&self, offset: i64) -> impl Iterator<Item = &StoredBatch> {
        let ends_before =
            |segment: &Segment| segment.batches.last().is_none_or(|batch| batch.last_offset < offset);
        let first = self.segments.partition_point(ends_before);
        self.segments.range(first..).flat_map(move |segment| {
            let from = segment.batches.partition_point(|batch| batch.last_offset < offset);
            &segment.batches[from..]
        })
    }

    /// Bytes that a fetch at `offset` could have, counted up to `enough`.
    pub fn available(&self, offset: i64, enough: usize) -> Result<usize, OutOfRange> {
        self.in_range(offset)?;
        let mut sum = 0;
        for batch in self.batches_from(offset) {
            sum += batch.bytes.len();
            if sum >= enough {
                break;
            }
        }
        Ok(sum)
    }

    /// Whole batches from `offset` on, at most `max_bytes`; with `at_least_one` the first batch always comes
    /// (KIP-74). A single batch is not copied.
    pub fn read(&self, offset: i64, max_bytes: usize, at_least_one: bool) -> Result<Bytes, OutOfRange> {
        self.in_range(offset)?;
        let mut size = 0;
        let mut chosen: Vec<&Bytes> = Vec::new();
        for batch in self.batches_from(offset) {
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
        let max = self.segments.iter().map(|segment| segment.max_timestamp).max()?;
        self.offset_for_timestamp(max)
    }

    /// Deletes segments, oldest first, whose newest record is older than `retention.ms`; also the active one. True if
    /// there were any.
    pub fn expire(&mut self, now: TimestampMs, retention_ms: i64) -> bool {
        let start_offset = self.start_offset;
        while self.expires_at(retention_ms).is_some_and(|expires_at| expires_at <= now) {
            let deleted = self.segments.pop_front().expect("it expires");
            let last = deleted.batches.last().expect("segments are rolled for a batch");
            self.start_offset = self.start_offset.max(last.last_offset + 1);
        }
        self.start_offset > start_offset
    }

    /// When [`Log::expire`] would delete the first segment, if nothing is appended to it meanwhile.
    pub fn expires_at(&self, retention_ms: i64) -> Option<TimestampMs> {
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
    }
}
