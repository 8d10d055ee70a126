//! Real Terraform with its AWS provider over the lab: what a state file really says, and what a plan really would do.

use crate::support::desk::{Desk, Ran, hermetic, ran};
use crate::support::lab::{Lab, lab, root};
use crate::support::skipped::skipped;
use serde_json::json;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `terraform/examples/asg`, applied in a folder of its own.
struct Terraform {
    lab: &'static Lab,
    folder: PathBuf,
    program: &'static str,
    group: String,
    /// Where the provider is found: the CLI configuration that `tests/lab/terraform-rc` wrote.
    configuration: PathBuf,
}

impl Terraform {
    /// The example in `folder`, or why this machine cannot run it.
    fn new(folder: &Path, group: &str) -> Result<Self, String> {
        let configuration = folder.join("lab.tfrc");
        let found = Command::new(root().join("tests/lab/terraform-rc")).arg(&configuration).output().unwrap();
        if !found.status.success() {
            return Err(String::from_utf8_lossy(&found.stderr).trim().to_owned());
        }
        let program = if on_path("terraform") { "terraform" } else { "tofu" };
        for entry in fs::read_dir(root().join("terraform/examples/asg")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension() == Some(OsStr::new("tf")) {
                fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
            }
        }
        Ok(Self { lab: lab(), folder: folder.to_owned(), program, group: group.to_owned(), configuration })
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = hermetic(OsStr::new(self.program), self.lab, &self.folder);
        command.args(arguments).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TF_CLI_CONFIG_FILE", &self.configuration).env("CHECKPOINT_DISABLE", "1");
        command.env("TF_VAR_endpoint", self.lab.endpoint()).env("TF_VAR_name", &self.group);
        ran(&mut command)
    }

    fn done(&self, arguments: &[&str]) {
        let ran = self.run(arguments);
        assert_eq!(ran.exit, 0, "{} {}: {}{}", self.program, arguments.join(" "), ran.out, ran.err);
    }

    fn apply(&self) {
        self.done(&["apply", "-auto-approve", "-input=false", "-no-color"]);
    }

    /// 0: nothing to change; 2: the next apply would change something.
    fn plan(&self) -> Ran {
        self.run(&["plan", "-detailed-exitcode", "-input=false", "-no-color"])
    }

    /// What imgctl, or a person, writes for Terraform to read.
    fn point_at(&self, ami: &str) {
        fs::write(self.folder.join("imgctl.auto.tfvars.json"), json!({"ami_id": ami}).to_string()).unwrap();
    }

    fn state(&self) -> String {
        self.folder.join("terraform.tfstate").display().to_string()
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A desk, Terraform with the group applied at the first of two recorded images, and those images.
fn stage(test: &str, group: &str, more: &str) -> Option<(Desk, Terraform, [String; 2])> {
    let desk = Desk::new(&format!("{group}/prod"), &[group], more);
    let folder = desk.path("infra");
    fs::create_dir(&folder).unwrap();
    let terraform = match Terraform::new(&folder, group) {
        Ok(terraform) => terraform,
        Err(why) => {
            skipped(test, &why);
            return None;
        }
    };
    let amis = [1, 2].map(|number| desk.lab.ami(&format!("{group}-{number}"), &json!({})));
    terraform.point_at(&amis[0]);
    terraform.done(&["init", "-input=false", "-no-color"]);
    terraform.apply();
    for (number, ami) in (1..).zip(&amis) {
        desk.done(&["record", &format!("{group}@{number}"), ami]);
    }
    desk.done(&["promote", &format!("{group}@1"), "prod", "--yes"]);
    Some((desk, terraform, amis))
}

/// What `imgctl drift` says against the state file.
fn drift(desk: &Desk, terraform: &Terraform) -> Ran {
    desk.run(&["drift", "--state", &terraform.state()])
}

#[track_caller]
fn finds(ran: &Ran, exit: i32, word: &str) {
    assert_eq!(ran.exit, exit, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains(word), "no {word:?} in: {}{}", ran.out, ran.err);
}

#[test]
fn a_release_is_stale_code_until_terraform_reads_the_pointer() {
    let test = "terraform::a_release_is_stale_code_until_terraform_reads_the_pointer";
    let Some((desk, terraform, amis)) = stage(test, "tf-stale", "") else { return };
    finds(&drift(&desk, &terraform), 0, "in sync");

    desk.done(&["promote", "tf-stale@2", "prod", "--yes"]);
    finds(&drift(&desk, &terraform), 2, "stale code");
    terraform.point_at(&amis[1]);
    let plan = terraform.plan();
    assert_eq!(plan.exit, 0, "with the pointer written there is nothing to apply: {}{}", plan.out, plan.err);
    terraform.apply();
    finds(&drift(&desk, &terraform), 0, "in sync");

    desk.done(&["rollback", "tf-stale/prod", "--yes"]);
    finds(&drift(&desk, &terraform), 2, "stale code");
    terraform.point_at(&amis[0]);
    let plan = terraform.plan();
    assert_eq!(plan.exit, 0, "the next apply must not bring the bad image back: {}{}", plan.out, plan.err);
    terraform.apply();
    finds(&drift(&desk, &terraform), 0, "in sync");
}

#[test]
fn code_applied_over_a_release_is_reverted_and_a_change_by_hand_is_tampering() {
    let test = "terraform::code_applied_over_a_release_is_reverted_and_a_change_by_hand_is_tampering";
    let Some((desk, terraform, amis)) = stage(test, "tf-reverted", "") else { return };
    desk.done(&["promote", "tf-reverted@2", "prod", "--yes"]);
    // The pointer still names the first image, and somebody applies.
    terraform.apply();
    finds(&drift(&desk, &terraform), 2, "reverted");

    terraform.point_at(&amis[1]);
    terraform.apply();
    let outside = desk.lab.ami("tf-reverted-outside", &json!({}));
    desk.lab.post("drift", &json!({"group": "tf-reverted", "kind": "template-version", "ami": outside}));
    finds(&drift(&desk, &terraform), 2, "tampered");
}

/// Two images promoted and the second one rolled back, then what the next plan says, and the next apply.
fn rolled_back(test: &str, group: &str, more: &str) -> Option<(Desk, Terraform, Ran)> {
    let (desk, terraform, amis) = stage(test, group, more)?;
    desk.done(&["promote", &format!("{group}@2"), "prod", "--yes"]);
    if more.is_empty() {
        // Without a pointer of imgctl's, whoever deployed has told Terraform of it, as pipelines do.
        terraform.point_at(&amis[1]);
    }
    terraform.apply();
    desk.done(&["rollback", &format!("{group}/prod"), "--reason", "worse", "--yes"]);
    let plan = terraform.plan();
    terraform.apply();
    Some((desk, terraform, plan))
}

#[test]
fn after_a_rollback_terraform_has_nothing_to_do_and_the_good_image_stays() {
    let test = "terraform::after_a_rollback_terraform_has_nothing_to_do_and_the_good_image_stays";
    let more = "\n[[channels.tf-follows.prod.pointers]]\nkind = \"tfvars\"\n\
                path = \"infra/imgctl.auto.tfvars.json\"\nkey = \"ami_id\"\n";
    let Some((desk, terraform, plan)) = rolled_back(test, "tf-follows", more) else { return };
    assert_eq!(plan.exit, 0, "the plan is empty: {}{}", plan.out, plan.err);
    finds(&drift(&desk, &terraform), 0, "in sync");
}

/// The control: the same without imgctl's pointer puts the bad image back.
#[test]
fn without_a_pointer_the_next_apply_puts_the_bad_image_back() {
    let test = "terraform::without_a_pointer_the_next_apply_puts_the_bad_image_back";
    let Some((desk, terraform, plan)) = rolled_back(test, "tf-undone", "") else { return };
    assert_eq!(plan.exit, 2, "the plan has something to do: {}{}", plan.out, plan.err);
    finds(&drift(&desk, &terraform), 2, "reverted");
}

/// The same group, planned by real Terraform: an image that the ledger keeps out is refused before the apply.
#[test]
fn the_guard_refuses_a_real_plan_that_would_bring_a_rejected_image_back() {
    let test = "terraform::the_guard_refuses_a_real_plan_that_would_bring_a_rejected_image_back";
    let Some((desk, terraform, amis)) = stage(test, "tf-guard", "") else { return };
    desk.done(&["promote", "tf-guard@2", "prod", "--yes"]);
    desk.done(&["rollback", "tf-guard/prod", "--reason", "worse", "--yes"]);
    // What the ledger released and what Terraform reads must say the same, or the plan would change something.
    let guard = |ami: &str| {
        terraform.point_at(ami);
        terraform.done(&["plan", "-input=false", "-no-color", "-out", "tfplan"]);
        let shown = terraform.run(&["show", "-json", "tfplan"]);
        assert_eq!(shown.exit, 0, "{}", shown.err);
        fs::write(terraform.folder.join("tfplan.json"), shown.out).unwrap();
        desk.run(&["guard", &terraform.folder.join("tfplan.json").display().to_string()])
    };
    let refused = guard(&amis[1]);
    assert_eq!(refused.exit, 3, "{}{}", refused.out, refused.err);
    assert!(refused.out.contains("refused: aws_launch_template."), "{}", refused.out);
    assert!(refused.out.contains("rejected: it is tf-guard@2"), "{}", refused.out);
    let passed = guard(&amis[0]);
    assert_eq!(passed.exit, 0, "{}{}", passed.out, passed.err);
}
