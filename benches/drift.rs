//! `imgctl drift` beside `terraform plan -refresh-only`, over the same groups in the same lab, in one run.

use crate::figures::Figures;
use crate::lab::Lab;
use crate::process::{Watched, imgctl, watched};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// How far away AWS is, in milliseconds a call.
const LATENCIES: [u32; 2] = [0, 30];

pub fn drift(figures: &mut Figures) {
    let dir = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let configuration = dir.path().join("lab.tfrc");
    let found = Command::new(root.join("tests/lab/terraform-rc")).arg(&configuration).output().unwrap();
    if !found.status.success() {
        println!("drift: skipped: {}", String::from_utf8_lossy(&found.stderr).trim());
        return;
    }
    let lab = Lab::start();
    std::fs::copy(root.join("benches/drift/main.tf"), dir.path().join("main.tf")).unwrap();
    let ami = lab.ask("POST", "ami", &json!({"name": "web-1"}))["image_id"].as_str().unwrap().to_owned();
    let bench = Bench { lab, dir, ami };
    bench.terraform(&["init", "-no-color"], 0);
    bench.imgctl(&["init", "--ledger", "ledger"], 0);
    bench.imgctl(&["record", "web@1", &bench.ami], 0);
    for groups in [50, 200, 500] {
        bench.terraform(&["apply", "-auto-approve", "-no-color"], groups);
        // The first refresh after an apply normalizes the state; it is not what is measured.
        bench.terraform(&["apply", "-refresh-only", "-auto-approve", "-no-color"], groups);
        std::fs::write(bench.dir.path().join("imgctl.toml"), config(groups)).unwrap();
        bench.imgctl(&["promote", "web@1", "prod", "--yes"], groups);
        for latency in LATENCIES {
            bench.lab.ask("POST", "latency", &json!({"ms": latency}));
            bench.compare(figures, groups, latency);
        }
        bench.lab.ask("POST", "latency", &json!({"ms": 0}));
    }
}

fn config(groups: usize) -> String {
    let target = |number: usize| {
        format!("[[channels.web.prod.targets]]\nid = \"web-{number}\"\nkind = \"asg\"\nname = \"web-{number}\"\n")
    };
    let targets: String = (0..groups).map(target).collect();
    let iac = "[[channels.web.prod.iac]]\nkind = \"terraform-state\"\nsource = \"terraform.tfstate\"\n";
    format!("[ledger]\npath = \"ledger\"\n\n[aws]\nregion = \"eu-west-1\"\n\n{targets}\n{iac}")
}

struct Bench {
    lab: Lab,
    dir: tempfile::TempDir,
    ami: String,
}

impl Bench {
    fn run(&self, command: &Command) -> (Watched, f64) {
        let since = self.lab.ask("GET", "calls?since=0", &Value::Null)["next"].clone();
        let watched = watched(command).expect("GNU time is installed: apt install time");
        let calls = self.lab.ask("GET", &format!("calls?since={since}"), &Value::Null);
        (watched, calls["calls"].as_array().unwrap().len() as f64)
    }

    fn terraform(&self, arguments: &[&str], groups: usize) -> (Watched, f64) {
        let mut command = Command::new("terraform");
        command.current_dir(self.dir.path()).args(arguments).envs(&self.lab.env).env("CHECKPOINT_DISABLE", "1");
        command.env("TF_CLI_CONFIG_FILE", self.dir.path().join("lab.tfrc"));
        command.env("TF_VAR_groups", groups.to_string()).env("TF_VAR_ami_id", &self.ami);
        command.env("TF_VAR_endpoint", &self.lab.env["AWS_ENDPOINT_URL"]);
        let ran = self.run(&command);
        // With -detailed-exitcode it says 2 for drift that is none.
        assert!([0, 2].contains(&ran.0.code), "terraform {arguments:?}: {}{}", ran.0.out, ran.0.err);
        ran
    }

    fn imgctl(&self, arguments: &[&str], groups: usize) -> (Watched, f64) {
        let mut command = imgctl();
        command.current_dir(self.dir.path()).args(arguments).envs(&self.lab.env);
        let ran = self.run(&command);
        assert_eq!(ran.0.code, 0, "imgctl {arguments:?} over {groups} groups: {}{}", ran.0.out, ran.0.err);
        ran
    }

    fn compare(&self, figures: &mut Figures, groups: usize, latency: u32) {
        let plan = ["plan", "-refresh-only", "-detailed-exitcode", "-no-color", "-input=false"];
        let _nothing_was_kept = std::fs::remove_file(self.dir.path().join("ledger/facts"));
        let (cold, cold_calls) = self.imgctl(&["drift"], groups);
        let (peer, peer_calls) = self.terraform(&plan, groups);
        let (warm, warm_calls) = self.imgctl(&["drift"], groups);
        let (wide, _) = self.terraform(&[&plan[..], &["-parallelism=50"]].concat(), groups);
        let name = |figure: &str| format!("drift.{groups}.{figure}");
        let (refresh, faster) = ("terraform plan -refresh-only", "terraform plan -refresh-only -parallelism=50");
        if latency == 0 {
            figures.add(&name("calls"), cold_calls, "calls", refresh, peer_calls);
            figures.add(&name("warm_calls"), warm_calls, "calls", refresh, peer_calls);
            figures.add(&name("cpu"), cold.cpu, "s", refresh, peer.cpu);
            figures.add(&name("peak_rss"), cold.peak, "MB", refresh, peer.peak);
            figures.add(&name("wall"), cold.seconds, "s", refresh, peer.seconds);
        } else {
            figures.add(&name(&format!("wall_{latency}ms")), cold.seconds, "s", refresh, peer.seconds);
            figures.add(&name(&format!("warm_wall_{latency}ms")), warm.seconds, "s", faster, wide.seconds);
        }
        println!("drift.{groups}: terraform's exit code {}, imgctl's {}", peer.code, cold.code);
    }
}
