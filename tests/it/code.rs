//! Whose code it is: each channel is judged by its own, and what cannot be read takes nothing else along.

use crate::support::desk::{Desk, Ran, ran};
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// Two groups, each followed by a channel of its own: `NAME/prod` and `NAME/other`.
fn desk(name: &str) -> (Desk, [String; 2]) {
    let groups = [name.to_owned(), format!("{name}-other")];
    let second =
        format!("\n[[channels.{name}.other.targets]]\nid = \"{0}\"\nkind = \"asg\"\nname = \"{0}\"\n", groups[1]);
    let desk = Desk::new(
        &format!("{name}/prod"),
        &[name],
        &format!("{second}poll_interval = \"100ms\"\nregion = \"eu-west-1\"\n"),
    );
    let amis = [1, 2].map(|number| desk.lab.ami(&format!("{name}-{number}"), &json!({})));
    for group in &groups {
        desk.lab.group(group, &amis[0], &json!({"size": 1}));
    }
    for (number, ami) in (1..).zip(&amis) {
        desk.done(&["record", &format!("{name}@{number}"), ami]);
    }
    for environment in ["prod", "other"] {
        desk.done(&["promote", &format!("{name}@1"), environment, "--yes"]);
    }
    (desk, amis)
}

/// A state that declares this image for the group.
fn state(desk: &Desk, file: &str, group: &str, ami: &str) {
    let template = desk.lab.show(group)["config"]["template_id"].clone();
    let template_attributes =
        json!({"id": template, "name": group, "image_id": ami, "latest_version": 1, "default_version": 1});
    let follows = json!({"name": group, "launch_template": [{"id": template, "version": "1"}]});
    let resource = |kind: &str, attributes: &Value| json!({"mode": "managed", "type": kind, "name": "web", "instances": [{"attributes": attributes}]});
    let resources =
        [resource("aws_launch_template", &template_attributes), resource("aws_autoscaling_group", &follows)];
    let state =
        json!({"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "l", "resources": resources});
    fs::write(desk.path(file), state.to_string()).unwrap();
}

fn declares(desk: &Desk, channel: &str, source: &str) {
    let (name, environment) = channel.split_once('/').unwrap();
    let config = fs::read_to_string(desk.path("imgctl.toml")).unwrap();
    let iac = format!("\n[[channels.{name}.{environment}.iac]]\nkind = \"terraform-state\"\nsource = \"{source}\"\n");
    fs::write(desk.path("imgctl.toml"), config + &iac).unwrap();
}

#[track_caller]
fn says(ran: &Ran, exit: i32, with: &[&str], without: &[&str]) {
    let all = format!("{}{}", ran.out, ran.err);
    assert_eq!(ran.exit, exit, "{all}");
    assert!(with.iter().all(|word| all.contains(word)) && !without.iter().any(|word| all.contains(word)), "{all}");
}

#[test]
fn each_channel_is_judged_by_its_own_code() {
    let (desk, amis) = desk("own-code");
    state(&desk, "prod.tfstate", "own-code", &amis[0]);
    // A group of that name in another account: not the one that the first channel has.
    state(&desk, "other.tfstate", "own-code", &amis[1]);
    declares(&desk, "own-code/prod", "prod.tfstate");
    declares(&desk, "own-code/other", "other.tfstate");
    says(&desk.run(&["drift"]), 0, &["own-code/prod own-code template  in sync"], &["contradicts"]);
    state(&desk, "prod.tfstate", "own-code", &amis[1]);
    says(&desk.run(&["drift"]), 2, &["own-code/prod own-code template  stale code"], &["contradicts"]);
    // Who names states speaks of all channels; a pattern means every file that is like it.
    says(&desk.run(&["drift", "--state", "*.tfstate"]), 2, &["stale code"], &[]);
    state(&desk, "prod.tfstate", "own-code", &amis[0]);
    let told = desk.run(&["drift", "--state", "*.tfstate"]);
    says(&told, 2, &["stale code", "contradicts itself", "(other.tfstate)", "wrong     the code"], &[]);
    says(&desk.run(&["drift", "--state", "none*.tfstate"]), 1, &["`none*.tfstate` could not be read"], &[]);
}

#[test]
fn code_that_says_nothing_of_its_channel_or_is_of_another_kind_is_told() {
    let (desk, amis) = desk("silent-code");
    state(&desk, "prod.tfstate", "silent-code", &amis[0]);
    says(&desk.run(&["drift"]), 0, &["ok: silent-code/prod"], &["says nothing"]);
    let given = desk.run(&["drift", "--state", "prod.tfstate"]);
    says(&given, 0, &["ok: silent-code/other", "the code given says nothing of it"], &["note:"]);
    declares(&desk, "silent-code/other", "prod.tfstate");
    says(&desk.run(&["drift"]), 0, &["note: silent-code/other", "the channel's code says nothing of it"], &[]);
    fs::write(desk.path("prod.tfstate"), "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n").unwrap();
    let other = "`prod.tfstate` is declared as terraform-state, and is a kubernetes-manifest";
    says(&desk.run(&["drift"]), 1, &["what the code declares is not known", other], &[]);
    for (wrong, wanted) in [("ftp://host/state", "ftp:// is not read"), ("", "expected a file's path")] {
        says(&desk.run(&["drift", "--state", wrong]), 64, &[wanted], &[]);
    }
    fs::write(desk.path("login.html"), "<!DOCTYPE html>").unwrap();
    says(&desk.run(&["drift", "--state", "login.html"]), 1, &["is a page", "asks for a login"], &[]);
}

#[test]
fn a_state_that_cannot_be_read_takes_nothing_else_along() {
    let (desk, amis) = desk("unread");
    state(&desk, "prod.tfstate", "unread", &amis[1]);
    declares(&desk, "unread/prod", "prod.tfstate");
    says(&desk.run(&["drift", "--record"]), 2, &["unread/prod unread template  stale code"], &[]);
    desk.lab.post("drift", &json!({"group": "unread-other", "kind": "template-version", "ami": amis[1]}));
    fs::write(desk.path("prod.tfstate"), "{\"version\": 4,").unwrap();
    let told = desk.run(&["drift"]);
    says(&told, 1, &["in sync", "what the code declares is not known", "unread-other template  tampered"], &["stale"]);
    assert!(told.out.contains("not found out: what the code declares: `prod.tfstate` is cut short"), "{}", told.out);
    // Whether the stale code is over, nobody knows.
    says(&desk.run(&["drift", "--new", "--record"]), 1, &["tampered"], &["is no more"]);
    state(&desk, "prod.tfstate", "unread", &amis[1]);
    says(&desk.run(&["drift", "--new", "--record"]), 0, &[], &["stale", "is no more"]);
    state(&desk, "prod.tfstate", "unread", &amis[0]);
    says(&desk.run(&["drift", "--new", "--record"]), 0, &["stale code", "is no more"], &[]);
}

#[test]
fn what_is_acknowledged_is_not_over_and_has_the_same_id_whatever_the_code_says() {
    let (desk, amis) = desk("known");
    desk.lab.post("drift", &json!({"group": "known", "kind": "template-version", "ami": amis[1]}));
    says(&desk.run(&["drift", "--record"]), 2, &["tampered", "mixed"], &[]);
    let told: Value = serde_json::from_str(&desk.run(&["drift", "--json"]).out).unwrap();
    let drifted = told["findings"].as_array().unwrap().iter().filter(|finding| finding["kind"] != "in-sync");
    for finding in drifted {
        let id = finding["id"].as_str().unwrap();
        desk.done(&["drift", "ack", id, "--until", "3d", "--reason", "known"]);
    }
    says(&desk.run(&["drift", "--new"]), 0, &[], &["is no more", "tampered"]);
    state(&desk, "known.tfstate", "known", &amis[0]);
    says(&desk.run(&["drift", "--state", "known.tfstate"]), 0, &["tampered", "known     to"], &[]);
}

#[test]
fn a_time_limit_and_a_person_end_the_wait_for_a_state() {
    let (desk, _) = desk("silent");
    // It takes every connection, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    declares(&desk, "silent/prod", &format!("http://{}/state", silent.local_addr().unwrap()));
    let limited = desk.run(&["drift", "--time-limit", "2s"]);
    says(&limited, 1, &["/state: there was no answer within 2 s", "silent-other template"], &[]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stopped = desk.command(&["drift", "--state", &format!("http://{}/state", silent.local_addr().unwrap())]);
    let child = stopped.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut waiting, _) = silent.accept().unwrap();
    // It has asked, and waits.
    assert_eq!(waiting.read(&mut [0; 1]).unwrap(), 1);
    ran(Command::new("kill").args(["-TERM", &child.id().to_string()]));
    let output = child.wait_with_output().unwrap();
    drop(waiting);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("interrupted before there was an answer"), "{said}");
}

#[test]
fn an_audit_of_nothing_is_not_in_sync() {
    let desk = Desk::new("nothing/prod", &[], "");
    says(&desk.run(&["drift"]), 1, &["the config names no target"], &["In sync"]);
    let metrics = desk.run(&["drift", "--format", "prometheus"]);
    says(&metrics, 1, &["imgctl_drift_partial 1"], &[]);
}

#[test]
fn who_does_not_answer_ends_nothing() {
    let (desk, amis) = desk("unproven");
    desk.lab.post("image", &json!({"image_id": amis[0], "deregister": true}));
    let refuse = |action: &str, about: &str| {
        desk.lab.post("fault", &json!({"kind": "denied", "action": action, "about": about, "times": 1}));
    };
    says(&desk.run(&["drift", "--record"]), 2, &["dangling"], &[]);
    // Whether the image can be launched is not known: the finding is neither there nor over.
    refuse("DescribeImages", &amis[0]);
    let told = desk.run(&["drift", "--new", "--record"]);
    says(&told, 1, &["not found out: whether ami-"], &["is no more", "In sync"]);
    says(&desk.run(&["drift", "--new", "--record"]), 0, &["Nothing has changed"], &["dangling"]);
    // A program sees it, too.
    refuse("DescribeImages", &amis[0]);
    let junit = desk.run(&["drift", "--format", "junit"]);
    says(&junit, 1, &["<testsuite name=\"not found out\" tests=\"1\"", "<error message=\"whether ami-"], &[]);
    // Somebody knows that the groups do not answer; what was found of them is not over for that.
    refuse("DescribeAutoScalingGroups", "unproven");
    let silent: Value = serde_json::from_str(&desk.run(&["drift", "--json"]).out).unwrap();
    for finding in silent["findings"].as_array().unwrap() {
        assert_eq!(finding["kind"], "unreachable");
        refuse("DescribeAutoScalingGroups", "unproven");
        desk.done(&[
            "drift",
            "ack",
            finding["id"].as_str().unwrap(),
            "--until",
            "1h",
            "--reason",
            "a move of the account",
        ]);
    }
    refuse("DescribeAutoScalingGroups", "unproven");
    says(&desk.run(&["drift", "--new", "--record"]), 0, &[], &["is no more", "In sync"]);
    says(&desk.run(&["drift", "--new", "--record"]), 0, &["Nothing has changed"], &["dangling"]);
}

#[test]
fn what_a_rollout_does_not_do_is_drift_while_it_is_under_way() {
    let (desk, _) = desk("busy");
    let third = desk.lab.ami("busy-3", &json!({}));
    let never = desk.lab.ami("busy-never", &json!({"tags": {"imgtest:health": "never"}}));
    desk.done(&["record", "busy@never", &never]);
    desk.done(&["promote", "busy@never", "prod", "--yes", "--no-wait"]);
    says(&desk.run(&["drift"]), 0, &["is under way"], &["error:"]);
    desk.lab.post("drift", &json!({"group": "busy", "kind": "template-version", "ami": third}));
    says(&desk.run(&["drift"]), 2, &["error: busy/prod busy template  tampered", &third], &[]);
}
