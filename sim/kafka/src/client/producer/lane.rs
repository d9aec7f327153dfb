//! A partition's queue: records in batches, batches waiting, under way, and told of.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{DeliveryReport, Identity, ProduceError, ProducerRecord, RecordMetadata, Sequence, Ticket};
use crate::client::Backoff;
use crate::cluster::{TimestampMs, TopicPartition};
use crate::records::{BatchProducer, RecordView, encode_batch, encode_transactional_batch};

/// Records of a partition that are written whole or not at all.
pub(super) struct Batch {
    pub records: Vec<(Ticket, ProducerRecord)>,
    size: usize,
    pub created_at: TimestampMs,
    pub deadline: TimestampMs,
    encoded: Option<Encoded>,
    /// An attempt was not answered, or not definitely.
    pub maybe_written: bool,
    pub attempts: u32,
    /// The pause before the next attempt ends then.
    pub not_before: TimestampMs,
    backoff: Backoff,
}

/// How a batch was sent: an attempt without an answer is repeated with the same sequence. The bytes are made again from its
/// records, so that a leader's log can have them for itself.
struct Encoded {
    producer: Option<BatchProducer>,
    size: usize,
}

impl Batch {
    /// Its place among the batches of its lane.
    pub fn id(&self) -> u64 {
        self.records[0].0.0
    }

    pub fn len(&self) -> i32 {
        i32::try_from(self.records.len()).expect("a batch holds fewer than 2^31 records")
    }

    pub fn bytes(&self) -> usize {
        self.encoded.as_ref().map_or(self.size, |encoded| encoded.size)
    }

    /// Identity and sequence under which it was sent.
    pub fn producer(&self) -> Option<BatchProducer> {
        self.encoded.as_ref().and_then(|encoded| encoded.producer)
    }

    pub fn is_encoded(&self) -> bool {
        self.encoded.is_some()
    }

    /// It was not written, and goes out under another identity.
    pub fn start_over(&mut self) {
        self.encoded = None;
    }

    pub fn encode(&mut self, producer: Option<BatchProducer>, is_transactional: bool) -> Bytes {
        let producer = self.encoded.as_ref().map_or(producer, |encoded| encoded.producer);
        let views: Vec<RecordView<'_>> = self.records.iter().map(|(_, record)| view(record)).collect();
        let bytes = match producer {
            Some(producer) if is_transactional => encode_transactional_batch(&views, producer),
            producer => encode_batch(&views, producer),
        };
        self.encoded = Some(Encoded { producer, size: bytes.len() });
        bytes
    }

    pub fn try_again(&mut self, now: TimestampMs) {
        self.not_before = now + self.backoff.next();
    }

    fn reports(self, partition: &TopicPartition, result: Result<i64, ProduceError>) -> Vec<DeliveryReport> {
        let report = |(index, (ticket, record)): (i64, (Ticket, ProducerRecord))| {
            let written = |base: i64| RecordMetadata {
                partition: partition.partition,
                offset: if base < 0 { -1 } else { base + index },
            };
            DeliveryReport { ticket, topic: record.topic, result: result.map(written) }
        };
        (0..).zip(self.records).map(report).collect()
    }
}

/// What a lane needs to know about batches.
pub(super) struct BatchLimits {
    pub batch_size: usize,
    pub batch_num_messages: usize,
    pub delivery_timeout_ms: i64,
    pub backoff: Backoff,
}

/// One partition's queue.
pub(super) struct Lane {
    partition: TopicPartition,
    /// In the order of sending. Records are added to the last one until it is sent.
    pub waiting: VecDeque<Batch>,
    /// Under way, by their ids.
    pub flying: BTreeMap<u64, Batch>,
    /// Written, and not told yet because an earlier batch is not done.
    held: BTreeMap<u64, Vec<DeliveryReport>>,
    pub sequence: Option<Sequence>,
}

impl Lane {
    pub fn new(partition: TopicPartition) -> Lane {
        Lane {
            partition,
            waiting: VecDeque::new(),
            flying: BTreeMap::new(),
            held: BTreeMap::new(),
            sequence: None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.flying.is_empty()
    }

    pub fn add(&mut self, now: TimestampMs, ticket: Ticket, record: ProducerRecord, limits: &BatchLimits) {
        let more = size_of(&record);
        match self.waiting.back_mut() {
            Some(batch)
                if !batch.is_encoded()
                    && batch.size + more <= limits.batch_size
                    && batch.records.len() < limits.batch_num_messages =>
            {
                batch.records.push((ticket, record));
                batch.size += more;
            }
            _ => self.waiting.push_back(Batch {
                records: vec![(ticket, record)],
                size: more,
                created_at: now,
                deadline: now.saturating_add(limits.delivery_timeout_ms),
                encoded: None,
                maybe_written: false,
                attempts: 0,
                not_before: now,
                backoff: limits.backoff.clone(),
            }),
        }
    }

    /// When the first waiting batch may go out; `None` if there is none, or it waits for those before it.
    pub fn ready_at(&self, linger_ms: i64, limits: &BatchLimits) -> Option<TimestampMs> {
        let first = self.waiting.front()?;
        let is_full = self.waiting.len() > 1
            || first.attempts > 0
            || first.size >= limits.batch_size
            || first.records.len() >= limits.batch_num_messages;
        Some(if is_full { first.not_before } else { first.not_before.max(first.created_at + linger_ms) })
    }

    /// The sequence for the first waiting batch; `None`: not yet, since the old identity still has batches under way.
    pub fn next_producer(&mut self, identity: Identity) -> Option<BatchProducer> {
        let first = self.waiting.front()?;
        if let Some(producer) = first.producer() {
            return Some(producer);
        }
        let sequence = self.sequence.get_or_insert(Sequence { identity, next: 0 });
        if sequence.identity != identity {
            if self.flying.values().any(|batch| batch.producer().is_some()) {
                return None;
            }
            *sequence = Sequence { identity, next: 0 };
        }
        Some(sequence.producer())
    }

    /// There is an unfinished batch that was sent before this one.
    pub fn is_behind(&self, id: u64) -> bool {
        let flies_before = self.flying.first_key_value().is_some_and(|(first, _)| *first < id);
        flies_before || self.waiting.front().is_some_and(|first| first.id() < id)
    }

    /// Records that are not told of.
    pub fn records(&self) -> usize {
        let batches = self.waiting.iter().chain(self.flying.values());
        let held = self.held.values().map(Vec::len).sum::<usize>();
        batches.map(|batch| batch.records.len()).sum::<usize>() + held
    }

    /// Nobody waits for these reports any more.
    pub fn forget_held(&mut self, which: impl Fn(u64) -> bool) {
        self.held.retain(|id, _| !which(*id));
    }

    /// Puts a batch back in its place, to be sent again.
    pub fn put_back(&mut self, batch: Batch) {
        let place = self.waiting.iter().position(|other| other.id() > batch.id());
        self.waiting.insert(place.unwrap_or(self.waiting.len()), batch);
    }

    /// Halves a batch, as Java does with one that is too large for the broker.
    pub fn split(&mut self, mut batch: Batch) {
        batch.encoded = None;
        let rest = batch.records.split_off(batch.records.len() / 2);
        batch.size = batch.records.iter().map(|(_, record)| size_of(record)).sum();
        let second = Batch {
            size: rest.iter().map(|(_, record)| size_of(record)).sum(),
            records: rest,
            encoded: None,
            backoff: batch.backoff.clone(),
            ..batch
        };
        self.put_back(second);
        self.put_back(batch);
    }

    /// Tells of a batch; `in_order`: once all before it are told of.
    pub fn finish(
        &mut self,
        batch: Batch,
        result: Result<i64, ProduceError>,
        in_order: bool,
    ) -> Vec<DeliveryReport> {
        let id = batch.id();
        let reports = batch.reports(&self.partition, result);
        if !in_order {
            return reports;
        }
        self.held.insert(id, reports);
        let flying = self.flying.first_key_value().map(|(id, _)| *id);
        let first_open = flying.into_iter().chain(self.waiting.front().map(Batch::id)).min();
        let later = first_open.map_or_else(BTreeMap::new, |open| self.held.split_off(&open));
        std::mem::replace(&mut self.held, later).into_values().flatten().collect()
    }

    /// Takes out the waiting batches that pass.
    pub fn take_waiting(&mut self, which: impl Fn(&Batch) -> bool) -> Vec<Batch> {
        let (taken, kept): (Vec<Batch>, Vec<Batch>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|batch| which(batch));
        self.waiting = kept.into();
        taken
    }
}

fn size_of(record: &ProducerRecord) -> usize {
    const OVERHEAD: usize = 24;
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    record.key.as_ref().map_or(0, Bytes::len) + record.value.len() + headers + OVERHEAD
}

fn view(record: &ProducerRecord) -> RecordView<'_> {
    RecordView {
        timestamp: record.timestamp_ms,
        key: record.key.as_deref(),
        value: Some(&record.value),
        headers: &record.headers,
    }
}
