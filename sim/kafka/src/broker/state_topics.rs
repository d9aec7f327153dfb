//! The coordinators' own topics in the broker's hands: it appends what coordinators want written, tells them when all in-sync
//! replicas have it, and reads a partition back to them when it comes to lead it.
//!
//! Fakes the time that reading takes: none, or as long as was asked for with [`Broker::slow_load`].

use std::collections::{BTreeMap, VecDeque};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;

use super::waits::Awaited;
use super::{Broker, Output, ReplyTo, Then};
use crate::cluster::{CONSUMER_OFFSETS, TimestampMs, TopicPartition};
use crate::coordination::{StateWrite, Todo};
use crate::producer_state::Guard;
use crate::protocol::Request;
use crate::records::{
    BatchHeader, BatchProducer, RecordView, decode_batch, encode_batch, encode_transactional_batch,
};

/// What came of a write, or that a marker has come.
pub(super) enum Outcome {
    Written { ticket: u64, outcome: Result<i64, ResponseError> },
    Marker { partition: i32, producer_id: i64, producer_epoch: i16, commit: bool },
}

#[derive(Default)]
pub(super) struct StateTopics {
    /// Partitions that are being read, and until when.
    loading: BTreeMap<i32, TimestampMs>,
    /// How long reading takes when the time comes.
    slow: BTreeMap<i32, i64>,
    outcomes: VecDeque<Outcome>,
}

impl StateTopics {
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.loading.values().min().copied()
    }

    pub fn push(&mut self, outcome: Outcome) {
        self.outcomes.push_back(outcome);
    }

    pub fn crash(&mut self) {
        self.loading.clear();
        self.outcomes.clear();
    }
}

fn offsets_partition(partition: i32) -> TopicPartition {
    TopicPartition::new(CONSUMER_OFFSETS, partition)
}

impl Broker {
    /// A request for the group coordinator.
    pub(super) fn coordinate(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: Request,
        outputs: &mut Vec<Output>,
    ) {
        let mut todo = Todo::default();
        let image = &self.image;
        let exists = |topic: &TopicName, partition: i32| {
            let known = image.topics.get(topic);
            known.is_some_and(|topic| (0..topic.spec.partitions).contains(&partition))
        };
        self.coordinator.handle(now, reply, request, &exists, &mut todo);
        self.do_todo(now, todo, outputs);
    }

    /// Does what a call to the group coordinator has left to do. What came of its writes it hears from
    /// [`Broker::tell_coordinators`].
    pub(super) fn do_todo(&mut self, now: TimestampMs, todo: Todo, outputs: &mut Vec<Output>) {
        outputs.extend(todo.outputs);
        for write in todo.writes {
            let (at, ticket) = (offsets_partition(write.partition), write.ticket);
            match self.append_state(now, &at, write) {
                Ok(required) => {
                    let deadline = now + self.config.cluster.settings.offsets_commit_timeout_ms;
                    let append = Awaited { at: at.clone(), required, outcome: None };
                    self.waits.add(deadline, vec![append], Then::Written { ticket });
                    self.log_grew(now, &at, outputs);
                }
                Err(error) => {
                    self.state_topics.push(Outcome::Written { ticket, outcome: Err(error) });
                }
            }
        }
    }

    /// The high watermark at which all in-sync replicas have the batch.
    fn append_state(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        write: StateWrite,
    ) -> Result<i64, ResponseError> {
        let (_, replica) = self.led(&at.topic, at.partition)?;
        let in_sync = replica.leading().map_or(0, |leading| leading.isr.len());
        if in_sync < self.min_insync(at) {
            return Err(ResponseError::NotEnoughReplicas);
        }
        let clock = self.clock(now);
        let views: Vec<RecordView<'_>> = write
            .records
            .iter()
            .map(|record| RecordView {
                timestamp: clock,
                key: Some(&record.key),
                value: record.value.as_deref(),
                headers: &[],
            })
            .collect();
        let batch = match &write.transaction {
            None => encode_batch(&views, None),
            Some(transaction) => {
                let producer = BatchProducer {
                    producer_id: transaction.producer_id,
                    producer_epoch: transaction.producer_epoch,
                    base_sequence: -1,
                };
                encode_transactional_batch(&views, producer)
            }
        };
        let header = BatchHeader::read(&batch).expect("it was encoded just now");
        let expiration_ms = self.config.producer_id_expiration_ms;
        let (_, replica) = self.led(&at.topic, at.partition)?;
        replica.producers.check(clock, expiration_ms, &header, Guard::NotRequired)?;
        let appended = self.append_led(now, at, &header, None, batch)?;
        Ok(appended.base_offset + i64::from(header.last_offset_delta) + 1)
    }

    /// Tells coordinators what came of their writes, and does what follows from that.
    pub(super) fn tell_coordinators(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        while let Some(outcome) = self.state_topics.outcomes.pop_front() {
            let mut todo = Todo::default();
            match outcome {
                Outcome::Written { ticket, outcome } => {
                    self.coordinator.written(now, ticket, outcome, &mut todo);
                }
                Outcome::Marker { partition, producer_id, producer_epoch, commit } => {
                    self.coordinator.marker(now, partition, producer_id, producer_epoch, commit);
                }
            }
            self.do_todo(now, todo, outputs);
        }
    }

    pub(super) fn tick_coordinators(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        self.load_states(now, outputs);
        let mut todo = Todo::default();
        self.coordinator.tick(now, &mut todo);
        self.do_todo(now, todo, outputs);
    }

    /// When this broker comes to lead a group's partition of `__consumer_offsets`, reading it takes so long.
    pub fn slow_load(&mut self, group: &str, load_ms: i64) {
        self.state_topics.slow.insert(self.config.cluster.offsets_partition_of(group), load_ms);
    }

    /// A partition of a coordinator's topic is led here from now on.
    pub(super) fn state_elected(&mut self, now: TimestampMs, at: &TopicPartition, outputs: &mut Vec<Output>) {
        if at.topic.as_str() != CONSUMER_OFFSETS {
            return;
        }
        let Ok((_, replica)) = self.led(&at.topic, at.partition) else { return };
        let leader_epoch = replica.leader_epoch;
        let mut todo = Todo::default();
        self.coordinator.elected(now, at.partition, leader_epoch, &mut todo);
        self.do_todo(now, todo, outputs);
        let load_ms = self.state_topics.slow.remove(&at.partition).unwrap_or(0);
        self.state_topics.loading.insert(at.partition, now + load_ms);
        self.load_states(now, outputs);
    }

    /// A partition of a coordinator's topic is led elsewhere from now on.
    pub(super) fn state_resigned(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        outputs: &mut Vec<Output>,
    ) {
        if at.topic.as_str() != CONSUMER_OFFSETS {
            return;
        }
        self.state_topics.loading.remove(&at.partition);
        let mut todo = Todo::default();
        self.coordinator.resigned(now, at.partition, &mut todo);
        self.do_todo(now, todo, outputs);
    }

    /// Reads the partitions that it is time for.
    pub(super) fn load_states(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        let due = |topics: &StateTopics| {
            let mut loading = topics.loading.iter();
            loading.find(|(_, ready_at)| **ready_at <= now).map(|(partition, _)| *partition)
        };
        while let Some(partition) = due(&self.state_topics) {
            self.state_topics.loading.remove(&partition);
            let at = offsets_partition(partition);
            let Some(slot) = self.topics.get(&at.topic) else { continue };
            let index = usize::try_from(partition).expect("partitions are counted from 0");
            let Some(replica) = slot.replicas.get(index).and_then(Option::as_ref) else { continue };
            for batch in replica.log.batches_from(replica.log.start_offset()) {
                let (header, records) = decode_batch(&batch.bytes).expect("stored batches were validated");
                self.coordinator.replay(partition, &header, records);
            }
            let mut todo = Todo::default();
            self.coordinator.loaded(now, partition, &mut todo);
            self.do_todo(now, todo, outputs);
        }
    }
}
