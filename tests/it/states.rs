//! Where drift reads code from: behind a URL, in S3, encrypted, printed; and what is said when it cannot be had.

use crate::support::desk::{Desk, Ran};
use serde_json::json;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

/// One group at the first image, promoted; and a state that declares it.
fn stage(group: &str) -> (Desk, String) {
    let desk = Desk::new(&format!("{group}/prod"), &[group], "");
    let ami = desk.lab.ami(&format!("{group}-1"), &json!({}));
    let made = desk.lab.group(group, &ami, &json!({"size": 1}));
    desk.done(&["record", &format!("{group}@1"), &ami]);
    desk.done(&["promote", &format!("{group}@1"), "prod", "--yes"]);
    let template = &made["template_id"];
    let attributes = json!({"id": template, "name": group, "image_id": ami, "latest_version": 1, "default_version": 1,
        "user_data": "CANARY"});
    let follows = json!({"name": group, "launch_template": [{"id": template, "version": "1"}]});
    let resource = |kind: &str, attributes: &serde_json::Value| json!({"mode": "managed", "type": kind, "name": "web", "instances": [{"attributes": attributes}]});
    let resources = [resource("aws_launch_template", &attributes), resource("aws_autoscaling_group", &follows)];
    let state =
        json!({"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "l", "resources": resources});
    (desk, state.to_string())
}

/// Answers one request after the other with these statuses and bodies; every request's head is told.
fn serve(answers: Vec<(u16, String)>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (tell, heads) = channel();
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            let length = body.len();
            write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
                .unwrap();
            if tell.send(String::from_utf8(head).unwrap()).is_err() {
                return;
            }
        }
    });
    (host, heads)
}

#[track_caller]
fn says(ran: &Ran, exit: i32, words: &[&str]) {
    let all = format!("{}{}", ran.out, ran.err);
    assert_eq!(ran.exit, exit, "{all}");
    assert!(words.iter().all(|word| all.contains(word)), "{all}");
    assert!(!all.contains("CANARY"), "{all}");
}

#[test]
fn a_state_behind_a_url_is_read_with_terraforms_own_credentials() {
    let (desk, state) = stage("url-state");
    let (host, heads) = serve(vec![(200, state.clone()), (503, String::new()), (200, state), (401, "CANARY".into())]);
    let drift = |url: &str| {
        let mut command = desk.command(&["drift", "--state", url]);
        command.env("TF_HTTP_USERNAME", "ci").env("TF_HTTP_PASSWORD", "CANARY");
        crate::support::desk::ran(&mut command)
    };
    let url = format!("http://{host}/api/v4/projects/1/terraform/state/web");
    says(&drift(&url), 0, &["in sync"]);
    let head = heads.recv().unwrap().to_lowercase();
    assert!(head.starts_with("get /api/v4/projects/1/terraform/state/web http/1.1"), "{head}");
    assert!(head.contains("authorization: basic y2k6q0foqvjz"), "{head}");
    // A server that stumbles is asked again.
    says(&drift(&url), 0, &["in sync"]);
    let with_password = format!("http://somebody:CANARY@{host}/state?token=CANARY");
    says(&drift(&with_password), 1, &["is not given to us (HTTP status 401)", "TF_HTTP_USERNAME", "/state?…"]);
}

#[test]
fn a_state_that_is_not_there_or_cannot_be_reached_is_an_error() {
    let (desk, _) = stage("no-state");
    let (host, _heads) = serve(vec![(404, "CANARY".into())]);
    says(&desk.run(&["drift", "--state", &format!("http://{host}/x")]), 1, &["there is no state at"]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = desk.run(&["drift", "--state", &format!("http://u:CANARY@{closed}/x")]);
    says(&unreachable, 1, &["could not be fetched", "refused"]);
    says(&desk.run(&["drift", "--state", "s3://only-a-bucket"]), 64, &["s3://BUCKET/KEY"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_in_s3_is_read_and_its_lock_is_left_alone() {
    let (desk, state) = stage("s3-state");
    desk.lab.post("bucket", &json!({"name": "imgctl-states", "region": "us-west-2"}));
    let s3 = crate::support::aws(desk.lab).await.s3(&"us-west-2".parse().unwrap());
    for (key, body) in [("web/prod.tfstate", state), ("web/prod.tfstate.tflock", "{\"ID\": \"x\"}".to_owned())] {
        let put = s3.put_object().bucket("imgctl-states").key(key).body(body.into_bytes().into());
        put.send().await.unwrap();
    }
    // The bucket is in another region than everything else.
    says(&desk.run(&["drift", "--state", "s3://imgctl-states/web/prod.tfstate"]), 0, &["in sync"]);
    says(&desk.run(&["drift", "--state", "s3://imgctl-states/none.tfstate"]), 1, &["there is no state at"]);
    let config = fs::read_to_string(desk.path("imgctl.toml")).unwrap();
    let iac = "\n[[channels.s3-state.prod.iac]]\nkind = \"terraform-state\"\nregion = \"us-west-2\"\n\
               source = \"s3://imgctl-states/web/prod.tfstate\"\n";
    fs::write(desk.path("imgctl.toml"), config + iac).unwrap();
    says(&desk.run(&["drift"]), 0, &["in sync"]);
}

/// The same state as Terraform and OpenTofu print, plan and keep it.
#[test]
fn what_terraform_prints_is_code_like_the_state_itself() {
    let (desk, state) = stage("printed-state");
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let attributes = |at: usize| state["resources"][at]["instances"][0]["attributes"].clone();
    let resource = |at: usize, kind: &str| {
        json!({"address": format!("{kind}.web"), "mode": "managed", "type": kind, "name": "web",
            "values": attributes(at), "sensitive_values": {"user_data": true}})
    };
    let kinds = ["aws_launch_template", "aws_autoscaling_group"];
    let resources = [resource(0, kinds[0]), resource(1, kinds[1])];
    let shown = json!({"format_version": "1.0", "values": {"root_module": {"resources": resources}}});
    fs::write(desk.path("shown.json"), shown.to_string()).unwrap();
    says(&desk.run(&["drift", "--state", "shown.json"]), 0, &["in sync"]);

    // A plan that would put another image there: what the code says now is what counts.
    let mut after = attributes(0);
    after["image_id"] = "ami-0123456789abcdef0".into();
    let mut group = attributes(1);
    group["launch_template"][0]["version"] = serde_json::Value::Null;
    let change = |kind: &str, before: serde_json::Value, after: serde_json::Value, unknown: serde_json::Value| {
        json!({"address": format!("{kind}.web"), "mode": "managed", "type": kind, "change": {"actions": ["update"],
            "before": before, "after": after, "after_unknown": unknown, "before_sensitive": {}, "after_sensitive": {}}})
    };
    let changes = [
        change(kinds[0], attributes(0), after, json!({"latest_version": true})),
        change(kinds[1], attributes(1), group, json!({"launch_template": [{"version": true}]})),
    ];
    let plan =
        json!({"format_version": "1.2", "planned_values": {}, "resource_drift": "CANARY", "resource_changes": changes});
    fs::write(desk.path("plan.json"), plan.to_string()).unwrap();
    let found = desk.run(&["drift", "--state", "plan.json"]);
    says(&found, 2, &["stale code", "ami-0123456789abcdef0", "aws_launch_template.web in plan.json"]);
}

/// Terraform prints what its refresh has found as if it were the state: that is no reason to believe it.
#[test]
fn a_refresh_only_plan_hides_no_drift() {
    let (desk, state) = stage("refreshed");
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let attributes = |at: usize| state["resources"][at]["instances"][0]["attributes"].clone();
    let (template, group) = (attributes(0), attributes(1));
    let (mut live_template, mut live_group) = (template.clone(), group.clone());
    let bad = desk.lab.ami("refreshed-2", &json!({}));
    desk.lab.post("drift", &json!({"group": "refreshed", "kind": "template-version", "ami": bad}));
    (live_template["image_id"], live_template["latest_version"]) = (json!(bad), json!(2));
    live_group["launch_template"][0]["version"] = json!("2");
    let resource = |kind: &str, rest: serde_json::Value| {
        let mut resource = rest;
        let address = format!("{kind}.web");
        for (key, value) in [("address", &*address), ("mode", "managed"), ("type", kind), ("name", "web")] {
            resource[key] = json!(value);
        }
        resource
    };
    let change = |kind: &str, before: &serde_json::Value, after: &serde_json::Value| {
        let marks = json!({"user_data": true});
        resource(
            kind,
            json!({"change": {"actions": ["update"], "before": before, "after": after, "after_unknown": {},
            "before_sensitive": marks, "after_sensitive": marks}}),
        )
    };
    let live = |kind: &str, values: &serde_json::Value| {
        resource(kind, json!({"values": values, "sensitive_values": {"user_data": true}}))
    };
    let kinds = ["aws_launch_template", "aws_autoscaling_group"];
    let prior = [live(kinds[0], &live_template), live(kinds[1], &live_group)];
    let plan = json!({
        "format_version": "1.2", "planned_values": {"root_module": {}},
        "resource_drift": [change(kinds[0], &template, &live_template), change(kinds[1], &group, &live_group)],
        "prior_state": {"format_version": "1.0", "values": {"root_module": {"resources": prior}}},
    });
    fs::write(desk.path("refresh.json"), plan.to_string()).unwrap();
    let found = desk.run(&["drift", "--state", "refresh.json"]);
    let good = template["image_id"].as_str().unwrap();
    let declared = format!("declared  {good}@eu-west-1 (aws_launch_template.web in refresh.json)");
    says(&found, 2, &["tampered", "mixed", &declared]);
    assert!(!found.out.contains("reverted"), "{}", found.out);
}

#[test]
fn an_encrypted_state_is_opened_by_the_passphrase_of_the_environment() {
    let desk = Desk::new("sealed/prod", &[], "");
    let sample = crate::support::lab::root().join("fixtures/states/opentofu-encrypted/sha512-256.tfstate");
    let drift = |variable: &str, value: &str| {
        let mut command = desk.command(&[OsStr::new("drift"), OsStr::new("--state"), sample.as_os_str()]);
        crate::support::desk::ran(command.env(variable, value))
    };
    says(&drift("UNRELATED", "x"), 1, &["is an encrypted OpenTofu state", "IMGCTL_STATE_PASSPHRASE"]);
    says(&drift("IMGCTL_STATE_PASSPHRASE", "wrong-CANARY"), 1, &["the passphrase does not open"]);
    // It is opened; that there is nothing to hold it against is another matter.
    says(&drift("IMGCTL_STATE_PASSPHRASE", "a passphrase for tests"), 1, &["No target to look at"]);
    let config = r#"key_provider "pbkdf2" "state" { passphrase = "a passphrase for tests" }"#;
    says(&drift("TF_ENCRYPTION", config), 1, &["No target to look at"]);
}

/// A stack is asked for itself: what its template says, with its parameters as they were when it was last updated.
#[tokio::test(flavor = "multi_thread")]
async fn a_stack_is_code_as_cloudformation_tells_it() {
    let desk = Desk::new("stacked/prod", &["stacked"], "");
    let amis = ["stacked-1", "stacked-2"].map(|name| desk.lab.ami(name, &json!({})));
    let template = "AWSTemplateFormatVersion: '2010-09-09'\n\
        Parameters: {Ami: {Type: String}, Password: {Type: String, NoEcho: true}}\n\
        Resources:\n\
        \x20 Template:\n\
        \x20   Type: AWS::EC2::LaunchTemplate\n\
        \x20   Properties: {LaunchTemplateName: stacked, LaunchTemplateData: {ImageId: !Ref Ami, InstanceType: m6i.large}}\n\
        \x20 Group:\n\
        \x20   Type: AWS::AutoScaling::AutoScalingGroup\n\
        \x20   Properties:\n\
        \x20     AutoScalingGroupName: stacked\n\
        \x20     MinSize: '1'\n\
        \x20     MaxSize: '1'\n\
        \x20     AvailabilityZones: [eu-west-1a]\n\
        \x20     LaunchTemplate: {LaunchTemplateId: !Ref Template, Version: !GetAtt Template.LatestVersionNumber}\n";
    let stacks = crate::support::aws(desk.lab).await.cloudformation(&"eu-west-1".parse().unwrap());
    let parameter = |key: &str, value: &str| {
        aws_sdk_cloudformation::types::Parameter::builder().parameter_key(key).parameter_value(value).build()
    };
    let made = stacks.create_stack().stack_name("stacked-prod").template_body(template);
    let made = made.parameters(parameter("Ami", &amis[0])).parameters(parameter("Password", "CANARY"));
    let id = made.send().await.unwrap().stack_id.unwrap();
    for (number, ami) in (1..).zip(&amis) {
        desk.done(&["record", &format!("stacked@{number}"), ami]);
    }
    desk.done(&["promote", "stacked@1", "prod", "--yes"]);
    says(&desk.run(&["drift", "--state", "cloudformation://stacked-prod"]), 0, &["in sync"]);
    says(&desk.run(&["drift", "--state", &format!("cloudformation://{id}")]), 0, &["in sync"]);

    // The release went on, and the stack's parameter did not.
    desk.done(&["promote", "stacked@2", "prod", "--yes"]);
    let config = fs::read_to_string(desk.path("imgctl.toml")).unwrap();
    let iac = "\n[[channels.stacked.prod.iac]]\nkind = \"cloudformation-stack\"\nregion = \"eu-west-1\"\n\
               source = \"cloudformation://stacked-prod\"\n";
    fs::write(desk.path("imgctl.toml"), config + iac).unwrap();
    says(&desk.run(&["drift"]), 2, &["stale code", &amis[0], "Template in cloudformation://stacked-prod"]);

    says(&desk.run(&["drift", "--state", "cloudformation://none"]), 1, &["there is no stack `cloudformation://none`"]);
    says(&desk.run(&["drift", "--state", "cloudformation://a/b"]), 64, &["cloudformation://STACK"]);
    fs::write(desk.path("web.yaml"), template).unwrap();
    says(&desk.run(&["drift", "--state", "web.yaml"]), 1, &["is a CloudFormation template", "cloudformation://STACK"]);
}
