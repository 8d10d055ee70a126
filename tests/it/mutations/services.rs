//! What is done to ECS services, their task definitions and their tasks.

use super::{Row, befall, check, verdicts};
use crate::support::desk::Desk;
use crate::support::lab::lab;
use serde_json::json;

#[test]
fn what_is_done_to_a_service_is_told_as_what_it_is() {
    let registry = &lab().env["IMGCTL_LAB_REGISTRY"];
    let pushed = |tag: &str| format!("{registry}/{}", lab().ctl(&["push", &format!("team/svcmut:{tag}")]));
    let [good, bad, dying] = ["1", "2", "3"].map(pushed);
    // ECS gives a deployment of this one up, and goes back by itself.
    lab().post("container-image", &json!({"image": dying, "health": "exit"}));
    let state = |state: &str| json!({"kind": "state", "state": state});
    let by_tag = format!("{registry}/team/svcmut:1");
    let rows: Vec<Row> = vec![
        ("svc-updated", vec![json!({"kind": "update", "image": bad, "at_once": true})], "tampered"),
        ("svc-registered", vec![json!({"kind": "register", "image": bad})], "in-sync"),
        // "Existing services that reference an INACTIVE task definition can still scale" (ECS API, DeregisterTaskDefinition),
        // and so can those of one that is to be deleted (DeleteTaskDefinitions).
        ("svc-deregistered", vec![state("inactive")], "in-sync"),
        ("svc-definition-deleted", vec![state("inactive"), state("delete-in-progress")], "in-sync"),
        ("svc-strays", vec![json!({"kind": "stray", "image": bad, "count": 1})], "mixed"),
        ("svc-scaled", vec![json!({"kind": "scale", "size": 2})], "in-sync"),
        ("svc-by-tag", vec![json!({"kind": "update", "image": by_tag, "at_once": true})], "floating"),
        ("svc-given-up", vec![json!({"kind": "update", "image": dying})], "undone"),
        ("svc-deleted", vec![json!({"kind": "delete"})], "gone"),
    ];
    let target = |(name, ..): &Row| {
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
    befall(&desk, "service/change", "name", &rows);
    // ECS looked the tag up when the deployment began, and keeps to that.
    let moved = lab().ctl(&["push", "team/svcmut:1", "--content", "another"]);
    assert!(!good.ends_with(moved.split_once('@').unwrap().1), "{moved}");
    // ECS needs a moment to give it up; the last deployment is then the one before.
    let said = (0..200).map(|_| desk.run(&["drift"]).out).find(|said| said.contains("was rolled back by the platform"));
    assert!(said.is_some(), "ECS's own rollback is told: {}", desk.run(&["drift"]).out);
    check(&desk, &[], &verdicts(&rows));
}
