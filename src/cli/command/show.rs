//! `show`: all that is known of one image.

use crate::cli::failure::{Exit, Failure};
use crate::cli::render::image::{Sheet, describe};
use crate::cli::render::time;
use crate::cli::setup::Setup;
use crate::model::event::DeploymentRecord;
use crate::model::lookup::ImageRecord;
use crate::model::{Approval, Channel, ImageKey, ImageSelector, Lookup, Rejection, TargetId};
use crate::store::LedgerStore;
use clap::Args;
use serde_json::json;
use std::collections::BTreeSet;

/// Show one image: what it is, where it is and was deployed, what it was built on, what was built on it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl show web@1.4.2
  imgctl show ami-0123456789abcdef0
  imgctl show sha256:3f9a")]
pub struct Show {
    /// NAME@VERSION, NAME:TAG, sha256:…, ami-… or HOST/REPOSITORY:TAG
    #[arg(value_name = "IMAGE")]
    image: ImageSelector,
}

/// How many deployments are listed.
const DEPLOYMENTS: usize = 20;

/// What the ledger adds to an image over time.
struct Life {
    /// Channels whose current release it is.
    current: Vec<Channel>,
    /// Targets that it was put on last.
    runs_on: BTreeSet<TargetId>,
    deployments: Vec<DeploymentRecord>,
    rejections: Vec<Rejection>,
    /// That count for a channel's next release.
    approvals: Vec<Approval>,
    children: Vec<ImageKey>,
}

pub fn run(args: &Show, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let view = store.view()?;
    let look = Lookup(&*view);
    let record = look.resolve(&args.image)?;
    let life = life(&look, &record.image.key)?;
    let document = json!({
        "record": record,
        "current_in": life.current,
        "runs_on": life.runs_on,
        "deployments": life.deployments,
        "rejections": life.rejections,
        "approvals": life.approvals,
        "children": life.children,
    });
    setup.screen.show("image/1", document, || text(&record, &life, setup))?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

fn life(look: &Lookup<'_>, key: &ImageKey) -> Result<Life, Failure> {
    let deployments = look.deployments(key, DEPLOYMENTS)?;
    let (mut current, mut approvals) = (Vec::new(), Vec::new());
    for channel in look.channels()? {
        if channel.name == key.name {
            approvals.extend(look.approvals(&channel, key)?);
        }
        if look.channel(&channel)?.current.is_some_and(|release| release.image == *key) {
            current.push(channel);
        }
    }
    let mut runs_on = BTreeSet::new();
    for deployment in &deployments {
        if look.target(&deployment.target)?.is_some_and(|target| target.image == *key) {
            runs_on.insert(deployment.target.clone());
        }
    }
    let (rejections, children) = (look.rejections(key)?, look.children(key)?);
    Ok(Life { current, runs_on, deployments, rejections, approvals, children })
}

fn text(record: &ImageRecord, life: &Life, setup: &Setup) -> String {
    let now = setup.now();
    let mut sheet = Sheet::new(setup.screen.out);
    describe(&mut sheet, record, now);
    if let Some(parent) = &record.image.provenance.parent {
        sheet.heading("built on");
        sheet.text(&parent.to_string());
    }
    if !life.children.is_empty() {
        sheet.heading("built on it");
        life.children.iter().for_each(|child| sheet.text(&child.to_string()));
    }
    sheet.heading("deployed");
    let join = |words: Vec<String>| if words.is_empty() { "nowhere".to_owned() } else { words.join(", ") };
    sheet.line("current in", join(life.current.iter().map(ToString::to_string).collect()));
    sheet.line("runs on", join(life.runs_on.iter().map(ToString::to_string).collect()));
    for record in &life.deployments {
        let line = format!("{} to {} by rollout {}", record.channel, record.target, record.rollout);
        sheet.line(&time::ago(record.at, now), line);
    }
    for rejection in &life.rejections {
        let place = rejection.channel.as_ref().map_or("everywhere".to_owned(), |channel| format!("in {channel}"));
        let along = if rejection.descendants { ", with what is built on it," } else { "" };
        let until = match rejection.until {
            Some(until) if rejection.holds(now) => format!(" until {}", time::moment(until)),
            Some(until) => format!(" until {}, which is over,", time::moment(until)),
            None => String::new(),
        };
        let since = format!("since entry {} by {}: {}", rejection.seq, rejection.by, rejection.reason);
        let label = if rejection.holds(now) { "rejected" } else { "was rejected" };
        sheet.line(label, format!("{place}{along}{until} {since}"));
    }
    for approval in &life.approvals {
        let why = approval.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let given = format!("by {}, {} (entry {}){why}", approval.by, time::ago(approval.at, now), approval.seq);
        sheet.line("approved", format!("for {} {given}", approval.channel));
    }
    sheet.finish()
}
