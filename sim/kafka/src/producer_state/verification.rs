//! KIP-890: a transactional batch is appended only after the coordinator has said that the partition belongs to the
//! transaction, and only if nothing ended that transaction in between.
//!
//! Real: `VerificationStateEntry`, `VerificationGuard`, `UnifiedLog.updateProducers`. A guard is a number that no other
//! verification of this partition has.

use std::collections::BTreeMap;

use crate::cluster::TimestampMs;
use crate::records::BatchHeader;

/// What an append of a transactional batch shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// The coordinator was not asked: the transaction must be open already.
    Missing,
    /// The verification that the coordinator agreed to.
    Verified(u64),
    /// `transaction.partition.verification.enable` is false.
    NotRequired,
}

#[derive(Clone)]
struct Verification {
    guard: u64,
    producer_epoch: i16,
    /// A later batch must not come before this one, although nothing is in the log yet.
    lowest_sequence: i32,
    adds_partition: bool,
    started: TimestampMs,
}

#[derive(Clone, Default)]
pub(super) struct Verifications {
    by_producer: BTreeMap<i64, Verification>,
    last_guard: u64,
}

impl Verifications {
    pub fn start(&mut self, now: TimestampMs, header: &BatchHeader, adds_partition: bool) -> Guard {
        let last_guard = &mut self.last_guard;
        let verification = self.by_producer.entry(header.producer_id).or_insert_with(|| {
            *last_guard += 1;
            Verification {
                guard: *last_guard,
                producer_epoch: header.producer_epoch,
                lowest_sequence: header.base_sequence,
                adds_partition,
                started: now,
            }
        });
        if header.producer_epoch > verification.producer_epoch {
            verification.producer_epoch = header.producer_epoch;
            verification.lowest_sequence = header.base_sequence;
        } else if header.producer_epoch == verification.producer_epoch {
            verification.lowest_sequence = verification.lowest_sequence.min(header.base_sequence);
        }
        Guard::Verified(verification.guard)
    }

    pub fn accept(&self, producer_id: i64, guard: Guard) -> bool {
        match guard {
            Guard::NotRequired => true,
            Guard::Missing => false,
            Guard::Verified(guard) => self.by_producer.get(&producer_id).is_some_and(|it| it.guard == guard),
        }
    }

    /// While a verification is under way, the batch with the lowest sequence seen goes first, and a producer of
    /// transaction.version 2 that has no batches here starts at 0.
    pub fn allow_sequence(&self, header: &BatchHeader, starts_anew: bool) -> bool {
        self.by_producer.get(&header.producer_id).is_none_or(|verification| {
            let skips_start = verification.adds_partition && starts_anew && header.base_sequence != 0;
            !skips_start && header.base_sequence <= verification.lowest_sequence
        })
    }

    pub fn clear(&mut self, producer_id: i64) {
        self.by_producer.remove(&producer_id);
    }

    /// A marker came: what was verified is over, unless it belongs to the next transaction, which under
    /// transaction.version 2 has the epoch of the marker.
    pub fn end(&mut self, producer_id: i64, producer_epoch: i16) {
        let is_next = |it: &Verification| it.adds_partition && it.producer_epoch == producer_epoch;
        if !self.by_producer.get(&producer_id).is_some_and(is_next) {
            self.clear(producer_id);
        }
    }

    pub fn expire(&mut self, now: TimestampMs, expiration_ms: i64) {
        self.by_producer.retain(|_, verification| now - verification.started <= expiration_ms);
    }
}
