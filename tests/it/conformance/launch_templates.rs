//! What every target must do, shown on launch templates by themselves: a version, and the default moved to it.

use crate::support::lab::lab;
use imgctl::model::{
    AmiId, Image, ImageKey, ImageRef, Outlook, Provenance, Seq, SlotChange, SlotImage, Step, TargetId,
};
use imgctl::provider::target::launch_template::{LaunchTemplateFleet, LaunchTemplateSettings, LaunchTemplateSpec};
use imgctl::provider::target::{Deployed, Fleet, Order, Target, TargetError};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const REGION: &str = "eu-west-1";

/// A template that holds the first of two images, and a group at its default that nobody is to touch.
struct Stage {
    name: String,
    template: String,
    old: String,
    new: String,
    fleet: LaunchTemplateFleet,
}

impl Stage {
    async fn new(name: &str) -> Self {
        let (old, new) = (lab().ami(&format!("{name}-1"), &json!({})), lab().ami(&format!("{name}-2"), &json!({})));
        let made = lab().group(name, &old, &json!({"size": 1, "user_data": "#!/bin/sh"}));
        let template = made["template_id"].as_str().unwrap().to_owned();
        let settings = LaunchTemplateSettings { id: template.clone(), poll_interval: Duration::from_millis(50) };
        let spec = LaunchTemplateSpec {
            id: name.parse().unwrap(),
            region: REGION.parse().unwrap(),
            settings: settings.into(),
        };
        let fleet = LaunchTemplateFleet::new(vec![spec], &Arc::new(crate::support::aws(lab()).await));
        Self { name: name.to_owned(), template, old, new, fleet }
    }

    fn target(&self) -> &dyn Target {
        self.fleet.target(&self.name.parse::<TargetId>().unwrap()).unwrap()
    }

    async fn step(&self, image: &str) -> Step {
        let observed = self.target().observe().await.unwrap();
        let to = ImageRef::Ami { region: REGION.parse().unwrap(), id: image.parse::<AmiId>().unwrap() };
        Step {
            number: 1,
            target: self.name.parse().unwrap(),
            wave: 1,
            slots: [("template".parse().unwrap(), SlotChange { from: None, to })].into(),
            expect: observed.revision,
            exact: None,
            interrupts: None,
            notes: Vec::new(),
        }
    }

    async fn order(&self, step: &Step, token: &str, again: bool) -> Result<Deployed, TargetError> {
        let image: ImageKey = "web@2".parse().unwrap();
        let token = format!("{token}-{}", self.name);
        self.target().deploy(&Order { token, rollout: Seq(7), image: &image, step, again }).await
    }

    /// The default and the newest version.
    fn versions(&self) -> (i64, i64) {
        let config = lab().show(&self.name)["config"].clone();
        (config["default_version"].as_i64().unwrap(), config["latest_version"].as_i64().unwrap())
    }
}

#[tokio::test]
async fn a_step_moves_the_default_and_nothing_is_replaced() {
    let stage = Stage::new("lt-moves").await;
    let step = stage.step(&stage.new).await;
    let deployed = stage.order(&step, "moves", false).await.unwrap();
    assert_eq!((deployed.revision.as_str(), deployed.deployment), (format!("{}:2", stage.template).as_str(), None));
    assert_eq!(stage.versions(), (2, 2));
    let observed = stage.target().observe().await.unwrap();
    let slot = observed.slots.values().next().unwrap();
    assert!(matches!(&slot.image, SlotImage::Pinned { image } if image.short() == stage.new), "{slot:?}");
    assert_eq!(slot.accepts.to_string(), "an x86_64 AMI in eu-west-1");
    assert!(imgctl::plan::is_settled(&observed, &step.slots), "{observed:?}");
    let shown = lab().show(&stage.name);
    assert_eq!((&shown["refreshes"], &shown["by_ami"]), (&json!([]), &json!({stage.old.clone(): 1})));
}

#[tokio::test]
async fn a_default_that_somebody_moved_is_refused_and_stays() {
    let stage = Stage::new("lt-stale").await;
    let step = stage.step(&stage.new).await;
    lab().post("drift", &json!({"group": stage.name, "kind": "default-version", "ami": stage.old}));
    let before = stage.versions();
    let refused = stage.order(&step, "stale", false).await;
    assert!(matches!(refused, Err(TargetError::Moved { .. })), "{refused:?}");
    assert_eq!(stage.versions(), before);
}

#[tokio::test]
async fn an_order_given_twice_is_carried_out_once_and_after_a_crash_too() {
    let stage = Stage::new("lt-twice").await;
    let step = stage.step(&stage.new).await;
    // The process "dies" when the version is made and the default has not moved.
    lab().post(
        "fault",
        &json!({"kind": "denied", "action": "ModifyLaunchTemplate", "about": stage.template, "times": 1}),
    );
    assert!(stage.order(&step, "twice", false).await.is_err());
    assert_eq!(stage.versions(), (1, 2));
    let first = stage.order(&step, "twice", true).await.unwrap();
    assert_eq!(stage.order(&step, "twice", true).await.unwrap(), first);
    assert_eq!(stage.versions(), (2, 2));
}

#[tokio::test]
async fn the_way_back_is_image_only_or_to_the_very_version() {
    let stage = Stage::new("lt-back").await;
    let first = stage.target().observe().await.unwrap().revision;
    stage.order(&stage.step(&stage.new).await, "there", false).await.unwrap();
    let back = stage.order(&stage.step(&stage.old).await, "back", false).await.unwrap();
    assert!(back.revision.as_str().ends_with(":3"), "a new version with the old image: {}", back.revision);
    assert!(stage.target().differences(&back.revision, &first).await.unwrap().is_empty());
    stage.order(&stage.step(&stage.new).await, "again", false).await.unwrap();
    let exact = Step { exact: Some(first.clone()), ..stage.step(&stage.old).await };
    assert_eq!(stage.order(&exact, "exact", false).await.unwrap().revision, first);
    assert_eq!(stage.versions().0, 1);
}

#[tokio::test]
async fn both_rights_are_asked_for_before_anything_moves() {
    let stage = Stage::new("lt-rights").await;
    let step = stage.step(&stage.new).await;
    let image = Image::new("web@2".parse().unwrap(), Vec::new(), Provenance::default());
    assert_eq!(stage.target().check(&image, &step).await.unwrap(), Outlook::default());
    for action in ["CreateLaunchTemplateVersion", "ModifyLaunchTemplate"] {
        lab().post("fault", &json!({"kind": "denied", "action": action, "about": stage.template, "times": 1}));
    }
    let outlook = stage.target().check(&image, &step).await.unwrap();
    assert_eq!(outlook.obstacles.len(), 2, "{outlook:?}");
    assert_eq!(stage.versions(), (1, 1));
}

#[tokio::test]
async fn a_template_that_is_not_there_is_gone() {
    let stage = Stage::new("lt-gone").await;
    let settings = LaunchTemplateSettings { id: "lt-00000000000000000".into(), poll_interval: Duration::from_secs(1) };
    let spec = LaunchTemplateSpec {
        id: "nowhere".parse().unwrap(),
        region: REGION.parse().unwrap(),
        settings: settings.into(),
    };
    let fleet = LaunchTemplateFleet::new(vec![spec], &Arc::new(crate::support::aws(lab()).await));
    let answer = fleet.target(&"nowhere".parse().unwrap()).unwrap().observe().await;
    assert!(matches!(answer, Err(TargetError::Gone { .. })), "{answer:?}");
    assert_eq!(stage.versions(), (1, 1));
}
