//! The hook: what Terraform deploys is recorded and promoted by imgctl, once for each change, and a refusal is heard.

use super::{Stage, program};

/// The example `hook` at the first of two images.
fn stage(test: &str, group: &str) -> Option<Stage> {
    let mut stage = Stage::new(test, program(), "hook", group, "")?;
    stage.terraform = stage.terraform.with("release", "1").with("ami_id", &stage.amis[0]);
    stage.terraform.init();
    stage.terraform.apply();
    Some(stage)
}

/// Terraform is told of the second image.
fn told(mut stage: Stage) -> Stage {
    stage.terraform = stage.terraform.with("release", "2").with("ami_id", &stage.amis[1]);
    stage
}

fn channel(stage: &Stage) -> String {
    let status = stage.desk.done(&["status"]);
    status.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn what_terraform_deploys_is_promoted_once() {
    let Some(stage) = stage("hook::what_terraform_deploys_is_promoted_once", "tf-hook") else { return };
    assert!(channel(&stage).contains("tf-hook@1"), "{}", channel(&stage));
    let entries = stage.desk.entries();
    stage.terraform.apply();
    assert_eq!(stage.desk.entries(), entries, "nothing was changed, and nothing is written");

    let stage = told(stage);
    stage.terraform.apply();
    // Terraform moved the template alone; imgctl replaced the instances.
    stage.runs_only(&stage.amis[1]);
    stage.terraform.has_nothing_to_do("a hook");
    stage.finds(0, "in sync");
}

#[test]
fn a_hook_that_only_records_moves_no_channel() {
    let Some(stage) = stage("hook::a_hook_that_only_records_moves_no_channel", "tf-records") else { return };
    let mut stage = told(stage);
    stage.terraform = stage.terraform.with("mode", "record");
    stage.terraform.apply();
    assert!(stage.desk.done(&["images"]).contains("tf-records@2"));
    assert!(channel(&stage).contains("tf-records@1"), "{}", channel(&stage));
}

#[test]
fn a_hook_that_is_refused_fails_the_apply() {
    let Some(stage) = stage("hook::a_hook_that_is_refused_fails_the_apply", "tf-refused") else { return };
    stage.desk.done(&["hold", "tf-refused/prod", "--reason", "nothing on Friday"]);
    let stage = told(stage);
    let applied = stage.terraform.try_apply();
    assert_ne!(applied.exit, 0, "{}", applied.out);
    assert!(format!("{}{}", applied.out, applied.err).contains("nothing on Friday"), "{}{}", applied.out, applied.err);
    // It is asked again by the next apply, until it may.
    stage.desk.done(&["release", "tf-refused/prod"]);
    stage.terraform.apply();
    assert!(channel(&stage).contains("tf-refused@2"), "{}", channel(&stage));
}
