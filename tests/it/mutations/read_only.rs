//! Looking for drift changes nothing: no call that it makes of AWS, a registry or a cluster can.

use crate::support::desk::Desk;
use crate::support::lab::{Lab, request, scratch};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

const GROUPS: [&str; 6] = ["ro-pinned", "ro-latest", "ro-mixed", "ro-alias", "ro-tampered", "ro-gone"];

const CONFIG: &str = r#"
[registries."REGISTRY"]
plain_http = true

[[channels.ro.prod.targets]]
id = "ro-base"
kind = "launch-template"
template = "TEMPLATE"
region = "eu-west-1"

[[channels.ro.prod.pointers]]
kind = "ssm"
name = "/ro/image"
label = "stable"
region = "eu-west-1"

[[channels.ro.prod.iac]]
kind = "terraform-state"
source = "s3://ro-states/ro.tfstate"
region = "eu-west-1"

[[channels.ro.prod.iac]]
kind = "cloudformation-stack"
source = "cloudformation://ro-stack"
region = "eu-west-1"

[[channels.api.prod.targets]]
id = "ro-api"
kind = "ecs"
cluster = "main"
service = "ro-api"
container = "app"
region = "eu-west-1"
poll_interval = "100ms"

[[channels.api.prod.targets]]
id = "ro-web"
kind = "kubernetes"
namespace = "shop"
workload = "deployment/ro-web"
container = "app"
poll_interval = "100ms"
"#;

/// What was asked of everything outside, each as `service:action` or `registry:METHOD`.
struct Calls<'a> {
    lab: &'a Lab,
    registry: usize,
    cluster: usize,
}

impl<'a> Calls<'a> {
    fn from_now(lab: &'a Lab) -> Self {
        lab.post("calls/mark", &json!({}));
        let mut calls = Self { lab, registry: 0, cluster: 0 };
        (calls.registry, calls.cluster) = (calls.of_registry().len(), calls.of_cluster().len());
        calls
    }

    fn of_registry(&self) -> Vec<Value> {
        let host = &self.lab.env["IMGCTL_LAB_REGISTRY_FAULTS"];
        request(host, "GET", "/_calls", None)["calls"].as_array().unwrap().clone()
    }

    fn of_cluster(&self) -> Vec<Value> {
        let host = &self.lab.env["IMGCTL_LAB_KUBERNETES"];
        request(host, "GET", "/_lab/calls?since=0", None)["calls"].as_array().unwrap().clone()
    }

    fn made(&self) -> BTreeSet<String> {
        let word = |call: &Value, key: &str| call[key].as_str().unwrap().to_owned();
        let aws = self.lab.get("calls")["calls"].as_array().unwrap().clone();
        let aws = aws.into_iter().map(|call| format!("{}:{}", word(&call, "service"), word(&call, "action")));
        let of = |name: &str, calls: Vec<Value>, since: usize| {
            let names: Vec<String> =
                calls[since..].iter().map(|call| format!("{name}:{}", word(call, "method"))).collect();
            names
        };
        let others =
            [of("registry", self.of_registry(), self.registry), of("kubernetes", self.of_cluster(), self.cluster)];
        aws.chain(others.concat()).collect()
    }
}

/// By their names, as AWS gives them: its access level "Read" or "List" (Service Authorization Reference).
fn only_reads(call: &str) -> bool {
    let (service, action) = call.split_once(':').unwrap();
    match service {
        "registry" | "kubernetes" => ["GET", "HEAD"].contains(&action),
        _ => ["Describe", "Get", "List", "Head", "Lookup", "BatchGet", "BatchCheck"]
            .iter()
            .any(|word| action.starts_with(word)),
    }
}

/// Every kind of target, released; the state of one of the groups in a bucket, and a stack.
async fn desk(lab: &'static Lab, good: &str) -> Desk {
    let registry = &lab.env["IMGCTL_LAB_REGISTRY_FAULTS"];
    let overrides = json!([{"instance_type": "t3.micro"}, {"instance_type": "t3.small", "ami": good}]);
    for name in GROUPS.into_iter().chain(["ro-base"]) {
        let more = if name == "ro-mixed" { json!({"size": 2, "mixed": overrides}) } else { json!({"size": 1}) };
        lab.group(name, good, &more);
    }
    let id = |group: &str| lab.show(group)["config"]["template_id"].as_str().unwrap().to_owned();
    let image = format!("{registry}/{}", lab.ctl(&["push", "team/ro:1"]));
    lab.post("service", &json!({"name": "ro-api", "image": image, "size": 1}));
    lab.ctl(&["workload", "deployment/ro-web", "--image", &format!("app={image}")]);

    // At a number that is not the newest: its image is asked of AWS.
    let template = json!({"id": id("ro-pinned"), "name": "ro-pinned", "image_id": good, "latest_version": 2});
    let group = json!({"name": "ro-pinned", "launch_template": [{"id": id("ro-pinned"), "version": "1"}]});
    let resource = |kind: &str, attributes: Value| json!({"mode": "managed", "type": kind, "name": "web", "instances": [{"attributes": attributes}]});
    let resources = [resource("aws_launch_template", template), resource("aws_autoscaling_group", group)];
    let state =
        json!({"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "l", "resources": resources});
    lab.post("bucket", &json!({"name": "ro-states"}));
    let s3 = crate::support::aws(lab).await.s3(&"eu-west-1".parse().unwrap());
    let put = s3.put_object().bucket("ro-states").key("ro.tfstate").body(state.to_string().into_bytes().into());
    put.send().await.unwrap();

    let template = format!(
        "Resources: {{Template: {{Type: 'AWS::EC2::LaunchTemplate', Properties: {{LaunchTemplateName: ro-stack, \
         LaunchTemplateData: {{ImageId: {good}}}}}}}}}"
    );
    let stacks = crate::support::aws(lab).await.cloudformation(&"eu-west-1".parse().unwrap());
    stacks.create_stack().stack_name("ro-stack").template_body(template).send().await.unwrap();

    let more = CONFIG.replace("REGISTRY", registry).replace("TEMPLATE", &id("ro-base"));
    let desk = Desk::in_lab(lab, "ro/prod", &GROUPS, &more);
    let config = fs::read_to_string(desk.path("imgctl.toml")).unwrap();
    fs::write(desk.path("imgctl.toml"), config.replacen("[aws]", "[aws]\ncloudtrail = true", 1)).unwrap();
    desk.done(&["record", "ro@1", good]);
    desk.done(&["record", "api@1", &image]);
    for image in ["ro@1", "api@1"] {
        desk.done(&["promote", image, "prod", "--yes"]);
    }
    desk
}

/// Something of every kind happens, so that everything is looked into: what is there, and who did it.
fn befall(lab: &Lab, bad: &str) {
    let group = |name: &str, more: Value| {
        let mut body = more;
        body["group"] = json!(name);
        lab.post("drift", &body);
    };
    group("ro-pinned", json!({"kind": "new-version", "ami": bad}));
    group("ro-latest", json!({"kind": "latest"}));
    group("ro-mixed", json!({"kind": "override-version", "ami": bad}));
    lab.post("parameter", &json!({"name": "/ro/alias", "value": bad}));
    group("ro-alias", json!({"kind": "template-version", "ami": "resolve:ssm:/ro/alias"}));
    group("ro-tampered", json!({"kind": "template-version", "ami": bad}));
    group("ro-gone", json!({"kind": "delete-group"}));
    lab.post("parameter", &json!({"name": "/ro/image", "value": bad}));
    let registry = &lab.env["IMGCTL_LAB_REGISTRY_FAULTS"];
    let other = format!("{registry}/{}", lab.ctl(&["push", "team/ro:2"]));
    lab.post("service/change", &json!({"name": "ro-api", "kind": "update", "image": other, "at_once": true}));
    lab.ctl(&["set-image", "deployment/ro-web", &format!("app={other}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_for_drift_changes_nothing() {
    let folder = scratch();
    let lab: &'static Lab = Box::leak(Box::new(Lab::start(&folder.path().join("lab"), &["--time-scale", "0.01"])));
    let [good, bad] = ["ro-1", "ro-2"].map(|name| lab.ami(name, &json!({})));
    let desk = desk(lab, &good).await;
    befall(lab, &bad);
    let entries = desk.entries();
    let words: [&[&str]; 6] = [
        &["drift"],
        &["drift", "--new", "--time-limit", "1m"],
        &["drift", "ro/prod", "--format", "sarif"],
        &["drift", "--json"],
        &["status"],
        &["pointer", "check"],
    ];
    for words in words {
        // As on a machine that is new to it: nothing is remembered, and everything is asked.
        drop(fs::remove_file(desk.path("data/imgctl/facts")));
        let calls = Calls::from_now(lab);
        let looked = desk.run(words);
        assert!([0, 2].contains(&looked.exit), "{words:?}: {}{}", looked.out, looked.err);
        let made = calls.made();
        let changing: Vec<&String> = made.iter().filter(|call| !only_reads(call)).collect();
        assert!(changing.is_empty(), "{words:?} makes calls that may change something: {changing:?}");
        assert_eq!(desk.entries(), entries, "{words:?} leaves the ledger as it is");
        if words == ["drift", "--json"] {
            everything_was_looked_into(&looked.out, &made);
        }
    }
}

fn everything_was_looked_into(document: &str, made: &BTreeSet<String>) {
    let document: Value = serde_json::from_str(document).unwrap();
    let findings = document["findings"].as_array().unwrap();
    let kinds: BTreeSet<&str> = findings.iter().map(|finding| finding["kind"].as_str().unwrap()).collect();
    assert!(["floating", "gone", "in-sync", "mixed", "tampered"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    let by: BTreeSet<&str> = findings
        .iter()
        .filter(|finding| finding["by"].is_object())
        .map(|finding| finding["target"].as_str().unwrap())
        .collect();
    for target in ["ro-mixed", "ro-tampered", "ro-api"] {
        assert!(by.contains(target), "who changed {target} was asked: {by:?}");
    }
    let calls = [
        "autoscaling:DescribeAutoScalingGroups",
        "cloudformation:GetTemplate",
        "cloudtrail:LookupEvents",
        "ec2:DescribeImages",
        "ec2:DescribeInstances",
        "ec2:DescribeLaunchTemplateVersions",
        "ecs:DescribeServices",
        "ecs:DescribeTaskDefinition",
        "ecs:DescribeTasks",
        "kubernetes:GET",
        "s3:GetObject",
        "ssm:GetParameter",
    ];
    let missing: Vec<&str> = calls.into_iter().filter(|call| !made.contains(*call)).collect();
    assert!(missing.is_empty(), "{missing:?} of {made:?}");
    assert!(made.iter().any(|call| call.starts_with("registry:")), "{made:?}");
}
