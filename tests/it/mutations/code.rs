//! What is done to groups that code speaks of as well: who of the three is wrong then.

use super::{Row, befall, check, verdicts};
use crate::support::desk::Desk;
use crate::support::lab::lab;
use serde_json::{Value, json};
use std::fs;

/// A state that was written before the group's release: its template at version 1, and the group at that.
fn resources(group: &str, image: &str) -> [Value; 2] {
    let id = &lab().show(group)["config"]["template_id"];
    let template = json!({"id": id, "name": group, "image_id": image, "latest_version": 1, "default_version": 1});
    let follows = json!({"name": group, "launch_template": [{"id": id, "version": "1"}]});
    [("aws_launch_template", template), ("aws_autoscaling_group", follows)].map(|(kind, attributes)| {
        json!({"mode": "managed", "type": kind, "name": group, "instances": [{"attributes": attributes}]})
    })
}

/// Terraform moves the template and the group, and with no instance refresh nothing else.
#[test]
fn what_is_done_where_code_speaks_too_is_told_as_who_is_wrong() {
    let [old, new, third] = ["code-1", "code-2", "code-3"].map(|name| lab().ami(name, &json!({})));
    let applied = || json!({"kind": "version", "version": "1"});
    let rows: Vec<Row> = vec![
        ("code-released", Vec::new(), "stale-code"),
        ("code-applied", vec![applied()], "mixed reverted"),
        ("code-rolled-out", vec![applied(), json!({"kind": "replace-instances", "count": 1})], "reverted"),
        ("code-and-somebody", vec![json!({"kind": "template-version", "ami": third})], "conflict mixed"),
    ];
    let names: Vec<&str> = rows.iter().map(|(name, ..)| *name).collect();
    let desk = Desk::new("code/prod", &names, "");
    for name in &names {
        desk.lab.group(name, &old, &json!({"size": 1}));
    }
    let resources: Vec<Value> = names.iter().flat_map(|name| resources(name, &old)).collect();
    let state =
        json!({"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "l", "resources": resources});
    fs::write(desk.path("terraform.tfstate"), state.to_string()).unwrap();
    desk.done(&["record", "code@1", &old]);
    desk.done(&["record", "code@2", &new]);
    desk.done(&["promote", "code@1", "prod", "--yes"]);
    let with_code = ["--state", "terraform.tfstate"];
    check(&desk, &with_code, &names.iter().map(|name| (*name, "in-sync")).collect::<Vec<_>>());
    desk.done(&["promote", "code@2", "prod", "--yes"]);
    befall(&desk, "drift", "group", &rows);
    check(&desk, &with_code, &verdicts(&rows));
}
