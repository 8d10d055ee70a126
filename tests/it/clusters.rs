//! The corridor end to end over Kubernetes workloads: promote, roll back, fail, and die after every write.

use crate::support::cluster::{Cluster, image, post, runs, show};
use crate::support::ledger::Mortal;
use crate::support::stage::{Everything, Notes};
use imgctl::flow::{self, ChannelSpec, Ctx, Ending, FlowError, Intent};
use imgctl::model::{
    Actor, Artifact, Channel, Digest, Event, Image, ImageKey, ImageRef, LedgerView, Lookup, OciArtifact, Outcome,
    Platform, Provenance,
};
use imgctl::plan::rollback::Back;
use imgctl::plan::{BlockerKind, FindingKind};
use imgctl::provider::clock::SystemClock;
use imgctl::provider::target::kubernetes::{KubernetesFleet, KubernetesSpec};
use imgctl::provider::target::kubernetes_settings::KubernetesSettings;
use imgctl::store::LedgerStore;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// One channel that workloads of the lab follow, with three images recorded in a ledger that can die.
struct Stage {
    workloads: Vec<String>,
    store: Mortal,
    actor: Actor,
    channels: BTreeMap<Channel, ChannelSpec>,
    fleet: KubernetesFleet,
    notes: Notes,
}

impl Stage {
    async fn new(name: &str, kinds: &[&str]) -> Self {
        Self::with(name, kinds, json!({}), |_| {}).await
    }

    async fn with(name: &str, kinds: &[&str], more: Value, settings: impl Fn(&mut KubernetesSettings)) -> Self {
        let actor = Actor { who: "test@lab".into(), ..Actor::default() };
        let store = Mortal::new(jiff::Timestamp::now(), &actor);
        for version in 1..=3 {
            let event = Event::ImageRecorded { image: recorded(name, version) };
            store.append(jiff::Timestamp::now(), &actor, &event).unwrap();
        }
        let workloads: Vec<String> = kinds.iter().map(|kind| format!("{kind}/{name}")).collect();
        let mut specs = Vec::new();
        for workload in &workloads {
            Cluster::Lab.create(workload, &image(name, 1), more.clone()).await;
            let mut own = Cluster::Lab.settings(workload);
            settings(&mut own);
            specs.push(KubernetesSpec { id: workload.parse().unwrap(), settings: own.into() });
        }
        let targets = specs.iter().map(|spec| spec.id.clone()).collect();
        let channel: Channel = format!("{name}/prod").parse().unwrap();
        let spec = ChannelSpec { targets, ..ChannelSpec::default() };
        let (fleet, channels) = (KubernetesFleet::new(specs), [(channel, spec)].into());
        Self { workloads, store, actor, channels, fleet, notes: Notes::default() }
    }

    fn ctx(&self) -> Ctx<'_> {
        Ctx {
            store: &self.store,
            clock: &SystemClock,
            actor: &self.actor,
            channels: &self.channels,
            fleet: &self.fleet,
            pointers: &[],
            images: &Everything,
            stop: CancellationToken::new(),
            watch: &self.notes,
        }
    }

    fn channel(&self) -> Channel {
        self.channels.keys().next().unwrap().clone()
    }

    async fn plan(&self, version: u32) -> imgctl::plan::Plan {
        flow::plan(&self.ctx(), &self.promotion(version)).await.unwrap()
    }

    fn promotion(&self, version: u32) -> Intent {
        let image: ImageKey = format!("{}@{version}", self.channel().name).parse().unwrap();
        Intent::Promote { channel: self.channel(), image, overrides: BTreeSet::new() }
    }

    async fn promote(&self, version: u32) -> Result<Ending, FlowError> {
        self.go(&self.promotion(version)).await
    }

    async fn rollback(&self) -> Result<Ending, FlowError> {
        self.go(&Intent::Rollback { channel: self.channel(), back: Back::default() }).await
    }

    /// Promotes, and ends when every workload has its order.
    async fn order(&self, version: u32) -> Ending {
        self.go_and(&self.promotion(version), false).await.unwrap()
    }

    async fn go(&self, intent: &Intent) -> Result<Ending, FlowError> {
        self.go_and(intent, true).await
    }

    async fn go_and(&self, intent: &Intent, wait: bool) -> Result<Ending, FlowError> {
        let ctx = self.ctx();
        let plan = flow::plan(&ctx, intent).await?;
        flow::run(&ctx, intent, plan, Some("because"), wait).await
    }

    /// What each workload's ready pods run, as versions: `1`, or `1+2` where mixed.
    fn runs(&self) -> Vec<String> {
        let name = self.channel().name.to_string();
        let version = |shown: &String| {
            let known = (1..=3).find(|version| image(&name, *version) == *shown);
            known.map_or_else(|| "?".to_owned(), |version| version.to_string())
        };
        let of = |workload: &String| runs(workload).keys().map(version).collect::<Vec<_>>().join("+");
        self.workloads.iter().map(of).collect()
    }

    /// The channel's current version, and whether a rollout is open.
    fn standing(&self) -> (Option<String>, bool) {
        let view = self.store.snapshot();
        let state = Lookup(&view).channel(&self.channel()).unwrap();
        (state.current.map(|release| release.image.version.to_string()), state.open.is_some())
    }
}

/// The digest of a platform's manifest of this image.
fn child(name: &str, version: u32) -> Digest {
    Digest::of(format!("{name} {version} linux/arm64").as_bytes())
}

fn recorded(name: &str, version: u32) -> Image {
    let ImageRef::Oci { repository, digest } = image(name, version).parse().unwrap() else { panic!("no AMI here") };
    let platform = Platform {
        manifest: child(name, version),
        config: Digest::of(b"config"),
        layer_bytes: 1,
        created: None,
        labels: BTreeMap::new(),
    };
    let artifact = OciArtifact {
        repository,
        digest,
        media_type: "application/vnd.oci.image.index.v1+json".into(),
        platforms: [("linux/arm64".to_owned(), platform)].into(),
        tag: None,
    };
    Image::new(format!("{name}@{version}").parse().unwrap(), vec![Artifact::Oci(artifact)], Provenance::default())
}

#[tokio::test]
async fn promote_rollback_and_both_again() {
    let stage = Stage::new("k-both", &["deployment", "statefulset", "daemonset"]).await;
    for version in 1..=3 {
        let ending = stage.promote(version).await.unwrap();
        assert_eq!(ending.outcome, Some(Outcome::Succeeded), "{:?}", ending.reports);
        assert_eq!(stage.runs(), vec![version.to_string(); 3]);
    }
    assert!(stage.promote(3).await.unwrap().rollout.is_none(), "promoted twice: nothing to do");
    stage.rollback().await.unwrap();
    assert_eq!((stage.runs(), stage.standing()), (vec!["2".to_owned(); 3], (Some("2".to_owned()), false)));
    assert!(stage.rollback().await.unwrap().rollout.is_none(), "rolled back twice: nothing to do");
}

#[tokio::test]
async fn a_crash_looping_image_is_brought_back_everywhere() {
    let kinds = ["daemonset", "deployment", "statefulset"];
    let stage = Stage::with("k-crash", &kinds, json!({}), |own| own.stuck_after = Duration::ZERO).await;
    stage.promote(1).await.unwrap();
    post("behave", &json!({"image": image("k-crash", 2), "as": "crash"}));
    let ending = stage.promote(2).await.unwrap();
    let said = format!("{:?} {:?}", ending.outcome, ending.reports);
    let returned = ending.returned.expect(&said);
    assert_eq!(returned.outcome, Some(Outcome::Succeeded), "{:?}", returned.reports);
    assert_eq!((stage.runs(), stage.standing()), (vec!["1".to_owned(); 3], (Some("1".to_owned()), false)));
    for workload in &stage.workloads {
        assert_eq!(show(workload)["images"]["app"], image("k-crash", 1), "{workload}");
    }
}

#[tokio::test]
async fn pods_that_die_after_their_rollout_has_ended_fail_the_step_all_the_same() {
    let stage = Stage::with("k-dies", &["deployment"], json!({}), |own| {
        own.stuck_after = Duration::from_secs(3600);
        own.poll_interval = Duration::from_millis(100);
    })
    .await;
    stage.promote(1).await.unwrap();
    post("behave", &json!({"image": image("k-dies", 2), "as": "die"}));
    let ending = stage.promote(2).await.unwrap();
    assert!(ending.returned.is_some(), "{:?}", ending.reports);
    assert_eq!((stage.runs(), stage.standing()), (vec!["1".to_owned()], (Some("1".to_owned()), false)));
}

#[tokio::test]
async fn dying_after_every_write_ends_with_ledger_and_cluster_agreed() {
    for writes in 0..=5 {
        let stage = Stage::new(&format!("k-die{writes}"), &["deployment"]).await;
        stage.promote(1).await.unwrap();
        stage.store.dies_after(writes);
        let died = stage.promote(2).await.is_err();
        stage.store.lives();
        assert_eq!(died, writes < 5, "a promotion of one target is five writes");
        match flow::resume(&stage.ctx(), None).await {
            Ok(ending) => assert_eq!(ending.outcome, Some(Outcome::Succeeded), "{writes}: {:?}", ending.reports),
            Err(FlowError::NothingOpen) => assert!(writes == 0 || writes == 5, "{writes}"),
            Err(error) => panic!("{writes}: {error}"),
        }
        let now = if writes == 0 { "1" } else { "2" };
        let expected = (vec![now.to_owned()], (Some(now.to_owned()), false));
        assert_eq!((stage.runs(), stage.standing()), expected, "{writes}");
        let kept = show(&stage.workloads[0])["history"].as_u64().unwrap();
        assert!(kept <= 2, "{writes}: no template was made twice");
    }
}

#[tokio::test]
async fn a_rollback_takes_the_place_of_a_promotion_under_way() {
    let stage = Stage::new("k-over", &["deployment"]).await;
    stage.promote(1).await.unwrap();
    assert_eq!(stage.order(2).await.outcome, None);
    let ending = stage.rollback().await.unwrap();
    assert_eq!(ending.outcome, Some(Outcome::Succeeded), "{:?}", ending.reports);
    assert_eq!((stage.runs(), stage.standing()), (vec!["1".to_owned()], (Some("1".to_owned()), false)));
}

#[tokio::test]
async fn what_is_denied_is_said_before_anything_moves() {
    let stage = Stage::new("k-denied", &["deployment"]).await;
    stage.promote(1).await.unwrap();
    let generation = show("deployment/k-denied")["object"]["metadata"]["generation"].clone();
    post("fault", &json!({"admission": "not signed by a trusted key", "method": "PATCH", "path": "/k-denied"}));
    let plan = stage.plan(2).await;
    let blocker = &plan.blockers[0];
    assert_eq!((plan.blockers.len(), blocker.kind), (1, BlockerKind::Obstacle), "{:?}", plan.blockers);
    assert!(blocker.what.contains("not signed by a trusted key"), "{}", blocker.what);
    post("fault", &json!({"forbidden": true, "method": "PATCH", "path": "/k-denied"}));
    let plan = stage.plan(2).await;
    assert!(plan.blockers[0].what.contains("was denied"), "{:?}", plan.blockers);
    assert!(plan.blockers[0].fix.contains("verbs: [\"patch\"]"), "{:?}", plan.blockers);
    assert!(stage.plan(2).await.blockers.is_empty());
    assert_eq!(
        show("deployment/k-denied")["object"]["metadata"]["generation"],
        generation,
        "rehearsed, and not stored"
    );
}

#[tokio::test]
async fn an_aborted_rollout_is_paused_and_a_rollback_goes_on_from_there() {
    let stage = Stage::new("k-abort", &["deployment"]).await;
    stage.promote(1).await.unwrap();
    assert_eq!(stage.order(2).await.outcome, None);
    let id = Lookup(&stage.store.snapshot()).open_rollouts().unwrap()[0].id;
    let aborted = flow::abort(&stage.ctx(), id, "changed my mind").await.unwrap();
    assert_eq!(aborted.cancelled.len(), 1);
    assert_eq!(show("deployment/k-abort")["object"]["spec"]["paused"], true);
    let ending = stage.rollback().await.unwrap();
    assert_eq!(ending.outcome, Some(Outcome::Succeeded), "{:?}", ending.reports);
    assert_eq!(stage.runs(), ["1"]);
    assert!(stage.store.snapshot().head().seq > id);
}

#[tokio::test]
async fn drift_sees_mixed_pods_and_takes_an_index_and_its_platforms_for_one_image() {
    let stage = Stage::new("k-drift", &["deployment"]).await;
    stage.promote(1).await.unwrap();
    let kinds = async || {
        let findings = flow::drift(&stage.ctx(), &[stage.channel()], &[], &imgctl::iac::Passphrase::default(), None)
            .await
            .unwrap()
            .findings;
        findings.into_iter().map(|finding| finding.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds().await, [FindingKind::InSync]);
    // Somebody wrote the digest of one platform's manifest of the same image.
    let platform = format!("registry.example.com/shop/web@{}", child("k-drift", 1));
    let written = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": platform}]);
    let edit = json!({"workload": "deployment/k-drift", "type": "application/json-patch+json", "patch": written});
    post("edit", &edit);
    for _ in 0..500 {
        if runs("deployment/k-drift").keys().eq([&platform]) && stage.plan(2).await.blockers.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(kinds().await, [FindingKind::InSync], "an index equals its children");
    stage.promote(2).await.unwrap();
    post("behave", &json!({"image": image("k-drift", 3), "as": "unready"}));
    let theirs =
        json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image("k-drift", 3)}]);
    post("edit", &json!({"workload": "deployment/k-drift", "type": "application/json-patch+json", "patch": theirs}));
    assert_eq!(kinds().await, [FindingKind::Mixed, FindingKind::Tampered]);
    post("fault", &json!({"status": 500, "path": "/deployments/k-drift", "times": 1}));
    assert_eq!(kinds().await, [FindingKind::Unreachable], "never in sync");
}
