//! The records of one send, batched by partition, and their outcomes.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{ProduceError, ProducerRecord, RecordMetadata};
use crate::cluster::TopicPartition;
use crate::records::{BatchProducer, RecordView, encode_batch};

/// Part of a partition's records, written whole or not at all.
pub(super) struct Batch {
    /// Places in the send's records.
    records: Vec<usize>,
    /// Kept as sent: an attempt without an answer is repeated with the same sequence.
    encoded: Option<(BatchProducer, Bytes)>,
    /// An attempt was not answered, or not definitely.
    pub maybe_written: bool,
}

impl Batch {
    fn new(records: Vec<usize>) -> Batch {
        Batch { records, encoded: None, maybe_written: false }
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Identity and sequence under which it was sent.
    pub fn producer(&self) -> Option<BatchProducer> {
        self.encoded.as_ref().map(|(producer, _)| *producer)
    }

    /// It was not written, and goes out under another identity.
    pub fn start_over(&mut self) {
        self.encoded = None;
    }
}

/// A partition's batches in order.
type Queue = VecDeque<Batch>;

pub(super) struct Outbox {
    records: Vec<ProducerRecord>,
    outcomes: Vec<Option<Result<RecordMetadata, ProduceError>>>,
    queues: BTreeMap<TopicPartition, Queue>,
}

impl Outbox {
    /// `placed` says for each record where it goes, or why it goes nowhere.
    pub fn new(
        records: Vec<ProducerRecord>,
        placed: Vec<Result<TopicPartition, ProduceError>>,
        batch_size: usize,
    ) -> Outbox {
        let mut outcomes = vec![None; records.len()];
        let mut by_partition: BTreeMap<TopicPartition, Vec<usize>> = BTreeMap::new();
        for (index, place) in placed.into_iter().enumerate() {
            match place {
                Ok(partition) => by_partition.entry(partition).or_default().push(index),
                Err(error) => outcomes[index] = Some(Err(error)),
            }
        }
        let queues = by_partition.into_iter();
        let queues =
            queues.map(|(partition, indexes)| (partition, batches(&records, indexes, batch_size))).collect();
        Outbox { records, outcomes, queues }
    }

    pub fn is_done(&self) -> bool {
        self.queues.is_empty()
    }

    /// Partitions with something left to send.
    pub fn waiting(&self) -> Vec<TopicPartition> {
        self.queues.keys().cloned().collect()
    }

    /// The first batch of a partition that is waiting.
    pub fn first(&mut self, partition: &TopicPartition) -> &mut Batch {
        let queue = self.queues.get_mut(partition).expect("only asked for partitions that are waiting");
        queue.front_mut().expect("an empty queue is removed")
    }

    /// The first batch's bytes, the same at every attempt.
    pub fn encode_first(&mut self, partition: &TopicPartition, producer: BatchProducer) -> Bytes {
        let batch = self
            .queues
            .get_mut(partition)
            .and_then(|queue| queue.front_mut())
            .expect("only asked for partitions that are waiting");
        let records = &self.records;
        let encode = || {
            let views: Vec<RecordView<'_>> =
                batch.records.iter().map(|index| view(&records[*index])).collect();
            (producer, encode_batch(&views, Some(producer)))
        };
        batch.encoded.get_or_insert_with(encode).1.clone()
    }

    pub fn written(&mut self, partition: &TopicPartition, base_offset: i64) {
        let batch = self.take_first(partition);
        for (offset, index) in (base_offset..).zip(batch.records) {
            let offset = if base_offset < 0 { -1 } else { offset };
            self.outcomes[index] = Some(Ok(RecordMetadata { partition: partition.partition, offset }));
        }
    }

    /// The first batch failed; what is behind it in the partition is not sent.
    pub fn failed(&mut self, partition: &TopicPartition, error: ProduceError) {
        let queue = self.queues.remove(partition).unwrap_or_default();
        for (place, batch) in queue.into_iter().enumerate() {
            let error = if place == 0 { error } else { ProduceError::NotSent };
            batch.records.into_iter().for_each(|index| self.outcomes[index] = Some(Err(error)));
        }
    }

    /// Halves the first batch, as Java does with one that is too large for the broker.
    pub fn split_first(&mut self, partition: &TopicPartition) {
        let queue = self.queues.get_mut(partition).expect("only asked for partitions that are waiting");
        let mut batch = queue.pop_front().expect("an empty queue is removed");
        let second = batch.records.split_off(batch.len() / 2);
        queue.push_front(Batch::new(second));
        queue.push_front(Batch::new(batch.records));
    }

    fn take_first(&mut self, partition: &TopicPartition) -> Batch {
        let queue = self.queues.get_mut(partition).expect("only asked for partitions that are waiting");
        let batch = queue.pop_front().expect("an empty queue is removed");
        if queue.is_empty() {
            self.queues.remove(partition);
        }
        batch
    }

    /// Time is up: true if the outcome of some batch stays unknown.
    pub fn time_out(&mut self) -> bool {
        let mut unknown = false;
        for partition in self.waiting() {
            let maybe_written = self.first(&partition).maybe_written;
            unknown |= maybe_written;
            let error = if maybe_written { ProduceError::Unknown } else { ProduceError::TimedOut };
            self.failed(&partition, error);
        }
        unknown
    }

    pub fn into_outcomes(self) -> Vec<Result<RecordMetadata, ProduceError>> {
        let outcomes = self.outcomes.into_iter();
        outcomes.map(|outcome| outcome.expect("every record was written, or failed")).collect()
    }
}

fn batches(records: &[ProducerRecord], indexes: Vec<usize>, batch_size: usize) -> Queue {
    let mut queue = Queue::new();
    let mut size = 0;
    for index in indexes {
        let more = size_of(&records[index]);
        match queue.back_mut() {
            Some(batch) if size + more <= batch_size => {
                batch.records.push(index);
                size += more;
            }
            _ => {
                queue.push_back(Batch::new(vec![index]));
                size = more;
            }
        }
    }
    queue
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
