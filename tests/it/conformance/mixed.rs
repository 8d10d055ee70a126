//! What every target must do, shown on Auto Scaling groups with a mixed instances policy of two architectures.

use crate::support::lab::lab;
use imgctl::model::{ImageKey, ImageRef, Motion, Observed, Seq, SlotChange, Step, TargetId};
use imgctl::provider::target::asg::{AsgFleet, AsgSpec};
use imgctl::provider::target::asg_settings::AsgSettings;
use imgctl::provider::target::{Deployed, Fleet, Handle, Order, Target, TargetError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const REGION: &str = "eu-west-1";

/// One image of two architectures.
struct Pair {
    x86: String,
    arm: String,
}

impl Pair {
    fn new(name: &str, more: &Value) -> Self {
        let mut arm = more.clone();
        arm["architecture"] = json!("arm64");
        Self { x86: lab().ami(&format!("{name}-x86"), more), arm: lab().ami(&format!("{name}-arm"), &arm) }
    }
}

/// A group whose template is x86_64, with one arm64 override of its own template and one of its own image.
struct Stage {
    name: String,
    old: Pair,
    new: Pair,
    fleet: AsgFleet,
}

impl Stage {
    async fn new(name: &str) -> Self {
        Self::with(name, |_| {}).await
    }

    async fn with(name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let (old, new) = (Pair::new(&format!("{name}-1"), &json!({})), Pair::new(&format!("{name}-2"), &json!({})));
        let mut more = json!({
            "size": 3,
            "mixed": [
                {"instance_type": "t3.small"},
                {"instance_type": "t4g.small", "ami": old.arm, "template_name": format!("{name}-arm")},
                {"instance_type": "m6g.large", "image_id": old.arm},
            ],
            "distribution": {"OnDemandBaseCapacity": 1, "SpotAllocationStrategy": "price-capacity-optimized"},
        });
        change(&mut more);
        lab().group(name, &old.x86, &more);
        let mut settings = AsgSettings::new(name);
        settings.poll_interval = Duration::from_millis(50);
        let spec = AsgSpec {
            id: name.parse().unwrap(),
            region: REGION.parse().unwrap(),
            group: name.to_owned(),
            settings: settings.into(),
        };
        let fleet = AsgFleet::new(vec![spec], &Arc::new(crate::support::aws(lab()).await));
        Self { name: name.to_owned(), old, new, fleet }
    }

    fn target(&self) -> &dyn Target {
        self.fleet.target(&self.name.parse::<TargetId>().unwrap()).unwrap()
    }

    async fn observe(&self) -> Observed {
        self.target().observe().await.unwrap()
    }

    /// The step that gives every slot the image of its architecture.
    async fn step(&self, pair: &Pair) -> Step {
        let observed = self.observe().await;
        let to = |accepts: &imgctl::model::Accepts| {
            let id = if accepts.to_string().contains("arm64") { &pair.arm } else { &pair.x86 };
            ImageRef::Ami { region: REGION.parse().unwrap(), id: id.parse().unwrap() }
        };
        let slots = observed.slots.iter();
        Step {
            number: 1,
            target: self.name.parse().unwrap(),
            wave: 1,
            slots: slots.map(|(n, slot)| (n.clone(), SlotChange { from: None, to: to(&slot.accepts) })).collect(),
            expect: observed.revision,
            exact: None,
            interrupts: observed.deployment.filter(|deployment| deployment.is_active()).map(|deployment| deployment.id),
            notes: Vec::new(),
        }
    }

    async fn order(&self, step: &Step, token: &str, again: bool) -> Result<Deployed, TargetError> {
        let image: ImageKey = "web@2".parse().unwrap();
        let token = format!("{token}-{}", self.name);
        self.target().deploy(&Order { token, rollout: Seq(7), image: &image, step, again }).await
    }

    async fn end(&self, deployed: &Deployed) -> Motion {
        let id = deployed.deployment.as_deref().unwrap();
        for _ in 0..600 {
            let seen = self.target().follow(id).await.unwrap();
            if !seen.is_active() {
                return seen.motion;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{id} does not end");
    }

    fn policy(&self) -> Value {
        lab().show(&self.name)["config"]["policy"].clone()
    }

    fn runs(&self) -> Value {
        lab().show(&self.name)["by_ami"].clone()
    }

    fn refreshes(&self) -> usize {
        lab().show(&self.name)["refreshes"].as_array().unwrap().len()
    }
}

/// The policy without what a step may change.
fn without_images(policy: &Value) -> Value {
    let mut policy = policy.clone();
    let drop = |spec: &mut Value| {
        for key in ["Version", "LaunchTemplateName"] {
            spec.as_object_mut().into_iter().for_each(|spec| drop(spec.remove(key)));
        }
    };
    drop(&mut policy["LaunchTemplate"]["LaunchTemplateSpecification"]);
    for each in policy["LaunchTemplate"]["Overrides"].as_array_mut().unwrap() {
        each.as_object_mut().unwrap().remove("ImageId");
        if each.get("LaunchTemplateSpecification").is_some() {
            drop(&mut each["LaunchTemplateSpecification"]);
        }
    }
    policy
}

#[tokio::test]
async fn every_slot_takes_the_image_of_its_architecture_in_one_refresh() {
    let stage = Stage::new("mixed-moves").await;
    let observed = stage.observe().await;
    let accepts: BTreeMap<String, String> =
        observed.slots.iter().map(|(name, slot)| (name.to_string(), slot.accepts.to_string())).collect();
    let arm = "an arm64 AMI in eu-west-1".to_owned();
    let expected = [
        ("m6g.large".to_owned(), arm.clone()),
        ("t4g.small".to_owned(), arm),
        ("template".to_owned(), "an x86_64 AMI in eu-west-1".to_owned()),
    ];
    assert_eq!(accepts, expected.into());
    lab().post("group/watch", &json!({"name": stage.name}));
    let before = stage.policy();
    let step = stage.step(&stage.new).await;
    let deployed = stage.order(&step, "moves", false).await.unwrap();
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    assert_eq!(stage.runs(), json!({stage.new.x86.clone(): 1, stage.new.arm.clone(): 2}));
    assert_eq!(stage.refreshes(), 1);
    assert_eq!(lab().show(&stage.name)["min_in_service"], 3, "capacity never went below the group's size");
    assert_eq!(without_images(&stage.policy()), without_images(&before), "the rest of the policy is untouched");
    assert_ne!(stage.policy(), before);
    let after = stage.observe().await;
    assert_eq!(after.revision, deployed.revision);
    assert!(imgctl::plan::is_settled(&after, &step.slots), "{after:?}");
}

#[tokio::test]
async fn a_policy_that_was_changed_after_the_plan_is_refused_and_left_alone() {
    let stage = Stage::new("mixed-stale").await;
    let step = stage.step(&stage.new).await;
    lab().post("drift", &json!({"group": stage.name, "kind": "template-version", "ami": stage.old.x86}));
    let before = stage.policy();
    let refused = stage.order(&step, "stale", false).await;
    assert!(matches!(refused, Err(TargetError::Moved { .. })), "{refused:?}");
    assert_eq!((stage.policy(), stage.refreshes()), (before, 0));
}

#[tokio::test]
async fn an_order_given_twice_is_carried_out_once() {
    let stage = Stage::new("mixed-twice").await;
    let step = stage.step(&stage.new).await;
    let first = stage.order(&step, "twice", false).await.unwrap();
    let second = stage.order(&step, "twice", true).await.unwrap();
    assert_eq!(first, second);
    assert!(matches!(stage.end(&first).await, Motion::Succeeded));
    let third = stage.order(&step, "twice", true).await.unwrap();
    assert_eq!((third.revision, third.deployment), (first.revision, None), "done, and nothing is begun again");
    assert_eq!((stage.refreshes(), &lab().show(&stage.name)["config"]["latest_version"]), (1, &json!(2)));
}

#[tokio::test]
async fn versions_made_before_a_crash_are_found_again() {
    let stage = Stage::new("mixed-crash").await;
    let step = stage.step(&stage.new).await;
    // The process "dies" when the versions are made and no refresh has begun.
    lab().post("fault", &json!({"kind": "denied", "action": "StartInstanceRefresh", "about": stage.name, "times": 1}));
    assert!(stage.order(&step, "crash", false).await.is_err());
    let deployed = stage.order(&step, "crash", true).await.unwrap();
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    assert_eq!(
        deployed.revision.as_str().matches(":2").count(),
        2,
        "one new version of each template: {}",
        deployed.revision
    );
    assert_eq!(lab().show(&stage.name)["config"]["latest_version"], 2);
}

#[tokio::test]
async fn a_running_refresh_is_turned_back() {
    let stage = Stage::with("mixed-back", |more| more["size"] = json!(6)).await;
    let first = stage.order(&stage.step(&stage.new).await, "forth", false).await.unwrap();
    let back = stage.step(&stage.old).await;
    assert_eq!(back.interrupts, first.deployment);
    let deployed = stage.order(&back, "back", false).await.unwrap();
    assert_eq!(deployed.deployment, first.deployment, "the same refresh, turned back");
    assert!(matches!(stage.end(&deployed).await, Motion::RolledBack { .. }));
    assert!(imgctl::plan::is_settled(&stage.observe().await, &back.slots), "{}", stage.runs());
}

#[tokio::test]
async fn moving_names_are_pinned_before_a_version_is_made() {
    let stage = Stage::with("mixed-latest", |more| {
        more["version"] = json!("$Latest");
        more["mixed"][1]["version"] = json!("$Default");
    })
    .await;
    let step = stage.step(&stage.new).await;
    assert!(step.expect.as_str().contains(":$Latest=1") && step.expect.as_str().contains(":$Default=1"));
    let before = stage.policy();
    let deployed = stage.order(&step, "latest", false).await.unwrap();
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    assert!(!stage.policy().to_string().contains('$'), "{}", stage.policy());
    assert_eq!(without_images(&stage.policy()), without_images(&before));
}

#[tokio::test]
async fn the_way_back_is_image_only_or_to_the_very_versions() {
    let stage = Stage::new("mixed-exact").await;
    let first = stage.observe().await.revision;
    let there = stage.order(&stage.step(&stage.new).await, "there", false).await.unwrap();
    stage.end(&there).await;
    let image_only = stage.order(&stage.step(&stage.old).await, "image-only", false).await.unwrap();
    assert_eq!(image_only.revision.as_str().matches(":3").count(), 2, "new versions: {}", image_only.revision);
    stage.end(&image_only).await;
    let forth = stage.order(&stage.step(&stage.new).await, "again", false).await.unwrap();
    stage.end(&forth).await;
    let exact = Step { exact: Some(first.clone()), ..stage.step(&stage.old).await };
    let deployed = stage.order(&exact, "exact", false).await.unwrap();
    assert_eq!(deployed.revision, first);
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    assert!(imgctl::plan::is_settled(&stage.observe().await, &exact.slots));
    assert!(stage.target().differences(&there.revision, &first).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_bad_image_of_one_architecture_takes_the_whole_group_back() {
    let stage = Stage::new("mixed-bad").await;
    let bad = Pair {
        x86: stage.new.x86.clone(),
        arm: lab().ami("mixed-bad-3", &json!({"architecture": "arm64", "tags": {"imgtest:health": "fail"}})),
    };
    let before = stage.step(&stage.old).await;
    let deployed = stage.order(&stage.step(&bad).await, "bad", false).await.unwrap();
    assert!(matches!(stage.end(&deployed).await, Motion::RolledBack { .. }));
    assert!(imgctl::plan::is_settled(&stage.observe().await, &before.slots), "{}", stage.runs());
}

#[tokio::test]
async fn requirements_name_no_type_and_the_image_tells_the_architecture() {
    let stage = Stage::with("mixed-requirements", |more| {
        let arm = more["mixed"][1]["ami"].clone();
        let requirements = json!({"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 2048}});
        more["mixed"] = json!([
            {"instance_type": "t3.small"},
            {"requirements": requirements, "ami": arm, "template_name": "mixed-requirements-arm"},
        ]);
    })
    .await;
    let observed = stage.observe().await;
    let slot = &observed.slots[&"override-2".parse::<imgctl::model::SlotName>().unwrap()];
    assert_eq!(slot.accepts.to_string(), "an arm64 AMI in eu-west-1");
    let deployed = stage.order(&stage.step(&stage.new).await, "requirements", false).await.unwrap();
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    assert!(stage.policy().to_string().contains("VCpuCount"), "requirements survive: {}", stage.policy());
}

#[tokio::test]
async fn code_finds_every_template_of_the_group() {
    let stage = Stage::new("mixed-handle").await;
    let handle = stage.target().handle(Some(&stage.observe().await));
    let Some(Handle::AutoScalingGroup { templates, .. }) = handle else { panic!("{handle:?}") };
    let slots: Vec<String> = templates.keys().map(ToString::to_string).collect();
    assert_eq!(slots, ["t4g.small", "template"], "an override with an image of its own has no template to look at");
}
