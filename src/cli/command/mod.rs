//! The commands: one file for each, its words and what it does.

pub mod abort;
pub mod approve;
pub mod audit;
pub mod drift;
pub mod freeze;
pub mod guard;
pub mod hold;
pub mod images;
pub mod init;
pub mod ledger;
pub mod log;
pub mod manual;
pub mod pointer;
pub mod promote;
pub mod record;
pub mod reject;
pub mod resume;
pub mod rollback;
mod rollout;
pub mod scan;
pub mod show;
pub mod stats;
pub mod status;
pub mod tag;
pub mod terraform;

use super::args::{Command, Global};
use super::failure::{Exit, Failure};
use super::screen::Screen;
use super::setup::Setup;

/// Does what was typed.
pub fn run(command: Command, global: &Global, screen: &Screen) -> Result<Exit, Failure> {
    match command {
        // These must work where there is no config, or a broken one.
        Command::Completions(args) => manual::completions(&args, screen),
        Command::Man(args) => manual::man(&args, screen),
        Command::Init(args) => init::run(&args, &Setup::to_begin(global, screen)?),
        command => with_config(command, &Setup::new(global, screen)?),
    }
}

fn with_config(command: Command, setup: &Setup) -> Result<Exit, Failure> {
    match command {
        Command::Record(args) => record::run(&args, setup),
        Command::Scan(args) => scan::run(&args, setup),
        Command::Tag(args) => tag::tag(&args, setup),
        Command::Untag(args) => tag::untag(&args, setup),
        Command::Images(args) => images::run(&args, setup),
        Command::Show(args) => show::run(&args, setup),
        Command::Log(args) => log::run(&args, setup),
        Command::Status(args) => status::run(&args, setup),
        Command::Promote(args) => promote::run(&args, setup),
        Command::Rollback(args) => rollback::run(&args, setup),
        Command::Resume(args) => resume::run(&args, setup),
        Command::Abort(args) => abort::run(&args, setup),
        Command::Hold(args) => hold::hold(&args, setup),
        Command::Release(args) => hold::release(&args, setup),
        Command::Freeze(args) => freeze::freeze(&args, setup),
        Command::Unfreeze(args) => freeze::unfreeze(&args, setup),
        Command::Approve(args) => approve::run(&args, setup),
        Command::Pointer(args) => pointer::run(&args, setup),
        Command::Terraform(args) => terraform::run(&args, setup),
        Command::Reject(args) => reject::reject(&args, setup),
        Command::Restore(args) => reject::restore(&args, setup),
        Command::Stats(args) => stats::run(&args, setup),
        Command::Audit(args) => audit::run(&args, setup),
        Command::Drift(args) => drift::run(&args, setup),
        Command::Guard(args) => guard::run(&args, setup),
        Command::Ledger(args) => ledger::run(&args, setup),
        Command::Init(args) => init::run(&args, setup),
        Command::Completions(args) => manual::completions(&args, &setup.screen),
        Command::Man(args) => manual::man(&args, &setup.screen),
    }
}
