//! Run: claim a plan in the ledger, have it carried out, write how it ended, and bring back what failed.

use super::apply::{Work, apply, ended};
use super::exact::note_differences;
use super::load::{load, running};
use super::pointers::{Followed, follow};
use super::preflight::preflight;
use super::{Ctx, FlowError};
use crate::model::{Cause, Channel, Event, ImageKey, Outcome, Rollout, Seq, Step, StepState, TargetId};
use crate::plan::resume::Left;
use crate::plan::rollback::Back;
use crate::plan::{self, BlockerKind, Plan, Rule, Sight};
use crate::store::StoreError;
use std::collections::{BTreeMap, BTreeSet};

/// What the person (or the pipeline) wants.
#[derive(Debug, Clone)]
pub enum Intent {
    Promote {
        channel: Channel,
        image: ImageKey,
        /// Rules that are passed over, for the reason that the rollout is given.
        overrides: BTreeSet<Rule>,
    },
    Rollback {
        channel: Channel,
        back: Back,
    },
}

/// How one step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepEnd {
    Succeeded,
    Failed {
        reason: String,
        remains: Remains,
    },
    /// Under way or not begun: the rollout stays open.
    Left {
        why: String,
    },
}

/// What a failed step left on its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    /// Nothing was done there.
    Untouched,
    /// The platform itself put back what was there.
    Returned,
    /// Some or all of it runs the new image.
    Changed,
    /// The same, and the platform still goes on: nobody waits for it any more, and nobody stopped it.
    GoesOn,
}

/// One target of a rollout, as it was left.
#[derive(Debug, Clone)]
pub struct StepReport {
    pub step: Step,
    pub target: TargetId,
    pub end: StepEnd,
}

/// How a rollout ended.
#[derive(Debug)]
pub struct Ending {
    pub plan: Plan,
    /// `None`: there was nothing to do and nothing to write.
    pub rollout: Option<Seq>,
    /// `None`: it is still open.
    pub outcome: Option<Outcome>,
    pub reports: Vec<StepReport>,
    /// The rollback that imgctl began because this rollout failed.
    pub returned: Option<Box<Ending>>,
    /// After a failure: what every target of the channel runs now, as far as it could be seen.
    pub runs: BTreeMap<TargetId, Sight>,
    /// What came of the channel's pointers, once it has moved.
    pub pointers: Vec<Followed>,
}

/// How often a plan is made anew because the ledger moved under it.
const TRIES: usize = 3;

/// The plan for an intent, on what is observed now. Nothing is written and nothing is touched.
pub async fn plan(ctx: &Ctx<'_>, intent: &Intent) -> Result<Plan, FlowError> {
    match intent {
        Intent::Promote { channel, image, overrides } => {
            let mut snapshot = load(ctx, channel, Some(image)).await?;
            snapshot.grounds.overrides.clone_from(overrides);
            let plan = plan::promote(&snapshot, image);
            Ok(preflight(ctx, plan, snapshot.images.get(image)).await)
        }
        Intent::Rollback { channel, back } => {
            let snapshot = load(ctx, channel, back.to.as_ref()).await?;
            let mut plan = plan::rollback(&snapshot, back);
            note_differences(ctx, &mut plan).await;
            let image = plan.image.as_ref().and_then(|image| snapshot.images.get(image));
            Ok(preflight(ctx, plan, image).await)
        }
    }
}

/// Carries out a plan that was shown and agreed to. With `wait` off it ends when every platform has its order.
pub async fn run(
    ctx: &Ctx<'_>,
    intent: &Intent,
    shown: Plan,
    reason: Option<&str>,
    wait: bool,
) -> Result<Ending, FlowError> {
    let mut plan = shown;
    for _ in 0..TRIES {
        if !plan.blockers.is_empty() {
            return Err(FlowError::Blocked(Box::new(plan)));
        }
        if plan.is_noop() {
            return Ok(Ending {
                plan,
                rollout: None,
                outcome: None,
                reports: Vec::new(),
                returned: None,
                runs: BTreeMap::new(),
                pointers: Vec::new(),
            });
        }
        match claim(ctx, &plan, reason)? {
            Some(rollout) => return carry_out(ctx, plan, rollout, wait).await,
            None => plan = replan(ctx, intent, plan).await?,
        }
    }
    Err(FlowError::Busy)
}

/// Writes the intent. `None`: the ledger moved since the plan was made.
fn claim(ctx: &Ctx<'_>, plan: &Plan, reason: Option<&str>) -> Result<Option<Rollout>, FlowError> {
    let Some(image) = plan.image.clone() else { return Err(FlowError::Blocked(Box::new(plan.clone()))) };
    let event = Event::RolloutStarted {
        channel: plan.channel.clone(),
        image: image.clone(),
        from: plan.from.clone(),
        cause: plan.cause.clone(),
        reason: reason.map(str::to_owned),
        steps: plan.steps.clone(),
    };
    let mut base = plan.base;
    // Each on the one before: nobody's entry comes between what was passed over and what it was passed over for.
    for passed in &plan.overridden {
        let event = Event::RuleOverridden {
            channel: plan.channel.clone(),
            image: image.clone(),
            rule: passed.rule.word().to_owned(),
            reason: reason.unwrap_or_default().to_owned(),
        };
        match ctx.store.claim(base, ctx.clock.now(), ctx.actor, &event) {
            Ok(entry) => base = entry.seq,
            Err(StoreError::Moved { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    let entry = match ctx.store.claim(base, ctx.clock.now(), ctx.actor, &event) {
        Ok(entry) => entry,
        Err(StoreError::Moved { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(Rollout {
        id: entry.seq,
        at: entry.at,
        channel: plan.channel.clone(),
        image,
        from: plan.from.clone(),
        cause: plan.cause.clone(),
        reason: reason.map(str::to_owned),
        steps: plan.steps.clone(),
        states: BTreeMap::new(),
        outcome: None,
    }))
}

/// The plan on the ledger as it is now. One that would do something else was not agreed to.
async fn replan(ctx: &Ctx<'_>, intent: &Intent, shown: Plan) -> Result<Plan, FlowError> {
    let again = plan(ctx, intent).await?;
    let same = again.steps == shown.steps && again.image == shown.image && again.cause == shown.cause;
    if same || !again.blockers.is_empty() { Ok(again) } else { Err(FlowError::Changed(Box::new(again))) }
}

async fn carry_out(ctx: &Ctx<'_>, plan: Plan, rollout: Rollout, wait: bool) -> Result<Ending, FlowError> {
    ctx.watch.began(rollout.id, &plan);
    let left = |step: &Step| {
        if plan.settled.contains(&step.target) { Left::Confirm(step.clone()) } else { Left::Deploy(step.clone()) }
    };
    let work =
        Work { rollout: &rollout, lefts: plan.steps.iter().map(left).collect(), again: false, wait, failed: false };
    let reports = apply(ctx, work).await?;
    finish(ctx, plan, &rollout, reports).await
}

/// The steps that had ended before a resume.
pub(super) fn reports_so_far(rollout: &Rollout) -> Vec<StepReport> {
    let ended = rollout.steps.iter().filter_map(|step| {
        let end = match rollout.state(step.number) {
            StepState::Succeeded { .. } => StepEnd::Succeeded,
            StepState::Failed { reason } => StepEnd::Failed { reason, remains: Remains::Changed },
            StepState::Pending | StepState::Started { .. } => return None,
        };
        Some(StepReport { step: step.clone(), target: step.target.clone(), end })
    });
    ended.collect()
}

/// Writes how the rollout ended, brings back what a failed promotion moved, and looks what every target runs then.
pub(super) async fn finish(
    ctx: &Ctx<'_>,
    plan: Plan,
    rollout: &Rollout,
    reports: Vec<StepReport>,
) -> Result<Ending, FlowError> {
    let mut ending = close(ctx, plan, rollout, reports).await?;
    if any_failed(&ending.reports) {
        let targets = ctx.channel(&rollout.channel).map(|spec| spec.targets.clone()).unwrap_or_default();
        ending.runs = running(ctx, &targets).await.unwrap_or_default();
    }
    Ok(ending)
}

async fn close(ctx: &Ctx<'_>, plan: Plan, rollout: &Rollout, reports: Vec<StepReport>) -> Result<Ending, FlowError> {
    let mut ending = Ending {
        plan,
        rollout: Some(rollout.id),
        outcome: None,
        reports,
        returned: None,
        runs: BTreeMap::new(),
        pointers: Vec::new(),
    };
    // Rolled back or given up by another process meanwhile: how this one sees it changes nothing any more.
    ending.outcome = ended(ctx, rollout.id)?;
    if ending.outcome.is_some() || (under_way(&ending.reports) && !any_failed(&ending.reports)) {
        return Ok(ending);
    }
    let failures: Vec<String> = ending.reports.iter().filter_map(failure).collect();
    let outcome = match remains(&ending.reports) {
        _ if failures.is_empty() => Outcome::Succeeded,
        Remains::Untouched => Outcome::Failed { reason: failures.join("; ") },
        Remains::Returned if rollout.cause == Cause::Promote => Outcome::RolledBack { reason: failures.join("; ") },
        Remains::Returned | Remains::Changed | Remains::GoesOn => match bring_back(ctx, rollout, &failures).await? {
            Return::Began(returned) => {
                let by = returned.rollout.unwrap_or(rollout.id);
                ending.returned = Some(returned);
                ending.outcome = Some(Outcome::Superseded { by });
                return Ok(ending);
            }
            // What is under way or cannot be seen now is for `resume`: a rollout that has ended is never taken up again.
            Return::Later => {
                ending.outcome = ended(ctx, rollout.id)?;
                return Ok(ending);
            }
            Return::No if under_way(&ending.reports) => return Ok(ending),
            Return::No => Outcome::Failed { reason: failures.join("; ") },
        },
    };
    let event = Event::RolloutFinished { rollout: rollout.id, outcome: outcome.clone() };
    ctx.store.append(ctx.clock.now(), ctx.actor, &event)?;
    if outcome == Outcome::Succeeded {
        ending.pointers = follow(ctx, &rollout.channel).await?;
    }
    ending.outcome = Some(outcome);
    Ok(ending)
}

fn any_failed(reports: &[StepReport]) -> bool {
    reports.iter().any(|report| matches!(report.end, StepEnd::Failed { .. }))
}

/// Some step was ordered, or may have been, and has not ended.
fn under_way(reports: &[StepReport]) -> bool {
    reports.iter().any(|report| matches!(&report.end, StepEnd::Left { why } if why != NOT_BEGUN))
}

fn failure(report: &StepReport) -> Option<String> {
    match &report.end {
        StepEnd::Failed { reason, .. } => Some(format!("{}: {reason}", report.target)),
        _ => None,
    }
}

/// The worst that any target of a failed rollout was left with.
pub fn remains(reports: &[StepReport]) -> Remains {
    let worst = reports.iter().map(|report| match &report.end {
        StepEnd::Failed { remains: Remains::GoesOn, .. } => 3,
        StepEnd::Failed { remains: Remains::Returned, .. } => 1,
        StepEnd::Failed { remains: Remains::Untouched, .. } => 0,
        StepEnd::Left { why } if why == NOT_BEGUN || why == WAITS => 0,
        StepEnd::Failed { .. } | StepEnd::Left { .. } | StepEnd::Succeeded => 2,
    });
    match worst.max() {
        None | Some(0) => Remains::Untouched,
        Some(1) => Remains::Returned,
        Some(2) => Remains::Changed,
        Some(_) => Remains::GoesOn,
    }
}

/// What is said of a step that was ordered, and left to itself because that was asked for.
pub const NOT_WAITED_FOR: &str = "ordered, and not waited for";

/// What is said of a step whose wave has not come, because one before it has not ended.
pub const WAITS: &str = "not begun: a wave before it has not ended";

/// What is said of a step that was never begun because another one failed.
pub(super) const NOT_BEGUN: &str = "not begun: another target failed before it";

/// What became of bringing a failed rollout back.
enum Return {
    Began(Box<Ending>),
    /// It is to be brought back, and not now: interrupted, or a target does not answer.
    Later,
    /// It stays as it is.
    No,
}

/// A rollback of its own over the failed promotion. A rollback of a rollback never starts by itself, nor does one of a
/// promotion of the image that the channel is at: most of its targets run that well.
async fn bring_back(ctx: &Ctx<'_>, failed: &Rollout, failures: &[String]) -> Result<Return, FlowError> {
    let stop = ctx.channel(&failed.channel).is_ok_and(|spec| spec.stop_on_failure);
    if failed.cause != Cause::Promote || stop || failed.from.as_ref() == Some(&failed.image) {
        return Ok(Return::No);
    }
    if ctx.stop.is_cancelled() {
        return Ok(Return::Later);
    }
    let back = Back { automatic: true, ..Back::default() };
    let intent = Intent::Rollback { channel: failed.channel.clone(), back };
    let plan = plan(ctx, &intent).await?;
    if !plan.blockers.is_empty() {
        let why: Vec<String> =
            plan.blockers.iter().map(|blocker| format!("{} {}", blocker.subject, blocker.what)).collect();
        ctx.watch.say(&format!("{} stays as it is: {}", failed.channel, why.join("; ")));
        let passes = plan.blockers.iter().any(|blocker| blocker.kind == BlockerKind::Unknown);
        return Ok(if passes { Return::Later } else { Return::No });
    }
    // Somebody else ended it while the plan was made: what lies underneath is another release now.
    if !matches!(plan.cause, Cause::Rollback { of: Some(of), .. } if of == failed.id) {
        return Ok(Return::Later);
    }
    let image = plan.image.as_ref().map(ToString::to_string).unwrap_or_default();
    ctx.watch.say(&format!("{} failed on {}; bringing everything back to {image}", failed.image, failed.channel));
    let reason = format!("rollout {} failed: {}", failed.id, failures.join("; "));
    Ok(Return::Began(Box::new(Box::pin(run(ctx, &intent, plan, Some(&reason), true)).await?)))
}
