//! `stats`: how delivery goes, in DORA's four keys.

use super::audit::readable;
use crate::cli::failure::{Exit, Failure};
use crate::cli::render::{stats, time};
use crate::cli::setup::Setup;
use crate::cli::span::Span;
use crate::flow;
use crate::model::{Channel, LedgerView, Lookup, Seq};
use crate::plan::period::{Period, Unit};
use crate::plan::stats::Figures;
use crate::store::LedgerStore;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::collections::BTreeMap;

/// Show DORA's four keys per channel: deployment frequency, lead time, change failure rate, recovery time
///
/// A deployment is a promotion that moved some target to another image; it belongs to the period in which it began.
/// The lead time is counted from the commit's time (imgctl record --commit-time, a label, tag or custom_data of that
/// name), and never guessed. A release that was rolled back later has failed; it has recovered when the rollback ended.
/// The definitions, with their source, are in the README.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl stats
  imgctl stats --period month
  imgctl stats --channel web/prod --period week --from 2026-09-01
  imgctl stats --json | jq '.channels[].periods[].failed_per_mille'")]
pub struct Stats {
    /// Only this channel (NAME/ENV); may be given several times
    #[arg(long = "channel", value_name = "NAME/ENV")]
    channels: Vec<Channel>,
    #[command(flatten)]
    span: Span,
    /// A line for each, in UTC; without --from, this one and the five before it
    #[arg(long, value_enum)]
    period: Option<Every>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Every {
    Week,
    Month,
    Quarter,
}

impl Every {
    fn unit(self) -> Unit {
        match self {
            Self::Week => Unit::Week,
            Self::Month => Unit::Month,
            Self::Quarter => Unit::Quarter,
        }
    }
}

/// How many periods before the current one are shown.
const BEFORE: i64 = 5;

pub fn run(args: &Stats, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let view = store.view()?;
    readable(&store)?;
    let look = Lookup(&*view);
    for channel in &args.channels {
        setup.known_channel(&look, channel)?;
    }
    let channels = if args.channels.is_empty() { look.channels()? } else { args.channels.clone() };
    let periods = periods(args, &*view, setup)?;
    let mut all: BTreeMap<Channel, Vec<Figures>> = BTreeMap::new();
    for channel in channels {
        let tally = flow::tally(&*view, &channel)?;
        all.insert(channel, periods.iter().map(|period| tally.figures(*period)).collect());
    }
    let channels: Vec<_> =
        all.iter().map(|(channel, periods)| json!({ "channel": channel, "periods": periods })).collect();
    setup.screen.show("stats/1", json!({ "zone": "UTC", "channels": channels }), || {
        stats::table(&all, setup.screen.width, setup.screen.out)
    })?;
    if all.is_empty() {
        setup.screen.hint("nothing was released yet: imgctl promote NAME@VERSION ENV");
    }
    if all.values().flatten().any(|figures| figures.lead_time_unknown > 0) {
        setup
            .screen
            .hint("lead times need the commit's time: imgctl record … --commit-time \"$(git show -s --format=%cI)\"");
    }
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

/// Until now, and from where it was asked for: else from the ledger's first entry, or some periods back.
fn periods(args: &Stats, view: &dyn LedgerView, setup: &Setup) -> Result<Vec<Period>, Failure> {
    let (range, now) = (args.span.range()?, setup.now());
    let to = range.to.map_or(now, |to| to.min(now));
    let from = match (range.from, args.period) {
        (Some(from), _) => from,
        (None, Some(every)) => every.unit().begins(to, BEFORE),
        (None, None) => view.entry(Seq(1))?.map_or(to, |first| first.at),
    };
    if from >= to {
        return Err(Failure::usage(
            format!("nothing lies between {} and {}", time::moment(from), time::moment(to)),
            "--from is the earlier one, and has passed",
        ));
    }
    let whole = Period { from, to };
    Ok(args.period.map_or_else(|| vec![whole], |every| every.unit().split(whole)))
}
