//! `resume`: see a rollout that was cut short to its end.

use super::rollout::told;
use crate::cli::failure::{Exit, Failure};
use crate::cli::setup::Setup;
use crate::flow;
use crate::model::Seq;
use clap::Args;

/// See an unfinished rollout to its end
///
/// What the cloud did in the meantime is found and written down; what is left is done.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl resume
  imgctl resume 41")]
pub struct Resume {
    /// The rollout's number, where several are open
    #[arg(value_name = "ROLLOUT")]
    rollout: Option<u64>,
}

pub fn run(args: &Resume, setup: &Setup) -> Result<Exit, Failure> {
    setup.wait(async {
        let cloud = setup.cloud(true).await?;
        let progress = setup.progress();
        let ending = flow::resume(&cloud.ctx(&progress), args.rollout.map(Seq)).await?;
        drop(progress);
        setup.tell_notices(&cloud.store);
        told(&setup.screen, &ending)
    })
}
