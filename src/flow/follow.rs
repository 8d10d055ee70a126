//! Follow: wait until a platform's deployment has ended, then believe only what really runs, twice in a row.

use super::apply::{chain, running};
use super::known::recognise;
use super::run::Remains;
use super::{Ctx, StepNews};
use crate::model::{ImageRef, Motion, Observed, Revision, Step};
use crate::plan::is_settled;
use crate::provider::target::{Depth, Target, TargetError};
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

/// Follows one deployment to its end, and verifies what runs. `None`: the platform has done it already.
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
    verify(ctx, step, &motion).await
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
async fn verify(ctx: &Ctx<'_>, step: &Step, motion: &Motion) -> End {
    let nothing = || End::Left { why: format!("{} was not looked at", step.target) };
    verify_all(ctx, &[step], motion).await.pop().unwrap_or_else(nothing)
}

/// Looks at what runs on all these targets together, and again at those that are not right yet: one end for each, in
/// their order.
pub(super) async fn verify_all(ctx: &Ctx<'_>, steps: &[&Step], motion: &Motion) -> Vec<End> {
    let mut looks: Vec<Look<'_>> = steps.iter().map(|step| Look::new(step)).collect();
    let pace = steps.iter().filter_map(|step| Some(ctx.fleet.target(&step.target)?.pace().poll)).max();
    for round in 0..LOOKS {
        let mut open: Vec<&mut Look<'_>> = looks.iter_mut().filter(|look| !look.has_told(motion)).collect();
        if open.is_empty() {
            break;
        }
        if round > 0 {
            tokio::select! {
                () = ctx.clock.sleep(pace.unwrap_or_default()) => {}
                () = ctx.stop.cancelled() => {
                    open.into_iter().for_each(|look| look.interrupted = true);
                    break;
                }
            }
        }
        let ids = open.iter().map(|look| look.step.target.clone()).collect();
        let mut seen = ctx.fleet.survey(&ids, Depth::Deploying).await;
        // Where the ledger cannot be read, it is as it was told.
        drop(recognise(ctx, &mut seen));
        open.iter_mut().for_each(|look| look.add(seen.remove(&look.step.target)));
    }
    looks.into_iter().map(|look| look.end(motion)).collect()
}

/// What was seen of one target, look by look.
struct Look<'a> {
    step: &'a Step,
    last: Result<Observed, TargetError>,
    /// How often in a row it was right.
    right: u32,
    interrupted: bool,
}

impl<'a> Look<'a> {
    fn new(step: &'a Step) -> Self {
        Self { step, last: Err(gone(step)), right: 0, interrupted: false }
    }

    fn add(&mut self, seen: Option<Result<Observed, TargetError>>) {
        self.last = seen.unwrap_or_else(|| Err(gone(self.step)));
        let right = self.last.as_ref().is_ok_and(|seen| is_settled(seen, &self.step.slots));
        self.right = if right { self.right + 1 } else { 0 };
    }

    /// Whether another look tells nothing more: what the platform itself gave up does not become right by waiting.
    fn has_told(&self, motion: &Motion) -> bool {
        let wrong = self.right == 0 && self.last.is_ok();
        self.right == IN_A_ROW || (wrong && !matches!(motion, Motion::Succeeded))
    }

    fn end(self, motion: &Motion) -> End {
        match self.last {
            _ if self.interrupted => End::Left { why: "interrupted while it was verified".to_owned() },
            Ok(seen) if self.right == IN_A_ROW => End::Settled { revision: seen.revision, running: seen.running },
            Ok(seen) => unsettled(&seen, self.step, motion),
            Err(error) => End::Left { why: chain(&error) },
        }
    }
}

fn gone(step: &Step) -> TargetError {
    TargetError::Gone { what: step.target.to_string(), keys: None }
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
