//! `promote`: put an image on every target of a channel.

use super::rollout::{How, go, reasoned};
use crate::cli::failure::{Exit, Failure};
use crate::cli::setup::Setup;
use crate::flow::Intent;
use crate::model::{Channel, EnvName, ImageSelector, Lookup};
use crate::plan::Rule;
use crate::store::LedgerStore;
use clap::Args;

/// Put a recorded image on every target of a channel
///
/// The plan is shown first, and at a terminal you are asked. Targets that run the image already are left alone. When a
/// target fails, everything is brought back to the image before, unless the channel says on_failure = "stop".
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl promote web@1.5.0 prod
  imgctl promote web@1.5.0 prod --plan
  imgctl promote web@1.5.0 prod --reason \"checkout fix\" --yes
  imgctl promote web@1.5.1 prod --override freeze --reason \"CVE-2026-1234\"")]
pub struct Promote {
    /// NAME@VERSION, or another selector
    #[arg(value_name = "IMAGE")]
    image: ImageSelector,
    /// The environment: with the image's name it is the channel
    #[arg(value_name = "ENV")]
    env: EnvName,
    /// Pass over this rule of the channel, on record: hold, freeze, after, soak, approvals or window; may be repeated
    #[arg(long = "override", value_name = "RULE", requires = "reason")]
    overrides: Vec<Rule>,
    #[command(flatten)]
    how: How,
}

pub fn run(args: &Promote, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let image = Lookup(&*store.view()?).resolve(&args.image)?.image.key;
    drop(store);
    let channel = Channel { name: image.name.clone(), env: args.env.clone() };
    reasoned(setup, &channel, &args.how)?;
    let asks_for_approvals = setup.channel(&channel)?.rules.approvals > 0;
    let intent = Intent::Promote { channel, image, overrides: args.overrides.iter().copied().collect() };
    setup.wait(async {
        // Whose approval counts depends on who asks, also where only the plan is shown.
        let sign = !args.how.plan || asks_for_approvals;
        let cloud = setup.cloud(sign).await?;
        let exit = go(setup, &cloud, &intent, &args.how).await;
        setup.tell_notices(&cloud.store);
        exit
    })
}
