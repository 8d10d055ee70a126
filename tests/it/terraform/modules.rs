//! The modules and examples as they are kept: formatted, valid, and appliable.

use super::{Terraform, mirrors, on_path, program};
use crate::support::desk::{Desk, hermetic, ran};
use crate::support::lab::{lab, root};
use crate::support::skipped::skipped;
use serde_json::json;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Every folder under `terraform/` with a configuration of its own.
fn configurations(under: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(under).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != ".terraform" {
            configurations(&path, found);
        } else if entry.file_name() == "main.tf" {
            found.push(under.to_owned());
        }
    }
}

#[test]
fn modules_and_examples_are_formatted() {
    if !(on_path("terraform") || on_path("tofu")) {
        return skipped(
            "terraform::modules::modules_and_examples_are_formatted",
            "neither terraform nor tofu is on PATH",
        );
    }
    let mut command = hermetic(OsStr::new(program()), lab(), root());
    command.args(["fmt", "-check", "-recursive", "-diff", "terraform"]);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let formatted = ran(&mut command);
    assert_eq!(formatted.exit, 0, "terraform fmt -recursive terraform\n{}{}", formatted.out, formatted.err);
}

#[test]
fn modules_and_examples_are_valid() {
    let test = "terraform::modules::modules_and_examples_are_valid";
    let desk = Desk::new("valid/prod", &[], "");
    let terraform = match Terraform::new(&desk, program(), "asg") {
        Ok(terraform) => terraform,
        Err(why) => return skipped(test, &why),
    };
    let mut all = Vec::new();
    configurations(&desk.path("infra"), &mut all);
    assert!(all.len() >= 8, "{all:?}");
    for folder in all {
        if folder.ends_with("external")
            && !mirrors(&terraform.configuration, "registry.terraform.io/hashicorp/external")
        {
            let name = folder.strip_prefix(desk.path("infra")).unwrap().display();
            skipped(&format!("{test} ({name})"), "the mirror has no hashicorp/external");
            continue;
        }
        let one = Terraform { folder, ..Terraform::new(&desk, program(), "asg").unwrap() };
        one.init();
        one.done(&["validate", "-no-color"]);
    }
}

/// Where `external` is not mirrored, nothing else looks at what stands in it.
#[test]
fn the_external_module_asks_in_words_that_imgctl_knows() {
    let text = fs::read_to_string(root().join("terraform/modules/channel/external/main.tf")).unwrap();
    let (_, query) = text.split_once("query = {").unwrap();
    let (query, _) = query.split_once('}').unwrap();
    let words = query.lines().filter_map(|line| line.split_once(" = ")).map(|(word, _)| word.trim().to_owned());
    let words: Vec<String> = words.collect();
    assert!(words.contains(&"channel".to_owned()), "{words:?}");
    let said = Desk::new("valid/prod", &[], "").done(&["terraform", "external", "--help"]);
    assert!(words.iter().all(|word| said.contains(&format!("`{word}`"))), "{words:?} in {said}");
}

#[test]
fn the_audit_is_made_once_and_runs_what_imgctl_has() {
    let test = "terraform::modules::the_audit_is_made_once_and_runs_what_imgctl_has";
    let desk = Desk::new("audit/prod", &[], "");
    let terraform = match Terraform::new(&desk, program(), "audit") {
        Ok(terraform) => terraform.with("name", "tf-audit"),
        Err(why) => return skipped(test, &why),
    };
    let (parameter, secret) = (
        "arn:aws:ssm:eu-west-1:123456789012:parameter/slack",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:hook-a1b2c3",
    );
    let secrets = json!({ "SLACK_URL": parameter, "HOOK_KEY": format!("{secret}:key::") }).to_string();
    let terraform = terraform.with("secrets", &secrets);
    terraform.init();
    terraform.apply();
    terraform.has_nothing_to_do("an apply");
    let state = fs::read_to_string(terraform.state()).unwrap().replace('\\', "");
    for given in [
        format!(r#"{{"name":"SLACK_URL","valueFrom":"{parameter}"}}"#),
        format!(r#"{{"name":"HOOK_KEY","valueFrom":"{secret}:key::"}}"#),
        format!(r#"{{"Action":["ssm:GetParameters"],"Effect":"Allow","Resource":["{parameter}"]}}"#),
        format!(r#"{{"Action":["secretsmanager:GetSecretValue"],"Effect":"Allow","Resource":["{secret}"]}}"#),
    ] {
        assert!(state.contains(&given), "no {given} in {state}");
    }
    let command: Vec<String> = serde_json::from_value(terraform.output("command")).unwrap();
    let looked = ran(&mut desk.command(&command));
    // It is understood, and looks; the config of this desk has nothing to look at.
    assert_eq!(looked.exit, 1, "{command:?}: {}{}", looked.out, looked.err);
    assert!(format!("{}{}", looked.out, looked.err).contains("the config names no target"), "{command:?}");
}
