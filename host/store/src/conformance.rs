//! The tests that every store has to pass: one behaviour, whatever keeps the records.
//! It opens no store; `conformance!` is given a function that does.
//!
//! ```text
//! async fn make() -> Subject {
//!     let log = MemoryLog::new();
//!     Subject::new(move || LogStore::open(log.clone()).expect("opens"), ())
//! }
//!
//! jobmill_store::conformance!(make);
//! ```

pub mod activity;
pub mod attempts;
pub mod audits;
pub mod breakers;
pub mod claims;
pub mod controls;
pub mod debounces;
pub mod deliveries;
pub mod enqueues;
pub mod event_lists;
pub mod events;
pub mod expiry;
pub mod forgets;
pub mod given_ids;
pub mod keys;
pub mod law;
pub mod limits;
pub mod lists;
pub mod mails;
pub mod notices;
pub mod operations;
pub mod pins;
mod play;
pub mod retries;
pub mod schedules;
mod subject;
pub mod suppressions;
pub mod tellings;
pub mod tokens;
pub mod usage;
pub mod versions;
pub mod waiting;

pub use law::{Observed, check, observe};
pub use play::play;
pub use subject::Subject;

/// Makes a `#[tokio::test]` of each test of the suite, in a module for each group. The argument names an
/// `async fn() -> Subject` in scope that opens an empty store; it is called once for each test.
#[macro_export]
macro_rules! conformance {
    ($make:ident) => {
        $crate::conformance! { $make:
            enqueues {
                an_enqueued_run_is_kept_as_it_was_sent
                a_batch_is_answered_in_its_order
                a_run_is_due_when_it_says
                a_unique_key_names_its_first_run
                an_idempotency_key_counts_for_every_job
                a_key_with_another_request_is_a_conflict
                a_conflict_refuses_the_whole_batch
                a_key_is_free_again_after_its_window
                repeats_within_a_batch_are_one_run
                a_key_of_a_repeated_request_names_only_runs_that_exist
                a_known_id_is_not_begun_again
                concurrent_enqueues_under_one_key_make_one_run
            }
            events {
                an_event_starts_all_its_runs
                an_event_that_nobody_listens_to_is_kept
                a_known_event_starts_nothing
                a_repeat_within_a_batch_starts_nothing
                concurrent_repeats_start_one_run
                many_large_events_are_published_at_once
            }
            given_ids {
                an_id_is_new_again_after_its_window
                a_clock_set_back_keeps_an_id
                the_same_id_under_another_name_starts_each_job_once
                names_and_repeats_within_a_batch_are_as_if_one_by_one
                concurrent_names_under_one_id_start_a_job_once
                a_key_is_known_whatever_the_id_and_the_time
                an_event_without_an_id_of_its_own_is_found_by_its_key
                an_id_is_free_once_its_event_is_pruned
                data_of_an_event_survive_every_run_but_one
            }
            event_lists {
                pages_of_events_have_no_gap_and_no_repeat
                a_filter_names_events_by_each_of_its_members
            }
            deliveries {
                a_delivery_is_kept_with_the_event_that_it_is
                what_its_sender_delivers_again_does_nothing
                concurrent_deliveries_start_one_run
                an_id_of_a_sender_is_new_again_after_its_window
                an_older_delivery_is_known_when_a_newer_one_is_gone
                an_event_that_was_published_before_is_what_the_delivery_names
                a_delivery_that_is_taken_in_again_keeps_its_place
                what_is_gone_is_not_taken_in_again
                addresses_get_no_mail_from_the_delivery_on
                pages_of_deliveries_have_no_gap_and_no_repeat
                old_deliveries_are_pruned_and_their_ids_with_them
                a_delivery_that_carries_an_address_is_forgotten
                deliveries_go_along_to_another_store
            }
            tellings {
                an_end_is_told_in_its_own_commit
                an_end_that_nobody_may_be_told_of_is_recorded_all_the_same
                who_lost_the_lease_tells_nothing
                an_end_whose_order_changed_meanwhile_tells_nothing
                what_is_told_takes_no_room_unless_it_is_written
                concurrent_ends_are_each_told_once
            }
            tokens {
                a_token_is_kept_by_its_id
                a_revoked_token_stays_revoked
                the_last_use_of_a_token_is_told
                whoever_holds_the_list_sees_it_as_it_was
                concurrent_uses_and_a_revocation_are_all_told
                tokens_go_along_to_another_store
            }
            notices {
                a_group_s_pulse_tells_of_its_last_ten_minutes
                the_newest_notice_of_a_group_is_kept
                a_notice_that_is_dropped_is_gone_for_good
                notices_go_along_to_another_store
            }
            versions {
                a_version_is_kept_from_its_first_load_on
                the_last_loaded_comes_first_of_each_job
                of_many_versions_the_newest_are_kept
                of_long_versions_fewer_are_kept_and_always_the_newest
                concurrent_loads_of_a_version_are_one
                versions_survive_a_log_that_is_written_anew
                versions_go_along_to_another_store
            }
            pins {
                a_component_is_kept_and_read_back
                bytes_of_another_version_are_refused
                of_many_components_of_a_job_the_newest_stay
                what_serves_or_is_pinned_stays_however_old_it_is
                of_large_components_the_last_loaded_stay
                what_no_record_tells_of_is_let_go
                a_job_is_held_to_the_version_that_was_said_last
                components_and_pins_survive_a_log_that_is_written_anew
                pins_go_along_to_another_store
            }
            audits {
                an_entry_is_told_as_it_ended_and_an_end_is_not_taken_back
                pages_of_the_audit_list_have_no_gap_and_no_repeat
                a_filter_names_entries_by_each_of_its_members
                old_entries_are_pruned
                the_oldest_entries_beyond_the_bound_go
                entries_that_carry_an_address_are_forgotten
                the_audit_list_goes_along_to_another_store
            }
            claims {
                claims_go_by_priority_then_due_time_then_id
                a_claim_takes_no_more_than_there_is_room_for
                only_loaded_jobs_are_claimed
                nothing_is_claimed_before_it_is_due
                concurrent_claims_never_share_a_run
                a_claim_is_on_the_record
                a_first_attempt_has_nothing_to_remember
                a_run_that_ended_is_not_claimed_again
            }
            attempts {
                steps_and_effects_survive_to_the_next_attempt
                a_stale_lease_writes_nothing
                a_lease_ends_with_its_attempt
                an_unknown_run_has_no_lease
                order_changes_are_committed_with_the_end_of_the_attempt
                order_changes_apply_to_the_newest_revision
                an_order_change_that_is_no_longer_allowed_writes_nothing
                an_order_change_without_effect_keeps_the_revision
                a_full_journal_takes_the_end_of_an_attempt_and_nothing_else
                a_rescued_attempt_counts
                a_rescue_ends_dead_when_the_retries_are_spent
                a_rescue_touches_only_what_runs
                an_attempt_that_ends_while_it_is_cancelled_ends_once
            }
            operations {
                a_waiting_run_is_cancelled_at_once
                a_running_run_is_cancelled_when_its_attempt_stops
                a_final_run_is_not_cancelled
                a_dead_run_is_put_back_with_new_attempts
                a_requeue_waits_for_its_time
                a_completed_run_is_not_put_back
                what_is_unknown_is_not_changed
                many_runs_are_cancelled_by_a_filter
                many_runs_are_cancelled_by_id_and_the_rest_is_told_why_not
                a_dry_run_changes_nothing
                many_dead_runs_are_put_back_spread_over_a_time
                many_dead_runs_are_put_aside
                dead_runs_are_grouped_by_job_and_error
                an_order_is_replaced_and_its_revision_rises
            }
            retries {
                it_is_due_and_keeps_what_it_had
                it_stands_in_line_as_of_now
                it_is_so_after_a_restart
                what_is_due_or_runs_or_has_ended_is_refused
                it_waits_for_whatever_holds_its_job_back
                it_keeps_its_time_to_expire
                a_debounced_one_takes_nothing_more_in
                it_still_holds_its_unique_key
                what_was_decided_about_its_mails_is_on_record
                it_is_cancelled_and_counted_like_any_other
            }
            lists {
                pages_of_runs_have_no_gap_and_no_repeat
                a_filter_names_runs_by_each_of_its_members
                runs_that_repeat_one_are_found_by_it
                the_runs_of_a_job_next_to_one_are_known
                counts_show_what_is_due_as_available
                the_next_due_time_is_known
                the_position_counts_what_goes_before
                pages_of_orders_go_by_id
                changes_are_told
            }
            mails {
                the_log_shows_each_mail_once_with_its_attempts
                a_mail_shows_its_content
                pages_of_mails_have_no_gap_and_no_repeat
                a_filter_names_mails_by_each_of_its_members
                a_cleared_log_is_empty_and_fills_again
                a_mail_that_was_kept_long_enough_is_shown_no_more
                a_mail_is_in_doubt_while_its_end_is_not_known
                what_an_operator_decides_of_a_mail_in_doubt_goes_with_the_requeue
                many_runs_with_mails_in_doubt_are_put_back_only_as_decided
                a_captured_mail_leaves_once_and_is_on_the_record
                no_mail_leaves_while_its_run_is_under_way
            }
            suppressions {
                an_address_gets_no_mail_until_it_is_lifted
                who_said_it_first_stays_and_a_later_reason_counts
                pages_of_suppressions_have_no_gap_and_no_repeat
                a_forgotten_address_still_gets_no_mail
                a_suppression_goes_along_to_another_store
            }
            limits {
                a_job_has_no_more_runs_at_once_than_its_limit
                a_retry_waits_for_the_limit_like_any_run
                a_keyed_limit_counts_each_value_alone
                runs_without_the_key_are_one_group
                two_limits_hold_at_once
                a_limit_that_is_lowered_or_raised_counts_what_is_under_way
                a_limit_counts_what_was_under_way_before_a_restart
                a_rate_limit_spends_its_bucket_and_then_waits_for_each_token
                a_keyed_rate_limit_has_a_bucket_for_each_value
                a_rate_limit_counts_attempts_whatever_comes_of_them
                a_restart_gives_no_fresh_allowance
                a_clock_set_back_empties_a_bucket_and_no_more
                another_rate_limit_holds_at_once
                queues_begin_their_runs_in_turn
                a_queue_has_no_more_runs_at_once_than_its_own_limit
                a_queue_that_is_full_keeps_no_room_of_a_limit_from_others
                what_is_not_loaded_keeps_nobody_waiting
                waiting_makes_up_for_priority
            }
            breakers {
                it_pauses_its_job_and_nobody_elses
                it_closes_when_the_run_that_is_tried_completes
                it_stays_open_when_the_run_that_is_tried_fails
                an_end_that_says_nothing_of_the_job_lets_it_try_another
                a_run_that_is_tried_while_its_component_goes_does_not_hold_the_job_up
                an_operator_who_lets_the_job_go_on_closes_it
                a_clock_set_back_does_not_prolong_its_pause
                it_begins_closed_after_a_restart
            }
            controls {
                a_paused_queue_begins_nothing_until_it_is_let_go_on
                a_paused_job_begins_nothing_until_it_is_let_go_on
                who_paused_first_is_who_is_asked_why
                what_is_under_way_goes_on_while_its_queue_is_paused
                an_operators_limit_goes_before_the_configurations
                a_limit_and_a_pause_leave_each_other_alone
                whoever_listens_is_told_to_look_again
                what_operators_said_goes_along_to_another_store
            }
            waiting {
                a_run_that_is_not_due_waits_for_its_time
                what_runs_or_has_ended_waits_for_nothing
                a_run_without_a_component_waits_for_one
                a_concurrency_limit_names_the_runs_that_hold_it
                at_most_ten_holders_are_named
                a_rate_limit_tells_when_it_has_a_token
                a_pause_is_named_with_who_and_when
                a_full_queue_is_named_with_its_limit
            }
            keys {
                a_key_counts_for_its_window_from_the_enqueue
                a_key_of_unfinished_runs_is_free_once_its_run_is_final
                how_far_a_key_reaches_is_kept
                another_payload_under_a_requests_key_is_a_conflict
                another_payload_with_the_same_value_is_the_same_run
                an_idempotency_key_is_compared_however_the_run_is_unique
                an_event_names_the_run_that_it_would_have_started_again
                a_run_is_kept_for_as_long_as_its_key_stands
                no_more_runs_of_a_job_wait_than_may
                no_more_runs_wait_in_all_than_may
                a_batch_that_does_not_fit_leaves_nothing
                a_repeat_is_answered_however_many_wait
                concurrent_enqueues_do_not_exceed_the_bound
            }
            debounces {
                the_last_payload_of_several_is_worked_on_once
                each_value_waits_for_itself
                it_is_put_off_no_longer_than_its_longest_wait
                what_has_begun_is_not_replaced
                what_was_cancelled_is_not_replaced
                the_limits_keys_of_the_last_payload_count
                every_request_is_answered_with_the_run_that_took_it_in
                a_payload_that_is_taken_in_takes_no_room_of_those_that_may_wait
                the_key_of_a_late_request_stands_from_that_request_on
                its_journal_does_not_grow
                a_batch_is_debounced_as_if_it_came_one_by_one
                a_debounced_run_waits_on_after_a_restart
                every_event_is_known_and_names_the_run_that_took_it_in
                an_event_is_known_for_as_long_as_the_run_that_took_it_in
            }
            expiry {
                a_run_that_has_not_begun_in_time_is_cancelled
                a_run_that_has_begun_does_not_expire
                a_run_that_is_put_back_does_not_expire
                runs_expire_after_a_restart
                many_runs_expire_in_bounded_steps
                an_event_cancels_the_waiting_runs_that_bear_its_mark
                an_event_leaves_what_has_begun_alone
                a_mark_outlives_an_attempt_however_many_marks_there_are
                an_event_cancels_what_another_of_its_batch_starts_before_it
                an_event_does_not_cancel_what_it_starts_itself
                marks_are_kept
            }
            schedules {
                a_schedule_moves_on_with_the_run_that_it_makes
                a_schedule_that_has_come_elsewhere_makes_nothing
                concurrent_firings_make_one_run
                a_run_that_may_not_wait_keeps_its_schedule_where_it_is
                schedules_are_kept
                a_schedule_that_ended_begins_anew
            }
            forgets {
                what_carries_an_address_is_forgotten_and_nothing_else
                a_value_at_a_pointer_is_forgotten
                a_run_under_way_is_left_and_named
            }
            activity {
                each_end_counts_for_its_own_minute_and_its_job
                what_is_older_than_an_hour_or_a_day_is_told_no_more
                attempts_and_runs_are_told_with_how_long_they_took
                an_attempt_whose_end_nobody_saw_has_no_duration
                what_says_nothing_of_the_job_is_not_counted
                a_restart_changes_nothing_of_it
                a_log_that_is_written_anew_counts_nothing_twice
                what_pruned_runs_did_has_happened
                what_is_imported_counts_for_when_it_happened_and_once
                a_run_that_is_put_back_counts_each_of_its_ends
                totals_count_from_the_start_of_the_process
            }
            usage {
                what_attempts_used_is_told_of_each_version
                an_attempt_without_a_bill_or_that_was_cut_off_is_not_counted
                a_restart_and_a_log_that_is_written_anew_change_nothing_of_it
            }
            law {
                every_run_is_the_fold_of_its_journal
            }
        }
    };
    ($make:ident: $($group:ident { $($test:ident)* })*) => {
        $(
            mod $group {
                $(
                    #[tokio::test]
                    async fn $test() {
                        $crate::conformance::$group::$test(super::$make().await).await;
                    }
                )*
            }
        )*
    };
}
