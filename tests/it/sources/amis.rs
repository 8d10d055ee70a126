//! AMIs: what they are, where they can still be had, and what tags are on them.

use super::sources;
use crate::support::aws;
use crate::support::lab::{Lab, lab};
use imgctl::model::{AmiArtifact, AmiId, Artifact, ImageRef, Region, SourceSelector};
use imgctl::provider::mirror::{AmiTags, Mirror, MirrorError};
use imgctl::provider::source::{Availability, ImageSource, SourceError};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

fn ami(id: &str, region: Option<&str>) -> SourceSelector {
    SourceSelector::Ami { id: id.parse().unwrap(), region: region.map(|region| region.parse().unwrap()) }
}

fn address(id: &str) -> ImageRef {
    ImageRef::Ami { region: "eu-west-1".parse().unwrap(), id: id.parse().unwrap() }
}

async fn refused(selectors: &[SourceSelector]) -> SourceError {
    sources(aws(lab()).await).resolve(selectors).await.unwrap_err()
}

fn only(artifacts: &[Artifact]) -> &AmiArtifact {
    match artifacts {
        [Artifact::Ami(ami)] => ami,
        other => panic!("one AMI expected: {other:?}"),
    }
}

#[tokio::test]
async fn an_ami_is_recorded_as_what_it_is() {
    let key = "arn:aws:kms:eu-west-1:123456789012:key/1";
    let source = lab().ami("src-base", &json!({}));
    let id = lab().ami(
        "src-whole",
        &json!({
            "architecture": "arm64", "kms_key": key, "size": 20, "extra_sizes": [5], "device": "/dev/sda1",
            "tags": {"Name": "web", "Version": "1.4.2"}, "shared_with": ["210987654321"], "source_ami": source,
            "deprecate_at": "2030-01-01T00:00:00.000Z",
        }),
    );
    let read = sources(aws(lab()).await).resolve(&[ami(&id, None)]).await.unwrap();
    let ami = only(&read.artifacts);
    assert_eq!((ami.arch.as_str(), ami.account.as_str(), ami.region.as_str()), ("arm64", "123456789012", "eu-west-1"));
    let facts = &ami.facts;
    assert_eq!((facts.name.as_str(), facts.root_device.as_deref()), ("src-whole", Some("/dev/sda1")));
    assert!(facts.created.is_some());
    assert_eq!(facts.deprecation.unwrap().to_string(), "2030-01-01T00:00:00Z");
    assert_eq!(facts.source_ami.as_ref().map(AmiId::as_str), Some(source.as_str()));
    assert_eq!(facts.source_region.as_ref().map(Region::as_str), Some("eu-west-1"));
    assert_eq!(facts.tags["Version"], "1.4.2");
    assert_eq!(facts.launch_permissions, BTreeSet::from(["210987654321".to_owned()]));
    let root = &facts.devices["/dev/sda1"];
    assert_eq!((root.gib, root.encrypted, root.kms_key.as_deref()), (Some(20), true, Some(key)));
    assert!(root.snapshot.as_ref().unwrap().starts_with("snap-"));
    assert_eq!(facts.devices.len(), 2);
    assert!(read.notes.is_empty(), "{:?}", read.notes);
}

#[tokio::test]
async fn one_recording_reaches_several_regions() {
    let here = lab().ami("src-here", &json!({}));
    let there = lab().ami("src-there", &json!({"region": "us-east-1"}));
    let read = sources(aws(lab()).await).resolve(&[ami(&here, None), ami(&there, Some("us-east-1"))]).await.unwrap();
    let found: BTreeSet<String> = read.artifacts.iter().map(|artifact| artifact.address().to_string()).collect();
    assert_eq!(found, BTreeSet::from([format!("{here}@eu-west-1"), format!("{there}@us-east-1")]));
}

#[tokio::test]
async fn every_ami_that_is_missing_is_named() {
    let there = lab().ami("src-known", &json!({}));
    let (one, two) = ("ami-00000000000000001", "ami-00000000000000002");
    let error = refused(&[ami(one, None), ami(&there, None), ami(two, None)]).await;
    assert_eq!(
        error.to_string(),
        format!("{one}, {two} in eu-west-1 are not there, or not shared with account 123456789012")
    );
    assert!(error.hint().unwrap().contains("modify-image-attribute"));
}

#[tokio::test]
async fn a_foreign_ami_must_be_shared() {
    let id = lab().ami("src-foreign", &json!({"owner": "210987654321"}));
    assert!(matches!(refused(&[ami(&id, None)]).await, SourceError::NoSuchAmi { .. }));
    lab().post("image", &json!({"image_id": id, "shared_with": ["123456789012"]}));
    let read = sources(aws(lab()).await).resolve(&[ami(&id, None)]).await.unwrap();
    assert_eq!(only(&read.artifacts).account, "210987654321");
    assert!(read.notes[0].contains("belongs to account 210987654321"), "{:?}", read.notes);
}

#[tokio::test]
async fn an_ami_that_cannot_be_launched_is_not_recorded() {
    for (state, said) in [
        ("pending", "is still being made (state pending)"),
        ("transient", "is still being changed (state transient)"),
        ("failed", "could not be made (state failed: set to failed by the lab)"),
        ("error", "could not be made (state error: set to error by the lab)"),
        ("invalid", "could not be made (state invalid: set to invalid by the lab)"),
        ("disabled", "is disabled: nothing can be launched from it"),
        ("deregistered", "was deregistered"),
    ] {
        let id = lab().ami(&format!("src-{state}"), &json!({"state": state}));
        let error = refused(&[ami(&id, None)]).await;
        assert_eq!(error.to_string(), format!("{id} in eu-west-1 {said}"));
        assert!(error.hint().is_some());
    }
}

#[tokio::test]
async fn an_ami_deregistered_under_running_instances_is_gone() {
    let id = lab().ami("src-under", &json!({}));
    lab().group("src-under", &id, &json!({"size": 1}));
    lab().post("image", &json!({"image_id": id, "deregister": true}));
    assert!(matches!(refused(&[ami(&id, None)]).await, SourceError::NoSuchAmi { .. }));
}

#[tokio::test]
async fn every_address_is_answered_for() {
    let make = |name: &str, more| lab().ami(&format!("src-av-{name}"), &more);
    let (good, old) = (make("good", json!({})), make("old", json!({"deprecate_at": "2020-01-01T00:00:00.000Z"})));
    let (disabled, gone) = (make("disabled", json!({"state": "disabled"})), "ami-00000000000000003".to_owned());
    let addresses = [&good, &old, &disabled, &gone].map(|id| address(id));
    let answers = sources(aws(lab()).await).availability(&addresses).await;
    let deprecated = Availability::Deprecated { at: "2020-01-01T00:00:00Z".parse().unwrap() };
    assert_eq!((&answers[&addresses[0]], &answers[&addresses[1]]), (&Availability::Available, &deprecated));
    assert!(matches!(answers[&addresses[2]], Availability::Unusable { .. }), "{answers:?}");
    assert!(matches!(answers[&addresses[3]], Availability::Gone { .. }), "{answers:?}");
}

/// Action → how often it was called since the log was marked.
fn calls(lab: &Lab) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in lab.get("calls")["calls"].as_array().unwrap() {
        *counts.entry(call["action"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn a_second_scan_costs_only_the_listing() {
    let lab = super::aws_failures::own_lab().await;
    lab.post("reset", &json!({}));
    for at in 0..20 {
        lab.ami(
            &format!("scan-{at}"),
            &json!({"kms_key": "arn:aws:kms:eu-west-1:123456789012:key/1", "tags": {"Name": "web"}}),
        );
    }
    let off = lab.ami("scan-off", &json!({"state": "disabled"}));
    lab.ami("scan-theirs", &json!({"owner": "210987654321", "shared_with": ["all"]}));
    let sources = sources(aws(&lab).await);
    let region: Region = "eu-west-1".parse().unwrap();
    let (mut found, mut passed) = (Vec::new(), Vec::new());
    lab.post("calls/mark", &json!({}));
    let mut page = |page: imgctl::provider::source::AmiPage| {
        found.extend(page.found);
        passed.extend(page.passed);
        ControlFlow::Continue(())
    };
    sources.amis.scan(&region, &|_| false, &mut page).await.unwrap();
    assert_eq!((found.len(), passed.len(), passed[0].0.as_str()), (20, 1, off.as_str()));
    assert!(
        found.iter().all(|ami| ami.facts.devices["/dev/xvda"].kms_key.is_some() && ami.facts.tags["Name"] == "web")
    );
    let first = calls(&lab);
    assert_eq!(first.get("DescribeImages"), Some(&1), "{first:?}");
    assert_eq!(first.get("DescribeImageAttribute"), None, "{first:?}");

    let known: BTreeSet<ImageRef> = found.iter().cloned().map(|ami| Artifact::Ami(ami).address()).collect();
    lab.post("calls/mark", &json!({}));
    let mut listed = 0;
    let mut page = |page: imgctl::provider::source::AmiPage| {
        listed += page.listed;
        assert!(page.found.is_empty());
        ControlFlow::Continue(())
    };
    sources.amis.scan(&region, &|address| known.contains(address), &mut page).await.unwrap();
    assert_eq!(listed, 21);
    assert_eq!(calls(&lab), BTreeMap::from([("DescribeImages".to_owned(), 1)]));
}

#[tokio::test]
async fn tags_are_written_and_read_back_past_those_that_refuse() {
    let ids: Vec<String> = (0..3)
        .map(|at| lab().ami(&format!("src-tag-{at}"), &json!({"tags": {"imgctl:channel": "web/prod"}})))
        .collect();
    let missing = "ami-00000000000000004".to_owned();
    let region: Region = "eu-west-1".parse().unwrap();
    let all: BTreeSet<(Region, AmiId)> =
        ids.iter().chain([&missing]).map(|id| (region.clone(), id.parse().unwrap())).collect();
    let mirror = Mirror::new(Arc::new(aws(lab()).await), Arc::new(super::registries()));
    let tags = AmiTags {
        set: BTreeMap::from([("imgctl:image".to_owned(), "web@2".to_owned())]),
        remove: BTreeSet::from(["imgctl:channel".to_owned()]),
    };
    let answers = mirror.tag_amis(&all, &tags).await;
    assert_eq!(answers.len(), 4);
    assert!(matches!(answers[&address(&missing)], Err(MirrorError::Aws(_))), "{answers:?}");
    for id in &ids {
        assert!(answers[&address(id)].is_ok(), "{answers:?}");
        assert_eq!(lab().get(&format!("ami?image_id={id}"))["tags"], json!({"imgctl:image": "web@2"}));
    }
}
