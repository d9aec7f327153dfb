//! One broker of the cluster: requests in, responses and facts out; whatever has to wait is parked as data.
//!
//! Called by the simulator's broker node (one per broker), by the TCP front and by the test harness. Fakes: a Kafka 4.x
//! broker in KRaft mode: replicas of its partitions, led or followed, its share of the coordinators, and its sessions with
//! the controller. Omits: quotas, ACLs, tiered storage, rack awareness.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::cluster::{BrokerConfig, TimestampMs, TopicPartition, TopicSpec};
use crate::group::Coordinator;
use crate::image::Image;
use crate::peer::Peer;
use crate::protocol::{Request, RequestKind, Response};
use crate::replica::{Replica, Role};
use crate::trouble::Troubles;
use crate::txn::{Questions, TransactionCoordinator};

mod admin;
mod compaction;
mod configs;
mod coordination;
#[cfg(feature = "tcp")]
mod disk;
mod epochs;
mod facts;
mod fetch;
mod following;
mod foreign;
mod images;
mod isr;
mod leading;
mod list_offsets;
mod metadata;
mod peers;
mod produce;
mod producer_ids;
mod redelivery;
mod retention;
mod session;
mod sessions;
mod state_topics;
mod transactions;
mod troubles;
mod verification;
mod waits;

use compaction::Cleaner;
use fetch::ParkedFetches;
use following::Following;
use isr::IsrChanges;
pub use list_offsets::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, MAX_TIMESTAMP};
use peers::Calls;
use produce::Then;
use producer_ids::ProducerIds;
use redelivery::Redeliveries;
use session::Session;
use sessions::FetchSessions;
use state_topics::StateTopics;
use verification::Parked;
use waits::Waits;

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
    /// A request to another broker or to the controller: [`Broker::answered`] wants its outcome, after `timeout_ms` at the
    /// latest. Requests to one peer arrive in this order.
    Send { to: Peer, correlation: u64, request: Request, timeout_ms: i64 },
    /// Fact: a batch can be read from now on, by readers of `read_committed` too. `records` is the batch as stored, offsets
    /// filled in: see [`crate::records::decode_batch`]. A new leader may tell again what an earlier one has told.
    Visible { partition: TopicPartition, base_offset: i64, leader_epoch: i32, records: Bytes },
    /// Fact: this broker's log lost what it had from `from` up to `to`.
    Truncated { partition: TopicPartition, from: i64, to: i64 },
    /// The broker's only log directory has failed: the process ends itself, and says nothing more.
    Halt,
    /// Fact: a group has a new generation and every member its partitions (no members: the group is empty).
    Rebalanced { group: GroupId, generation: i32, members: Vec<MemberAssignment> },
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
    id: Uuid,
    spec: TopicSpec,
    /// `None` where this broker has no replica.
    replicas: Vec<Option<Replica>>,
}

/// A broker. On a disk: logs with what is derived from them, and high watermarks. In memory: everything else.
pub struct Broker {
    config: BrokerConfig,
    image: Arc<Image>,
    topics: BTreeMap<TopicName, Topic>,
    session: Session,
    calls: Calls,
    last_call: u64,
    producer_ids: ProducerIds,
    fetches: ParkedFetches,
    fetch_sessions: FetchSessions,
    waits: Waits<Then>,
    following: Following,
    isr_changes: IsrChanges,
    coordinator: Coordinator,
    transactions: TransactionCoordinator,
    questions: Questions<Parked>,
    state_topics: StateTopics,
    troubles: Troubles,
    /// A write failed: the process is about to halt.
    log_dir_failed: bool,
    redeliveries: Redeliveries,
    /// How far the broker's clock is ahead of the steady time that waits and sessions count in.
    clock_ahead_ms: i64,
    /// When a segment can have expired.
    next_retention_check: Option<TimestampMs>,
    cleaner: Cleaner,
}

impl Broker {
    /// A broker of a new cluster, that all brokers are part of from the beginning.
    pub fn new(config: BrokerConfig) -> Broker {
        let image = Arc::new(Image::first(&config.cluster));
        let mut broker = Broker {
            producer_ids: ProducerIds::first(&config),
            coordinator: Coordinator::new(&config),
            transactions: TransactionCoordinator::new(config.transactions.clone(), &config.cluster.settings),
            questions: Questions::default(),
            state_topics: StateTopics::default(),
            session: Session::first(&config),
            image: Arc::clone(&image),
            topics: BTreeMap::new(),
            calls: Calls::default(),
            last_call: 0,
            fetches: ParkedFetches::default(),
            fetch_sessions: FetchSessions::default(),
            waits: Waits::default(),
            following: Following::default(),
            isr_changes: IsrChanges::default(),
            troubles: Troubles::default(),
            log_dir_failed: false,
            redeliveries: Redeliveries::default(),
            clock_ahead_ms: 0,
            next_retention_check: None,
            cleaner: Cleaner::default(),
            config,
        };
        broker.take_image(0, &image, &mut Vec::new());
        broker
    }

    /// What the broker's clock shows from now on: the times given to it, which only go forward and by which it waits,
    /// and so much more. Records and retention go by the clock.
    pub fn set_clock(&mut self, ahead_ms: i64) {
        let forward_ms = ahead_ms - self.clock_ahead_ms;
        self.clock_ahead_ms = ahead_ms;
        self.coordinator.set_clock(ahead_ms);
        self.cleaner.clock_moved(forward_ms);
        self.next_retention_check = self.next_retention_check.map(|check| check.saturating_sub(forward_ms));
    }

    fn clock(&self, now: TimestampMs) -> TimestampMs {
        now.saturating_add(self.clock_ahead_ms)
    }

    pub fn id(&self) -> i32 {
        self.config.id
    }

    /// The process begins its work: it follows leaders and tells the controller that it is there. Once, for the first
    /// process of a broker; later ones begin with [`Broker::restart`].
    pub fn start(&mut self, now: TimestampMs) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.session.start(now);
        self.following.start();
        self.settle(now, &mut outputs);
        outputs
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
        if !self.session.serves() {
            return vec![Output::Close { conn }];
        }
        let Some(request) = self.troubles.take_in(now, reply, request) else { return Vec::new() };
        let mut outputs = Vec::new();
        self.load_states(now, &mut outputs);
        self.take_in(now, reply, request, &mut outputs);
        self.settle(now, &mut outputs);
        self.troubles.judge(now, outputs)
    }

    fn carry_out(&mut self, now: TimestampMs, reply: ReplyTo, request: Request, outputs: &mut Vec<Output>) {
        let Request { client_id, version, kind } = request;
        let response: Response = match kind {
            RequestKind::Produce(produce) => return self.produce(now, reply, version, produce, outputs),
            RequestKind::Fetch(fetch) => return self.fetch(now, reply, fetch, client_id, outputs),
            RequestKind::ListOffsets(request) => self.list_offsets(request).into(),
            RequestKind::OffsetForLeaderEpoch(request) => self.offsets_for_leader_epochs(request).into(),
            RequestKind::Metadata(request) => return self.metadata(now, reply, request, outputs),
            RequestKind::DescribeCluster(request) => self.describe_cluster(&request).into(),
            RequestKind::DescribeTopicPartitions(request) => self.describe_topic_partitions(request).into(),
            RequestKind::DescribeConfigs(request) => self.describe_configs(request).into(),
            RequestKind::DescribeProducers(request) => self.describe_producers(request).into(),
            RequestKind::ApiVersions(_) => self.api_versions().into(),
            RequestKind::DeleteRecords(request) => self.delete_records_request(request, outputs).into(),
            kind @ (RequestKind::CreateTopics(_)
            | RequestKind::DeleteTopics(_)
            | RequestKind::CreatePartitions(_)
            | RequestKind::IncrementalAlterConfigs(_)
            | RequestKind::ElectLeaders(_)) => return self.forward(reply, kind, outputs),
            RequestKind::InitProducerId(request) => {
                return self.init_producer_id(now, reply, request, outputs);
            }
            RequestKind::FindCoordinator(request) => self.find_coordinator(request).into(),
            RequestKind::WriteTxnMarkers(request) => {
                return self.write_txn_markers(now, reply, request, outputs);
            }
            kind => {
                let request = Request { client_id, version, kind };
                return self.handle_transaction(now, reply, request, outputs);
            }
        };
        outputs.push(reply.respond(response));
    }

    /// Does what is due: call it at [`Broker::next_deadline`]. Too early does nothing, too late does it late.
    pub fn tick(&mut self, now: TimestampMs) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.expire_waits(now, &mut outputs);
        self.expire_fetches(now, &mut outputs);
        self.tick_coordinators(now, &mut outputs);
        self.check_retention(now, &mut outputs);
        self.clean_logs(now);
        self.check_isr(now);
        self.do_held(now, &mut outputs);
        self.settle(now, &mut outputs);
        if !self.troubles.is_quiet() {
            outputs = self.troubles.judge(now, outputs);
        }
        self.troubles.release(now, &mut outputs);
        outputs
    }

    /// When the next time-out falls due, if any is armed.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        let deadlines = [
            self.waits.next_deadline(),
            self.fetches.next_deadline(),
            self.coordinator.next_deadline(),
            self.transactions.next_deadline(),
            self.questions.next_deadline(),
            self.state_topics.next_deadline(),
            self.troubles.next_deadline(),
            self.session.next_deadline(),
            self.following.next_deadline().filter(|_| self.session.serves()),
            self.isr_changes.next_deadline(),
            self.next_retention_check,
            self.cleaner.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// What follows from everything that was done: requests to the controller and to leaders.
    fn settle(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        self.tell_coordinators(now, outputs);
        self.send_heartbeat(now, outputs);
        self.send_isr_changes(outputs);
        self.send_fetches(now, outputs);
        self.halt_if_disk_failed(outputs);
    }

    /// The connection is gone: nothing more is sent on it. A member whose `JoinGroup` was parked there still counts
    /// as joined until its session ends, as in Kafka.
    pub fn disconnected(&mut self, conn: ConnectionId) {
        self.fetches.drop_connection(conn);
        self.waits.drop_where(|then| then.is_on(conn));
        self.coordinator.drop_connection(conn);
        self.transactions.drop_connection(conn);
        self.questions.drop_where(|parked| parked.is_on(conn));
        self.troubles.drop_connection(conn);
        self.calls.drop_connection(conn);
        self.producer_ids.drop_connection(conn);
    }

    /// The process dies: everything but the disk is gone, silently. The machine goes on, so the disk has all that was
    /// written.
    pub fn crash(&mut self) {
        self.calls = Calls::default();
        self.fetches = ParkedFetches::default();
        self.fetch_sessions = FetchSessions::default();
        self.waits = Waits::default();
        self.following = Following::default();
        self.isr_changes = IsrChanges::default();
        self.cleaner = Cleaner::default();
        self.producer_ids.crash();
        self.coordinator.crash();
        self.transactions.crash();
        self.questions.crash();
        self.state_topics.crash();
        self.troubles.crash();
        self.log_dir_failed = false;
        for replica in self.topics.values_mut().flat_map(|topic| topic.replicas.iter_mut().flatten()) {
            replica.role = Role::Follower { leader: crate::image::NO_LEADER };
            replica.partition_epoch = -1;
        }
    }

    /// The machine loses its power, and with it what it had not written back to the disk within `writeback_ms`, besides what
    /// [`Broker::crash`] loses.
    pub fn lose_power(&mut self, now: TimestampMs, writeback_ms: i64) -> Vec<Output> {
        self.crash();
        let mut outputs = Vec::new();
        for (name, topic) in &mut self.topics {
            for (index, replica) in (0..).zip(&mut topic.replicas) {
                let Some(replica) = replica else { continue };
                let to = replica.log.end_offset();
                let Some(from) = replica.log.lose_power(now, writeback_ms) else { continue };
                self.session.stopped_uncleanly();
                replica.rebuild_producers();
                replica.high_watermark = replica.high_watermark.min(replica.log.end_offset());
                let partition = TopicPartition { topic: name.clone(), partition: index };
                outputs.push(Output::Truncated { partition, from, to });
            }
        }
        outputs
    }

    /// The process is back, with what is on its disk. It serves once the controller has registered it.
    pub fn restart(&mut self, now: TimestampMs) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.session.restart(now);
        if self.session.serves() {
            let image = Arc::clone(&self.image);
            self.take_image(now, &image, &mut outputs);
        }
        self.following.start();
        self.look_at_all_logs(now);
        self.settle(now, &mut outputs);
        outputs
    }

    /// The cluster as this broker knows it.
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// Log start and end offset of a partition led here: for oracles, not for clients.
    pub fn log_range(&self, partition: &TopicPartition) -> Option<(i64, i64)> {
        let (_, found) = self.led(&partition.topic, partition.partition).ok()?;
        Some((found.log.start_offset(), found.log.end_offset()))
    }

    /// The log end offset of a replica of this broker, led here or not: for oracles, not for clients.
    pub fn replica_end(&self, at: &TopicPartition) -> Option<i64> {
        self.replica(&at.topic, at.partition).map(|(_, replica)| replica.log.end_offset())
    }

    /// A replica of this broker, led here or not.
    fn replica(&self, topic: &TopicName, index: i32) -> Option<(&TopicSpec, &Replica)> {
        let topic = self.topics.get(topic)?;
        let replica = topic.replicas.get(usize::try_from(index).ok()?)?.as_ref()?;
        Some((&topic.spec, replica))
    }

    fn replica_mut(&mut self, topic: &TopicName, index: i32) -> Option<(&TopicSpec, &mut Replica)> {
        let topic = self.topics.get_mut(topic)?;
        let replica = topic.replicas.get_mut(usize::try_from(index).ok()?)?.as_mut()?;
        Some((&topic.spec, replica))
    }

    /// A partition that this broker leads, as far as it knows.
    fn led(&self, topic: &TopicName, index: i32) -> Result<(&TopicSpec, &Replica), ResponseError> {
        let known = self.topics.get(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let slot = usize::try_from(index).ok().and_then(|index| known.replicas.get(index));
        let slot = slot.ok_or(ResponseError::UnknownTopicOrPartition)?;
        let replica = slot.as_ref().filter(|replica| replica.leading().is_some());
        Ok((&known.spec, replica.ok_or(ResponseError::NotLeaderOrFollower)?))
    }

    fn led_mut(
        &mut self,
        topic: &TopicName,
        index: i32,
    ) -> Result<(&TopicSpec, &mut Replica), ResponseError> {
        led_in(&mut self.topics, topic, index)
    }
}

fn led_in<'a>(
    topics: &'a mut BTreeMap<TopicName, Topic>,
    topic: &TopicName,
    index: i32,
) -> Result<(&'a TopicSpec, &'a mut Replica), ResponseError> {
    let known = topics.get_mut(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let slot = usize::try_from(index).ok().and_then(|index| known.replicas.get_mut(index));
    let slot = slot.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let replica = slot.as_mut().filter(|replica| replica.leading().is_some());
    Ok((&known.spec, replica.ok_or(ResponseError::NotLeaderOrFollower)?))
}

/// A request that names the leader epoch it believes in (KIP-320); -1 names none.
fn check_leader_epoch(replica: &Replica, current_leader_epoch: i32) -> Result<(), ResponseError> {
    match current_leader_epoch {
        -1 => Ok(()),
        epoch if epoch < replica.leader_epoch => Err(ResponseError::FencedLeaderEpoch),
        epoch if epoch > replica.leader_epoch => Err(ResponseError::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}
