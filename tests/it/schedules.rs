//! What looks for drift by the clock (`docs/audit`, `terraform/modules/audit`) says words that imgctl knows.

use crate::support::desk::{Desk, ran};
use crate::support::lab::{imgctl, root};
use crate::support::skipped::skipped;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

fn text(name: &str) -> String {
    fs::read_to_string(root().join("docs/audit").join(name)).unwrap()
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&text(name)).unwrap()
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// The command of each file, from `imgctl` on.
fn commands() -> Vec<Vec<String>> {
    let unit = text("imgctl-drift.service");
    let exec = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/")).unwrap();
    let job = yaml("cronjob.yaml");
    let container = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
    let job: Vec<String> = serde_json::from_value(container["command"].clone()).unwrap();
    let workflow = yaml("github-actions.yml");
    let steps = workflow["jobs"]["drift"]["steps"].as_array().unwrap();
    let step = steps.iter().find_map(|step| step["run"].as_str()).unwrap();
    vec![words(exec), job, words(step)]
}

#[test]
fn what_runs_by_the_clock_is_a_command_that_imgctl_has() {
    let desk = Desk::new("clock/prod", &["clock"], "");
    let amis = ["clock-1", "clock-2"].map(|name| desk.lab.ami(name, &json!({})));
    desk.lab.group("clock", &amis[0], &json!({"size": 1}));
    desk.done(&["record", "clock@1", &amis[0]]);
    desk.done(&["promote", "clock@1", "prod", "--yes"]);
    let run = |command: &[String]| {
        assert_eq!(command[0], "imgctl");
        ran(&mut desk.command(&command[1..]))
    };
    for command in commands() {
        let looked = run(&command);
        assert_eq!(looked.exit, 0, "{command:?}: {}{}", looked.out, looked.err);
    }
    // And it is heard by the exit code that they wait for; what the first has recorded is not new to the second.
    desk.lab.post("drift", &json!({"group": "clock", "kind": "template-version", "ami": amis[1]}));
    for (command, exit) in commands().iter().zip([2, 0, 2]) {
        let looked = run(command);
        assert_eq!(looked.exit, exit, "{command:?}: {}{}", looked.out, looked.err);
    }
}

#[test]
fn the_units_are_what_systemd_takes() {
    let test = "schedules::the_units_are_what_systemd_takes";
    let folder = crate::support::lab::scratch();
    for name in ["imgctl-drift.service", "imgctl-drift.timer"] {
        let unit = text(name).replace("/usr/local/bin/imgctl", &imgctl().display().to_string());
        fs::write(folder.path().join(name), unit).unwrap();
    }
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no", "--recursive-errors=no"]).arg(folder.path().join("imgctl-drift.timer"));
    command.arg(folder.path().join("imgctl-drift.service"));
    match command.output() {
        Ok(verified) => assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr)),
        Err(_) => skipped(test, "systemd-analyze is not on PATH"),
    }
}
