//! Follow: wait until a platform's deployment has ended, then believe only what really runs, twice in a row.

use super::apply::{chain, running};
use super::known::recognise;
use super::run::Remains;
use super::{Ctx, StepNews};
use crate::model::{ImageRef, Motion, Observed, Revision, Step};
use crate::plan::is_settled;
use crate::provider::target::{Target, TargetError};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Clouds are eventually consistent: a state counts when it was seen this often in a row.
const IN_A_ROW: u32 = 2;
/// How often an ended deployment is looked at before what runs is taken for its result.
const LOOKS: u32 = 10;
/// How many questions in a row may go unanswered.
const UNANSWERED: u32 = 10;

/// What became of a step.
pub(super) enum End {
    Settled { revision: Revision, running: BTreeMap<ImageRef, u32> },
    Failed { reason: String, remains: Remains, running: BTreeMap<ImageRef, u32> },
    Left { why: String },
}

/// Follows one deployment to its end, and verifies what runs. `None`: there is none to follow, only to verify.
pub(super) async fn to_the_end(ctx: &Ctx<'_>, target: &dyn Target, step: &Step, deployment: Option<&str>) -> End {
    let began = ctx.clock.now();
    let motion = match deployment {
        None => Motion::Succeeded,
        Some(deployment) => match motion(ctx, target, step, deployment, began).await {
            // Turning it back was the order.
            Ok(Motion::RolledBack { .. }) if step.interrupts.as_deref() == Some(deployment) => Motion::Succeeded,
            // A person's decision says nothing about the image: theirs is also what comes next.
            Ok(Motion::Cancelled { reason }) => {
                return End::Left { why: format!("{deployment} was cancelled: {}", reason.trim_end_matches('.')) };
            }
            Ok(motion) => motion,
            Err(end) => return end,
        },
    };
    ctx.watch.step(step, StepNews::Verifying);
    verify(ctx, target, step, &motion).await
}

/// Asks until the deployment has ended.
async fn motion(
    ctx: &Ctx<'_>,
    target: &dyn Target,
    step: &Step,
    deployment: &str,
    began: Timestamp,
) -> Result<Motion, End> {
    let pace = target.pace();
    let mut unanswered = 0;
    let mut said = None;
    loop {
        match target.follow(deployment).await {
            Ok(seen) if !seen.is_active() => return Ok(seen.motion),
            Ok(seen) => {
                unanswered = 0;
                ctx.watch.step(step, StepNews::Moving(&seen));
                said = note(seen.motion).or(said);
            }
            Err(error) if unanswered < UNANSWERED && error.is_silence() => {
                unanswered += 1;
                ctx.watch.step(step, StepNews::NoAnswer(&error.to_string()));
            }
            Err(error) if error.is_silence() => return Err(End::Left { why: chain(&error) }),
            Err(error) => return Err(failed(target, chain(&error)).await),
        }
        let waited = Duration::try_from(ctx.clock.now().duration_since(began)).unwrap_or_default();
        if waited > pace.limit {
            let why = said.map(|said| format!(": {said}")).unwrap_or_default();
            let reason = format!("{deployment} has not ended after {} minutes{why}", pace.limit.as_secs() / 60);
            return Err(End::Failed { reason, remains: Remains::GoesOn, running: running(target).await });
        }
        tokio::select! {
            () = ctx.clock.sleep(pace.poll) => {}
            () = ctx.stop.cancelled() => {
                return Err(End::Left { why: format!("interrupted; the platform goes on with {deployment} by itself") });
            }
        }
    }
}

/// What the platform says of a deployment under way: tasks that fail, for one.
fn note(motion: Motion) -> Option<String> {
    match motion {
        Motion::Moving { note, .. } | Motion::Returning { note, .. } => note,
        Motion::Succeeded | Motion::Failed { .. } | Motion::RolledBack { .. } | Motion::Cancelled { .. } => None,
    }
}

async fn failed(target: &dyn Target, reason: String) -> End {
    End::Failed { reason, remains: Remains::Changed, running: running(target).await }
}

/// The refresh's word is not enough: protected and standby instances stay old under a success.
async fn verify(ctx: &Ctx<'_>, target: &dyn Target, step: &Step, motion: &Motion) -> End {
    let mut right = 0;
    let mut last = Err(TargetError::Gone { what: step.target.to_string(), keys: None });
    for look in 0..LOOKS {
        if look > 0 {
            tokio::select! {
                () = ctx.clock.sleep(target.pace().poll) => {}
                () = ctx.stop.cancelled() => return End::Left { why: "interrupted while it was verified".to_owned() },
            }
        }
        last = observe(ctx, target, step).await;
        right = if last.as_ref().is_ok_and(|seen| is_settled(seen, &step.slots)) { right + 1 } else { 0 };
        if right == IN_A_ROW {
            break;
        }
        // What the platform itself gave up does not become right by waiting.
        if right == 0 && last.is_ok() && !matches!(motion, Motion::Succeeded) {
            break;
        }
    }
    match last {
        Ok(seen) if right == IN_A_ROW => End::Settled { revision: seen.revision, running: seen.running },
        Ok(seen) => unsettled(&seen, step, motion),
        Err(error) => End::Left { why: chain(&error) },
    }
}

/// What is there, with the ledger's own addresses; where the ledger cannot be read, as it was told.
async fn observe(ctx: &Ctx<'_>, target: &dyn Target, step: &Step) -> Result<Observed, TargetError> {
    let mut seen = [(step.target.clone(), target.observe().await)].into();
    drop(recognise(ctx, &mut seen));
    seen.remove(&step.target).unwrap_or_else(|| Err(TargetError::Gone { what: step.target.to_string(), keys: None }))
}

fn unsettled(seen: &Observed, step: &Step, motion: &Motion) -> End {
    let counts: Vec<String> =
        seen.running.iter().map(|(image, count)| format!("{count} × {}", image.short())).collect();
    let runs = if counts.is_empty() { "nothing runs".to_owned() } else { format!("{} runs", counts.join(", ")) };
    let remains = if has_new(seen, step) { Remains::Changed } else { Remains::Returned };
    let reason = match motion {
        Motion::Succeeded => format!("the platform says it is done, but {runs}"),
        Motion::RolledBack { reason } => format!("the platform rolled back: {}", reason.trim_end_matches('.')),
        Motion::Failed { reason } => format!("{}; {runs}", reason.trim_end_matches('.')),
        Motion::Cancelled { reason } => format!("cancelled: {}; {runs}", reason.trim_end_matches('.')),
        Motion::Moving { .. } | Motion::Returning { .. } => format!("still under way; {runs}"),
    };
    End::Failed { reason, remains, running: seen.running.clone() }
}

/// Some instance runs the image that was to come, or the next one would: where the platform leaves the configuration
/// as it was ordered, an image that never ran is still what a restart brings.
fn has_new(seen: &Observed, step: &Step) -> bool {
    step.slots.iter().any(|(slot, change)| {
        let configured = seen.slots.get(slot).and_then(|state| state.image.now());
        configured == Some(&change.to) || seen.running.contains_key(&change.to)
    })
}
