//! `rollback`: return a channel to a release underneath.

use super::rollout::{self, How, go, reasoned};
use crate::cli::failure::{Exit, Failure};
use crate::cli::render::style::Palette;
use crate::cli::setup::{Cloud, Setup};
use crate::flow::{self, Intent};
use crate::model::{Channel, ImageKey, ImageSelector, Lookup, Revision, TargetId, Version};
use crate::plan::Plan;
use crate::plan::rollback::Back;
use crate::store::LedgerStore;
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;

/// Return a channel to the nearest verified release underneath
///
/// What is left is rejected in this channel, and the channel is held, so that nothing puts it back by itself. Only the
/// image changes: the rest of what the targets are configured with stays as it is now. Run again, it stays where it is;
/// with --further it goes on down.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl rollback web/prod --check
  imgctl rollback web/prod --reason \"checkout is broken\"
  imgctl rollback web/prod --to 1.4.0 --plan")]
pub struct Rollback {
    /// NAME/ENV
    #[arg(value_name = "CHANNEL")]
    channel: Channel,
    /// Return to this version, instead of the nearest release underneath
    #[arg(long, value_name = "VERSION", conflicts_with = "further")]
    to: Option<Version>,
    /// Go below the release that an earlier rollback returned to
    #[arg(long)]
    further: bool,
    /// Say whether a rollback could be done now, line by line; do nothing
    #[arg(long, conflicts_with_all = ["plan", "yes", "no_wait"])]
    check: bool,
    /// Return to the recorded revision itself, instead of a new one with only the image changed
    #[arg(long)]
    exact: bool,
    #[command(flatten)]
    how: How,
}

impl Rollback {
    /// The command that does what was checked.
    fn again(&self) -> String {
        let to = self.to.as_ref().map(|version| format!(" --to {version}")).unwrap_or_default();
        let further = if self.further { " --further" } else { "" };
        let exact = if self.exact { " --exact" } else { "" };
        format!("imgctl rollback {}{to}{further}{exact}", self.channel)
    }
}

pub fn run(args: &Rollback, setup: &Setup) -> Result<Exit, Failure> {
    if !args.check {
        reasoned(setup, &args.channel, &args.how)?;
    }
    setup.channel(&args.channel)?;
    let to = args.to.as_ref().map(|version| version_of(args, setup, version)).transpose()?;
    setup.wait(async {
        let cloud = setup.cloud(!args.check && !args.how.plan).await?;
        let mut back = Back { to, further: args.further, exact: None, automatic: false };
        if args.exact {
            back.exact = Some(recorded_revisions(setup, &cloud, args, &back).await?);
        }
        let intent = Intent::Rollback { channel: args.channel.clone(), back };
        let exit = if args.check {
            check(args, setup, &cloud, &intent).await
        } else {
            go(setup, &cloud, &intent, &args.how).await
        };
        setup.tell_notices(&cloud.store);
        exit
    })
}

fn version_of(args: &Rollback, setup: &Setup, version: &Version) -> Result<ImageKey, Failure> {
    let store = setup.store()?;
    let name = args.channel.name.clone();
    let selector = ImageSelector::NameVersion { name, version: version.to_string() };
    Ok(Lookup(&*store.view()?).resolve(&selector)?.image.key)
}

/// The revision at which each target last ran the image that the plan returns to.
async fn recorded_revisions(
    setup: &Setup,
    cloud: &Cloud,
    args: &Rollback,
    back: &Back,
) -> Result<BTreeMap<TargetId, Revision>, Failure> {
    let progress = setup.progress();
    let intent = Intent::Rollback { channel: args.channel.clone(), back: back.clone() };
    let plan = flow::plan(&cloud.ctx(&progress), &intent).await?;
    let Some(image) = plan.image else { return Ok(BTreeMap::new()) };
    Ok(flow::recorded_revisions(&cloud.store, &image)?)
}

/// "Could I roll back now, and if not, why not?"
async fn check(args: &Rollback, setup: &Setup, cloud: &Cloud, intent: &Intent) -> Result<Exit, Failure> {
    let progress = setup.progress();
    let plan = flow::plan(&cloud.ctx(&progress), intent).await?;
    let ready = plan.blockers.is_empty();
    let document = json!({ "ready": ready, "plan": plan });
    setup.screen.show("rollback-check/1", document, || answer(&plan, &args.again(), setup.screen.out))?;
    Ok(rollout::ready(&plan))
}

fn answer(plan: &Plan, command: &str, paint: Palette) -> String {
    let mut text = String::new();
    let mut line = |mark: String, words: String| text.push_str(&format!("{mark} {words}\n"));
    if let Some(image) = &plan.image {
        line(paint.plus("+"), format!("{image} is underneath, and may be returned to"));
    }
    for step in &plan.steps {
        line(paint.plus("+"), format!("{} can be moved (it is at {})", step.target, step.expect));
    }
    for target in plan.settled.iter().filter(|id| !plan.steps.iter().any(|step| step.target == **id)) {
        line(paint.plus("+"), format!("{target} is there already"));
    }
    for note in &plan.notes {
        line(paint.tilde("~"), note.clone());
    }
    for blocker in &plan.blockers {
        line(paint.minus("-"), format!("{} {}", blocker.subject, blocker.what));
        if !blocker.fix.is_empty() {
            line(" ".to_owned(), format!("{} {}", paint.hint("hint:"), blocker.fix));
        }
    }
    let verdict = match (plan.blockers.is_empty(), plan.is_noop()) {
        (false, _) => format!("no: {} cannot be rolled back now", plan.channel),
        (true, true) => format!("{} is there already; a rollback would do nothing", plan.channel),
        (true, false) => format!("yes: {command}"),
    };
    text.push_str(&format!("{verdict}\n"));
    text
}
