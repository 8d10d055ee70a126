//! Evidence: what was done on one target of a rollout, when, and what its platform said.

use crate::model::{Entry, Event, ImageRef, Revision, SlotChange, SlotName, Step, TargetId};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// How far a step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    Pending,
    Started,
    Succeeded,
    Failed,
}

/// One step of a rollout, as its entries tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    pub step: u32,
    pub target: TargetId,
    pub status: Progress,
    /// What each slot was to change from and to.
    pub slots: BTreeMap<SlotName, SlotChange>,
    /// The target's revision that the step was planned on.
    pub planned_on: Revision,
    /// The revision that it was moved to.
    pub revision: Option<Revision>,
    /// The platform's ids of the deployments that it began (instance refreshes), in order.
    pub deployments: Vec<String>,
    /// The platform's deployment that it interrupted.
    pub interrupted: Option<String>,
    pub began: Option<Timestamp>,
    /// When the platform took the order.
    pub ordered: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// What ran at its end: image → instances (tasks, pods).
    pub running: BTreeMap<ImageRef, u32>,
    /// Why it failed, in the platform's words.
    pub said: Option<String>,
}

impl Evidence {
    pub(super) fn planned(step: &Step) -> Self {
        Self {
            step: step.number,
            target: step.target.clone(),
            status: Progress::Pending,
            slots: step.slots.clone(),
            planned_on: step.expect.clone(),
            revision: None,
            deployments: Vec::new(),
            interrupted: step.interrupts.clone(),
            began: None,
            ordered: None,
            ended: None,
            running: BTreeMap::new(),
            said: None,
        }
    }

    /// Takes in a report of the rollout, if it is of this step.
    pub(super) fn see(&mut self, entry: &Entry) {
        let at = entry.at;
        match &entry.event {
            Event::StepStarted { step, .. } if *step == self.step => {
                self.status = Progress::Started;
                self.began.get_or_insert(at);
            }
            Event::StepDeployed { step, revision, deployment, .. } if *step == self.step => {
                self.revision = Some(revision.clone());
                self.deployments.extend(deployment.clone());
                self.ordered.get_or_insert(at);
            }
            Event::StepSucceeded { step, revision, running, .. } if *step == self.step => {
                self.revision = Some(revision.clone());
                self.end(at, Progress::Succeeded, running);
                self.said = None;
            }
            Event::StepFailed { step, reason, running, .. } if *step == self.step => {
                self.end(at, Progress::Failed, running);
                self.said = Some(reason.clone());
            }
            _ => {}
        }
    }

    fn end(&mut self, at: Timestamp, status: Progress, running: &BTreeMap<ImageRef, u32>) {
        self.status = status;
        self.ended = Some(at);
        self.running.clone_from(running);
    }

    /// Whether the platform took an order: what ran already and was only recorded is none.
    pub fn moved(&self) -> Option<Timestamp> {
        // Without an answer it may have been taken all the same; that it was settled later shows that it was.
        self.ordered.or_else(|| self.began.filter(|_| self.status == Progress::Succeeded))
    }
}
