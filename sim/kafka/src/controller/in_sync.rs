//! What follows from who is in sync: which replicas are eligible to lead, and which one does.
//!
//! Real: `PartitionChangeBuilder`, with the eligible leader replicas of KIP-966. A replica that leaves the in-sync set while
//! that is smaller than `min.insync.replicas` has everything that was acknowledged, for as long as its disk has: the high
//! watermark stands still without it. Omits the unclean recovery of the KIP's second part.

use std::collections::BTreeSet;

use crate::cluster::{ClusterSettings, TopicSpec};
use crate::image::{NO_LEADER, PartitionImage};

/// The cluster's settings that elections go by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    min_insync: i32,
    unclean: bool,
    pub tracks_eligible: bool,
}

impl Policy {
    pub fn of(settings: &ClusterSettings) -> Policy {
        Policy {
            min_insync: settings.min_insync_replicas,
            unclean: settings.unclean_leader_election_enable,
            tracks_eligible: settings.eligible_leader_replicas_version > 0,
        }
    }

    /// What holds for a partition of such a topic with so many replicas.
    pub fn rules(self, spec: &TopicSpec, replicas: usize) -> Rules {
        let min_insync = spec.min_insync_replicas.unwrap_or(self.min_insync);
        Rules {
            min_insync: usize::try_from(min_insync).unwrap_or(1).clamp(1, replicas.max(1)),
            unclean: spec.unclean_leader_election_enable.unwrap_or(self.unclean),
            tracks_eligible: self.tracks_eligible,
        }
    }
}

/// What a partition's elections go by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub min_insync: usize,
    /// Any replica may lead when nobody else can.
    pub unclean: bool,
    /// Without it the last in-sync replica stays in sync, whatever becomes of it.
    pub tracks_eligible: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    Replicas,
    Leader { unclean: bool },
}

/// Who is to lead.
enum Choice {
    InSync(i32),
    Eligible(i32),
    /// May lack what was acknowledged.
    Unclean(i32),
    Nobody,
}

/// Gives a partition the in-sync set `isr`, and the eligible replicas and the leader that follow from it. The leader stays if
/// it may. `lost` may have lost records: it is eligible no more.
pub(super) fn settle(
    partition: &mut PartitionImage,
    isr: Vec<i32>,
    lost: Option<i32>,
    rules: &Rules,
    may_lead: &dyn Fn(i32) -> bool,
) -> Change {
    let before = partition.clone();
    let elr = eligible(partition, &isr, lost, rules);
    let choice = choose(partition, &isr, &elr, rules, may_lead);
    let unclean = matches!(choice, Choice::Unclean(_));
    (partition.leader, partition.isr, partition.elr) = match choice {
        Choice::InSync(leader) => (leader, isr, elr),
        Choice::Eligible(leader) => (leader, vec![leader], eligible_beside(leader, &elr, rules)),
        Choice::Unclean(leader) => (leader, vec![leader], Vec::new()),
        Choice::Nobody if isr.is_empty() && !rules.tracks_eligible => (NO_LEADER, before.isr.clone(), elr),
        Choice::Nobody => (NO_LEADER, isr, elr),
    };
    if partition.leader != NO_LEADER {
        partition.last_known_leader = None;
    } else if partition.isr.is_empty() && before.leader != NO_LEADER {
        partition.last_known_leader = Some(before.leader);
    }
    match *partition == before {
        true => Change::Nothing,
        false if partition.leader == before.leader => Change::Replicas,
        false => Change::Leader { unclean },
    }
}

/// Who stays eligible when one of them leads, alone in sync.
pub(super) fn eligible_beside(leader: i32, elr: &[i32], rules: &Rules) -> Vec<i32> {
    let others = elr.iter().copied().filter(|id| *id != leader && rules.min_insync > 1);
    others.collect()
}

fn eligible(partition: &PartitionImage, isr: &[i32], lost: Option<i32>, rules: &Rules) -> Vec<i32> {
    if !rules.tracks_eligible || isr.len() >= rules.min_insync {
        return Vec::new();
    }
    let had: BTreeSet<i32> = partition.isr.iter().chain(&partition.elr).copied().collect();
    had.into_iter().filter(|id| !isr.contains(id) && lost != Some(*id)).collect()
}

fn choose(
    partition: &PartitionImage,
    isr: &[i32],
    elr: &[i32],
    rules: &Rules,
    may_lead: &dyn Fn(i32) -> bool,
) -> Choice {
    let first_of = |candidates: &[i32]| {
        let first = [partition.leader].into_iter().chain(partition.replicas.iter().copied());
        first.into_iter().find(|id| candidates.contains(id) && may_lead(*id))
    };
    if let Some(leader) = first_of(isr) {
        return Choice::InSync(leader);
    }
    if isr.is_empty() {
        if let Some(leader) = first_of(elr) {
            return Choice::Eligible(leader);
        }
        let last_known = partition.last_known_leader.filter(|id| elr.is_empty() && may_lead(*id));
        if let Some(leader) = last_known {
            return Choice::Unclean(leader);
        }
    }
    let any = partition.replicas.iter().copied().find(|id| rules.unclean && may_lead(*id));
    any.map_or(Choice::Nobody, Choice::Unclean)
}
