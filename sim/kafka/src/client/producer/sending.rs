//! What goes out when: batches that are full or have lingered, up to `max.in.flight` requests per broker.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::poll_immediate;
use kafka_protocol::messages::TransactionalId;
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_protocol::protocol::StrBytes;

use super::config::MAX_IN_FLIGHT_IDEMPOTENT;
use super::{Acks, Answer, Done, Producer, Profile, Slot};
use crate::client::Link;
use crate::cluster::{TimestampMs, TopicPartition};
use crate::producer_state::add_sequence;

/// The newest `Produce` that does not add partitions to a transaction by itself.
const PRODUCE_V1: i16 = 11;
/// Adds its partitions to the transaction (KIP-890).
const PRODUCE_V2: i16 = 12;

/// A request under way, with the batches in it.
pub(super) struct Flight {
    pub broker: i32,
    pub batches: Vec<(TopicPartition, u64)>,
}

/// Requests under way.
#[derive(Default)]
pub(super) struct Flights {
    next: u64,
    by_id: BTreeMap<u64, Flight>,
    per_broker: BTreeMap<i32, u32>,
}

impl Flights {
    fn begin(&mut self, flight: Flight) -> u64 {
        self.next += 1;
        *self.per_broker.entry(flight.broker).or_default() += 1;
        self.by_id.insert(self.next, flight);
        self.next
    }

    pub fn end(&mut self, id: u64) -> Option<Flight> {
        let flight = self.by_id.remove(&id)?;
        if let Some(count) = self.per_broker.get_mut(&flight.broker) {
            *count -= 1;
        }
        Some(flight)
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Takes a batch out of its request; the request's number, if nothing else is in it.
    pub fn drop_batch(&mut self, partition: &TopicPartition, batch: u64) -> Option<u64> {
        let holds = |held: &(TopicPartition, u64)| held.1 == batch && held.0 == *partition;
        let (id, flight) = self.by_id.iter_mut().find(|(_, flight)| flight.batches.iter().any(holds))?;
        flight.batches.retain(|held| !holds(held));
        flight.batches.is_empty().then_some(*id)
    }

    fn on(&self, broker: i32) -> u32 {
        self.per_broker.get(&broker).copied().unwrap_or(0)
    }
}

impl<L: Link + ?Sized + 'static> Producer<L> {
    /// Sends until nothing is ready any more, or brokers have enough to do.
    pub(super) fn send_ready(&mut self, now: TimestampMs) {
        if self.is_draining || (self.resolved.idempotent && self.identity.is_none()) {
            return;
        }
        loop {
            let mut sent = false;
            for (broker, partitions) in self.ready(now) {
                let mut rest = partitions;
                while !rest.is_empty() && self.flights.on(broker) < self.resolved.max_in_flight {
                    let count = self.fitting(&rest);
                    let later = rest.split_off(count);
                    self.send_to(now, broker, rest);
                    rest = later;
                    sent = true;
                }
            }
            if !sent {
                return;
            }
        }
    }

    /// Partitions with a batch to send, by leader.
    fn ready(&mut self, now: TimestampMs) -> BTreeMap<i32, Vec<TopicPartition>> {
        let linger_ms = if self.is_flushing { 0 } else { self.config.linger_ms };
        let mut ready: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        for (name, lane) in &mut self.lanes {
            if lane.ready_at(linger_ms, &self.limits).is_none_or(|at| at > now) {
                continue;
            }
            if self.transaction.as_ref().is_some_and(|transaction| !transaction.covers(name)) {
                continue;
            }
            if let Some(identity) = self.identity.filter(|_| self.resolved.idempotent) {
                let is_full = lane.flying.len() >= MAX_IN_FLIGHT_IDEMPOTENT as usize;
                if is_full || lane.next_producer(identity).is_none() {
                    continue;
                }
            }
            match self.metadata.leader(name) {
                Some(leader) if self.flights.on(leader) < self.resolved.max_in_flight => {
                    ready.entry(leader).or_default().push(name.clone());
                }
                Some(_) => {}
                None => self.needs_metadata = true,
            }
        }
        ready
    }

    /// How many of these partitions' first batches go into one request.
    fn fitting(&self, partitions: &[TopicPartition]) -> usize {
        if self.config.profile == Profile::Librdkafka {
            return 1;
        }
        let mut size = 0usize;
        let fits = partitions.iter().take_while(|name| {
            let first = self.lanes.get(*name).and_then(|lane| lane.waiting.front());
            size = size.saturating_add(first.map_or(0, super::lane::Batch::bytes));
            size <= self.config.max_request_size
        });
        fits.count().max(1)
    }

    fn send_to(&mut self, now: TimestampMs, broker: i32, partitions: Vec<TopicPartition>) {
        let mut topics: Vec<TopicProduceData> = Vec::new();
        let mut batches = Vec::with_capacity(partitions.len());
        let mut deadline = now + 1;
        for name in partitions {
            let (id, bytes, batch_deadline) = self.take_off(&name);
            deadline = deadline.max(batch_deadline);
            let data = PartitionProduceData::default().with_index(name.partition).with_records(Some(bytes));
            match topics.last_mut() {
                Some(topic) if topic.name == name.topic => topic.partition_data.push(data),
                _ => topics.push(
                    TopicProduceData::default().with_name(name.topic.clone()).with_partition_data(vec![data]),
                ),
            }
            batches.push((name, id));
        }
        let acks = self.resolved.acks;
        let transactional_id = self.config.transactional_id.clone();
        let request = ProduceRequest::default()
            .with_transactional_id(transactional_id.map(|id| TransactionalId(StrBytes::from_string(id))))
            .with_acks(acks.wire())
            .with_timeout_ms(i32::try_from(self.config.request_timeout_ms).unwrap_or(i32::MAX))
            .with_topic_data(topics);
        self.transaction.iter_mut().for_each(super::Transaction::sent);
        let is_v2 = self.transaction.as_ref().is_some_and(super::Transaction::is_v2);
        let version = if is_v2 { PRODUCE_V2 } else { PRODUCE_V1 };
        let timeout_ms = self.config.request_timeout_ms.min(deadline - now);
        let flight = self.flights.begin(Flight { broker, batches });
        let caller = self.caller.clone();
        self.tasks.start(Slot::Produce(flight), async move {
            let call = caller.call_as(broker, version, request, timeout_ms);
            let answer = match acks {
                // On its way is as good as done: nothing will be answered, whatever comes of it.
                Acks::None => {
                    let _ = poll_immediate(call).await;
                    Answer::NotAwaited
                }
                Acks::Leader | Acks::All => call.await.map_or_else(Answer::Failed, Answer::Told),
            };
            Done::Produced { flight, answer }
        });
    }

    /// The first batch of a partition, ready to go: its id, bytes and deadline.
    fn take_off(&mut self, name: &TopicPartition) -> (u64, Bytes, TimestampMs) {
        let lane = self.lanes.get_mut(name).expect("only ready partitions are sent");
        let producer = match self.identity.filter(|_| self.resolved.idempotent) {
            Some(identity) => lane.next_producer(identity),
            None => None,
        };
        let mut batch = lane.waiting.pop_front().expect("only ready partitions are sent");
        if !batch.is_encoded()
            && let (Some(sequence), Some(producer)) = (lane.sequence.as_mut(), producer)
        {
            sequence.next = add_sequence(producer.base_sequence, batch.len());
        }
        batch.attempts += 1;
        let bytes = batch.encode(producer, self.transaction.is_some());
        let (id, deadline) = (batch.id(), batch.deadline);
        lane.flying.insert(id, batch);
        (id, bytes, deadline)
    }
}
