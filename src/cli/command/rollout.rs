//! What promote, rollback and resume share: asking the person, carrying a plan out, and telling how it ended.

use crate::cli::failure::{Exit, Failure};
use crate::cli::render::plan::render;
use crate::cli::screen::Screen;
use crate::cli::setup::{Cloud, Setup};
use crate::flow::{self, Ctx, Ending, Followed, Intent, Remains, StepEnd, pointers};
use crate::model::{Cause, Channel, ImageKey, Outcome};
use crate::plan::{Plan, Sight};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How a rollout is asked for.
#[derive(Debug, Args)]
pub struct How {
    /// Why; it goes into the ledger
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: Option<String>,
    /// Show the plan and stop: nothing is written, nothing is touched
    #[arg(long)]
    pub plan: bool,
    /// Do not ask; without a terminal nothing is ever asked
    #[arg(short, long)]
    pub yes: bool,
    /// Return when the cloud has its orders; `imgctl resume` sees them to their end
    #[arg(long)]
    pub no_wait: bool,
}

/// Shows the plan, asks, carries it out, tells how it ended.
pub async fn go(setup: &Setup, cloud: &Cloud, intent: &Intent, how: &How) -> Result<Exit, Failure> {
    let screen = &setup.screen;
    let progress = setup.progress();
    let ctx = cloud.ctx(&progress);
    let plan = flow::plan(&ctx, intent).await?;
    if how.plan {
        return show_plan(screen, &plan);
    }
    if !plan.blockers.is_empty() {
        return Err(flow::FlowError::Blocked(Box::new(plan)).into());
    }
    if !screen.json {
        screen.print(&render(&plan, screen.out))?;
    }
    if plan.is_noop() {
        let ending = nothing_moves(&ctx, plan).await?;
        drop(progress);
        return told(screen, &ending);
    }
    agree(screen, how.yes)?;
    let ending = flow::run(&ctx, intent, plan, how.reason.as_deref(), !how.no_wait).await?;
    drop(progress);
    told(screen, &ending)
}

/// The targets are there already; a pointer that was left pending is tried again, as a pipeline that runs again expects.
async fn nothing_moves(ctx: &Ctx<'_>, plan: Plan) -> Result<Ending, Failure> {
    let is_pending = pointers::pending(ctx)?.contains(&plan.channel);
    let pointers = if is_pending { pointers::follow(ctx, &plan.channel).await? } else { Vec::new() };
    let (reports, runs) = (Vec::new(), BTreeMap::new());
    Ok(Ending { plan, rollout: None, outcome: None, reports, returned: None, runs, pointers })
}

/// The plan as the result itself.
pub fn show_plan(screen: &Screen, plan: &Plan) -> Result<Exit, Failure> {
    screen.show("plan/1", json!({ "plan": plan }), || render(plan, screen.out))?;
    Ok(ready(plan))
}

/// How a plan that is only looked at exits: as it would if it were to be carried out.
pub fn ready(plan: &Plan) -> Exit {
    match (plan.blockers.is_empty(), plan.is_unread()) {
        (true, _) => Exit::Done,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Blocked,
    }
}

/// Refused before anything is asked of the cloud.
pub fn reasoned(setup: &Setup, channel: &Channel, how: &How) -> Result<(), Failure> {
    if setup.channel(channel)?.require_reason && how.reason.is_none() && !how.plan {
        return Err(Failure::usage(format!("{channel} asks for a reason"), "add --reason \"…\""));
    }
    Ok(())
}

/// A person at a terminal is asked; a pipeline has said what it wants by running us.
fn agree(screen: &Screen, yes: bool) -> Result<(), Failure> {
    if yes || !screen.interactive || screen.json {
        return Ok(());
    }
    match dialoguer::Confirm::new().with_prompt("Do it?").default(false).interact() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::Declined),
        Err(_interrupted) => {
            // The question is left as it stood, with the cursor hidden behind it.
            let _terminal_may_be_gone = dialoguer::console::Term::stderr().show_cursor();
            screen.complain("");
            Err(Failure::Declined)
        }
    }
}

/// How it ended, and with which exit code.
pub fn told(screen: &Screen, ending: &Ending) -> Result<Exit, Failure> {
    screen.show("rollout/1", document(ending), || text(ending) + &runs(ending))?;
    for hint in hints(ending) {
        screen.hint(&hint);
    }
    Ok(exit(ending))
}

/// A rollout that is still open because it was not waited for is as asked; anything else unfinished is not.
fn exit(ending: &Ending) -> Exit {
    match (&ending.outcome, ending.rollout) {
        _ if ending.pointers.iter().any(Followed::is_pending) => Exit::Rollout,
        (Some(Outcome::Succeeded), _) | (None, None) => Exit::Done,
        (None, Some(_)) if only_ordered(ending) => Exit::Done,
        _ => Exit::Rollout,
    }
}

fn only_ordered(ending: &Ending) -> bool {
    ending.reports.iter().all(|report| match &report.end {
        StepEnd::Succeeded => true,
        StepEnd::Left { why } => why == flow::NOT_WAITED_FOR || why == flow::WAITS,
        StepEnd::Failed { .. } => false,
    })
}

fn text(ending: &Ending) -> String {
    let channel = &ending.plan.channel;
    let image = ending.plan.image.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut lines = String::new();
    for report in &ending.reports {
        match &report.end {
            StepEnd::Succeeded => {}
            StepEnd::Failed { reason, remains } => {
                lines.push_str(&format!("{} failed: {reason}\n", report.target));
                if *remains == Remains::GoesOn && ending.returned.is_none() {
                    lines
                        .push_str(&format!("{} is still being moved: its platform goes on by itself\n", report.target));
                }
            }
            StepEnd::Left { why } => lines.push_str(&format!("{} is unfinished: {why}\n", report.target)),
        }
    }
    let Some(rollout) = ending.rollout else { return lines + &super::pointer::ends(&ending.pointers) };
    let last = match (&ending.outcome, &ending.returned) {
        (Some(Outcome::Succeeded), _) => format!("{channel} is at {image} (rollout {rollout})\n"),
        (_, Some(returned)) => format!("rollout {rollout} failed; {}", text(returned)),
        (Some(Outcome::RolledBack { .. }), _) => {
            format!("rollout {rollout} was rolled back by the platform{}\n", stays(ending))
        }
        // Why is said above, target by target.
        (Some(Outcome::Failed { .. }), _) => format!("rollout {rollout} failed{}\n", stays(ending)),
        (Some(outcome), _) => format!("rollout {rollout} {outcome}\n"),
        (None, _) => format!("rollout {rollout} of {image} on {channel} is not finished\n"),
    };
    lines.push_str(&last);
    lines.push_str(&super::pointer::ends(&ending.pointers));
    lines
}

/// The channel itself has not moved, whatever its targets run.
fn stays(ending: &Ending) -> String {
    ending.plan.from.as_ref().map(|from| format!("; {} stays at {from}", ending.plan.channel)).unwrap_or_default()
}

/// Target by target what runs now, where one of several failed.
fn runs(ending: &Ending) -> String {
    let lines = ending.runs.iter().filter(|_| ending.runs.len() > 1).map(|(target, sight)| {
        let runs = match sight {
            Sight::Seen(observed) if observed.running.is_empty() => "nothing".to_owned(),
            Sight::Seen(observed) => {
                let counts = observed.running.iter().map(|(image, count)| format!("{count} × {}", image.short()));
                counts.collect::<Vec<_>>().join(", ")
            }
            Sight::Gone { why, .. } | Sight::Dangling { why, .. } | Sight::Unreachable { why, .. } => {
                format!("unknown: {why}")
            }
        };
        format!("  {target} runs {runs}\n")
    });
    lines.collect()
}

fn hints(ending: &Ending) -> Vec<String> {
    let channel = &ending.plan.channel;
    match (&ending.outcome, ending.rollout, &ending.returned) {
        (_, _, Some(returned)) => hints(returned),
        _ if ending.pointers.iter().any(Followed::is_pending) => super::pointer::fixes(&ending.pointers),
        (None, Some(rollout), _) => vec![format!("imgctl resume {rollout} sees it to its end")],
        (Some(Outcome::Failed { .. }), _, _) => {
            vec![
                format!("imgctl status {channel} shows what runs"),
                match flow::remains(&ending.reports) {
                    // What is under way keeps a promotion from being made, and is what a rollback interrupts.
                    Remains::GoesOn if ending.plan.cause == Cause::Promote => {
                        format!("imgctl rollback {channel} stops what goes on, and brings back what was replaced")
                    }
                    _ => brings_back(channel, &ending.plan.cause, ending.plan.from.as_ref()),
                },
            ]
        }
        (Some(Outcome::RolledBack { .. }), _, _) => vec![format!("imgctl log {channel}")],
        _ => Vec::new(),
    }
}

/// What follows a rollout that did not succeed. The channel has not moved: after a promotion, a rollback would go below
/// the release that is to come back.
pub fn brings_back(channel: &Channel, cause: &Cause, from: Option<&ImageKey>) -> String {
    match from {
        _ if matches!(cause, Cause::Rollback { .. }) => format!("imgctl rollback {channel} tries again"),
        Some(from) => format!("imgctl promote {from} {} brings back what was replaced", channel.env),
        None => format!("imgctl promote NAME@VERSION {} puts another image there", channel.env),
    }
}

/// `null`: it could not be seen.
fn running(sight: &Sight) -> Value {
    match sight {
        Sight::Seen(observed) => json!(observed.running),
        Sight::Gone { .. } | Sight::Dangling { .. } | Sight::Unreachable { .. } => Value::Null,
    }
}

fn document(ending: &Ending) -> Value {
    let report = |report: &flow::StepReport| match &report.end {
        StepEnd::Succeeded => json!({ "target": report.target, "status": "succeeded" }),
        StepEnd::Failed { reason, .. } => json!({ "target": report.target, "status": "failed", "why": reason }),
        StepEnd::Left { why } => json!({ "target": report.target, "status": "unfinished", "why": why }),
    };
    json!({
        "plan": ending.plan,
        "rollout": ending.rollout,
        "outcome": ending.outcome,
        "pointers": ending.pointers.iter().map(super::pointer::end_document).collect::<Vec<_>>(),
        "targets": ending.reports.iter().map(report).collect::<Vec<_>>(),
        "runs": ending.runs.iter().map(|(target, sight)| (target.to_string(), running(sight))).collect::<BTreeMap<_, _>>(),
        "returned": ending.returned.as_ref().map(|returned| document(returned)),
    })
}
