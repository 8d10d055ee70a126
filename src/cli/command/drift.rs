//! `drift`: where the ledger, the code and the cloud disagree.

mod ack;
mod sources;

use crate::cli::failure::{Exit, Failure};
use crate::cli::new_file;
use crate::cli::render::drift::{Format, Told, text};
use crate::cli::setup::{Cloud, Setup};
use crate::cli::span;
use crate::flow::{self, Looked};
use crate::model::Channel;
use crate::provider::notice::{Notice, NoticeError};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Compare what the ledger, the infrastructure code and the cloud say; exits with 2 where they disagree
///
/// Reads only, and asks for no lock. States come from the config ([[channels.NAME.ENV.iac]], each for its own channel), or
/// from --state instead. A target that does not answer and a state of the config that cannot be read are told as such, the
/// rest is reported, and the exit code is 1.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  imgctl drift
  imgctl drift web/prod --state infra/terraform.tfstate
  terraform state pull | imgctl drift --state -
  imgctl drift --json | jq '.findings[] | select(.severity == \"error\")'
  imgctl drift --record --new --format log --time-limit 5m
  imgctl drift --format prometheus --output /var/lib/node_exporter/imgctl.prom
  imgctl drift ack d-0123456789ab --until 3d --reason \"moved by hand, INC-7\""
)]
pub struct Drift {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    look: Look,
    /// How it is said
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Write it to this file, whole or not at all, in the place of the one before
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only what is otherwise than at the audit before; exits with 2 where drift is new
    #[arg(long)]
    new: bool,
    /// Write the audit into the ledger, what the next --new is compared with, and tell [[notices]] of what is new or over
    #[arg(long)]
    record: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Ack(ack::Ack),
    Unack(ack::Unack),
    Acks(ack::Acks),
}

/// What is looked at, and for how long.
#[derive(Debug, Args)]
struct Look {
    /// NAME/ENV; all of the config, when none is named
    #[arg(value_name = "CHANNEL")]
    channels: Vec<Channel>,
    #[command(flatten)]
    sources: sources::Sources,
    /// Report after this time what has been found by then (30s, 5m)
    #[arg(long, value_name = "DURATION", value_parser = span::duration)]
    time_limit: Option<Duration>,
}

impl Look {
    async fn run(&self, setup: &Setup, cloud: &Cloud) -> Result<Looked, Failure> {
        let code = self.sources.all(&self.channels, setup).await?;
        let (progress, passphrase) = (setup.progress(), sources::passphrase(setup));
        Ok(flow::drift(&cloud.ctx(&progress), &self.channels, &code, &passphrase, self.time_limit).await?)
    }
}

pub fn run(args: &Drift, setup: &Setup) -> Result<Exit, Failure> {
    match &args.verb {
        None => look(args, setup),
        Some(Verb::Ack(args)) => ack::ack(args, setup),
        Some(Verb::Unack(args)) => ack::unack(args, setup),
        Some(Verb::Acks(args)) => ack::acks(args, setup),
    }
}

fn look(args: &Drift, setup: &Setup) -> Result<Exit, Failure> {
    let format = match (setup.screen.json, args.format) {
        (true, Format::Text) => Format::Json,
        (true, Format::Json) | (false, _) => args.format,
        (true, _) => return Err(Failure::usage("--json and --format ask for two forms", "leave one of them out")),
    };
    for channel in &args.look.channels {
        setup.channel(channel)?;
    }
    let notices = if args.record { setup.notices()? } else { Vec::new() };
    setup.wait(async {
        // Only an entry of the ledger asks AWS who writes it.
        let cloud = setup.cloud(args.record).await?;
        let looked = args.look.run(setup, &cloud).await?;
        let told = Told::new(&looked, args.new);
        tell(&told, format, args, setup)?;
        let mut untold = Vec::new();
        if args.record {
            // Told before it is written: what nobody took is news again next time. What somebody took is told to nobody
            // again: one address that is out of order must not alarm the others at every run.
            untold = notify(&looked, &notices).await?;
            let progress = setup.progress();
            let entry = flow::record_audit(&cloud.ctx(&progress), &looked)?;
            setup.screen.say(&format!("The audit is entry {entry} of the ledger."));
        }
        setup.tell_notices(&cloud.store);
        for error in &untold {
            setup.screen.warn(&format!("{error}; another took it, so that it is not told again"));
        }
        Ok(if told.looked.is_partial() {
            setup.screen.warn("the audit is partial: not everything answered");
            Exit::Failed
        } else if !untold.is_empty() {
            Exit::Failed
        } else if told.is_drift() {
            Exit::Drift
        } else {
            Exit::Done
        })
    })
}

/// Tells all of them, if there is anything to tell; who did not take it, where another has. One who cannot be told keeps
/// none of the others from it.
async fn notify(looked: &Looked, notices: &[Box<dyn Notice>]) -> Result<Vec<NoticeError>, Failure> {
    if looked.news().is_empty() {
        return Ok(Vec::new());
    }
    let told = Told::new(looked, true);
    let message = told.message();
    let sent = futures_util::future::join_all(notices.iter().map(|notice| notice.send(&message))).await;
    let mut untold: Vec<NoticeError> = sent.into_iter().filter_map(Result::err).collect();
    if untold.len() == notices.len()
        && let Some(error) = untold.pop()
    {
        return Err(error.into());
    }
    Ok(untold)
}

fn tell(told: &Told<'_>, format: Format, args: &Drift, setup: &Setup) -> Result<(), Failure> {
    match (&args.output, format) {
        (Some(path), _) => new_file::replace(path, told.render(format).as_bytes()),
        (None, Format::Text) => setup.screen.print(&text(told, setup.screen.width, setup.screen.out)),
        (None, _) => setup.screen.print(&told.render(format)),
    }
}
