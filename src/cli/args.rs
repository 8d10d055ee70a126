//! The words of the command line. The comments here are the manual: `--help` and the man pages are made of them.

use super::command;
use super::screen::{Color, Loudness};
use clap::{ArgAction, Args, Parser, Subcommand};
use std::path::PathBuf;

/// Immutable image versions: one ledger, one promote, one rollback, for AMIs and container images
///
/// imgctl records what every image *is*, puts one on the targets of a channel, takes it back, and says where the
/// ledger, the infrastructure code and the cloud disagree. Nothing that was written is ever changed.
///
/// A channel is NAME/ENV, as in web/prod: the line that targets in the config follow. An image is NAME@VERSION, as in
/// web@1.4.2; wherever one is asked for, a unique beginning of the version, a digest (sha256:…), an AMI id, a
/// HOST/REPOSITORY:TAG or a tag of the ledger (web:stable) will do.
#[derive(Debug, Parser)]
#[command(
    name = "imgctl",
    version,
    propagate_version = true,
    disable_help_subcommand = false,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = EXAMPLES,
    after_long_help = LONG_TAIL
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  imgctl init
  imgctl record web@1.5.0 ami-0123456789abcdef0@eu-west-1 --commit \"$(git rev-parse HEAD)\"
  imgctl promote web@1.5.0 prod --reason \"checkout fix\"
  imgctl rollback web/prod --reason \"checkout is broken\"
  imgctl drift";

const LONG_TAIL: &str = "\
Examples:
  imgctl init
  imgctl record web@1.5.0 ami-0123456789abcdef0@eu-west-1 --commit \"$(git rev-parse HEAD)\"
  imgctl promote web@1.5.0 prod --reason \"checkout fix\"
  imgctl rollback web/prod --reason \"checkout is broken\"
  imgctl drift

Exit codes:
   0  done, nothing to do, or in sync
   1  failed before acting: nothing has changed
   2  drift was found
   3  blocked: the plan must not run, nothing has changed
   4  a rollout failed, was rolled back or is still open: the world has changed
   5  busy: the ledger moved, or is locked too long; nothing has changed
  64  usage
  70  a bug in imgctl

Environment:
  IMGCTL_CONFIG, IMGCTL_LEDGER        as --config and --ledger
  AWS_PROFILE, AWS_REGION, …          as every AWS tool
  NO_COLOR, CLICOLOR_FORCE, COLUMNS   how things look";

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Read this config instead of the nearest imgctl.toml upwards from here
    #[arg(long, global = true, env = "IMGCTL_CONFIG", value_name = "FILE", hide_env_values = true, help_heading = HEADING)]
    pub config: Option<PathBuf>,
    /// Use the ledger in this directory
    #[arg(long, global = true, env = "IMGCTL_LEDGER", value_name = "DIR", hide_env_values = true, help_heading = HEADING)]
    pub ledger: Option<PathBuf>,
    /// Write one JSON document to standard output, also for errors
    #[arg(long, global = true, help_heading = HEADING)]
    pub json: bool,
    /// Say more on standard error; twice to hear the SDKs, too
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = HEADING)]
    pub verbose: u8,
    /// Say nothing on standard error but errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = HEADING)]
    pub quiet: bool,
    /// Use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = HEADING)]
    pub color: Color,
}

const HEADING: &str = "Global options";

impl Global {
    pub fn loudness(&self) -> Loudness {
        match (self.quiet, self.verbose) {
            (true, _) => Loudness::Quiet,
            (false, 0) => Loudness::Normal,
            (false, _) => Loudness::Verbose,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Init(command::init::Init),
    Record(command::record::Record),
    Scan(command::scan::Scan),
    Tag(command::tag::Tag),
    Untag(command::tag::Untag),
    Images(command::images::Images),
    Show(command::show::Show),
    Log(command::log::Log),
    Status(command::status::Status),
    Promote(command::promote::Promote),
    Rollback(command::rollback::Rollback),
    Resume(command::resume::Resume),
    Abort(command::abort::Abort),
    Hold(command::hold::Hold),
    Release(command::hold::Release),
    Freeze(command::freeze::Freeze),
    Unfreeze(command::freeze::Unfreeze),
    Approve(command::approve::Approve),
    Reject(command::reject::Reject),
    Restore(command::reject::Restore),
    Pointer(command::pointer::PointerCommand),
    Terraform(command::terraform::TerraformCommand),
    Drift(command::drift::Drift),
    Guard(command::guard::Guard),
    Audit(command::audit::Audit),
    Stats(command::stats::Stats),
    Ledger(command::ledger::Ledger),
    Completions(command::manual::Completions),
    Man(command::manual::Man),
}

impl Command {
    /// Whether standard output belongs to a protocol: only its answer is written there, and never an error.
    pub fn speaks_a_protocol(&self) -> bool {
        matches!(self, Self::Terraform(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_words_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        fn check(command: &clap::Command) {
            let leaf = command.get_subcommands().next().is_none();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(!leaf || help.contains("Examples:\n"), "{}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn a_mistyped_command_gets_the_near_one() {
        let error = Cli::try_parse_from(["imgctl", "promot", "web@1", "prod"]).unwrap_err().to_string();
        assert!(error.contains("'promote'"), "{error}");
    }
}
