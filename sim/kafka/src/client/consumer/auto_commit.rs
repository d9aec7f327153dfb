//! `enable.auto.commit`: librdkafka commits stored offsets by a timer, Java what earlier polls gave, when it is polled.
//!
//! librdkafka stores an offset when it hands the record over, so a crash in between loses it (at most once); Java's
//! consumer counts a poll's records as processed when the next poll begins.

use std::collections::BTreeMap;

use super::{Consumer, Done, Phase, Slot};
use crate::client::{Link, Profile};
use crate::cluster::TopicPartition;

/// Offsets on their way to a commit.
#[derive(Default)]
pub(super) struct AutoCommit {
    /// Given by the last poll: Java's consumer takes them for processed at the next.
    given: BTreeMap<TopicPartition, i64>,
    /// To be committed.
    pub stored: BTreeMap<TopicPartition, i64>,
    /// Being committed.
    pub committing: BTreeMap<TopicPartition, i64>,
    is_due: bool,
}

impl AutoCommit {
    pub fn forget(&mut self, which: impl Fn(&TopicPartition) -> bool) {
        for offsets in [&mut self.given, &mut self.stored, &mut self.committing] {
            offsets.retain(|partition, _| !which(partition));
        }
    }
}

impl<L: Link + ?Sized + 'static> Consumer<L> {
    /// Stores offsets, each of the next record to read, for the next auto-commit: for `enable.auto.offset.store=false`.
    /// Without effect on partitions that are not assigned.
    pub fn store_offsets(&mut self, offsets: &[(TopicPartition, i64)]) {
        for (partition, offset) in offsets {
            if self.partitions.contains_key(partition) {
                self.auto_commit.stored.insert(partition.clone(), *offset);
            }
        }
    }

    /// Records up to here are the host's now.
    pub(super) fn delivered(&mut self, partition: &TopicPartition, position: Option<i64>) {
        let Some(position) = position.filter(|_| self.config.enable_auto_commit) else { return };
        let offsets = match self.config.profile {
            Profile::Java => &mut self.auto_commit.given,
            Profile::Librdkafka | Profile::Platform if self.config.enable_auto_offset_store => {
                &mut self.auto_commit.stored
            }
            Profile::Librdkafka | Profile::Platform => return,
        };
        offsets.insert(partition.clone(), position);
    }

    /// The host polls: what it was given before is processed.
    pub(super) fn poll_begins(&mut self) {
        let given = std::mem::take(&mut self.auto_commit.given);
        self.auto_commit.stored.extend(given);
        if self.config.profile == Profile::Java && std::mem::take(&mut self.auto_commit.is_due) {
            self.commit_stored();
        }
    }

    /// Wakes after `auto.commit.interval.ms`, if there is something to commit by then.
    pub(super) fn keep_auto_commit(&mut self) {
        let pending = &self.auto_commit;
        let has_nothing = pending.stored.is_empty() && pending.given.is_empty();
        if !self.config.enable_auto_commit || has_nothing || pending.is_due {
            return;
        }
        if self.tasks.is_running(Slot::AutoCommit) {
            return;
        }
        let (caller, interval_ms) = (self.caller.clone(), self.config.auto_commit_interval_ms);
        self.tasks.start(Slot::AutoCommit, async move {
            caller.link.sleep_ms(interval_ms).await;
            Done::AutoCommitDue
        });
    }

    pub(super) fn auto_commit_due(&mut self) {
        match self.config.profile {
            // Java's commits within a poll, and only of what polls before it gave.
            Profile::Java => self.auto_commit.is_due = true,
            Profile::Librdkafka | Profile::Platform => {
                self.commit_stored();
            }
        }
    }

    /// Commits what is stored. True if something is on its way.
    pub(super) fn commit_stored(&mut self) -> bool {
        if self.auto_commit.stored.is_empty() || self.tasks.is_running(Slot::Commit) {
            return false;
        }
        let offsets: Vec<(TopicPartition, i64)> = self.auto_commit.stored.clone().into_iter().collect();
        let Ok(task) = self.commit_task(&offsets) else { return false };
        self.auto_commit.committing = std::mem::take(&mut self.auto_commit.stored);
        self.tasks.start(Slot::Commit, async move { Done::Committed(task.await) });
        true
    }

    /// Partitions are about to go: what is stored of them is committed before the next generation begins.
    pub(super) fn commit_before_rejoin(&mut self) {
        if self.config.enable_auto_commit && self.phase == Phase::Stable {
            self.waits_for_commit = self.commit_stored();
        }
    }
}
