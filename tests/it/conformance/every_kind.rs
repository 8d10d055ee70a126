//! What every kind of target must do on its way through the whole corridor: die anywhere, fail, be silent, go back.

use crate::support::cluster::{self, Cluster, image as container};
use crate::support::lab::lab;
use crate::support::ledger::Mortal;
use crate::support::stage::{Everything, Notes, REGION};
use imgctl::flow::{self, ChannelSpec, Ctx, Ending, FlowError, Intent, recorded_revisions};
use imgctl::model::{
    Actor, AmiArtifact, AmiFacts, Artifact, Channel, Event, Image, ImageKey, ImageRef, Lookup, OciArtifact, Outcome,
    Provenance, TargetId,
};
use imgctl::plan::rollback::Back;
use imgctl::plan::{FindingKind, Plan, Sight};
use imgctl::provider::aws::Access;
use imgctl::provider::clock::SystemClock;
use imgctl::provider::target::asg_settings::AsgSettings;
use imgctl::provider::target::ecs_settings::EcsSettings;
use imgctl::provider::target::launch_template::LaunchTemplateSettings;
use imgctl::provider::target::spec::{self, TargetSettings, TargetSpec};
use imgctl::provider::target::{Depth, Fleet};
use imgctl::store::LedgerStore;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Calls that are lost are asked again by the SDK this often.
const ATTEMPTS: u32 = 3;
/// Started; ordered, deployed, succeeded; finished.
const WRITES: i64 = 5;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Group,
    Mixed,
    Template,
    Service,
    Workload(&'static str),
}

/// A call that changes something, to be made to fail.
enum Write {
    Aws { action: &'static str, about: String },
    Patch { path: String },
}

impl Write {
    fn fail(&self, kind: &str) {
        match self {
            Self::Aws { action, about } => {
                let times = if kind == "denied" { 1 } else { ATTEMPTS };
                drop(lab().post("fault", &json!({"kind": kind, "action": action, "about": about, "times": times})));
            }
            Self::Patch { path } => {
                let kind = if kind == "denied" { "forbidden" } else { kind };
                cluster::post("fault", &json!({kind: true, "method": "PATCH", "path": path}));
            }
        }
    }
}

impl Kind {
    /// An object that runs the first image.
    async fn make(self, name: &str, images: &[ImageRef]) {
        let ami = |at: usize| images[at].short();
        match self {
            Self::Group | Self::Template => drop(lab().group(name, &ami(0), &json!({"size": 2}))),
            Self::Mixed => {
                let arm = json!({"instance_type": "t4g.small", "ami": ami(1), "template_name": format!("{name}-arm")});
                drop(lab().group(name, &ami(0), &json!({"size": 2, "mixed": [{"instance_type": "t3.small"}, arm]})));
            }
            Self::Service => {
                let body = json!({"name": name, "image": images[0].to_string(), "circuit_breaker": true, "size": 1});
                drop(lab().post("service", &body));
            }
            Self::Workload(_) => Cluster::Lab.create(&self.workload(name), &images[0].to_string(), json!({})).await,
        }
    }

    fn workload(self, name: &str) -> String {
        match self {
            Self::Workload(kind) => format!("{kind}/{name}"),
            _ => name.to_owned(),
        }
    }

    fn settings(self, name: &str) -> TargetSettings {
        let poll = Duration::from_millis(20);
        match self {
            Self::Group | Self::Mixed => {
                TargetSettings::Asg(AsgSettings { poll_interval: poll, ..AsgSettings::new(name) }.into())
            }
            Self::Template => TargetSettings::LaunchTemplate(
                LaunchTemplateSettings { id: template(name), poll_interval: poll }.into(),
            ),
            Self::Service => {
                let settings = EcsSettings::new("main", name, "app".parse().unwrap());
                TargetSettings::Ecs(EcsSettings { poll_interval: poll, ..settings }.into())
            }
            Self::Workload(_) => TargetSettings::Kubernetes(Cluster::Lab.settings(&self.workload(name)).into()),
        }
    }

    /// The addresses of one version: an AMI for each architecture that is needed, or a container image.
    fn publish(self, name: &str, version: u32) -> Vec<ImageRef> {
        let ami = |more: &str, body: &Value| {
            let id = lab().ami(&format!("{name}-{version}{more}"), body).parse().unwrap();
            ImageRef::Ami { region: REGION.parse().unwrap(), id }
        };
        match self {
            Self::Group | Self::Template => vec![ami("", &json!({}))],
            Self::Mixed => vec![ami("", &json!({})), ami("-arm", &json!({"architecture": "arm64"}))],
            Self::Service | Self::Workload(_) => vec![container(name, version).parse().unwrap()],
        }
    }

    /// Every call with which a step changes something, in order.
    fn writes(self, name: &str) -> Vec<Write> {
        let aws = |action, about: &str| Write::Aws { action, about: about.to_owned() };
        match self {
            Self::Group | Self::Mixed => {
                vec![aws("CreateLaunchTemplateVersion", &template(name)), aws("StartInstanceRefresh", name)]
            }
            Self::Template => {
                let id = template(name);
                vec![aws("CreateLaunchTemplateVersion", &id), aws("ModifyLaunchTemplate", &id)]
            }
            Self::Service => vec![aws("RegisterTaskDefinition", name), aws("UpdateService", name)],
            Self::Workload(kind) => vec![Write::Patch { path: format!("/{kind}s/{name}") }],
        }
    }

    /// The next look at the object is refused.
    fn hide(self, name: &str) {
        let denied = |action: &str, about: &str| {
            drop(lab().post("fault", &json!({"kind": "denied", "action": action, "about": about, "times": 1})));
        };
        match self {
            Self::Group | Self::Mixed => denied("DescribeAutoScalingGroups", name),
            Self::Template => denied("DescribeLaunchTemplateVersions", &template(name)),
            Self::Service => denied("ListTasks", name),
            Self::Workload(kind) => {
                let path = format!("/{kind}s/{name}");
                cluster::post("fault", &json!({"forbidden": true, "method": "GET", "path": path}));
            }
        }
    }

    /// Somebody else changes the object, and leaves its image alone.
    async fn disturb(self, name: &str, images: &[ImageRef]) {
        let drift = |kind: &str| {
            drop(lab().post("drift", &json!({"group": name, "kind": kind, "ami": images[0].short()})));
        };
        match self {
            Self::Group | Self::Mixed => drift("template-version"),
            Self::Template => drift("default-version"),
            Self::Service => {
                let image = images[0].to_string();
                let body = json!({"name": name, "kind": "update", "image": image, "memory": 256, "at_once": true});
                drop(lab().post("service/change", &body));
            }
            Self::Workload(kind) => {
                let pod = json!({"template": {"metadata": {"annotations": {"theirs": "1"}}}});
                let spec = if kind == "cronjob" { json!({"jobTemplate": {"spec": pod}}) } else { pod };
                Cluster::Lab.edit(&self.workload(name), json!({"spec": spec})).await;
            }
        }
    }

    /// How many versions of itself the object has had, where more than one for one order would be a fault.
    fn versions(self, name: &str) -> Option<u64> {
        match self {
            Self::Group | Self::Mixed | Self::Template => lab().show(name)["config"]["latest_version"].as_u64(),
            Self::Workload(_) => cluster::show(&self.workload(name))["object"]["metadata"]["generation"].as_u64(),
            // ECS knows no idempotency token: a lost answer may leave a revision that nothing runs.
            Self::Service => None,
        }
    }
}

fn template(name: &str) -> String {
    lab().show(name)["config"]["template_id"].as_str().unwrap().to_owned()
}

/// One channel that objects of one kind follow, with three images recorded in a ledger that can die.
struct Stage {
    names: Vec<String>,
    /// Version − 1 → its addresses.
    images: Vec<Vec<ImageRef>>,
    store: Mortal,
    actor: Actor,
    channels: BTreeMap<Channel, ChannelSpec>,
    fleet: Box<dyn Fleet>,
    notes: Notes,
}

impl Stage {
    /// The objects are called `NAME-a`, `NAME-b` …, and are at version 1.
    async fn new(kind: Kind, name: &str, count: u8) -> Self {
        let actor = Actor { who: "test@lab".into(), ..Actor::default() };
        let store = Mortal::new(jiff::Timestamp::now(), &actor);
        let images: Vec<Vec<ImageRef>> = (1..=2).map(|version| kind.publish(name, version)).collect();
        for (version, addresses) in (1..).zip(&images) {
            let image = recorded(&format!("{name}@{version}"), addresses);
            store.append(jiff::Timestamp::now(), &actor, &Event::ImageRecorded { image }).unwrap();
        }
        let names: Vec<String> = (0..count).map(|at| format!("{name}-{}", char::from(b'a' + at))).collect();
        let channel: Channel = format!("{name}/prod").parse().unwrap();
        let mut specs = Vec::new();
        for name in &names {
            kind.make(name, &images[0]).await;
            specs.push(TargetSpec {
                id: name.parse().unwrap(),
                channel: channel.clone(),
                wave: 1,
                region: Some(REGION.parse().unwrap()),
                access: Access::default(),
                settings: kind.settings(name),
            });
        }
        let targets = specs.iter().map(|spec| spec.id.clone()).collect();
        let fleet = spec::fleet(specs, &Arc::new(crate::support::aws(lab()).await)).unwrap();
        let channels = [(channel, ChannelSpec { targets, ..ChannelSpec::default() })].into();
        let stage = Self { names, images, store, actor, channels, fleet, notes: Notes::default() };
        stage.done(stage.promote(1).await.unwrap());
        stage
    }

    fn ctx(&self) -> Ctx<'_> {
        Ctx {
            store: &self.store,
            clock: &SystemClock,
            actor: &self.actor,
            channels: &self.channels,
            fleet: &*self.fleet,
            pointers: &[],
            images: &Everything,
            stop: CancellationToken::new(),
            watch: &self.notes,
        }
    }

    fn channel(&self) -> Channel {
        self.channels.keys().next().unwrap().clone()
    }

    fn promotion(&self, version: u32) -> Intent {
        let image: ImageKey = format!("{}@{version}", self.channel().name).parse().unwrap();
        Intent::Promote { channel: self.channel(), image, overrides: Default::default() }
    }

    fn return_by(&self, back: Back) -> Intent {
        Intent::Rollback { channel: self.channel(), back }
    }

    async fn plan(&self, intent: &Intent) -> Plan {
        flow::plan(&self.ctx(), intent).await.unwrap()
    }

    async fn run(&self, intent: &Intent, plan: Plan) -> Result<Ending, FlowError> {
        flow::run(&self.ctx(), intent, plan, Some("because"), true).await
    }

    async fn promote(&self, version: u32) -> Result<Ending, FlowError> {
        let intent = self.promotion(version);
        self.run(&intent, self.plan(&intent).await).await
    }

    async fn rollback(&self, back: Back) -> Result<Ending, FlowError> {
        let intent = self.return_by(back);
        self.run(&intent, self.plan(&intent).await).await
    }

    #[track_caller]
    fn done(&self, ending: Ending) {
        assert_eq!(ending.outcome, Some(Outcome::Succeeded), "{:?}", ending.reports);
    }

    async fn kinds(&self) -> BTreeSet<FindingKind> {
        let findings = flow::drift(&self.ctx(), &[self.channel()], &[], &imgctl::iac::Passphrase::default(), None)
            .await
            .unwrap()
            .findings;
        findings.into_iter().map(|finding| finding.kind).collect()
    }

    /// Every object is configured with this version and runs nothing else, ledger and platform agree, nothing is open.
    async fn at(&self, version: u32, when: &str) {
        let wanted: BTreeSet<&ImageRef> = self.images[version as usize - 1].iter().collect();
        let ids: BTreeSet<TargetId> = self.names.iter().map(|name| name.parse().unwrap()).collect();
        for (id, seen) in self.fleet.survey(&ids, Depth::Deploying).await {
            let seen = seen.unwrap();
            let configured: BTreeSet<&ImageRef> = seen.slots.values().filter_map(|slot| slot.image.now()).collect();
            assert_eq!(configured, wanted, "{when}: {id} is configured with another version");
            assert!(seen.running.keys().all(|image| wanted.contains(image)), "{when}: {id}: {:?}", seen.running);
        }
        assert_eq!(self.kinds().await, [FindingKind::InSync].into(), "{when}");
        let view = self.store.snapshot();
        let state = Lookup(&view).channel(&self.channel()).unwrap();
        assert_eq!(state.current.unwrap().image.version.to_string(), version.to_string(), "{when}");
        assert!(state.open.is_none(), "{when}: a rollout is open");
    }

    /// The process dies after so many writes; another one takes up what it left. Says whether it had died.
    async fn dies(&self, intent: &Intent, writes: i64) -> bool {
        let plan = self.plan(intent).await;
        self.store.dies_after(writes);
        let died = self.run(intent, plan).await.is_err();
        self.store.lives();
        match flow::resume(&self.ctx(), None).await {
            Ok(ending) => self.done(ending),
            Err(FlowError::NothingOpen) => assert!(writes == 0 || writes == WRITES, "{writes}"),
            Err(error) => panic!("{writes}: {error}"),
        }
        died
    }
}

fn recorded(key: &str, addresses: &[ImageRef]) -> Image {
    let artifact = |(at, address): (usize, &ImageRef)| match address {
        ImageRef::Ami { region, id } => Artifact::Ami(AmiArtifact {
            account: "123456789012".into(),
            region: region.clone(),
            arch: if at == 0 { "x86_64" } else { "arm64" }.parse().unwrap(),
            id: id.clone(),
            facts: AmiFacts::default(),
        }),
        ImageRef::Oci { repository, digest } => Artifact::Oci(OciArtifact {
            repository: repository.clone(),
            digest: digest.clone(),
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            platforms: BTreeMap::new(),
            tag: None,
        }),
    };
    let artifacts = addresses.iter().enumerate().map(artifact).collect();
    Image::new(key.parse().unwrap(), artifacts, Provenance::default())
}

async fn a_promotion_that_dies_after_every_write(kind: Kind, name: &str) {
    for writes in 0..=WRITES {
        let stage = Stage::new(kind, &format!("{name}{writes}"), 1).await;
        let before = kind.versions(&stage.names[0]);
        assert_eq!(stage.dies(&stage.promotion(2), writes).await, writes < WRITES, "a promotion is five writes");
        let moved = if writes == 0 { 1 } else { 2 };
        stage.at(moved, &format!("promotion died after {writes} writes")).await;
        let expected = before.map(|before| before + u64::from(writes > 0));
        assert_eq!(kind.versions(&stage.names[0]), expected, "{writes}: one new version, once");
    }
}

async fn a_rollback_that_dies_after_every_write(kind: Kind, name: &str) {
    for writes in 0..=WRITES {
        let stage = Stage::new(kind, &format!("{name}{writes}"), 1).await;
        stage.done(stage.promote(2).await.unwrap());
        let back = stage.return_by(Back::default());
        assert_eq!(stage.dies(&back, writes).await, writes < WRITES, "a rollback is five writes");
        let at = if writes == 0 { 2 } else { 1 };
        stage.at(at, &format!("rollback died after {writes} writes")).await;
        if writes > 0 {
            assert!(stage.rollback(Back::default()).await.unwrap().rollout.is_none(), "twice: nothing to do");
            stage.at(1, "rolled back twice").await;
        }
    }
}

async fn answers_that_get_lost(kind: Kind, name: &str) {
    for fault in ["drop", "lose"] {
        let count = if matches!(kind, Kind::Workload(_)) { 1 } else { 2 };
        for at in 0..count {
            let stage = Stage::new(kind, &format!("{name}{fault}{at}"), 1).await;
            let before = kind.versions(&stage.names[0]);
            let intent = stage.promotion(2);
            let plan = stage.plan(&intent).await;
            kind.writes(&stage.names[0])[at].fail(fault);
            let ending = stage.run(&intent, plan).await.unwrap();
            assert_eq!(ending.outcome, None, "{fault} {at}: no answer is not a no: {:?}", ending.reports);
            stage.done(flow::resume(&stage.ctx(), None).await.unwrap());
            stage.at(2, &format!("{fault} {at}")).await;
            assert_eq!(kind.versions(&stage.names[0]), before.map(|before| before + 1), "{fault} {at}: made once");
        }
    }
}

async fn one_of_two_that_refuses(kind: Kind, name: &str) {
    let stage = Stage::new(kind, name, 2).await;
    let intent = stage.promotion(2);
    let plan = stage.plan(&intent).await;
    kind.writes(&stage.names[1]).last().unwrap().fail("denied");
    let ending = stage.run(&intent, plan).await.unwrap();
    let returned = ending.returned.expect("what moved comes back by itself");
    assert_eq!(returned.outcome, Some(Outcome::Succeeded), "{:?}", returned.reports);
    assert!(ending.runs.values().all(|sight| matches!(sight, Sight::Seen(_))), "{:?}", ending.runs);
    stage.at(1, "one of two refused").await;
}

async fn one_that_is_silent(kind: Kind, name: &str) {
    let stage = Stage::new(kind, name, 1).await;
    kind.hide(&stage.names[0]);
    assert_eq!(stage.kinds().await, [FindingKind::Unreachable].into(), "never in sync");
    kind.hide(&stage.names[0]);
    let plan = stage.plan(&stage.promotion(2)).await;
    assert!(plan.is_unread() && plan.steps.is_empty(), "{:?}", plan.blockers);
    stage.at(1, "heard again").await;
}

async fn one_that_was_changed_after_the_plan(kind: Kind, name: &str) {
    let stage = Stage::new(kind, name, 1).await;
    let intent = stage.promotion(2);
    let plan = stage.plan(&intent).await;
    kind.disturb(&stage.names[0], &stage.images[0]).await;
    let before = kind.versions(&stage.names[0]);
    let ending = stage.run(&intent, plan).await.unwrap();
    let said = format!("{:?}", ending.outcome);
    assert!(said.contains("and the plan was made when it was at"), "{said}");
    assert_eq!(kind.versions(&stage.names[0]), before, "nothing was changed");
    assert!(!stage.kinds().await.contains(&FindingKind::Unreachable));
}

async fn one_that_goes_back_exactly(kind: Kind, name: &str) {
    let stage = Stage::new(kind, name, 1).await;
    let id: TargetId = stage.names[0].parse().unwrap();
    let first = stage.fleet.target(&id).unwrap().observe().await.unwrap().revision;
    stage.done(stage.promote(2).await.unwrap());
    let image: ImageKey = format!("{}@1", stage.channel().name).parse().unwrap();
    let exact = Some(recorded_revisions(&stage.store, &image).unwrap());
    stage.done(stage.rollback(Back { exact, ..Back::default() }).await.unwrap());
    assert_eq!(stage.fleet.target(&id).unwrap().observe().await.unwrap().revision, first, "the very same revision");
    stage.at(1, "exactly").await;
}

macro_rules! every_kind {
    ($($name:ident: $kind:expr;)*) => { $(
        mod $name {
            use super::*;

            /// Short: a container image's digest holds it.
            fn named(rule: &str) -> String {
                format!("ek{}-{rule}", stringify!($name))
            }

            #[tokio::test]
            async fn a_promotion_may_die_after_every_write() {
                a_promotion_that_dies_after_every_write($kind, &named("dp")).await;
            }

            #[tokio::test]
            async fn a_rollback_may_die_after_every_write_and_twice_is_nothing() {
                a_rollback_that_dies_after_every_write($kind, &named("dr")).await;
            }

            #[tokio::test]
            async fn an_answer_may_get_lost_at_every_call() {
                answers_that_get_lost($kind, &named("al")).await;
            }

            #[tokio::test]
            async fn all_or_none() {
                one_of_two_that_refuses($kind, &named("an")).await;
            }

            #[tokio::test]
            async fn silence_is_never_in_sync() {
                one_that_is_silent($kind, &named("si")).await;
            }

            #[tokio::test]
            async fn a_stale_revision_is_refused() {
                one_that_was_changed_after_the_plan($kind, &named("st")).await;
            }

            #[tokio::test]
            async fn exactly_is_to_the_very_revision() {
                one_that_goes_back_exactly($kind, &named("ex")).await;
            }
        }
    )* };
}

every_kind! {
    group: Kind::Group;
    mixed: Kind::Mixed;
    template: Kind::Template;
    service: Kind::Service;
    deployment: Kind::Workload("deployment");
    statefulset: Kind::Workload("statefulset");
    daemonset: Kind::Workload("daemonset");
    cronjob: Kind::Workload("cronjob");
}
