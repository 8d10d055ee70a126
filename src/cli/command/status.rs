//! `status`: what each channel and target is recorded to run, and what it runs.

use crate::cli::failure::{Exit, Failure};
use crate::cli::render::event::counted;
use crate::cli::render::style::Palette;
use crate::cli::render::table::Table;
use crate::cli::render::time;
use crate::cli::setup::Setup;
use crate::flow::observe::{self, Standing};
use crate::model::{Channel, Observed, RecordedTarget, Scope};
use crate::plan::Sight;
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Show each channel, and what its targets are recorded to run and really run
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl status
  imgctl status web/prod
  imgctl status --json")]
pub struct Status {
    /// NAME/ENV; all of the config, when none is named
    #[arg(value_name = "CHANNEL")]
    channels: Vec<Channel>,
}

pub fn run(args: &Status, setup: &Setup) -> Result<Exit, Failure> {
    setup.wait(async {
        let cloud = setup.cloud(false).await?;
        let progress = setup.progress();
        let standings = observe::status(&cloud.ctx(&progress), &args.channels).await?;
        let document = json!({ "channels": standings.iter().map(document).collect::<Vec<_>>() });
        setup.screen.show("status/1", document, || text(&standings, setup))?;
        if standings.is_empty() {
            setup.screen.hint("the config names no channel yet: [channels.NAME.ENV]");
        }
        for fix in fixes(&standings) {
            setup.screen.hint(fix);
        }
        setup.tell_notices(&cloud.store);
        Ok(Exit::Done)
    })
}

/// What makes the targets answer that did not, each once.
fn fixes(standings: &[Standing]) -> BTreeSet<&str> {
    let sights = standings.iter().flat_map(|standing| standing.targets.values());
    sights
        .filter_map(|(_, sight)| if let Sight::Unreachable { fix, .. } = sight { Some(fix.as_str()) } else { None })
        .collect()
}

fn text(standings: &[Standing], setup: &Setup) -> String {
    let parts: Vec<String> = standings.iter().map(|standing| channel(standing, setup)).collect();
    parts.join("\n")
}

fn channel(standing: &Standing, setup: &Setup) -> String {
    let paint = setup.screen.out;
    let now = setup.now();
    let state = match &standing.state.current {
        Some(release) => format!("{} since {}", release.image, time::both(release.at, now)),
        None => "nothing released yet".to_owned(),
    };
    let mut text = format!("{}  {state}\n", paint.strong(&standing.channel.to_string()));
    if let Some(hold) = &standing.state.hold {
        text.push_str(&format!(
            "{} by {}, {}: {}\n",
            paint.warning("held"),
            hold.by,
            time::ago(hold.at, now),
            hold.reason
        ));
    }
    for freeze in &standing.freezes {
        let (word, until) = (paint.warning("frozen"), time::moment(freeze.until));
        let all = match &freeze.scope {
            Scope::Env(env) => format!(" with all of {env}"),
            Scope::Channel(_) => String::new(),
        };
        let also = if freeze.rollbacks { ", rollbacks as well," } else { "" };
        text.push_str(&format!("{word}{all} until {until}{also} by {}: {}\n", freeze.by, freeze.reason));
    }
    for (pointer, why) in &standing.pending {
        let word = paint.warning("pending");
        text.push_str(&format!("{word}: pointer {pointer}: {why} (imgctl pointer sync {})\n", standing.channel));
    }
    if let Some(open) = &standing.open {
        let hint = format!("imgctl resume {}", open.id);
        text.push_str(&format!(
            "{} of {} is not finished ({hint})\n",
            paint.warning(&format!("rollout {}", open.id)),
            open.image
        ));
    }
    let mut table = Table::new(&["TARGET", "RECORDED", "", "RUNS"]);
    for (id, (recorded, sight)) in &standing.targets {
        let image = recorded.as_ref().map_or_else(|| "nothing".to_owned(), |recorded| recorded.image.to_string());
        table.row([id.to_string(), image, mark(recorded.as_ref(), sight).to_owned(), runs(sight)]);
    }
    text.push_str(&table.render(setup.screen.width, Palette::new(paint.is_on())));
    text
}

/// `=` where ledger and cloud agree, `~` where they do not, `?` where it is not known.
fn mark(recorded: Option<&RecordedTarget>, sight: &Sight) -> &'static str {
    match (recorded, sight) {
        (Some(recorded), Sight::Seen(observed)) if agrees(recorded, observed) => "=",
        (_, Sight::Unreachable { .. }) => "?",
        _ => "~",
    }
}

fn agrees(recorded: &RecordedTarget, observed: &Observed) -> bool {
    recorded.slots.iter().all(|(slot, image)| {
        let seen = observed.slots.get(slot).and_then(|state| state.image.now());
        seen == Some(image)
            && observed.running.keys().all(|running| recorded.slots.values().any(|slot| slot == running))
    })
}

fn runs(sight: &Sight) -> String {
    match sight {
        // A template by itself, a CronJob between two runs, a service scaled to nothing.
        Sight::Seen(observed) if observed.desired == 0 && observed.running.is_empty() => "nothing is to run".to_owned(),
        Sight::Seen(observed) => {
            let mut text = format!("{} of {}", counted(&observed.running), observed.desired);
            if let Some(deployment) = observed.deployment.as_ref().filter(|deployment| deployment.is_active()) {
                text.push_str(&format!(", {} is under way", deployment.id));
            }
            text
        }
        Sight::Gone { why, .. } => format!("gone: {why}"),
        Sight::Dangling { why, .. } => format!("dangling: {why}"),
        Sight::Unreachable { why, .. } => format!("unknown: {why}"),
    }
}

fn document(standing: &Standing) -> Value {
    let targets = standing.targets.iter().map(|(id, (recorded, sight))| {
        let (seen, why) = match sight {
            Sight::Seen(observed) => (Some(&**observed), None),
            Sight::Gone { why, .. } => (None, Some(format!("gone: {why}"))),
            Sight::Dangling { why, .. } => (None, Some(format!("dangling: {why}"))),
            Sight::Unreachable { why, .. } => (None, Some(format!("unreachable: {why}"))),
        };
        let mark = match mark(recorded.as_ref(), sight) {
            "=" => "agrees",
            "?" => "unknown",
            _ => "differs",
        };
        json!({ "target": id, "recorded": recorded, "observed": seen, "why": why, "verdict": mark })
    });
    json!({
        "channel": standing.channel,
        "state": standing.state,
        "open": standing.open,
        "freezes": standing.freezes,
        "pending_pointers": standing.pending,
        "targets": targets.collect::<Vec<_>>(),
    })
}
