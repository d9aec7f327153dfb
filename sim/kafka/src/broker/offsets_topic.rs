//! `__consumer_offsets` in the broker's hands: it writes what the group coordinator wants written, and reads it back.
//!
//! Fakes the partitions' logs: one replica that has every record at once and survives crashes; only the latest record of
//! each key is kept, as after compaction. A partition that moves to another broker takes its log along.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;

use super::{Broker, Output, ReplyTo, partition_exists};
use crate::cluster::{BrokerConfig, OFFSETS_TOPIC_NUM_PARTITIONS, TimestampMs};
use crate::coordination::{StateRecord, StateTransaction, StateWrite, Todo};
use crate::protocol::Request;
use crate::records::{
    BatchHeader, BatchProducer, Record, RecordView, decode_batch, encode_batch, encode_transactional_batch,
    stamp,
};

#[derive(Default)]
pub(super) struct OffsetsTopic {
    /// Partitions that are led here.
    logs: BTreeMap<i32, OffsetsLog>,
    /// Partitions that are led elsewhere than at first.
    moved: BTreeMap<i32, i32>,
    /// Partitions that came here and are being read, and until when.
    loading: BTreeMap<i32, TimestampMs>,
}

#[derive(Default)]
pub(super) struct OffsetsLog {
    leader_epoch: i32,
    end_offset: i64,
    records: BTreeMap<i64, (Option<StateTransaction>, StateRecord)>,
    /// Where the latest record of each key is. Those of transactions are all kept.
    latest: BTreeMap<Bytes, i64>,
}

impl OffsetsLog {
    /// The offset of the last record.
    fn append(&mut self, transaction: Option<&StateTransaction>, records: Vec<StateRecord>) -> i64 {
        for record in records {
            let offset = self.end_offset;
            self.end_offset += 1;
            if transaction.is_none() {
                let replaced = if record.value.is_some() {
                    self.latest.insert(record.key.clone(), offset)
                } else {
                    self.latest.remove(&record.key)
                };
                replaced.map(|replaced| self.records.remove(&replaced));
            }
            self.records.insert(offset, (transaction.cloned(), record));
        }
        self.end_offset - 1
    }

    fn batches(&self) -> impl Iterator<Item = (BatchHeader, Vec<Record>)> {
        self.records.iter().map(|(offset, (transaction, record))| {
            let (key, value) = (Some(&record.key[..]), record.value.as_deref());
            let records = [RecordView { timestamp: 0, key, value, headers: &[] }];
            let batch = match transaction {
                None => encode_batch(&records, None),
                Some(StateTransaction { producer_id, producer_epoch, .. }) => {
                    let (producer_id, producer_epoch) = (*producer_id, *producer_epoch);
                    let producer = BatchProducer { producer_id, producer_epoch, base_sequence: -1 };
                    encode_transactional_batch(&records, producer)
                }
            };
            let batch = stamp(batch, *offset, self.leader_epoch, None);
            decode_batch(&batch).expect("it was encoded just now")
        })
    }
}

impl OffsetsTopic {
    pub fn new(config: &BrokerConfig) -> OffsetsTopic {
        let leader_of = |partition| config.cluster.leader_of("__consumer_offsets", partition);
        let led = (0..OFFSETS_TOPIC_NUM_PARTITIONS).filter(|partition| leader_of(*partition) == config.id);
        let logs = led.map(|partition| (partition, OffsetsLog::default())).collect();
        OffsetsTopic { logs, ..OffsetsTopic::default() }
    }

    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.loading.values().min().copied()
    }

    /// From now on this broker leads that partition.
    pub fn learn(&mut self, partition: i32, broker: i32) {
        self.moved.insert(partition, broker);
    }

    pub fn leader_of(&self, partition: i32) -> Option<i32> {
        self.moved.get(&partition).copied()
    }
}

impl Broker {
    /// A request for the group coordinator.
    pub(super) fn coordinate(&mut self, now: TimestampMs, reply: ReplyTo, request: Request) -> Vec<Output> {
        let mut todo = Todo::default();
        let topics = &self.topics;
        let exists = |topic: &TopicName, partition: i32| partition_exists(topics, topic, partition);
        self.coordinator.handle(now, reply, request, &exists, &mut todo);
        self.settle(now, todo)
    }

    /// Does what a call to the group coordinator has left to do.
    pub(super) fn settle(&mut self, now: TimestampMs, mut todo: Todo) -> Vec<Output> {
        while !todo.writes.is_empty() {
            for write in std::mem::take(&mut todo.writes) {
                let StateWrite { partition, ticket, transaction, records } = write;
                let Some(log) = self.offsets_topic.logs.get_mut(&partition) else { continue };
                let last_offset = log.append(transaction.as_ref(), records);
                self.coordinator.written(now, ticket, Ok(last_offset), &mut todo);
            }
        }
        todo.outputs
    }

    pub(super) fn tick_groups(&mut self, now: TimestampMs) -> Vec<Output> {
        let mut outputs = self.load_groups(now);
        let mut todo = Todo::default();
        self.coordinator.tick(now, &mut todo);
        outputs.extend(self.settle(now, todo));
        outputs
    }

    /// Reads the partitions that it is time for.
    pub(super) fn load_groups(&mut self, now: TimestampMs) -> Vec<Output> {
        let mut todo = Todo::default();
        while let Some(partition) = self.due_to_load(now) {
            self.offsets_topic.loading.remove(&partition);
            let Some(log) = self.offsets_topic.logs.get(&partition) else { continue };
            log.batches().for_each(|(header, records)| self.coordinator.replay(partition, &header, records));
            self.coordinator.loaded(now, partition, &mut todo);
        }
        self.settle(now, todo)
    }

    fn due_to_load(&self, now: TimestampMs) -> Option<i32> {
        let due = self.offsets_topic.loading.iter().find(|(_, ready_at)| **ready_at <= now);
        due.map(|(partition, _)| *partition)
    }

    /// The process is up: it leads its partitions in new epochs, and knows nothing yet.
    pub(super) fn restart_groups(&mut self, now: TimestampMs) {
        for partition in self.offsets_topic.logs.keys().copied().collect::<Vec<_>>() {
            self.elect(now, partition, now);
        }
        // A log that is there at once has nobody waiting for it.
        drop(self.load_groups(now));
    }

    fn elect(&mut self, now: TimestampMs, partition: i32, ready_at: TimestampMs) {
        let Some(log) = self.offsets_topic.logs.get_mut(&partition) else { return };
        log.leader_epoch += 1;
        let mut todo = Todo::default();
        self.coordinator.elected(now, partition, log.leader_epoch, &mut todo);
        self.offsets_topic.loading.insert(partition, ready_at);
    }

    /// Gives up a partition with its log.
    pub(super) fn resign(&mut self, now: TimestampMs, partition: i32) -> (OffsetsLog, Vec<Output>) {
        let mut todo = Todo::default();
        self.coordinator.resigned(now, partition, &mut todo);
        self.offsets_topic.loading.remove(&partition);
        let log = self.offsets_topic.logs.remove(&partition).unwrap_or_default();
        (log, self.settle(now, todo))
    }

    /// Takes over a partition with its log, and reads it until `ready_at`.
    pub(super) fn take_over(
        &mut self,
        now: TimestampMs,
        partition: i32,
        log: OffsetsLog,
        ready_at: TimestampMs,
    ) {
        self.offsets_topic.logs.insert(partition, log);
        self.elect(now, partition, ready_at);
    }

    pub(super) fn learn_leader(&mut self, partition: i32, broker: i32) {
        self.offsets_topic.learn(partition, broker);
    }
}
