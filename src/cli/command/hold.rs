//! `hold` and `release`: a channel stays on its image until it is let go.

use crate::cli::failure::{Exit, Failure};
use crate::cli::setup::Setup;
use crate::model::{Channel, Event, Lookup};
use crate::store::LedgerStore;
use clap::Args;
use serde_json::json;

/// Keep a channel on its image: promotions are blocked until it is released
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl hold web/prod --reason \"no releases on Black Friday\"")]
pub struct Hold {
    /// NAME/ENV
    #[arg(value_name = "CHANNEL")]
    channel: Channel,
    /// Why; everybody who is stopped by it reads this
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
}

/// Lift the hold on a channel
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl release web/prod
  imgctl release web/prod --reason \"the fix is in 1.5.1\"")]
pub struct Release {
    /// NAME/ENV
    #[arg(value_name = "CHANNEL")]
    channel: Channel,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: Option<String>,
}

pub fn hold(args: &Hold, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let view = store.view()?;
    let look = Lookup(&*view);
    setup.known_channel(&look, &args.channel)?;
    let before = look.channel(&args.channel)?.hold;
    drop(view);
    let event = Event::HoldSet { channel: args.channel.clone(), reason: args.reason.clone() };
    let entry = store.append(setup.now(), &setup.local_actor(), &event)?;
    let document = json!({ "channel": args.channel, "held": true, "changed": true, "entry": entry.seq });
    setup.screen.show("hold/1", document, || {
        let before = before.map(|hold| format!("; it was held by {}: {}", hold.by, hold.reason)).unwrap_or_default();
        format!("{} is held (entry {}){before}", args.channel, entry.seq)
    })?;
    setup.screen.hint(&format!("imgctl release {} lets it go", args.channel));
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

pub fn release(args: &Release, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let view = store.view()?;
    let look = Lookup(&*view);
    setup.known_channel(&look, &args.channel)?;
    let held = look.channel(&args.channel)?.hold;
    drop(view);
    let document =
        |changed: bool, entry| json!({ "channel": args.channel, "held": false, "changed": changed, "entry": entry });
    let Some(held) = held else {
        let text = || format!("{} is not held; nothing to do", args.channel);
        setup.screen.show("hold/1", document(false, None), text)?;
        return Ok(Exit::Done);
    };
    let event = Event::HoldLifted { channel: args.channel.clone(), reason: args.reason.clone() };
    let entry = store.append(setup.now(), &setup.local_actor(), &event)?;
    setup.screen.show("hold/1", document(true, Some(entry.seq)), || {
        format!("{} is released (entry {}); it was held by {}: {}", args.channel, entry.seq, held.by, held.reason)
    })?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}
