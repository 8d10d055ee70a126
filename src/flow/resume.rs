//! Resume: find what the clouds did while nobody looked, and end with ledger and cloud agreed.

use super::apply::{Work, apply};
use super::load::load;
use super::run::{Ending, finish};
use super::{Ctx, FlowError};
use crate::model::{Lookup, Rollout, Seq, Step, StepState};
use crate::plan::Plan;
use crate::plan::resume as plan_resume;

/// The open rollout with this number, or the only one there is.
pub(super) fn open(ctx: &Ctx<'_>, id: Option<Seq>) -> Result<Rollout, FlowError> {
    let view = ctx.store.view()?;
    let look = Lookup(&*view);
    if let Some(id) = id {
        let rollout = look.rollout(id)?.ok_or(FlowError::NoRollout(id))?;
        return match &rollout.outcome {
            Some(outcome) => Err(FlowError::Ended { id, outcome: outcome.to_string() }),
            None => Ok(rollout),
        };
    }
    let mut rollouts = look.open_rollouts()?;
    match rollouts.len() {
        0 => Err(FlowError::NothingOpen),
        1 => rollouts.pop().ok_or(FlowError::NothingOpen),
        _ => Err(FlowError::SeveralOpen(rollouts.into_iter().map(|rollout| (rollout.id, rollout.channel)).collect())),
    }
}

/// Takes an open rollout up where it was left.
pub async fn resume(ctx: &Ctx<'_>, id: Option<Seq>) -> Result<Ending, FlowError> {
    let rollout = open(ctx, id)?;
    let snapshot = load(ctx, &rollout.channel, None).await?;
    let lefts = plan_resume(&snapshot, &rollout);
    let plan = as_plan(&rollout, snapshot.base);
    ctx.watch.began(rollout.id, &plan);
    let mut reports = super::run::reports_so_far(&rollout);
    let failed_before = reports.iter().any(|report| matches!(report.end, super::StepEnd::Failed { .. }));
    let work = Work { rollout: &rollout, lefts, again: true, wait: true, failed: failed_before };
    reports.extend(apply(ctx, work).await?);
    finish(ctx, plan, &rollout, reports).await
}

/// The rollout's own plan, as it was when it was begun.
pub(super) fn as_plan(rollout: &Rollout, base: Seq) -> Plan {
    let pending = |step: &&Step| !matches!(rollout.state(step.number), StepState::Succeeded { .. });
    Plan {
        base,
        channel: rollout.channel.clone(),
        image: Some(rollout.image.clone()),
        from: rollout.from.clone(),
        cause: rollout.cause.clone(),
        steps: rollout.steps.iter().filter(pending).cloned().collect(),
        barred: Vec::new(),
        settled: rollout.steps.iter().filter(|step| !pending(step)).map(|step| step.target.clone()).collect(),
        overridden: Vec::new(),
        blockers: Vec::new(),
        notes: Vec::new(),
        done: false,
    }
}
