//! A fleet of 500 groups, 500 services and 500 workloads: the calls that observing takes, cold and warm, and its wall time.

use crate::figures::Figures;
use crate::lab::Lab;
use crate::process::imgctl;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

const MANY: usize = 500;
/// What every call to AWS waits, in milliseconds: about as long as one to a region of another continent.
const LATENCY: f64 = 50.0;

/// What a plan asks of each target alone: of a group its refresh and a dry run, of a service its deployments, of a
/// workload a dry run.
const ONE_BY_ONE: usize = 4;

/// What must be read anew each time, by how much of it one call tells: groups, the heads of their templates, their
/// instances (1,000 of all of them), services, tasks (listed and described), workloads.
fn listings() -> f64 {
    let calls = |a_call: usize| MANY.div_ceil(a_call);
    (calls(100) + calls(200) + calls(1000) + calls(10) + 2 * calls(100) + calls(500)) as f64
}

/// What one command asked, and how long it took.
struct Asked {
    by_action: BTreeMap<String, usize>,
    seconds: f64,
    /// How long its calls to AWS took, one after the other.
    in_a_row: f64,
}

impl Asked {
    fn calls(&self) -> f64 {
        self.by_action.values().sum::<usize>() as f64
    }
}

pub fn fleet(figures: &mut Figures) {
    let lab = Lab::start();
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], codes: &[i32]| run(&lab, dir.path(), arguments, codes);
    run(&["init", "--ledger", "ledger"], &[0]);
    let config = format!("[ledger]\npath = \"ledger\"\n{}", seed(&lab, &run));
    std::fs::write(dir.path().join("imgctl.toml"), config).unwrap();
    lab.ask("POST", "latency", &json!({"ms": LATENCY}));
    let plan: &[&str] = &["promote", "fleet@2", "prod", "--plan"];
    for (name, arguments, codes, one_by_one) in [
        ("status.cold", &["status"][..], &[0][..], 0),
        ("status.warm", &["status"], &[0], 0),
        ("drift.warm", &["drift"], &[0, 2], 0),
        ("plan.cold", plan, &[0], ONE_BY_ONE),
        ("plan.warm", plan, &[0], ONE_BY_ONE),
    ] {
        let asked = run(arguments, codes);
        println!("{name}: {:?}", asked.by_action);
        let peer =
            if one_by_one == 0 { "the listing calls" } else { "the listing calls, and four that tell of one target" };
        figures.add(&format!("{name}.calls"), asked.calls(), "calls", peer, listings() + (one_by_one * MANY) as f64);
        let peer = format!("its calls to AWS one by one, {LATENCY} ms away");
        figures.add(&format!("{name}.wall"), asked.seconds, "s", &peer, asked.in_a_row);
    }
    std::fs::remove_file(dir.path().join("ledger/facts")).unwrap();
    lab.ask("POST", "fault", &json!({"kind": "throttle", "share": 0.3, "forever": true}));
    let asked = run(&["status"], &[0]);
    let peer = "ten for every seven that are answered";
    let name = "status.throttled";
    figures.add(&format!("{name}.calls"), asked.calls(), "calls", peer, (listings() + MANY as f64) / 0.7);
    println!("{name}: {:.0} s", asked.seconds);
}

/// Two images, and everything running the first; the config's targets.
fn seed(lab: &Lab, run: &dyn Fn(&[&str], &[i32]) -> Asked) -> String {
    let registry = &lab.env["IMGCTL_LAB_REGISTRY"];
    let mut first = None;
    for version in ["1", "2"] {
        let ami = lab.ask("POST", "ami", &json!({"name": format!("fleet-{version}")}));
        let ami = ami["image_id"].as_str().unwrap().to_owned();
        let pushed = lab.ctl(&["push", &format!("team/fleet:{version}")]);
        run(&["record", &format!("fleet@{version}"), &ami, &format!("{registry}/team/fleet:{version}")], &[0]);
        first.get_or_insert((ami, format!("{registry}/{pushed}")));
    }
    let (ami, image) = first.unwrap();
    let many = |prefix: &str| json!({"count": MANY, "prefix": prefix, "ami": ami, "image": image, "size": 1});
    let groups = lab.ask("POST", "groups", &many("group"));
    let services = lab.ask("POST", "services", &many("service"));
    let workloads = json!({"workload": "deployment/web", "count": MANY, "images": {"app": image}, "replicas": 1});
    lab.ask_of("IMGCTL_LAB_KUBERNETES", "POST", "workload", &workloads);
    let mut targets = String::new();
    let mut target = |id: &str, rest: &str| {
        writeln!(targets, "\n[[channels.fleet.prod.targets]]\nid = \"{id}\"\n{rest}").unwrap();
    };
    for name in names(&groups) {
        target(name, &format!("kind = \"asg\"\nname = \"{name}\""));
    }
    for name in names(&services) {
        target(name, &format!("kind = \"ecs\"\ncluster = \"main\"\nservice = \"{name}\"\ncontainer = \"app\""));
    }
    for number in 0..MANY {
        let rest = format!("kind = \"kubernetes\"\nworkload = \"deployment/web-{number}\"\ncontainer = \"app\"");
        target(&format!("workload-{number}"), &rest);
    }
    targets
}

fn names(made: &Value) -> impl Iterator<Item = &str> {
    made["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap())
}

fn run(lab: &Lab, dir: &Path, arguments: &[&str], codes: &[i32]) -> Asked {
    let nothing = Value::Null;
    let peers = ["AWS_ENDPOINT_URL", "IMGCTL_LAB_KUBERNETES"];
    let since = peers.map(|peer| lab.ask_of(peer, "GET", "calls?since=0", &nothing)["next"].clone());
    let start = Instant::now();
    let output = imgctl().current_dir(dir).envs(&lab.env).args(arguments).output().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let code = output.status.code().unwrap_or(-1);
    assert!(codes.contains(&code), "{arguments:?}: {code}\n{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains("throttled"), "a target could not be read: {said}");
    let mut asked = Asked { by_action: BTreeMap::new(), seconds, in_a_row: 0.0 };
    for (peer, since) in peers.into_iter().zip(since) {
        let calls = lab.ask_of(peer, "GET", &format!("calls?since={since}"), &nothing);
        for call in calls["calls"].as_array().unwrap() {
            // A cluster's requests have a method, and AWS's an action.
            let action = call["action"].as_str().or(call["method"].as_str()).unwrap().to_owned();
            *asked.by_action.entry(action).or_default() += 1;
            asked.in_a_row += call["ms"].as_f64().unwrap_or_default() / 1000.0;
        }
    }
    asked
}
