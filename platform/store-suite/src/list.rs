//! All behaviours, with what each needs.

use crate::behaviours::*;
use crate::bench::{Power, Setup, SynchronousCommit};
use crate::stage::Stage;

/// One behaviour.
#[derive(Clone, Copy)]
pub struct Behaviour {
    /// Begins with its number: `b10_…`.
    pub name: &'static str,
    pub setup: Setup,
    /// Besides sessions at READ COMMITTED on the first node.
    pub needs: &'static [Power],
    pub run: fn(&mut Stage<'_>),
}

impl Behaviour {
    /// In the list of 44.
    pub fn number(&self) -> u32 {
        let digits = self.name.trim_start_matches('b').split('_').next();
        digits.and_then(|digits| digits.parse().ok()).expect("a behaviour is named b<number>_…")
    }
}

/// Who is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// `sim/postgres`
    Simulated,
    /// PostgreSQL 15 or later, through `live`.
    Real,
}

impl Store {
    /// Why the store does not have this power, if it does not.
    pub fn lacks(self, power: Power) -> Option<&'static str> {
        match (self, power) {
            (Self::Real, Power::FailingFsync) => Some("needs a file system that fails on demand"),
            (Self::Real, Power::HoldFlush) => {
                Some("what is written and not flushed needs a disk that can be held")
            }
            _ => None,
        }
    }
}

/// Numbers that no behaviour can show through the port, and why.
pub const NOT_BEHIND_THE_PORT: &[(u32, &str)] = &[(24, "the port has no advisory locks")];

/// Parts of numbers whose rest is shown, and why not these. In the order of numbers.
pub const NOT_SHOWN: &[(u32, &str)] = &[
    (9, "`clock_timestamp()`: the port does not ask for it"),
    (18, "`pg_snapshot_xmin`: the port does not ask for it; the lock is shown"),
    (21, "FOR NO KEY UPDATE: only FOR KEY SHARE tells it from FOR UPDATE, and the port has neither"),
    (26, "`txid_status`: the port does not ask for it; the row is shown"),
    (30, "that recovery grows with the log: a matter of time, which a test of `sim/postgres` shows"),
    (33, "the timeline: the port does not tell it"),
    (35, "08006 and 08001: no server sends them; the port says `Lost` and `Refused`"),
    (37, "two standbys: there is one, beside the primary"),
    (38, "57014: PostgreSQL 15 says 40001"),
    (39, "the LSN: the port does not tell it; the reader looks until it sees"),
    (40, "a pool's time-out: behind the port each session is a connection"),
    (42, "tcp keepalive: clients vanish by closing their socket"),
    (43, "settings: the port does not change any; a pooler: behind the port each session is a connection"),
];

/// `module::name [powers] { settings }`
macro_rules! behaviours {
    ($($module:ident::$name:ident $([$($power:ident)*])? $({$($field:ident: $value:expr),*})?;)*) => {
        pub const ALL: &[Behaviour] = &[$(Behaviour {
            name: stringify!($name),
            setup: Setup { $($($field: $value,)*)? ..Setup::DEFAULT },
            needs: &[$($(Power::$power),*)?],
            run: $module::$name,
        }),*];
    };
}

behaviours! {
    isolation::b1_each_statement_sees_what_was_committed_before_it_began;
    snapshots::b2_the_snapshot_is_taken_by_the_first_statement [RepeatableRead];
    snapshots::b2_a_snapshot_shows_rows_that_were_deleted_since_and_own_changes [RepeatableRead];
    snapshots::b3_the_second_writer_waits_and_fails_if_the_first_commits [RepeatableRead];
    snapshots::b3_the_second_writer_goes_on_if_the_first_aborts [RepeatableRead];
    snapshots::b3_a_row_that_was_changed_since_the_snapshot_is_refused_at_once [RepeatableRead];
    snapshots::b3_a_lock_without_a_change_is_no_conflict [RepeatableRead];
    isolation::b4_an_update_that_waited_looks_again_and_an_earlier_read_is_lost;
    snapshots::b5_write_skew_is_possible_under_repeatable_read [RepeatableRead];
    snapshots::b5_write_skew_is_refused_under_serializable [Serializable];
    snapshots::b5_a_row_that_would_have_been_read_is_a_conflict_too [Serializable];
    snapshots::b5_who_only_reads_one_after_the_other_is_not_refused [Serializable];
    isolation::b6_an_error_aborts_the_transaction_until_rollback;
    isolation::b6_commit_of_a_failed_transaction_rolls_back_without_error;
    isolation::b6_an_error_ends_the_pipeline_with_all_its_transactions;
    isolation::b6_what_cannot_be_sent_aborts_the_transaction_too;
    snapshots::b7_a_retry_begins_again_and_reads_again [RepeatableRead];
    isolation::b8_uncommitted_rows_are_seen_by_their_transaction_only;
    isolation::b9_now_is_the_start_of_the_transaction;
    uniqueness::b10_an_insert_waits_for_the_open_one_and_fails_if_that_commits;
    uniqueness::b10_an_insert_waits_for_the_open_one_and_succeeds_if_that_aborts;
    uniqueness::b10_an_insert_waits_for_an_open_delete_of_its_key;
    uniqueness::b10_a_row_that_is_only_locked_is_no_reason_to_wait;
    uniqueness::b10_an_insert_waits_for_an_open_update_of_its_row;
    uniqueness::b10_holds_for_unique_indexes_too;
    uniqueness::b10_an_insert_that_waits_for_a_unique_value_holds_its_key;
    uniqueness::b10_a_unique_value_is_free_again_once_its_row_moved_away;
    uniqueness::b10_an_insert_waits_for_whoever_moves_or_deletes_the_row_with_its_unique_value;
    uniqueness::b10_nulls_are_never_the_same_value;
    snapshots::b11_an_insert_waits_at_repeatable_read_too [RepeatableRead];
    snapshots::b11_a_committed_key_that_the_snapshot_does_not_show_is_a_duplicate [RepeatableRead];
    snapshots::b11_under_serializable_the_error_can_be_40001_instead [Serializable];
    snapshots::b12_do_nothing_skips_because_of_a_row_that_was_not_there_before;
    snapshots::b12_do_nothing_cannot_skip_because_of_a_row_that_the_snapshot_does_not_show [RepeatableRead];
    upserts::b13_do_update_locks_and_replaces_the_latest_committed_row;
    upserts::b13_do_update_of_a_row_that_was_deleted_meanwhile_inserts;
    upserts::b13_do_update_where_compares_with_the_latest_committed_row_and_keeps_its_lock;
    upserts::b13_do_update_sees_what_its_own_transaction_wrote;
    uniqueness::b14_update_if_changes_nothing_when_it_lost;
    uniqueness::b14_update_if_goes_on_when_the_other_aborts;
    uniqueness::b14_delete_if_changes_nothing_when_it_lost;
    uniqueness::b15_of_concurrent_appends_of_one_version_all_but_one_fail;
    polling::b16_nextval_is_never_rolled_back;
    polling::b16_an_explicit_id_does_not_move_the_sequence;
    polling::b16_a_crash_leaves_a_gap_but_no_id_twice [Crash];
    polling::b17_a_lower_id_can_become_visible_after_a_higher_one;
    polling::b18_a_lock_that_writers_share_puts_ids_in_the_order_of_commits;
    polling::b19_sessions_take_ids_in_blocks [SequenceCache] { sequence_cache: 10 };
    notifications::b20_notifications_come_at_commit_to_those_who_listen_then;
    notifications::b20_a_session_in_a_transaction_is_told_when_that_ends;
    notifications::b20_a_notification_waits_for_the_standby_as_its_transaction_does [HoldLog];
    locks::b21_shares_go_together_and_an_update_waits_for_all_of_them;
    locks::b21_exclusive_locks_queue_in_the_order_of_arrival;
    locks::b21_new_sharers_join_the_present_ones_past_a_waiting_update;
    locks::b21_a_lock_gives_the_latest_committed_version;
    locks::b21_the_only_sharer_gets_more_at_once_even_past_a_queue;
    locks::b21_a_sharer_who_wants_more_waits_for_the_other_sharers_only;
    locks::b21_nowait_refuses_and_skip_locked_skips;
    locks::b21_a_lock_of_a_missing_row_gives_no_row_and_waits_for_nobody;
    locks::b21_several_keys_are_locked_in_the_order_given_from_one_snapshot;
    locks::b21_waiters_for_a_deleted_row_leave_no_lock_behind;
    locks::b22_locks_taken_crosswise_are_a_deadlock;
    locks::b22_a_deadlock_of_three_has_one_victim;
    locks::b22_two_sharers_who_both_want_more_are_a_deadlock;
    locks::b22_inserts_of_the_same_keys_crosswise_are_a_deadlock;
    timeouts::b23_lock_timeout_ends_the_statement { lock_timeout_ms: 300, deadlock_timeout_ms: 100 };
    timeouts::b23_lock_timeout_ends_waiting_for_a_key_too { lock_timeout_ms: 300 };
    timeouts::b23_statement_timeout_ends_the_statement [StatementTimeout] { statement_timeout_ms: 300 };
    timeouts::b23_idle_in_transaction_session_timeout_closes_the_session
        { idle_in_transaction_session_timeout_ms: 500 };
    commit::b25_a_commit_under_way_happens_though_its_client_has_gone [HoldLog];
    commit::b25_a_connection_lost_during_commit_may_mean_that_it_happened [HoldLog Terminate];
    commit::b25_a_connection_lost_during_commit_may_mean_that_it_did_not_happen [Mute Crash];
    commit::b25_without_a_commit_nothing_is_unknown [Mute Crash];
    commit::b26_doing_it_again_with_the_same_key_tells_what_became_of_it [HoldLog Terminate Mute Crash];
    commit::b27_a_commit_is_answered_when_the_standby_has_it_and_not_seen_before [HoldLog];
    durability::b27_off_loses_acknowledged_commits_in_their_order [Crash]
        { synchronous_commit: SynchronousCommit::Off, wal_writer_delay_ms: 1_000 };
    failover::b28_local_loses_in_a_failover_what_was_not_sent [HoldLog Crash Promote]
        { synchronous_commit: SynchronousCommit::Local };
    failover::b28_on_keeps_what_was_acknowledged [HoldLog Crash Promote];
    failover::b28_on_keeps_what_was_acknowledged_when_both_die [HoldFlush Crash Promote];
    failover::b28_remote_write_keeps_what_was_acknowledged_while_the_standby_lives [HoldLog Crash Promote]
        { synchronous_commit: SynchronousCommit::RemoteWrite };
    failover::b28_remote_write_loses_when_both_die_what_the_standby_had_not_flushed [HoldFlush Crash Promote]
        { synchronous_commit: SynchronousCommit::RemoteWrite };
    failover::b28_remote_apply_keeps_what_was_acknowledged [HoldLog Crash Promote]
        { synchronous_commit: SynchronousCommit::RemoteApply };
    failover::b28_remote_apply_is_answered_when_the_standby_shows_it [Standby HoldReplay]
        { synchronous_commit: SynchronousCommit::RemoteApply };
    commit::b29_commits_wait_for_a_standby_that_is_away_and_go_through_when_it_is_back [Crash Standby];
    commit::b29_cancelling_the_wait_leaves_the_commit_in_place [HoldLog Cancel Standby];
    durability::b30_a_restart_keeps_what_was_committed_and_nothing_else [Crash];
    durability::b30_a_flushed_commit_that_waits_for_the_standby_is_there_after_a_restart [HoldLog Crash];
    durability::b30_until_recovery_has_ended_connections_get_57p03 [Crash HoldRecovery];
    durability::b31_a_failed_fsync_is_a_restart [FailingFsync];
    durability::b32_a_full_disk_refuses_writes_and_reads_go_on [FullDisk];
    failover::b33_an_old_primary_that_is_still_there_goes_on_accepting_writes [Promote]
        { synchronous_commit: SynchronousCommit::Local };
    failover::b34_the_old_primarys_extra_commits_are_discarded_when_it_is_rewound [Promote Stop Rewind]
        { synchronous_commit: SynchronousCommit::Local };
    failover::b35_calls_to_a_dead_primary_hang_until_a_reset_and_new_connections_are_refused [Mute Crash];
    failover::b36_a_standby_reads_and_refuses_to_write [Standby];
    failover::b36_a_session_on_a_standby_that_is_promoted_may_write_from_its_next_transaction_on
        [Standby Crash Promote];
    failover::b37_two_reads_on_different_servers_can_go_back_in_time [Standby HoldReplay];
    failover::b38_long_reads_on_a_standby_are_cancelled [Standby RepeatableRead Vacuum];
    failover::b39_reading_your_own_write_on_a_standby_needs_waiting [Standby HoldReplay];
    connections::b40_more_than_max_connections_are_refused [MaxConnections] { max_connections: 2 };
    connections::b41_a_fast_shutdown_ends_sessions_and_rolls_back [Stop];
    connections::b41_a_crash_of_one_backend_ends_all_sessions [CrashBackend];
    connections::b42_a_transaction_keeps_its_locks_until_the_server_notices_that_its_client_has_gone;
    connections::b42_a_client_that_goes_while_it_waits_leaves_the_queue [Terminate];
    notifications::b43_a_reconnect_listens_to_nothing;
    notifications::b43_statements_that_ran_before_a_reconnect_run_after_it;
    connections::b44_the_first_call_on_a_connection_that_died_did_nothing [Terminate];
}
