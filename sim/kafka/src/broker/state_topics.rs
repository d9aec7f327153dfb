//! The coordinators' own topics in the broker's hands: it appends what coordinators want written, tells them when all in-sync
//! replicas have it, and reads a partition back to them when it comes to lead it.
//!
//! Fakes the time that reading takes: none, or as long as was asked for with [`Broker::slow_load`].

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;

use super::peers::Purpose;
use super::verification::Parked;
use super::waits::Awaited;
use super::{Broker, ConnectionId, Output, ReplyTo, Then};
use crate::cluster::{CONSUMER_OFFSETS, TRANSACTION_STATE, TimestampMs, TopicPartition};
use crate::coordination::{StateTransaction, StateWrite, Todo};
use crate::peer::Peer;
use crate::producer_state::Guard;
use crate::protocol::{Request, Response};
use crate::records::{
    BatchHeader, BatchProducer, Record, RecordView, decode_batch, encode_batch, encode_transactional_batch,
};
use crate::replica::Role;

/// The connection of a broker to itself.
const OWN: ConnectionId = ConnectionId(u64::MAX - 1);

/// Whose topic it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CoordinatorOf {
    Groups,
    Transactions,
}

impl CoordinatorOf {
    pub fn of_topic(topic: &TopicName) -> Option<CoordinatorOf> {
        match topic.as_str() {
            CONSUMER_OFFSETS => Some(CoordinatorOf::Groups),
            TRANSACTION_STATE => Some(CoordinatorOf::Transactions),
            _ => None,
        }
    }

    fn partition(self, partition: i32) -> TopicPartition {
        match self {
            CoordinatorOf::Groups => TopicPartition::new(CONSUMER_OFFSETS, partition),
            CoordinatorOf::Transactions => TopicPartition::new(TRANSACTION_STATE, partition),
        }
    }
}

/// What came of a write, or that a marker has come.
pub(super) enum Outcome {
    Written { of: CoordinatorOf, ticket: u64, outcome: Result<i64, ResponseError> },
    Marker { partition: i32, producer_id: i64, producer_epoch: i16, commit: bool },
}

#[derive(Default)]
pub(super) struct StateTopics {
    /// Partitions that are being read, and until when.
    loading: BTreeMap<TopicPartition, TimestampMs>,
    /// How long reading takes when the time comes.
    slow: BTreeMap<TopicPartition, i64>,
    outcomes: VecDeque<Outcome>,
    /// What coordinators here ask of this broker itself.
    own_requests: VecDeque<(u64, Request)>,
    /// Those without an answer.
    own_open: usize,
}

impl StateTopics {
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.loading.values().min().copied()
    }

    pub fn push(&mut self, outcome: Outcome) {
        self.outcomes.push_back(outcome);
    }

    pub fn ask_self(&mut self, correlation: u64, request: Request) {
        self.own_open += 1;
        self.own_requests.push_back((correlation, request));
    }

    pub fn crash(&mut self) {
        self.loading.clear();
        self.outcomes.clear();
        self.own_requests.clear();
        self.own_open = 0;
    }
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
        self.do_todo(now, CoordinatorOf::Groups, todo, outputs);
    }

    /// Does what a call to a coordinator has left to do. What came of its writes it hears from
    /// [`Broker::tell_coordinators`].
    pub(super) fn do_todo(
        &mut self,
        now: TimestampMs,
        of: CoordinatorOf,
        todo: Todo,
        outputs: &mut Vec<Output>,
    ) {
        outputs.extend(todo.outputs);
        for write in todo.writes {
            match write.transaction.clone() {
                None => self.write_state(now, of, write, Guard::Missing, outputs),
                Some(transaction) => self.verify_write(now, of, write, transaction, outputs),
            }
        }
        for send in todo.sends {
            let purpose = Purpose::Markers { ticket: send.ticket };
            self.call(Peer::Broker(send.to), send.request, send.timeout_ms, purpose, outputs);
        }
    }

    /// Offsets of a transaction are written when the transaction's coordinator has nothing against it.
    fn verify_write(
        &mut self,
        now: TimestampMs,
        of: CoordinatorOf,
        write: StateWrite,
        transaction: StateTransaction,
        outputs: &mut Vec<Output>,
    ) {
        let (at, ticket) = (of.partition(write.partition), write.ticket);
        let (_, header) = state_batch(self.clock(now), &write);
        match self.begin_state_verification(now, &at, &header, transaction.is_added) {
            Ok(guard @ Guard::Verified(_)) => {
                let parked = Parked::State { of, write, guard };
                self.ask_about_write(now, &at, transaction, parked, outputs);
            }
            Ok(guard) => self.write_state(now, of, write, guard, outputs),
            Err(error) => self.state_topics.push(Outcome::Written { of, ticket, outcome: Err(error) }),
        }
    }

    /// Appends a coordinator's records with `acks=all`.
    pub(super) fn write_state(
        &mut self,
        now: TimestampMs,
        of: CoordinatorOf,
        write: StateWrite,
        guard: Guard,
        outputs: &mut Vec<Output>,
    ) {
        let (at, ticket) = (of.partition(write.partition), write.ticket);
        match self.append_state(now, &at, write, guard) {
            Ok(required) => {
                let timeout_ms = match of {
                    CoordinatorOf::Groups => self.config.cluster.settings.offsets_commit_timeout_ms,
                    CoordinatorOf::Transactions => self.transactions.write_timeout_ms(ticket),
                };
                let append = Awaited { at: at.clone(), required, outcome: None };
                self.waits.add(Some(now + timeout_ms), vec![append], Then::Written { of, ticket });
                self.log_grew(now, &at, outputs);
            }
            Err(error) => self.state_topics.push(Outcome::Written { of, ticket, outcome: Err(error) }),
        }
    }

    /// The high watermark at which all in-sync replicas have the batch.
    fn append_state(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        write: StateWrite,
        guard: Guard,
    ) -> Result<i64, ResponseError> {
        let (_, replica) = self.led(&at.topic, at.partition)?;
        let in_sync = replica.leading().map_or(0, |leading| leading.isr.len());
        if in_sync < self.min_insync(at) {
            return Err(ResponseError::NotEnoughReplicas);
        }
        let clock = self.clock(now);
        let (batch, header) = state_batch(clock, &write);
        let expiration = self.config.producer_id_expiration();
        let (_, replica) = self.led(&at.topic, at.partition)?;
        replica.producers.check(clock, expiration, &header, guard)?;
        let appended = self.append_led(now, at, &header, None, batch)?;
        Ok(appended.base_offset + i64::from(header.last_offset_delta) + 1)
    }

    /// Tells coordinators what came of their writes, has this broker answer its own requests, and does what follows from
    /// that, until nothing is left.
    pub(super) fn tell_coordinators(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        loop {
            if let Some(outcome) = self.state_topics.outcomes.pop_front() {
                self.tell(now, outcome, outputs);
            } else if let Some((correlation, request)) = self.state_topics.own_requests.pop_front() {
                self.carry_out(now, ReplyTo { conn: OWN, correlation }, request, outputs);
            } else if let Some((correlation, response)) = self.own_answer(outputs) {
                self.call_ended(now, correlation, Ok(response.into()), outputs);
            } else {
                return;
            }
        }
    }

    fn tell(&mut self, now: TimestampMs, outcome: Outcome, outputs: &mut Vec<Output>) {
        let mut todo = Todo::default();
        match outcome {
            Outcome::Written { of: CoordinatorOf::Transactions, ticket, outcome } => {
                self.with_transactions(now, outputs, |coordinator, env| {
                    coordinator.written(env, ticket, outcome);
                });
            }
            Outcome::Written { of: CoordinatorOf::Groups, ticket, outcome } => {
                self.coordinator.written(now, ticket, outcome, &mut todo);
            }
            Outcome::Marker { partition, producer_id, producer_epoch, commit } => {
                self.coordinator.marker(now, partition, producer_id, producer_epoch, commit);
            }
        }
        self.do_todo(now, CoordinatorOf::Groups, todo, outputs);
    }

    fn own_answer(&mut self, outputs: &mut Vec<Output>) -> Option<(u64, Response)> {
        if self.state_topics.own_open == 0 {
            return None;
        }
        let is_own = |output: &Output| matches!(output, Output::Respond { conn, .. } if *conn == OWN);
        let place = outputs.iter().position(is_own)?;
        let Output::Respond { correlation, response, .. } = outputs.remove(place) else { return None };
        self.state_topics.own_open -= 1;
        Some((correlation, response))
    }

    pub(super) fn tick_coordinators(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        self.load_states(now, outputs);
        let mut todo = Todo::default();
        self.coordinator.tick(now, &mut todo);
        self.do_todo(now, CoordinatorOf::Groups, todo, outputs);
        self.with_transactions(now, outputs, |coordinator, env| coordinator.tick(env));
        self.ask_again(now, outputs);
    }

    /// When this broker comes to lead a group's partition of `__consumer_offsets`, reading it takes so long.
    pub fn slow_load(&mut self, group: &str, load_ms: i64) {
        let partition = self.config.cluster.offsets_partition_of(group);
        self.state_topics.slow.insert(CoordinatorOf::Groups.partition(partition), load_ms);
    }

    /// A partition of a coordinator's topic is led here from now on.
    pub(super) fn state_elected(&mut self, now: TimestampMs, at: &TopicPartition, outputs: &mut Vec<Output>) {
        let Some(of) = CoordinatorOf::of_topic(&at.topic) else { return };
        let Ok((_, replica)) = self.led(&at.topic, at.partition) else { return };
        let (partition, leader_epoch) = (at.partition, replica.leader_epoch);
        match of {
            CoordinatorOf::Groups => {
                let mut todo = Todo::default();
                self.coordinator.elected(now, partition, leader_epoch, &mut todo);
                self.do_todo(now, of, todo, outputs);
            }
            CoordinatorOf::Transactions => self.with_transactions(now, outputs, |coordinator, env| {
                coordinator.elected(partition, leader_epoch, env.todo);
            }),
        }
        let load_ms = self.state_topics.slow.remove(at).unwrap_or(0);
        self.state_topics.loading.insert(at.clone(), now + load_ms);
        self.load_states(now, outputs);
    }

    /// A partition of a coordinator's topic is led elsewhere from now on.
    pub(super) fn state_resigned(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        outputs: &mut Vec<Output>,
    ) {
        let Some(of) = CoordinatorOf::of_topic(&at.topic) else { return };
        self.state_topics.loading.remove(at);
        let partition = at.partition;
        match of {
            CoordinatorOf::Groups => {
                self.questions.drop_where(|parked| parked.is_for_offsets(partition));
                let mut todo = Todo::default();
                self.coordinator.resigned(now, partition, &mut todo);
                self.do_todo(now, of, todo, outputs);
            }
            CoordinatorOf::Transactions => self.with_transactions(now, outputs, |coordinator, env| {
                coordinator.resigned(partition, env.todo);
            }),
        }
    }

    /// Reads the partitions that it is time for.
    pub(super) fn load_states(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        let due = |topics: &StateTopics| {
            let mut loading = topics.loading.iter();
            loading.find(|(_, ready_at)| **ready_at <= now).map(|(at, _)| at.clone())
        };
        while let Some(at) = due(&self.state_topics) {
            self.state_topics.loading.remove(&at);
            let partition = at.partition;
            match CoordinatorOf::of_topic(&at.topic) {
                Some(CoordinatorOf::Groups) => {
                    for (header, records) in self.batches_of(&at) {
                        self.coordinator.replay(partition, &header, records);
                    }
                    self.markers_are_read(&at);
                    let mut todo = Todo::default();
                    self.coordinator.loaded(now, partition, &mut todo);
                    self.do_todo(now, CoordinatorOf::Groups, todo, outputs);
                }
                Some(CoordinatorOf::Transactions) => {
                    let batches = self.batches_of(&at);
                    self.with_transactions(now, outputs, |coordinator, env| {
                        for (header, records) in batches {
                            coordinator.replay(partition, &header, &records);
                        }
                        coordinator.loaded(env, partition);
                    });
                }
                None => {}
            }
        }
    }

    /// The group coordinator has read all markers that are in the log. To tell it again of one, when the high watermark passes
    /// it, would end the transaction that its producer has begun since.
    fn markers_are_read(&mut self, at: &TopicPartition) {
        let Ok((_, replica)) = self.led_mut(&at.topic, at.partition) else { return };
        let end = replica.log.end_offset();
        if let Role::Leader(leading) = &mut replica.role {
            leading.told = end;
        }
    }

    fn batches_of(&self, at: &TopicPartition) -> Vec<(BatchHeader, Vec<Record>)> {
        let Some((_, replica)) = self.replica(&at.topic, at.partition) else { return Vec::new() };
        let batches = replica.log.batches_from(replica.log.start_offset());
        batches.map(|batch| decode_batch(&batch.bytes).expect("stored batches were validated")).collect()
    }
}

fn state_batch(timestamp: TimestampMs, write: &StateWrite) -> (Bytes, BatchHeader) {
    let views = write.records.iter().map(|record| RecordView {
        timestamp,
        key: Some(&record.key),
        value: record.value.as_deref(),
        headers: &[],
    });
    let views: Vec<RecordView<'_>> = views.collect();
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
    (batch, header)
}
