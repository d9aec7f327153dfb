//! What a host with a disk of its own has of a log, what it lacks, and a log made of what it has.
//!
//! Leader epochs are read from the batches: a log that is empty has forgotten its last one (Kafka keeps them in a file).

use bytes::{Bytes, BytesMut};

use super::Log;
use crate::cluster::{TimestampMs, TopicSpec};
use crate::records::BatchHeader;

/// What was given to the host so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Saved {
    start: i64,
    end: i64,
    /// Up to here the log is still what was given.
    valid: i64,
    /// Nothing of what was given is there any more.
    forget: bool,
}

impl Saved {
    pub fn cut(&mut self, end_offset: i64) {
        self.valid = self.valid.min(end_offset);
    }

    pub fn forgotten(self) -> Saved {
        Saved { forget: true, ..self }
    }
}

/// What to do to a saved log, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogChanges {
    /// Drop every batch that reaches this offset or more.
    pub cut_to: Option<i64>,
    /// The log begins here: drop every batch that is all below.
    pub start: Option<i64>,
    /// Append these.
    pub batches: Bytes,
}

/// A log as it was saved.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SavedLog {
    pub start: i64,
    pub batches: Vec<Bytes>,
    pub high_watermark: i64,
}

impl SavedLog {
    pub fn cut_to(&mut self, offset: i64) {
        while self.batches.pop_if(|batch| last_offset(batch) >= offset).is_some() {}
    }

    pub fn start_at(&mut self, start: i64) {
        self.start = start;
        self.batches.retain(|batch| last_offset(batch) >= start);
    }
}

fn last_offset(batch: &Bytes) -> i64 {
    BatchHeader::read(batch).map_or(i64::MAX, |header| header.last_offset())
}

impl Log {
    /// What was done to the log since the last time.
    pub fn take_unsaved(&mut self) -> Option<LogChanges> {
        let Saved { start, end, valid, forget } = self.saved;
        if !forget && valid == end && end == self.end_offset && start == self.start_offset {
            return None;
        }
        let valid = if forget { i64::MIN } else { valid };
        let mut batches = BytesMut::new();
        for batch in self.batches_from(valid.max(self.start_offset)) {
            if batch.base_offset >= valid {
                batches.extend_from_slice(&batch.bytes);
            }
        }
        let (start_offset, end_offset) = (self.start_offset, self.end_offset);
        self.saved = Saved { start: start_offset, end: end_offset, valid: end_offset, forget: false };
        Some(LogChanges {
            cut_to: (valid < end).then_some(valid),
            start: (start != start_offset || forget).then_some(start_offset),
            batches: batches.freeze(),
        })
    }

    /// A log of what was saved of it. All of it is on the disk.
    pub fn restored(now: TimestampMs, spec: &TopicSpec, saved: &SavedLog) -> Log {
        let mut log = Log::default();
        let first = saved.batches.first().and_then(|batch| BatchHeader::read(batch));
        log.start_over_at(first.map_or(saved.start, |header| header.base_offset.min(saved.start)));
        for batch in &saved.batches {
            let header = BatchHeader::read(batch).expect("it was checked when it was read");
            log.append_copy(now, spec, &header, batch.clone());
        }
        log.delete_before(saved.start);
        log.flush();
        log
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{RecordView, encode_batch};

    /// A disk that does what it is told.
    fn save(log: &mut Log, disk: &mut SavedLog) -> bool {
        let Some(changes) = log.take_unsaved() else { return false };
        if let Some(offset) = changes.cut_to {
            disk.cut_to(offset);
        }
        if let Some(start) = changes.start {
            disk.start_at(start);
        }
        let mut batches = changes.batches;
        while let Some(batch) = crate::records::next_batch(&mut batches) {
            disk.batches.push(batch);
        }
        assert!(batches.is_empty());
        true
    }

    fn append(log: &mut Log, spec: &TopicSpec, epoch: i32, records: usize) {
        let record = || RecordView { timestamp: 1, key: None, value: Some(b"v"), headers: &[] };
        let records: Vec<RecordView<'_>> = (0..records).map(|_| record()).collect();
        let batch = encode_batch(&records, None);
        let header = BatchHeader::validate(&batch).expect("valid");
        log.append((0, 0), spec, epoch, &header, batch);
    }

    fn same(log: &Log, disk: &SavedLog, spec: &TopicSpec) {
        let restored = Log::restored(0, spec, disk);
        let range = |log: &Log| (log.start_offset(), log.end_offset());
        assert_eq!(range(&restored), range(log));
        if log.segments() > 0 {
            assert_eq!(restored.epochs, log.epochs);
        }
        let bytes = |log: &Log| -> Vec<Bytes> {
            log.batches_from(log.start_offset()).map(|batch| batch.bytes.clone()).collect()
        };
        assert_eq!(bytes(&restored), bytes(log));
    }

    #[test]
    fn whatever_is_done_to_a_log_is_saved() {
        let spec = TopicSpec { segment_bytes: 150, ..TopicSpec::new("t", 1) };
        let (mut log, mut disk) = (Log::default(), SavedLog::default());
        let steps: [&dyn Fn(&mut Log); 9] = [
            &|log| append(log, &spec, 0, 3),
            &|log| append(log, &spec, 0, 1),
            &|log| {
                log.truncate_to(3);
            },
            &|log| append(log, &spec, 1, 5),
            &|log| log.delete_before(4),
            &|log| {
                log.truncate_to(3);
                append(log, &spec, 2, 2);
                append(log, &spec, 2, 2);
            },
            &|log| log.start_over_at(100),
            &|log| {
                append(log, &spec, 3, 4);
                log.start_over_at(200);
                append(log, &spec, 4, 1);
            },
            &|log| log.delete_before(201),
        ];
        for step in steps {
            step(&mut log);
            assert!(save(&mut log, &mut disk));
            same(&log, &disk, &spec);
            assert!(!save(&mut log, &mut disk), "nothing is left");
        }
    }

    #[test]
    fn a_restored_log_is_unsaved_as_a_whole() {
        let spec = TopicSpec::new("t", 1);
        let (mut log, mut disk) = (Log::default(), SavedLog::default());
        append(&mut log, &spec, 0, 3);
        log.delete_before(1);
        save(&mut log, &mut disk);
        let mut restored = Log::restored(0, &spec, &disk);
        let mut fresh = SavedLog::default();
        assert!(save(&mut restored, &mut fresh));
        assert_eq!(fresh, disk);
    }
}
