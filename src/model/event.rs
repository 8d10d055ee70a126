//! What can happen: the events of the ledger, in their written form. Variants are added, never changed.

use super::{
    Artifact, Cause, Channel, Digest, FindingId, Image, ImageKey, ImageRef, NotedFinding, Outcome, Revision, Scope,
    Seq, SlotName, Step, TargetId,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One thing that happened, as written under `event` in an entry; `type` names the variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// The first entry of every ledger; the id tells ledgers apart for ever.
    LedgerCreated {
        id: uuid::Uuid,
    },
    ImageRecorded {
        image: Image,
    },
    /// The same image was published at more addresses: another region, another registry.
    ArtifactsAdded {
        image: ImageKey,
        artifacts: Vec<Artifact>,
    },
    Tagged {
        image: ImageKey,
        tags: BTreeSet<String>,
    },
    Untagged {
        image: ImageKey,
        tags: BTreeSet<String>,
    },
    /// Tags were written where people look: EC2 tags, moving tags in a registry; each was read back.
    TagsMirrored {
        image: ImageKey,
        tags: BTreeSet<String>,
        /// Places that now agree.
        done: BTreeSet<String>,
        /// Place → why it does not.
        failed: BTreeMap<String, String>,
    },
    /// Intent: written before anything is touched.
    RolloutStarted {
        channel: Channel,
        image: ImageKey,
        from: Option<ImageKey>,
        cause: Cause,
        reason: Option<String>,
        steps: Vec<Step>,
    },
    StepStarted {
        rollout: Seq,
        step: u32,
    },
    /// The platform took the order; instances may still be on their way.
    StepDeployed {
        rollout: Seq,
        step: u32,
        revision: Revision,
        /// The platform's id of the deployment it began (instance refresh id), where it has one.
        deployment: Option<String>,
    },
    /// Settled and verified on what really runs.
    StepSucceeded {
        rollout: Seq,
        step: u32,
        revision: Revision,
        slots: BTreeMap<SlotName, ImageRef>,
        running: BTreeMap<ImageRef, u32>,
    },
    StepFailed {
        rollout: Seq,
        step: u32,
        reason: String,
        /// What ran when it was given up, as far as it could be read.
        running: BTreeMap<ImageRef, u32>,
    },
    RolloutFinished {
        rollout: Seq,
        outcome: Outcome,
    },
    HoldSet {
        channel: Channel,
        reason: String,
    },
    HoldLifted {
        channel: Channel,
        reason: Option<String>,
    },
    ImageRejected {
        image: ImageKey,
        channel: Option<Channel>,
        reason: String,
        /// When it ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// What was built on it is rejected with it, also what is recorded later.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        descendants: bool,
    },
    ImageRestored {
        image: ImageKey,
        channel: Option<Channel>,
        reason: Option<String>,
    },
    /// Nothing is promoted there until then; rollbacks pass, unless they are stopped as well.
    FreezeSet {
        scope: Scope,
        until: Timestamp,
        reason: String,
        /// Rollbacks that a person asks for are stopped, too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        rollbacks: bool,
    },
    FreezeLifted {
        scope: Scope,
        reason: Option<String>,
    },
    /// Somebody agrees that this image may go to this channel next.
    ImageApproved {
        channel: Channel,
        image: ImageKey,
        reason: Option<String>,
    },
    ApprovalWithdrawn {
        channel: Channel,
        image: ImageKey,
        reason: Option<String>,
    },
    /// A rule of the channel is passed over by the rollout that begins next.
    RuleOverridden {
        channel: Channel,
        image: ImageKey,
        rule: String,
        reason: String,
    },
    /// What infrastructure code reads was written, and read back.
    PointerWritten {
        channel: Channel,
        /// Its name in the config.
        pointer: String,
        image: ImageKey,
        value: String,
    },
    /// The channel has moved, and this pointer has not.
    PointerFailed {
        channel: Channel,
        pointer: String,
        image: ImageKey,
        reason: String,
    },
    /// Drift was looked for. What an audit is compared with is the one before it.
    DriftAudited {
        /// Every channel that was looked at.
        channels: BTreeSet<Channel>,
        /// How many targets they have.
        targets: u32,
        /// Kind of finding → how many, those in sync and the acknowledged ones too.
        counts: BTreeMap<String, u32>,
        /// SHA-256 over the canonical JSON of all that was found, each with what was recorded, declared and observed.
        digest: Digest,
        /// What was drift, and nobody had acknowledged.
        findings: BTreeMap<FindingId, NotedFinding>,
    },
    /// Somebody knows of a finding: it is no alarm until then.
    DriftAcknowledged {
        id: FindingId,
        finding: NotedFinding,
        until: Timestamp,
        reason: String,
    },
    AcknowledgementWithdrawn {
        id: FindingId,
        finding: NotedFinding,
        reason: Option<String>,
    },
    /// Written by a newer imgctl: it can be shown, and nothing can be appended after it.
    #[serde(other)]
    Unknown,
}

impl Event {
    /// The target a step event speaks of is in its rollout; this is what the event itself names.
    pub fn rollout(&self) -> Option<Seq> {
        match self {
            Self::StepStarted { rollout, .. }
            | Self::StepDeployed { rollout, .. }
            | Self::StepSucceeded { rollout, .. }
            | Self::StepFailed { rollout, .. }
            | Self::RolloutFinished { rollout, .. } => Some(*rollout),
            _ => None,
        }
    }
}

/// A target and the rollout that moved it: one line of "where has this image been?".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRecord {
    pub target: TargetId,
    pub channel: Channel,
    pub rollout: Seq,
    pub at: jiff::Timestamp,
}
