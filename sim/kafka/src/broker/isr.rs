//! Who is in sync: laggards are taken off the list, who has caught up is put on it, both by asking the controller.
//!
//! Real: `AlterPartitionManager`, `ReplicaManager.maybeShrinkIsr`. Kafka looks for laggards every half of
//! `replica.lag.time.max.ms`; here the broker only wakes for it while a follower lacks something.

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use kafka_protocol::messages::{AlterPartitionRequest, AlterPartitionResponse, BrokerId};

use super::peers::Purpose;
use super::{Broker, Output};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::peer::Peer;
use crate::protocol::{Response, check};
use crate::replica::{Lag, Replica, Role};

/// Pause before the controller is asked again, milliseconds.
const RETRY_MS: i64 = 100;
const TIMEOUT_MS: i64 = 30_000;

#[derive(Default)]
pub(super) struct IsrChanges {
    /// Laggards are looked for then, and at no other time: else who has left and come back would leave again at once.
    shrinks_at: Option<TimestampMs>,
    /// Who has caught up is looked for then.
    expands_at: Option<TimestampMs>,
    wanted: BTreeMap<TopicPartition, Vec<i32>>,
    asked: Option<BTreeMap<TopicPartition, Vec<i32>>>,
}

impl IsrChanges {
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.shrinks_at.into_iter().chain(self.expands_at).min()
    }

    /// Who was not let in may be from then on.
    pub fn look_at(&mut self, at: TimestampMs) {
        self.expands_at = self.expands_at.into_iter().chain([at]).min();
    }

    /// Laggards are looked for at `at` at the latest.
    fn shrink_by(&mut self, at: TimestampMs) {
        self.shrinks_at = self.shrinks_at.into_iter().chain([at]).min();
    }

    pub fn forget(&mut self, at: &TopicPartition) {
        self.wanted.remove(at);
    }
}

impl Broker {
    pub(super) fn lag(&self, now: TimestampMs) -> Lag {
        Lag { now, max_ms: self.config.cluster.settings.replica_lag_time_max_ms }
    }

    /// A follower may lack something from now on.
    pub(super) fn watch_followers(&mut self, now: TimestampMs) {
        let at = now + (self.lag(now).max_ms / 2).max(1);
        self.isr_changes.shrinks_at.get_or_insert(at);
    }

    /// Looks at all partitions led here.
    pub(super) fn check_isr(&mut self, now: TimestampMs) {
        let is_due = |at: Option<TimestampMs>| at.is_some_and(|at| at <= now);
        let shrinks = is_due(self.isr_changes.shrinks_at);
        if !shrinks && !is_due(self.isr_changes.expands_at) {
            return;
        }
        let lag = self.lag(now);
        let me = self.config.id;
        // Whoever does not fetch has what it had, and is out of reach.
        let may_come = |id| self.image.is_active(id) && lag.allows(self.fetch_sessions.seen(id));
        let mut wanted = Vec::new();
        let mut has_laggard = false;
        for (name, topic) in &self.topics {
            for (index, replica) in (0..).zip(&topic.replicas) {
                let Some(replica) = replica else { continue };
                has_laggard |= replica.has_laggard();
                if let Some(isr) = replica.better_isr(me, shrinks.then_some(lag), may_come) {
                    wanted.push((TopicPartition { topic: name.clone(), partition: index }, isr));
                }
            }
        }
        self.isr_changes.expands_at = None;
        if shrinks || !has_laggard {
            self.isr_changes.shrinks_at = None;
        }
        if has_laggard {
            self.watch_followers(now);
        }
        for (at, isr) in wanted {
            self.want_isr(&at, isr);
        }
    }

    /// `isr-shrink`: takes a follower off the list of a partition led here, whatever it has. False where it is not on it.
    pub fn shrink_isr(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        follower: i32,
    ) -> (bool, Vec<Output>) {
        let mut outputs = Vec::new();
        let isr = self.led(&at.topic, at.partition).ok().and_then(|(_, replica)| replica.leading());
        let isr = isr.filter(|leading| leading.isr.contains(&follower) && follower != self.config.id);
        let Some(isr) = isr.map(|leading| leading.isr.clone()) else { return (false, outputs) };
        self.want_isr(at, isr.into_iter().filter(|id| *id != follower).collect());
        self.settle(now, &mut outputs);
        (true, outputs)
    }

    pub(super) fn want_isr(&mut self, at: &TopicPartition, isr: Vec<i32>) {
        if let Ok((_, replica)) = self.led_mut(&at.topic, at.partition)
            && let Role::Leader(leading) = &mut replica.role
        {
            leading.wanted_isr = Some(isr.clone());
            self.isr_changes.wanted.insert(at.clone(), isr);
        }
    }

    /// One request at a time, with everything that is wanted by then.
    pub(super) fn send_isr_changes(&mut self, outputs: &mut Vec<Output>) {
        if self.isr_changes.wanted.is_empty() || self.isr_changes.asked.is_some() {
            return;
        }
        let wanted = std::mem::take(&mut self.isr_changes.wanted);
        let mut topics: Vec<TopicData> = Vec::new();
        for (at, isr) in &wanted {
            let Some(topic) = self.topics.get(&at.topic) else { continue };
            let Some((_, replica)) = self.replica(&at.topic, at.partition) else { continue };
            let data = PartitionData::default()
                .with_partition_index(at.partition)
                .with_leader_epoch(replica.leader_epoch)
                .with_new_isr_with_epochs(isr.iter().map(|id| self.broker_state(replica, *id)).collect())
                .with_partition_epoch(replica.partition_epoch);
            match topics.last_mut().filter(|last| last.topic_id == topic.id) {
                Some(last) => last.partitions.push(data),
                None => topics.push(TopicData::default().with_topic_id(topic.id).with_partitions(vec![data])),
            }
        }
        let request = AlterPartitionRequest::default()
            .with_broker_id(BrokerId(self.config.id))
            .with_broker_epoch(self.session.epoch())
            .with_topics(topics);
        self.isr_changes.asked = Some(wanted);
        self.call(Peer::Controller, request.into(), TIMEOUT_MS, Purpose::IsrChanges, outputs);
    }

    /// Which process of a broker is meant: the one that fetched last, or, before that, the one that was in sync.
    fn broker_state(&self, replica: &Replica, broker: i32) -> BrokerState {
        let known = || self.image.brokers.get(&broker).map(|known| known.epoch);
        let follower = replica.leading().and_then(|leading| leading.followers.get(&broker));
        let epoch = follower.and_then(|state| state.broker_epoch).or_else(known).unwrap_or(-1);
        BrokerState::default().with_broker_id(BrokerId(broker)).with_broker_epoch(epoch)
    }

    /// The image that came with the answer has the new lists already; what was refused is looked at anew.
    pub(super) fn isr_changes_answered(
        &mut self,
        now: TimestampMs,
        response: Option<Response>,
        outputs: &mut Vec<Output>,
    ) {
        let asked = self.isr_changes.asked.take().unwrap_or_default();
        for at in asked.keys() {
            if let Ok((_, replica)) = self.led_mut(&at.topic, at.partition)
                && let Role::Leader(leading) = &mut replica.role
            {
                leading.wanted_isr = None;
            }
            self.try_advance(now, at, outputs);
        }
        let answered = response.and_then(|response| AlterPartitionResponse::try_from(response).ok());
        let is_heard = answered.is_some();
        let is_taken = answered.is_some_and(|response| {
            let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            response.error_code == 0 && partitions.all(|partition| check(partition.error_code).is_ok())
        });
        // While one change is under way nobody else is let in: another follower may have caught up meanwhile.
        self.isr_changes.look_at(if is_taken { now } else { now + RETRY_MS });
        // Kafka sends a request that got no answer again; here it is made anew.
        if !is_heard {
            self.isr_changes.shrink_by(now + RETRY_MS);
        }
    }
}
