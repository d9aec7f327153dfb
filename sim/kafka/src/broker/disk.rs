//! A broker's disk, for a host that has a real one: what is new on it, and a broker made of what was kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{Broker, Topic};
use crate::cluster::TimestampMs;
use crate::image::Image;
use crate::log::{Log, LogChanges, SavedLog};
use crate::replica::Replica;

impl Broker {
    /// Gives every change of a log since the last time, by topic and partition.
    pub(crate) fn take_unsaved(&mut self, mut take: impl FnMut(Uuid, i32, LogChanges)) {
        for topic in self.topics.values_mut() {
            for (index, replica) in (0..).zip(&mut topic.replicas) {
                if let Some(changes) = replica.as_mut().and_then(|replica| replica.log.take_unsaved()) {
                    take(topic.id, index, changes);
                }
            }
        }
    }

    /// High watermarks, by topic and partition: checkpoints of them are enough.
    pub(crate) fn high_watermarks(&self) -> impl Iterator<Item = ((Uuid, i32), i64)> {
        self.topics.values().flat_map(|topic| {
            let replicas = (0..).zip(&topic.replicas);
            replicas.filter_map(|(index, replica)| {
                replica.as_ref().map(|replica| ((topic.id, index), replica.high_watermark))
            })
        })
    }

    /// Where the next block of producer ids begins, for a broker that has no controller to ask.
    pub(crate) fn next_producer_block(&self) -> i64 {
        self.producer_ids.next_block()
    }

    /// A dead broker gets the disk that an earlier process left. [`Broker::restart`] is next.
    pub(crate) fn restore(
        &mut self,
        now: TimestampMs,
        image: &Arc<Image>,
        logs: &BTreeMap<(Uuid, i32), SavedLog>,
        next_producer_block: i64,
    ) {
        let me = self.config.id;
        let topic = |known: &crate::image::TopicImage| {
            let replicas = (0..).zip(&known.partitions).map(|(index, partition)| {
                partition.replicas.contains(&me).then(|| {
                    let mut replica = Replica::new();
                    if let Some(saved) = logs.get(&(known.id, index)) {
                        replica.log = Log::restored(now, &known.spec, saved);
                        let (start, end) = (replica.log.start_offset(), replica.log.end_offset());
                        replica.high_watermark = saved.high_watermark.clamp(start, end);
                        replica.rebuild_producers();
                    }
                    replica
                })
            });
            Topic { id: known.id, spec: known.spec.clone(), replicas: replicas.collect() }
        };
        self.topics = image.topics.iter().map(|(name, known)| (name.clone(), topic(known))).collect();
        self.image = Arc::clone(image);
        self.producer_ids.restore(next_producer_block);
    }
}
