//! Which change an entry begins.

use super::{Change, ChangeKind, Holds, Status, Subject, one};
use crate::model::{Entry, Event, FindingId, ImageKey, NotedFinding};
use std::collections::BTreeSet;

impl Change {
    /// The change that an entry begins, judged by what was held before it. A report of a rollout begins none.
    pub fn begin(entry: &Entry, holds: &Holds) -> Option<Self> {
        let new = |kind| Self::new(kind, entry);
        let about = |kind, image: &ImageKey| Self { to: Some(Subject::named(image)), ..new(kind) };
        let tagged = |kind, image, tags: &BTreeSet<String>| Self { tags: tags.clone(), ..about(kind, image) };
        Some(match &entry.event {
            Event::LedgerCreated { .. } => new(ChangeKind::Create),
            Event::ImageRecorded { image } => about(ChangeKind::Record, &image.key),
            Event::ArtifactsAdded { image, .. } => about(ChangeKind::AddArtifacts, image),
            Event::Tagged { image, tags } => tagged(ChangeKind::Tag, image, tags),
            Event::Untagged { image, tags } => tagged(ChangeKind::Untag, image, tags),
            Event::TagsMirrored { image, tags, failed, .. } => {
                tagged(ChangeKind::MirrorTags, image, tags).partly_failed(failed)
            }
            Event::RolloutStarted { .. } => Self::rollout(entry, holds)?,
            Event::StepStarted { .. }
            | Event::StepDeployed { .. }
            | Event::StepSucceeded { .. }
            | Event::StepFailed { .. }
            | Event::RolloutFinished { .. } => return None,
            Event::PointerWritten { .. }
            | Event::PointerFailed { .. }
            | Event::DriftAudited { .. }
            | Event::DriftAcknowledged { .. }
            | Event::AcknowledgementWithdrawn { .. } => Self::noticed(entry)?,
            Event::HoldSet { .. }
            | Event::HoldLifted { .. }
            | Event::ImageRejected { .. }
            | Event::ImageRestored { .. }
            | Event::FreezeSet { .. }
            | Event::FreezeLifted { .. }
            | Event::ImageApproved { .. }
            | Event::ApprovalWithdrawn { .. }
            | Event::RuleOverridden { .. } => Self::judged(entry)?,
            Event::Unknown => new(ChangeKind::Unknown),
        })
    }

    /// What people said of images and channels.
    fn judged(entry: &Entry) -> Option<Self> {
        let new = |kind| Self::new(kind, entry);
        let about = |kind, image: &ImageKey| Self { to: Some(Subject::named(image)), ..new(kind) };
        Some(match &entry.event {
            Event::HoldSet { channel, reason } => {
                Self { channel: Some(channel.clone()), reason: Some(reason.clone()), ..new(ChangeKind::Hold) }
            }
            Event::HoldLifted { channel, reason } => {
                Self { channel: Some(channel.clone()), reason: reason.clone(), ..new(ChangeKind::Release) }
            }
            Event::ImageRejected { image, channel, reason, .. } => {
                let reason = Some(reason.clone());
                Self { channel: channel.clone(), reason, ..about(ChangeKind::Reject, image) }
            }
            Event::ImageRestored { image, channel, reason } => {
                Self { channel: channel.clone(), reason: reason.clone(), ..about(ChangeKind::Restore, image) }
            }
            Event::FreezeSet { scope, reason, .. } => {
                Self { channel: one(scope), reason: Some(reason.clone()), ..new(ChangeKind::Freeze) }
            }
            Event::FreezeLifted { scope, reason } => {
                Self { channel: one(scope), reason: reason.clone(), ..new(ChangeKind::Unfreeze) }
            }
            Event::ImageApproved { channel, image, reason } => {
                let channel = Some(channel.clone());
                Self { channel, reason: reason.clone(), ..about(ChangeKind::Approve, image) }
            }
            Event::ApprovalWithdrawn { channel, image, reason } => {
                let channel = Some(channel.clone());
                Self { channel, reason: reason.clone(), ..about(ChangeKind::Withdraw, image) }
            }
            Event::RuleOverridden { channel, image, rule, reason } => {
                let (channel, reason) = (Some(channel.clone()), Some(reason.clone()));
                Self { channel, reason, said: Some(format!("rule {rule}")), ..about(ChangeKind::Override, image) }
            }
            _ => return None,
        })
    }

    /// What was done beside the releases: code that was told, and drift that was found or known.
    fn noticed(entry: &Entry) -> Option<Self> {
        let new = |kind| Self::new(kind, entry);
        let about = |kind, image: &ImageKey| Self { to: Some(Subject::named(image)), ..new(kind) };
        let known = |kind, id: &FindingId, finding: &NotedFinding| Self {
            channel: Some(finding.channel.clone()),
            said: Some(format!("{finding} ({id})")),
            ..new(kind)
        };
        Some(match &entry.event {
            Event::PointerWritten { channel, image, value: said, .. } => {
                Self { channel: Some(channel.clone()), said: Some(said.clone()), ..about(ChangeKind::Point, image) }
            }
            Event::PointerFailed { channel, image, reason, .. } => {
                let (channel, said) = (Some(channel.clone()), Some(reason.clone()));
                Self { channel, said, status: Status::Failed, ..about(ChangeKind::Point, image) }
            }
            Event::DriftAudited { targets, findings, .. } => {
                let said = Some(format!("{targets} targets, {} with drift", findings.len()));
                Self { said, ..new(ChangeKind::AuditDrift) }
            }
            Event::DriftAcknowledged { id, finding, reason, .. } => {
                Self { reason: Some(reason.clone()), ..known(ChangeKind::Acknowledge, id, finding) }
            }
            Event::AcknowledgementWithdrawn { id, finding, reason } => {
                Self { reason: reason.clone(), ..known(ChangeKind::WithdrawAcknowledgement, id, finding) }
            }
            _ => return None,
        })
    }
}
