//! The proof: an image is promoted and rolled back, and then Terraform has nothing to do and its apply leaves the good one
//! running, whichever way the code reads imgctl. The controls: without imgctl's pointer, the same brings the bad one back.

use super::{Stage, configuration, mirrors, on_path, program};
use crate::support::skipped::skipped;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::Stdio;

/// One way for code to follow a channel.
struct Pattern {
    example: &'static str,
    /// imgctl's pointer, in the config.
    pointer: fn(&str) -> String,
    /// Puts an image where the code reads it, as whoever deploys without imgctl does.
    tell: fn(&Stage, &str),
}

const TFVARS: Pattern = Pattern {
    example: "asg",
    pointer: |_| "kind = \"tfvars\"\npath = \"infra/examples/asg/imgctl.auto.tfvars.json\"\nkey = \"ami_id\"\n".into(),
    tell: |stage, ami| stage.terraform.point_at(ami),
};

const JSON: Pattern = Pattern {
    example: "json",
    pointer: |group| format!("kind = \"json\"\npath = \"infra/examples/json/images.json\"\nat = \"/images/{group}\"\n"),
    tell: |stage, ami| {
        let images = json!({"images": {stage.group.clone(): ami, "other": "ami-of-another"}}).to_string();
        fs::write(stage.terraform.folder.join("images.json"), images).unwrap();
    },
};

const SSM: Pattern = Pattern {
    example: "ssm",
    pointer: |group| format!("kind = \"ssm\"\nname = \"/imgctl/{group}/prod\"\nregion = \"eu-west-1\"\n"),
    tell: parameter,
};

fn parameter(stage: &Stage, ami: &str) {
    stage.desk.lab.post("parameter", &json!({"name": format!("/imgctl/{}/prod", stage.group), "value": ami}));
}

/// The pattern's pointer, in the config of a group's channel.
fn config(pattern: &Pattern, group: &str) -> String {
    format!("\n[[channels.{group}.prod.pointers]]\n{}", (pattern.pointer)(group))
}

fn follows(test: &str, program: &'static str, pattern: &Pattern, group: &str) {
    let Some(stage) = Stage::new(test, program, pattern.example, group, &config(pattern, group)) else { return };
    (pattern.tell)(&stage, &stage.amis[0]);
    stage.begin();
    stage.promote(2);
    stage.terraform.has_nothing_to_do("a promotion");
    stage.terraform.apply();
    stage.runs_only(&stage.amis[1]);

    stage.roll_back();
    stage.terraform.has_nothing_to_do("a rollback");
    stage.terraform.apply();
    stage.runs_only(&stage.amis[0]);
    stage.finds(0, "in sync");
}

/// Whoever deploys has told Terraform of the second image, as pipelines do; nobody tells it of the rollback.
fn is_undone(test: &str, pattern: &Pattern, group: &str) {
    let Some(stage) = Stage::new(test, program(), pattern.example, group, "") else { return };
    (pattern.tell)(&stage, &stage.amis[0]);
    stage.begin();
    stage.promote(2);
    (pattern.tell)(&stage, &stage.amis[1]);
    stage.terraform.apply();
    stage.roll_back();
    stage.runs_only(&stage.amis[0]);

    let plan = stage.terraform.plan();
    assert_eq!(plan.exit, 2, "the plan has something to do: {}{}", plan.out, plan.err);
    stage.terraform.apply();
    assert_eq!(stage.runs().0, Value::from(stage.amis[1].clone()), "the bad image is what the group launches next");
    stage.finds(2, "reverted");
}

macro_rules! proofs {
    ($($pattern:ident $group:literal $follows:ident $undone:ident)*) => {
        $(
            #[test]
            fn $follows() {
                follows(concat!("proof::", stringify!($follows)), program(), &$pattern, $group);
            }

            #[test]
            fn $undone() {
                is_undone(concat!("proof::", stringify!($undone)), &$pattern, concat!($group, "-alone"));
            }
        )*
    };
}

proofs! {
    TFVARS "tf-vars" a_variables_file_follows_a_rollback without_a_pointer_a_variables_file_brings_the_bad_image_back
    JSON "tf-json" a_json_file_follows_a_rollback without_a_pointer_a_json_file_brings_the_bad_image_back
    SSM "tf-ssm" a_parameter_follows_a_rollback without_a_pointer_a_parameter_brings_the_bad_image_back
}

/// The provider reads a template's newest version, which is the one that failed; no instance launches from it.
#[test]
fn after_a_promotion_that_failed_an_apply_leaves_the_good_image() {
    let (test, group) = ("proof::after_a_promotion_that_failed_an_apply_leaves_the_good_image", "tf-failed");
    let Some(stage) = Stage::new(test, program(), "asg", group, &config(&TFVARS, group)) else { return };
    stage.terraform.point_at(&stage.amis[0]);
    stage.begin();
    let bad = stage.desk.lab.ami("tf-failed-bad", &json!({"tags": {"imgtest:health": "fail"}}));
    stage.desk.done(&["record", "tf-failed@bad", &bad]);
    assert_eq!(stage.desk.run(&["promote", "tf-failed@bad", "prod", "--yes"]).exit, 4);
    let instances = |stage: &Stage| stage.desk.lab.show(&stage.group)["instances"].clone();
    let before = instances(&stage);
    stage.terraform.apply();
    assert_eq!(instances(&stage), before, "no instance was replaced");
    stage.runs_only(&stage.amis[0]);
    stage.terraform.has_nothing_to_do("that apply");
}

/// Where only OpenTofu is found, all of the above was done with it.
#[test]
fn opentofu_follows_too_where_it_is_beside_terraform() {
    let test = "proof::opentofu_follows_too_where_it_is_beside_terraform";
    let skip = |why: &str| skipped(&format!("terraform::{test}"), why);
    if !(on_path("tofu") && on_path("terraform")) {
        return skip("terraform and tofu are not both on PATH; what is, was tested");
    }
    let scratch = crate::support::lab::scratch();
    match configuration(&scratch.path().join("rc")) {
        Err(why) => return skip(&why),
        Ok(file) if !mirrors(&file, "registry.opentofu.org/hashicorp/aws") => {
            return skip("the mirror has no registry.opentofu.org/hashicorp/aws");
        }
        Ok(_) => {}
    }
    for (pattern, group) in [(TFVARS, "tofu-vars"), (JSON, "tofu-json"), (SSM, "tofu-ssm")] {
        follows(test, "tofu", &pattern, group);
    }
}

/// What `imgctl terraform external` answers to the provider's question.
fn answer(stage: &Stage) -> String {
    let mut command = stage.desk.command(&["terraform", "external"]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let question = json!({"channel": format!("{}/prod", stage.group), "region": "eu-west-1"}).to_string();
    child.stdin.take().unwrap().write_all(question.as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
    let answer: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert!(answer.as_object().unwrap().values().all(Value::is_string), "Terraform takes texts alone: {answer}");
    answer["image"].as_str().unwrap().to_owned()
}

/// The same two steps with imgctl's own answers as the image: what the provider hands on, where there is no provider.
#[test]
fn the_ledgers_own_answer_follows_a_rollback() {
    let test = "proof::the_ledgers_own_answer_follows_a_rollback";
    let Some(mut stage) = Stage::new(test, program(), "asg", "tf-answer", "") else { return };
    stage.terraform = stage.terraform.with("ami_id", &stage.amis[0]);
    stage.begin();
    for number in [2, 1] {
        if number == 2 {
            stage.promote(2)
        } else {
            stage.roll_back()
        }
        let said = answer(&stage);
        assert_eq!(said, stage.amis[number - 1]);
        stage.terraform = stage.terraform.with("ami_id", &said);
        stage.terraform.has_nothing_to_do("a move");
        stage.terraform.apply();
        stage.runs_only(&stage.amis[number - 1]);
    }
    stage.finds(0, "in sync");
}

#[test]
fn the_external_data_source_follows_a_rollback() {
    let test = "proof::the_external_data_source_follows_a_rollback";
    let Some(mut stage) = Stage::new(test, program(), "external", "tf-external", "") else { return };
    if !mirrors(&stage.terraform.configuration, "registry.terraform.io/hashicorp/external") {
        let why = "the mirror has no hashicorp/external; imgctl's answer is tested without it";
        return skipped(&format!("terraform::{test}"), why);
    }
    stage.terraform = stage.terraform.with("initial", &stage.amis[0]);
    stage.begin();
    stage.terraform.variables.remove("initial");
    stage.terraform.has_nothing_to_do("the first release");
    stage.promote(2);
    stage.terraform.has_nothing_to_do("a promotion");
    stage.roll_back();
    stage.terraform.has_nothing_to_do("a rollback");
    stage.terraform.apply();
    stage.runs_only(&stage.amis[0]);
}

/// A group of workers at `resolve:ssm`, which is no target, beside the channel's own group.
fn workers(test: &str, group: &str, more: &str) -> Option<Stage> {
    let mut stage = Stage::new(test, program(), "resolve-ssm", group, more)?;
    stage.desk.lab.group(group, &stage.amis[0], &json!({"size": 1}));
    let (channel, workers) = (format!("{group}/prod"), format!("{group}-workers"));
    stage.terraform = stage.terraform.with("channel", &channel).with("name", &workers).with("initial", &stage.amis[0]);
    stage.begin();
    Some(stage)
}

/// The image that a worker has which is launched now.
fn launched(stage: &Stage) -> String {
    let workers = format!("{}-workers", stage.group);
    stage.desk.lab.post("drift", &json!({"group": workers, "kind": "replace-instances", "count": 1}));
    let by_ami = stage.desk.lab.show(&workers)["by_ami"].clone();
    by_ami.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join("+")
}

#[test]
fn what_resolves_the_parameter_at_launch_follows_a_rollback() {
    let (test, group) = ("proof::what_resolves_the_parameter_at_launch_follows_a_rollback", "tf-resolve");
    let Some(stage) = workers(test, group, &config(&SSM, group)) else { return };
    assert_eq!(launched(&stage), stage.amis[0]);
    stage.promote(2);
    assert_eq!(launched(&stage), stage.amis[1]);
    stage.roll_back();
    stage.terraform.has_nothing_to_do("a rollback");
    stage.terraform.apply();
    assert_eq!(launched(&stage), stage.amis[0]);
}

#[test]
fn without_a_pointer_what_resolves_the_parameter_launches_the_bad_image() {
    let (test, group) =
        ("proof::without_a_pointer_what_resolves_the_parameter_launches_the_bad_image", "tf-unresolved");
    let Some(stage) = workers(test, group, "") else { return };
    stage.promote(2);
    parameter(&stage, &stage.amis[1]);
    stage.roll_back();
    stage.runs_only(&stage.amis[0]);
    assert_eq!(launched(&stage), stage.amis[1], "the group is back, and its workers are not");
}
