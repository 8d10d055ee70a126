//! What every target must do, shown on Auto Scaling groups of the emulator.

use crate::support::lab::lab;
use imgctl::model::{ImageKey, ImageRef, Motion, Seq, SlotChange, SlotImage, Step, TargetId};
use imgctl::provider::target::asg::{AsgFleet, AsgSpec};
use imgctl::provider::target::asg_settings::AsgSettings;
use imgctl::provider::target::{Deployed, Depth, Fleet, Order, Target, TargetError};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const REGION: &str = "eu-west-1";

/// A group with its old and new image, and the target that moves it.
struct Stage {
    name: String,
    old: String,
    new: String,
    fleet: AsgFleet,
}

impl Stage {
    async fn new(name: &str, more: Value) -> Self {
        Self::with(name, more, |_| {}).await
    }

    async fn with(name: &str, more: Value, settings: impl FnOnce(&mut AsgSettings)) -> Self {
        let lab = lab();
        let old = lab.ami(&format!("{name}-1"), &json!({}));
        let new = lab.ami(&format!("{name}-2"), &json!({}));
        lab.group(name, &old, &more);
        let mut own = AsgSettings::new(name);
        own.poll_interval = Duration::from_millis(50);
        settings(&mut own);
        let spec = AsgSpec {
            id: name.parse().unwrap(),
            region: REGION.parse().unwrap(),
            group: name.to_owned(),
            settings: own.into(),
        };
        let fleet = AsgFleet::new(vec![spec], &Arc::new(crate::support::aws(lab).await));
        Self { name: name.to_owned(), old, new, fleet }
    }

    fn id(&self) -> TargetId {
        self.name.parse().unwrap()
    }

    fn target(&self) -> &dyn Target {
        self.fleet.target(&self.id()).unwrap()
    }

    async fn step(&self, image: &str) -> Step {
        let observed = self.target().observe().await.unwrap();
        let to = ImageRef::Ami { region: REGION.parse().unwrap(), id: image.parse().unwrap() };
        Step {
            number: 1,
            target: self.id(),
            wave: 1,
            slots: observed
                .slots
                .keys()
                .map(|slot| (slot.clone(), SlotChange { from: None, to: to.clone() }))
                .collect(),
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

    async fn deploy(&self, step: &Step, token: &str) -> Deployed {
        self.order(step, token, false).await.unwrap()
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

    fn runs(&self) -> Value {
        lab().show(&self.name)["by_ami"].clone()
    }
}

#[tokio::test]
async fn a_step_moves_every_instance_without_losing_one() {
    let stage = Stage::new("conf-moves", json!({"user_data": "#!/bin/sh"})).await;
    lab().post("group/watch", &json!({"name": stage.name}));
    let step = stage.step(&stage.new).await;
    let deployed = stage.deploy(&step, "moves").await;
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    let shown = lab().show(&stage.name);
    assert_eq!(shown["by_ami"], json!({stage.new.clone(): 3}));
    assert_eq!(shown["min_in_service"], 3, "capacity never went below the group's size");
    let observed = stage.target().observe().await.unwrap();
    assert_eq!(observed.revision, deployed.revision);
    let slot = observed.slots.values().next().unwrap();
    assert!(matches!(&slot.image, SlotImage::Pinned { image } if image.short() == stage.new), "{slot:?}");
}

#[tokio::test]
async fn a_stale_revision_is_refused_and_nothing_is_changed() {
    let stage = Stage::new("conf-stale", json!({})).await;
    let step = stage.step(&stage.new).await;
    lab().post("drift", &json!({"group": stage.name, "kind": "template-version", "ami": stage.old}));
    let before = lab().show(&stage.name);
    let refused = stage.order(&step, "stale", false).await;
    assert!(matches!(refused, Err(TargetError::Moved { .. })), "{refused:?}");
    assert_eq!(lab().show(&stage.name)["config"], before["config"]);
}

#[tokio::test]
async fn an_order_given_twice_is_carried_out_once() {
    let stage = Stage::new("conf-twice", json!({})).await;
    let step = stage.step(&stage.new).await;
    let first = stage.deploy(&step, "twice").await;
    let second = stage.order(&step, "twice", true).await.unwrap();
    assert_eq!(first, second);
    assert!(matches!(stage.end(&first).await, Motion::Succeeded));
    let shown = lab().show(&stage.name);
    assert_eq!(shown["refreshes"].as_array().unwrap().len(), 1);
    assert_eq!(shown["config"]["latest_version"], 2);
}

#[tokio::test]
async fn a_version_made_before_a_crash_is_found_again() {
    let stage = Stage::new("conf-crash", json!({})).await;
    let step = stage.step(&stage.new).await;
    // The refresh is refused once: the version is made, and the process "dies" before a refresh has begun.
    lab().post("fault", &json!({"kind": "denied", "action": "StartInstanceRefresh", "about": stage.name, "times": 1}));
    assert!(stage.order(&step, "crash", false).await.is_err());
    let deployed = stage.order(&step, "crash", true).await.unwrap();
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    assert_eq!(lab().show(&stage.name)["config"]["latest_version"], 2, "no second version was made");
}

#[tokio::test]
async fn a_call_that_arrives_after_the_look_is_known_again() {
    let stage = Stage::new("conf-late", json!({})).await;
    let step = stage.step(&stage.new).await;
    let first = stage.deploy(&step, "late").await;
    // Another process looked before that call arrived, and carries the same order out.
    let second = stage.order(&step, "late", true).await.unwrap();
    assert_eq!(second.deployment, first.deployment, "one refresh, not two");
    assert!(matches!(stage.end(&second).await, Motion::Succeeded));
    let elsewhere =
        stage.order(&Step { expect: step.expect.clone(), ..stage.step(&stage.old).await }, "other", true).await;
    assert!(matches!(elsewhere, Err(TargetError::Moved { .. })), "moved elsewhere is still moved: {elsewhere:?}");
}

#[tokio::test]
async fn a_running_refresh_is_turned_back() {
    let stage = Stage::new("conf-back", json!({"size": 4})).await;
    let first = stage.deploy(&stage.step(&stage.new).await, "forth").await;
    let back = stage.step(&stage.old).await;
    assert_eq!(back.interrupts, first.deployment);
    let deployed = stage.deploy(&back, "back").await;
    assert_eq!(deployed.deployment, first.deployment, "the same refresh, turned back");
    assert!(matches!(stage.end(&deployed).await, Motion::RolledBack { .. }));
    assert_eq!(stage.runs(), json!({stage.old.clone(): 4}));
}

#[tokio::test]
async fn a_refresh_that_ended_between_plan_and_order_is_no_strangers_doing() {
    let stage = Stage::new("conf-crossed", json!({})).await;
    let step = stage.step(&stage.new).await;
    let first = stage.deploy(&step, "crossed").await;
    let back = stage.step(&stage.old).await;
    assert!(matches!(stage.end(&first).await, Motion::Succeeded));
    // The same order given again, as after a crash: it is done, and nothing is begun a second time.
    let again = stage.order(&step, "crossed", true).await.unwrap();
    assert_eq!((again.revision, again.deployment), (first.revision, None));
    assert_eq!(lab().show(&stage.name)["refreshes"].as_array().unwrap().len(), 1);
    // The way back that was planned while it ran: too late to be turned back, so it is a refresh of its own.
    let deployed = stage.deploy(&back, "crossed-back").await;
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    assert_eq!(stage.runs(), json!({stage.old.clone(): 3}));
}

#[tokio::test]
async fn a_refresh_that_does_not_stop_is_not_waited_for_without_end() {
    let stage = Stage::with("conf-endless", json!({}), |own| own.time_limit = Duration::ZERO).await;
    // Cancelling waits for the instances that are being started, and these never come up.
    let stuck = lab().ami("conf-endless-3", &json!({"tags": {"imgtest:health": "stuck"}}));
    let first = stage.deploy(&stage.step(&stuck).await, "endless").await;
    let id = first.deployment.unwrap();
    let refused = stage.target().cancel(&id).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("{id} was cancelled 0 minutes ago, and still has not")), "{refused}");
    assert!(refused.hint().is_some_and(|hint| hint.contains("run the same command again")), "{refused:?}");
}

#[tokio::test]
async fn a_bad_image_is_rolled_back_by_aws_and_said() {
    let stage = Stage::new("conf-bad", json!({})).await;
    let bad = lab().ami("conf-bad-3", &json!({"tags": {"imgtest:health": "fail"}}));
    let deployed = stage.deploy(&stage.step(&bad).await, "bad").await;
    let Motion::RolledBack { reason } = stage.end(&deployed).await else { panic!("not rolled back") };
    assert!(reason.contains("healthy"), "{reason}");
    assert_eq!(stage.runs(), json!({stage.old.clone(): 3}));
}

#[tokio::test]
async fn a_group_at_latest_is_pinned_before_a_version_is_made() {
    let stage = Stage::new("conf-latest", json!({"version": "$Latest"})).await;
    let step = stage.step(&stage.new).await;
    assert!(step.expect.as_str().ends_with(":$Latest=1"), "{}", step.expect);
    let deployed = stage.deploy(&step, "latest").await;
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    assert_eq!(lab().show(&stage.name)["config"]["version"], "2");
}

#[tokio::test]
async fn rollback_keeps_what_else_was_changed_and_exact_does_not() {
    let stage = Stage::new("conf-exact", json!({})).await;
    let first = stage.target().observe().await.unwrap().revision;
    let changed =
        json!({"group": stage.name, "kind": "template-version", "ami": stage.new, "instance_type": "t3.large"});
    lab().post("drift", &changed);
    let step = stage.step(&stage.old).await;
    let differences = stage.target().differences(&step.expect, &first).await.unwrap();
    assert_eq!(differences, ["instance type: t3.large → t3.micro"]);
    let deployed = stage.deploy(&step, "image-only").await;
    assert!(deployed.revision.as_str().ends_with(":3"), "a new version with the old image: {}", deployed.revision);
    stage.end(&deployed).await;
    let again = stage.target().observe().await.unwrap().revision;
    assert!(stage.target().differences(&again, &first).await.unwrap()[0].contains("t3.large"));
    let exact = Step { exact: Some(first.clone()), ..stage.step(&stage.old).await };
    let deployed = stage.deploy(&exact, "exact").await;
    assert_eq!(deployed.revision, first);
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
}

#[tokio::test]
async fn snapshots_of_block_devices_are_kept_right() {
    let devices = json!([
        {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": "snap-0123456789abcdef0", "VolumeSize": 20, "DeleteOnTermination": true}},
    ]);
    let stage = Stage::new("conf-devices", json!({"block_devices": devices})).await;
    let deployed = stage.deploy(&stage.step(&stage.new).await, "devices").await;
    let calls = lab().get("calls?since=0");
    let made = calls["calls"].as_array().unwrap().iter().rev();
    let made = made.into_iter().find(|call| {
        call["action"] == "CreateLaunchTemplateVersion" && call.to_string().contains("devices-conf-devices")
    });
    let params = made.unwrap()["params"].to_string();
    assert!(
        params.contains("snap-0123456789abcdef0"),
        "EC2 drops inherited snapshots unless they are given again: {params}"
    );
    stage.end(&deployed).await;
}

#[tokio::test]
async fn what_cannot_be_moved_says_what_to_change() {
    let stage = Stage::new("conf-lc", json!({"launch_configuration": true})).await;
    let observed = stage.target().observe().await.unwrap();
    assert!(observed.obstacles[0].what.contains("launch configuration"), "{observed:?}");
}

#[tokio::test]
async fn a_group_that_is_not_there_is_gone_and_silence_is_not() {
    let stage = Stage::new("conf-gone", json!({})).await;
    lab().post("drift", &json!({"group": stage.name, "kind": "delete-group"}));
    let answer = stage.target().observe().await;
    assert!(matches!(answer, Err(TargetError::Gone { .. })), "{answer:?}");
}

#[tokio::test]
async fn many_groups_are_observed_in_few_calls() {
    let ami = lab().ami("conf-many", &json!({"region": "ap-southeast-2"}));
    let made = lab().post(
        "groups",
        &json!({"count": 120, "prefix": "conf-many-", "ami": ami, "size": 1, "region": "ap-southeast-2"}),
    );
    let region = "ap-southeast-2".parse::<imgctl::model::Region>().unwrap();
    let names: Vec<String> =
        made["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    let specs = names.iter().map(|name| AsgSpec {
        id: name.parse().unwrap(),
        region: region.clone(),
        group: name.clone(),
        settings: AsgSettings::new(name).into(),
    });
    let fleet = AsgFleet::new(specs.collect(), &Arc::new(crate::support::aws(lab()).await));
    let since = lab().get("calls?since=0")["next"].clone();
    let ids = names.iter().map(|name| name.parse().unwrap()).collect();
    let seen = fleet.survey(&ids, Depth::Running).await;
    assert!(
        seen.values().all(|answer| answer.as_ref().is_ok_and(|observed| observed.running.values().sum::<u32>() == 1))
    );
    let calls = lab().get(&format!("calls?since={since}"));
    let ours = calls["calls"].as_array().unwrap().iter().filter(|call| call["region"] == "ap-southeast-2").count();
    // 2 × DescribeAutoScalingGroups, 2 × DescribeLaunchTemplateVersions (240 rows), 1 × DescribeInstances
    assert!(ours <= 5, "{ours} calls for 120 groups");
}
