//! Open and ended transactions of one partition: what the last stable offset and the list of aborted ones come from.
//!
//! Real: `ongoingTxns` and `unreplicatedTxns` of `ProducerStateManager`, and `TransactionIndex`. Fakes the index per
//! segment: there is one, of the whole log.

use std::collections::{BTreeMap, BTreeSet};

/// An aborted transaction that still has records in the log.
#[derive(Clone)]
struct Aborted {
    producer_id: i64,
    first_offset: i64,
    /// The marker's offset.
    last_offset: i64,
    /// When the marker was appended, as if it had been replicated: no later abort began below.
    last_stable_offset: i64,
}

#[derive(Clone, Default)]
pub(super) struct Transactions {
    /// Producer id by first offset.
    open: BTreeMap<i64, i64>,
    /// The marker's offset by first offset, of transactions whose marker not all in-sync replicas are known to have.
    unreplicated: BTreeMap<i64, i64>,
    /// In the order of their markers.
    aborted: Vec<Aborted>,
}

impl Transactions {
    pub fn begin(&mut self, producer_id: i64, first_offset: i64) {
        self.open.insert(first_offset, producer_id);
    }

    pub fn end(&mut self, producer_id: i64, first_offset: i64, last_offset: i64, commit: bool) {
        self.open.remove(&first_offset);
        self.unreplicated.insert(first_offset, last_offset);
        if !commit {
            let first_open = self.open.first_key_value().map(|(first_offset, _)| *first_offset);
            let last_stable_offset = first_open.unwrap_or(last_offset + 1);
            self.aborted.push(Aborted { producer_id, first_offset, last_offset, last_stable_offset });
        }
    }

    pub fn first_unstable(&self, high_watermark: i64) -> Option<i64> {
        let open = self.open.first_key_value().map(|(first_offset, _)| *first_offset);
        let mut unreplicated = self.unreplicated.iter().filter(|(_, marker)| **marker >= high_watermark);
        open.into_iter().chain(unreplicated.next().map(|(first_offset, _)| *first_offset)).min()
    }

    pub fn replicated_upto(&mut self, high_watermark: i64) {
        if !self.unreplicated.is_empty() {
            self.unreplicated.retain(|_, marker| *marker >= high_watermark);
        }
    }

    pub fn forget_aborted_before(&mut self, log_start_offset: i64) {
        let gone = self.aborted.partition_point(|aborted| aborted.last_offset < log_start_offset);
        self.aborted.drain(..gone);
    }

    pub fn forget_aborted(&mut self, markers: &BTreeSet<i64>) {
        if !markers.is_empty() {
            self.aborted.retain(|aborted| !markers.contains(&aborted.last_offset));
        }
    }

    /// Producer id and first offset.
    pub fn aborted(&self, from: i64, upto: i64) -> Vec<(i64, i64)> {
        let first = self.aborted.partition_point(|aborted| aborted.last_offset < from);
        let mut found = Vec::new();
        for aborted in &self.aborted[first..] {
            if aborted.first_offset < upto {
                found.push((aborted.producer_id, aborted.first_offset));
            }
            if aborted.last_stable_offset >= upto {
                break;
            }
        }
        found
    }
}
