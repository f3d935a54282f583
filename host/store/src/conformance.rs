//! The tests that every store has to pass: one behaviour, whatever keeps the records.
//! It opens no store; `conformance!` is given a function that does.
//!
//! ```text
//! async fn make() -> Subject {
//!     Subject::new(LogStore::open(MemoryLog::new()).expect("opens"), ())
//! }
//!
//! jobmill_store::conformance!(make);
//! ```

pub mod attempts;
pub mod claims;
pub mod enqueues;
pub mod events;
pub mod law;
pub mod lists;
pub mod mails;
pub mod operations;
mod play;
mod subject;

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
            lists {
                pages_of_runs_have_no_gap_and_no_repeat
                a_filter_names_runs_by_each_of_its_members
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
