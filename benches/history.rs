//! A realistic history: 200 image names, 5 channels each, 8 targets a channel; promotions, rollbacks and holds.

use imgctl::model::{
    AmiArtifact, AmiFacts, Artifact, Cause, Channel, Event, Image, ImageKey, ImageRef, Outcome, Provenance, Seq,
    SlotChange, Step,
};
use std::collections::BTreeMap;

const NAMES: u64 = 200;
const ENVS: [&str; 5] = ["dev", "test", "staging", "prod", "dr"];
const TARGETS: u64 = 8;
const REGION: &str = "eu-west-1";

/// Makes events, one after the other, that are legal after each other.
pub struct History {
    random: u64,
    /// The number of the last entry made.
    seq: u64,
    versions: BTreeMap<u64, u64>,
    stacks: BTreeMap<Channel, Vec<ImageKey>>,
    queue: Vec<Event>,
}

impl History {
    /// Continues a ledger whose last entry is `seq`.
    pub fn after(seq: Seq) -> Self {
        Self { random: 42, seq: seq.0, versions: BTreeMap::new(), stacks: BTreeMap::new(), queue: Vec::new() }
    }

    fn below(&mut self, limit: u64) -> u64 {
        // Knuth's MMIX generator: the same history on every machine.
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % limit
    }

    /// Somebody else appended this many entries: what is queued already must not name entries by number.
    pub fn skip(&mut self, count: usize) {
        assert!(self.queue.is_empty(), "{} events were numbered before", self.queue.len());
        self.seq += u64::try_from(count).unwrap();
    }

    /// The next `count` events.
    pub fn take(&mut self, count: usize) -> Vec<Event> {
        while self.queue.len() < count {
            self.more();
        }
        self.queue.drain(..count).collect()
    }

    /// What belongs to the last events taken.
    pub fn rest(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.queue)
    }

    /// Events that are legal after any history, for single appends.
    pub fn holds(count: usize) -> impl Iterator<Item = Event> {
        (0..count).map(|at| {
            let channel = format!("app-{:03}/prod", at % 200).parse().unwrap();
            Event::HoldSet { channel, reason: "quarter end: no changes until the books are closed".into() }
        })
    }

    fn push(&mut self, event: Event) -> Seq {
        self.seq += 1;
        self.queue.push(event);
        Seq(self.seq)
    }

    fn more(&mut self) {
        let number = self.below(NAMES);
        let channel: Channel =
            format!("app-{number:03}/{}", ENVS[usize::try_from(self.below(5)).unwrap()]).parse().unwrap();
        let depth = self.stacks.get(&channel).map_or(0, Vec::len);
        match self.below(10) {
            0 if depth > 1 => self.rollback(&channel),
            1 if depth > 0 => {
                self.push(Event::HoldSet { channel: channel.clone(), reason: "quarter end".into() });
                self.push(Event::HoldLifted { channel, reason: Some("over".into()) });
            }
            _ => {
                let key = self.record(number);
                let from = self.stacks.get(&channel).and_then(|stack| stack.last().cloned());
                self.rollout(&channel, &key, from, Cause::Promote);
                self.stacks.entry(channel).or_default().push(key);
            }
        }
    }

    fn record(&mut self, number: u64) -> ImageKey {
        let version = self.versions.entry(number).or_default();
        *version += 1;
        let key: ImageKey = format!("app-{number:03}@1.{version}.0").parse().unwrap();
        let facts = AmiFacts {
            name: key.to_string(),
            tags: [("team".to_owned(), "platform".to_owned())].into(),
            ..AmiFacts::default()
        };
        let ami = AmiArtifact {
            account: "123456789012".into(),
            region: REGION.parse().unwrap(),
            arch: "x86_64".parse().unwrap(),
            id: ami(&key),
            facts,
        };
        let provenance = Provenance { commit: Some("3f9a6c1d2b7e4f58a0c1".into()), ..Provenance::default() };
        self.push(Event::ImageRecorded { image: Image::new(key.clone(), vec![Artifact::Ami(ami)], provenance) });
        key
    }

    fn rollback(&mut self, channel: &Channel) {
        let stack = self.stacks.get_mut(channel).unwrap();
        let left = stack.pop().unwrap();
        let (to, depth) = (stack.last().unwrap().clone(), u64::try_from(stack.len()).unwrap());
        let cause = Cause::Rollback { of: None, depth, leaves: Some(left.clone()), automatic: false };
        self.rollout(channel, &to, Some(left), cause);
        self.push(Event::HoldLifted { channel: channel.clone(), reason: None });
    }

    fn rollout(&mut self, channel: &Channel, image: &ImageKey, from: Option<ImageKey>, cause: Cause) {
        let target = self.below(TARGETS);
        let to = ImageRef::Ami { region: REGION.parse().unwrap(), id: ami(image) };
        let slots = [("template".parse().unwrap(), SlotChange { from: None, to: to.clone() })].into();
        let step = Step {
            number: 1,
            target: format!("{channel}-{target}").parse().unwrap(),
            wave: 1,
            slots,
            expect: "lt-0123456789abcdef0:7".parse().unwrap(),
            exact: None,
            interrupts: None,
            notes: Vec::new(),
        };
        let wanted = step.wanted();
        let reason = Some("CHG-20417 weekly release".to_owned());
        let rollout = self.push(Event::RolloutStarted {
            channel: channel.clone(),
            image: image.clone(),
            from,
            cause,
            reason,
            steps: vec![step],
        });
        let revision: imgctl::model::Revision = "lt-0123456789abcdef0:8".parse().unwrap();
        self.push(Event::StepStarted { rollout, step: 1 });
        self.push(Event::StepDeployed {
            rollout,
            step: 1,
            revision: revision.clone(),
            deployment: Some("08b91cf7-8fa6-48af-b6a6-d227f40f1b9b".into()),
        });
        self.push(Event::StepSucceeded { rollout, step: 1, revision, slots: wanted, running: [(to, 3)].into() });
        self.push(Event::RolloutFinished { rollout, outcome: Outcome::Succeeded });
    }
}

/// An AMI id that belongs to this key alone.
fn ami(key: &ImageKey) -> imgctl::model::AmiId {
    let digest = imgctl::model::Digest::of(key.to_string().as_bytes());
    format!("ami-{}", &digest.as_str()[7..24]).parse().unwrap()
}
