//! End to end: the deployed templates, the real trigger and the example job, on the local cloud
//! with IAM switched on. Each test has a prefix of its own, and all run side by side.
//!
//! SEMANTICS.md, and the tests concerned, say what the emulator can't show.

mod access;
mod alarms;
mod announced;
mod another_glue;
mod backfill;
mod batches;
mod brakes;
mod bucket_policy;
mod caller;
mod claim_modes;
mod crowd;
mod delivered;
mod denied;
mod deploy;
mod doctor;
mod faults;
mod iam_events;
mod installed;
mod ledger;
mod lifecycle;
mod moved;
mod notifications;
mod provisioner_policy;
mod reconciled;
mod recovery;
mod repair;
mod repairer;
mod requests;
mod scope;
mod secrets;
mod stage;
mod teardown;
mod trust;
mod upgrade;
mod variants;
mod work;

use std::process::ExitCode;

use anyhow::Result;
use landfall_tests::shared::Shared;
use landfall_tests::{interrupt, keeper};
use libtest_mimic::Arguments;
use tokio::sync::Semaphore;

use crate::stage::Stage;

/// Tests mostly wait for the local cloud, so more of them than cores do no harm. Most tests of
/// alarms wait for each other, and those of deployments for a slot.
const SIDE_BY_SIDE: usize = 40;

/// How many of the other tests run at once. With more, a busy machine would be slower than their
/// time limits allow.
static SLOTS: Semaphore = Semaphore::const_new(8);

fn main() -> ExitCode {
    keeper::run_if_asked();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(SIDE_BY_SIDE);
    if let Err(error) = interrupt::handle().and_then(|()| secrets::listen()) {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let shared: Shared<Stage> = Shared::default();
    /// Makes trials of test functions, with their names.
    macro_rules! trials {
        ($run:expr; $($module:ident::$test:ident),+ $(,)?) => {
            vec![$(shared.trial(stringify!($test), Stage::set, |stage| $run(stage, $module::$test))),+]
        };
    }
    let of_deployments = trials![at_once;
        deploy::a_dry_run_leaves_nothing_behind,
        deploy::deployments_of_an_account_at_the_same_time_all_succeed,
        deploy::a_change_that_is_declined_leaves_nothing_behind,
        deploy::the_same_again_changes_nothing_and_changed_routes_change_what_follows_from_them,
        deploy::a_change_that_fails_is_taken_back_and_what_failed_first_is_told,
        deploy::a_first_creation_that_fails_leaves_nothing_in_the_way_of_the_next,
        deploy::what_destroy_says_stays_does_and_is_taken_in_again,
        deploy::a_new_stack_admits_former_batches_if_its_ledger_has_any_until_it_is_told_not_to,
        deploy::an_external_id_is_changed_while_both_are_admitted,
        deploy::credentials_of_another_account_than_the_routes_name_are_refused,
        installed::a_release_installed_into_an_empty_home_deploys_both_accounts_without_a_toolchain,
        iam_events::an_auditor_outside_iams_region_has_iams_events_forwarded_until_it_is_destroyed,
        moved::a_change_to_a_bucket_of_another_account_is_taken_back_and_silences_none,
        repair::what_was_deleted_by_hand_is_repaired_and_what_waited_for_it_is_processed,
        repairer::roles_that_were_deleted_come_back_by_themselves_and_what_waited_for_them_is_processed,
        reconciled::what_s3_never_announced_is_in_one_batch_with_and_without_versions,
        upgrade::stacks_of_0_1_0_keep_every_role_rule_and_notification_and_their_batches_come_to_their_end,
    ];
    let of_one_stage = trials![in_a_slot;
        delivered::an_upload_starts_the_job_which_writes_every_row,
        delivered::an_event_wrapped_by_sns_starts_the_job,
        delivered::an_event_of_raw_sns_delivery_starts_the_job,
        delivered::an_eventbridge_event_in_the_queue_starts_the_job,
        delivered::an_eventbridge_event_that_invokes_the_trigger_starts_the_job,
        delivered::a_notification_that_invokes_the_trigger_starts_the_job,
        delivered::keys_with_any_characters_arrive_at_the_job_exactly,
        announced::a_rule_hears_that_a_batch_has_closed_and_whoever_listens_reads_its_manifest,
        denied::a_wrong_external_id_starts_nothing_and_the_batch_waits,
        denied::a_missing_external_id_starts_nothing_and_the_batch_waits,
        denied::what_waits_for_a_role_that_is_not_trusted_starts_once_the_role_is_repaired,
        denied::a_starter_role_that_the_trigger_may_not_assume_starts_nothing,
        denied::the_trigger_cannot_start_a_job_that_the_starter_role_does_not_name,
        trust::the_starter_role_admits_trigger_and_monitor_with_the_external_id_and_nobody_else,
        trust::the_reader_role_admits_the_job_role_and_nobody_else,
        trust::trust_holds_before_the_trusted_role_exists_and_after_it_is_created_again,
        access::trigger_and_monitor_keep_the_ledger_and_only_the_monitor_reaches_the_claims,
        access::only_the_rule_of_the_analytics_account_sends_to_the_queue_of_runs,
        scope::the_job_reads_nothing_outside_the_routed_prefix,
        scope::a_run_of_scope_batch_becomes_no_other_role_and_its_session_reads_no_other_object,
        lifecycle::a_role_is_created_updated_replaced_and_deleted_with_its_stack,
        lifecycle::a_failed_create_leaves_no_role,
        lifecycle::a_role_that_the_provisioner_may_not_make_fails_the_stack_with_the_reason,
        lifecycle::a_failed_update_restores_the_role_exactly,
        lifecycle::a_role_that_somebody_deleted_does_not_hinder_update_and_deletion,
        lifecycle::a_role_of_somebody_else_is_never_touched,
        lifecycle::who_speaks_for_a_stack_that_asks_for_nothing_is_refused,
        lifecycle::the_key_of_a_buckets_default_encryption_is_found_and_its_policy_looked_at,
        lifecycle::a_stack_of_one_account_makes_a_role_in_another,
        lifecycle::what_is_no_request_is_answered_or_refused,
        faults::a_call_that_fails_once_fails_no_request,
        faults::a_call_that_fails_once_fails_no_notification,
        faults::a_call_that_always_fails_is_answered_in_time_and_a_repetition_converges,
        faults::an_answer_that_does_not_arrive_is_sent_again,
        requests::a_request_that_comes_late_or_twice_does_no_harm,
        requests::a_late_cleanup_leaves_the_rules_of_the_id_that_stands,
        requests::rules_are_removed_whatever_else_the_properties_say,
        requests::a_request_that_meets_a_lock_is_left_for_the_next_delivery,
        requests::a_request_of_another_time_has_no_effect,
        requests::a_role_that_would_trust_another_account_is_refused,
        brakes::a_policy_that_only_denies_survives_updates_and_goes_along_with_a_replacement,
        secrets::no_line_of_the_provisioners_log_shows_a_secret,
        provisioner_policy::the_provisioner_makes_bounded_roles_below_its_path_and_does_nothing_else,
        provisioner_policy::nobody_but_cloudformation_of_the_account_is_let_in_to_invoke_the_provisioner,
        provisioner_policy::no_role_exceeds_the_boundary_whatever_its_policies_say,
        notifications::rules_of_others_survive_ours_in_every_change,
        bucket_policy::statements_of_others_survive_ours_in_every_change,
        ledger::arrivals_told_many_times_at_once_are_each_in_exactly_one_batch,
        ledger::a_call_that_fails_while_arrivals_are_recorded_loses_and_doubles_none,
        ledger::of_many_that_begin_a_batch_one_does_and_limits_hold_whoever_begins,
        ledger::an_item_of_a_newer_version_is_left_alone_and_what_it_adds_survives,
        ledger::a_claim_changes_hands_only_after_its_holder_has_ended,
        batches::a_window_closes_what_came_while_it_was_open,
        batches::quiet_closes_a_batch_to_which_nothing_came,
        batches::max_objects_closes_a_batch_that_is_full,
        batches::a_marker_closes_its_folder_and_what_comes_late_forms_a_follow_up,
        batches::a_job_that_runs_once_at_a_time_drains_twenty_batches_without_a_dead_letter,
        batches::a_flood_against_max_runs_per_hour_waits_and_loses_nothing,
        batches::a_run_that_fails_is_followed_by_one_more_and_then_parked_and_returned,
        claim_modes::a_job_as_it_is_succeeds_where_it_need_not_claim_and_is_parked_where_it_must,
        claim_modes::a_job_that_glue_itself_repeats_is_followed_where_it_need_not_claim_and_waits_where_it_must,
        another_glue::a_job_at_its_limit_in_another_implementation_of_glue_makes_batches_wait_until_a_run_ends,
        recovery::a_trigger_whose_calls_fail_or_that_is_killed_loses_nothing_and_starts_once,
        recovery::a_monitor_whose_calls_fail_or_that_is_killed_while_it_starts_starts_once,
        recovery::a_monitor_whose_calls_fail_or_that_is_killed_while_it_follows_learns_the_outcome,
        recovery::two_runs_of_which_none_claimed_are_never_called_a_success,
        recovery::three_triggers_of_which_two_are_killed_put_each_object_into_one_batch,
        backfill::a_backfill_that_is_killed_twice_puts_each_object_into_one_batch_with_what_s3_announces,
        backfill::a_backfill_that_is_killed_twice_also_knows_what_s3_announces_of_5000_objects_without_versions,
        crowd::one_malformed_message_among_many_fails_alone,
        crowd::every_one_of_2000_uploads_reaches_a_run,
        // This one is last, when few others are left that it could slow down.
        work::a_flood_is_spread_over_the_queue_of_work,
        teardown::a_local_cloud_that_is_interrupted_leaves_nothing_behind,
        teardown::a_local_cloud_whose_terminal_is_closed_leaves_nothing_behind,
        teardown::a_local_cloud_that_is_killed_leaves_nothing_behind,
    ];
    // Tests that take longest begin first.
    let trials =
        [of_deployments, alarms::trials(), variants::trials(), doctor::trials(), of_one_stage];
    let trials = trials.into_iter().flatten().collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    shared.conclude(&conclusion, |stage| stage.cloud.hints())
}

type Test = fn(&Stage) -> Result<()>;

fn at_once(stage: &Stage, test: Test) -> Result<()> {
    test(stage)
}

fn in_a_slot(stage: &Stage, test: Test) -> Result<()> {
    let _slot = stage.cloud.wait(async { SLOTS.acquire().await.map_err(anyhow::Error::from) })?;
    test(stage)
}
