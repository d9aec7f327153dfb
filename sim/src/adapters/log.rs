//! The Log port: Kafka clients on the simulated network.

mod settings;
mod transactional;

use std::rc::Rc;

use async_trait::async_trait;
use host::ports::{Log, LogConsumer, LogEvent, LogProducer, LogRecord, OutRecord, SendError};
use kafka::client::{
    AutoOffsetReset, Consumer, ConsumerError, ConsumerEvent, IsolationLevel, Link as KafkaLink, LinkError,
    Producer, ProducerRecord, Profile,
};
use kafka::partitioner::partition_for;
use kafka::{Request, Response, StrBytes, TopicName, TopicPartition};

pub use self::settings::KafkaClientSettings;
use super::{CallError, Peers};
use crate::world::network::NodeIndex;
use crate::world::node::Node;

/// The way from one process to the brokers.
pub struct BrokerLink {
    node: Node,
    peers: Peers,
    /// Nodes by broker id.
    brokers: Rc<Vec<NodeIndex>>,
}

#[async_trait(?Send)]
impl KafkaLink for BrokerLink {
    async fn call(&self, broker: i32, request: Request, timeout_ms: i64) -> Result<Response, LinkError> {
        let place = usize::try_from(broker).ok().and_then(|place| self.brokers.get(place));
        let Some(node) = place else { return Err(LinkError::Refused) };
        let timeout_ns = timeout_ms.max(0).unsigned_abs() * 1_000_000;
        match self.peers.call(*node, Box::new(request), timeout_ns).await {
            Ok(answer) => Ok(*answer.downcast().expect("brokers answer with responses")),
            Err(CallError::Refused) => Err(LinkError::Refused),
            Err(CallError::Reset) => Err(LinkError::Reset),
            Err(CallError::TimedOut) => Err(LinkError::TimedOut),
        }
    }

    fn now_ms(&self) -> i64 {
        self.node.world.now_ns().div_euclid(1_000_000)
    }

    async fn sleep_ms(&self, ms: i64) {
        let agenda = &self.node.world.agenda;
        agenda.alarm(agenda.elapsed() + ms.max(0).unsigned_abs() * 1_000_000).await;
    }
}

pub struct SimLog {
    link: Rc<BrokerLink>,
    client_id: String,
    settings: KafkaClientSettings,
    /// Of members and readers of the log with transactions.
    isolation_level: IsolationLevel,
    /// Of producers with a `transactional.id`.
    profile: Profile,
}

impl SimLog {
    pub fn new(node: Node, brokers: Rc<Vec<NodeIndex>>, settings: KafkaClientSettings) -> Self {
        let client_id = node.name.to_string();
        let peers = Peers::new(node.clone());
        let link = Rc::new(BrokerLink { node, peers, brokers });
        let (isolation_level, profile) = (IsolationLevel::ReadCommitted, Profile::Platform);
        Self { link, client_id, settings, isolation_level, profile }
    }

    /// `isolation.level`: only a client that is set up wrongly has another than `read_committed`.
    pub fn with_isolation_level(self, isolation_level: IsolationLevel) -> Self {
        Self { isolation_level, ..self }
    }

    /// Whose habits transactions have: of version 2 with [`Profile::Java`], where the cluster has it.
    pub fn with_profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    fn bootstrap_servers(&self) -> Vec<i32> {
        (0..self.link.brokers.len()).filter_map(|id| i32::try_from(id).ok()).collect()
    }
}

impl Log for SimLog {
    fn producer(&self) -> Box<dyn LogProducer> {
        let config = self.settings.producer(self.bootstrap_servers(), &self.client_id);
        Box::new(SimProducer(Producer::new(self.link.clone(), config)))
    }

    fn consumer(&self, group: &str, topics: &[&'static str]) -> Box<dyn LogConsumer> {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let mut config = self.settings.consumer(self.bootstrap_servers(), group, &self.client_id, topics);
        // The stored position decides, never the group's.
        config.auto_offset_reset = AutoOffsetReset::None;
        Box::new(SimConsumer(Consumer::new(self.link.clone(), config)))
    }

    fn partition_of(&self, topic: &'static str, key: &[u8]) -> i32 {
        let partitions = contracts::topics::find(topic).map_or(1, |topic| topic.partitions);
        partition_for(key, partitions)
    }
}

struct SimProducer(Producer<BrokerLink>);

#[async_trait(?Send)]
impl LogProducer for SimProducer {
    async fn send(&mut self, records: Vec<OutRecord>) -> Vec<Result<(), SendError>> {
        let records = records.into_iter().map(|record| ProducerRecord {
            topic: TopicName(StrBytes::from_static_str(record.topic)),
            partition: None,
            key: Some(record.key),
            value: record.value,
            headers: record.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            timestamp_ms: record.timestamp_ms,
        });
        let outcomes = self.0.send(records.collect()).await;
        let outcomes = outcomes.into_iter();
        outcomes.map(|outcome| outcome.map(drop).map_err(|error| SendError(error.to_string()))).collect()
    }
}

struct SimConsumer(Consumer<BrokerLink>);

#[async_trait(?Send)]
impl LogConsumer for SimConsumer {
    async fn poll(&mut self) -> LogEvent {
        loop {
            match self.0.poll().await {
                ConsumerEvent::Assigned(partitions) | ConsumerEvent::IncrementallyAssigned(partitions) => {
                    return LogEvent::Assigned(names(&partitions));
                }
                ConsumerEvent::Revoked(partitions)
                | ConsumerEvent::Lost(partitions)
                | ConsumerEvent::IncrementallyRevoked(partitions) => {
                    return LogEvent::Revoked(names(&partitions));
                }
                ConsumerEvent::Records { topic, partition, records } => {
                    let records = records.into_iter().map(log_record).collect();
                    return LogEvent::Records { topic: topic.to_string(), partition, records };
                }
                ConsumerEvent::Error(
                    ConsumerError::OffsetOutOfRange { partition, offset }
                    | ConsumerError::LogTruncation { partition, offset, .. },
                ) => {
                    let (topic, partition) = name(&partition);
                    return LogEvent::OutOfRange { topic, partition, position: offset };
                }
                // The host seeks to its stored position right after the assignment.
                ConsumerEvent::Error(ConsumerError::NoOffsetForPartition(_)) => {}
                ConsumerEvent::Error(error) => tracing::warn!(%error, "consumer"),
            }
        }
    }

    async fn bounds(&mut self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        self.0.bounds(&TopicPartition::new(topic, partition)).await
    }

    fn seek(&mut self, topic: &str, partition: i32, offset: i64) {
        self.0.seek(&TopicPartition::new(topic, partition), offset);
    }

    fn report(&mut self, topic: &str, partition: i32, next_offset: i64) {
        self.0.report(TopicPartition::new(topic, partition), next_offset);
    }

    async fn leave(&mut self) {
        self.0.leave().await;
    }
}

fn name(partition: &TopicPartition) -> (String, i32) {
    (partition.topic.to_string(), partition.partition)
}

fn names(partitions: &[TopicPartition]) -> Vec<(String, i32)> {
    partitions.iter().map(name).collect()
}

fn log_record(record: kafka::client::ConsumerRecord) -> LogRecord {
    LogRecord {
        offset: record.offset,
        timestamp_ms: record.timestamp,
        key: record.key,
        value: record.value.unwrap_or_default(),
        headers: record.headers.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect(),
    }
}
