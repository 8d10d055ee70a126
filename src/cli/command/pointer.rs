//! `pointer`: what infrastructure code reads to follow a channel, beside what it should hold.

use crate::cli::failure::{Exit, Failure};
use crate::cli::render::style::Palette;
use crate::cli::render::table::Table;
use crate::cli::setup::Setup;
use crate::flow::pointers::{self, Stand};
use crate::flow::{FollowEnd, Followed};
use crate::model::Channel;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Show, compare or write what infrastructure code reads to follow a channel
///
/// A pointer is an SSM parameter, a Terraform variable in a *.tfvars.json, a text in a JSON file, an entry of Kustomize's
/// `images:`, or values of a Helm chart. `promote` and `rollback` write them when the channel has moved; one that could not be written stays pending, and `resume` or
/// `pointer sync` write it later.
#[derive(Debug, Args)]
pub struct PointerCommand {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    Show(Show),
    Check(Check),
    Sync(Sync),
}

/// Show each pointer, what it holds and what it should hold
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl pointer show
  imgctl pointer show web/prod --json")]
struct Show {
    /// NAME/ENV; all of the config, when none is named
    #[arg(value_name = "CHANNEL")]
    channels: Vec<Channel>,
}

/// The same, and exit with 2 where one does not hold what it should
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl pointer check
  imgctl pointer check web/prod || imgctl pointer sync web/prod")]
struct Check {
    /// NAME/ENV; all of the config, when none is named
    #[arg(value_name = "CHANNEL")]
    channels: Vec<Channel>,
}

/// Write every pointer that does not hold what it should
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl pointer sync
  imgctl pointer sync web/prod")]
struct Sync {
    /// NAME/ENV; all of the config, when none is named
    #[arg(value_name = "CHANNEL")]
    channels: Vec<Channel>,
}

pub fn run(args: &PointerCommand, setup: &Setup) -> Result<Exit, Failure> {
    match &args.deed {
        Deed::Show(show) => look(setup, &show.channels, false),
        Deed::Check(check) => look(setup, &check.channels, true),
        Deed::Sync(sync) => write(setup, &sync.channels),
    }
}

/// The channels that are meant: a wrong one brings the near one.
fn meant(setup: &Setup, named: &[Channel]) -> Result<Vec<Channel>, Failure> {
    for channel in named {
        setup.channel(channel)?;
    }
    if named.is_empty() { Ok(setup.config.channels.keys().cloned().collect()) } else { Ok(named.to_vec()) }
}

fn look(setup: &Setup, named: &[Channel], judge: bool) -> Result<Exit, Failure> {
    let channels = meant(setup, named)?;
    setup.wait(async {
        let cloud = setup.cloud(false).await?;
        let progress = setup.progress();
        let stands = pointers::stand(&cloud.ctx(&progress), &channels).await?;
        drop(progress);
        let document = json!({ "pointers": stands.iter().map(document).collect::<Vec<_>>() });
        setup.screen.show("pointers/1", document, || table(&stands, setup))?;
        if stands.is_empty() {
            setup.screen.hint("no pointer is configured: [[channels.NAME.ENV.pointers]]");
        }
        for fix in stands.iter().filter_map(|stand| stand.now.as_ref().err()?.hint()) {
            setup.screen.hint(&fix);
        }
        let differ = stands.iter().any(|stand| stand.agrees() == Some(false));
        if differ {
            setup.screen.hint("imgctl pointer sync writes those that differ");
        }
        setup.tell_notices(&cloud.store);
        Ok(match (judge, differ, stands.iter().any(|stand| stand.agrees().is_none())) {
            (true, true, _) => Exit::Drift,
            (true, false, true) => Exit::Failed,
            _ => Exit::Done,
        })
    })
}

fn write(setup: &Setup, named: &[Channel]) -> Result<Exit, Failure> {
    let channels = meant(setup, named)?;
    setup.wait(async {
        let cloud = setup.cloud(true).await?;
        let progress = setup.progress();
        let mut all = Vec::new();
        for channel in &channels {
            all.extend(pointers::follow(&cloud.ctx(&progress), channel).await?);
        }
        drop(progress);
        setup.tell_notices(&cloud.store);
        told(setup, &all)
    })
}

/// How writing pointers ended, with its exit code.
pub fn told(setup: &Setup, all: &[Followed]) -> Result<Exit, Failure> {
    let document = json!({ "pointers": all.iter().map(end_document).collect::<Vec<_>>() });
    setup.screen.show("pointer-sync/1", document, || match ends(all) {
        text if text.is_empty() => "every pointer holds what it should; nothing to do".to_owned(),
        text => text,
    })?;
    for fix in fixes(all) {
        setup.screen.hint(&fix);
    }
    Ok(if all.iter().any(Followed::is_pending) { Exit::Rollout } else { Exit::Done })
}

/// A line for each pointer that was written or could not be.
pub fn ends(all: &[Followed]) -> String {
    let line = |followed: &Followed| match &followed.end {
        FollowEnd::Stood => String::new(),
        FollowEnd::Written { value } => format!("{} is at {} ({value})\n", followed.place, followed.image),
        FollowEnd::Failed { why, .. } => {
            format!("{} has moved, and its pointer {} is pending: {why}\n", followed.channel, followed.id)
        }
    };
    all.iter().map(line).collect()
}

/// What to do about those that are pending.
pub fn fixes(all: &[Followed]) -> Vec<String> {
    let mut fixes = Vec::new();
    for followed in all {
        if let FollowEnd::Failed { fix, .. } = &followed.end {
            fixes.extend(fix.clone());
            fixes.push(format!("imgctl pointer sync {} (or imgctl resume) writes it", followed.channel));
        }
    }
    fixes.dedup();
    fixes
}

pub fn end_document(followed: &Followed) -> Value {
    let (status, value, why) = match &followed.end {
        FollowEnd::Stood => ("stood", None, None),
        FollowEnd::Written { value } => ("written", Some(value), None),
        FollowEnd::Failed { why, .. } => ("pending", None, Some(why)),
    };
    json!({
        "channel": followed.channel, "pointer": followed.id, "place": followed.place, "image": followed.image,
        "status": status, "value": value, "why": why,
    })
}

fn document(stand: &Stand) -> Value {
    let verdict = match stand.agrees() {
        Some(true) => "agrees",
        Some(false) => "differs",
        None => "unknown",
    };
    json!({
        "channel": stand.channel,
        "pointer": stand.id,
        "place": stand.place,
        "image": stand.image,
        "wanted": stand.wanted.as_ref().ok().cloned().flatten(),
        "holds": stand.now.as_ref().ok().cloned().flatten(),
        "why": stand.wanted.as_ref().err().cloned().or_else(|| stand.now.as_ref().err().map(ToString::to_string)),
        "recorded": stand.recorded,
        "verdict": verdict,
    })
}

fn table(stands: &[Stand], setup: &Setup) -> String {
    let mut table = Table::new(&["CHANNEL", "POINTER", "", "HOLDS", "SHOULD HOLD"]);
    for stand in stands {
        let mark = match stand.agrees() {
            Some(true) => "=",
            Some(false) => "~",
            None => "?",
        };
        let holds = match &stand.now {
            Ok(now) => now.clone().unwrap_or_else(|| "nothing".to_owned()),
            Err(error) => format!("unknown: {error}"),
        };
        let wanted = match (&stand.wanted, &stand.image) {
            (Ok(Some(value)), Some(image)) => format!("{value} ({image})"),
            (Err(why), _) => why.clone(),
            _ => "nothing was released yet".to_owned(),
        };
        table.row([stand.channel.to_string(), stand.place.clone(), mark.to_owned(), holds, wanted]);
    }
    table.render(setup.screen.width, Palette::new(setup.screen.out.is_on()))
}
