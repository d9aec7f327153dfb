//! Offsets that nobody has needed for `offsets.retention.minutes`, and groups of which nothing is left.
//!
//! Real: `GroupCoordinatorShard.cleanupGroupMetadata`, `ClassicGroup.offsetExpirationCondition`. Kafka looks at every
//! partition each `offsets.retention.check.interval.ms`; here the coordinator only wakes for the first of these times at
//! which it can find something.

use super::state::{Group, State};
use super::stored::{CommittedOffset, group_tombstone, offset_tombstone};
use super::writes::{Removal, Then};
use super::{Coordinator, Settings, Timer};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::coordination::Todo;

impl Coordinator {
    /// Something in the partition may expire when the clock shows `expires_at`.
    pub(super) fn note_expiry(&mut self, now: TimestampMs, partition: i32, expires_at: TimestampMs) {
        let Some(led) = self.led.get_mut(&partition).filter(|led| !led.is_loading()) else { return };
        let interval_ms = self.settings.offsets_retention_check_interval_ms;
        let due = expires_at.saturating_sub(self.clock_ahead_ms).max(now.saturating_add(1));
        let since_load = due.saturating_sub(led.loaded_at());
        let checks = since_load.saturating_add(interval_ms - 1).div_euclid(interval_ms).max(1);
        let check = led.loaded_at().saturating_add(checks.saturating_mul(interval_ms));
        if led.next_check.is_none_or(|next| check < next) {
            led.next_check.map(|next| self.deadlines.remove(&(next, Timer::Expiry(partition))));
            led.next_check = Some(check);
            self.deadlines.insert((check, Timer::Expiry(partition)));
        }
    }

    /// Looks through a partition for what expires first.
    pub(super) fn look_for_expiry(&mut self, now: TimestampMs, partition: i32) {
        let Some(led) = self.led.get_mut(&partition) else { return };
        if let Some(check) = led.next_check.take() {
            self.deadlines.remove(&(check, Timer::Expiry(partition)));
        }
        let groups = self.groups.values().filter(|group| group.partition == partition);
        let first = groups.filter_map(|group| group.expires_at(&self.settings)).min();
        if let Some(first) = first {
            self.note_expiry(now, partition, first);
        }
    }

    /// A check: writes tombstones for what has expired.
    pub(super) fn expire_offsets(&mut self, now: TimestampMs, partition: i32, todo: &mut Todo) {
        let clock = self.clock(now);
        let mut records = Vec::new();
        let mut removals = Vec::new();
        for group in self.groups.values_mut().filter(|group| group.partition == partition) {
            let (offsets, entirely) = group.expired(&self.settings, clock);
            let entirely = entirely && !self.writes.is_committing(&group.id);
            if entirely {
                group.state = State::Dead;
            }
            records.extend(offsets.iter().map(|at| offset_tombstone(&group.id, at)));
            records.extend(entirely.then(|| group_tombstone(&group.id)));
            if entirely || !offsets.is_empty() {
                removals.push(Removal { group: group.id.clone(), offsets, entirely });
            }
        }
        if !records.is_empty() {
            self.writes.write(todo, partition, None, records, Then::Removed(removals));
        }
        self.look_for_expiry(now, partition);
    }
}

impl Group {
    /// By the clock, when the first offset expires, or the group itself. `None`: not before something changes.
    pub fn expires_at(&self, settings: &Settings) -> Option<TimestampMs> {
        if self.offsets.is_empty() {
            let is_left = self.state == State::Empty && self.pending_offsets.is_empty();
            return is_left.then_some(TimestampMs::MIN);
        }
        let offsets = self.offsets.iter();
        offsets.filter_map(|(at, committed)| self.offset_expires_at(settings, at, committed)).min()
    }

    /// An offset of a group without members expires some time after the last member left, or after its commit where there
    /// never were any; of a consumer group with members, what none of them reads.
    pub fn offset_expires_at(
        &self,
        settings: &Settings,
        at: &TopicPartition,
        committed: &CommittedOffset,
    ) -> Option<TimestampMs> {
        if self.is_subscribed_to(&at.topic) || self.is_unstable(at) {
            return None;
        }
        let since = match (&self.protocol_type, self.state) {
            (_, State::Dead) => return None,
            (None, _) => committed.committed_at,
            (Some(_), State::Empty) => self.state_since.unwrap_or(committed.committed_at),
            (Some(_), State::Stable) if self.subscribed.is_some() => committed.committed_at,
            (Some(_), _) => return None,
        };
        Some(committed.expires_at.unwrap_or(since.saturating_add(settings.offsets_retention_ms)))
    }

    /// What has expired, and whether the group has with it.
    fn expired(&self, settings: &Settings, clock: TimestampMs) -> (Vec<TopicPartition>, bool) {
        let is_expired = |at: &TopicPartition, committed: &CommittedOffset| {
            self.offset_expires_at(settings, at, committed).is_some_and(|due| due <= clock)
        };
        let expired = self.offsets.iter().filter(|(at, committed)| is_expired(at, committed));
        let expired: Vec<TopicPartition> = expired.map(|(at, _)| at.clone()).collect();
        let nothing_left = expired.len() == self.offsets.len() && self.pending_offsets.is_empty();
        (expired, nothing_left && self.state == State::Empty)
    }
}
