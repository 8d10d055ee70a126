//! `abort`: give a rollout up.

use super::rollout::brings_back;
use crate::cli::failure::{Exit, Failure};
use crate::cli::render::event::counted;
use crate::cli::setup::Setup;
use crate::flow;
use crate::flow::abort::Aborted;
use crate::model::{Rollout, Seq};
use clap::Args;
use serde_json::json;

/// Give an unfinished rollout up: what is under way is stopped, what was replaced stays replaced
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl abort 41 --reason \"wrong image\"")]
pub struct Abort {
    /// The rollout's number
    #[arg(value_name = "ROLLOUT")]
    rollout: u64,
    /// Why; it goes into the ledger
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: Option<String>,
}

pub fn run(args: &Abort, setup: &Setup) -> Result<Exit, Failure> {
    setup.wait(async {
        let cloud = setup.cloud(true).await?;
        let progress = setup.progress();
        let reason = args.reason.as_deref().unwrap_or("given up");
        let aborted = flow::abort(&cloud.ctx(&progress), Seq(args.rollout), reason).await?;
        setup.tell_notices(&cloud.store);
        let document =
            json!({ "rollout": aborted.rollout, "running": aborted.running, "cancelled": aborted.cancelled });
        setup.screen.show("abort/1", document, || text(&aborted))?;
        let Rollout { channel, cause, from, .. } = &aborted.rollout;
        setup.screen.hint(&brings_back(channel, cause, from.as_ref()));
        Ok(Exit::Done)
    })
}

fn text(aborted: &Aborted) -> String {
    let mut text = format!("rollout {} of {} is given up\n", aborted.rollout.id, aborted.rollout.image);
    for (target, deployment) in &aborted.cancelled {
        text.push_str(&format!("{target}: {deployment} was stopped\n"));
    }
    for (target, images) in &aborted.running {
        text.push_str(&format!("{target}: {}\n", counted(images)));
    }
    text
}
