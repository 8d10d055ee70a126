//! API calls of the verbs, counted from the lab's call log: they do not depend on the machine.

use crate::figures::Figures;
use crate::lab::Lab;
use crate::process::imgctl;
use serde_json::json;

pub fn calls(figures: &mut Figures, groups: usize) {
    let lab = Lab::start();
    let dir = tempfile::tempdir().unwrap();
    let images: Vec<String> = ["web-1", "web-2"]
        .iter()
        .map(|name| lab.ask("POST", "ami", &json!({"name": name}))["image_id"].as_str().unwrap().to_owned())
        .collect();
    let made = lab.ask("POST", "groups", &json!({"count": groups, "prefix": "web-", "ami": images[0], "size": 1}));
    let names: Vec<&str> = made["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let targets = names.iter().map(|name| {
        format!("[[channels.web.prod.targets]]\nid = \"{name}\"\nkind = \"asg\"\nname = \"{name}\"\npoll_interval = \"1s\"\n")
    });
    let config = format!("[ledger]\npath = \"ledger\"\n\n{}", targets.collect::<String>());
    let run = |arguments: &[&str], codes: &[i32]| -> f64 {
        let since = lab.ask("GET", "calls", &json!({}))["next"].clone();
        let output = imgctl().current_dir(dir.path()).envs(&lab.env).args(arguments).output().unwrap();
        let code = output.status.code().unwrap_or(-1);
        assert!(codes.contains(&code), "{arguments:?}: {code}\n{}", String::from_utf8_lossy(&output.stderr));
        let calls = lab.ask("GET", &format!("calls?since={since}"), &json!({}));
        f64::from(u32::try_from(calls["calls"].as_array().unwrap().len()).unwrap())
    };
    run(&["init", "--ledger", "ledger"], &[0]);
    std::fs::write(dir.path().join("imgctl.toml"), config).unwrap();
    run(&["record", "web@1", &images[0]], &[0]);
    run(&["record", "web@2", &images[1]], &[0]);
    run(&["promote", "web@1", "prod", "--yes"], &[0]);
    let count = |groups: usize| f64::from(u32::try_from(groups).unwrap());
    // What cannot be saved: a template version and a refresh for each group.
    let writes = 2.0 * count(groups);
    let promote = run(&["promote", "web@2", "prod", "--yes"], &[0]);
    figures.add(&format!("promote.{groups}.calls"), promote, "calls", "the two writes a group needs", writes);
    let rollback = run(&["rollback", "web/prod", "--yes"], &[0]);
    figures.add(&format!("rollback.{groups}.calls"), rollback, "calls", "the two writes a group needs", writes);
    // Five hundred are looked at beside Terraform itself.
    if groups < 500 {
        let drift = run(&["drift"], &[0, 2]);
        // One group, its template's version and its instances, asked one by one, as Terraform's provider does.
        let peer = 3.0 * count(groups);
        figures.add(&format!("drift.{groups}.calls"), drift, "calls", "three reads a group, one by one", peer);
    }
}
