//! Which batches of a fetch a reader is shown: no control batches, and none of aborted transactions (KIP-98).
//!
//! A leader names the aborted transactions that lie in what it sends, to `read_committed` readers alone; which batches
//! are theirs the client finds out by their producer, from the transaction's first offset to its abort marker.

use std::collections::{BTreeSet, VecDeque};

use kafka_protocol::messages::fetch_response::AbortedTransaction;

use super::ConsumerRecord;
use crate::records::{BatchHeader, EndTxnMarker};

pub(super) struct Aborted {
    /// In the order of their first offsets.
    to_come: VecDeque<AbortedTransaction>,
    /// Producers whose open transaction will be aborted.
    producers: BTreeSet<i64>,
}

impl Aborted {
    pub fn new(mut transactions: Vec<AbortedTransaction>) -> Aborted {
        transactions.sort_by_key(|transaction| transaction.first_offset);
        Aborted { to_come: transactions.into(), producers: BTreeSet::new() }
    }

    /// Looks at the next batch: is it for readers?
    pub fn shows(&mut self, header: &BatchHeader, records: &[ConsumerRecord]) -> bool {
        while self.to_come.front().is_some_and(|next| next.first_offset <= header.last_offset()) {
            let begun = self.to_come.pop_front().expect("just seen");
            self.producers.insert(begun.producer_id.0);
        }
        if header.is_control() {
            if records.first().and_then(EndTxnMarker::of).is_some_and(|marker| !marker.commit) {
                self.producers.remove(&header.producer_id);
            }
            return false;
        }
        !header.is_transactional() || !self.producers.contains(&header.producer_id)
    }
}
