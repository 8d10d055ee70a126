//! Abort: a person gives a rollout up. Deployments under way are cancelled; what was replaced stays, and is said.

use super::apply::running;
use super::resume::open;
use super::{Ctx, FlowError};
use crate::model::{Event, ImageRef, Outcome, Revision, Rollout, Seq, Step, StepState, TargetId};
use crate::provider::target::{Target, TargetError};
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
    let steps = aborted.rollout.steps.clone();
    for step in &steps {
        let Some(target) = ctx.fleet.target(&step.target) else { continue };
        let state = aborted.rollout.state(step.number);
        if let StepState::Started { revision, .. } = &state {
            if let Some(cancelled) = cancel(target, step, revision.as_ref())
                .await
                .map_err(|source| FlowError::Target { target: step.target.clone(), source })?
            {
                aborted.cancelled.insert(step.target.clone(), cancelled);
            }
            let running = running(target).await;
            let event =
                Event::StepFailed { rollout: id, step: step.number, reason: format!("aborted: {reason}"), running };
            ctx.store.append(ctx.clock.now(), ctx.actor, &event)?;
        }
        aborted.running.insert(step.target.clone(), running(target).await);
    }
    let outcome = Outcome::Aborted { reason: reason.to_owned() };
    ctx.store.append(ctx.clock.now(), ctx.actor, &Event::RolloutFinished { rollout: id, outcome: outcome.clone() })?;
    aborted.rollout.outcome = Some(outcome);
    Ok(aborted)
}

/// Cancels the target's deployment if it is this rollout's. On a target that is gone there is nothing to cancel.
async fn cancel(target: &dyn Target, step: &Step, ordered: Option<&Revision>) -> Result<Option<String>, TargetError> {
    let observed = match target.observe().await {
        Err(TargetError::Gone { .. }) => return Ok(None),
        answer => answer?,
    };
    let ours = observed.deployment.filter(|deployment| deployment.is_active()).filter(|deployment| {
        ordered.is_none() || deployment.toward.as_ref() == ordered || step.interrupts.as_ref() == Some(&deployment.id)
    });
    let Some(deployment) = ours else { return Ok(None) };
    target.cancel(&deployment.id).await?;
    Ok(Some(deployment.id))
}
