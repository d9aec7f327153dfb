//! Sticky assignment: balanced, with as few partitions moved as possible (KIP-54, KIP-429).
//!
//! Rebuilt from what Java's `AbstractStickyAssignor` promises, not from its steps: nobody has two partitions more than
//! another who could take one, what can stay stays, and the same group always comes out the same. A partition that two
//! members of one generation claim is nobody's.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::TopicName;

use super::Subscriber;
use crate::cluster::TopicPartition;

pub(super) fn sticky(
    group: &[Subscriber],
    partitions: &BTreeMap<TopicName, i32>,
    shares: &mut [Vec<TopicPartition>],
) {
    let all = partitions.iter().flat_map(|(topic, count)| {
        (0..*count).map(|partition| TopicPartition { topic: topic.clone(), partition })
    });
    let mut unowned: BTreeSet<TopicPartition> = all.collect();
    for (name, owner) in owners(group) {
        if group[owner].topics.contains(&name.topic) && unowned.remove(&name) {
            shares[owner].push(name);
        }
    }
    for name in unowned {
        let takers = (0..group.len()).filter(|index| group[*index].topics.contains(&name.topic));
        if let Some(taker) = takers.min_by_key(|index| (shares[*index].len(), *index)) {
            shares[taker].push(name);
        }
    }
    while let Some((from, to, place)) = unbalanced(group, shares) {
        let name = shares[from].remove(place);
        shares[to].push(name);
    }
    shares.iter_mut().for_each(|share| share.sort());
}

/// Who had each partition last: the claim of the newest generation counts, if it is the only one.
fn owners(group: &[Subscriber]) -> BTreeMap<TopicPartition, usize> {
    let mut claims: BTreeMap<&TopicPartition, (i32, Option<usize>)> = BTreeMap::new();
    for (index, member) in group.iter().enumerate() {
        for name in &member.owned {
            let claim = claims.entry(name).or_insert((i32::MIN, None));
            if member.generation > claim.0 {
                *claim = (member.generation, Some(index));
            } else if member.generation == claim.0 {
                claim.1 = None;
            }
        }
    }
    let owned = claims.into_iter().filter_map(|(name, (_, owner))| Some((name.clone(), owner?)));
    owned.collect()
}

/// A partition that evens things out: from whom, to whom, and its place there.
fn unbalanced(group: &[Subscriber], shares: &[Vec<TopicPartition>]) -> Option<(usize, usize, usize)> {
    let mut by_size: Vec<usize> = (0..group.len()).collect();
    by_size.sort_by_key(|index| (shares[*index].len(), *index));
    for &to in &by_size {
        for &from in by_size.iter().rev() {
            if shares[from].len() < shares[to].len() + 2 {
                break;
            }
            let movable = |name: &TopicPartition| group[to].topics.contains(&name.topic);
            if let Some(place) = shares[from].iter().rposition(movable) {
                return Some((from, to, place));
            }
        }
    }
    None
}

/// Cooperative: a partition that somebody still has is not given to another yet. Its owner gives it up in this
/// generation, and the next one hands it out.
pub(super) fn withhold_owned(group: &[Subscriber], shares: &mut [Vec<TopicPartition>]) {
    for (index, share) in shares.iter_mut().enumerate() {
        let is_theirs = |name: &TopicPartition| {
            let mut others = group.iter().enumerate().filter(|(other, _)| *other != index);
            others.any(|(_, member)| member.owned.contains(name))
        };
        share.retain(|name| group[index].owned.contains(name) || !is_theirs(name));
    }
}
