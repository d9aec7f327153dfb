//! Compaction: replicas of compacted topics, led or followed, that lose what later records of the same keys have replaced.
//!
//! Real: `LogCleaner`, `LogCleanerManager`. Kafka looks every `log.cleaner.backoff.ms`; here the broker only wakes for the
//! first of these times after which there can be something to compact: a segment is no longer active, the last stable
//! offset has passed it, it has become old enough. Compacting takes no time, and all logs that are dirty enough have their
//! turn at once.

use super::{Broker, Topic};
use crate::cluster::{TimestampMs, TopicPartition, TopicSpec};
use crate::replica::Replica;

/// When to look, in steady time.
#[derive(Default)]
pub(super) struct Cleaner {
    due: Option<TimestampMs>,
    /// When the broker's clock will show the time at which records are old enough.
    due_by_clock: Option<TimestampMs>,
}

impl Cleaner {
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.due.into_iter().chain(self.due_by_clock).min()
    }

    pub fn clock_moved(&mut self, forward_ms: i64) {
        self.due_by_clock = self.due_by_clock.map(|due| due.saturating_sub(forward_ms));
    }
}

impl Broker {
    /// There may be something to compact: looks at the next time for it.
    fn look_at_dirty_logs(&mut self, now: TimestampMs) {
        let at = self.next_cleaning(now.saturating_add(1));
        self.cleaner.due = Some(self.cleaner.due.map_or(at, |due| due.min(at)));
    }

    /// The first time to look that is not before `earliest`.
    fn next_cleaning(&self, earliest: TimestampMs) -> TimestampMs {
        let backoff_ms = self.config.log_cleaner_backoff_ms.max(1);
        earliest.saturating_add(backoff_ms - 1).div_euclid(backoff_ms).saturating_mul(backoff_ms)
    }

    /// The process is new, or a topic's settings are: every compacted log is looked at that has more than one segment.
    pub(super) fn look_at_all_logs(&mut self, now: TimestampMs) {
        let is_closed = |topic: &Topic| {
            let mut replicas = topic.replicas.iter().flatten();
            topic.spec.cleanup_policy.compacts() && replicas.any(|replica| replica.log.segments() > 1)
        };
        if self.topics.values().any(is_closed) {
            self.look_at_dirty_logs(now);
        }
    }

    /// A replica's log or its last stable offset has moved. `is_rolled`: another of its segments is no longer active.
    pub(super) fn note_dirty(&mut self, now: TimestampMs, at: &TopicPartition, is_rolled: bool) {
        let Some((spec, replica)) = self.replica(&at.topic, at.partition) else { return };
        if spec.cleanup_policy.compacts() && (is_rolled || replica.can_be_cleaned_further()) {
            self.look_at_dirty_logs(now);
        }
    }

    pub(super) fn clean_logs(&mut self, now: TimestampMs) {
        if self.cleaner.next_deadline().is_none_or(|due| due > now) {
            return;
        }
        let clock = self.clock(now);
        let expiration = self.config.producer_id_expiration();
        let mut look_at: Option<TimestampMs> = None;
        for topic in self.topics.values_mut().filter(|topic| topic.spec.cleanup_policy.compacts()) {
            for replica in topic.replicas.iter_mut().flatten() {
                replica.producers.expire(clock, expiration);
                look_at = look_at.into_iter().chain(replica.clean(clock, &topic.spec)).min();
            }
        }
        let ahead_ms = self.clock_ahead_ms;
        let look_at = look_at.map(|at| at.saturating_sub(ahead_ms).max(now.saturating_add(1)));
        self.cleaner = Cleaner { due: None, due_by_clock: look_at.map(|at| self.next_cleaning(at)) };
    }
}

impl Replica {
    /// Compacts the log as far as may be. Gives when the clock must show what for more.
    fn clean(&mut self, clock: TimestampMs, spec: &TopicSpec) -> Option<TimestampMs> {
        let mut found = self.log.cleanable(clock, spec, self.last_stable_offset());
        if let Some(upto) = found.upto {
            let emptied = self.log.compact(clock, spec, upto, &self.producers);
            self.producers.forget_aborted(&emptied);
            found = self.log.cleanable(clock, spec, self.last_stable_offset());
        }
        self.cleaned_when_stable_at = found.stable_at;
        found.look_at
    }

    fn can_be_cleaned_further(&self) -> bool {
        self.cleaned_when_stable_at.is_some_and(|offset| self.last_stable_offset() >= offset)
    }
}
