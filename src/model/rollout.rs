//! A rollout: one plan being carried out, step by step. Its id is the number of its first entry.

use super::{Channel, ImageKey, ImageRef, Revision, Seq, SlotName, TargetId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Why a rollout was begun. Typed, so that nothing is ever parsed back out of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Cause {
    Promote,
    /// Back to a release underneath. `of` is the rollout whose image is left, where there was one.
    Rollback {
        of: Option<Seq>,
        /// The depth in the channel's lineage that it returns to.
        depth: u64,
        /// The image it turns away from: rejected in this channel from here on.
        leaves: Option<ImageKey>,
        /// Begun by imgctl itself, because `of` failed.
        automatic: bool,
    },
}

/// What one slot changes from and to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotChange {
    /// What was there, in words a person compares: an address, or `$Latest → ami-…`.
    pub from: Option<String>,
    pub to: ImageRef,
}

/// One deed on one target, with its precondition: specific enough to be carried out blindly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Counted from 1 within the rollout.
    pub number: u32,
    pub target: TargetId,
    /// Counted from 1: begun when every step of the waves before it has succeeded.
    #[serde(default = "first_wave", skip_serializing_if = "is_first_wave")]
    pub wave: u32,
    /// Every slot of the target with what it must hold afterwards.
    pub slots: BTreeMap<SlotName, SlotChange>,
    /// Refused when the target is no longer at this revision.
    pub expect: Revision,
    /// Return to this very revision instead of a new one with only the image changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<Revision>,
    /// The platform's own deployment that this step interrupts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupts: Option<String>,
    /// What else the step does, for the person who reads the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

fn first_wave() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks with a reference
fn is_first_wave(wave: &u32) -> bool {
    *wave == first_wave()
}

impl Step {
    /// What each slot must hold afterwards.
    pub fn wanted(&self) -> BTreeMap<SlotName, ImageRef> {
        self.slots.iter().map(|(slot, change)| (slot.clone(), change.to.clone())).collect()
    }
}

/// How far a step has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum StepState {
    #[default]
    Pending,
    /// Begun: the cloud may or may not have been told. `revision` once it has answered.
    Started {
        at: Timestamp,
        revision: Option<Revision>,
    },
    Succeeded {
        revision: Revision,
    },
    Failed {
        reason: String,
    },
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Outcome {
    Succeeded,
    /// Some target was not moved, or not settled.
    Failed {
        reason: String,
    },
    /// What it moved is back where it was: by the platform, or by a rollout of its own.
    RolledBack {
        reason: String,
    },
    /// A person gave it up.
    Aborted {
        reason: String,
    },
    /// A rollback began while it was open, and took its place.
    Superseded {
        by: Seq,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("succeeded"),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
            Self::RolledBack { reason } => write!(f, "rolled back: {reason}"),
            Self::Aborted { reason } => write!(f, "aborted: {reason}"),
            Self::Superseded { by } => write!(f, "superseded by rollout {by}"),
        }
    }
}

/// A rollout as folded from its entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    pub id: Seq,
    pub at: Timestamp,
    pub channel: Channel,
    pub image: ImageKey,
    /// The channel's image when it began.
    pub from: Option<ImageKey>,
    pub cause: Cause,
    pub reason: Option<String>,
    pub steps: Vec<Step>,
    /// Step number → how far it has come.
    pub states: BTreeMap<u32, StepState>,
    pub outcome: Option<Outcome>,
}

impl Rollout {
    pub fn state(&self, step: u32) -> StepState {
        self.states.get(&step).cloned().unwrap_or_default()
    }

    pub fn step(&self, number: u32) -> Option<&Step> {
        self.steps.iter().find(|step| step.number == number)
    }
}
