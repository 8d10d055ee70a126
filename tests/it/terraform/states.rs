//! What a state says beside what runs: code that is behind, code that was applied over a release, and changes by hand.

use super::{Stage, program};
use serde_json::json;

#[test]
fn a_release_is_stale_code_until_terraform_reads_the_pointer() {
    let test = "states::a_release_is_stale_code_until_terraform_reads_the_pointer";
    let Some(stage) = Stage::new(test, program(), "asg", "tf-stale", "") else { return };
    stage.terraform.point_at(&stage.amis[0]);
    stage.begin();
    stage.finds(0, "in sync");

    for (number, word) in [(2, "promotion"), (1, "rollback")] {
        if number == 2 {
            stage.promote(2)
        } else {
            stage.roll_back()
        }
        stage.finds(2, "stale code");
        stage.terraform.point_at(&stage.amis[number - 1]);
        stage.terraform.has_nothing_to_do(word);
        stage.terraform.apply();
        stage.finds(0, "in sync");
    }
}

#[test]
fn code_applied_over_a_release_is_reverted_and_a_change_by_hand_is_tampering() {
    let test = "states::code_applied_over_a_release_is_reverted_and_a_change_by_hand_is_tampering";
    let Some(stage) = Stage::new(test, program(), "asg", "tf-reverted", "") else { return };
    stage.terraform.point_at(&stage.amis[0]);
    stage.begin();
    stage.promote(2);
    // The pointer still names the first image, and somebody applies.
    stage.terraform.apply();
    stage.finds(2, "reverted");

    stage.terraform.point_at(&stage.amis[1]);
    stage.terraform.apply();
    let outside = stage.desk.lab.ami("tf-reverted-outside", &json!({}));
    stage.desk.lab.post("drift", &json!({"group": "tf-reverted", "kind": "template-version", "ami": outside}));
    stage.finds(2, "tampered");
}

/// The same group, planned by real Terraform: an image that the ledger keeps out is refused before the apply.
#[test]
fn the_guard_refuses_a_real_plan_that_would_bring_a_rejected_image_back() {
    let test = "states::the_guard_refuses_a_real_plan_that_would_bring_a_rejected_image_back";
    let Some(stage) = Stage::new(test, program(), "asg", "tf-guard", "") else { return };
    stage.terraform.point_at(&stage.amis[0]);
    stage.begin();
    stage.promote(2);
    stage.roll_back();
    // What the ledger released and what Terraform reads must say the same, or the plan would change something.
    let guard = |ami: &str| {
        stage.terraform.point_at(ami);
        stage.terraform.done(&["plan", "-input=false", "-no-color", "-out", "tfplan"]);
        let shown = stage.terraform.done(&["show", "-json", "tfplan"]);
        let plan = stage.terraform.folder.join("tfplan.json");
        std::fs::write(&plan, shown).unwrap();
        stage.desk.run(&["guard", &plan.display().to_string()])
    };
    let refused = guard(&stage.amis[1]);
    assert_eq!(refused.exit, 3, "{}{}", refused.out, refused.err);
    assert!(refused.out.contains("refused: aws_launch_template."), "{}", refused.out);
    assert!(refused.out.contains("rejected: it is tf-guard@2"), "{}", refused.out);
    let passed = guard(&stage.amis[0]);
    assert_eq!(passed.exit, 0, "{}{}", passed.out, passed.err);
}
