//! A target: one place that runs an image, and what was observed there.

use super::{Arch, Channel, ImageKey, ImageRef, Region, Repository, Seq, checked_text};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

checked_text! {
    /// The id a target has in the config; unique in the whole config.
    TargetId, "a target id (letters, digits, `.`, `_`, `-`, `/`; at most 128)",
    |text| !text.is_empty() && text.len() <= 128 && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
}
checked_text! {
    /// One image a target holds: `template`, an override's instance type, a container's name.
    SlotName, "a slot name",
    |text| !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control)
}
checked_text! {
    /// The target's own version stamp, opaque: `lt-0abc:7`, a task-definition ARN, a resourceVersion.
    Revision, "a revision",
    |text| !text.is_empty() && text.len() <= 4096 && !text.chars().any(char::is_control)
}

/// What a slot can take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Accepts {
    /// An AMI of this region and, where it is known, this architecture.
    Ami { region: Region, arch: Option<Arch> },
    /// A container image of this repository.
    Oci { repository: Repository },
}

impl fmt::Display for Accepts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ami { region, arch: Some(arch) } => write!(f, "an {arch} AMI in {region}"),
            Self::Ami { region, arch: None } => write!(f, "an AMI in {region}"),
            Self::Oci { repository } => write!(f, "an image of {repository}"),
        }
    }
}

/// The image a slot is configured with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SlotImage {
    Pinned {
        image: ImageRef,
    },
    /// Reached by a name that moves (`$Latest`, a tag, an SSM alias); `now` is where it leads at this moment.
    Floating {
        through: String,
        now: Option<ImageRef>,
    },
}

impl SlotImage {
    /// The image a launch would use now.
    pub fn now(&self) -> Option<&ImageRef> {
        match self {
            Self::Pinned { image } => Some(image),
            Self::Floating { now, .. } => now.as_ref(),
        }
    }
}

/// One slot as observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotState {
    pub image: SlotImage,
    pub accepts: Accepts,
}

/// How far a deployment on the target itself has come, whoever started it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Motion {
    /// Under way; `phase` in the platform's words (`InProgress`, `Baking`).
    Moving {
        phase: String,
        note: Option<String>,
    },
    /// Under way, backwards.
    Returning {
        phase: String,
        note: Option<String>,
    },
    Succeeded,
    Failed {
        reason: String,
    },
    /// The platform itself went back to what was there before.
    RolledBack {
        reason: String,
    },
    Cancelled {
        reason: String,
    },
}

/// The newest deployment the platform knows of on this target: an instance refresh, a service deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The platform's id for it.
    pub id: String,
    pub motion: Motion,
    /// Where it leads: the revision it was asked for, where it was asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toward: Option<Revision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// As the platform counts; it goes back down while a deployment is rolled back.
    pub percent: u32,
    /// Instances (tasks, pods) still to be replaced.
    pub left: u32,
}

impl Deployment {
    pub fn is_active(&self) -> bool {
        matches!(self.motion, Motion::Moving { .. } | Motion::Returning { .. })
    }
}

/// Why this target cannot be moved as it is, and what would make it movable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    pub what: String,
    pub fix: String,
}

/// What a target says about a step before anything moves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// What would make it fail: all of it, not the first.
    pub obstacles: Vec<Obstacle>,
    /// What could not be found out, a line each: "whether … may use key … could not be read: access denied".
    pub unknown: Vec<String>,
}

/// What a target said when it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The precondition of the next step.
    pub revision: Revision,
    pub slots: BTreeMap<SlotName, SlotState>,
    /// What really runs: image → number of instances (tasks, pods). Images that could not be read are not counted.
    pub running: BTreeMap<ImageRef, u32>,
    /// How many the platform wants.
    pub desired: u32,
    /// `None` where it was not asked for, or there has been none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployment>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<Obstacle>,
    /// What a person should know before moving it: "version 9 is newer than 7, which the group runs".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Observed {
    /// The newest deployment, where the platform took it back by itself, and why.
    pub fn undone(&self) -> Option<(&Deployment, &str)> {
        let deployment = self.deployment.as_ref()?;
        match &deployment.motion {
            Motion::RolledBack { reason } => Some((deployment, reason.trim_end_matches('.'))),
            _ => None,
        }
    }
}

/// What the ledger says a target runs: folded from the steps that succeeded there, not from the channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedTarget {
    pub channel: Channel,
    pub image: ImageKey,
    pub slots: BTreeMap<SlotName, ImageRef>,
    pub revision: Revision,
    pub rollout: Seq,
    pub at: Timestamp,
}
