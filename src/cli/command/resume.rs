//! `resume`: see a rollout that was cut short to its end.

use super::rollout::told;
use crate::cli::failure::{Exit, Failure};
use crate::cli::setup::Setup;
use crate::flow::{self, FlowError, pointers};
use crate::model::Seq;
use clap::Args;

/// See an unfinished rollout to its end
///
/// What the cloud did in the meantime is found and written down; what is left is done. Where no rollout is open, pointers
/// that are pending are written.
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
        let ctx = cloud.ctx(&progress);
        let ending = match flow::resume(&ctx, args.rollout.map(Seq)).await {
            // What is left of a rollout that has moved its channel are the pointers that could not be written.
            Err(FlowError::NothingOpen) => {
                let pending = pointers::pending(&ctx)?;
                let mut all = Vec::new();
                for channel in &pending {
                    all.extend(pointers::follow(&ctx, channel).await?);
                }
                if pending.is_empty() {
                    return Err(FlowError::NothingOpen.into());
                }
                drop(progress);
                setup.tell_notices(&cloud.store);
                return super::pointer::told(setup, &all);
            }
            ending => ending?,
        };
        drop(progress);
        setup.tell_notices(&cloud.store);
        told(&setup.screen, &ending)
    })
}
