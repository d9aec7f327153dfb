//! What a replica remembers of the producers of one partition: sequences (KIP-98, KIP-360), open transactions, the last
//! stable offset, and which batches the transaction coordinator has vouched for (KIP-890).
//!
//! Called by produce and fetch (leader), by replication (`replay`) and by whoever appends markers. Real:
//! `ProducerStateManager`, `ProducerAppendInfo`, `ProducerStateEntry`, `VerificationStateEntry`. Fakes snapshots: the state
//! is made anew from the log by [`ProducerStates::replay`], or kept as a clone. Nothing wakes up to forget producers: who
//! should be gone since the last check is passed over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kafka_protocol::ResponseError;

use crate::cluster::TimestampMs;
use crate::records::{BatchHeader, EndTxnMarker};

mod transactions;
mod verification;

use transactions::Transactions;
pub(crate) use verification::Guard;
use verification::Verifications;

/// Batches of which a repetition is recognised.
const BATCHES_KEPT: usize = 5;

/// When producers are forgotten: `producer.id.expiration.ms` and `producer.id.expiration.check.interval.ms`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expiration {
    pub after_ms: i64,
    pub check_interval_ms: i64,
}

/// "No coordinator has ended a transaction of this producer here."
const NO_COORDINATOR_EPOCH: i32 = -1;
const NO_TIMESTAMP: TimestampMs = -1;

#[derive(Clone)]
struct BatchMetadata {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

#[derive(Clone)]
struct Entry {
    epoch: i16,
    /// Of the current epoch.
    batches: VecDeque<BatchMetadata>,
    /// Where its last batch of data ends, of the current epoch.
    last_data_offset: Option<i64>,
    /// Of its last batch, as the log has it: its expiration counts from there, so that a producer with old time stamps is
    /// forgotten while it is active.
    last_timestamp: TimestampMs,
    /// When that came, by the clock.
    noted_at: TimestampMs,
    coordinator_epoch: i32,
    /// First offset of the transaction under way.
    open_since: Option<i64>,
}

impl Entry {
    fn new(epoch: i16) -> Entry {
        Entry {
            epoch,
            batches: VecDeque::with_capacity(BATCHES_KEPT),
            last_data_offset: None,
            last_timestamp: NO_TIMESTAMP,
            noted_at: NO_TIMESTAMP,
            coordinator_epoch: NO_COORDINATOR_EPOCH,
            open_since: None,
        }
    }

    /// The last check found nothing of it for long enough.
    fn is_expired(&self, now: TimestampMs, expiration: Expiration) -> bool {
        let last_check = now - now.rem_euclid(expiration.check_interval_ms.max(1));
        let is_old = last_check - self.last_timestamp >= expiration.after_ms;
        self.open_since.is_none() && self.noted_at < last_check && is_old
    }

    fn base_offset_of(&self, header: &BatchHeader) -> Option<i64> {
        if header.producer_epoch != self.epoch {
            return None;
        }
        let last_sequence = last_sequence(header);
        let duplicate = self.batches.iter().find(|batch| {
            batch.first_sequence == header.base_sequence && batch.last_sequence == last_sequence
        });
        duplicate.map(|batch| batch.base_offset)
    }

    fn begin_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.batches.clear();
            self.last_data_offset = None;
            self.epoch = epoch;
        }
    }

    fn remember(&mut self, header: &BatchHeader, base_offset: i64) {
        let follows = |last: &BatchMetadata| add_sequence(last.last_sequence, 1) == header.base_sequence;
        if self.batches.back().is_some_and(|last| !follows(last)) {
            self.batches.clear();
        }
        if self.batches.len() == BATCHES_KEPT {
            self.batches.pop_front();
        }
        let (first_sequence, last_sequence) = (header.base_sequence, last_sequence(header));
        self.batches.push_back(BatchMetadata { first_sequence, last_sequence, base_offset });
    }
}

#[derive(Clone, Default)]
pub(crate) struct ProducerStates {
    entries: BTreeMap<i64, Entry>,
    transactions: Transactions,
    verifications: Verifications,
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

/// A producer as `DescribeProducers` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActiveProducer {
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// -1: none in this epoch.
    pub last_sequence: i32,
    pub last_timestamp: TimestampMs,
    pub coordinator_epoch: i32,
    /// -1: no transaction is open.
    pub current_txn_start_offset: i64,
}

impl ProducerStates {
    /// Judges a batch on its way into the leader's log. A repetition is found before epoch and sequence are checked;
    /// without any state for the producer, any first sequence is accepted (but see KIP-890 at
    /// [`ProducerStates::start_verification`]). A batch without a sequence is a coordinator's: only its epoch counts.
    pub fn check(
        &self,
        now: TimestampMs,
        expiration: Expiration,
        header: &BatchHeader,
        guard: Guard,
    ) -> Result<Verdict, ResponseError> {
        if header.producer_id < 0 {
            return Ok(Verdict::Append);
        }
        let known = self.entries.get(&header.producer_id).filter(|entry| !entry.is_expired(now, expiration));
        let has_sequence = header.base_sequence >= 0;
        if has_sequence && let Some(base_offset) = known.and_then(|entry| entry.base_offset_of(header)) {
            return Ok(Verdict::Duplicate { base_offset });
        }
        if known.is_some_and(|entry| header.producer_epoch < entry.epoch) {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        let is_open = self.is_open(header.producer_id, header.producer_epoch);
        if header.is_transactional() && !is_open && !self.verifications.accept(header.producer_id, guard) {
            return Err(ResponseError::InvalidTxnState);
        }
        if has_sequence && !self.in_sequence(known, header) {
            return Err(ResponseError::OutOfOrderSequenceNumber);
        }
        if !header.is_transactional() && known.is_some_and(|entry| entry.open_since.is_some()) {
            return Err(ResponseError::InvalidTxnState);
        }
        Ok(Verdict::Append)
    }

    fn in_sequence(&self, known: Option<&Entry>, header: &BatchHeader) -> bool {
        let starts_anew = known.is_none_or(|entry| entry.batches.is_empty());
        if !self.verifications.allow_sequence(header, starts_anew) {
            return false;
        }
        let Some(entry) = known else { return true };
        let last = entry.batches.back().filter(|_| entry.epoch == header.producer_epoch);
        header.base_sequence == last.map_or(0, |batch| add_sequence(batch.last_sequence, 1))
    }

    /// Before a transactional batch is appended: must the coordinator be asked about this partition? Then the append needs
    /// the guard that is given here, and `None` says that the transaction is open here already. `adds_partition` for
    /// clients of transaction.version 2, whose first batch makes the leader add the partition.
    pub fn start_verification(
        &mut self,
        now: TimestampMs,
        header: &BatchHeader,
        adds_partition: bool,
    ) -> Result<Option<Guard>, ResponseError> {
        let known = self.entries.get(&header.producer_id);
        if known.is_some_and(|entry| header.producer_epoch < entry.epoch) {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if self.is_open(header.producer_id, header.producer_epoch) {
            return Ok(None);
        }
        Ok(Some(self.verifications.start(now, header, adds_partition)))
    }

    /// The producer has a transaction under way here, in this epoch.
    pub fn is_open(&self, producer_id: i64, producer_epoch: i16) -> bool {
        let entry = self.entries.get(&producer_id);
        entry.is_some_and(|entry| entry.open_since.is_some() && entry.epoch == producer_epoch)
    }

    /// Remembers a batch of data that was appended at this offset; `timestamp` is the largest of its records, as the log has
    /// them.
    pub fn appended(
        &mut self,
        now: TimestampMs,
        header: &BatchHeader,
        timestamp: TimestampMs,
        base_offset: i64,
    ) {
        if header.producer_id < 0 {
            return;
        }
        let entry =
            self.entries.entry(header.producer_id).or_insert_with(|| Entry::new(header.producer_epoch));
        entry.begin_epoch(header.producer_epoch);
        entry.last_timestamp = timestamp;
        entry.noted_at = now;
        entry.last_data_offset = Some(base_offset + i64::from(header.last_offset_delta));
        if header.base_sequence >= 0 {
            entry.remember(header, base_offset);
        }
        if !header.is_transactional() {
            return;
        }
        if entry.open_since.is_none() {
            entry.open_since = Some(base_offset);
            self.transactions.begin(header.producer_id, base_offset);
        }
        self.verifications.clear(header.producer_id);
    }

    /// Judges a marker on its way into the leader's log.
    pub fn check_marker(
        &self,
        producer_id: i64,
        producer_epoch: i16,
        marker: EndTxnMarker,
    ) -> Result<(), ResponseError> {
        match self.entries.get(&producer_id) {
            Some(entry) if producer_epoch < entry.epoch => Err(ResponseError::InvalidProducerEpoch),
            Some(entry) if marker.coordinator_epoch < entry.coordinator_epoch => {
                Err(ResponseError::TransactionCoordinatorFenced)
            }
            _ => Ok(()),
        }
    }

    /// Remembers a marker that was appended at this offset: the producer's transaction is over here, if there was one.
    pub fn ended(&mut self, now: TimestampMs, header: &BatchHeader, marker: EndTxnMarker, offset: i64) {
        let entry =
            self.entries.entry(header.producer_id).or_insert_with(|| Entry::new(header.producer_epoch));
        entry.begin_epoch(header.producer_epoch);
        entry.last_timestamp = header.max_timestamp;
        entry.noted_at = now;
        entry.coordinator_epoch = marker.coordinator_epoch;
        if let Some(first_offset) = entry.open_since.take() {
            self.transactions.end(header.producer_id, first_offset, offset, marker.commit);
        }
        self.verifications.end(header.producer_id, header.producer_epoch);
    }

    /// Takes a batch as it is in the log: after a start, on a follower, or after a truncation (from empty state). `control`
    /// is what the record of a control batch says; one without a record has nothing to say any more.
    pub fn replay(&mut self, header: &BatchHeader, control: Option<EndTxnMarker>) {
        let timestamp = header.max_timestamp;
        match control {
            Some(marker) => self.ended(timestamp, header, marker, header.base_offset),
            None if header.is_control() => {}
            None => self.appended(timestamp, header, timestamp, header.base_offset),
        }
    }

    /// Readers of `read_committed` get what is below. The caller keeps it from falling below the log's start.
    pub fn last_stable_offset(&self, high_watermark: i64) -> i64 {
        self.transactions
            .first_unstable(high_watermark)
            .map_or(high_watermark, |first| first.min(high_watermark))
    }

    /// Markers below are with all in-sync replicas: nobody needs to wait for these transactions any more.
    pub fn high_watermark_moved(&mut self, high_watermark: i64) {
        self.transactions.replicated_upto(high_watermark);
    }

    /// The log lost its beginning.
    pub fn log_start_moved(&mut self, log_start_offset: i64) {
        self.transactions.forget_aborted_before(log_start_offset);
    }

    /// Producer id and first offset of the aborted transactions that a reader of `from..upto` meets.
    pub fn aborted(&self, from: i64, upto: i64) -> Vec<(i64, i64)> {
        self.transactions.aborted(from, upto)
    }

    /// Compaction keeps the header of this batch of the log: it is what remains of its producer. The last batch of data, or
    /// the marker with the producer's epoch where there is no data of that epoch.
    pub fn is_remembered_by(&self, header: &BatchHeader) -> bool {
        let entry = self.entries.get(&header.producer_id);
        entry.is_some_and(|entry| match entry.last_data_offset {
            Some(offset) => header.last_offset() == offset,
            None => header.is_control() && header.producer_epoch == entry.epoch,
        })
    }

    /// Nothing of the aborted transactions with these markers is left in the log.
    pub fn forget_aborted(&mut self, markers: &BTreeSet<i64>) {
        self.transactions.forget_aborted(markers);
    }

    /// For `DescribeProducers`.
    pub fn active(&self) -> impl Iterator<Item = ActiveProducer> {
        self.entries.iter().map(|(producer_id, entry)| ActiveProducer {
            producer_id: *producer_id,
            producer_epoch: entry.epoch,
            last_sequence: entry.batches.back().map_or(-1, |batch| batch.last_sequence),
            last_timestamp: entry.last_timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            current_txn_start_offset: entry.open_since.unwrap_or(-1),
        })
    }

    /// A producer with an open transaction stays.
    pub fn expire(&mut self, now: TimestampMs, expiration: Expiration) {
        self.entries.retain(|_, entry| !entry.is_expired(now, expiration));
        self.verifications.expire(now, expiration.after_ms);
    }
}

fn last_sequence(header: &BatchHeader) -> i32 {
    add_sequence(header.base_sequence, header.last_offset_delta)
}

/// Sequences are counted modulo 2^31: after `i32::MAX` comes 0.
pub fn add_sequence(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}

#[cfg(test)]
mod tests;
