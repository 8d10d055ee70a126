//! What is done to SSM parameters: those that code reads to follow a channel, and those that a template reads itself.

use super::check;
use crate::support::desk::Desk;
use crate::support::lab::lab;
use serde_json::json;

const POINTER: &str = r#"
[[channels.par.prod.pointers]]
kind = "ssm"
name = "/mutations/par"
region = "eu-west-1"
"#;

#[test]
fn a_parameter_that_somebody_else_has_written_is_found_before_code_reads_it() {
    let [good, bad] = ["par-1", "par-2"].map(|name| lab().ami(name, &json!({})));
    let desk = Desk::new("par/prod", &["par"], POINTER);
    desk.lab.group("par", &good, &json!({"size": 1}));
    desk.done(&["record", "par@1", &good]);
    desk.done(&["promote", "par@1", "prod", "--yes"]);
    desk.done(&["pointer", "check"]);
    desk.lab.post("parameter", &json!({"name": "/mutations/par", "value": bad}));
    let checked = desk.run(&["pointer", "check"]);
    assert_eq!(checked.exit, 2, "{}{}", checked.out, checked.err);
    assert!([&*good, &*bad].iter().all(|id| checked.out.contains(id)), "{}", checked.out);
    // Nothing runs it yet.
    check(&desk, &[], &[("par", "in-sync")]);
    desk.done(&["pointer", "sync"]);
    desk.done(&["pointer", "check"]);
}

#[test]
fn a_template_that_reads_a_parameter_floats_and_is_what_it_leads_to_now() {
    let [good, bad] = ["alias-1", "alias-2"].map(|name| lab().ami(name, &json!({})));
    let desk = Desk::new("alias/prod", &["alias"], "");
    desk.lab.group("alias", &good, &json!({"size": 1}));
    desk.done(&["record", "alias@1", &good]);
    desk.done(&["promote", "alias@1", "prod", "--yes"]);
    let hold = |value: &str| desk.lab.post("parameter", &json!({"name": "/mutations/alias", "value": value}));
    hold(&good);
    let alias = "resolve:ssm:/mutations/alias";
    desk.lab.post("drift", &json!({"group": "alias", "kind": "template-version", "ami": alias}));
    check(&desk, &[], &[("alias", "floating")]);
    assert!(desk.run(&["drift"]).out.contains(&format!("{alias} → {good}@eu-west-1")), "what it leads to is told");
    hold(&bad);
    check(&desk, &[], &[("alias", "floating mixed tampered")]);
    hold("no image");
    check(&desk, &[], &[("alias", "dangling")]);
    assert!(desk.run(&["drift"]).out.contains(&format!("launches from {alias}, and the parameter holds no AMI's id")));
    let none = json!({"group": "alias", "kind": "template-version", "ami": "resolve:ssm:/mutations/none"});
    desk.lab.post("drift", &none);
    check(&desk, &[], &[("alias", "dangling")]);
    assert!(desk.run(&["drift"]).out.contains("/mutations/none, and there is no such parameter"));
    desk.lab.post("drift", &json!({"group": "alias", "kind": "template-version", "ami": alias}));
    hold(&good);
    // Without the right to read it nobody knows, and that is never in sync.
    lab().post("fault", &json!({"kind": "denied", "action": "GetParameter", "about": "/mutations/alias"}));
    let denied = desk.run(&["drift"]);
    assert!(
        denied.out.contains(&format!("where {alias} leads could not be read: SSM GetParameter of")),
        "{}",
        denied.out
    );
    check(&desk, &[], &[("alias", "floating")]);
}
