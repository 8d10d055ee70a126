//! Pointers read by the programs they are for: what imgctl has written is what Kustomize puts into the workloads.

use crate::support::desk::{Desk, hermetic, ran};
use crate::support::skipped::skipped;
use std::ffi::OsStr;
use std::fs;
use std::process::Command;

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: 'web:dev'}, {name: proxy, image: 'proxy:1.9'}]}
";

/// With a tag beside a digest, which versions of Kustomize read differently.
const KUSTOMIZATION: &str = "# The shop.
resources: [deployment.yaml]
images:
- name: proxy   # by the platform team
  newTag: \"1.10\"
- digest: sha256:1111111111111111111111111111111111111111111111111111111111111111
  name: web
  newTag: v1
";

/// A channel that a workload follows, with two images recorded; their addresses.
fn desk(name: &str, pointers: &str) -> (Desk, [String; 2]) {
    let desk = Desk::new(&format!("{name}/prod"), &[], "");
    let registry = desk.lab.env["IMGCTL_LAB_REGISTRY"].clone();
    let tag = |version: u32| format!("pointers/{name}:{version}");
    let image = format!("app={registry}/{}", tag(1));
    for version in [1, 2] {
        desk.lab.ctl(&["push", &tag(version)]);
    }
    desk.lab.ctl(&["workload", &format!("deployment/{name}"), "--image", &image]);
    let config = fs::read_to_string(desk.path("imgctl.toml")).unwrap();
    let target = format!(
        "\n[registries.\"{registry}\"]\nplain_http = true\n[[channels.{name}.prod.targets]]\nid = \"{name}\"\n\
         kind = \"kubernetes\"\nworkload = \"deployment/{name}\"\ncontainer = \"app\"\npoll_interval = \"100ms\"\n"
    );
    fs::write(desk.path("imgctl.toml"), config + &target + pointers).unwrap();
    let addresses = [1, 2].map(|version| {
        let recorded = desk.done(&["record", &format!("{name}@{version}"), &format!("{registry}/{}", tag(version))]);
        recorded.split_once("+ ").unwrap().1.trim().to_owned()
    });
    (desk, addresses)
}

/// `kustomize build`, of whichever program has it.
fn built(desk: &Desk) -> Option<String> {
    for words in [["kustomize", "build"], ["kubectl", "kustomize"]] {
        if Command::new(words[0]).arg("version").arg("--client").output().is_err() {
            continue;
        }
        let mut command = hermetic(OsStr::new(words[0]), desk.lab, &desk.path("."));
        let built = ran(command.args([words[1], "."]).env("PATH", std::env::var_os("PATH").unwrap_or_default()));
        assert_eq!(built.exit, 0, "{}{}", built.out, built.err);
        return Some(built.out);
    }
    None
}

#[test]
fn kustomize_builds_what_the_channel_is_at() {
    let test = "pointers::kustomize_builds_what_the_channel_is_at";
    let pointer =
        "[[channels.kust.prod.pointers]]\nkind = \"kustomize\"\npath = \"kustomization.yaml\"\nname = \"web\"\n";
    let (desk, addresses) = desk("kust", pointer);
    fs::write(desk.path("deployment.yaml"), DEPLOYMENT).unwrap();
    fs::write(desk.path("kustomization.yaml"), KUSTOMIZATION).unwrap();
    let Some(before) = built(&desk) else { return skipped(test, "neither kustomize nor kubectl is on the PATH") };
    assert!(before.contains("sha256:1111"), "{before}");
    let shows = |address: &str| {
        let built = built(&desk).unwrap();
        assert!(built.contains(&format!("image: {address}\n")), "no {address} in: {built}");
        assert!(built.contains("image: proxy:1.10\n"), "somebody else's entry has changed: {built}");
    };
    desk.done(&["promote", "kust@1", "prod", "--yes"]);
    shows(&addresses[0]);
    desk.done(&["promote", "kust@2", "prod", "--yes"]);
    shows(&addresses[1]);
    desk.done(&["rollback", "kust/prod", "--yes", "--reason", "worse"]);
    shows(&addresses[0]);
    let file = fs::read_to_string(desk.path("kustomization.yaml")).unwrap();
    let kept = KUSTOMIZATION.lines().filter(|line| !line.contains("newTag: v1") && !line.contains("1111"));
    for line in kept {
        assert!(file.lines().any(|there| there == line), "{line} is gone: {file}");
    }
}
