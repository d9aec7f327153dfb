//! One broker of the cluster: requests in, responses and facts out; whatever has to wait is parked as data.
//!
//! Called by the simulator's broker node (one per broker) and by the test harness. Fakes: a Kafka 3.x broker in
//! KRaft mode with its part of the topics, its share of the consumer groups and its block of producer ids. Omits:
//! replicas and elections (a partition is led where it is placed, or nobody leads it), metadata that knows of dead
//! brokers, quotas, ACLs, and transactions. The seam for the latter: `InitProducerId`, `FindCoordinator`, `Fetch`
//! and `ListOffsets` refuse their settings with `UNSUPPORTED_VERSION`, `Produce` with `INVALID_TXN_STATE`.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::cluster::{BrokerConfig, TimestampMs, TopicPartition, TopicSpec};
use crate::group::Coordinator;
use crate::protocol::{Request, RequestKind, Response};
use crate::trouble::{Draw, Refusal, Trouble, Troubles};

mod admin;
mod coordination;
mod fetch;
mod foreign;
mod list_offsets;
mod offsets_topic;
mod produce;
mod redelivery;
mod retention;

use admin::ProducerIds;
pub use coordination::{CoordinatorMoved, move_coordinator};
use fetch::ParkedFetches;
pub use list_offsets::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, MAX_TIMESTAMP};
use offsets_topic::OffsetsTopic;
use produce::Partition;
use redelivery::Redeliveries;

/// A client's connection, numbered by the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What a broker wants done, or wants known.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// The answer to the request that came with this correlation on this connection, now or much earlier.
    Respond { conn: ConnectionId, correlation: u64, response: Response },
    /// The client asked for what this broker does not speak: its connection is closed, as Kafka does it.
    Close { conn: ConnectionId },
    /// Fact: a batch can be read from now on. `records` is the batch as stored, offsets filled in: see
    /// [`crate::records::decode_batch`].
    Visible { partition: TopicPartition, base_offset: i64, leader_epoch: i32, records: Bytes },
    /// Fact: a group has a new generation and every member its partitions (no members: the group is empty).
    Rebalanced { group: GroupId, generation: i32, members: Vec<MemberAssignment> },
    /// The controller created a topic: give it to every broker of the cluster with [`Broker::learn_topic`].
    TopicCreated(TopicSpec),
}

/// A member's share of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAssignment {
    pub member_id: StrBytes,
    pub client_id: StrBytes,
    pub partitions: Vec<TopicPartition>,
}

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplyTo {
    pub conn: ConnectionId,
    pub correlation: u64,
}

impl ReplyTo {
    pub fn respond(self, response: impl Into<Response>) -> Output {
        Output::Respond { conn: self.conn, correlation: self.correlation, response: response.into() }
    }
}

struct Topic {
    spec: TopicSpec,
    /// `None` where another broker leads the partition.
    partitions: Vec<Option<Partition>>,
}

/// A broker. On a disk: topics, logs with producer state, committed offsets, finished generations of groups, and the
/// counters behind producer ids, member ids and leader epochs. In memory: parked requests, sessions and rebalances.
pub struct Broker {
    config: BrokerConfig,
    topics: BTreeMap<TopicName, Topic>,
    leader_epoch: i32,
    producer_ids: ProducerIds,
    fetches: ParkedFetches,
    coordinator: Coordinator,
    offsets_topic: OffsetsTopic,
    troubles: Troubles,
    redeliveries: Redeliveries,
    /// How far the broker's clock is ahead of the steady time that waits and sessions count in.
    clock_ahead_ms: i64,
    /// When a segment can have expired.
    next_retention_check: Option<TimestampMs>,
}

impl Broker {
    pub fn new(config: BrokerConfig) -> Broker {
        let mut broker = Broker {
            producer_ids: ProducerIds::new(&config),
            coordinator: Coordinator::new(&config),
            offsets_topic: OffsetsTopic::new(&config),
            topics: BTreeMap::new(),
            leader_epoch: 0,
            fetches: ParkedFetches::default(),
            troubles: Troubles::default(),
            redeliveries: Redeliveries::default(),
            clock_ahead_ms: 0,
            next_retention_check: None,
            config,
        };
        for topic in broker.config.cluster.topics.clone() {
            broker.learn_topic(topic);
        }
        broker.restart_groups(0);
        broker
    }

    /// What the broker's clock shows from now on: the times given to it, which only go forward and by which it waits,
    /// and so much more. Records and retention go by the clock.
    pub fn set_clock(&mut self, ahead_ms: i64) {
        let forward_ms = ahead_ms - self.clock_ahead_ms;
        self.clock_ahead_ms = ahead_ms;
        self.coordinator.set_clock(ahead_ms);
        self.next_retention_check = self.next_retention_check.map(|check| check.saturating_sub(forward_ms));
    }

    fn clock(&self, now: TimestampMs) -> TimestampMs {
        now.saturating_add(self.clock_ahead_ms)
    }

    pub fn id(&self) -> i32 {
        self.config.id
    }

    /// Takes a request; its answer is among the outputs, or comes from a later call, or never (`acks=0`).
    pub fn handle(
        &mut self,
        now: TimestampMs,
        conn: ConnectionId,
        correlation: u64,
        request: Request,
    ) -> Vec<Output> {
        let reply = ReplyTo { conn, correlation };
        self.load_groups(now);
        if self.troubles.is_quiet() {
            return self.carry_out(now, reply, request);
        }
        let answered = !matches!(&request.kind, RequestKind::Produce(produce) if produce.acks == 0);
        let outputs = match self.troubles.refuse(&request.kind) {
            None => self.carry_out(now, reply, request),
            Some(Refusal::Answer(response)) if answered => vec![reply.respond(response)],
            Some(_) => Vec::new(),
        };
        self.troubles.judge(now, outputs)
    }

    fn carry_out(&mut self, now: TimestampMs, reply: ReplyTo, request: Request) -> Vec<Output> {
        match request.kind {
            RequestKind::Produce(request) => self.produce(now, reply, request),
            RequestKind::Fetch(fetch) => self.fetch(now, reply, fetch, request.client_id),
            RequestKind::ListOffsets(request) => vec![reply.respond(self.list_offsets(request))],
            RequestKind::Metadata(request) => vec![reply.respond(self.metadata(request))],
            RequestKind::ApiVersions(_) => vec![reply.respond(self.api_versions())],
            RequestKind::CreateTopics(request) => self.create_topics(reply, request),
            RequestKind::InitProducerId(request) => vec![reply.respond(self.init_producer_id(&request))],
            RequestKind::FindCoordinator(request) => vec![reply.respond(self.find_coordinator(request))],
            _ => self.coordinate(now, reply, request),
        }
    }

    /// Does what is due: call it at [`Broker::next_deadline`]. Too early does nothing, too late does it late.
    pub fn tick(&mut self, now: TimestampMs) -> Vec<Output> {
        let mut outputs = self.expire_fetches(now);
        outputs.extend(self.tick_groups(now));
        self.check_retention(now, &mut outputs);
        if !self.troubles.is_quiet() {
            outputs = self.troubles.judge(now, outputs);
        }
        self.troubles.release(now, &mut outputs);
        outputs
    }

    /// When the next time-out falls due, if any is armed.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        let deadlines = [
            self.fetches.next_deadline(),
            self.coordinator.next_deadline(),
            self.offsets_topic.next_deadline(),
            self.troubles.next_deadline(),
            self.next_retention_check,
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The connection is gone: nothing more is sent on it. A member whose `JoinGroup` was parked there still counts
    /// as joined until its session ends, as in Kafka.
    pub fn disconnected(&mut self, conn: ConnectionId) {
        self.fetches.drop_connection(conn);
        self.coordinator.drop_connection(conn);
        self.troubles.drop_connection(conn);
    }

    /// Puts a trouble on this broker until [`Broker::end_trouble`]. Troubles of the same id end, and are counted,
    /// together. They outlive crashes. Panics where [`Trouble::is_possible`] says no.
    pub fn begin_trouble(&mut self, id: u32, trouble: Trouble, draw: Draw) {
        self.troubles.begin(id, trouble, draw);
    }

    /// Answers that are held already still wait for their time.
    pub fn end_trouble(&mut self, id: u32) {
        self.troubles.end(id);
    }

    /// How many requests the troubles of this id hit so far, also after their end.
    pub fn met(&self, id: u32) -> u64 {
        self.troubles.met(id)
    }

    /// The process dies: parked requests and rebalances under way are gone, silently.
    pub fn crash(&mut self) {
        self.fetches = ParkedFetches::default();
        self.coordinator.crash();
        self.troubles.crash();
    }

    /// The process is back: same log, producer state, committed offsets, and groups as they were last written, with
    /// sessions that begin now; a new leader epoch and a new block of producer ids. Topics created meanwhile must be
    /// taught again with [`Broker::learn_topic`].
    pub fn restart(&mut self, now: TimestampMs) {
        self.restart_groups(now);
        self.leader_epoch += 1;
        self.producer_ids.next_block();
    }

    /// Takes a topic that the controller created. A known topic is left alone.
    pub fn learn_topic(&mut self, spec: TopicSpec) {
        if self.topics.contains_key(&spec.name) {
            return;
        }
        let cluster = &self.config.cluster;
        let partitions = (0..spec.partitions)
            .map(|partition| {
                (cluster.leader_of(&spec.name, partition) == self.config.id).then(Partition::default)
            })
            .collect();
        self.topics.insert(spec.name.clone(), Topic { spec, partitions });
    }

    /// All topics this broker knows.
    pub fn topics(&self) -> impl Iterator<Item = &TopicSpec> {
        self.topics.values().map(|topic| &topic.spec)
    }

    /// Log start and end offset of a partition led here: for oracles, not for clients.
    pub fn log_range(&self, partition: &TopicPartition) -> Option<(i64, i64)> {
        let (_, found) = self.partition(&partition.topic, partition.partition).ok()?;
        Some((found.log.start_offset(), found.log.end_offset()))
    }

    fn partition(&self, topic: &TopicName, index: i32) -> Result<(&TopicSpec, &Partition), ResponseError> {
        let topic = self.topics.get(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let slot = usize::try_from(index).ok().and_then(|index| topic.partitions.get(index));
        let partition = slot.ok_or(ResponseError::UnknownTopicOrPartition)?;
        Ok((&topic.spec, partition.as_ref().ok_or(ResponseError::NotLeaderOrFollower)?))
    }

    /// A request that names the leader epoch it believes in (KIP-320); -1 names none.
    fn check_leader_epoch(&self, current_leader_epoch: i32) -> Result<(), ResponseError> {
        match current_leader_epoch {
            -1 => Ok(()),
            epoch if epoch < self.leader_epoch => Err(ResponseError::FencedLeaderEpoch),
            epoch if epoch > self.leader_epoch => Err(ResponseError::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }
}

fn partition_exists(topics: &BTreeMap<TopicName, Topic>, topic: &TopicName, partition: i32) -> bool {
    topics.get(topic).is_some_and(|topic| (0..topic.spec.partitions).contains(&partition))
}
