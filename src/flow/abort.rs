//! Abort: a person gives a rollout up. Deployments under way are cancelled; what was replaced stays, and is said.

use super::apply::{SIDE_BY_SIDE, running};
use super::resume::open;
use super::{Ctx, FlowError};
use crate::model::{Event, ImageRef, Outcome, Revision, Rollout, Seq, Step, StepState, TargetId};
use crate::provider::target::{Target, TargetError};
use futures_util::StreamExt;
use std::collections::BTreeMap;

/// What an abort left behind.
#[derive(Debug)]
pub struct Aborted {
    pub rollout: Rollout,
    /// What each target of the rollout runs now.
    pub running: BTreeMap<TargetId, BTreeMap<ImageRef, u32>>,
    /// Deployments that were cancelled.
    pub cancelled: BTreeMap<TargetId, String>,
}

/// Cancels what this rollout has under way, and closes it.
pub async fn abort(ctx: &Ctx<'_>, id: Seq, reason: &str) -> Result<Aborted, FlowError> {
    let rollout = open(ctx, Some(id))?;
    let mut aborted = Aborted { running: BTreeMap::new(), cancelled: BTreeMap::new(), rollout };
    // Side by side: each waits for its platform, and one that does not answer keeps none of the others going.
    let steps = futures_util::stream::iter(&aborted.rollout.steps);
    let stops = steps.map(|step| stop(ctx, &aborted.rollout, step, reason)).buffered(SIDE_BY_SIDE);
    let stopped: Vec<Result<Option<Stopped>, FlowError>> = stops.collect().await;
    for stopped in stopped {
        let Some(Stopped { target, cancelled, running }) = stopped? else { continue };
        aborted.cancelled.extend(cancelled.map(|deployment| (target.clone(), deployment)));
        aborted.running.insert(target, running);
    }
    let outcome = Outcome::Aborted { reason: reason.to_owned() };
    ctx.store.append(ctx.clock.now(), ctx.actor, &Event::RolloutFinished { rollout: id, outcome: outcome.clone() })?;
    aborted.rollout.outcome = Some(outcome);
    Ok(aborted)
}

/// One step of an aborted rollout, as it was left.
struct Stopped {
    target: TargetId,
    cancelled: Option<String>,
    running: BTreeMap<ImageRef, u32>,
}

/// Cancels what one step has under way, and writes that it ended. `None`: its target is no longer in the config.
async fn stop(ctx: &Ctx<'_>, rollout: &Rollout, step: &Step, reason: &str) -> Result<Option<Stopped>, FlowError> {
    let Some(target) = ctx.fleet.target(&step.target) else { return Ok(None) };
    let mut cancelled = None;
    let state = rollout.state(step.number);
    if let StepState::Started { revision, .. } = &state {
        cancelled = cancel(target, step, revision.as_ref())
            .await
            .map_err(|source| FlowError::Target { target: step.target.clone(), source })?;
    }
    let running = running(target).await;
    if matches!(state, StepState::Started { .. }) {
        let (running, reason) = (running.clone(), format!("aborted: {reason}"));
        let event = Event::StepFailed { rollout: rollout.id, step: step.number, reason, running };
        ctx.store.append(ctx.clock.now(), ctx.actor, &event)?;
    }
    Ok(Some(Stopped { target: step.target.clone(), cancelled, running }))
}

/// Cancels the target's deployment if it is this rollout's. On a target that is gone, or whose template is, there is
/// nothing to cancel.
async fn cancel(target: &dyn Target, step: &Step, ordered: Option<&Revision>) -> Result<Option<String>, TargetError> {
    let observed = match target.observe().await {
        Err(TargetError::Gone { .. } | TargetError::Dangling { .. }) => return Ok(None),
        answer => answer?,
    };
    let ours = observed.deployment.filter(|deployment| deployment.is_active()).filter(|deployment| {
        ordered.is_none() || deployment.toward.as_ref() == ordered || step.interrupts.as_ref() == Some(&deployment.id)
    });
    let Some(deployment) = ours else { return Ok(None) };
    target.cancel(&deployment.id).await?;
    Ok(Some(deployment.id))
}
