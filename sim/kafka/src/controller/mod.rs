//! The controller: who is alive, who leads what, which topics there are.
//!
//! Fakes a KRaft quorum that always has a leader: one state machine that never forgets. Brokers register and
//! heartbeat; one whose session is over is fenced, and its partitions get leaders from their in-sync replicas. Metadata
//! comes to brokers with the answers to their heartbeats, which are held until there is some (in Kafka brokers
//! fetch `__cluster_metadata`). Omits the quorum's own elections, reassignments and racks.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, BrokerHeartbeatResponse, ProducerId,
};

use crate::broker::{ConnectionId, ReplyTo};
use crate::cluster::{CONSUMER_OFFSETS, ClusterSpec, TimestampMs, TopicPartition};
use crate::image::Image;
use crate::peer::PeerAnswer;
use crate::protocol::{Request, RequestKind, Response};

mod brokers;
mod configs;
mod elections;
mod in_sync;
mod partitions;
mod topics;

use brokers::Session;
pub use elections::Elected;

/// What the controller wants done, or wants known.
#[derive(Debug, Clone, PartialEq)]
pub enum ControllerOutput {
    /// The answer to the request that came with this correlation on this connection.
    Respond { conn: ConnectionId, correlation: u64, answer: PeerAnswer },
    /// The peer asked for what the controller does not speak.
    Close { conn: ConnectionId },
    /// Fact: a partition has another leader, or none.
    Elected(Elected),
    /// Fact: a broker was fenced, or is back.
    BrokerFenced { broker: i32, fenced: bool },
}

/// `producer.id.block.size`.
const PRODUCER_ID_BLOCK: i64 = 1_000;

/// What a controller keeps on its disk.
#[cfg(feature = "tcp")]
#[derive(Debug, Clone)]
pub(crate) struct ControllerDisk {
    pub image: Arc<Image>,
    pub topics_made: u64,
    pub next_broker_epoch: i64,
    pub next_producer_id: i64,
}

/// The controller of a cluster. All of it is on a disk.
pub struct Controller {
    cluster: ClusterSpec,
    image: Arc<Image>,
    sessions: BTreeMap<i32, Session>,
    /// Topics made so far, also deleted ones.
    topics_made: u64,
    next_broker_epoch: i64,
    next_producer_id: i64,
    /// When to look for partitions that their preferred replica could lead, if there are any.
    rebalance_at: Option<TimestampMs>,
}

impl Controller {
    /// The controller of a cluster whose brokers are all there: their sessions begin now.
    pub fn new(cluster: ClusterSpec, now: TimestampMs) -> Controller {
        let image = Arc::new(Image::first(&cluster));
        let due = now + cluster.settings.broker_session_timeout_ms;
        let blocks = i64::try_from(cluster.brokers.len()).expect("a cluster has a handful of brokers");
        Controller {
            sessions: cluster.brokers.iter().map(|id| (*id, Session::until(due))).collect(),
            image,
            topics_made: 1,
            next_broker_epoch: 1,
            // Every broker begins with a block of its own.
            next_producer_id: blocks * PRODUCER_ID_BLOCK,
            rebalance_at: None,
            cluster,
        }
    }

    /// A controller with the disk that an earlier process left, after all processes of the cluster have died: no broker
    /// is in session, and leaders lead in a new epoch once they are back.
    #[cfg(feature = "tcp")]
    pub(crate) fn restored(cluster: ClusterSpec, now: TimestampMs, disk: ControllerDisk) -> Controller {
        let ControllerDisk { image, topics_made, next_broker_epoch, next_producer_id } = disk;
        let mut image = Arc::unwrap_or_clone(image);
        image.version += 1;
        let has_peers = cluster.brokers.len() > 1;
        image.brokers.values_mut().for_each(|broker| broker.fenced = has_peers);
        for topic in image.topics.values_mut() {
            for partition in &mut Arc::make_mut(topic).partitions {
                partition.leader_epoch += 1;
                partition.partition_epoch += 1;
            }
        }
        if has_peers {
            elections::all_leave(&mut image, in_sync::Policy::of(&cluster.settings));
        }
        let fresh = Controller::new(cluster, now);
        let sessions = fresh.sessions.keys().map(|id| (*id, Session::over())).collect();
        let image = Arc::new(image);
        Controller { image, sessions, topics_made, next_broker_epoch, next_producer_id, ..fresh }
    }

    #[cfg(feature = "tcp")]
    pub(crate) fn disk(&self) -> ControllerDisk {
        ControllerDisk {
            image: Arc::clone(&self.image),
            topics_made: self.topics_made,
            next_broker_epoch: self.next_broker_epoch,
            next_producer_id: self.next_producer_id,
        }
    }

    /// The cluster as it is.
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    pub fn handle(
        &mut self,
        now: TimestampMs,
        conn: ConnectionId,
        correlation: u64,
        request: Request,
    ) -> Vec<ControllerOutput> {
        let reply = ReplyTo { conn, correlation };
        let mut outputs = Vec::new();
        let response: Response = match request.kind {
            RequestKind::BrokerHeartbeat(request) => {
                self.heartbeat(now, reply, &request, &mut outputs);
                return outputs;
            }
            RequestKind::BrokerRegistration(request) => self.register(now, &request, &mut outputs).into(),
            RequestKind::AlterPartition(request) => self.alter_partition(now, request, &mut outputs).into(),
            RequestKind::AllocateProducerIds(request) => self.allocate_producer_ids(&request).into(),
            RequestKind::CreateTopics(request) => self.create_topics(now, request, &mut outputs).into(),
            RequestKind::DeleteTopics(request) => self.delete_topics(now, request, &mut outputs).into(),
            RequestKind::CreatePartitions(request) => {
                self.create_partitions(now, request, &mut outputs).into()
            }
            RequestKind::IncrementalAlterConfigs(request) => {
                self.alter_configs(now, request, &mut outputs).into()
            }
            RequestKind::ElectLeaders(request) => self.elect_leaders(now, request, &mut outputs).into(),
            _ => return vec![ControllerOutput::Close { conn }],
        };
        outputs.push(self.answer(reply, response));
        outputs
    }

    /// Does what is due: call it at [`Controller::next_deadline`].
    pub fn tick(&mut self, now: TimestampMs) -> Vec<ControllerOutput> {
        let mut outputs = Vec::new();
        self.end_sessions(now, &mut outputs);
        self.answer_held(now, &mut outputs);
        if self.rebalance_at.is_some_and(|due| due <= now) {
            self.rebalance_at = None;
            self.prefer_first_replicas(now, &mut outputs);
        }
        outputs
    }

    pub fn next_deadline(&self) -> Option<TimestampMs> {
        let sessions = self.sessions.values().filter_map(Session::next_deadline);
        sessions.chain(self.rebalance_at).min()
    }

    /// The connection is gone: nothing more is sent on it.
    pub fn disconnected(&mut self, conn: ConnectionId) {
        self.sessions.values_mut().for_each(|session| session.drop_connection(conn));
    }

    /// Every answer brings the newest image: a broker sees what it asked for at once.
    fn answer(&self, reply: ReplyTo, response: Response) -> ControllerOutput {
        let answer = PeerAnswer { response, image: Some(Arc::clone(&self.image)) };
        ControllerOutput::Respond { conn: reply.conn, correlation: reply.correlation, answer }
    }

    /// Changes the image, if `change` says that it did; brokers that wait for news are told.
    fn edit(
        &mut self,
        now: TimestampMs,
        outputs: &mut Vec<ControllerOutput>,
        change: impl FnOnce(&mut Image, &mut Vec<ControllerOutput>) -> bool,
    ) {
        let image = Arc::make_mut(&mut self.image);
        if !change(image, outputs) {
            return;
        }
        image.version += 1;
        self.plan_rebalance(now);
        self.tell_all(outputs);
    }

    fn allocate_producer_ids(&mut self, request: &AllocateProducerIdsRequest) -> AllocateProducerIdsResponse {
        if !self.is_current(request.broker_id.0, request.broker_epoch) {
            return AllocateProducerIdsResponse::default()
                .with_error_code(ResponseError::StaleBrokerEpoch.code());
        }
        let start = self.next_producer_id;
        self.next_producer_id += PRODUCER_ID_BLOCK;
        AllocateProducerIdsResponse::default()
            .with_producer_id_start(ProducerId(start))
            .with_producer_id_len(i32::try_from(PRODUCER_ID_BLOCK).expect("it is 1,000"))
    }

    /// The group's partition of `__consumer_offsets`: whoever leads it coordinates the group.
    pub fn coordinator_partition(&self, group: &str) -> TopicPartition {
        TopicPartition::new(CONSUMER_OFFSETS, self.cluster.offsets_partition_of(group))
    }

    /// The partition's leader as the controller knows it.
    pub fn leader_of(&self, at: &TopicPartition) -> Option<i32> {
        self.image.partition(at).map(|partition| partition.leader).filter(|leader| *leader >= 0)
    }
}

fn refused_heartbeat(error: ResponseError) -> Response {
    BrokerHeartbeatResponse::default().with_error_code(error.code()).into()
}
