//! A broker's replica of one partition, and what its leader knows of the others.
//!
//! Real: `Partition`, `Replica`. The log, the epochs in it, the high watermark and producer state are on the disk; who
//! leads is learnt anew by every process.

use std::collections::BTreeMap;

use crate::cluster::TimestampMs;
use crate::image::{NO_LEADER, PartitionImage};
use crate::log::Log;
use crate::producer_state::ProducerStates;

pub(crate) struct Replica {
    pub log: Log,
    pub producers: ProducerStates,
    /// All in-sync replicas have what is below it, as far as this one knows.
    pub high_watermark: i64,
    pub leader_epoch: i32,
    /// Of the newest change that this broker heard of; -1 before the first.
    pub partition_epoch: i32,
    /// Where the last stable offset must come for more of the log to be compacted.
    pub cleaned_when_stable_at: Option<i64>,
    pub role: Role,
}

pub(crate) enum Role {
    Leader(Leading),
    /// Of this broker, or of nobody.
    Follower {
        leader: i32,
    },
}

/// What a leader keeps of its replicas.
pub(crate) struct Leading {
    /// Where the log ended when this broker became the leader.
    pub epoch_start: i64,
    pub isr: Vec<i32>,
    /// Asked of the controller, and not answered yet.
    pub wanted_isr: Option<Vec<i32>>,
    pub followers: BTreeMap<i32, FollowerState>,
    /// Facts about what can be read were told up to here; of the groups' topic, markers.
    pub told: i64,
}

/// A follower, by its fetches.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FollowerState {
    /// Where its log ends; `None` before its first fetch from this leader.
    pub end_offset: Option<i64>,
    /// The last time at which it had all that the leader had.
    pub caught_up_at: Option<TimestampMs>,
    fetched_at: Option<TimestampMs>,
    /// Of the process that fetched last, if it said (KIP-903).
    pub broker_epoch: Option<i64>,
    /// Where the leader's log ended at its last fetch.
    leader_end_at_fetch: i64,
}

/// For how long a follower may be behind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lag {
    pub now: TimestampMs,
    /// `replica.lag.time.max.ms`.
    pub max_ms: i64,
}

impl Lag {
    pub fn allows(self, last: Option<TimestampMs>) -> bool {
        last.is_some_and(|last| self.now - last <= self.max_ms)
    }
}

impl FollowerState {
    /// It asks for what comes at `offset`: everything before is in its log.
    pub fn fetched(&mut self, now: TimestampMs, offset: i64, leader_end: i64) {
        if offset >= leader_end {
            self.caught_up_at = Some(now);
        } else if offset >= self.leader_end_at_fetch {
            self.caught_up_at = self.caught_up_at.max(self.fetched_at);
        }
        self.end_offset = Some(offset);
        self.fetched_at = Some(now);
        self.leader_end_at_fetch = leader_end;
    }

    /// It was seen at `now`, and has lacked nothing until then.
    pub fn seen(&mut self, now: TimestampMs, leader_end: i64) {
        if self.end_offset == Some(leader_end) {
            self.caught_up_at = self.caught_up_at.max(Some(now));
        }
    }

    fn is_caught_up(&self, leader_end: i64, lag: Lag) -> bool {
        self.end_offset == Some(leader_end) || lag.allows(self.caught_up_at)
    }
}

impl Replica {
    pub fn new() -> Replica {
        Replica {
            log: Log::default(),
            producers: ProducerStates::default(),
            high_watermark: 0,
            leader_epoch: -1,
            partition_epoch: -1,
            cleaned_when_stable_at: None,
            role: Role::Follower { leader: NO_LEADER },
        }
    }

    pub fn leading(&self) -> Option<&Leading> {
        match &self.role {
            Role::Leader(leading) => Some(leading),
            Role::Follower { .. } => None,
        }
    }

    /// This broker leads from now on.
    pub fn lead(&mut self, now: TimestampMs, me: i32, image: &PartitionImage) {
        let followers = image.replicas.iter().filter(|id| **id != me).map(|id| {
            let in_sync = image.isr.contains(id);
            (*id, FollowerState { caught_up_at: in_sync.then_some(now), ..FollowerState::default() })
        });
        let epoch_start = self.log.end_offset();
        self.log.epochs.assign(image.leader_epoch, epoch_start);
        self.high_watermark = self.high_watermark.clamp(self.log.start_offset(), epoch_start);
        self.role = Role::Leader(Leading {
            epoch_start,
            isr: image.isr.clone(),
            wanted_isr: None,
            followers: followers.collect(),
            told: self.last_stable_offset(),
        });
    }

    /// Processes with these broker epochs have taken the place of others: nobody knows what they have until they fetch. True
    /// if one of the others was about to be asked for as in sync.
    pub fn forget_followers(&mut self, renewed: &BTreeMap<i32, i64>) -> bool {
        let Role::Leader(leading) = &mut self.role else { return false };
        let mut forgotten = Vec::new();
        for (id, follower) in &mut leading.followers {
            if renewed.get(id).is_some_and(|epoch| follower.broker_epoch != Some(*epoch)) {
                *follower = FollowerState::default();
                forgotten.push(*id);
            }
        }
        leading.wanted_isr.take_if(|isr| isr.iter().any(|id| forgotten.contains(id))).is_some()
    }

    /// Up to here `read_committed` readers may read.
    pub fn last_stable_offset(&self) -> i64 {
        self.producers.last_stable_offset(self.high_watermark).max(self.log.start_offset())
    }

    /// Raises the high watermark to what all in-sync replicas have, and all that are about to be. True if it moved.
    pub fn advance(&mut self, lag: Lag, min_insync: usize, alive: impl Fn(i32) -> bool) -> bool {
        let Role::Leader(leading) = &self.role else { return false };
        if leading.isr.len() < min_insync {
            return false;
        }
        let end = self.log.end_offset();
        let counts = |id: &i32, follower: &FollowerState| {
            leading.isr.contains(id)
                || leading.wanted_isr.as_ref().is_some_and(|wanted| wanted.contains(id))
                || follower.end_offset.is_some() && alive(*id) && follower.is_caught_up(end, lag)
        };
        let ends = leading.followers.iter().filter(|(id, follower)| counts(id, follower));
        let lowest = ends.map(|(_, follower)| follower.end_offset.unwrap_or(0)).min().unwrap_or(end);
        let watermark = lowest.min(end);
        let moved = watermark > self.high_watermark;
        self.high_watermark = self.high_watermark.max(watermark);
        moved
    }

    /// The in-sync set that would be right: with whoever may come and has what is below the high watermark. `lag` says when to
    /// leave out who was not caught up for longer.
    pub fn better_isr(&self, me: i32, lag: Option<Lag>, may_come: impl Fn(i32) -> bool) -> Option<Vec<i32>> {
        let Role::Leader(leading) = &self.role else { return None };
        if leading.wanted_isr.is_some() {
            return None;
        }
        let end = self.log.end_offset();
        let stays = |id: i32, lag: Lag| {
            let follower = leading.followers.get(&id);
            id == me || follower.is_some_and(|follower| follower.is_caught_up(end, lag))
        };
        let comes = |id: i32, follower: &FollowerState| {
            let has = follower.end_offset.unwrap_or(-1);
            may_come(id) && has >= self.high_watermark && has >= leading.epoch_start
        };
        let in_sync = leading.isr.iter().copied();
        let mut isr: Vec<i32> = in_sync.filter(|id| lag.is_none_or(|lag| stays(*id, lag))).collect();
        let newcomers = leading.followers.iter().filter(|(id, _)| !leading.isr.contains(id));
        isr.extend(newcomers.filter(|(id, follower)| comes(**id, follower)).map(|(id, _)| *id));
        (isr != leading.isr).then_some(isr)
    }

    /// Whether an in-sync follower lacks something.
    pub fn has_laggard(&self) -> bool {
        let end = Some(self.log.end_offset());
        self.leading().is_some_and(|leading| {
            let mut followers = leading.followers.iter();
            followers.any(|(id, follower)| leading.isr.contains(id) && follower.end_offset != end)
        })
    }
}
