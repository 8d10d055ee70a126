//! What somebody changes behind imgctl's back, and what drift says of it: the table of the README, row by row. What Terraform
//! says of the same was measured with the real provider, and stands there beside it.

mod code;
mod groups;
mod parameters;
mod read_only;
mod services;
mod undone;

use crate::support::desk::Desk;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A target, what is done to it (bodies of a request to the lab), and every kind of finding on it.
type Row = (&'static str, Vec<Value>, &'static str);

/// Kinds of findings by target.
fn found(desk: &Desk, more: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let ran = desk.run(&[&["drift", "--json"], more].concat());
    let document: Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err));
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for finding in document["findings"].as_array().unwrap() {
        let word = |key: &str| finding[key].as_str().unwrap().to_owned();
        found.entry(word("target")).or_default().insert(word("kind"));
    }
    found
}

#[track_caller]
fn check(desk: &Desk, more: &[&str], rows: &[(&str, &str)]) {
    let found = found(desk, more);
    let said =
        |target: &str| -> String { found.get(target).into_iter().flatten().cloned().collect::<Vec<_>>().join(" ") };
    let wrong: Vec<String> = rows
        .iter()
        .filter(|(target, kinds)| said(target) != *kinds)
        .map(|(target, kinds)| format!("{target}: {}, and not {kinds}", said(target)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Does to each target what its row says, in order; `key` is what the request calls a target.
fn befall(desk: &Desk, request: &str, key: &str, rows: &[Row]) {
    for (name, deeds, _) in rows {
        for deed in deeds {
            let mut deed = deed.clone();
            deed[key] = json!(name);
            desk.lab.post(request, &deed);
        }
    }
}

fn verdicts(rows: &[Row]) -> Vec<(&'static str, &'static str)> {
    rows.iter().map(|(name, _, kinds)| (*name, *kinds)).collect()
}
