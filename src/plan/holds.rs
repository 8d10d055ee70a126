//! Holds, approvals and overridden rules, folded from entry to entry, for whoever reads the ledger from its beginning.

use super::change::Approval;
use crate::model::{Cause, Channel, Entry, Event, ImageKey, Outcome, Seq};
use std::collections::{BTreeMap, BTreeSet};

/// What was said of channels before an entry: a promotion is judged by what was true when it began.
#[derive(Debug, Clone, Default)]
pub struct Holds {
    held: BTreeMap<Channel, Seq>,
    /// Channels of which a rule was passed over for the rollout that comes next.
    passed: BTreeSet<Channel>,
    /// Who agreed to what comes next on a channel.
    approved: BTreeMap<(Channel, ImageKey), Vec<Approval>>,
    /// Rollouts that have not ended.
    open: BTreeMap<Seq, Channel>,
}

impl Holds {
    pub fn see(&mut self, entry: &Entry) {
        match &entry.event {
            Event::HoldSet { channel, .. } => drop(self.held.insert(channel.clone(), entry.seq)),
            Event::HoldLifted { channel, .. } => drop(self.held.remove(channel)),
            Event::RolloutStarted { channel, cause, .. } => {
                if matches!(cause, Cause::Rollback { automatic: false, .. }) {
                    self.held.insert(channel.clone(), entry.seq);
                }
                self.passed.remove(channel);
                self.open.insert(entry.seq, channel.clone());
            }
            Event::RolloutFinished { rollout, outcome } => {
                // With the channel's next release, approvals have served.
                if let Some(channel) = self.open.remove(rollout)
                    && *outcome == Outcome::Succeeded
                {
                    self.approved.retain(|(of, _), _| *of != channel);
                }
            }
            Event::RuleOverridden { channel, .. } => drop(self.passed.insert(channel.clone())),
            Event::ImageApproved { channel, image, .. } => {
                let approvals = self.approved.entry((channel.clone(), image.clone())).or_default();
                approvals.retain(|approval| approval.by.who != entry.by.who);
                approvals.push(Approval { by: entry.by.clone(), at: entry.at, entry: entry.seq });
            }
            Event::ApprovalWithdrawn { channel, image, .. } => {
                if let Some(approvals) = self.approved.get_mut(&(channel.clone(), image.clone())) {
                    approvals.retain(|approval| approval.by.who != entry.by.who);
                }
            }
            _ => {}
        }
    }

    /// Whether a rule of it was passed over for the rollout that comes next.
    pub(super) fn overridden(&self, channel: &Channel) -> bool {
        self.passed.contains(channel)
    }

    /// The entry that holds this channel.
    pub fn on(&self, channel: &Channel) -> Option<Seq> {
        self.held.get(channel).copied()
    }

    /// Who has agreed that this image goes to this channel next.
    pub(super) fn approvals(&self, channel: &Channel, image: &ImageKey) -> Vec<Approval> {
        self.approved.get(&(channel.clone(), image.clone())).cloned().unwrap_or_default()
    }
}
