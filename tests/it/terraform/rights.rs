//! The rights that `terraform/modules/iam` grants are the calls that imgctl makes: none is missing, and none is too many.

use super::{Terraform, program};
use crate::support::desk::Desk;
use crate::support::lab::{Lab, root, scratch};
use crate::support::skipped::skipped;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Right → why it is there although no call of imgctl's shows it.
type Rights = BTreeMap<String, Option<String>>;

/// The table of the module, by role; each without what it shares with the reader.
fn table() -> BTreeMap<String, Rights> {
    let text = fs::read_to_string(root().join("terraform/modules/iam/rights.json")).unwrap();
    let table: BTreeMap<String, Vec<Value>> = serde_json::from_str(&text).unwrap();
    let right = |right: Value| {
        assert!(!right["for"].as_str().unwrap().is_empty() && !right["on"].as_str().unwrap().is_empty(), "{right}");
        (right["action"].as_str().unwrap().to_owned(), right["unseen"].as_str().map(str::to_owned))
    };
    table.into_iter().map(|(role, rights)| (role, rights.into_iter().map(right).collect())).collect()
}

/// The right that a call takes, in the words of the Service Authorization Reference.
fn right(call: &Value) -> Option<String> {
    match (call["service"].as_str().unwrap(), call["action"].as_str().unwrap()) {
        // "No permissions are required to perform this operation" (STS API Reference).
        ("sts", "GetCallerIdentity") => None,
        ("s3", "ListObjectsV2") => Some("s3:ListBucket".to_owned()),
        (service, action) => Some(format!("{service}:{action}")),
    }
}

/// What was called meanwhile. The lab is this test's own.
fn made(lab: &Lab, work: impl FnOnce()) -> BTreeSet<String> {
    lab.post("calls/mark", &json!({}));
    work();
    lab.get("calls")["calls"].as_array().unwrap().iter().filter_map(right).collect()
}

/// Every call is allowed; what the role has to itself is called, or says why it is not seen.
#[track_caller]
fn fits(role: &str, own: &Rights, shared: &Rights, made: &BTreeSet<String>) {
    let allowed = |call: &&String| own.contains_key(*call) || shared.contains_key(*call);
    let missing: Vec<&String> = made.iter().filter(|call| !allowed(call)).collect();
    assert!(missing.is_empty(), "a {role} makes calls that it may not: {missing:?}");
    let seen = |right: &str| made.contains(right);
    let idle: Vec<&String> =
        own.iter().filter(|(right, why)| seen(right) == why.is_some()).map(|(right, _)| right).collect();
    assert!(idle.is_empty(), "a {role} may what it never does, or does what is said to be unseen: {idle:?}");
}

const CONFIG: &str = r#"
[[channels.moved.prod.pointers]]
kind = "ssm"
name = "/imgctl/moved/prod"
label = "stable"
region = "eu-west-1"

[[channels.api.prod.targets]]
id = "api"
kind = "ecs"
cluster = "main"
service = "api"
container = "app"
region = "eu-west-1"
poll_interval = "100ms"

[[channels.base.prod.targets]]
id = "base"
kind = "launch-template"
template = "TEMPLATE"
region = "eu-west-1"
poll_interval = "100ms"

[[channels.floats.prod.targets]]
id = "floats"
kind = "asg"
name = "floats"
region = "eu-west-1"
poll_interval = "100ms"

[[ledger.anchors]]
kind = "ssm"
name = "/imgctl/ledger"
region = "eu-west-1"

[[ledger.anchors]]
kind = "s3"
bucket = "audit"
region = "eu-west-1"
"#;

/// A group, one that floats, a template and a service, with two images recorded for each.
fn desk(lab: &'static Lab) -> Desk {
    let slow = json!({"tags": {"imgtest:health": "slow"}});
    let amis = [lab.ami("moved-1", &json!({})), lab.ami("moved-2", &json!({})), lab.ami("moved-3", &slow)];
    for group in ["moved", "floats", "base"] {
        lab.group(group, &amis[0], &json!({"version": if group == "floats" { "$Latest" } else { "1" }}));
    }
    let template = lab.show("base")["config"]["template_id"].as_str().unwrap().to_owned();
    lab.post("bucket", &json!({"name": "audit"}));
    let registry = &lab.env["IMGCTL_LAB_REGISTRY"];
    let pushed = [1, 2, 3].map(|number| lab.ctl(&["push", &format!("team/api:{number}")]));
    lab.ctl(&["service", "api", "--image", &format!("{registry}/team/api:1")]);
    lab.ctl(&["container-image", pushed[2].split_once('@').unwrap().1, "--health", "slow"]);
    let more = format!("\n[registries.\"{registry}\"]\nplain_http = true\n{}", CONFIG.replace("TEMPLATE", &template));
    let desk = Desk::in_lab(lab, "moved/prod", &["moved"], &more);
    for (number, ami) in (1..).zip(&amis) {
        desk.done(&["record", &format!("api@{number}"), &format!("{registry}/team/api:{number}")]);
        for name in ["moved", "floats", "base"] {
            desk.done(&["record", &format!("{name}@{number}"), ami]);
        }
    }
    desk
}

/// Everything that moves something, to its end and half way.
fn promote_and_return(desk: &Desk) {
    let promote = |image: &str| desk.done(&["promote", image, "prod", "--yes"]);
    for name in ["moved", "floats", "base", "api"] {
        promote(&format!("{name}@1"));
        promote(&format!("{name}@2"));
    }
    let began = |image: &str| desk.done(&["promote", image, "prod", "--yes", "--no-wait"]);
    let back = |name: &str| desk.done(&["rollback", &format!("{name}/prod"), "--yes", "--reason", "worse"]);
    for name in ["moved", "api"] {
        began(&format!("{name}@3"));
        back(name);
    }
    desk.done(&["release", "moved/prod"]);
    desk.done(&["restore", "moved@3", "--channel", "moved/prod"]);
    let said = began("moved@3");
    let rollout = said.lines().find_map(|line| line.strip_prefix("rollout ")?.split(' ').next()).unwrap();
    let aborted = desk.run(&["abort", rollout, "--reason", "enough"]);
    assert!([0, 4].contains(&aborted.exit), "{}{}", aborted.out, aborted.err);
    back("moved");
    back("base");
    desk.done(&["tag", "moved@1", "good"]);
    desk.done(&["untag", "moved@1", "good"]);
}

/// A stack, and one that it imports from.
fn stacks(lab: &Lab) {
    let exports = json!({"Resources": {"T": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {"Ami": {"Value": "ami-1", "Export": {"Name": "base-ami"}}}});
    let imports = json!({"Resources": {"Template": {"Type": "AWS::EC2::LaunchTemplate",
        "Properties": {"LaunchTemplateData": {"ImageId": {"Fn::ImportValue": "base-ami"}}}}}});
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let client = crate::support::aws(lab).await.cloudformation(&"eu-west-1".parse().unwrap());
        for (name, template) in [("base", exports), ("web", imports)] {
            let make = client.create_stack().stack_name(name).template_body(template.to_string());
            make.send().await.unwrap();
        }
    });
}

#[test]
fn each_policy_allows_what_is_called_and_nothing_else() {
    let folder = scratch();
    let lab: &'static Lab = Box::leak(Box::new(Lab::start(&folder.path().join("lab"), &["--time-scale", "0.01"])));
    let (table, none) = (table(), Rights::new());
    let (reader, promoter, auditor) = (&table["reader"], &table["promoter"], &table["auditor"]);
    let desk = desk(lab);
    let moved = made(lab, || promote_and_return(&desk));
    fits("promoter", promoter, reader, &moved);

    // Both while something is under way; and as on a machine that is new to it, for what never changes is asked once.
    for name in ["moved", "api"] {
        desk.done(&["restore", &format!("{name}@3"), "--channel", &format!("{name}/prod")]);
        desk.run(&["release", &format!("{name}/prod")]);
        desk.done(&["promote", &format!("{name}@3"), "prod", "--yes", "--no-wait"]);
    }
    fs::remove_file(desk.path("data/imgctl/facts")).unwrap();
    let look = |desk: &Desk| {
        for words in [&["status"][..], &["drift"], &["pointer", "check"]] {
            let looked = desk.run(words);
            assert!([0, 2, 3].contains(&looked.exit), "{words:?}: {}{}", looked.out, looked.err);
        }
    };
    let seen = made(lab, || look(&desk));
    fits("reader", reader, &none, &seen);

    desk.done(&["ledger", "anchor"]);
    stacks(lab);
    let bad = lab.ami("moved-4", &json!({}));
    lab.post("drift", &json!({"kind": "default-version", "group": "base", "ami": bad}));
    let config = fs::read_to_string(desk.path("imgctl.toml")).unwrap();
    fs::write(desk.path("imgctl.toml"), config.replacen("[aws]", "[aws]\ncloudtrail = true", 1)).unwrap();
    let audited = made(lab, || {
        desk.done(&["ledger", "verify", "--anchored"]);
        desk.run(&["drift"]);
        desk.run(&["drift", "--state", "cloudformation://web"]);
    });
    fits("auditor", auditor, reader, &audited);
}

#[test]
fn the_documents_say_what_the_table_says() {
    let test = "terraform::rights::the_documents_say_what_the_table_says";
    let desk = Desk::new("rights/prod", &[], "");
    let terraform = match Terraform::new(&desk, program(), "iam") {
        Ok(terraform) => terraform.with("name", "rights"),
        Err(why) => return skipped(test, &why),
    };
    terraform.init();
    terraform.apply();
    terraform.has_nothing_to_do("an apply");
    let (policies, table) = (terraform.output("policies"), table());
    assert_eq!(terraform.output("arns").as_object().unwrap().len(), 3);
    for role in ["reader", "promoter", "auditor"] {
        let document: Value = serde_json::from_str(policies[role].as_str().unwrap()).unwrap();
        let statements = document["Statement"].as_array().unwrap();
        let actions = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap());
        let said: BTreeSet<&str> = actions.map(|action| action.as_str().unwrap()).collect();
        let rights = table["reader"].keys().chain(table[role].keys());
        assert_eq!(said, rights.map(String::as_str).collect(), "{role}");
        let wide = statements.iter().filter(|statement| statement["Resource"] == json!(["*"]));
        let wide: Vec<&Value> = wide.map(|statement| &statement["Sid"]).collect();
        assert_eq!(wide, ["Any"], "{role}: on everything only what AWS lets nobody narrow");
    }
}
