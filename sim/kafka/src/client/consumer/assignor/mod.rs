//! Assignment, as the group's leader computes it, and what members tell each other for it.
//!
//! Source: Java's `RangeAssignor` and `RoundRobinAssignor` (without racks). Members sort by instance id or member id. What
//! a member had goes to the leader as owned partitions (cooperative), or as the sticky assignor's own data (eager, when
//! nothing is owned any more).

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition as Share,
};
use kafka_protocol::messages::consumer_protocol_subscription::{
    ConsumerProtocolSubscription, TopicPartition as Owned,
};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::protocol::StrBytes;

use super::Assignor;
use crate::cluster::TopicPartition;
use crate::consumer_protocol::{assigned_partitions, decode_versioned, encode_versioned};

mod sticky;

/// Of assignments, and of subscriptions that have only topics to name.
const VERSION: i16 = 0;
/// Of subscriptions that name what is owned, and since which generation.
const SUBSCRIPTION_WITH_OWNED: i16 = 2;

impl Assignor {
    /// As written in `partition.assignment.strategy`.
    pub fn named(name: &str) -> Option<Assignor> {
        let all = [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky];
        all.into_iter().find(|assignor| assignor.name().as_str() == name)
    }

    pub(super) fn name(self) -> StrBytes {
        StrBytes::from_static_str(match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::Sticky => "sticky",
            Assignor::CooperativeSticky => "cooperative-sticky",
        })
    }
}

/// The assignor that the group has agreed on.
pub(super) fn assignor_named(assignors: &[Assignor], name: Option<&StrBytes>) -> Assignor {
    let chosen = assignors.iter().find(|assignor| Some(&assignor.name()) == name);
    chosen.or(assignors.first()).copied().unwrap_or_default()
}

/// What a member has when it joins.
pub(super) struct Membership<'a> {
    /// Nothing, in the eager protocol.
    pub owned: Vec<TopicPartition>,
    pub last_share: &'a [TopicPartition],
    pub generation: i32,
}

pub(super) fn encode_subscription(
    assignor: Assignor,
    topics: &[TopicName],
    membership: &Membership<'_>,
) -> Bytes {
    let topics = topics.iter().map(|topic| topic.0.clone()).collect();
    let subscription = ConsumerProtocolSubscription::default().with_topics(topics);
    match assignor {
        Assignor::Range | Assignor::RoundRobin => encode_versioned(&subscription, VERSION),
        Assignor::Sticky => {
            let before = encode_sticky(membership.last_share, membership.generation);
            encode_versioned(&subscription.with_user_data(Some(before)), VERSION)
        }
        Assignor::CooperativeSticky => {
            let owned = by_topic(membership.owned.iter().cloned()).into_iter();
            let owned = owned
                .map(|(topic, partitions)| Owned::default().with_topic(topic).with_partitions(partitions));
            let subscription =
                subscription.with_owned_partitions(owned.collect()).with_generation_id(membership.generation);
            encode_versioned(&subscription, SUBSCRIPTION_WITH_OWNED)
        }
    }
}

/// `StickyAssignorUserData` version 1: topics with their partitions, then the generation.
fn encode_sticky(share: &[TopicPartition], generation: i32) -> Bytes {
    let topics = by_topic(share.iter().cloned());
    let mut bytes = BytesMut::new();
    bytes.put_i32(length(topics.len()));
    for (topic, partitions) in topics {
        bytes.put_i16(i16::try_from(topic.len()).expect("a topic's name has at most 249 characters"));
        bytes.put_slice(topic.as_bytes());
        bytes.put_i32(length(partitions.len()));
        partitions.into_iter().for_each(|partition| bytes.put_i32(partition));
    }
    bytes.put_i32(generation);
    bytes.freeze()
}

fn length(count: usize) -> i32 {
    i32::try_from(count).expect("a share has fewer than 2^31 partitions")
}

/// The opposite of [`encode_sticky`]; nothing where the bytes are not it.
fn decode_sticky(bytes: Option<Bytes>) -> (Vec<TopicPartition>, i32) {
    let read = || {
        // The same layout as an assignment, which has a version in front.
        let mut data = bytes?;
        let mut versioned = BytesMut::with_capacity(data.len() + 2);
        versioned.put_i16(VERSION);
        versioned.put_slice(&data);
        let share = assigned_partitions(versioned.freeze())?;
        data.advance(data.len().checked_sub(4)?);
        Some((share, data.try_get_i32().ok()?))
    };
    read().unwrap_or((Vec::new(), -1))
}

fn by_topic(partitions: impl Iterator<Item = TopicPartition>) -> BTreeMap<TopicName, Vec<i32>> {
    let mut topics: BTreeMap<TopicName, Vec<i32>> = BTreeMap::new();
    partitions.for_each(|name| topics.entry(name.topic).or_default().push(name.partition));
    topics
}

/// A member and the topics it wants.
pub(super) struct Subscriber {
    pub member_id: StrBytes,
    pub topics: BTreeSet<TopicName>,
    /// What it has, or had.
    pub owned: Vec<TopicPartition>,
    /// Since when; -1 where it does not know.
    pub generation: i32,
}

/// The group in assignment order. A subscription that cannot be read wants nothing.
pub(super) fn subscribers(assignor: Assignor, mut members: Vec<JoinGroupResponseMember>) -> Vec<Subscriber> {
    members.sort_by_key(|member| {
        let instance = member.group_instance_id.clone();
        (instance.is_none(), instance.unwrap_or_else(|| member.member_id.clone()))
    });
    members.into_iter().map(|member| subscriber(assignor, member)).collect()
}

fn subscriber(assignor: Assignor, member: JoinGroupResponseMember) -> Subscriber {
    let subscription = decode_versioned::<ConsumerProtocolSubscription>(member.metadata).unwrap_or_default();
    let (owned, generation) = match assignor {
        Assignor::Sticky => decode_sticky(subscription.user_data),
        _ => {
            let owned = subscription.owned_partitions.into_iter().flat_map(|owned| {
                let topic = owned.topic;
                let name = move |partition| TopicPartition { topic: topic.clone(), partition };
                owned.partitions.into_iter().map(name)
            });
            (owned.collect(), subscription.generation_id)
        }
    };
    let topics = subscription.topics.into_iter().map(TopicName).collect();
    Subscriber { member_id: member.member_id, topics, owned, generation }
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
        Assignor::Sticky => sticky::sticky(group, partitions, &mut shares),
        Assignor::CooperativeSticky => {
            sticky::sticky(group, partitions, &mut shares);
            sticky::withhold_owned(group, &mut shares);
        }
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
        let topics = by_topic(share.into_iter())
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
        let topics = topics.iter().map(topic_name).collect();
        Subscriber { member_id, topics, owned: Vec::new(), generation: -1 }
    }

    fn owning(id: &str, owned: &[i32]) -> Subscriber {
        let owned = owned.iter().map(|partition| TopicPartition::new("t", *partition)).collect();
        Subscriber { owned, generation: 1, ..member(id, &["t"]) }
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
    fn e45_sticky_moves_as_little_as_it_can() {
        let group = [owning("a", &[0, 2, 4]), owning("b", &[1, 3, 5]), member("c", &["t"])];
        let moved = ["t-0 t-2", "t-1 t-3", "t-4 t-5"];
        assert_eq!(shares(Assignor::Sticky, &group, &[("t", 6)]), moved);
        let group = [owning("b", &[1, 3]), owning("c", &[4, 5])];
        assert_eq!(shares(Assignor::Sticky, &group, &[("t", 6)]), ["t-0 t-1 t-3", "t-2 t-4 t-5"]);
    }

    #[test]
    fn e45_what_two_claim_is_nobodys_unless_one_claim_is_newer() {
        let group = [owning("a", &[0, 1]), owning("b", &[0, 1])];
        assert_eq!(shares(Assignor::Sticky, &group, &[("t", 2)]), ["t-0", "t-1"]);
        let newer = Subscriber { generation: 2, ..owning("b", &[0]) };
        assert_eq!(shares(Assignor::Sticky, &[owning("a", &[0, 1]), newer], &[("t", 2)]), ["t-1", "t-0"]);
    }

    #[test]
    fn e45_cooperative_gives_away_nothing_that_is_still_owned() {
        let group = [owning("a", &[0, 1, 2, 3]), member("b", &["t"])];
        assert_eq!(shares(Assignor::CooperativeSticky, &group, &[("t", 4)]), ["t-0 t-1", ""]);
    }

    #[test]
    fn sticky_members_tell_what_they_had() {
        let share = vec![TopicPartition::new("t", 0), TopicPartition::new("u", 2)];
        assert_eq!(decode_sticky(Some(encode_sticky(&share, 7))), (share, 7));
        assert_eq!(decode_sticky(Some(Bytes::from_static(b"nonsense"))), (Vec::new(), -1));
        assert_eq!(decode_sticky(None), (Vec::new(), -1));
    }

    #[test]
    fn a_share_survives_its_encoding() {
        let group = [member("a", &["t"])];
        let share = vec![TopicPartition::new("t", 0), TopicPartition::new("t", 2)];
        let encoded = encode_assignments(&group, vec![share.clone()]);
        assert_eq!(decode_assignment(encoded[0].assignment.clone()), share);
    }
}
