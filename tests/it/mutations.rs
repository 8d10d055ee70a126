//! What somebody changes behind imgctl's back, and what drift says of it: the table of the README, row by row. What Terraform
//! says of the same was measured with the real provider, and stands there beside it.

use crate::support::desk::Desk;
use crate::support::lab::lab;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A group, what is done to it (bodies of the lab's `drift`), and every kind of finding on it.
type Row = (&'static str, Vec<Value>, &'static str);

fn groups(bad: &str) -> Vec<Row> {
    let one = |kind: &str| json!({"kind": kind});
    let with = |kind: &str, key: &str, value: Value| json!({"kind": kind, key: value});
    let template = |kind: &str| with(kind, "ami", json!(bad));
    vec![
        ("mut-version-made", vec![template("new-version")], "in-sync"),
        ("mut-default-moved", vec![template("default-version")], "in-sync"),
        ("mut-at-default", vec![one("default"), template("default-version")], "floating mixed tampered"),
        ("mut-at-latest", vec![one("latest"), template("new-version")], "floating mixed tampered"),
        ("mut-to-latest", vec![one("latest")], "floating"),
        ("mut-pointed", vec![template("template-version")], "mixed tampered"),
        (
            "mut-applied-and-replaced",
            vec![template("template-version"), with("replace-instances", "count", json!(1))],
            "tampered",
        ),
        ("mut-launched-outside", vec![with("launch-outside", "ami", json!(bad))], "mixed"),
        ("mut-replaced", vec![with("replace-instances", "count", json!(1))], "in-sync"),
        ("mut-scaled", vec![with("scale", "size", json!(2))], "in-sync"),
        ("mut-group-deleted", vec![one("delete-group")], "gone"),
        ("mut-protected", vec![one("protect")], "in-sync"),
    ]
}

/// Kinds of findings by target.
fn found(desk: &Desk) -> BTreeMap<String, BTreeSet<String>> {
    let ran = desk.run(&["drift", "--json"]);
    let document: Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err));
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for finding in document["findings"].as_array().unwrap() {
        let word = |key: &str| finding[key].as_str().unwrap().to_owned();
        found.entry(word("target")).or_default().insert(word("kind"));
    }
    found
}

fn check(desk: &Desk, rows: &[(&str, &str)]) {
    let found = found(desk);
    let said =
        |target: &str| -> String { found.get(target).into_iter().flatten().cloned().collect::<Vec<_>>().join(" ") };
    let wrong: Vec<String> = rows
        .iter()
        .filter(|(target, kinds)| said(target) != *kinds)
        .map(|(target, kinds)| format!("{target}: {}, and not {kinds}", said(target)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_done_to_a_group_is_told_as_what_it_is() {
    let [good, bad] = ["mut-1", "mut-2"].map(|name| lab().ami(name, &json!({})));
    let rows = groups(&bad);
    let names: Vec<&str> = rows.iter().map(|(name, ..)| *name).collect();
    let desk = Desk::new("mut/prod", &names, "");
    for name in &names {
        desk.lab.post("group", &json!({"name": name, "ami": good, "size": 1}));
    }
    desk.done(&["record", "mut@1", &good]);
    desk.done(&["promote", "mut@1", "prod", "--yes"]);
    for (name, deeds, _) in &rows {
        for deed in deeds {
            let mut deed = deed.clone();
            deed["group"] = json!(name);
            desk.lab.post("drift", &deed);
        }
    }
    let rows: Vec<(&str, &str)> = rows.iter().map(|(name, _, kinds)| (*name, *kinds)).collect();
    check(&desk, &rows);
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
        check(&desk, &[(name, kinds)]);
    }
}

#[test]
fn what_is_done_to_a_service_is_told_as_what_it_is() {
    let registry = &lab().env["IMGCTL_LAB_REGISTRY"];
    let pushed = |tag: &str| format!("{registry}/{}", lab().ctl(&["push", &format!("team/svcmut:{tag}")]));
    let [good, bad, dying] = ["1", "2", "3"].map(pushed);
    // ECS gives a deployment of this one up, and goes back by itself.
    lab().post("container-image", &json!({"image": dying, "health": "exit"}));
    let rows = [
        ("svc-updated", json!({"kind": "update", "image": bad, "at_once": true}), "tampered"),
        ("svc-registered", json!({"kind": "register", "image": bad}), "in-sync"),
        ("svc-strays", json!({"kind": "stray", "image": bad, "count": 1}), "mixed"),
        ("svc-scaled", json!({"kind": "scale", "size": 2}), "in-sync"),
        (
            "svc-by-tag",
            json!({"kind": "update", "image": format!("{registry}/team/svcmut:1"), "at_once": true}),
            "floating",
        ),
        ("svc-given-up", json!({"kind": "update", "image": dying}), "in-sync"),
        ("svc-deleted", json!({"kind": "delete"}), "gone"),
    ];
    let target = |(name, ..): &(&str, Value, &str)| {
        format!(
            "\n[[channels.svc.prod.targets]]\nid = \"{name}\"\nkind = \"ecs\"\ncluster = \"main\"\nservice = \"{name}\"\n\
             container = \"app\"\nregion = \"eu-west-1\"\npoll_interval = \"100ms\"\n"
        )
    };
    let targets: String = rows.iter().map(target).collect();
    let desk = Desk::new("svc/prod", &[], &format!("{targets}\n[registries.\"{registry}\"]\nplain_http = true\n"));
    for (name, ..) in &rows {
        desk.lab.post("service", &json!({"name": name, "image": good, "size": 1, "circuit_breaker": true}));
    }
    desk.done(&["record", "svc@1", &good]);
    desk.done(&["promote", "svc@1", "prod", "--yes"]);
    for (name, deed, _) in &rows {
        let mut deed = deed.clone();
        deed["name"] = json!(name);
        desk.lab.post("service/change", &deed);
    }
    // ECS needs a moment to give it up; the last deployment is then the one before.
    let said = (0..200).map(|_| desk.run(&["drift"]).out).find(|said| said.contains("was rolled back by the platform"));
    assert!(said.is_some(), "ECS's own rollback is told: {}", desk.run(&["drift"]).out);
    check(&desk, &rows.each_ref().map(|(name, _, kinds)| (*name, *kinds)));
}
