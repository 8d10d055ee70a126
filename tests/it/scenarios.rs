//! Every session in `fixtures/scenarios` prints what is recorded there. Their titles are rules.

use crate::support::scenario;
use std::collections::BTreeSet;

macro_rules! scenarios {
    ($($title:ident)*) => {
        const TITLES: &[&str] = &[$(stringify!($title)),*];
        $(
            #[test]
            fn $title() {
                scenario::play(&file(stringify!($title)));
            }
        )*
    };
}

scenarios! {
    a_bad_image_is_rolled_back_by_itself
    a_bad_parent_takes_its_children_along
    a_channel_is_held_until_somebody_lifts_it
    a_container_image_is_known_by_its_bytes
    a_crash_looping_version_is_brought_back
    a_deployment_follows_its_channel
    a_deployment_of_ecs_is_turned_back_while_it_runs
    a_deprecated_image_is_said_and_moves
    a_fault_in_the_config_is_shown_where_it_stands
    a_full_or_read_only_disk_loses_nothing
    a_group_that_floats_is_pinned_first
    a_launch_template_is_moved_by_its_default
    a_ledger_from_tomorrow_is_read_but_not_written
    a_ledger_moves_by_export_and_import
    a_mixed_group_takes_the_image_of_each_architecture
    a_plan_changes_nothing
    a_plan_that_would_undo_the_ledger_is_refused
    a_plan_that_writes_a_pointer_is_guarded_too
    a_pointer_that_fails_is_pending_until_it_is_written
    a_promotion_is_done_once
    a_registry_that_does_not_answer_is_not_believed
    a_rewritten_ledger_is_found_out
    a_rollback_never_edits_history
    a_rollout_that_is_not_waited_for_is_finished_later
    a_rule_is_kept_or_passed_over_on_record
    a_schedule_alarms_on_change_only
    a_task_definition_that_is_gone_is_no_way_lost
    a_wrong_word_brings_the_near_one
    an_ami_that_nobody_could_launch_is_not_recorded
    an_anchor_sees_what_the_chain_cannot
    an_auditor_gets_every_change
    an_ecs_service_follows_a_channel
    an_image_goes_on_when_it_has_soaked_and_two_have_agreed
    an_image_is_what_was_recorded_first
    an_interrupted_rollout_is_resumed
    an_object_that_argo_cd_manages_is_said_or_left_alone
    code_of_workloads_and_templates_is_compared_too
    delivery_is_counted_in_four_keys
    drift_is_said_in_every_form
    drift_names_who_is_wrong
    ecs_gives_a_bad_image_up
    every_bypass_is_an_entry
    every_command_explains_itself
    everything_in_the_way_is_said_at_once
    init_never_overwrites
    kustomize_and_helm_follow_a_channel
    one_word_takes_everything_back
    scan_records_what_is_there_once
    scripts_get_one_document
    services_move_all_or_none
    tags_are_put_where_people_look
    terraform_is_told_the_image_of_a_channel
    the_code_follows_a_rollback
    throttling_is_waited_out_then_said
    two_accounts_follow_one_channel
    two_promotions_at_once_have_one_winner
    two_rollbacks_walk_back
    waves_move_a_few_at_a_time
    what_a_group_launches_from_may_be_gone
    what_cannot_be_promoted_is_said_before_anything_moves
    what_packer_built_is_recorded_from_its_manifest
    without_rights_nothing_is_changed
}

/// The file's name without its ending.
fn file(title: &str) -> String {
    title.replace('_', "-")
}

#[test]
fn every_session_in_the_folder_is_played() {
    let folder = std::fs::read_dir(scenario::folder()).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = names.filter(|name| name.ends_with(".txt")).collect();
    let listed: BTreeSet<String> = TITLES.iter().map(|title| format!("{}.txt", file(title))).collect();
    assert_eq!(found, listed, "fixtures/scenarios and the list in tests/it/scenarios.rs");
}
