//! A disk in trouble: slow, or full.

use kafka_protocol::messages::ApiKey;

use super::{Trouble, Troubles};
use crate::cluster::TimestampMs;
use crate::protocol::Response;

/// Requests of this API change a log: records, offsets, members of groups, transactions.
pub fn writes(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::Produce
            | ApiKey::OffsetCommit
            | ApiKey::JoinGroup
            | ApiKey::SyncGroup
            | ApiKey::LeaveGroup
            | ApiKey::InitProducerId
            | ApiKey::AddPartitionsToTxn
            | ApiKey::AddOffsetsToTxn
            | ApiKey::TxnOffsetCommit
            | ApiKey::EndTxn
            | ApiKey::WriteTxnMarkers
    )
}

impl Troubles {
    /// Nothing can be written. Counts who tried.
    pub fn is_disk_full(&mut self) -> bool {
        let full = self.active.iter().find(|active| active.trouble == Trouble::DiskFull);
        full.map(|active| *self.met.entry(active.id).or_default() += 1).is_some()
    }

    /// How long a write waits for the disk.
    pub(super) fn disk_wait_ms(&mut self) -> i64 {
        let mut wait_ms: i64 = 0;
        for active in &mut self.active {
            if let Trouble::SlowDisk { min_ms, max_ms } = active.trouble {
                wait_ms = wait_ms.saturating_add(active.draw_ms(min_ms, max_ms));
                *self.met.entry(active.id).or_default() += 1;
            }
        }
        wait_ms
    }

    /// When a follower has written what its leader sent, if that is later than now.
    pub fn written_at(&mut self, now: TimestampMs, fetched: &Response) -> Option<TimestampMs> {
        if self.is_quiet() {
            return None;
        }
        let Response::Fetch(response) = fetched else { return None };
        let mut partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
        let has_records = |records: &bytes::Bytes| !records.is_empty();
        if !partitions.any(|partition| partition.records.as_ref().is_some_and(has_records)) {
            return None;
        }
        let wait_ms = self.disk_wait_ms();
        (wait_ms > 0).then(|| now.saturating_add(wait_ms))
    }
}
