//! Elections: leaders come from the in-sync replicas, or, where that is allowed, from any that is alive.
//!
//! Real: `PartitionChangeBuilder`, `ReplicationControlManager`.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use kafka_protocol::messages::{ElectLeadersRequest, TopicName};

use super::{Controller, ControllerOutput};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::image::{Image, NO_LEADER, PartitionImage, TopicImage};

/// A partition's new leader, or that it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elected {
    pub partition: TopicPartition,
    pub leader: Option<i32>,
    pub leader_epoch: i32,
    pub isr: Vec<i32>,
    /// It was not in sync: what was acknowledged may be gone.
    pub unclean: bool,
}

/// Topics that take any replica for a leader when all in-sync ones are gone.
pub(super) type UncleanTopics = BTreeSet<TopicName>;

/// `election_type` of `ElectLeaders`.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;
/// `leader.imbalance.per.broker.percentage`.
const IMBALANCE_PERCENT: usize = 10;

/// Goes through all partitions and tells which got another leader. True if any changed at all.
fn each_partition(
    image: &mut Image,
    outputs: &mut Vec<ControllerOutput>,
    mut change: impl FnMut(&TopicName, &mut PartitionImage, &dyn Fn(i32) -> bool) -> Change,
) -> bool {
    let brokers = image.brokers.clone();
    let alive = |id: i32| brokers.get(&id).is_some_and(|broker| !broker.fenced);
    let mut changed = false;
    for (name, topic) in &mut image.topics {
        for index in 0..topic.partitions.len() {
            let mut partition = topic.partitions[index].clone();
            let outcome = change(name, &mut partition, &alive);
            if outcome == Change::Nothing {
                continue;
            }
            partition.partition_epoch += 1;
            if let Change::Leader { unclean } = outcome {
                partition.leader_epoch += 1;
                outputs.push(elected(name, index, &partition, unclean));
            }
            Arc::<TopicImage>::make_mut(topic).partitions[index] = partition;
            changed = true;
        }
    }
    changed
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    Replicas,
    Leader { unclean: bool },
}

fn elected(name: &TopicName, index: usize, partition: &PartitionImage, unclean: bool) -> ControllerOutput {
    let index = i32::try_from(index).expect("partitions are counted in an i32");
    ControllerOutput::Elected(Elected {
        partition: TopicPartition { topic: name.clone(), partition: index },
        leader: (partition.leader != NO_LEADER).then_some(partition.leader),
        leader_epoch: partition.leader_epoch,
        isr: partition.isr.clone(),
        unclean,
    })
}

/// Gives a partition a leader that is in sync and alive, or, if that is allowed, just alive. The leader stays if it may.
fn choose(partition: &mut PartitionImage, alive: &dyn Fn(i32) -> bool, unclean: bool) -> Change {
    let may_lead = |id: i32| alive(id) && partition.isr.contains(&id);
    if may_lead(partition.leader) {
        return Change::Nothing;
    }
    let before = partition.leader;
    if let Some(clean) = partition.replicas.iter().copied().find(|id| may_lead(*id)) {
        partition.leader = clean;
        return Change::Leader { unclean: false };
    }
    match partition.replicas.iter().copied().find(|id| alive(*id)).filter(|_| unclean) {
        Some(any) => {
            partition.leader = any;
            partition.isr = vec![any];
            Change::Leader { unclean: true }
        }
        None => {
            partition.leader = NO_LEADER;
            if before == NO_LEADER { Change::Nothing } else { Change::Leader { unclean: false } }
        }
    }
}

/// A broker is fenced: it leads nothing and is in sync with nothing, but the last in-sync replica stays on the list.
pub(super) fn leave(
    image: &mut Image,
    broker: i32,
    unclean: &UncleanTopics,
    outputs: &mut Vec<ControllerOutput>,
) {
    each_partition(image, outputs, |name, partition, alive| {
        let was_in_sync = partition.isr.contains(&broker) && partition.isr.len() > 1;
        if was_in_sync {
            partition.isr.retain(|id| *id != broker);
        }
        match choose(partition, alive, unclean.contains(name)) {
            Change::Nothing if was_in_sync => Change::Replicas,
            change => change,
        }
    });
}

/// A broker is back: partitions without a leader may have one now.
pub(super) fn come_back(image: &mut Image, unclean: &UncleanTopics, outputs: &mut Vec<ControllerOutput>) {
    each_partition(image, outputs, |name, partition, alive| match partition.leader {
        NO_LEADER => choose(partition, alive, unclean.contains(name)),
        _ => Change::Nothing,
    });
}

/// A broker is about to stop: others lead what it led, and it is in sync with nothing, as far as there are others.
pub(super) fn hand_over(image: &mut Image, broker: i32, outputs: &mut Vec<ControllerOutput>) -> bool {
    each_partition(image, outputs, |_, partition, alive| {
        let others = partition.isr.iter().any(|id| *id != broker && alive(*id));
        if !others || !partition.isr.contains(&broker) {
            return Change::Nothing;
        }
        partition.isr.retain(|id| *id != broker);
        match choose(partition, alive, false) {
            Change::Nothing => Change::Replicas,
            change => change,
        }
    })
}

/// Makes a replica the leader, if it is in sync and alive.
fn prefer(partition: &mut PartitionImage, replica: i32, alive: &dyn Fn(i32) -> bool) -> Change {
    if partition.leader == replica || !alive(replica) || !partition.isr.contains(&replica) {
        return Change::Nothing;
    }
    partition.leader = replica;
    Change::Leader { unclean: false }
}

impl Controller {
    pub(super) fn unclean_topics(&self) -> UncleanTopics {
        let default = self.cluster.settings.unclean_leader_election_enable;
        let allowed = |topic: &TopicImage| topic.spec.unclean_leader_election_enable.unwrap_or(default);
        self.image.topics.iter().filter(|(_, topic)| allowed(topic)).map(|(name, _)| name.clone()).collect()
    }

    /// `leader-move`: makes a replica the leader of a partition, if it is alive and in sync. True if it leads now and did
    /// not before.
    pub fn move_leader(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        to: i32,
    ) -> (bool, Vec<ControllerOutput>) {
        let mut outputs = Vec::new();
        let mut moved = false;
        self.edit(now, &mut outputs, |image, outputs| {
            moved = elect_one(image, at, outputs, |partition, alive| prefer(partition, to, alive));
            moved
        });
        (moved, outputs)
    }

    /// `unclean-election`: a replica leads that need not be in sync, as an operator does it with `ElectLeaders`, or as it
    /// happens by itself with `unclean.leader.election.enable`. True if it was not in sync.
    pub fn elect_uncleanly(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        to: i32,
    ) -> (bool, Vec<ControllerOutput>) {
        let mut outputs = Vec::new();
        let mut unclean = false;
        self.edit(now, &mut outputs, |image, outputs| {
            elect_one(image, at, outputs, |partition, alive| {
                if !alive(to) || !partition.replicas.contains(&to) || partition.leader == to {
                    return Change::Nothing;
                }
                unclean = !partition.isr.contains(&to);
                partition.leader = to;
                if unclean {
                    partition.isr = vec![to];
                }
                Change::Leader { unclean }
            })
        });
        (unclean, outputs)
    }

    pub(super) fn elect_leaders(
        &mut self,
        now: TimestampMs,
        request: ElectLeadersRequest,
        outputs: &mut Vec<ControllerOutput>,
    ) -> ElectLeadersResponse {
        let unclean = match request.election_type {
            PREFERRED => false,
            UNCLEAN => true,
            _ => {
                let error = ResponseError::InvalidRequest.code();
                return ElectLeadersResponse::default().with_error_code(error);
            }
        };
        let wanted: Vec<(TopicName, Vec<i32>)> = match request.topic_partitions {
            Some(topics) => topics.into_iter().map(|topic| (topic.topic, topic.partitions)).collect(),
            None => self
                .image
                .topics
                .iter()
                .map(|(name, topic)| (name.clone(), (0..topic.spec.partitions).collect()))
                .collect(),
        };
        let mut results = Vec::with_capacity(wanted.len());
        for (topic, partitions) in wanted {
            let mut judged = Vec::with_capacity(partitions.len());
            for index in partitions {
                let at = TopicPartition { topic: topic.clone(), partition: index };
                let error = self.elect_by_request(now, &at, unclean, outputs);
                let code = error.map_or(0, |error| error.code());
                judged.push(PartitionResult::default().with_partition_id(index).with_error_code(code));
            }
            results.push(ReplicaElectionResult::default().with_topic(topic).with_partition_result(judged));
        }
        ElectLeadersResponse::default().with_replica_election_results(results)
    }

    fn elect_by_request(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        unclean: bool,
        outputs: &mut Vec<ControllerOutput>,
    ) -> Option<ResponseError> {
        let partition = match self.image.partition(at) {
            Some(partition) => partition.clone(),
            None => return Some(ResponseError::UnknownTopicOrPartition),
        };
        let preferred = partition.replicas[0];
        if unclean && partition.leader != NO_LEADER || !unclean && partition.leader == preferred {
            return Some(ResponseError::ElectionNotNeeded);
        }
        let mut elected = false;
        self.edit(now, outputs, |image, outputs| {
            elected = elect_one(image, at, outputs, |partition, alive| match unclean {
                true => choose(partition, alive, true),
                false => prefer(partition, preferred, alive),
            });
            elected
        });
        let refused = match unclean {
            true => ResponseError::EligibleLeadersNotAvailable,
            false => ResponseError::PreferredLeaderNotAvailable,
        };
        (!elected).then_some(refused)
    }

    /// Arms the next look, where a preferred replica that could lead does not.
    pub(super) fn plan_rebalance(&mut self, now: TimestampMs) {
        let settings = &self.cluster.settings;
        if !settings.auto_leader_rebalance_enable || self.rebalance_at.is_some() {
            return;
        }
        let mut partitions = self.image.topics.values().flat_map(|topic| &topic.partitions);
        if partitions.any(|partition| self.could_be_led_better(partition)) {
            let interval_ms = settings.leader_imbalance_check_interval_seconds.saturating_mul(1_000);
            self.rebalance_at = Some(now.saturating_add(interval_ms));
        }
    }

    fn could_be_led_better(&self, partition: &PartitionImage) -> bool {
        let preferred = partition.replicas[0];
        partition.leader != preferred && partition.isr.contains(&preferred) && self.image.is_alive(preferred)
    }

    /// `auto.leader.rebalance.enable`: brokers that lead too few of the partitions that prefer them get those back.
    pub(super) fn prefer_first_replicas(&mut self, now: TimestampMs, outputs: &mut Vec<ControllerOutput>) {
        let partitions = || self.image.topics.values().flat_map(|topic| &topic.partitions);
        let is_imbalanced = |broker: i32| {
            let theirs = || partitions().filter(|partition| partition.replicas[0] == broker);
            let missing = theirs().filter(|partition| partition.leader != broker).count();
            missing * 100 > theirs().count() * IMBALANCE_PERCENT
        };
        let imbalanced: BTreeSet<i32> =
            self.image.brokers.keys().copied().filter(|id| is_imbalanced(*id)).collect();
        self.edit(now, outputs, |image, outputs| {
            each_partition(image, outputs, |_, partition, alive| {
                let preferred = partition.replicas[0];
                match imbalanced.contains(&preferred) {
                    true => prefer(partition, preferred, alive),
                    false => Change::Nothing,
                }
            })
        });
    }
}

fn elect_one(
    image: &mut Image,
    at: &TopicPartition,
    outputs: &mut Vec<ControllerOutput>,
    mut change: impl FnMut(&mut PartitionImage, &dyn Fn(i32) -> bool) -> Change,
) -> bool {
    let brokers = image.brokers.clone();
    let alive = |id: i32| brokers.get(&id).is_some_and(|broker| !broker.fenced);
    let index = usize::try_from(at.partition).ok();
    let Some(topic) = image.topics.get_mut(&at.topic) else { return false };
    let Some(index) = index.filter(|index| *index < topic.partitions.len()) else { return false };
    let mut partition = topic.partitions[index].clone();
    let Change::Leader { unclean } = change(&mut partition, &alive) else { return false };
    partition.partition_epoch += 1;
    partition.leader_epoch += 1;
    outputs.push(elected(&at.topic, index, &partition, unclean));
    Arc::make_mut(topic).partitions[index] = partition;
    true
}
