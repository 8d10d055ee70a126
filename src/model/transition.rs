//! THE transition: an entry and the views before it, in; the keyed changes it makes, or why it cannot have happened, out.

mod audits;
mod verdicts;

use super::event::DeploymentRecord;
use super::ledger::{Change, IllegalEntry, LedgerView, Table, ViewError};
use super::lookup::{ImageRecord, Lookup, lineage_key, version_key};
use super::{
    Artifact, Cause, Channel, ChannelState, Entry, Event, Image, ImageKey, Outcome, RecordedTarget, Release, Rollout,
    Seq, Step, StepState, log_row,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The changes that `entry` makes to the views in `view`. Every store, live or replaying, goes through here.
pub fn transition(view: &dyn LedgerView, entry: &Entry) -> Result<Vec<Change>, IllegalEntry> {
    if entry.is_newer() {
        let event = serde_json::from_str::<serde_json::Value>(entry.line()).ok();
        let event =
            event.and_then(|line| line.get("event")?.get("type")?.as_str().map(str::to_owned)).unwrap_or_default();
        return Err(IllegalEntry::Newer { seq: entry.seq, version: entry.version, event });
    }
    let mut fold = Fold { look: Lookup(view), entry, changes: Vec::new(), logs: BTreeSet::new() };
    match fold.apply().and_then(|()| fold.write_logs()) {
        Ok(()) => Ok(fold.changes),
        Err(Fault::Impossible(why)) => Err(IllegalEntry::Impossible { seq: entry.seq, why }),
        Err(Fault::View(source)) => Err(IllegalEntry::View { seq: entry.seq, source }),
    }
}

enum Fault {
    Impossible(String),
    View(ViewError),
}

impl From<ViewError> for Fault {
    fn from(error: ViewError) -> Self {
        Self::View(error)
    }
}

fn impossible(why: impl Into<String>) -> Fault {
    Fault::Impossible(why.into())
}

struct Fold<'a> {
    look: Lookup<'a>,
    entry: &'a Entry,
    changes: Vec<Change>,
    /// The logs that this entry is in: the table, and whose it is.
    logs: BTreeSet<(Table, String)>,
}

impl Fold<'_> {
    fn apply(&mut self) -> Result<(), Fault> {
        if (self.entry.seq == Seq(1)) != matches!(self.entry.event, Event::LedgerCreated { .. }) {
            return Err(impossible("a ledger begins with its creation, and is created once"));
        }
        match &self.entry.event {
            Event::LedgerCreated { .. } => Ok(()),
            Event::ImageRecorded { image } => self.image_recorded(image),
            Event::ArtifactsAdded { image, artifacts } => self.artifacts_added(image, artifacts),
            Event::Tagged { image, tags } => self.tagged(image, tags),
            Event::Untagged { image, tags } => self.untagged(image, tags),
            Event::TagsMirrored { image, .. } => self.known(image).map(|_| self.log_image(image)),
            Event::RolloutStarted { .. } => self.rollout_started(),
            Event::StepStarted { rollout, step } => self.step_started(*rollout, *step),
            Event::StepDeployed { rollout, step, revision, .. } => {
                let state = StepState::Started { at: self.entry.at, revision: Some(revision.clone()) };
                self.step(*rollout, *step, state).map(drop)
            }
            Event::StepSucceeded { .. } => self.step_succeeded(),
            Event::StepFailed { rollout, step, reason, .. } => {
                self.step(*rollout, *step, StepState::Failed { reason: reason.clone() }).map(drop)
            }
            Event::RolloutFinished { rollout, outcome } => self.rollout_finished(*rollout, outcome),
            Event::HoldSet { .. }
            | Event::HoldLifted { .. }
            | Event::ImageRejected { .. }
            | Event::ImageRestored { .. }
            | Event::FreezeSet { .. }
            | Event::FreezeLifted { .. }
            | Event::ImageApproved { .. }
            | Event::ApprovalWithdrawn { .. }
            | Event::RuleOverridden { .. } => self.judged(),
            Event::PointerWritten { channel, pointer, image, value } => {
                self.pointed(channel, pointer, image, Some(value), None)
            }
            Event::PointerFailed { channel, pointer, image, reason } => {
                self.pointed(channel, pointer, image, None, Some(reason))
            }
            Event::DriftAudited { .. } | Event::DriftAcknowledged { .. } | Event::AcknowledgementWithdrawn { .. } => {
                self.audited()
            }
            // Refused above as newer.
            Event::Unknown => Err(impossible("an event this imgctl does not know")),
        }
    }

    fn image_recorded(&mut self, image: &Image) -> Result<(), Fault> {
        let key = &image.key;
        if self.look.image(key)?.is_some() {
            return Err(impossible(format!("image {key} was recorded before, and images are immutable")));
        }
        if image.artifacts.is_empty() {
            return Err(impossible(format!("image {key} has no artifact")));
        }
        let record = ImageRecord {
            image: image.clone(),
            seq: self.entry.seq,
            at: self.entry.at,
            by: self.entry.by.who.clone(),
            tags: BTreeSet::new(),
        };
        self.put(Table::Image, key.to_string(), &record);
        self.set(Table::Recent, self.entry.seq.key(), key.to_string());
        self.set(Table::Version, version_key(&key.name, self.entry.seq), key.to_string());
        self.index_artifacts(key, &image.artifacts);
        if let Some(parent) = &image.provenance.parent {
            self.set(Table::Child, format!("{parent}|{key}"), String::new());
        }
        self.log_image(key);
        Ok(())
    }

    fn artifacts_added(&mut self, key: &ImageKey, artifacts: &[Artifact]) -> Result<(), Fault> {
        let mut record = self.known(key)?;
        for artifact in artifacts {
            if let Some(clash) = record.image.clash(artifact) {
                return Err(impossible(format!("image {key} is {clash} already, and images are immutable")));
            }
        }
        let all = record.image.artifacts.iter().chain(artifacts).cloned().collect();
        record.image = Image::new(key.clone(), all, record.image.provenance.clone());
        self.put(Table::Image, key.to_string(), &record);
        self.index_artifacts(key, artifacts);
        self.log_image(key);
        Ok(())
    }

    fn index_artifacts(&mut self, key: &ImageKey, artifacts: &[Artifact]) {
        for artifact in artifacts {
            self.set(Table::Address, format!("{}|{key}", artifact.address()), String::new());
            for digest in artifact.digests() {
                self.set(Table::Address, format!("{digest}|{key}"), String::new());
            }
            if let Artifact::Oci(oci) = artifact
                && let Some(tag) = &oci.tag
            {
                self.set(Table::RepositoryTag, format!("{}:{tag}|{key}", oci.repository), String::new());
            }
        }
    }

    fn tagged(&mut self, key: &ImageKey, tags: &BTreeSet<String>) -> Result<(), Fault> {
        // A tag of one name sits on one version: taken from the versions that had it, each written once.
        let mut losers: BTreeMap<ImageKey, ImageRecord> = BTreeMap::new();
        for tag in tags {
            let place = format!("{}:{tag}", key.name);
            if let Some(text) = self.look.0.get(Table::Tag, &place)?
                && let Ok(holder) = text.parse::<ImageKey>()
                && holder != *key
            {
                let record = losers.remove(&holder).map_or_else(|| self.known(&holder), Ok)?;
                let tags = record.tags.iter().filter(|held| *held != tag).cloned().collect();
                losers.insert(holder, ImageRecord { tags, ..record });
            }
            self.set(Table::Tag, place, key.to_string());
        }
        for (holder, record) in losers {
            self.put(Table::Image, holder.to_string(), &record);
            self.log_image(&holder);
        }
        let mut record = self.known(key)?;
        record.tags.extend(tags.iter().cloned());
        self.put(Table::Image, key.to_string(), &record);
        self.log_image(key);
        Ok(())
    }

    fn untagged(&mut self, key: &ImageKey, tags: &BTreeSet<String>) -> Result<(), Fault> {
        let mut record = self.known(key)?;
        for tag in tags {
            if !record.tags.remove(tag) {
                return Err(impossible(format!("image {key} has no tag {tag}")));
            }
            self.remove(Table::Tag, format!("{}:{tag}", key.name));
        }
        self.put(Table::Image, key.to_string(), &record);
        self.log_image(key);
        Ok(())
    }

    fn rollout_started(&mut self) -> Result<(), Fault> {
        let Event::RolloutStarted { channel, image, from, cause, reason, steps } = &self.entry.event else {
            return Ok(());
        };
        self.known(image)?;
        let mut state = self.look.channel(channel)?;
        let numbers: BTreeSet<u32> = steps.iter().map(|step| step.number).collect();
        if numbers.len() != steps.len() {
            return Err(impossible("two steps have one number"));
        }
        match cause {
            Cause::Promote if state.open.is_some() => {
                return Err(impossible(format!("{channel} has a rollout that has not finished")));
            }
            Cause::Promote => {}
            Cause::Rollback { of, depth, leaves, automatic } => {
                self.supersede(&state, *of)?;
                let beneath = self.look.release(channel, *depth)?;
                if *depth > state.depth || beneath.is_none_or(|release| release.image != *image) {
                    return Err(impossible(format!("{channel} has no release of {image} at depth {depth}")));
                }
                let why = reason.clone().unwrap_or_else(|| "rolled back".to_owned());
                if let Some(left) = leaves.as_ref().filter(|left| *left != image) {
                    self.reject(left, Some(channel), &why, None, false);
                    self.log_image(left);
                }
                if !automatic {
                    state.hold = Some(self.hold(&why));
                }
            }
        }
        let rollout = Rollout {
            id: self.entry.seq,
            at: self.entry.at,
            channel: channel.clone(),
            image: image.clone(),
            from: from.clone(),
            cause: cause.clone(),
            reason: reason.clone(),
            steps: steps.clone(),
            states: BTreeMap::new(),
            outcome: None,
        };
        state.open = Some(self.entry.seq);
        self.put(Table::Rollout, self.entry.seq.key(), &rollout);
        self.set(Table::Open, self.entry.seq.key(), String::new());
        self.put(Table::Channel, channel.to_string(), &state);
        self.log_channel(channel);
        self.log_image(image);
        Ok(())
    }

    /// A rollback may begin over an open rollout, and takes its place: waiting for a bad one to end would be absurd.
    fn supersede(&mut self, state: &ChannelState, of: Option<Seq>) -> Result<(), Fault> {
        let Some(open) = state.open else { return Ok(()) };
        if of != Some(open) {
            return Err(impossible(format!("rollout {open} has not finished, and this rollback is not of it")));
        }
        let mut rollout = self.rollout(open)?;
        rollout.outcome = Some(Outcome::Superseded { by: self.entry.seq });
        self.put(Table::Rollout, open.key(), &rollout);
        self.remove(Table::Open, open.key());
        Ok(())
    }

    fn step(&mut self, rollout: Seq, step: u32, state: StepState) -> Result<Rollout, Fault> {
        let mut rollout = self.rollout(rollout)?;
        if rollout.step(step).is_none() {
            return Err(impossible(format!("rollout {} has no step {step}", rollout.id)));
        }
        rollout.states.insert(step, state);
        self.put(Table::Rollout, rollout.id.key(), &rollout);
        self.log_channel(&rollout.channel.clone());
        Ok(rollout)
    }

    /// Reports of an ended rollout are true and come late; a new deed of it is neither.
    fn step_started(&mut self, rollout: Seq, step: u32) -> Result<(), Fault> {
        if let Some(outcome) = self.rollout(rollout)?.outcome {
            return Err(impossible(format!("rollout {rollout} has ended ({outcome}), and begins no further step")));
        }
        self.step(rollout, step, StepState::Started { at: self.entry.at, revision: None }).map(drop)
    }

    fn step_succeeded(&mut self) -> Result<(), Fault> {
        let Event::StepSucceeded { rollout, step, revision, slots, .. } = &self.entry.event else { return Ok(()) };
        let rollout = self.step(*rollout, *step, StepState::Succeeded { revision: revision.clone() })?;
        let Some(step) = rollout.step(*step) else { return Ok(()) };
        let at = self.entry.at;
        let recorded = RecordedTarget {
            channel: rollout.channel.clone(),
            image: rollout.image.clone(),
            slots: slots.clone(),
            revision: revision.clone(),
            rollout: rollout.id,
            at,
        };
        self.put(Table::Target, step.target.to_string(), &recorded);
        let record =
            DeploymentRecord { target: step.target.clone(), channel: rollout.channel.clone(), rollout: rollout.id, at };
        self.put(Table::Deployment, format!("{}|{}", rollout.image, self.entry.seq.key()), &record);
        Ok(())
    }

    fn rollout_finished(&mut self, id: Seq, outcome: &Outcome) -> Result<(), Fault> {
        let mut rollout = self.rollout(id)?;
        self.log_channel(&rollout.channel.clone());
        self.log_image(&rollout.image.clone());
        // A superseded rollout may still report its end: true, written, and without effect.
        if rollout.outcome.is_some() {
            return Ok(());
        }
        let undone = |step: &&Step| !matches!(rollout.state(step.number), StepState::Succeeded { .. });
        if let (Outcome::Succeeded, Some(step)) = (outcome, rollout.steps.iter().find(undone)) {
            return Err(impossible(format!("rollout {id} has not succeeded: its step {} has not", step.number)));
        }
        let mut state = self.look.channel(&rollout.channel)?;
        match outcome {
            Outcome::Succeeded => {
                self.release(&mut state, &rollout);
                state.failed = None;
            }
            // The channel's own image is not bad because one more target could not take it, and nothing else is
            // underneath for that.
            _ if rollout.cause == Cause::Promote && state.image() == Some(&rollout.image) => {}
            Outcome::RolledBack { reason } => self.reject(&rollout.image, Some(&rollout.channel), reason, None, false),
            Outcome::Failed { .. } | Outcome::Aborted { .. } | Outcome::Superseded { .. } => state.failed = Some(id),
        }
        state.open = None;
        rollout.outcome = Some(outcome.clone());
        self.put(Table::Rollout, id.key(), &rollout);
        self.remove(Table::Open, id.key());
        self.put(Table::Channel, rollout.channel.to_string(), &state);
        Ok(())
    }

    /// Promote pushes onto the lineage, rollback pops to its depth: two rollbacks walk back, never back and forth.
    fn release(&mut self, state: &mut ChannelState, rollout: &Rollout) {
        let unchanged = state.current.as_ref().is_some_and(|current| current.image == rollout.image);
        match rollout.cause {
            Cause::Promote if unchanged => return,
            Cause::Promote => state.depth += 1,
            Cause::Rollback { depth, .. } => state.depth = depth,
        }
        let release = Release { image: rollout.image.clone(), rollout: rollout.id, at: self.entry.at, verified: true };
        self.put(Table::Lineage, lineage_key(&rollout.channel, state.depth), &release);
        state.current = Some(release);
    }

    fn known(&self, key: &ImageKey) -> Result<ImageRecord, Fault> {
        self.look.image(key)?.ok_or_else(|| impossible(format!("image {key} was never recorded")))
    }

    fn rollout(&self, id: Seq) -> Result<Rollout, Fault> {
        self.look.rollout(id)?.ok_or_else(|| impossible(format!("no rollout {id} was begun")))
    }

    fn log_channel(&mut self, channel: &Channel) {
        self.logs.insert((Table::ChannelLog, channel.to_string()));
    }

    fn log_image(&mut self, image: &ImageKey) {
        self.logs.insert((Table::ImageLog, image.to_string()));
    }

    fn write_logs(&mut self) -> Result<(), Fault> {
        for (table, whose) in std::mem::take(&mut self.logs) {
            let key = log_row::key(&whose, self.entry.seq);
            let row = self.look.0.get(table, &key)?;
            let row = log_row::with(&key, row.as_deref(), self.entry.seq)?;
            self.set(table, key, row);
        }
        Ok(())
    }

    fn put(&mut self, table: Table, key: String, value: &impl Serialize) {
        // These records are plain data with text keys: serde_json cannot refuse them.
        let text = serde_json::to_string(value).unwrap_or_default();
        self.set(table, key, text);
    }

    fn set(&mut self, table: Table, key: String, value: String) {
        self.changes.push(Change { table, key, value: Some(value) });
    }

    fn remove(&mut self, table: Table, key: String) {
        self.changes.push(Change { table, key, value: None });
    }
}
