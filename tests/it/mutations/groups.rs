//! What is done to Auto Scaling groups, their templates, instances and images.

use super::{Row, befall, check, verdicts};
use crate::support::desk::Desk;
use crate::support::lab::lab;
use serde_json::{Value, json};

fn one(kind: &str) -> Value {
    json!({"kind": kind})
}

fn with(kind: &str, key: &str, value: Value) -> Value {
    json!({"kind": kind, key: value})
}

fn groups(bad: &str) -> Vec<Row> {
    let template = |kind: &str| with(kind, "ami", json!(bad));
    let tags = || json!({"seen": "yes"});
    vec![
        ("mut-version-made", vec![template("new-version")], "in-sync"),
        ("mut-default-moved", vec![template("default-version")], "in-sync"),
        ("mut-at-default", vec![one("default"), template("default-version")], "floating mixed tampered"),
        ("mut-at-latest", vec![one("latest"), template("new-version")], "floating mixed tampered"),
        ("mut-to-latest", vec![one("latest")], "floating"),
        ("mut-pointed", vec![template("template-version")], "mixed tampered"),
        ("mut-other-template", vec![template("other-template")], "mixed tampered"),
        ("mut-template-deleted", vec![one("delete-template")], "dangling"),
        (
            "mut-applied-and-replaced",
            vec![template("template-version"), with("replace-instances", "count", json!(1))],
            "tampered",
        ),
        ("mut-launched-outside", vec![with("launch-outside", "ami", json!(bad))], "mixed"),
        ("mut-replaced", vec![with("replace-instances", "count", json!(1))], "in-sync"),
        ("mut-scaled", vec![with("scale", "size", json!(2))], "in-sync"),
        ("mut-suspended", vec![with("suspend", "processes", json!(["Launch", "Terminate"]))], "in-sync"),
        ("mut-tagged-group", vec![with("tag-group", "tags", tags())], "in-sync"),
        ("mut-tagged-template", vec![with("tag-template", "tags", tags())], "in-sync"),
        ("mut-tagged-instances", vec![with("tag-instances", "tags", tags())], "in-sync"),
        ("mut-group-deleted", vec![one("delete-group")], "gone"),
        ("mut-protected", vec![one("protect")], "in-sync"),
    ]
}

/// Groups that launch the first image, and have been promoted to it.
fn desk(name: &str, rows: &[Row], image: &str, more: &Value) -> Desk {
    let names: Vec<&str> = rows.iter().map(|(name, ..)| *name).collect();
    let desk = Desk::new(&format!("{name}/prod"), &names, "");
    for name in &names {
        desk.lab.group(name, image, more);
    }
    desk.done(&["record", &format!("{name}@1"), image]);
    desk.done(&["promote", &format!("{name}@1"), "prod", "--yes"]);
    desk
}

#[test]
fn what_is_done_to_a_group_is_told_as_what_it_is() {
    let [good, bad] = ["mut-1", "mut-2"].map(|name| lab().ami(name, &json!({})));
    let rows = groups(&bad);
    let desk = desk("mut", &rows, &good, &json!({"size": 1}));
    befall(&desk, "drift", "group", &rows);
    check(&desk, &[], &verdicts(&rows));
    let said = desk.run(&["drift"]).out;
    let line = said.lines().find(|line| line.contains("mut-template-deleted")).unwrap();
    assert!(
        line.contains("of launch template lt-") && line.ends_with("which is not there: the next launch fails"),
        "{line}"
    );
    let plan = desk.run(&["promote", "mut@1", "prod", "--plan"]);
    assert_eq!(plan.exit, 3, "{}{}", plan.out, plan.err);
    assert!(
        plan.out.contains("update-auto-scaling-group --auto-scaling-group-name mut-template-deleted"),
        "{}",
        plan.err
    );
}

/// A group of two instance types, one of them with a launch template of its own.
#[test]
fn what_is_done_to_one_part_of_a_mixed_policy_is_told_of_that_part() {
    let [good, bad] = ["mix-1", "mix-2"].map(|name| lab().ami(name, &json!({})));
    let rows: Vec<Row> = vec![
        ("mix-base", vec![with("template-version", "ami", json!(bad))], "in-sync tampered"),
        ("mix-override", vec![with("override-version", "ami", json!(bad))], "in-sync tampered"),
        (
            "mix-added",
            vec![json!({"kind": "add-override", "instance_type": "t3.large", "ami": bad})],
            "in-sync untracked",
        ),
        ("mix-distribution", vec![with("distribution", "distribution", json!({"OnDemandBaseCapacity": 2}))], "in-sync"),
    ];
    let overrides = json!([{"instance_type": "t3.micro"}, {"instance_type": "t3.small", "ami": good}]);
    let distribution = json!({"OnDemandBaseCapacity": 1});
    let more = json!({"size": 2, "mixed": overrides, "distribution": distribution});
    let desk = desk("mix", &rows, &good, &more);
    befall(&desk, "drift", "group", &rows);
    check(&desk, &[], &verdicts(&rows));
    let said = desk.run(&["drift"]).out;
    for line in ["mix-base template  tampered", "mix-override t3.small  tampered", "mix-added t3.large  untracked"] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn a_group_that_nobody_may_look_at_any_more_is_unknown_and_the_audit_partial() {
    let image = lab().ami("denied-1", &json!({}));
    let rows: Vec<Row> = vec![("denied", Vec::new(), "in-sync")];
    let desk = desk("denied", &rows, &image, &json!({"size": 1}));
    let fault = json!({"kind": "denied", "action": "DescribeAutoScalingGroups", "about": "denied", "times": 1});
    desk.lab.post("fault", &fault);
    let looked = desk.run(&["drift"]);
    assert_eq!(looked.exit, 1, "{}{}", looked.out, looked.err);
    assert!(looked.out.contains("denied/prod denied  unreachable"), "{}", looked.out);
    check(&desk, &[], &verdicts(&rows));
}

/// What is done to the image itself: no target is touched, and nobody but a scale-out would notice.
#[test]
fn an_image_that_can_no_longer_be_launched_is_found_before_a_scale_out_finds_it() {
    for (name, deed, kinds) in [
        ("mut-deregistered", json!({"deregister": true}), "dangling"),
        ("mut-disabled", json!({"state": "disabled"}), "dangling"),
        ("mut-deprecated", json!({"deprecate_at": "2020-01-01T00:00:00Z"}), "in-sync"),
        ("mut-tagged", json!({"tags": {"seen": "yes"}}), "in-sync"),
    ] {
        let desk = Desk::new(&format!("{name}/prod"), &[name], "");
        let ami = desk.lab.ami(name, &json!({}));
        desk.lab.post("group", &json!({"name": name, "ami": ami, "size": 1}));
        desk.done(&["record", &format!("{name}@1"), &ami]);
        desk.done(&["promote", &format!("{name}@1"), "prod", "--yes"]);
        let mut deed = deed.clone();
        deed["image_id"] = json!(ami);
        desk.lab.post("image", &deed);
        check(&desk, &[], &[(name, kinds)]);
    }
}
