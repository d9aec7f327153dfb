//! A broker.
use bytes::Bytes;
use kafka_protocol::messages::GroupId;
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

use crate::cluster::{BrokerConfig, TimestampMs, TopicPartition, TopicSpec};
use crate::protocol::{Request, Response};

/// A client's connection, numbered by the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What a broker wants done, or wants known.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// The answer to the request that came with this correlation on this connection, now or much earlier.
    Respond { conn: ConnectionId, correlation: u64, response: Response },
    /// Fact: a batch can be read from now on. `records` is the batch as stored, offsets filled in.
    Visible { partition: TopicPartition, base_offset: i64, leader_epoch: i32, records: Bytes },
    /// Fact: a group has a new generation and every member its partitions (none when the group is empty).
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

pub struct Broker {
    config: BrokerConfig,
    topics: BTreeMap<StrBytes, TopicSpec>,
}

impl Broker {
    pub fn new(config: BrokerConfig) -> Broker {
        Broker { config, topics: BTreeMap::new() }
    }
    pub fn id(&self) -> i32 {
        self.config.id
    }
    /// Takes a request; its answer may be among the outputs, or come from a later call.
    pub fn handle(
        &mut self,
        now: TimestampMs,
        conn: ConnectionId,
        correlation: u64,
        request: Request,
    ) -> Vec<Output> {
        let _ = (now, conn, correlation, request);
        todo!()
    }
    /// Does what is due: call it at [`Broker::next_deadline`] (earlier or later is harmless).
    pub fn tick(&mut self, now: TimestampMs) -> Vec<Output> {
        let _ = now;
        todo!()
    }
    /// When the next time-out falls due, if any is armed.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        todo!()
    }
    /// Drops whatever is parked for a connection.
    pub fn disconnected(&mut self, conn: ConnectionId) {
        let _ = conn;
        todo!()
    }
    /// The process dies: parked requests and group membership are gone.
    pub fn crash(&mut self) {
        todo!()
    }
    /// The process is back: same log, producer state and committed offsets, next leader epoch.
    pub fn restart(&mut self, now: TimestampMs) {
        let _ = now;
        todo!()
    }
    /// A topic that the controller created. Known topics are left alone.
    pub fn learn_topic(&mut self, topic: TopicSpec) {
        self.topics.insert(topic.name.0.clone(), topic);
    }
    /// All topics this broker knows.
    pub fn topics(&self) -> impl Iterator<Item = &TopicSpec> {
        self.topics.values()
    }
    /// Retention: deletes whole segments by `retention.ms`, and offsets of groups long empty.
    pub fn expire(&mut self, now: TimestampMs) {
        let _ = now;
        todo!()
    }
}
