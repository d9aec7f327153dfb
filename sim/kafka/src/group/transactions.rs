//! Offsets of a group: final ones, and those of open transactions, which wait for the marker.
//!
//! Real: `OffsetMetadataManager.replay`, `replayEndTransactionMarker`. A transaction's offset does not replace one that
//! was committed after it in `__consumer_offsets` by other means.

use kafka_protocol::messages::GroupId;

use super::Coordinator;
use super::state::Group;
use super::stored::CommittedOffset;
use super::writes::Commit;
use crate::cluster::{TimestampMs, TopicPartition};
use crate::coordination::Todo;

impl Coordinator {
    /// A transaction has ended: its control batch is in the partition, and replicated.
    pub fn marker(
        &mut self,
        now: TimestampMs,
        partition: i32,
        producer_id: i64,
        _producer_epoch: i16,
        commit: bool,
    ) {
        self.end_transaction(partition, producer_id, commit);
        self.look_for_expiry(now, partition);
    }

    pub(super) fn end_transaction(&mut self, partition: i32, producer_id: i64, commit: bool) {
        let Some(led) = self.led.get_mut(&partition) else { return };
        for group in led.open_transactions.remove(&producer_id).into_iter().flatten() {
            if let Some(group) = self.groups.get_mut(&group) {
                group.end_transaction(producer_id, commit);
            }
        }
    }

    pub(super) fn note_transaction(&mut self, partition: i32, producer_id: Option<i64>, group: &GroupId) {
        if let (Some(producer_id), Some(led)) = (producer_id, self.led.get_mut(&partition)) {
            led.open_transactions.entry(producer_id).or_default().insert(group.clone());
        }
    }

    /// Offsets are in the log, the last of them in the record at `last_offset`.
    pub(super) fn committed(
        &mut self,
        now: TimestampMs,
        partition: i32,
        commit: Commit,
        last_offset: i64,
        todo: &mut Todo,
    ) {
        let Commit { group, producer_id, offsets } = commit;
        self.note_transaction(partition, producer_id, &group);
        // It may have been removed and made anew, but not be gone: whoever may commit brings it into being.
        self.create_group(now, &group, partition);
        self.with_group(now, &group, todo, |group, env| {
            group.is_written = true;
            let count = i64::try_from(offsets.len()).expect("a batch holds fewer than 2^31 records");
            for (record_offset, (at, committed)) in (last_offset - count + 1..).zip(offsets) {
                env.note_expiry(group.offset_expires_at(env.settings, &at, &committed));
                group.keep(producer_id, at, CommittedOffset { record_offset, ..committed });
            }
        });
    }

    pub(super) fn remove_offset(&mut self, group: &GroupId, at: &TopicPartition) {
        if let Some(group) = self.groups.get_mut(group) {
            group.remove_offset(at);
        }
    }
}

impl Group {
    /// Keeps an offset, as final or until its transaction ends.
    pub fn keep(&mut self, producer_id: Option<i64>, at: TopicPartition, committed: CommittedOffset) {
        match producer_id {
            None => self.offsets.insert(at, committed),
            Some(producer_id) => self.pending_offsets.entry(producer_id).or_default().insert(at, committed),
        };
    }

    pub fn remove_offset(&mut self, at: &TopicPartition) {
        self.offsets.remove(at);
        for offsets in self.pending_offsets.values_mut() {
            offsets.remove(at);
        }
    }

    pub fn is_unstable(&self, at: &TopicPartition) -> bool {
        self.pending_offsets.values().any(|offsets| offsets.contains_key(at))
    }

    fn end_transaction(&mut self, producer_id: i64, commit: bool) {
        let Some(offsets) = self.pending_offsets.remove(&producer_id) else { return };
        if !commit {
            return;
        }
        for (at, committed) in offsets {
            let later =
                self.offsets.get(&at).is_some_and(|ours| ours.record_offset > committed.record_offset);
            if !later {
                self.offsets.insert(at, committed);
            }
        }
    }
}
