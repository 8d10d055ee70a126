//! `approve`: one of several people agrees that an image may go to a channel.

use crate::cli::failure::{Exit, Failure};
use crate::cli::setup::{Setup, actor};
use crate::model::{Actor, Channel, EnvName, Event, ImageSelector, Lookup};
use crate::store::LedgerStore;
use clap::Args;
use serde_json::json;

/// Agree that an image may be promoted to a channel
///
/// A channel with `approvals = N` in the config takes only what N people other than the one who promotes have agreed to.
/// An approval is for one image on one channel, in the place of what is there now: with the channel's next release it has
/// served. Who you are is what `promote` writes down as well: the AWS identity, where one answers, else user and host.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl approve web@1.5.0 prod
  imgctl approve web@1.5.0 prod --reason \"read the diff\"
  imgctl approve web@1.5.0 prod --withdraw --reason \"not the migration\"")]
pub struct Approve {
    /// NAME@VERSION, or another selector
    #[arg(value_name = "IMAGE")]
    image: ImageSelector,
    /// The environment: with the image's name it is the channel
    #[arg(value_name = "ENV")]
    env: EnvName,
    /// Take your own approval back
    #[arg(long)]
    withdraw: bool,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: Option<String>,
}

pub fn run(args: &Approve, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let by = setup.wait(async { Ok(actor::signed(&setup.surroundings, &*setup.aws().await).await) })?;
    let view = store.view()?;
    let look = Lookup(&*view);
    let image = look.resolve(&args.image)?.image.key;
    let channel = Channel { name: image.name.clone(), env: args.env.clone() };
    setup.known_channel(&look, &channel)?;
    let given = look.approvals(&channel, &image)?.into_iter().any(|approval| approval.by == by.who);
    drop(view);
    let reason = args.reason.clone();
    let (event, changes) = if args.withdraw {
        (Event::ApprovalWithdrawn { channel: channel.clone(), image: image.clone(), reason }, given)
    } else {
        (Event::ImageApproved { channel: channel.clone(), image: image.clone(), reason }, !given)
    };
    let entry = if changes { Some(store.append(setup.now(), &by, &event)?.seq) } else { None };
    let view = store.view()?;
    let approvals = Lookup(&*view).approvals(&channel, &image)?;
    let document = json!({
        "channel": channel, "image": image, "approved": !args.withdraw, "changed": changes, "entry": entry, "approvals": approvals,
    });
    let wanted = setup.config.channels.get(&channel).map_or(0, |config| config.rules.approvals);
    setup.screen.show("approval/1", document, || {
        let count = approvals.len();
        let all = if wanted > 0 { format!("; {count} given, {wanted} of others asked for") } else { String::new() };
        said(&image.to_string(), &channel, args.withdraw, entry.map(|seq| seq.to_string()), &by) + &all
    })?;
    if wanted == 0 {
        setup.screen.hint(&format!("{channel} asks for no approvals: approvals = N in the config"));
    }
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

fn said(image: &str, channel: &Channel, withdraw: bool, entry: Option<String>, by: &Actor) -> String {
    let who = &by.who;
    match (entry, withdraw) {
        (Some(entry), false) => format!("{image} is approved for {channel} by {who} (entry {entry})"),
        (Some(entry), true) => format!("{image} is no longer approved for {channel} by {who} (entry {entry})"),
        (None, false) => format!("{image} is approved for {channel} by {who} already; nothing to do"),
        (None, true) => format!("{image} is not approved for {channel} by {who}; nothing to do"),
    }
}
