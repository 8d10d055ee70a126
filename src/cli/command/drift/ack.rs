//! `drift ack`, `unack` and `acks`: what somebody knows of is no alarm until a moment.

use super::Look;
use super::sources::Sources;
use crate::cli::failure::{Exit, Failure};
use crate::cli::render::time;
use crate::cli::setup::Setup;
use crate::cli::span::{self, Until};
use crate::model::{Event, FindingId, Lookup};
use crate::plan::Finding;
use crate::store::LedgerStore;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;
use std::time::Duration;

/// Say that a finding is known: it is a note, and no alarm, until then
///
/// It is looked for first, as drift looks: what is not there cannot be acknowledged. With another image in that place it
/// is another finding.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl drift ack d-0123456789ab --until 3d --reason \"moved by hand, INC-7\"
  imgctl drift ack d-0123456789ab --until 2026-12-01 --reason \"goes with the old cluster\" --state infra/terraform.tfstate")]
pub struct Ack {
    /// As imgctl drift shows it
    #[arg(value_name = "FINDING")]
    id: FindingId,
    /// Until when: a date (UTC), a time with its zone, or a duration (2h, 3d)
    #[arg(long, value_name = "TIME")]
    until: Until,
    /// Why it is no alarm
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    sources: Sources,
    /// Give up looking after this time (30s, 5m)
    #[arg(long, value_name = "DURATION", value_parser = span::duration)]
    time_limit: Option<Duration>,
}

/// Take an acknowledgement back before its time
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl drift unack d-0123456789ab
  imgctl drift unack d-0123456789ab --reason \"the move was called off\"")]
pub struct Unack {
    /// As imgctl drift acks shows it
    #[arg(value_name = "FINDING")]
    id: FindingId,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
}

/// List what is acknowledged, by whom and until when
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl drift acks
  imgctl drift acks --json | jq -r '.acknowledgements[].id'")]
pub struct Acks {}

pub fn ack(args: &Ack, setup: &Setup) -> Result<Exit, Failure> {
    let until = args.until.after(setup.now())?;
    let finding = find(args, setup)?;
    let store = setup.store()?;
    let (id, reason) = (args.id.clone(), args.reason.clone());
    let event = Event::DriftAcknowledged { id: id.clone(), finding: finding.noted(), until, reason };
    let entry = store.append(setup.now(), &setup.local_actor(), &event)?;
    let document = json!({ "id": id, "finding": finding.noted(), "until": until, "changed": true, "entry": entry.seq });
    setup.screen.show("drift-ack/1", document, || {
        format!("{} ({id}) is acknowledged until {} (entry {})", finding.noted(), time::moment(until), entry.seq)
    })?;
    setup.screen.hint(&format!("imgctl drift unack {id} takes it back"));
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

/// The finding as it is now.
fn find(args: &Ack, setup: &Setup) -> Result<Finding, Failure> {
    let Ack { sources, time_limit, .. } = args;
    let look = Look { channels: Vec::new(), sources: sources.clone(), time_limit: *time_limit };
    let looked = setup.wait(async { look.run(setup, &setup.cloud(false).await?).await })?;
    let found = looked.findings.iter().find(|finding| finding.id == args.id);
    let none = || Failure::usage(format!("there is no finding {}", args.id), "imgctl drift shows what there is");
    let found = found.ok_or_else(none)?;
    if !found.is_drift() && found.acknowledged.is_none() {
        let what = format!("{} ({}) is no alarm", found.noted(), args.id);
        return Err(Failure::usage(what, "there is nothing to acknowledge: imgctl drift"));
    }
    Ok(found.clone())
}

pub fn unack(args: &Unack, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let known = Lookup(&*store.view()?).acknowledgement(&args.id)?;
    let id = &args.id;
    let Some(known) = known.filter(|known| known.holds(setup.now())) else {
        let document = json!({ "id": id, "changed": false });
        setup.screen.show("drift-ack/1", document, || format!("{id} is not acknowledged; nothing to do"))?;
        return Ok(Exit::Done);
    };
    let (finding, reason) = (known.finding.clone(), args.reason.clone());
    let event = Event::AcknowledgementWithdrawn { id: id.clone(), finding, reason };
    let entry = store.append(setup.now(), &setup.local_actor(), &event)?;
    let document = json!({ "id": id, "finding": known.finding, "changed": true, "entry": entry.seq });
    setup.screen.show("drift-ack/1", document, || {
        let (finding, by, reason) = (&known.finding, &known.by, &known.reason);
        format!("{finding} ({id}) is no longer acknowledged (entry {}); {by} knew of it: {reason}", entry.seq)
    })?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

pub fn acks(_: &Acks, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let mut known = Lookup(&*store.view()?).acknowledgements()?;
    known.retain(|(_, known)| known.holds(setup.now()));
    let rows = known.iter().map(|(id, known)| json!({ "id": id, "acknowledgement": known }));
    let document = json!({ "acknowledgements": rows.collect::<Vec<_>>() });
    setup.screen.show("drift-acks/1", document, || {
        if known.is_empty() {
            return "Nothing is acknowledged.".to_owned();
        }
        let line = |(id, known): &(FindingId, crate::model::Acknowledgement)| {
            let (finding, until) = (&known.finding, time::moment(known.until));
            format!("{id}  {finding}  until {until}  by {}: {}\n", known.by, known.reason)
        };
        known.iter().map(line).collect()
    })?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}
