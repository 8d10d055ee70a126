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
