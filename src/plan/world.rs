//! A tiny text world for the tests of decisions: `web@1 = ami-1; current web@1; target a: ami-1 recorded web@1`.

use super::{Fitness, Grounds, Plan, Sight, Snapshot, TargetView};
use crate::model::*;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct World {
    snapshot: Snapshot,
    started: Vec<String>,
}

fn ami(word: &str) -> ImageRef {
    let number: u64 = word.strip_prefix("ami-").unwrap().parse().unwrap();
    format!("ami-{number:08x}@eu-west-1").parse().unwrap()
}

fn artifact(word: &str) -> Artifact {
    let ImageRef::Ami { region, id } = ami(word) else { unreachable!() };
    Artifact::Ami(AmiArtifact {
        account: "123456789012".into(),
        region,
        arch: "x86_64".parse().unwrap(),
        id,
        facts: AmiFacts::default(),
    })
}

impl World {
    pub(super) fn parse(text: &str) -> Self {
        let snapshot = Snapshot {
            now: "2026-11-20T12:00:00Z".parse().unwrap(),
            base: Seq(10),
            channel: "web/prod".parse().unwrap(),
            state: ChannelState::default(),
            lineage: BTreeMap::new(),
            open: None,
            failed: None,
            images: BTreeMap::new(),
            rejections: BTreeMap::new(),
            grounds: Grounds::default(),
            targets: BTreeMap::new(),
            fitness: BTreeMap::new(),
        };
        let mut world = Self { snapshot, started: Vec::new() };
        for statement in text.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            world.state(&statement.split_whitespace().collect::<Vec<_>>());
        }
        world.finish();
        world
    }

    fn state(&mut self, words: &[&str]) {
        let at = self.snapshot.now;
        let by = || "ana".to_owned();
        match words {
            [key, "=", id, rest @ ..] => {
                let key: ImageKey = key.parse().unwrap();
                if rest.contains(&"unfit") {
                    self.snapshot.fitness.insert(ami(id), Fitness::Unfit { why: "it was deregistered".into() });
                }
                self.snapshot.images.insert(key.clone(), Image::new(key, vec![artifact(id)], Provenance::default()));
            }
            ["release", key] => self.release(key),
            ["current", key, rest @ ..] => {
                self.release(key);
                if rest == ["by", "rollback"] {
                    let seq = self.snapshot.state.current.as_ref().unwrap().rollout;
                    self.snapshot.state.hold = Some(Hold { by: by(), at, reason: "told so".into(), seq });
                }
            }
            ["hold"] => self.snapshot.state.hold = Some(Hold { by: by(), at, reason: "told so".into(), seq: Seq(5) }),
            ["reject", key] => {
                let image: ImageKey = key.parse().unwrap();
                let channel = Some(self.snapshot.channel.clone());
                let rejection = Rejection {
                    image: image.clone(),
                    channel,
                    by: by(),
                    at,
                    reason: "told so".into(),
                    seq: Seq(6),
                    until: None,
                    descendants: false,
                };
                self.snapshot.rejections.insert(image, rejection);
            }
            ["open", key] => self.open(key),
            ["failed", key, rest @ ..] => {
                self.open(key);
                self.snapshot.state.open = None;
                let mut failed = self.snapshot.open.take().unwrap();
                if let ["back", "to", depth] = rest {
                    let leaves = self.snapshot.state.image().filter(|now| **now != failed.image).cloned();
                    failed.cause =
                        Cause::Rollback { of: None, depth: depth.parse().unwrap(), leaves, automatic: false };
                }
                self.snapshot.failed = Some(failed);
            }
            ["started", target] => self.started.push((*target).to_owned()),
            ["target", id, rest @ ..] => self.target(id.trim_end_matches(':'), rest),
            other => panic!("{other:?}"),
        }
    }

    fn release(&mut self, key: &str) {
        let state = &mut self.snapshot.state;
        state.depth += 1;
        let release =
            Release { image: key.parse().unwrap(), rollout: Seq(state.depth), at: self.snapshot.now, verified: true };
        self.snapshot.lineage.insert(state.depth, release.clone());
        state.current = Some(release);
    }

    fn open(&mut self, key: &str) {
        self.snapshot.state.open = Some(Seq(9));
        self.snapshot.open = Some(Rollout {
            id: Seq(9),
            at: self.snapshot.now,
            channel: self.snapshot.channel.clone(),
            image: key.parse().unwrap(),
            from: self.snapshot.state.current.as_ref().map(|release| release.image.clone()),
            cause: Cause::Promote,
            reason: None,
            steps: Vec::new(),
            states: BTreeMap::new(),
            outcome: None,
        });
    }

    fn target(&mut self, id: &str, words: &[&str]) {
        let sight = match words {
            ["gone"] => Sight::Gone { why: "there is no such group".into(), fix: "mend its name".into() },
            ["dangling"] => Sight::Dangling { why: "its template is not there".into(), fix: "make it again".into() },
            ["unreachable"] => Sight::Unreachable { why: "no answer".into(), fix: "ask again".into() },
            _ => Sight::Seen(Arc::new(observed(id, words))),
        };
        let after = |word: &str| words.iter().position(|w| *w == word).map(|at| words[at + 1]);
        let recorded = after("recorded").map(|key| {
            let image: ImageKey = key.parse().unwrap();
            let slots = self.snapshot.images[&image]
                .addresses()
                .map(|address| ("template".parse().unwrap(), address))
                .collect();
            let channel = self.snapshot.channel.clone();
            RecordedTarget {
                channel,
                image,
                slots,
                revision: "lt-a:1".parse().unwrap(),
                rollout: Seq(1),
                at: self.snapshot.now,
            }
        });
        let wave = after("wave").map_or(1, |wave| wave.parse().unwrap());
        self.snapshot.targets.insert(id.parse().unwrap(), TargetView { wave, recorded, sight });
    }

    /// An open rollout has a step for every target, started where the text says so.
    fn finish(&mut self) {
        let Some(open) = &mut self.snapshot.open else { return };
        let to = self.snapshot.images[&open.image].addresses().next().unwrap();
        for (at, id) in self.snapshot.targets.keys().enumerate() {
            let number = u32::try_from(at).unwrap() + 1;
            let slots = [("template".parse().unwrap(), SlotChange { from: None, to: to.clone() })].into();
            let expect = "lt-a:0".parse().unwrap();
            open.steps.push(Step {
                number,
                target: id.clone(),
                wave: 1,
                slots,
                expect,
                exact: None,
                interrupts: None,
                notes: Vec::new(),
            });
            if self.started.iter().any(|started| started == id.as_str()) {
                let revision = Some("lt-a:2".parse().unwrap());
                open.states.insert(number, StepState::Started { at: self.snapshot.now, revision });
            }
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }
}

fn observed(id: &str, words: &[&str]) -> Observed {
    let arch = if words.contains(&"arm64") { "arm64" } else { "x86_64" };
    let arch = (!words.contains(&"any-arch")).then(|| arch.parse().unwrap());
    let accepts = Accepts::Ami { region: "eu-west-1".parse().unwrap(), arch };
    let image = ami(words.iter().find(|word| word.starts_with("ami-")).unwrap_or(&"ami-9"));
    let slot = if words.contains(&"$Latest") {
        SlotImage::Floating { through: "$Latest".into(), now: Some(image.clone()) }
    } else {
        SlotImage::Pinned { image: image.clone() }
    };
    let running = words.iter().position(|word| *word == "running").map_or(image, |at| ami(words[at + 1]));
    let returned = words.contains(&"returned").then(|| Motion::RolledBack { reason: "it was unhealthy".into() });
    let moving = words.contains(&"moving").then(|| Motion::Moving { phase: "InProgress".into(), note: None });
    let deployment = returned.or(moving).map(|motion| Deployment {
        id: "refresh-1".into(),
        motion,
        toward: Some("lt-a:2".parse().unwrap()),
        started: None,
        percent: 33,
        left: 2,
    });
    Observed {
        revision: format!("lt-{id}:1").parse().unwrap(),
        slots: [("template".parse().unwrap(), SlotState { image: slot, accepts })].into(),
        running: [(running, 3)].into(),
        desired: 3,
        deployment,
        obstacles: Vec::new(),
        notes: Vec::new(),
    }
}

/// Compares a plan with a text: `~` steps, `=` settled targets, `!` blockers.
#[track_caller]
pub(super) fn check(plan: &Plan, expect: &str) {
    let mut lines = Vec::new();
    for step in &plan.steps {
        let changes: Vec<String> =
            step.slots.values().map(|c| format!("{} → {}", c.from.as_deref().unwrap_or("?"), c.to.short())).collect();
        let notes = if step.notes.is_empty() { String::new() } else { format!("  ({})", step.notes.join("; ")) };
        lines.push(format!("~ {}  {}{notes}", step.target, changes.join(", ")));
    }
    let recorded = |id: &&TargetId| !plan.steps.iter().any(|step| step.target == **id);
    lines.extend(plan.settled.iter().filter(recorded).map(|id| format!("= {id}")));
    for blocker in &plan.blockers {
        let kind = serde_json::to_value(blocker.kind).unwrap();
        lines.push(format!("! {} {}: {}", blocker.subject, kind.as_str().unwrap(), blocker.what));
    }
    let expect: Vec<&str> = expect.lines().map(str::trim).collect();
    assert_eq!(lines, expect);
}
