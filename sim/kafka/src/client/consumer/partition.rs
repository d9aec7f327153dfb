//! What a consumer knows of an assigned partition: where it is, what it has fetched, and what it waits for.

use std::collections::VecDeque;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::AbortedTransaction;

use super::ConsumerRecord;
use super::isolation::Aborted;
use crate::records::{Corrupt, decode_batch, next_batch};

#[derive(Default)]
pub(super) struct Partition {
    /// The next record to deliver. `None`: waits for a reset, or for the host to seek.
    pub position: Option<i64>,
    /// Leader epoch of the last batch fetched, or committed with the offset; -1 where it is not known.
    pub epoch: i32,
    pub paused: bool,
    pub needs_reset: bool,
    /// The leader is another since: is what was read still in its log?
    pub needs_validation: bool,
    /// Looked up once per metadata, with its epoch: looking for work is done at every step.
    pub leader: Option<(i32, i32)>,
    /// The newest leader epoch that the position was held against.
    leader_epoch_seen: i32,
    /// Fetched and not delivered.
    buffer: VecDeque<ConsumerRecord>,
    /// The position once the buffer is empty: past offsets that have no record.
    after_buffer: i64,
    /// Where the log began and ended (for the isolation level) when it was last fetched.
    pub watermarks: Option<(i64, i64)>,
}

impl Partition {
    pub fn at(position: Option<i64>, epoch: i32) -> Partition {
        Partition { position, epoch, leader_epoch_seen: epoch, ..Partition::default() }
    }

    /// There is a leader. One of a newer epoch may have another log than was read.
    pub fn led_by(&mut self, broker: i32, epoch: i32, validate: bool) {
        self.leader = Some((broker, epoch));
        if epoch > self.leader_epoch_seen {
            self.leader_epoch_seen = epoch;
            self.needs_validation |= validate && self.epoch >= 0;
        }
    }

    pub fn seek(&mut self, offset: i64) {
        self.position = Some(offset);
        self.epoch = -1;
        self.needs_reset = false;
        self.needs_validation = false;
        self.buffer.clear();
    }

    /// Where to go on fetching; `None` while the position is not known.
    pub fn fetch_offset(&self) -> Option<i64> {
        self.position.map(|position| if self.buffer.is_empty() { position } else { self.after_buffer })
    }

    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Takes over what a fetch brought for the current fetch offset, without records of the aborted transactions.
    pub fn fill(
        &mut self,
        from: i64,
        mut bytes: Bytes,
        aborted: Vec<AbortedTransaction>,
    ) -> Result<(), Corrupt> {
        let mut next = from;
        let mut aborted = Aborted::new(aborted);
        while let Some(batch) = next_batch(&mut bytes) {
            let (header, records) = decode_batch(&batch)?;
            if aborted.shows(&header, &records) {
                self.buffer.extend(records.into_iter().filter(|record| record.offset >= from));
            }
            next = header.last_offset() + 1;
            self.epoch = leader_epoch(&batch);
        }
        self.after_buffer = next;
        if self.buffer.is_empty() {
            self.position = Some(next);
        }
        Ok(())
    }

    pub fn take(&mut self, max_records: usize) -> Vec<ConsumerRecord> {
        let count = self.buffer.len().min(max_records.max(1));
        let records: Vec<ConsumerRecord> = self.buffer.drain(..count).collect();
        let next = self.buffer.front().map_or(self.after_buffer, |record| record.offset);
        self.position = Some(next);
        records
    }

    /// Drops what cannot be delivered, and waits for a seek.
    pub fn stand_still(&mut self) {
        self.position = None;
        self.needs_validation = false;
        self.buffer.clear();
    }

    /// The log of the epoch that was read ends at `end`: what was fetched from there on never was. The position, if that
    /// is gone too.
    pub fn truncate(&mut self, end: i64) -> Option<i64> {
        self.needs_validation = false;
        let fetched = self.fetch_offset().filter(|offset| *offset > end)?;
        self.buffer.retain(|record| record.offset < end);
        self.after_buffer = end.min(fetched);
        self.position.filter(|position| *position > end)
    }
}

/// The epoch of the leader that appended a batch.
fn leader_epoch(batch: &Bytes) -> i32 {
    const PARTITION_LEADER_EPOCH: usize = 12;
    let bytes = batch[PARTITION_LEADER_EPOCH..PARTITION_LEADER_EPOCH + 4].try_into();
    i32::from_be_bytes(bytes.expect("a batch was decoded"))
}
