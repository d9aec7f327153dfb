//! `--data`: topics, logs, and what else brokers and their controller keep on disk survive a restart.
//!
//! One journal for all brokers, so that what is read back is the cluster at one moment. What has changed is appended
//! after each thing that was done, before anybody is told of it. High watermarks are noted about once a second; the next
//! start finds the rest. A start writes the journal anew, so it holds no more than the cluster does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use kafka_protocol::messages::TopicName;

use super::cluster::Cluster;
use crate::broker::Broker;
use crate::cluster::{BrokerConfig, TimestampMs};
use crate::controller::{Controller, ControllerDisk};
use crate::image::{BrokerImage, TopicImage};

mod content;
mod frames;
mod journal;

use content::Content;
use frames::{Change, LogAt};
pub use journal::DataError;
use journal::Journal;

/// Pause between two notes of high watermarks, milliseconds.
const CHECKPOINT_MS: i64 = 1_000;

/// A directory with what a cluster keeps.
pub(super) struct Data {
    journal: Journal,
    saved: Saved,
}

/// What the journal says already.
#[derive(Default)]
struct Saved {
    counters: Option<[u64; 4]>,
    brokers: BTreeMap<i32, BrokerImage>,
    topics: BTreeMap<TopicName, Arc<TopicImage>>,
    high_watermarks: BTreeMap<LogAt, i64>,
    producer_blocks: BTreeMap<i32, i64>,
    checkpoint_at: TimestampMs,
}

impl Data {
    /// Opens a directory. Gives the cluster that is in it, or a new one where it is empty.
    pub fn open(
        directory: &Path,
        now: TimestampMs,
        configs: Vec<BrokerConfig>,
    ) -> Result<(Data, Cluster), DataError> {
        let mut content = Content::of(&configs[0].cluster);
        let journal = Journal::open(directory, |frame| content.take(&frame))?;
        if let Some(brokers) = content.brokers_count()
            && brokers != configs.len()
        {
            return Err(DataError::Brokers { path: directory.to_owned(), brokers, wanted: configs.len() });
        }
        let mut cluster = match content.controller() {
            None => new_cluster(configs, now),
            Some(disk) => restored_cluster(configs, now, disk, &mut content),
        };
        let mut data = Data { journal, saved: Saved::default() };
        let mut frames = Vec::new();
        Change::Cluster { brokers: cluster.brokers().count() }.put(&mut frames);
        data.saved.collect(now, &mut cluster, &mut frames);
        data.journal = data.journal.rewrite(&frames)?;
        Ok((data, cluster))
    }

    /// Writes what has changed.
    pub fn save(&mut self, now: TimestampMs, cluster: &mut Cluster) -> Result<(), DataError> {
        let mut frames = Vec::new();
        self.saved.collect(now, cluster, &mut frames);
        if frames.is_empty() { Ok(()) } else { self.journal.append(&frames) }
    }
}

pub(super) fn new_cluster(configs: Vec<BrokerConfig>, now: TimestampMs) -> Cluster {
    let controller = Controller::new(configs[0].cluster.clone(), now);
    let mut cluster = Cluster::new(configs.into_iter().map(Broker::new), controller);
    cluster.start(now);
    cluster
}

/// As if all processes had died at once and are back.
fn restored_cluster(
    configs: Vec<BrokerConfig>,
    now: TimestampMs,
    disk: ControllerDisk,
    content: &mut Content,
) -> Cluster {
    let controller = Controller::restored(configs[0].cluster.clone(), now, disk);
    let image = Arc::clone(controller.image());
    let ids: Vec<i32> = configs.iter().map(|config| config.id).collect();
    let broker = |config: BrokerConfig| {
        let mut broker = Broker::new(config);
        // It has begun its work once, in another process: what it had to say then was said.
        drop(broker.start(now));
        broker.crash();
        broker.restore(now, &image, &content.logs_of(broker.id()), content.producer_block_of(broker.id()));
        broker
    };
    let mut cluster = Cluster::new(configs.into_iter().map(broker), controller);
    for id in ids {
        cluster.start_again(now, id);
    }
    cluster
}

impl Saved {
    /// Adds a frame for everything that is not in the journal yet. Metadata come before the logs of new topics.
    fn collect(&mut self, now: TimestampMs, cluster: &mut Cluster, frames: &mut Vec<u8>) {
        self.collect_metadata(&cluster.controller().disk(), frames);
        for broker in cluster.brokers() {
            let id = broker.id();
            broker.take_unsaved(|topic, partition, changes| {
                let at = LogAt { broker: id, topic, partition };
                if let Some(to) = changes.cut_to {
                    Change::Cut { at, to }.put(frames);
                }
                if let Some(start) = changes.start {
                    Change::Start { at, start }.put(frames);
                }
                if !changes.batches.is_empty() {
                    Change::Batches { at, batches: changes.batches }.put(frames);
                }
            });
            let block = broker.next_producer_block();
            if self.producer_blocks.insert(id, block) != Some(block) {
                Change::ProducerBlock { broker: id, next: block }.put(frames);
            }
        }
        if now >= self.checkpoint_at {
            self.checkpoint_at = now + CHECKPOINT_MS;
            self.collect_high_watermarks(cluster, frames);
        }
    }

    fn collect_metadata(&mut self, disk: &ControllerDisk, frames: &mut Vec<u8>) {
        let counters = [
            disk.image.version,
            disk.topics_made,
            disk.next_broker_epoch.cast_unsigned(),
            disk.next_producer_id.cast_unsigned(),
        ];
        if self.counters == Some(counters) {
            return;
        }
        self.counters = Some(counters);
        if self.brokers != disk.image.brokers {
            self.brokers.clone_from(&disk.image.brokers);
            Change::Brokers(self.brokers.clone()).put(frames);
        }
        let known: BTreeSet<TopicName> = self.topics.keys().cloned().collect();
        for gone in known.into_iter().filter(|name| !disk.image.topics.contains_key(name)) {
            self.topics.remove(&gone);
            Change::TopicGone(gone).put(frames);
        }
        for (name, topic) in &disk.image.topics {
            if self.topics.get(name).is_none_or(|saved| !Arc::ptr_eq(saved, topic)) {
                self.topics.insert(name.clone(), Arc::clone(topic));
                Change::Topic(Arc::clone(topic)).put(frames);
            }
        }
        // Last: a restart believes an image only with the counters that end it.
        Change::Counters(counters).put(frames);
    }

    fn collect_high_watermarks(&mut self, cluster: &mut Cluster, frames: &mut Vec<u8>) {
        for broker in cluster.brokers() {
            let id = broker.id();
            for ((topic, partition), offset) in broker.high_watermarks() {
                let at = LogAt { broker: id, topic, partition };
                if self.high_watermarks.insert(at, offset).unwrap_or(0) != offset {
                    Change::HighWatermark { at, offset }.put(frames);
                }
            }
        }
    }
}
