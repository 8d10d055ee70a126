//! Rollouts of the ledger beside what a platform does: which are under way, and which deployments were theirs.

use super::FlowError;
use crate::model::{
    Cause, Channel, Deployment, Entry, Event, Lookup, RecordedTarget, Revision, Rollout, Seq, StepState, TargetId,
};
use crate::plan::Sight;
use crate::plan::witnesses::Open;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// How many entries of a channel's log are read at first; then four times as many.
const AT_FIRST: usize = 256;

/// What was read of them, once each: the targets of a channel share one.
pub(super) struct Rollouts<'l> {
    look: Lookup<'l>,
    read: BTreeMap<Seq, Option<Rollout>>,
    orders: BTreeMap<Channel, Orders>,
}

/// What a channel's rollouts ordered, as far back as they were read.
#[derive(Default)]
struct Orders {
    rollouts: Vec<Ordered>,
    /// When the oldest of them began; `None` where there is none before.
    since: Option<Timestamp>,
    /// How many entries that took.
    read: usize,
}

/// One rollout, as its log has it.
struct Ordered {
    id: Seq,
    began: Timestamp,
    ended: Option<Timestamp>,
    /// The steps for which a platform began a deployment, and its ids for them.
    deployments: BTreeSet<(u32, String)>,
}

impl<'l> Rollouts<'l> {
    pub fn new(look: Lookup<'l>) -> Self {
        Self { look, read: BTreeMap::new(), orders: BTreeMap::new() }
    }

    fn get(&mut self, id: Seq) -> Result<Option<&Rollout>, FlowError> {
        if !self.read.contains_key(&id) {
            self.read.insert(id, self.look.rollout(id)?);
        }
        Ok(self.read.get(&id).and_then(Option::as_ref))
    }

    /// A rollout that has not finished, and what it does to this target.
    pub fn under_way(&mut self, rollout: Seq, target: &TargetId) -> Result<Open, FlowError> {
        let begun = self.get(rollout)?;
        let steps = begun.into_iter().flat_map(|begun| begun.steps.iter()).filter(|step| step.target == *target);
        let mut images = BTreeSet::new();
        for change in steps.flat_map(|step| step.slots.values()) {
            // Of a name and where it led, the image is what it led to.
            let from = change.from.as_deref().and_then(|from| from.rsplit(" → ").next()?.parse().ok());
            images.extend(from.into_iter().chain([change.to.clone()]));
        }
        Ok(Open { rollout, images })
    }

    /// Whether a rollback of the ledger's took the target away from this revision.
    pub fn left(
        &mut self,
        recorded: &RecordedTarget,
        target: &TargetId,
        revision: &Revision,
    ) -> Result<bool, FlowError> {
        let of = match self.get(recorded.rollout)?.map(|rollout| &rollout.cause) {
            Some(Cause::Rollback { of: Some(of), .. }) => *of,
            _ => return Ok(false),
        };
        let Some(left) = self.get(of)? else { return Ok(false) };
        let mut steps = left.steps.iter().filter(|step| step.target == *target);
        Ok(steps.any(|step| match left.state(step.number) {
            StepState::Succeeded { revision: there } | StepState::Started { revision: Some(there), .. } => {
                there == *revision
            }
            StepState::Pending | StepState::Started { revision: None, .. } | StepState::Failed { .. } => false,
        }))
    }

    /// Whether the platform took a deployment back that is none of the ledger's.
    pub fn is_foreign(&mut self, channel: &Channel, target: &TargetId, sight: &Sight) -> Result<bool, FlowError> {
        let Sight::Seen(observed) = sight else { return Ok(false) };
        match observed.undone() {
            Some((deployment, _)) => {
                let is_way_back = deployment.toward.as_ref() == Some(&observed.revision);
                Ok(!self.ordered(channel, target, deployment, is_way_back)?)
            }
            None => Ok(false),
        }
    }

    /// Whether a deployment was ordered by a rollout of this channel. ECS tells of its own way back, which has another id
    /// than the order had: that is the ledger's if it began while a rollout was at this target.
    fn ordered(
        &mut self,
        channel: &Channel,
        target: &TargetId,
        deployment: &Deployment,
        is_way_back: bool,
    ) -> Result<bool, FlowError> {
        self.read_orders(channel, deployment.started)?;
        let orders = self.orders.remove(channel).unwrap_or_default();
        let mut found = false;
        for ordered in &orders.rollouts {
            let lasted = |at: Timestamp| ordered.began <= at && ordered.ended.is_none_or(|ended| at <= ended);
            let while_it_lasted = is_way_back && deployment.started.is_some_and(lasted);
            let by_id = |step: u32| ordered.deployments.contains(&(step, deployment.id.clone()));
            let steps = self.get(ordered.id)?.map(|rollout| rollout.steps.as_slice()).unwrap_or_default();
            let mut steps = steps.iter().filter(|step| step.target == *target);
            if steps.any(|step| while_it_lasted || by_id(step.number)) {
                found = true;
                break;
            }
        }
        self.orders.insert(channel.clone(), orders);
        Ok(found)
    }

    /// Reads the channel's log back to the rollout before `began`, or all of it.
    fn read_orders(&mut self, channel: &Channel, began: Option<Timestamp>) -> Result<(), FlowError> {
        let covers = |orders: &Orders| orders.since.is_none_or(|since| began.is_some_and(|began| since <= began));
        while !self.orders.get(channel).is_some_and(covers) {
            let limit = self.orders.get(channel).map_or(AT_FIRST, |orders| orders.read.saturating_mul(4).max(AT_FIRST));
            let log = self.look.channel_log(channel, limit)?;
            let mut orders = Orders::of(&log);
            if log.len() < limit {
                orders.since = None;
            }
            self.orders.insert(channel.clone(), orders);
        }
        Ok(())
    }
}

impl Orders {
    /// From the newest entries of a channel, newest first.
    fn of(log: &[Entry]) -> Self {
        let mut ended: BTreeMap<Seq, Timestamp> = BTreeMap::new();
        let mut deployments: BTreeMap<Seq, BTreeSet<(u32, String)>> = BTreeMap::new();
        let mut rollouts = Vec::new();
        for entry in log {
            match &entry.event {
                Event::RolloutFinished { rollout, .. } => drop(ended.insert(*rollout, entry.at)),
                Event::StepDeployed { rollout, step, deployment: Some(id), .. } => {
                    deployments.entry(*rollout).or_default().insert((*step, id.clone()));
                }
                Event::RolloutStarted { .. } => rollouts.push(Ordered {
                    id: entry.seq,
                    began: entry.at,
                    ended: ended.remove(&entry.seq),
                    deployments: deployments.remove(&entry.seq).unwrap_or_default(),
                }),
                _ => {}
            }
        }
        // Until one was seen that began, nothing is known of what was ordered.
        let since = rollouts.last().map_or(Some(Timestamp::MAX), |oldest| Some(oldest.began));
        Self { rollouts, since, read: log.len() }
    }
}
