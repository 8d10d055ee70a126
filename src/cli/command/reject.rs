//! `reject` and `restore`: an image that may not be promoted or rolled back to, with the reason on record.

use crate::cli::failure::{Exit, Failure};
use crate::cli::render::time;
use crate::cli::setup::Setup;
use crate::cli::span::Until;
use crate::model::{Channel, Event, ImageKey, ImageSelector, Lookup, Rejection};
use crate::store::{DiskStore, LedgerStore};
use clap::Args;
use serde_json::json;

/// Forbid an image: it is neither promoted nor rolled back to
///
/// What runs it goes on running it; imgctl rollback takes it away.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl reject web@1.5.0 --reason \"CVE-2026-1234\"
  imgctl reject web@1.5.0 --channel web/prod --reason \"too slow for production\"
  imgctl reject base@9.1 --with-descendants --until 3d --reason \"until the kernel is patched\"")]
pub struct Reject {
    /// NAME@VERSION, or another selector
    #[arg(value_name = "IMAGE")]
    image: ImageSelector,
    /// Only in this channel, instead of everywhere
    #[arg(long, value_name = "NAME/ENV")]
    channel: Option<Channel>,
    /// Why; it stays on record for ever
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// Until when: a date (UTC), a time with its zone, or a duration (2h, 3d); for ever, if it is not said
    #[arg(long, value_name = "TIME")]
    until: Option<Until>,
    /// With everything that was built on it (record --parent), and everything that will be
    #[arg(long)]
    with_descendants: bool,
}

/// Allow a rejected image again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl restore web@1.5.0
  imgctl restore web@1.5.0 --channel web/prod --reason \"it was the load balancer\"")]
pub struct Restore {
    /// NAME@VERSION, or another selector
    #[arg(value_name = "IMAGE")]
    image: ImageSelector,
    /// The channel it is rejected in, instead of everywhere
    #[arg(long, value_name = "NAME/ENV")]
    channel: Option<Channel>,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: Option<String>,
}

fn place(channel: Option<&Channel>) -> String {
    channel.map_or_else(|| "everywhere".to_owned(), |channel| format!("in {channel}"))
}

/// The image, and everywhere it is rejected.
fn find(
    store: &DiskStore,
    setup: &Setup,
    image: &ImageSelector,
    channel: Option<&Channel>,
) -> Result<(ImageKey, Vec<Rejection>), Failure> {
    let view = store.view()?;
    let look = Lookup(&*view);
    if let Some(channel) = channel {
        setup.known_channel(&look, channel)?;
    }
    let key = look.resolve(image)?.image.key;
    let rejections = look.rejections(&key)?;
    Ok((key, rejections))
}

pub fn reject(args: &Reject, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let (image, _) = find(&store, setup, &args.image, args.channel.as_ref())?;
    let (channel, reason) = (args.channel.clone(), args.reason.clone());
    let until = args.until.map(|until| until.after(setup.now())).transpose()?;
    let descendants = args.with_descendants;
    let event = Event::ImageRejected { image: image.clone(), channel: channel.clone(), reason, until, descendants };
    let entry = store.append(setup.now(), &setup.local_actor(), &event)?;
    let document = json!({ "image": image, "channel": channel, "rejected": true, "until": until, "descendants": descendants, "changed": true, "entry": entry.seq });
    let text = || {
        let until = until.map(|until| format!(" until {}", time::moment(until))).unwrap_or_default();
        let along = if descendants { ", with what is built on it" } else { "" };
        format!("{image} is rejected {}{until}{along} (entry {})", place(channel.as_ref()), entry.seq)
    };
    setup.screen.show("rejection/1", document, text)?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

pub fn restore(args: &Restore, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let (image, rejections) = find(&store, setup, &args.image, args.channel.as_ref())?;
    let channel = args.channel.clone();
    let rejected = rejections.iter().any(|rejection| rejection.channel == channel);
    let entry = if rejected {
        let event =
            Event::ImageRestored { image: image.clone(), channel: channel.clone(), reason: args.reason.clone() };
        Some(store.append(setup.now(), &setup.local_actor(), &event)?.seq)
    } else {
        None
    };
    let document =
        json!({ "image": image, "channel": channel, "rejected": false, "changed": rejected, "entry": entry });
    setup.screen.show("rejection/1", document, || match entry {
        Some(seq) => format!("{image} is no longer rejected {} (entry {seq})", place(channel.as_ref())),
        None => format!("{image} is not rejected {}; nothing to do", place(channel.as_ref())),
    })?;
    for elsewhere in rejections.iter().filter(|_| entry.is_none()) {
        let channel = elsewhere.channel.as_ref();
        let option = channel.map(|channel| format!(" --channel {channel}")).unwrap_or_default();
        setup.screen.hint(&format!("it is rejected {}: imgctl restore {image}{option}", place(channel)));
    }
    setup.tell_notices(&store);
    Ok(Exit::Done)
}
