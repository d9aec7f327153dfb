//! Range and round-robin assignment, as the group's leader computes them.
//!
//! Source: Java's `RangeAssignor` and `RoundRobinAssignor` (without racks). Members sort by instance id or member id.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition as Share,
};
use kafka_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::protocol::StrBytes;

use super::Assignor;
use crate::cluster::TopicPartition;
use crate::consumer_protocol::{assigned_partitions, decode_versioned, encode_versioned};

/// Version of both messages: the newest before cooperative rebalancing gave them more to say.
const VERSION: i16 = 0;

impl Assignor {
    pub(super) fn name(self) -> StrBytes {
        StrBytes::from_static_str(match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
        })
    }
}

pub(super) fn encode_subscription(topics: &[TopicName]) -> Bytes {
    let topics = topics.iter().map(|topic| topic.0.clone()).collect();
    encode_versioned(&ConsumerProtocolSubscription::default().with_topics(topics), VERSION)
}

/// A member and the topics it wants.
pub(super) struct Subscriber {
    pub member_id: StrBytes,
    pub topics: BTreeSet<TopicName>,
}

/// The group in assignment order. A subscription that cannot be read wants nothing.
pub(super) fn subscribers(mut members: Vec<JoinGroupResponseMember>) -> Vec<Subscriber> {
    members.sort_by_key(|member| {
        let instance = member.group_instance_id.clone();
        (instance.is_none(), instance.unwrap_or_else(|| member.member_id.clone()))
    });
    let subscribers = members.into_iter().map(|member| {
        let subscription = decode_versioned::<ConsumerProtocolSubscription>(member.metadata);
        let topics = subscription.map(|subscription| subscription.topics).unwrap_or_default();
        Subscriber { member_id: member.member_id, topics: topics.into_iter().map(TopicName).collect() }
    });
    subscribers.collect()
}

/// Shares of `partitions` (topic → number of partitions), one per subscriber, in the same order.
pub(super) fn assign(
    assignor: Assignor,
    group: &[Subscriber],
    partitions: &BTreeMap<TopicName, i32>,
) -> Vec<Vec<TopicPartition>> {
    let mut shares = vec![Vec::new(); group.len()];
    match assignor {
        Assignor::Range => range(group, partitions, &mut shares),
        Assignor::RoundRobin => round_robin(group, partitions, &mut shares),
    }
    shares
}

/// Topic by topic, consecutive partitions; the first members get one more where it does not come out even.
fn range(group: &[Subscriber], partitions: &BTreeMap<TopicName, i32>, shares: &mut [Vec<TopicPartition>]) {
    for (topic, count) in partitions {
        let interested = group.iter().enumerate().filter(|(_, member)| member.topics.contains(topic));
        let interested: Vec<usize> = interested.map(|(index, _)| index).collect();
        let Ok(members) = i32::try_from(interested.len()) else { continue };
        let mut next = 0;
        for (place, index) in (0..).zip(interested) {
            let size = count / members + i32::from(place < count % members);
            let range = next..next + size;
            shares[index].extend(range.map(|partition| TopicPartition { topic: topic.clone(), partition }));
            next += size;
        }
    }
}

/// All partitions in turn to the members that want them.
fn round_robin(
    group: &[Subscriber],
    partitions: &BTreeMap<TopicName, i32>,
    shares: &mut [Vec<TopicPartition>],
) {
    let mut turn = 0;
    for (topic, count) in partitions {
        if !group.iter().any(|member| member.topics.contains(topic)) {
            continue;
        }
        for partition in 0..*count {
            while !group[turn % group.len()].topics.contains(topic) {
                turn += 1;
            }
            shares[turn % group.len()].push(TopicPartition { topic: topic.clone(), partition });
            turn += 1;
        }
    }
}

pub(super) fn encode_assignments(
    group: &[Subscriber],
    shares: Vec<Vec<TopicPartition>>,
) -> Vec<SyncGroupRequestAssignment> {
    let encoded = group.iter().zip(shares).map(|(member, share)| {
        let mut topics: BTreeMap<TopicName, Vec<i32>> = BTreeMap::new();
        share.into_iter().for_each(|p| topics.entry(p.topic).or_default().push(p.partition));
        let topics = topics
            .into_iter()
            .map(|(topic, partitions)| Share::default().with_topic(topic).with_partitions(partitions));
        let assignment = ConsumerProtocolAssignment::default().with_assigned_partitions(topics.collect());
        SyncGroupRequestAssignment::default()
            .with_member_id(member.member_id.clone())
            .with_assignment(encode_versioned(&assignment, VERSION))
    });
    encoded.collect()
}

/// This member's share. Empty bytes are an empty share.
pub(super) fn decode_assignment(bytes: Bytes) -> Vec<TopicPartition> {
    let mut partitions = assigned_partitions(bytes).unwrap_or_default();
    partitions.sort();
    partitions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::topic_name;

    fn member(id: &str, topics: &[&str]) -> Subscriber {
        let member_id = StrBytes::from_string(id.to_owned());
        Subscriber { member_id, topics: topics.iter().map(topic_name).collect() }
    }

    fn shares(assignor: Assignor, group: &[Subscriber], topics: &[(&str, i32)]) -> Vec<String> {
        let partitions = topics.iter().map(|(name, count)| (topic_name(name), *count)).collect();
        let line =
            |share: Vec<TopicPartition>| share.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assign(assignor, group, &partitions).into_iter().map(line).collect()
    }

    #[test]
    fn range_gives_consecutive_partitions_and_the_rest_to_the_first() {
        let group = [member("a", &["t", "u"]), member("b", &["t", "u"])];
        assert_eq!(shares(Assignor::Range, &group, &[("t", 3), ("u", 2)]), ["t-0 t-1 u-0", "t-2 u-1"]);
    }

    #[test]
    fn round_robin_deals_partitions_of_all_topics_in_turn() {
        let group = [member("a", &["t", "u"]), member("b", &["t", "u"])];
        assert_eq!(shares(Assignor::RoundRobin, &group, &[("t", 3), ("u", 2)]), ["t-0 t-2 u-1", "t-1 u-0"]);
    }

    #[test]
    fn nobody_gets_what_it_did_not_subscribe_to() {
        let group = [member("a", &["t"]), member("b", &["u"])];
        for assignor in [Assignor::Range, Assignor::RoundRobin] {
            assert_eq!(shares(assignor, &group, &[("t", 2), ("u", 1), ("v", 4)]), ["t-0 t-1", "u-0"]);
        }
    }

    #[test]
    fn a_share_survives_its_encoding() {
        let group = [member("a", &["t"])];
        let share = vec![TopicPartition::new("t", 0), TopicPartition::new("t", 2)];
        let encoded = encode_assignments(&group, vec![share.clone()]);
        assert_eq!(decode_assignment(encoded[0].assignment.clone()), share);
    }
}
