//! Compaction of one log: of each key the last record stays, and what compaction has seen is not looked at for a while.
//!
//! Real: `LogCleanerManager.cleanableOffsets`, `Cleaner.doClean`, `CleanedTransactionMetadata`. Segments are compacted whole,
//! never the active one, nor one that reaches the last stable offset or has records younger than `min.compaction.lag.ms`.
//! Batches keep their offsets; an empty one stays if its producer is remembered by it, or if it is the last of what was
//! compacted. Omits the bounds of the map of keys (`log.cleaner.dedupe.buffer.size`): all dirty segments go at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::{Log, Segment, StoredBatch};
use crate::cluster::{TimestampMs, TopicSpec};
use crate::producer_state::ProducerStates;
use crate::records::{BatchHeader, EndTxnMarker, Record, decode_batch, retain};

/// What a look at a log finds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cleanable {
    /// The log is dirty enough to be compacted up to here.
    pub upto: Option<i64>,
    /// There may be more when the last stable offset has come here,
    pub stable_at: Option<i64>,
    /// or when the broker's clock shows this.
    pub look_at: Option<TimestampMs>,
}

const MILLION: u128 = 1_000_000;

impl Log {
    /// How many segments there are: with each new one, another is no longer active.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Whether it is time to compact, by the broker's clock.
    pub fn cleanable(&self, clock: TimestampMs, spec: &TopicSpec, last_stable_offset: i64) -> Cleanable {
        let mut found = Cleanable::default();
        let (mut clean, mut dirty) = (0u128, 0u128);
        let mut upto = self.first_dirty;
        let mut oldest: Option<TimestampMs> = None;
        for segment in self.segments.range(..self.segments.len().saturating_sub(1)) {
            let next = segment.next_offset();
            if next <= self.first_dirty {
                clean += segment.size as u128;
                continue;
            }
            oldest =
                Some(oldest.map_or(segment.first_timestamp, |oldest| oldest.min(segment.first_timestamp)));
            if next > last_stable_offset {
                found.stable_at = Some(next);
                break;
            }
            let old_enough_at = segment.max_timestamp.saturating_add(spec.min_compaction_lag_ms);
            if spec.min_compaction_lag_ms > 0 && old_enough_at > clock {
                found.look_at = Some(old_enough_at);
                break;
            }
            dirty += segment.size as u128;
            upto = next;
        }
        if dirty == 0 {
            return found;
        }
        let must_at =
            oldest.map(|oldest| oldest.saturating_add(spec.max_compaction_lag_ms).saturating_add(1));
        let ratio = u128::from(spec.min_cleanable_dirty_ratio_ppm);
        if dirty * MILLION > (clean + dirty) * ratio || must_at.is_some_and(|must_at| must_at <= clock) {
            found.upto = Some(upto);
        } else {
            let must_at = must_at.filter(|must_at| *must_at < TimestampMs::MAX);
            found.look_at = found.look_at.into_iter().chain(must_at).min();
        }
        found
    }

    /// Compacts what lies below `upto`, as [`Log::cleanable`] has found it. Gives the markers of aborted transactions that
    /// have nothing left in the log.
    pub fn compact(
        &mut self,
        clock: TimestampMs,
        spec: &TopicSpec,
        upto: i64,
        producers: &ProducerStates,
    ) -> BTreeSet<i64> {
        let latest = self.latest_of_keys(upto, producers);
        let count = self.segments.partition_point(|segment| segment.next_offset() <= upto);
        let rest = self.segments.split_off(count);
        let old = std::mem::take(&mut self.segments);
        let first =
            old.front().and_then(|segment| segment.batches.first()).map_or(0, |batch| batch.base_offset);
        let transactions = SeenTransactions::new(producers.aborted(first, upto));
        let delete_horizon = clock.saturating_add(spec.delete_retention_ms);
        let mut pass = Pass { clock, delete_horizon, upto, latest, producers, transactions };
        // Segments go together as far as their old sizes fit one.
        let limit = usize::try_from(spec.segment_bytes).unwrap_or(usize::MAX);
        let mut group = 0;
        for segment in old {
            let starts_group = self.segments.is_empty() || group + segment.size > limit;
            group = if starts_group { segment.size } else { group + segment.size };
            let cleaned = pass.segment(segment);
            match self.segments.back_mut().filter(|_| !starts_group) {
                Some(last) => last.take_in(cleaned),
                None => self.segments.push_back(cleaned),
            }
        }
        self.segments.retain(|segment| !segment.batches.is_empty());
        self.segments.extend(rest);
        self.first_dirty = upto;
        #[cfg(feature = "tcp")]
        {
            self.saved = self.saved.forgotten();
        }
        pass.transactions.emptied
    }

    /// Where the last record of each key is, among those that were not compacted yet. Aborted records do not count.
    fn latest_of_keys(&self, upto: i64, producers: &ProducerStates) -> BTreeMap<Bytes, i64> {
        let mut latest = BTreeMap::new();
        let mut transactions = SeenTransactions::new(producers.aborted(self.first_dirty, upto));
        for batch in self.batches_from(self.first_dirty).take_while(|batch| batch.last_offset < upto) {
            let (header, records) = decode(batch);
            let is_gone = transactions.meet(&header, &records);
            if is_gone || header.is_control() {
                continue;
            }
            let keyed = records.into_iter().filter_map(|record| record.key.map(|key| (key, record.offset)));
            latest.extend(keyed);
        }
        latest
    }
}

fn decode(batch: &StoredBatch) -> (BatchHeader, Vec<Record>) {
    decode_batch(&batch.bytes).expect("stored batches were validated")
}

impl Segment {
    fn next_offset(&self) -> i64 {
        self.batches.last().map_or(0, |batch| batch.last_offset + 1)
    }

    fn take_in(&mut self, later: Segment) {
        self.size += later.size;
        self.max_timestamp = self.max_timestamp.max(later.max_timestamp);
        self.batches.extend(later.batches);
    }
}

/// One pass over a log from its start.
struct Pass<'a> {
    clock: TimestampMs,
    /// Of tombstones and markers that are met for the first time.
    delete_horizon: TimestampMs,
    upto: i64,
    latest: BTreeMap<Bytes, i64>,
    producers: &'a ProducerStates,
    transactions: SeenTransactions,
}

impl Pass<'_> {
    fn segment(&mut self, segment: Segment) -> Segment {
        let batches: Vec<StoredBatch> =
            segment.batches.into_iter().filter_map(|batch| self.batch(batch)).collect();
        let with_records = batches.iter().filter(|batch| !batch.is_empty());
        Segment {
            size: batches.iter().map(|batch| batch.bytes.len()).sum(),
            max_timestamp: with_records
                .map(|batch| batch.max_timestamp)
                .max()
                .unwrap_or(segment.max_timestamp),
            first_timestamp: segment.first_timestamp,
            batches,
        }
    }

    fn batch(&mut self, batch: StoredBatch) -> Option<StoredBatch> {
        let (header, records) = decode(&batch);
        let count = records.len();
        let is_discardable = self.transactions.meet(&header, &records);
        let is_past_horizon = header.delete_horizon().is_some_and(|horizon| horizon <= self.clock);
        let kept: Vec<Record> = match (header.is_control(), is_discardable) {
            (true, true) if is_past_horizon => Vec::new(),
            (true, _) => records,
            (false, true) => Vec::new(),
            (false, false) => {
                records.into_iter().filter(|record| self.retains(record, is_past_horizon)).collect()
            }
        };
        if kept.is_empty() {
            let is_needed = self.producers.is_remembered_by(&header) || batch.last_offset + 1 == self.upto;
            return match is_needed {
                true if count == 0 => Some(batch),
                true => Some(StoredBatch { bytes: retain(&batch.bytes, &[], None), ..batch }),
                false => None,
            };
        }
        let can_go_later = if header.is_control() {
            is_discardable
        } else {
            kept.iter().any(|record| record.value.is_none())
        };
        let horizon = (can_go_later && header.delete_horizon().is_none()).then_some(self.delete_horizon);
        if kept.len() == count && horizon.is_none() {
            return Some(batch);
        }
        let bytes = retain(&batch.bytes, &kept, horizon);
        let max_timestamp =
            BatchHeader::read(&bytes).map_or(batch.max_timestamp, |header| header.max_timestamp);
        Some(StoredBatch { bytes, max_timestamp, ..batch })
    }

    /// The last record of its key, unless that is a tombstone whose time is over. Records without a key, from before
    /// the topic was compacted, go.
    fn retains(&self, record: &Record, is_past_horizon: bool) -> bool {
        let Some(key) = &record.key else { return false };
        let is_latest = self.latest.get(key).is_none_or(|latest| record.offset >= *latest);
        is_latest && (record.value.is_some() || !is_past_horizon)
    }
}

/// Transactions as a pass meets them.
struct SeenTransactions {
    /// First offset and producer id of aborted ones, in the order of the former.
    to_come: VecDeque<(i64, i64)>,
    /// By producer id: whether any batch of it was met.
    aborted: BTreeMap<i64, bool>,
    committed: BTreeSet<i64>,
    /// Markers of aborted ones of which no batch was met.
    emptied: BTreeSet<i64>,
}

impl SeenTransactions {
    /// Of aborted transactions, by producer id and first offset.
    fn new(aborted: Vec<(i64, i64)>) -> SeenTransactions {
        let mut to_come: Vec<(i64, i64)> =
            aborted.into_iter().map(|(producer_id, first_offset)| (first_offset, producer_id)).collect();
        to_come.sort_unstable();
        SeenTransactions {
            to_come: to_come.into(),
            aborted: BTreeMap::new(),
            committed: BTreeSet::new(),
            emptied: BTreeSet::new(),
        }
    }

    /// Takes the next batch. True if its records can go: it was aborted, or is the marker of a transaction that has nothing
    /// else in the log.
    fn meet(&mut self, header: &BatchHeader, records: &[Record]) -> bool {
        let has_begun = |first_offset: i64| first_offset <= header.last_offset();
        while let Some((_, producer_id)) =
            self.to_come.front().copied().filter(|(first, _)| has_begun(*first))
        {
            self.to_come.pop_front();
            self.aborted.entry(producer_id).or_default();
        }
        if !header.is_control() {
            return header.is_transactional() && self.meet_data(header.producer_id);
        }
        let Some(marker) = records.first().and_then(EndTxnMarker::of) else { return true };
        if marker.commit {
            return !self.committed.remove(&header.producer_id);
        }
        let known = self.aborted.remove(&header.producer_id);
        if known == Some(false) {
            self.emptied.insert(header.base_offset);
        }
        known != Some(true)
    }

    fn meet_data(&mut self, producer_id: i64) -> bool {
        match self.aborted.get_mut(&producer_id) {
            Some(has_data) => *has_data = true,
            None => drop(self.committed.insert(producer_id)),
        }
        self.aborted.contains_key(&producer_id)
    }
}
