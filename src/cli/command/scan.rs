//! `scan`: record every image that the configured places hold.

use crate::cli::failure::{Exit, Failure};
use crate::cli::render::progress::Counter;
use crate::cli::screen::Screen;
use crate::cli::setup::{Setup, actor};
use crate::flow::record::Writer;
use crate::flow::scan::{self, Tally};
use crate::model::Region;
use crate::provider::source::Sources;
use crate::provider::source::listing::{Listing, OwnAmis, RepositoryTags};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Record every AMI this account owns, and every tag of the repositories in the config
///
/// Regions and repositories are read side by side. What is found is written page by page: a scan that is cut short goes
/// on where it stopped, and a second scan makes the listing calls only.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl scan
  imgctl scan --json | jq '.places[] | {place, recorded}'")]
pub struct Scan {}

/// How many left-out images are named before they are only counted.
const NAMED: usize = 20;

pub fn run(_: &Scan, setup: &Setup) -> Result<Exit, Failure> {
    let config = &setup.config.scan;
    if config.ami.is_none() && config.repositories.is_empty() {
        return Err(Failure::refused(
            "the config does not say what to scan",
            "add [scan.ami], or [scan.registry] with repositories = […], to imgctl.toml",
        ));
    }
    let store = setup.store()?;
    let tallies = setup.wait(async {
        let aws = setup.aws().await;
        let sources = setup.sources(&aws);
        let listings = listings(setup, &sources)?;
        let actor = match config.ami {
            Some(_) => actor::signed(&setup.surroundings, &aws).await,
            None => setup.local_actor(),
        };
        let writer = Writer { store: &store, clock: setup.clock(), actor: &actor };
        let naming = config.ami.as_ref().map(|ami| ami.naming.clone()).unwrap_or_default();
        let counter = Counter::new(&setup.screen, "listing");
        let told = |listed: usize, recorded: usize| counter.say(&format!("{listed} listed, {recorded} recorded"));
        Ok(scan::scan(&writer, &naming, &listings, &told).await?)
    })?;
    let document = json!({ "places": tallies.iter().map(document).collect::<Vec<_>>() });
    setup.screen.show("scan/1", document, || tallies.iter().map(line).collect())?;
    tell(&setup.screen, &tallies);
    setup.tell_notices(&store);
    Ok(if tallies.iter().any(|tally| tally.failure.is_some()) { Exit::Failed } else { Exit::Done })
}

fn listings<'a>(setup: &Setup, sources: &'a Sources) -> Result<Vec<Box<dyn Listing + 'a>>, Failure> {
    let mut listings: Vec<Box<dyn Listing + 'a>> = Vec::new();
    if let Some(ami) = &setup.config.scan.ami {
        let mut regions: BTreeSet<Region> = ami.regions.clone();
        if regions.is_empty() {
            let region = sources.amis.region().cloned().ok_or_else(|| {
                Failure::refused("no region to scan is configured", "set regions in [scan.ami], or AWS_REGION")
            })?;
            regions.insert(region);
        }
        for region in regions {
            listings.push(Box::new(OwnAmis { amis: &sources.amis, region }));
        }
    }
    for repository in &setup.config.scan.repositories {
        listings.push(Box::new(RepositoryTags { registries: &sources.registries, repository: repository.clone() }));
    }
    Ok(listings)
}

fn line(tally: &Tally) -> String {
    let added = if tally.added > 0 { format!(", {} added to known images", tally.added) } else { String::new() };
    let passed = if tally.passed.is_empty() { String::new() } else { format!(", {} left out", tally.passed.len()) };
    format!("{}: {} listed, {} recorded{added}{passed}\n", tally.place, tally.listed, tally.recorded)
}

/// What was left out and what failed, on standard error.
fn tell(screen: &Screen, tallies: &[Tally]) {
    for tally in tallies {
        for (what, why) in tally.passed.iter().take(NAMED) {
            screen.say(&format!("left out: {what}: {why}"));
        }
        if tally.passed.len() > NAMED {
            screen.say(&format!("left out: {} more ({} --json names them)", tally.passed.len() - NAMED, "imgctl scan"));
        }
        for note in &tally.notes {
            screen.warn(note);
        }
        if let Some(error) = &tally.failure {
            let causes = crate::cli::failure::causes(error);
            let why: String = causes.iter().map(|cause| format!(": {cause}")).collect();
            screen.complain(&format!(
                "{} {} was not read to its end: {error}{why}",
                screen.err.error("error:"),
                tally.place
            ));
            if let scan::Failed::Source(error) = error {
                error.hint().iter().for_each(|hint| screen.hint(hint));
            }
        }
    }
}

fn document(tally: &Tally) -> Value {
    let passed = |(what, why): &(String, String)| json!({ "what": what, "why": why });
    json!({
        "place": tally.place,
        "listed": tally.listed,
        "recorded": tally.recorded,
        "added": tally.added,
        "left_out": tally.passed.iter().map(passed).collect::<Vec<_>>(),
        "notes": tally.notes,
        "error": tally.failure.as_ref().map(ToString::to_string),
    })
}
