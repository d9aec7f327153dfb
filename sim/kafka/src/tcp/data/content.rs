//! What a journal adds up to.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use super::frames::{Change, LogAt};
use super::journal::Frame;
use crate::cluster::{ClusterSpec, TopicSpec};
use crate::controller::ControllerDisk;
use crate::image::{BrokerImage, Image, TopicImage};
use crate::log::SavedLog;
use crate::records::{BatchHeader, next_batch};

#[derive(Default)]
pub struct Content {
    /// For the topics whose settings are the cluster's own.
    internal: BTreeMap<String, TopicSpec>,
    brokers_count: Option<usize>,
    counters: Option<[u64; 4]>,
    brokers: BTreeMap<i32, BrokerImage>,
    topics: BTreeMap<TopicName, Arc<TopicImage>>,
    logs: BTreeMap<LogAt, SavedLog>,
    producer_blocks: BTreeMap<i32, i64>,
}

impl Content {
    /// `cluster` says how the coordinators' topics are set.
    pub fn of(cluster: &ClusterSpec) -> Content {
        let internal = cluster.internal_topics().into_iter().map(|spec| (spec.name.to_string(), spec));
        Content { internal: internal.collect(), ..Content::default() }
    }

    pub fn take(&mut self, frame: &Frame) -> Result<(), &'static str> {
        let internal = |name: &str| self.internal.get(name).cloned();
        let change = Change::of(frame, internal).ok_or("a frame that makes no sense")?;
        match change {
            Change::Cluster { brokers } => self.brokers_count = Some(brokers),
            Change::Counters(counters) => self.counters = Some(counters),
            Change::Brokers(brokers) => self.brokers = brokers,
            Change::Topic(topic) => drop(self.topics.insert(topic.spec.name.clone(), topic)),
            Change::TopicGone(name) => {
                if let Some(gone) = self.topics.remove(&name) {
                    self.logs.retain(|at, _| at.topic != gone.id);
                }
            }
            Change::Batches { at, mut batches } => {
                let log = self.logs.entry(at).or_default();
                while let Some(batch) = next_batch(&mut batches) {
                    BatchHeader::read(&batch).ok_or("a batch without a header")?;
                    log.batches.push(batch);
                }
                if !batches.is_empty() {
                    return Err("half a batch");
                }
            }
            Change::Cut { at, to } => self.logs.entry(at).or_default().cut_to(to),
            Change::Start { at, start } => self.logs.entry(at).or_default().start_at(start),
            Change::HighWatermark { at, offset } => self.logs.entry(at).or_default().high_watermark = offset,
            Change::ProducerBlock { broker, next } => drop(self.producer_blocks.insert(broker, next)),
        }
        Ok(())
    }

    pub fn brokers_count(&self) -> Option<usize> {
        self.brokers_count
    }

    /// `None` in a new journal.
    pub fn controller(&self) -> Option<ControllerDisk> {
        let [version, topics_made, next_broker_epoch, next_producer_id] = self.counters?;
        Some(ControllerDisk {
            image: Arc::new(Image { version, brokers: self.brokers.clone(), topics: self.topics.clone() }),
            topics_made,
            next_broker_epoch: next_broker_epoch.cast_signed(),
            next_producer_id: next_producer_id.cast_signed(),
        })
    }

    pub fn logs_of(&mut self, broker: i32) -> BTreeMap<(Uuid, i32), SavedLog> {
        let theirs: Vec<LogAt> = self.logs.keys().filter(|at| at.broker == broker).copied().collect();
        let logs = theirs
            .into_iter()
            .filter_map(|at| self.logs.remove(&at).map(|log| ((at.topic, at.partition), log)));
        logs.collect()
    }

    /// 0 is where a new broker begins.
    pub fn producer_block_of(&self, broker: i32) -> i64 {
        self.producer_blocks.get(&broker).copied().unwrap_or(0)
    }
}
