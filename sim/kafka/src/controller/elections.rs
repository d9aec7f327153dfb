//! Elections: brokers come and go, and operators have their wishes. Who may lead is in `in_sync`.
//!
//! Real: `PartitionChangeBuilder`, `ReplicationControlManager`.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use kafka_protocol::messages::{ElectLeadersRequest, TopicName};

use super::in_sync::{Change, Policy, Rules, eligible_beside, settle};
use super::{Controller, ControllerOutput};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::image::{BrokerImage, Image, NO_LEADER, PartitionImage, TopicImage};

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

/// `election_type` of `ElectLeaders`.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;
/// `leader.imbalance.per.broker.percentage`.
const IMBALANCE_PERCENT: usize = 10;

/// Goes through all partitions and tells which got another leader. True if any changed at all.
fn each_partition(
    image: &mut Image,
    policy: Policy,
    outputs: &mut Vec<ControllerOutput>,
    mut change: impl FnMut(&mut PartitionImage, &Rules, &dyn Fn(i32) -> bool) -> Change,
) -> bool {
    let brokers = image.brokers.clone();
    let may_lead = |id: i32| brokers.get(&id).is_some_and(BrokerImage::is_active);
    let mut changed = false;
    for (name, topic) in &mut image.topics {
        for index in 0..topic.partitions.len() {
            let mut partition = topic.partitions[index].clone();
            let rules = policy.rules(&topic.spec, partition.replicas.len());
            let outcome = change(&mut partition, &rules, &may_lead);
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

fn without(isr: &[i32], broker: i32) -> Vec<i32> {
    isr.iter().copied().filter(|id| *id != broker).collect()
}

/// A broker is fenced, or about to stop: it leads nothing and is in sync with nothing. True if that changed anything.
pub(super) fn leave(
    image: &mut Image,
    policy: Policy,
    broker: i32,
    outputs: &mut Vec<ControllerOutput>,
) -> bool {
    each_partition(image, policy, outputs, |partition, rules, may_lead| {
        match partition.isr.contains(&broker) {
            true => settle(partition, without(&partition.isr, broker), None, rules, may_lead),
            false => Change::Nothing,
        }
    })
}

/// A broker comes back after an end that was not clean: what it has may be less than it had.
pub(super) fn come_back_with_less(
    image: &mut Image,
    policy: Policy,
    broker: i32,
    outputs: &mut Vec<ControllerOutput>,
) {
    each_partition(image, policy, outputs, |partition, rules, may_lead| {
        match partition.isr.contains(&broker) || partition.elr.contains(&broker) {
            true => settle(partition, without(&partition.isr, broker), Some(broker), rules, may_lead),
            false => Change::Nothing,
        }
    });
}

/// A broker is back: partitions without a leader may have one now.
pub(super) fn come_back(image: &mut Image, policy: Policy, outputs: &mut Vec<ControllerOutput>) {
    each_partition(image, policy, outputs, |partition, rules, may_lead| match partition.leader {
        NO_LEADER => settle(partition, partition.isr.clone(), None, rules, may_lead),
        _ => Change::Nothing,
    });
}

/// All processes have died at once: nobody is in sync, and who was has what it had.
#[cfg(feature = "tcp")]
pub(super) fn all_leave(image: &mut Image, policy: Policy) {
    each_partition(image, policy, &mut Vec::new(), |partition, rules, _| {
        settle(partition, Vec::new(), None, rules, &|_| false)
    });
}

/// Makes a replica the leader, if it is in sync and alive.
fn prefer(partition: &mut PartitionImage, replica: i32, may_lead: &dyn Fn(i32) -> bool) -> Change {
    if partition.leader == replica || !may_lead(replica) || !partition.isr.contains(&replica) {
        return Change::Nothing;
    }
    partition.leader = replica;
    Change::Leader { unclean: false }
}

/// Makes a replica the leader that is alive, in sync or not.
fn force(
    partition: &mut PartitionImage,
    replica: i32,
    rules: &Rules,
    may_lead: &dyn Fn(i32) -> bool,
) -> Change {
    if partition.leader == replica || !may_lead(replica) || !partition.replicas.contains(&replica) {
        return Change::Nothing;
    }
    let is_eligible = partition.isr.is_empty() && partition.elr.contains(&replica);
    let unclean = !is_eligible && !partition.isr.contains(&replica);
    if is_eligible {
        partition.elr = eligible_beside(replica, &partition.elr, rules);
        partition.isr = vec![replica];
    } else if unclean {
        partition.elr.clear();
        partition.isr = vec![replica];
    }
    partition.leader = replica;
    partition.last_known_leader = None;
    Change::Leader { unclean }
}

impl Controller {
    pub(super) fn policy(&self) -> Policy {
        Policy::of(&self.cluster.settings)
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
        let policy = self.policy();
        let mut moved = false;
        self.edit(now, &mut outputs, |image, outputs| {
            moved = elect_one(image, policy, at, outputs, |partition, _, may_lead| {
                prefer(partition, to, may_lead)
            });
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
        let policy = self.policy();
        let mut unclean = false;
        self.edit(now, &mut outputs, |image, outputs| {
            elect_one(image, policy, at, outputs, |partition, rules, may_lead| {
                let change = force(partition, to, rules, may_lead);
                unclean = change == Change::Leader { unclean: true };
                change
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
        let policy = self.policy();
        let mut elected = false;
        self.edit(now, outputs, |image, outputs| {
            elected = elect_one(image, policy, at, outputs, |partition, rules, may_lead| match unclean {
                true => {
                    let rules = Rules { unclean: true, ..*rules };
                    settle(partition, partition.isr.clone(), None, &rules, may_lead)
                }
                false => prefer(partition, preferred, may_lead),
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
        partition.leader != preferred && partition.isr.contains(&preferred) && self.image.is_active(preferred)
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
        let policy = self.policy();
        self.edit(now, outputs, |image, outputs| {
            each_partition(image, policy, outputs, |partition, _, may_lead| {
                let preferred = partition.replicas[0];
                match imbalanced.contains(&preferred) {
                    true => prefer(partition, preferred, may_lead),
                    false => Change::Nothing,
                }
            })
        });
    }
}

fn elect_one(
    image: &mut Image,
    policy: Policy,
    at: &TopicPartition,
    outputs: &mut Vec<ControllerOutput>,
    mut change: impl FnMut(&mut PartitionImage, &Rules, &dyn Fn(i32) -> bool) -> Change,
) -> bool {
    let brokers = image.brokers.clone();
    let may_lead = |id: i32| brokers.get(&id).is_some_and(BrokerImage::is_active);
    let index = usize::try_from(at.partition).ok();
    let Some(topic) = image.topics.get_mut(&at.topic) else { return false };
    let Some(index) = index.filter(|index| *index < topic.partitions.len()) else { return false };
    let mut partition = topic.partitions[index].clone();
    let rules = policy.rules(&topic.spec, partition.replicas.len());
    let Change::Leader { unclean } = change(&mut partition, &rules, &may_lead) else { return false };
    partition.partition_epoch += 1;
    partition.leader_epoch += 1;
    outputs.push(elected(&at.topic, index, &partition, unclean));
    Arc::make_mut(topic).partitions[index] = partition;
    true
}
