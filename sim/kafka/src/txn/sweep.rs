//! What the coordinator does by itself: aborts transactions that take too long, forgets ids that nobody uses.
//!
//! Real: `abortTimedOutTransactions`, `cleanupTransactionalIds`. Kafka looks at fixed intervals from its start on; here at
//! multiples of the interval, and only while there is something to look at.

use kafka_protocol::protocol::StrBytes;

use super::end::EndAsker;
use super::metadata::Transaction;
use super::state::TransactionState;
use super::{Env, Then, TransactionCoordinator};
use crate::cluster::TimestampMs;

impl TransactionCoordinator {
    /// There may be a transaction under way.
    pub(super) fn note_sweep(&mut self, now: TimestampMs) {
        let interval_ms = self.config.transaction_abort_timed_out_transaction_cleanup_interval_ms;
        self.next_sweep.get_or_insert_with(|| next_multiple(now, interval_ms));
    }

    /// There may be an id to be forgotten some day.
    pub(super) fn note_expiry(&mut self, now: TimestampMs) {
        let interval_ms = self.config.transaction_remove_expired_transaction_cleanup_interval_ms;
        self.next_expiry.get_or_insert_with(|| next_multiple(now, interval_ms));
    }

    /// Ids were loaded: looks at them in time.
    pub(super) fn note_all(&mut self, now: TimestampMs) {
        if !self.ids(|_| true).is_empty() {
            self.note_sweep(now);
            self.note_expiry(now);
        }
    }

    /// Aborts transactions that began longer ago than their time-out allows, and fences their producers.
    pub(super) fn sweep(&mut self, env: &mut Env<'_>) {
        if self.next_sweep.is_none_or(|due| due > env.now) {
            return;
        }
        self.next_sweep = None;
        let is_ongoing = |it: &Transaction| it.metadata.state == TransactionState::Ongoing;
        if !self.ids(is_ongoing).is_empty() {
            self.note_sweep(env.now);
        }
        let clock = env.clock;
        let is_late = |it: &Transaction| {
            let deadline = it.metadata.start_timestamp.saturating_add(it.metadata.timeout_ms.into());
            is_ongoing(it) && it.pending.is_none() && deadline < clock
        };
        for id in self.ids(is_late) {
            self.fence(env, &id, EndAsker::Sweep);
        }
    }

    /// Forgets ids that were not used for `transactional.id.expiration.ms`.
    pub(super) fn expire(&mut self, env: &mut Env<'_>) {
        if self.next_expiry.is_none_or(|due| due > env.now) {
            return;
        }
        self.next_expiry = None;
        if !self.ids(|_| true).is_empty() {
            self.note_expiry(env.now);
        }
        let unused_since = env.clock.saturating_sub(self.config.transactional_id_expiration_ms);
        let is_expired = |it: &Transaction| {
            it.metadata.state.is_at_rest()
                && it.pending.is_none()
                && it.metadata.last_update_timestamp <= unused_since
        };
        for id in self.ids(is_expired) {
            self.write(env, &id, Then::Forget);
        }
    }

    fn ids(&self, wanted: impl Fn(&Transaction) -> bool) -> Vec<StrBytes> {
        let read = self.led.values().filter(|partition| !partition.is_loading);
        let known = read.flat_map(|partition| &partition.transactions);
        known.filter(|(_, transaction)| wanted(transaction)).map(|(id, _)| id.clone()).collect()
    }
}

fn next_multiple(now: TimestampMs, interval_ms: i64) -> TimestampMs {
    let interval_ms = interval_ms.max(1);
    now.div_euclid(interval_ms).saturating_add(1).saturating_mul(interval_ms)
}
