//! A stage for flows: one channel, groups in the lab, a ledger that can die, and images recorded in it.

use super::lab::lab;
use super::ledger::Mortal;
use imgctl::flow::{self, ChannelSpec, Ctx, Ending, FlowError, Intent, StepNews, Watch};
use imgctl::model::{
    Actor, AmiArtifact, AmiFacts, Artifact, Channel, Event, Image, ImageKey, ImageRef, Provenance, SourceSelector, Step,
};
use imgctl::plan::Plan;
use imgctl::plan::rollback::Back;
use imgctl::provider::clock::SystemClock;
use imgctl::provider::source::{Availability, Described, ImageSource, SourceError};
use imgctl::provider::target::Fleet;
use imgctl::provider::target::asg::{AsgFleet, AsgSpec};
use imgctl::provider::target::asg_settings::AsgSettings;
use imgctl::store::LedgerStore;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub const REGION: &str = "eu-west-1";

/// Everything is available: what is not, the emulator itself refuses to launch.
pub struct Everything;

#[async_trait::async_trait]
impl ImageSource for Everything {
    async fn resolve(&self, _: &[SourceSelector]) -> Result<Described, SourceError> {
        Ok(Described::default())
    }

    async fn availability(&self, addresses: &[ImageRef]) -> BTreeMap<ImageRef, Availability> {
        addresses.iter().map(|address| (address.clone(), Availability::Available)).collect()
    }
}

#[derive(Default)]
pub struct Notes(pub Mutex<Vec<String>>);

impl Watch for Notes {
    fn began(&self, rollout: imgctl::model::Seq, _: &Plan) {
        self.0.lock().unwrap().push(format!("began {rollout}"));
    }
    fn step(&self, step: &Step, news: StepNews<'_>) {
        if !matches!(news, StepNews::Moving(_)) {
            self.0.lock().unwrap().push(format!("{} {news:?}", step.target));
        }
    }
    fn say(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

pub struct Stage {
    pub groups: Vec<String>,
    pub amis: Vec<String>,
    pub store: Mortal,
    pub actor: Actor,
    pub channels: BTreeMap<Channel, ChannelSpec>,
    pub fleet: AsgFleet,
    pub notes: Notes,
    pub stop: CancellationToken,
}

impl Stage {
    /// `groups` groups of the channel `NAME/prod`, with images `NAME@1` … recorded; the groups run the first.
    pub async fn new(name: &str, groups: usize, images: &[Value]) -> Self {
        let actor = Actor { who: "test@lab".into(), ..Actor::default() };
        let store = Mortal::new(jiff::Timestamp::now(), &actor);
        let amis: Vec<String> =
            images.iter().enumerate().map(|(at, more)| lab().ami(&format!("{name}-{at}"), more)).collect();
        for (at, ami) in amis.iter().enumerate() {
            let image = image(&format!("{name}@{}", at + 1), ami);
            store.append(jiff::Timestamp::now(), &actor, &Event::ImageRecorded { image }).unwrap();
        }
        let groups: Vec<String> =
            (0..groups).map(|at| format!("{name}-{}", char::from(b'a' + u8::try_from(at).unwrap()))).collect();
        let specs = groups.iter().map(|group| {
            lab().group(group, &amis[0], &json!({"size": 2}));
            let mut settings = AsgSettings::new(group);
            settings.poll_interval = Duration::from_millis(50);
            AsgSpec {
                id: group.parse().unwrap(),
                region: REGION.parse().unwrap(),
                group: group.clone(),
                settings: settings.into(),
            }
        });
        let specs: Vec<AsgSpec> = specs.collect();
        let targets = specs.iter().map(|spec| spec.id.clone()).collect();
        let channel: Channel = format!("{name}/prod").parse().unwrap();
        let fleet = AsgFleet::new(specs, &Arc::new(super::aws(lab()).await));
        let channels = [(channel, ChannelSpec { targets, ..ChannelSpec::default() })].into();
        Self { groups, amis, store, actor, channels, fleet, notes: Notes::default(), stop: CancellationToken::new() }
    }

    /// The same groups, with so little time for a step.
    pub async fn hurry(&mut self, limit: Duration) {
        let specs = self.groups.iter().map(|group| {
            let mut settings = AsgSettings::new(group);
            (settings.poll_interval, settings.time_limit) = (Duration::from_millis(50), limit);
            AsgSpec {
                id: group.parse().unwrap(),
                region: REGION.parse().unwrap(),
                group: group.clone(),
                settings: settings.into(),
            }
        });
        self.fleet = AsgFleet::new(specs.collect(), &Arc::new(super::aws(lab()).await));
    }

    pub fn ctx(&self) -> Ctx<'_> {
        Ctx {
            store: &self.store,
            clock: &SystemClock,
            actor: &self.actor,
            channels: &self.channels,
            fleet: &self.fleet as &dyn Fleet,
            pointers: &[],
            images: &Everything,
            stop: self.stop.clone(),
            watch: &self.notes,
        }
    }

    pub fn channel(&self) -> Channel {
        self.channels.keys().next().unwrap().clone()
    }

    pub fn key(&self, version: &str) -> ImageKey {
        format!("{}@{version}", self.channel().name).parse().unwrap()
    }

    pub async fn promote(&self, version: &str) -> Result<Ending, FlowError> {
        let intent = Intent::Promote { channel: self.channel(), image: self.key(version), overrides: BTreeSet::new() };
        self.go(&intent).await
    }

    pub async fn rollback(&self, back: Back) -> Result<Ending, FlowError> {
        self.go(&Intent::Rollback { channel: self.channel(), back }).await
    }

    async fn go(&self, intent: &Intent) -> Result<Ending, FlowError> {
        self.go_and(intent, true).await
    }

    /// Promotes, and ends when every group has its order.
    pub async fn order(&self, version: &str) -> Result<Ending, FlowError> {
        let intent = Intent::Promote { channel: self.channel(), image: self.key(version), overrides: BTreeSet::new() };
        self.go_and(&intent, false).await
    }

    async fn go_and(&self, intent: &Intent, wait: bool) -> Result<Ending, FlowError> {
        let ctx = self.ctx();
        let plan = flow::plan(&ctx, intent).await?;
        flow::run(&ctx, intent, plan, Some("because"), wait).await
    }

    /// What every group runs, as versions: `1`, or `1+2` where mixed.
    pub fn runs(&self) -> Vec<String> {
        let version = |ami: &String| (self.amis.iter().position(|known| known == ami).unwrap() + 1).to_string();
        let of = |group: &String| {
            let by_ami = lab().show(group)["by_ami"].clone();
            let mut versions: Vec<String> = by_ami.as_object().unwrap().keys().map(version).collect();
            versions.sort();
            versions.join("+")
        };
        self.groups.iter().map(of).collect()
    }
}

pub fn image(key: &str, ami: &str) -> Image {
    let artifact = AmiArtifact {
        account: "123456789012".into(),
        region: REGION.parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
        id: ami.parse().unwrap(),
        facts: AmiFacts::default(),
    };
    Image::new(key.parse().unwrap(), vec![Artifact::Ami(artifact)], Provenance::default())
}
