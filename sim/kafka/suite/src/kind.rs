//! The three clusters that the behaviours are shown on, and what cannot be shown where.

use crate::cluster::Power;
use crate::list::Behaviour;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// (a): simulated clients and brokers, on a virtual clock, with drawn schedules and faults.
    Simulated,
    /// (b): librdkafka and our brokers, over TCP.
    Tcp,
    /// (c): librdkafka and Apache Kafka.
    Apache,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Simulated, Kind::Tcp, Kind::Apache];

    /// Why a behaviour cannot be shown on this cluster. Everything else is run there, and has to pass.
    pub fn lacks(self, behaviour: &Behaviour) -> Option<&'static str> {
        let of_power = POWERS
            .iter()
            .find(|(kind, power, _)| *kind == self && behaviour.needs.contains(power))
            .map(|(.., why)| *why);
        let by_name = NAMES
            .iter()
            .find(|(kind, name, _)| *kind == self && behaviour.name == *name)
            .map(|(.., why)| *why);
        of_power.or(by_name)
    }
}

/// What a cluster cannot do.
const POWERS: &[(Kind, Power, &str)] = &[
    (
        Kind::Apache,
        Power::PowerOff,
        "(c): a process that is killed loses nothing, since the kernel keeps what was written",
    ),
    (Kind::Simulated, Power::Consumer, "(a): the consumer is not behind the suite's trait yet"),
];

/// What is beyond one behaviour there.
const NAMES: &[(Kind, &str, &str)] = &[
    (Kind::Simulated, "c23_init_producer_id_fences_and_aborts", LATER_TRANSACTIONS),
    (Kind::Simulated, "c24_a_prepared_transaction_is_concurrent_to_the_next", LATER_TRANSACTIONS),
    (Kind::Simulated, "c25_timeouts_and_ids_have_bounds", LATER_TRANSACTIONS),
    (Kind::Simulated, "c26_end_txn_knows_state_epoch_and_producer", LATER_TRANSACTIONS),
    (Kind::Simulated, "c27_a_marker_takes_an_offset", LATER_TRANSACTIONS),
    (Kind::Simulated, "c28_markers_follow_the_answer", LATER_TRANSACTIONS),
    (Kind::Simulated, "c29_a_commit_without_an_answer_is_repeated", LATER_TRANSACTIONS),
    (Kind::Simulated, "c30_a_transaction_that_takes_too_long_is_aborted", LATER_TRANSACTIONS),
    (Kind::Simulated, "c31_no_other_batches_while_a_transaction_is_open", LATER_TRANSACTIONS),
    (Kind::Simulated, "c32_a_partition_that_was_not_added_is_refused", LATER_TRANSACTIONS),
    (Kind::Simulated, "c33_version_2_raises_the_epoch_with_every_end", LATER_TRANSACTIONS),
    (Kind::Simulated, "c34_a_late_end_txn_hits_the_next_transaction", LATER_TRANSACTIONS),
    (Kind::Simulated, "c35_an_unused_transactional_id_expires", LATER_TRANSACTIONS),
    (Kind::Simulated, "c36_the_client_knows_its_state", LATER_TRANSACTIONS),
    (Kind::Simulated, "c37_an_abort_leaves_the_position", LATER_TRANSACTIONS),
    (Kind::Simulated, "d38_an_old_epoch_is_fenced", LATER_TRANSACTIONS),
    (Kind::Simulated, "d39_the_later_of_two_processes_goes_on", LATER_TRANSACTIONS),
    (Kind::Simulated, "d40_a_transactional_id_alone_does_not_fence_a_zombie", LATER_TRANSACTIONS),
    (Kind::Simulated, "d41_offsets_of_a_stale_member_are_refused", LATER_TRANSACTIONS),
    (Kind::Simulated, "d42_the_group_alone_skips_the_check", LATER_TRANSACTIONS),
    (Kind::Simulated, "d43_an_old_coordinator_is_fenced", LATER_TRANSACTIONS),
    (Kind::Simulated, "e50_a_transactions_offset_does_not_overwrite_a_later_one", LATER_TRANSACTIONS),
    (Kind::Simulated, "e51_pending_offsets_are_unstable", LATER_TRANSACTIONS),
    (
        Kind::Simulated,
        "f57_the_last_stable_offset_holds_back_what_is_behind_an_open_transaction",
        LATER_TRANSACTIONS,
    ),
    (Kind::Simulated, "f58_readers_leave_out_aborted_records_themselves", LATER_TRANSACTIONS),
    (Kind::Simulated, "f59_isolation_is_the_readers_choice", LATER_TRANSACTIONS),
    (Kind::Simulated, "f60_the_end_depends_on_the_isolation", LATER_TRANSACTIONS),
    (Kind::Simulated, "f61_transactions_interleave", LATER_TRANSACTIONS),
    (Kind::Simulated, "f62_a_partition_has_the_order_of_appends", LATER_TRANSACTIONS),
    (Kind::Simulated, "h66_offsets_rise_with_gaps", LATER_TRANSACTIONS),
    (Kind::Simulated, "h69_compaction_keeps_the_last_of_each_key", LATER_COMPACTION),
    (Kind::Simulated, "i80_errors_have_their_class", LATER_TRANSACTIONS),
    (Kind::Simulated, "i81_a_dead_letter_and_its_offset_are_one_transaction", LATER_TRANSACTIONS),
];

const LATER_TRANSACTIONS: &str = "(a): brokers do not serve transactions yet";
const LATER_COMPACTION: &str = "(a): logs are not compacted yet";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::all;

    #[test]
    fn every_reason_is_of_a_behaviour() {
        for (_, name, why) in NAMES {
            assert!(all().iter().any(|behaviour| behaviour.name == *name), "{name}: {why}");
        }
    }
}
