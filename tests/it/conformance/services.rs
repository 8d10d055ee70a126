//! What every target must do, shown on ECS services of the emulator.

use crate::support::lab::{lab, root};
use imgctl::model::{
    Accepts, Artifact, Digest, Image, ImageKey, ImageRef, Motion, OciArtifact, Platform, Provenance, Seq, SlotChange,
    SlotImage, Step, TargetId,
};
use imgctl::provider::target::ecs::{EcsFleet, EcsSpec};
use imgctl::provider::target::ecs_settings::EcsSettings;
use imgctl::provider::target::{Deployed, Depth, Fleet, Order, Target, TargetError};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const REGION: &str = "eu-west-1";

/// A service that runs the first of its images, and the target that moves it.
struct Stage {
    name: String,
    fleet: EcsFleet,
}

impl Stage {
    async fn new(name: &str, more: Value) -> Self {
        let mut body = json!({"name": name, "image": image(name, 1)});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        lab().post("service", &body);
        let fleet = EcsFleet::new(vec![spec(name)], &Arc::new(crate::support::aws(lab()).await));
        Self { name: name.to_owned(), fleet }
    }

    fn id(&self) -> TargetId {
        self.name.parse().unwrap()
    }

    fn target(&self) -> &dyn Target {
        self.fleet.target(&self.id()).unwrap()
    }

    async fn step(&self, number: u8) -> Step {
        let observed = self.target().observe().await.unwrap();
        let to: ImageRef = image(&self.name, number).parse().unwrap();
        Step {
            number: 1,
            target: self.id(),
            wave: 1,
            slots: [("app".parse().unwrap(), SlotChange { from: None, to })].into(),
            expect: observed.revision,
            exact: None,
            interrupts: observed.deployment.filter(|deployment| deployment.is_active()).map(|deployment| deployment.id),
            notes: Vec::new(),
        }
    }

    async fn order(&self, step: &Step, again: bool) -> Result<Deployed, TargetError> {
        let image: ImageKey = "web@2".parse().unwrap();
        let token = format!("token-{}", self.name);
        self.target().deploy(&Order { token, rollout: Seq(7), image: &image, step, again }).await
    }

    async fn deploy(&self, step: &Step) -> Deployed {
        self.order(step, false).await.unwrap()
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

    /// Does something behind imgctl's back.
    fn change(&self, kind: &str, more: Value) -> Value {
        let mut body = json!({"name": self.name, "kind": kind});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        lab().post("service/change", &body)
    }

    fn shown(&self) -> Value {
        lab().get(&format!("service?name={}", self.name))
    }

    /// The image of container `app` → tasks.
    fn runs(&self) -> Vec<(u8, u64)> {
        let by_image = self.shown()["by_image"].clone();
        let own = (1..=9).filter_map(|number| {
            let count = by_image[format!("app {}", digest(&self.name, number))].as_u64()?;
            Some((number, count))
        });
        own.collect()
    }

    fn revision(&self) -> String {
        self.shown()["task_definition"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }
}

fn spec(name: &str) -> EcsSpec {
    let mut settings = EcsSettings::new("main", name, "app".parse().unwrap());
    settings.poll_interval = Duration::from_millis(50);
    EcsSpec { id: name.parse().unwrap(), region: REGION.parse().unwrap(), settings: settings.into() }
}

/// Each stage has digests of its own, so that one's bad image is nobody else's.
fn digest(name: &str, number: u8) -> Digest {
    let mut text = format!("{number}");
    text.extend(name.bytes().map(|byte| format!("{byte:02x}")));
    format!("sha256:{text:0<64}").parse().unwrap()
}

fn image(name: &str, number: u8) -> String {
    format!("r.test/{name}@{}", digest(name, number))
}

fn behaves(name: &str, number: u8, health: &str) {
    lab().post("container-image", &json!({"image": digest(name, number).to_string(), "health": health}));
}

/// Every field that RegisterTaskDefinition takes, and two containers.
fn everything(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join("fixtures/ecs/every-field.json")).unwrap();
    serde_json::from_str(&text.replace("FAMILY", name).replace("IMAGE", &image(name, 1))).unwrap()
}

#[tokio::test]
async fn a_step_moves_every_task_without_losing_one() {
    let stage = Stage::new("ecs-moves", json!({"size": 3, "circuit_breaker": true})).await;
    lab().post("service/watch", &json!({"name": stage.name}));
    let deployed = stage.deploy(&stage.step(2).await).await;
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    let shown = stage.shown();
    assert_eq!(shown["by_image"], json!({format!("app {}", digest("ecs-moves", 2)): 3}));
    assert_eq!(shown["min_running"], 3, "capacity never went below the service's count");
    let observed = stage.target().observe().await.unwrap();
    assert_eq!(observed.revision, deployed.revision);
    assert!(observed.revision.as_str().ends_with("task-definition/ecs-moves:2"), "{}", observed.revision);
    let slot = observed.slots.values().next().unwrap();
    assert!(matches!(&slot.image, SlotImage::Pinned { image: now } if now.to_string() == image("ecs-moves", 2)));
    assert!(matches!(&slot.accepts, Accepts::Oci { repository } if repository.as_str() == "r.test/ecs-moves"));
}

#[tokio::test]
async fn every_field_of_a_definition_survives_and_only_one_image_is_another() {
    let name = "ecs-all";
    lab().post("ecs", &json!({"action": "RegisterTaskDefinition", "parameters": everything(name)}));
    let stage = Stage::new(name, json!({"task_definition": format!("{name}:1")})).await;
    let deployed = stage.deploy(&stage.step(2).await).await;
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    let read = |revision: &str| {
        let parameters = json!({"taskDefinition": revision, "include": ["TAGS"]});
        let mut answer = lab().post("ecs", &json!({"action": "DescribeTaskDefinition", "parameters": parameters}));
        for of_aws in ["taskDefinitionArn", "revision", "registeredAt"] {
            answer["taskDefinition"].as_object_mut().unwrap().remove(of_aws);
        }
        answer["tags"].as_array_mut().unwrap().sort_by_key(|tag| tag["key"].as_str().unwrap().to_owned());
        answer
    };
    let (mut before, after) = (read("ecs-all:1"), read("ecs-all:2"));
    assert_eq!(after["taskDefinition"]["containerDefinitions"][1]["image"], image(name, 2));
    before["taskDefinition"]["containerDefinitions"][1]["image"] = json!(image(name, 2));
    assert_eq!(before, after);
    let wanted = everything(name);
    for key in wanted.as_object().unwrap().keys().filter(|key| *key != "tags") {
        assert!(after["taskDefinition"].get(key).is_some_and(|value| !value.is_null()), "{key} was lost");
    }
    for key in wanted["containerDefinitions"][1].as_object().unwrap().keys() {
        assert!(after["taskDefinition"]["containerDefinitions"][1].get(key).is_some(), "{key} of a container was lost");
    }
}

#[tokio::test]
async fn a_stale_revision_is_refused_and_nothing_is_changed() {
    let stage = Stage::new("ecs-stale", json!({})).await;
    let step = stage.step(2).await;
    stage.change("update", json!({"image": image("ecs-stale", 3), "at_once": true}));
    let before = stage.shown();
    let refused = stage.order(&step, false).await;
    assert!(matches!(refused, Err(TargetError::Moved { .. })), "{refused:?}");
    assert_eq!(stage.shown(), before);
}

#[tokio::test]
async fn an_order_given_twice_is_carried_out_once() {
    let stage = Stage::new("ecs-twice", json!({})).await;
    let step = stage.step(2).await;
    let first = stage.deploy(&step).await;
    let second = stage.order(&step, true).await.unwrap();
    assert_eq!(first, second);
    assert!(matches!(stage.end(&first).await, Motion::Succeeded));
    // Once more after it has ended: it is done, and nothing is begun a second time.
    let third = stage.order(&step, true).await.unwrap();
    assert_eq!((third.revision, third.deployment), (first.revision, None));
    let shown = stage.shown();
    assert_eq!(shown["deployments"].as_array().unwrap().len(), 2, "the first one and ours: {shown}");
    assert_eq!(shown["revisions"], json!({"1": "ACTIVE", "2": "ACTIVE"}));
}

#[tokio::test]
async fn a_revision_registered_before_a_crash_is_found_again() {
    let stage = Stage::new("ecs-crash", json!({})).await;
    let step = stage.step(2).await;
    // The update is refused once: the revision is there, and the process "dies" before the service is told.
    lab().post("fault", &json!({"kind": "denied", "action": "UpdateService", "about": stage.name, "times": 1}));
    assert!(stage.order(&step, false).await.is_err());
    assert_eq!(stage.shown()["revisions"], json!({"1": "ACTIVE", "2": "ACTIVE"}));
    let deployed = stage.order(&step, true).await.unwrap();
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    assert_eq!(stage.shown()["revisions"], json!({"1": "ACTIVE", "2": "ACTIVE"}), "no second one was registered");
}

#[tokio::test]
async fn a_service_that_went_elsewhere_is_moved_even_when_it_is_ordered_again() {
    let stage = Stage::new("ecs-elsewhere", json!({})).await;
    let step = stage.step(2).await;
    stage.change("update", json!({"image": image("ecs-elsewhere", 3), "at_once": true}));
    let answer = stage.order(&step, true).await;
    assert!(matches!(answer, Err(TargetError::Moved { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_running_deployment_is_turned_back_by_ecs() {
    let stage = Stage::new("ecs-back", json!({"size": 4})).await;
    behaves("ecs-back", 2, "slow");
    let first = stage.deploy(&stage.step(2).await).await;
    let back = stage.step(1).await;
    assert_eq!(back.interrupts, first.deployment);
    let deployed = stage.deploy(&back).await;
    assert_eq!(deployed.deployment, first.deployment, "the same deployment, turned back");
    assert!(matches!(stage.end(&deployed).await, Motion::RolledBack { .. }));
    assert_eq!(stage.runs(), [(1, 4)]);
    assert_eq!(stage.target().observe().await.unwrap().revision, deployed.revision);
    assert_eq!(stage.revision(), "ecs-back:1");
}

#[tokio::test]
async fn a_deployment_that_does_not_go_back_is_not_waited_for_without_end() {
    let stage = Stage::new("ecs-endless", json!({"circuit_breaker": true})).await;
    behaves("ecs-endless", 2, "slow");
    let first = stage.deploy(&stage.step(2).await).await;
    let mut hurried = spec("ecs-endless");
    Arc::make_mut(&mut hurried.settings).time_limit = Duration::ZERO;
    let fleet = EcsFleet::new(vec![hurried], &Arc::new(crate::support::aws(lab()).await));
    // The old image is slow as well: going back takes its time.
    behaves("ecs-endless", 1, "slow");
    let refused = fleet.target(&stage.id()).unwrap().cancel(first.deployment.as_deref().unwrap()).await.unwrap_err();
    assert!(refused.to_string().contains("was turned back 0 minutes ago, and still has not"), "{refused}");
    assert!(refused.hint().is_some_and(|hint| hint.contains("run the same command again")), "{refused:?}");
}

#[tokio::test]
async fn where_ecs_cannot_turn_back_a_new_deployment_takes_its_place() {
    let stage = Stage::new("ecs-nostop", json!({})).await;
    behaves("ecs-nostop", 2, "slow");
    let first = stage.deploy(&stage.step(2).await).await;
    let back = stage.step(1).await;
    let refused = json!({"kind": "UnsupportedFeatureException", "action": "StopServiceDeployment", "about": first.deployment, "times": 1});
    lab().post("fault", &refused);
    let deployed = stage.deploy(&back).await;
    assert_ne!(deployed.deployment, first.deployment);
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    assert_eq!(stage.runs(), [(1, 2)]);
    assert_eq!(stage.revision(), "ecs-nostop:1", "the old revision says the same: no third one is registered");
    assert!(matches!(stage.end(&first).await, Motion::Cancelled { .. }));
}

#[tokio::test]
async fn a_deployment_that_ended_between_plan_and_order_is_no_strangers_doing() {
    let stage = Stage::new("ecs-crossed", json!({"circuit_breaker": true})).await;
    behaves("ecs-crossed", 2, "exit");
    let first = stage.deploy(&stage.step(2).await).await;
    let back = stage.step(1).await;
    assert!(matches!(stage.end(&first).await, Motion::RolledBack { .. }));
    // ECS was faster: the service is back already, where the plan was made while it was on its way.
    let deployed = stage.deploy(&back).await;
    assert_eq!(deployed.deployment, None, "there is nothing left to do but to look");
    assert_eq!(stage.runs(), [(1, 2)]);
}

#[tokio::test]
async fn a_bad_image_is_rolled_back_by_ecs_and_the_tasks_say_why() {
    let stage = Stage::new("ecs-bad", json!({"circuit_breaker": true})).await;
    let bad = json!({"image": digest("ecs-bad", 2).to_string(), "health": "exit", "exit_code": 137});
    lab().post("container-image", &bad);
    let deployed = stage.deploy(&stage.step(2).await).await;
    let Motion::RolledBack { reason } = stage.end(&deployed).await else { panic!("not rolled back") };
    assert!(reason.contains("circuit breaker"), "{reason}");
    assert!(reason.contains("Essential container in task exited (app exit code 137)"), "{reason}");
    assert_eq!(stage.runs(), [(1, 2)]);
}

#[tokio::test]
async fn a_breaker_that_only_stops_leaves_a_failed_deployment() {
    let stage = Stage::new("ecs-stops", json!({"circuit_breaker": "stop"})).await;
    behaves("ecs-stops", 2, "pull");
    let deployed = stage.deploy(&stage.step(2).await).await;
    let Motion::Failed { reason } = stage.end(&deployed).await else { panic!("not failed") };
    assert!(reason.contains("CannotPullContainerError"), "{reason}");
    let observed = stage.target().observe().await.unwrap();
    assert_eq!(observed.revision, deployed.revision, "the service is left pointed at it");
    let back = stage.deploy(&stage.step(1).await).await;
    assert!(matches!(stage.end(&back).await, Motion::Succeeded));
    assert_eq!(stage.runs(), [(1, 2)]);
}

#[tokio::test]
async fn tasks_that_fail_without_a_breaker_are_said_while_it_goes_on() {
    let stage = Stage::new("ecs-loops", json!({})).await;
    behaves("ecs-loops", 2, "unhealthy");
    let deployed = stage.deploy(&stage.step(2).await).await;
    let id = deployed.deployment.unwrap();
    let mut said = None;
    while said.is_none() {
        let Motion::Moving { note, .. } = stage.target().follow(&id).await.unwrap().motion else { panic!("ended") };
        said = note;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(said.as_ref().is_some_and(|said| said.contains("Task failed container health checks")), "{said:?}");
    stage.target().cancel(&id).await.unwrap();
    assert_eq!(stage.runs(), [(1, 2)], "ECS knows no stopping half way: it goes back");
}

#[tokio::test]
async fn a_service_deployment_that_may_not_be_read_is_followed_by_the_services_own_list() {
    let stage = Stage::new("ecs-old-rights", json!({"circuit_breaker": true})).await;
    behaves("ecs-old-rights", 3, "exit");
    let about = format!("arn:aws:ecs:{REGION}:123456789012:service/main/{}", stage.name);
    let denied = json!({"kind": "denied", "action": "ListServiceDeployments", "forever": true, "about": about});
    lab().post("fault", &denied);
    let good = stage.deploy(&stage.step(2).await).await;
    assert!(good.deployment.as_deref().is_some_and(|id| id.starts_with("ecs-svc/")), "{good:?}");
    assert!(matches!(stage.end(&good).await, Motion::Succeeded));
    let bad = stage.deploy(&stage.step(3).await).await;
    let Motion::RolledBack { reason } = stage.end(&bad).await else { panic!("not rolled back") };
    assert!(reason.contains("tasks failed to start"), "{reason}");
    assert_eq!(stage.runs(), [(2, 2)]);
}

#[tokio::test]
async fn a_tag_floats_and_leads_to_what_its_tasks_run() {
    let name = "ecs-tag";
    let tag = format!("r.test/{name}:prod");
    lab().post("container-image", &json!({"image": tag, "digest": digest(name, 1).to_string()}));
    let stage = Stage::new(name, json!({"image": tag})).await;
    let observed = stage.target().observe().await.unwrap();
    let slot = &observed.slots[&"app".parse().unwrap()];
    let now: ImageRef = image(name, 1).parse().unwrap();
    assert_eq!(slot.image, SlotImage::Floating { through: tag, now: Some(now.clone()) });
    assert_eq!(observed.running, [(now, 2)].into());
    let deployed = stage.deploy(&stage.step(1).await).await;
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    let slot = stage.target().observe().await.unwrap().slots.into_values().next().unwrap();
    assert!(matches!(slot.image, SlotImage::Pinned { .. }), "the same bytes, pinned: {slot:?}");
}

#[tokio::test]
async fn tasks_that_run_something_else_are_replaced_though_the_definition_is_right() {
    let stage = Stage::new("ecs-stray", json!({})).await;
    stage.change("stray", json!({"image": image("ecs-stray", 3), "count": 1}));
    let observed = stage.target().observe().await.unwrap();
    assert_eq!(observed.running.len(), 2, "{:?}", observed.running);
    let deployed = stage.deploy(&stage.step(1).await).await;
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    assert_eq!((stage.runs(), stage.revision()), (vec![(1, 2)], "ecs-stray:1".to_owned()));
}

#[tokio::test]
async fn rollback_keeps_what_else_was_changed_and_exact_does_not() {
    let stage = Stage::new("ecs-exact", json!({"family": "ecs-exact"})).await;
    let first = stage.target().observe().await.unwrap().revision;
    let changed =
        json!({"image": image("ecs-exact", 2), "memory": 256, "environment": {"TOKEN": "s3cret"}, "at_once": true});
    stage.change("update", changed);
    let step = stage.step(1).await;
    let differences = stage.target().differences(&step.expect, &first).await.unwrap();
    assert_eq!(differences, ["container app environment (not shown)", "container app memory: 256 → 128"]);
    let deployed = stage.deploy(&step).await;
    assert!(deployed.revision.as_str().ends_with(":3"), "a new revision with the old image: {}", deployed.revision);
    stage.end(&deployed).await;
    let exact = Step { exact: Some(first.clone()), ..stage.step(1).await };
    let deployed = stage.deploy(&exact).await;
    assert_eq!(deployed.revision, first);
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
}

#[tokio::test]
async fn a_deregistered_revision_is_registered_anew_and_a_deleted_one_lends_only_its_image() {
    for (name, state, said, memory) in [
        ("ecs-inactive", "inactive", "its number: ecs-inactive:1 is INACTIVE, and is registered anew", 128),
        (
            "ecs-deleting",
            "delete-in-progress",
            "its number: ecs-deleting:1 is DELETE_IN_PROGRESS, and is registered anew",
            128,
        ),
        ("ecs-deleted", "deleted", "nothing else: ecs-deleted:1 was deleted, so only the image goes back", 256),
    ] {
        let stage = Stage::new(name, json!({})).await;
        let first = stage.target().observe().await.unwrap().revision;
        stage.change("update", json!({"image": image(name, 2), "memory": 256, "at_once": true}));
        stage.change("state", json!({"revision": format!("{name}:1"), "state": state}));
        let exact = Step { exact: Some(first.clone()), ..stage.step(1).await };
        let differences = stage.target().differences(&exact.expect, &first).await.unwrap();
        assert!(differences.iter().any(|line| line == said), "{name}: {differences:?}");
        let deployed = stage.deploy(&exact).await;
        assert!(deployed.revision.as_str().ends_with(":3"), "{name}: {}", deployed.revision);
        assert!(matches!(stage.end(&deployed).await, Motion::Succeeded), "{name}");
        assert_eq!(stage.runs(), [(1, 2)], "{name}");
        let parameters = json!({"taskDefinition": deployed.revision.as_str()});
        let made = lab().post("ecs", &json!({"action": "DescribeTaskDefinition", "parameters": parameters}));
        assert_eq!(made["taskDefinition"]["containerDefinitions"][0]["memory"], memory, "{name}");
        // Ordered again, as after a crash, it finds what it registered.
        let again = stage.order(&exact, true).await.unwrap();
        assert_eq!(again.revision, deployed.revision, "{name}");
        assert_eq!(stage.shown()["revisions"].as_object().unwrap().len(), if state == "deleted" { 2 } else { 3 });
    }
}

#[tokio::test]
async fn what_cannot_be_moved_says_what_to_change() {
    for (name, more, word) in [
        ("ecs-codedeploy", json!({"controller": "CODE_DEPLOY"}), "CodeDeploy"),
        ("ecs-external", json!({"controller": "EXTERNAL"}), "EXTERNAL"),
        ("ecs-container", json!({"container": "web"}), "has no container app"),
        ("ecs-image", json!({"image": "NOT/an image"}), "which is no image"),
    ] {
        let stage = Stage::new(name, more).await;
        let observed = stage.target().observe().await.unwrap();
        assert!(observed.obstacles[0].what.contains(word), "{observed:?}");
        assert!(!observed.obstacles[0].fix.is_empty());
    }
}

#[tokio::test]
async fn how_tasks_are_counted_is_said_before_anything_moves() {
    for (name, more, word) in [
        ("ecs-none", json!({"size": 0, "circuit_breaker": true}), "desired count 0"),
        ("ecs-daemon", json!({"scheduling": "DAEMON", "circuit_breaker": true}), "DAEMON"),
        ("ecs-nobreaker", json!({}), "no deployment circuit breaker"),
        ("ecs-nobackup", json!({"circuit_breaker": "stop"}), "does not go back by itself"),
    ] {
        let stage = Stage::new(name, more).await;
        let observed = stage.target().observe().await.unwrap();
        assert!(observed.notes.iter().any(|note| note.contains(word)), "{name}: {:?}", observed.notes);
        let deployed = stage.deploy(&stage.step(2).await).await;
        assert!(matches!(stage.end(&deployed).await, Motion::Succeeded), "{name}");
    }
}

#[tokio::test]
async fn a_processor_without_an_image_is_foreseen() {
    let name = "ecs-arm";
    let definition = json!({
        "family": name, "memory": "64", "runtimePlatform": {"cpuArchitecture": "ARM64"},
        "containerDefinitions": [{"name": "app", "image": image(name, 1)}],
    });
    lab().post("ecs", &json!({"action": "RegisterTaskDefinition", "parameters": definition}));
    let stage = Stage::new(name, json!({"task_definition": format!("{name}:1")})).await;
    let artifact = |platforms: &[&str]| {
        let platform = |word: &&str| {
            let digest = digest(name, 5);
            let facts =
                Platform { manifest: digest.clone(), config: digest, layer_bytes: 1, created: None, labels: [].into() };
            ((*word).to_owned(), facts)
        };
        let platforms = platforms.iter().map(platform).collect();
        let repository = format!("r.test/{name}").parse().unwrap();
        let media_type = "application/vnd.oci.image.index.v1+json".to_owned();
        let oci = OciArtifact { repository, digest: digest(name, 2), media_type, platforms, tag: None };
        Image::new("web@2".parse().unwrap(), vec![Artifact::Oci(oci)], Provenance::default())
    };
    let step = stage.step(2).await;
    let outlook = stage.target().check(&artifact(&["linux/amd64"]), &step).await.unwrap();
    assert!(outlook.obstacles[0].what.contains("linux/arm64, and web@2 has only linux/amd64"), "{outlook:?}");
    let both = artifact(&["linux/amd64", "linux/arm64/v8"]);
    assert_eq!(stage.target().check(&both, &step).await.unwrap(), imgctl::model::Outlook::default());
}

#[tokio::test]
async fn a_service_that_is_not_there_is_gone_and_silence_is_not() {
    let stage = Stage::new("ecs-gone", json!({})).await;
    lab().post("fault", &json!({"kind": "denied", "action": "ListTasks", "about": stage.name, "times": 1}));
    let silent = stage.target().observe().await;
    assert!(matches!(silent, Err(TargetError::Aws(_))), "unknown is not gone: {silent:?}");
    stage.change("delete", json!({}));
    let answer = stage.target().observe().await;
    assert!(matches!(answer, Err(TargetError::Gone { .. })), "{answer:?}");
    let mut nowhere = spec("ecs-gone");
    Arc::make_mut(&mut nowhere.settings).cluster = "no-such-cluster".to_owned();
    let fleet = EcsFleet::new(vec![nowhere], &Arc::new(crate::support::aws(lab()).await));
    let answer = fleet.target(&stage.id()).unwrap().observe().await;
    assert!(matches!(&answer, Err(TargetError::Gone { what, .. }) if what.contains("no-such-cluster")), "{answer:?}");
}

#[tokio::test]
async fn many_services_are_observed_in_few_calls() {
    let region = "ap-southeast-1";
    let made = lab().post(
        "services",
        &json!({"count": 45, "prefix": "ecs-many-", "image": image("ecs-many", 1), "size": 3, "region": region, "family": "ecs-many"}),
    );
    let names: Vec<&str> = made["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let specs = names.iter().map(|name| EcsSpec { region: region.parse().unwrap(), ..spec(name) });
    let fleet = EcsFleet::new(specs.collect(), &Arc::new(crate::support::aws(lab()).await));
    let ids = names.iter().map(|name| name.parse().unwrap()).collect();
    let calls = || {
        let all = lab().get("calls?since=0");
        let calls = all["calls"].as_array().unwrap().clone();
        calls.into_iter().filter(|call| call["region"] == region).map(|call| call["action"].clone()).collect::<Vec<_>>()
    };
    for (round, most) in [("cold", 9 + 45), ("warm", 9)] {
        let before = calls().len();
        let seen = fleet.survey(&ids, Depth::Running).await;
        assert!(seen.values().all(|answer| answer.as_ref().is_ok_and(|seen| seen.running.values().sum::<u32>() == 3)));
        let asked = calls().split_off(before);
        // 5 × DescribeServices, 2 × ListTasks and 2 × DescribeTasks for 135 tasks; each task definition once ever.
        assert!(asked.len() <= most, "{round}: {} calls for 45 services: {asked:?}", asked.len());
    }
}
