//! Apply: carry out steps wave by wave, side by side within one, each with its precondition, each result written down.

use super::follow::{self, End};
use super::run::{NOT_BEGUN, NOT_WAITED_FOR, Remains, StepEnd, StepReport, WAITS};
use super::{Ctx, FlowError, StepNews};
use crate::model::{Event, ImageRef, Lookup, Motion, Outcome, Rollout, Seq, Step};
use crate::plan::resume::Left;
use crate::provider::target::{Order, Target};
use futures_util::StreamExt;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many targets move at the same time, where the config does not say.
pub(super) const SIDE_BY_SIDE: usize = 8;

/// What is to be carried out.
pub(super) struct Work<'a> {
    pub rollout: &'a Rollout,
    pub lefts: Vec<Left>,
    /// Steps may have been ordered before, by a process that died.
    pub again: bool,
    pub wait: bool,
    /// A step failed already: those under way are seen to their end, and no other is begun.
    pub failed: bool,
}

/// Carries out the work. After the first failure no further step is begun; those under way are seen to their end.
pub(super) async fn apply(ctx: &Ctx<'_>, work: Work<'_>) -> Result<Vec<StepReport>, FlowError> {
    let token = token(ctx)?;
    let parallel = ctx.channels.get(&work.rollout.channel).and_then(|spec| spec.parallel).unwrap_or(SIDE_BY_SIDE);
    let failed = AtomicBool::new(work.failed);
    let run = Run { ctx, rollout: work.rollout, token, again: work.again, wait: work.wait, failed: &failed };
    let mut waves: BTreeMap<u32, Vec<Left>> = BTreeMap::new();
    for left in work.lefts {
        waves.entry(left.step().wave).or_default().push(left);
    }
    let mut reports = Vec::new();
    for lefts in waves.into_values() {
        // What is still under way, or was not waited for, has not shown that it is good enough for the next wave.
        if reports.iter().any(|report: &StepReport| matches!(&report.end, StepEnd::Left { why } if why != NOT_BEGUN)) {
            reports.extend(lefts.iter().map(|left| run.waits(left.step())));
            continue;
        }
        let (confirms, others): (Vec<Left>, Vec<Left>) =
            lefts.into_iter().partition(|left| matches!(left, Left::Confirm(_)));
        let steps = futures_util::stream::iter(others).map(|left| run.one(left)).buffered(parallel);
        let (confirmed, ended) = futures_util::join!(run.confirm(&confirms), steps.collect::<Vec<_>>());
        let mut wave = ended.into_iter().chain(confirmed).collect::<Result<Vec<_>, _>>()?;
        wave.sort_by_key(|report| report.step.number);
        reports.extend(wave);
    }
    Ok(reports)
}

/// The part of an order's token that tells this ledger from every other.
fn token(ctx: &Ctx<'_>) -> Result<String, FlowError> {
    let view = ctx.store.view()?;
    let first = Lookup(&*view).0.entry(Seq(1))?;
    Ok(match first.map(|entry| entry.event) {
        Some(Event::LedgerCreated { id }) => id.simple().to_string(),
        _ => String::new(),
    })
}

struct Run<'a> {
    ctx: &'a Ctx<'a>,
    rollout: &'a Rollout,
    token: String,
    again: bool,
    wait: bool,
    failed: &'a AtomicBool,
}

impl Run<'_> {
    /// A step of a wave whose turn has not come.
    fn waits(&self, step: &Step) -> StepReport {
        self.ctx.watch.step(step, StepNews::Left(WAITS));
        StepReport { target: step.target.clone(), step: step.clone(), end: StepEnd::Left { why: WAITS.to_owned() } }
    }

    async fn one(&self, left: Left) -> Result<StepReport, FlowError> {
        let step = left.step().clone();
        let end = self.end_of(&step, left).await?;
        Ok(self.report(&step, end))
    }

    /// What is said to be there already is only looked at: all of it together, however many may move side by side.
    async fn confirm(&self, lefts: &[Left]) -> Vec<Result<StepReport, FlowError>> {
        let steps: Vec<&Step> = lefts.iter().map(Left::step).collect();
        let (there, lost): (Vec<&Step>, Vec<&Step>) =
            steps.into_iter().partition(|step| self.ctx.fleet.target(&step.target).is_some());
        there.iter().for_each(|step| self.ctx.watch.step(step, StepNews::Verifying));
        let ends = follow::verify_all(self.ctx, &there, &Motion::Succeeded).await;
        let seen = there.into_iter().zip(ends).map(|(step, end)| Ok(self.report(step, self.write(step, end)?)));
        seen.chain(lost.into_iter().map(|step| Ok(self.report(step, no_longer_there())))).collect()
    }

    fn report(&self, step: &Step, end: StepEnd) -> StepReport {
        match &end {
            // Told where it was seen what runs.
            StepEnd::Succeeded => {}
            StepEnd::Failed { reason, .. } => self.ctx.watch.step(step, StepNews::Failed(reason)),
            StepEnd::Left { why } => self.ctx.watch.step(step, StepNews::Left(why)),
        }
        if matches!(end, StepEnd::Failed { .. }) {
            self.failed.store(true, Ordering::SeqCst);
        }
        StepReport { target: step.target.clone(), step: step.clone(), end }
    }

    async fn end_of(&self, step: &Step, left: Left) -> Result<StepEnd, FlowError> {
        let Some(target) = self.ctx.fleet.target(&step.target) else {
            return Ok(no_longer_there());
        };
        let deployment = match left {
            Left::Unseen { why, .. } => return Ok(StepEnd::Left { why }),
            Left::Follow { deployment, .. } => Some(deployment),
            // Looked at with the others: `confirm`.
            Left::Confirm(_) => None,
            Left::Deploy(_) => {
                if self.failed.load(Ordering::SeqCst) {
                    return Ok(StepEnd::Left { why: NOT_BEGUN.to_owned() });
                }
                if self.ctx.stop.is_cancelled() {
                    return Ok(StepEnd::Left { why: "not begun: interrupted".to_owned() });
                }
                match self.deploy(target, step).await? {
                    Ok(deployment) => deployment,
                    Err(end) => return Ok(end),
                }
            }
        };
        if !self.wait {
            return Ok(StepEnd::Left { why: NOT_WAITED_FOR.to_owned() });
        }
        let end = follow::to_the_end(self.ctx, target, step, deployment.as_deref()).await;
        self.write(step, end)
    }

    /// Intent first, then the call, then its answer: whatever dies in between, `resume` finds where.
    async fn deploy(&self, target: &dyn Target, step: &Step) -> Result<Result<Option<String>, StepEnd>, FlowError> {
        let (rollout, number) = (self.rollout.id, step.number);
        if let Err(error) = self.append(&Event::StepStarted { rollout, step: number }) {
            // Somebody rolled back or gave up meanwhile: the ledger refuses what would undo that.
            let outcome = ended(self.ctx, rollout)?.ok_or(error)?;
            return Ok(Err(StepEnd::Left { why: format!("not begun: rollout {rollout} was {outcome}") }));
        }
        self.ctx.watch.step(step, StepNews::Ordered);
        let token = format!("imgctl-{}-{rollout}-{number}", self.token);
        let order = Order { token, rollout, image: &self.rollout.image, step, again: self.again };
        match target.deploy(&order).await {
            Ok(deployed) => {
                let (revision, deployment) = (deployed.revision, deployed.deployment);
                self.append(&Event::StepDeployed { rollout, step: number, revision, deployment: deployment.clone() })?;
                match self.too_late(target, step, deployment.as_deref()).await? {
                    Some(end) => Ok(Err(end)),
                    None => Ok(Ok(deployment)),
                }
            }
            // No answer is not a no: the platform may have taken the order.
            Err(error) if error.is_silence() => Ok(Err(StepEnd::Left { why: chain(&error) })),
            Err(error) => {
                let reason = chain(&error);
                self.append(&Event::StepFailed {
                    rollout,
                    step: number,
                    reason: reason.clone(),
                    running: BTreeMap::new(),
                })?;
                Ok(Err(StepEnd::Failed { reason, remains: Remains::Untouched }))
            }
        }
    }

    /// An order that crossed with the end of its rollout is taken back, unless what ended it moves this target itself.
    async fn too_late(
        &self,
        target: &dyn Target,
        step: &Step,
        deployment: Option<&str>,
    ) -> Result<Option<StepEnd>, FlowError> {
        let Some(outcome) = ended(self.ctx, self.rollout.id)? else { return Ok(None) };
        let moved_by_another = match &outcome {
            Outcome::Superseded { by } => {
                let next = Lookup(&*self.ctx.store.view()?).rollout(*by)?;
                next.is_some_and(|next| next.steps.iter().any(|other| other.target == step.target))
            }
            _ => false,
        };
        if let Some(deployment) = deployment.filter(|_| !moved_by_another)
            && let Err(error) = target.cancel(deployment).await
        {
            let why = format!("rollout {} was {outcome}, and {deployment} could not be cancelled", self.rollout.id);
            return Ok(Some(StepEnd::Left { why: format!("{why}: {}", chain(&error)) }));
        }
        Ok(Some(StepEnd::Left { why: format!("rollout {} was {outcome}", self.rollout.id) }))
    }

    fn write(&self, step: &Step, end: End) -> Result<StepEnd, FlowError> {
        let (rollout, number) = (self.rollout.id, step.number);
        match end {
            End::Settled { revision, running } => {
                let slots = step.wanted();
                let news = if running.is_empty() { StepNews::Configured } else { StepNews::Succeeded };
                self.append(&Event::StepSucceeded { rollout, step: number, revision, slots, running })?;
                self.ctx.watch.step(step, news);
                Ok(StepEnd::Succeeded)
            }
            End::Failed { reason, remains, running } => {
                self.append(&Event::StepFailed { rollout, step: number, reason: reason.clone(), running })?;
                Ok(StepEnd::Failed { reason, remains })
            }
            End::Left { why } => Ok(StepEnd::Left { why }),
        }
    }

    fn append(&self, event: &Event) -> Result<(), FlowError> {
        self.ctx.store.append(self.ctx.clock.now(), self.ctx.actor, event)?;
        Ok(())
    }
}

fn no_longer_there() -> StepEnd {
    StepEnd::Left { why: "it is no longer in the config".to_owned() }
}

/// How this rollout ended, if another process wrote that it has.
pub(super) fn ended(ctx: &Ctx<'_>, rollout: Seq) -> Result<Option<Outcome>, FlowError> {
    let view = ctx.store.view()?;
    Ok(Lookup(&*view).rollout(rollout)?.and_then(|rollout| rollout.outcome))
}

/// An error with its causes, in one line: it goes into the ledger.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What runs, as far as it can be read: a report must not fail because of it.
pub(super) async fn running(target: &dyn Target) -> BTreeMap<ImageRef, u32> {
    target.observe().await.map(|observed| observed.running).unwrap_or_default()
}
