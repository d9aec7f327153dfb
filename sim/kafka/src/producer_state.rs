//! What a leader remembers of the idempotent producers of one partition (KIP-98, KIP-360).
//!
//! Real: `ProducerStateManager`, `ProducerAppendInfo`, `ProducerStateEntry`. The state survives a crash whole, as
//! if a snapshot had been taken at every append. Seam for transactions: an open transaction's first offset and the
//! coordinator's epoch belong into [`Entry`].

use std::collections::{BTreeMap, VecDeque};

use kafka_protocol::ResponseError;

use crate::cluster::TimestampMs;
use crate::records::BatchHeader;

/// Batches of which a repetition is recognised.
const BATCHES_KEPT: usize = 5;

struct BatchMetadata {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

struct Entry {
    epoch: i16,
    batches: VecDeque<BatchMetadata>,
    last_append: TimestampMs,
}

#[derive(Default)]
pub(crate) struct ProducerStates {
    entries: BTreeMap<i64, Entry>,
}

/// What to do with a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is in the log already, from this offset on.
    Duplicate {
        base_offset: i64,
    },
}

impl ProducerStates {
    /// Judges a batch. A repetition is found before epoch and sequence are checked; without any state for the
    /// producer, any first sequence is accepted.
    pub fn check(
        &self,
        now: TimestampMs,
        expiration_ms: i64,
        header: &BatchHeader,
    ) -> Result<Verdict, ResponseError> {
        if header.producer_id < 0 {
            return Ok(Verdict::Append);
        }
        let known =
            self.entries.get(&header.producer_id).filter(|entry| now - entry.last_append <= expiration_ms);
        let Some(entry) = known else {
            return Ok(Verdict::Append);
        };
        if header.producer_epoch == entry.epoch {
            let last_sequence = last_sequence(header);
            let duplicate = entry.batches.iter().find(|batch| {
                batch.first_sequence == header.base_sequence && batch.last_sequence == last_sequence
            });
            if let Some(batch) = duplicate {
                return Ok(Verdict::Duplicate { base_offset: batch.base_offset });
            }
        }
        if header.producer_epoch < entry.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        let expected = if header.producer_epoch > entry.epoch {
            0
        } else {
            entry.batches.back().map_or(0, |batch| add_sequence(batch.last_sequence, 1))
        };
        if header.base_sequence != expected {
            return Err(ResponseError::OutOfOrderSequenceNumber);
        }
        Ok(Verdict::Append)
    }

    /// Remembers a batch that was appended.
    pub fn appended(&mut self, now: TimestampMs, header: &BatchHeader, base_offset: i64) {
        if header.producer_id < 0 {
            return;
        }
        let entry = self.entries.entry(header.producer_id).or_insert_with(|| Entry {
            epoch: header.producer_epoch,
            batches: VecDeque::with_capacity(BATCHES_KEPT),
            last_append: now,
        });
        let starts_over = entry.epoch != header.producer_epoch
            || entry
                .batches
                .back()
                .is_some_and(|last| add_sequence(last.last_sequence, 1) != header.base_sequence);
        if starts_over {
            entry.batches.clear();
        }
        if entry.batches.len() == BATCHES_KEPT {
            entry.batches.pop_front();
        }
        entry.epoch = header.producer_epoch;
        entry.last_append = now;
        let (first_sequence, last_sequence) = (header.base_sequence, last_sequence(header));
        entry.batches.push_back(BatchMetadata { first_sequence, last_sequence, base_offset });
    }

    /// `producer.id.expiration.ms`.
    pub fn expire(&mut self, now: TimestampMs, expiration_ms: i64) {
        self.entries.retain(|_, entry| now - entry.last_append <= expiration_ms);
    }
}

fn last_sequence(header: &BatchHeader) -> i32 {
    add_sequence(header.base_sequence, header.last_offset_delta)
}

/// Sequences are counted modulo 2^31: after `i32::MAX` comes 0.
pub fn add_sequence(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}
