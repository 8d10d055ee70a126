//! Pointers over their real peers: what imgctl has written is what Kustomize puts into the workloads, and SSM keeps.

use crate::support::aws;
use crate::support::desk::{Desk, hermetic, ran};
use crate::support::lab::lab;
use crate::support::skipped::skipped;
use imgctl::provider::aws::Access;
use imgctl::provider::pointer::{self, Pointer, PointerSettings, PointerSpec, SsmSettings};
use serde_json::json;
use std::ffi::OsStr;
use std::fs;
use std::process::Command;
use std::sync::Arc;

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

/// A parameter in the lab, as one of imgctl's pointers.
async fn parameter(name: &str, label: Option<&str>) -> Box<dyn Pointer> {
    let settings = SsmSettings { name: name.to_owned(), label: label.map(str::to_owned) };
    let (id, settings) = (name.to_owned(), PointerSettings::Ssm(settings));
    let spec = PointerSpec { id, access: Access::default(), settings };
    pointer::open(&spec, None, &Arc::new(aws(lab()).await)).unwrap()
}

/// Its versions, from the oldest: the number, the value and the labels of each.
async fn history(name: &str) -> Vec<(i64, String, Vec<String>)> {
    let client = aws(lab()).await.ssm(&"eu-west-1".parse().unwrap());
    let pages = client.get_parameter_history().name(name).into_paginator().send();
    let pages = pages.collect::<Result<Vec<_>, _>>().await.unwrap();
    let versions = pages.into_iter().flat_map(|page| page.parameters.unwrap_or_default());
    let one = |version: aws_sdk_ssm::types::ParameterHistory| {
        (version.version, version.value.unwrap_or_default(), version.labels.unwrap_or_default())
    };
    versions.map(one).collect()
}

fn refuse(action: &str, about: &str) {
    lab().post("fault", &json!({"kind": "denied", "service": "ssm", "action": action, "about": about}));
}

/// SSM keeps a hundred versions, and drops the oldest only while it has no label.
#[tokio::test]
async fn a_parameter_is_written_more_often_than_it_has_versions() {
    let pointer = parameter("/pointers/often", Some("stable")).await;
    for number in 1..=105 {
        pointer.write(&format!("ami-{number:017x}")).await.unwrap();
    }
    let versions = history("/pointers/often").await;
    let newest = format!("ami-{:017x}", 105);
    assert_eq!((versions.len(), versions[0].0), (100, 6), "the oldest made room");
    assert_eq!(versions[99], (105, newest.clone(), vec!["stable".to_owned()]));
    assert!(versions[..99].iter().all(|(_, _, labels)| labels.is_empty()), "the label is on one version only");
    pointer.write(&newest).await.unwrap();
    assert_eq!(history("/pointers/often").await.len(), 100, "what is there is not written again");
    let client = aws(lab()).await.ssm(&"eu-west-1".parse().unwrap());
    let kept = client.label_parameter_version().name("/pointers/often").parameter_version(6).labels("audit");
    kept.send().await.unwrap();
    let error = pointer.write("ami-00000000000000abc").await.unwrap_err();
    assert!(error.hint().unwrap().starts_with("its oldest version has a label"), "{error}: {:?}", error.hint());
    assert_eq!(pointer.read().await.unwrap(), Some(newest), "and what was there stays");
}

#[tokio::test]
async fn a_version_whose_label_stayed_behind_is_not_what_is_wanted_and_gets_it_later() {
    let pointer = parameter("/pointers/behind", Some("stable")).await;
    pointer.write("ami-00000001").await.unwrap();
    refuse("LabelParameterVersion", "/pointers/behind");
    let error = pointer.write("ami-00000002").await.unwrap_err().to_string();
    assert!(error.starts_with("SSM LabelParameterVersion of /pointers/behind in eu-west-1 was denied: "), "{error}");
    let shown = pointer.read().await.unwrap().unwrap();
    assert_eq!(shown, "ami-00000002, and ami-00000001 under the label stable (version 1)");
    pointer.write("ami-00000002").await.unwrap();
    let versions = history("/pointers/behind").await;
    let stable = vec!["stable".to_owned()];
    assert_eq!(versions.last().unwrap(), &(2, "ami-00000002".to_owned(), stable), "no third version was needed");
    assert_eq!(pointer.read().await.unwrap().as_deref(), Some("ami-00000002"));
    let unlabelled = parameter("/pointers/behind", Some("blue")).await;
    assert_eq!(unlabelled.read().await.unwrap().unwrap(), "ami-00000002, and nothing under the label blue");
    assert_eq!(parameter("/pointers/nobody", Some("blue")).await.read().await.unwrap(), None);
}
