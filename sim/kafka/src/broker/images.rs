//! A new image: what this broker leads, what it follows, and what is no longer there.
//!
//! Real: `BrokerMetadataPublisher`, `ReplicaManager.applyDelta`.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;

use super::{Broker, Output, Topic};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::image::{Image, NO_LEADER, PartitionImage, TopicImage};
use crate::replica::{Replica, Role};

/// What an image makes of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Nothing,
    /// It leads and did not, or not in this epoch.
    Leads,
    /// It still leads; who is in sync has changed.
    InSync,
    Follows,
}

impl Broker {
    /// Takes an image, if it is newer than the one at hand or this process has had none.
    pub(super) fn take_image(&mut self, now: TimestampMs, image: &Arc<Image>, outputs: &mut Vec<Output>) {
        let is_first = self.session.is_new_process();
        if image.version < self.image.version || image.version == self.image.version && !is_first {
            return;
        }
        self.session.has_image();
        let before = std::mem::replace(&mut self.image, Arc::clone(image));
        if before.brokers != image.brokers {
            // Who has caught up may be in sync from now on.
            self.isr_changes.look_at(now);
            self.forget_ended_processes(&before);
        }
        self.drop_topics(image, outputs);
        for (name, topic) in &image.topics {
            let unchanged = before.topics.get(name).is_some_and(|known| Arc::ptr_eq(known, topic));
            if is_first || !unchanged {
                self.take_topic(now, name, topic, outputs);
            }
        }
    }

    /// What followers had in an earlier process they may have lost.
    fn forget_ended_processes(&mut self, before: &Image) {
        let is_new = |id: &i32, epoch: i64| before.brokers.get(id).is_none_or(|known| known.epoch != epoch);
        let brokers = self.image.brokers.iter().map(|(id, broker)| (*id, broker.epoch));
        let renewed: BTreeMap<i32, i64> = brokers.filter(|(id, epoch)| is_new(id, *epoch)).collect();
        if renewed.is_empty() {
            return;
        }
        for (name, topic) in &mut self.topics {
            for (index, replica) in (0..).zip(&mut topic.replicas) {
                let Some(replica) = replica else { continue };
                if replica.forget_followers(&renewed) {
                    self.isr_changes.forget(&TopicPartition { topic: name.clone(), partition: index });
                }
            }
        }
    }

    fn drop_topics(&mut self, image: &Image, outputs: &mut Vec<Output>) {
        let is_gone =
            |name: &TopicName, topic: &Topic| image.topics.get(name).is_none_or(|known| known.id != topic.id);
        let gone: Vec<TopicName> = self
            .topics
            .iter()
            .filter(|(name, topic)| is_gone(name, topic))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            let Some(topic) = self.topics.remove(&name) else { continue };
            for index in (0..).take(topic.replicas.len()) {
                let at = TopicPartition { topic: name.clone(), partition: index };
                self.following.remove(&at);
                self.isr_changes.forget(&at);
                self.give_up(&at, ResponseError::UnknownTopicOrPartition, outputs);
            }
        }
    }

    fn take_topic(
        &mut self,
        now: TimestampMs,
        name: &TopicName,
        image: &TopicImage,
        outputs: &mut Vec<Output>,
    ) {
        let me = self.config.id;
        let topic = self.topics.entry(name.clone()).or_insert_with(|| Topic {
            id: image.id,
            spec: image.spec.clone(),
            replicas: Vec::new(),
        });
        let is_set_anew = topic.spec != image.spec;
        topic.spec.clone_from(&image.spec);
        topic.replicas.resize_with(image.partitions.len(), || None);
        if is_set_anew {
            self.look_at_all_logs(now);
        }
        for (index, partition) in (0..).zip(&image.partitions) {
            let at = TopicPartition { topic: name.clone(), partition: index };
            let slot = usize::try_from(index).expect("partitions are counted from 0");
            let topic = self.topics.get_mut(name).expect("just made");
            let slot = &mut topic.replicas[slot];
            if !partition.replicas.contains(&me) {
                *slot = None;
                continue;
            }
            let replica = slot.get_or_insert_with(Replica::new);
            let was_leader = replica.leading().is_some();
            match turn(replica, now, me, partition) {
                Turn::Nothing => {}
                Turn::Leads => self.leads(now, &at, was_leader, outputs),
                Turn::InSync => self.try_advance(now, &at, outputs),
                Turn::Follows => self.follows(now, &at, partition, was_leader, outputs),
            }
            if is_set_anew {
                self.note_first_expiry(now, &at);
            }
        }
    }

    fn leads(&mut self, now: TimestampMs, at: &TopicPartition, was_leader: bool, outputs: &mut Vec<Output>) {
        self.following.remove(at);
        self.isr_changes.forget(at);
        if was_leader {
            self.give_up(at, ResponseError::NotLeaderOrFollower, outputs);
            self.state_resigned(now, at, outputs);
        } else {
            self.partition_moved(at, outputs);
        }
        if self.led(&at.topic, at.partition).is_ok_and(|(_, replica)| replica.has_laggard()) {
            self.watch_followers(now);
        }
        self.note_first_expiry(now, at);
        self.state_elected(now, at, outputs);
        self.try_advance(now, at, outputs);
    }

    fn follows(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        partition: &PartitionImage,
        was_leader: bool,
        outputs: &mut Vec<Output>,
    ) {
        self.isr_changes.forget(at);
        if was_leader {
            self.give_up(at, ResponseError::NotLeaderOrFollower, outputs);
            self.state_resigned(now, at, outputs);
        }
        match partition.leader {
            NO_LEADER => self.following.remove(at),
            leader => self.following.follow(at, leader),
        }
    }

    /// This broker can no longer say what becomes of appends to a partition, and has nothing for its readers.
    fn give_up(&mut self, at: &TopicPartition, error: ResponseError, outputs: &mut Vec<Output>) {
        for wait in self.waits.lost(at, error) {
            self.conclude(wait, outputs);
        }
        self.partition_moved(at, outputs);
    }
}

fn turn(replica: &mut Replica, now: TimestampMs, me: i32, image: &PartitionImage) -> Turn {
    if image.partition_epoch <= replica.partition_epoch && image.leader_epoch <= replica.leader_epoch {
        return Turn::Nothing;
    }
    let new_epoch = image.leader_epoch > replica.leader_epoch;
    replica.partition_epoch = image.partition_epoch;
    replica.leader_epoch = replica.leader_epoch.max(image.leader_epoch);
    if image.leader != me {
        let leader = image.leader;
        let before = std::mem::replace(&mut replica.role, Role::Follower { leader });
        return match before {
            Role::Follower { leader: before } if before == leader && !new_epoch => Turn::Nothing,
            _ => Turn::Follows,
        };
    }
    match &mut replica.role {
        Role::Leader(leading) if !new_epoch => {
            leading.isr.clone_from(&image.isr);
            leading.wanted_isr = None;
            Turn::InSync
        }
        _ => {
            replica.lead(now, me, image);
            Turn::Leads
        }
    }
}
