//! Random histories: from a row of numbers, whatever could happen next, most of it legal.

use imgctl::model::{
    AmiArtifact, AmiFacts, Artifact, Cause, Channel, Digest, Event, FindingId, Image, ImageKey, ImageRef, LedgerView,
    Lookup, NotedFinding, OciArtifact, Outcome, Provenance, Rollout, Scope, Step, StepState,
};
use std::collections::{BTreeMap, BTreeSet};

const NAMES: [&str; 3] = ["web", "api", "a.b_c-d"];
const ENVS: [&str; 2] = ["prod", "staging"];

/// Numbers that are the same in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        // Knuth's MMIX generator; its high bits are good enough to choose by.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }
}

pub fn key(name: &str, version: u64) -> ImageKey {
    format!("{name}@1.{version}").parse().unwrap()
}

pub fn channel(text: &str) -> Channel {
    text.parse().unwrap()
}

pub fn ami(number: u64, region: &str) -> Artifact {
    let id = format!("ami-{number:017x}").parse().unwrap();
    let (region, arch) = (region.parse().unwrap(), "x86_64".parse().unwrap());
    Artifact::Ami(AmiArtifact { account: "123456789012".into(), region, arch, id, facts: AmiFacts::default() })
}

pub fn container(name: &str, number: u64) -> Artifact {
    let (repository, digest) =
        (format!("registry.example.com/team/{name}").parse().unwrap(), Digest::of(&number.to_le_bytes()));
    let media_type = "application/vnd.oci.image.index.v1+json".into();
    Artifact::Oci(OciArtifact {
        repository,
        digest,
        media_type,
        platforms: BTreeMap::new(),
        tag: Some(format!("1.{number}")),
    })
}

pub fn recorded(name: &str, version: u64) -> Event {
    let artifacts = vec![ami(version, "eu-west-1"), container(name, version)];
    let parent = (version % 3 == 1).then(|| key("base", version));
    Event::ImageRecorded {
        image: Image::new(key(name, version), artifacts, Provenance { parent, ..Provenance::default() }),
    }
}

pub fn held(text: &str, reason: &str) -> Event {
    Event::HoldSet { channel: channel(text), reason: reason.into() }
}

/// Something that may happen next; what cannot have happened is refused by the store that is asked.
pub fn propose(dice: &mut Dice, view: &dyn LedgerView) -> Event {
    let look = Lookup(view);
    let name = dice.one(&NAMES);
    let image = key(name, dice.roll(12));
    let channel = channel(&format!("{name}/{}", dice.one(&ENVS)));
    let tags: BTreeSet<String> = (0..=dice.roll(2)).map(|_| format!("t{}", dice.roll(4))).collect();
    match dice.roll(15) {
        0..=2 => recorded(name, dice.roll(12)),
        3 => {
            Event::ArtifactsAdded { image, artifacts: vec![ami(dice.roll(50), dice.one(&["us-east-1", "eu-north-1"]))] }
        }
        4 => Event::Tagged { image, tags },
        5 => {
            // Half the time one that it has.
            let held = look.image(&image).unwrap().and_then(|record| record.tags.first().cloned());
            let tags = held.filter(|_| dice.roll(2) == 0).map_or(tags, |held| [held].into());
            Event::Untagged { image, tags }
        }
        6 => Event::TagsMirrored { image, tags: tags.clone(), done: tags, failed: BTreeMap::new() },
        7 => started(dice, look, channel, image),
        8..=10 => progressed(dice, look, &channel),
        11 => Event::HoldSet { channel, reason: "ünsettled \"weather\"\n".into() },
        12 => Event::HoldLifted { channel, reason: (dice.roll(2) == 0).then(|| name.to_owned()) },
        13 => ruled(dice, channel, image),
        _ => judged(dice, channel, image),
    }
}

/// In one channel or everywhere, and taken back in either.
fn judged(dice: &mut Dice, channel: Channel, image: ImageKey) -> Event {
    let channel = (dice.roll(3) > 0).then_some(channel);
    match dice.roll(2) {
        0 => {
            let until = (dice.roll(2) == 0).then_some(super::at(9));
            Event::ImageRejected { image, channel, reason: "bad".into(), until, descendants: dice.roll(2) == 0 }
        }
        _ => Event::ImageRestored { image, channel, reason: None },
    }
}

/// Freezes of an environment or a channel, approvals, and rules that are passed over.
fn ruled(dice: &mut Dice, channel: Channel, image: ImageKey) -> Event {
    let scope = if dice.roll(2) == 0 { Scope::Env(channel.env.clone()) } else { Scope::Channel(channel.clone()) };
    let reason = (dice.roll(2) == 0).then(|| "why".to_owned());
    match dice.roll(10) {
        0 => {
            let (until, rollbacks) = (super::at(dice.roll(99)), dice.roll(3) == 0);
            Event::FreezeSet { scope, until, reason: "freeze".into(), rollbacks }
        }
        1 => Event::FreezeLifted { scope, reason },
        2 => Event::ImageApproved { channel, image, reason },
        3 => Event::ApprovalWithdrawn { channel, image, reason },
        4 => {
            let (pointer, value) = (format!("p{}", dice.roll(3)), "ami-1".to_owned());
            Event::PointerWritten { channel, pointer, image, value }
        }
        5 => {
            let (pointer, reason) = (format!("p{}", dice.roll(3)), "no answer".to_owned());
            Event::PointerFailed { channel, pointer, image, reason }
        }
        6 => audited(dice, channel),
        7 | 8 => acknowledged(dice, channel),
        _ => Event::RuleOverridden { channel, image, rule: "window".into(), reason: "why".into() },
    }
}

fn finding(dice: &mut Dice, channel: &Channel) -> (FindingId, NotedFinding) {
    let number = dice.roll(4);
    let (target, slot) = (format!("{}-{number}", channel.name).parse().unwrap(), None);
    let id = format!("d-{number:012x}").parse().unwrap();
    (id, NotedFinding { channel: channel.clone(), target, slot, kind: "tampered".into() })
}

fn audited(dice: &mut Dice, channel: Channel) -> Event {
    let findings: BTreeMap<_, _> = (0..dice.roll(3)).map(|_| finding(dice, &channel)).collect();
    let counts = [("tampered".to_owned(), u32::try_from(findings.len()).unwrap())].into();
    Event::DriftAudited {
        channels: [channel].into(),
        targets: 4,
        counts,
        digest: Digest::of(b"what was found"),
        findings,
    }
}

fn acknowledged(dice: &mut Dice, channel: Channel) -> Event {
    let (id, finding) = finding(dice, &channel);
    match dice.roll(2) {
        0 => Event::DriftAcknowledged { id, finding, until: super::at(dice.roll(99)), reason: "known".into() },
        _ => Event::AcknowledgementWithdrawn { id, finding, reason: None },
    }
}

fn started(dice: &mut Dice, look: Lookup<'_>, channel: Channel, image: ImageKey) -> Event {
    let state = look.channel(&channel).unwrap();
    let name = channel.name.clone();
    let steps = (1..=u32::try_from(dice.roll(3)).unwrap()).map(|number| Step {
        number,
        target: format!("{name}-{number}").parse().unwrap(),
        wave: 1,
        slots: BTreeMap::new(),
        expect: format!("lt-0abc:{number}").parse().unwrap(),
        exact: None,
        interrupts: None,
        notes: Vec::new(),
    });
    let from = state.current.map(|release| release.image);
    let back = state.depth.saturating_sub(1);
    let (image, cause) = match look.release(&channel, back).unwrap() {
        Some(release) if dice.roll(2) == 0 => (
            release.image,
            Cause::Rollback { of: state.open, depth: back, leaves: from.clone(), automatic: dice.roll(2) == 0 },
        ),
        _ => (image, Cause::Promote),
    };
    Event::RolloutStarted { channel, image, from, cause, reason: Some("why not".into()), steps: steps.collect() }
}

fn progressed(dice: &mut Dice, look: Lookup<'_>, channel: &Channel) -> Event {
    let open = look.channel(channel).unwrap().open.and_then(|id| look.rollout(id).unwrap());
    let Some(Rollout { id: rollout, steps, states, image, .. }) = open else {
        return held(&channel.to_string(), "nothing is open");
    };
    let step = 1 + u32::try_from(dice.roll(steps.len() as u64 + 1)).unwrap();
    let revision = format!("lt-0abc:{}", dice.roll(9)).parse().unwrap();
    let running: BTreeMap<ImageRef, u32> =
        look.image(&image).unwrap().unwrap().image.addresses().map(|address| (address, 3)).collect();
    match dice.roll(9) {
        // Also of a step that was begun before: that is how a rollout is resumed.
        0 => Event::StepStarted { rollout, step },
        1 => Event::StepDeployed { rollout, step, revision, deployment: Some("0a1b".into()) },
        2 | 3 => Event::StepSucceeded { rollout, step, revision, slots: BTreeMap::new(), running },
        4 => Event::StepFailed { rollout, step, reason: "it did not settle".into(), running },
        5 => Event::RolloutFinished { rollout, outcome: Outcome::Failed { reason: "a step failed".into() } },
        6 => Event::RolloutFinished { rollout, outcome: Outcome::RolledBack { reason: "an alarm".into() } },
        7 => Event::RolloutFinished { rollout, outcome: Outcome::Aborted { reason: "given up".into() } },
        // It has succeeded when each of its steps has; what claims it before is refused.
        _ => match steps.iter().map(|step| step.number).find(|step| !succeeded(&states, *step)) {
            Some(step) if dice.roll(4) > 0 => {
                Event::StepSucceeded { rollout, step, revision, slots: BTreeMap::new(), running }
            }
            _ => Event::RolloutFinished { rollout, outcome: Outcome::Succeeded },
        },
    }
}

fn succeeded(states: &BTreeMap<u32, StepState>, step: u32) -> bool {
    matches!(states.get(&step), Some(StepState::Succeeded { .. }))
}
