//! `freeze` and `unfreeze`: no promotions in an environment, or on a channel, until a moment.

use crate::cli::failure::{Exit, Failure};
use crate::cli::render::time;
use crate::cli::setup::Setup;
use crate::cli::span::Until;
use crate::model::lookup::nearest;
use crate::model::{Channel, Event, Lookup, Scope};
use crate::store::LedgerStore;
use clap::Args;
use serde_json::json;
use std::collections::BTreeSet;

/// Let nothing be promoted until a moment; rollbacks pass
///
/// It ends by itself. Frozen again, the new end and reason count. What brings a failed rollout back is never stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl freeze prod --until 2026-12-01 --reason \"Black Friday\"
  imgctl freeze web/prod --until 2h --reason \"load test\"
  imgctl freeze prod --until 6h --rollbacks --reason \"the data centre moves\"")]
pub struct Freeze {
    /// An environment (all its channels), or NAME/ENV
    #[arg(value_name = "ENV")]
    scope: Scope,
    /// Until when: a date (UTC), a time with its zone, or a duration (2h, 3d)
    #[arg(long, value_name = "TIME")]
    until: Until,
    /// Why; everybody who is stopped by it reads this
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// Stop rollbacks as well: nothing moves before it ends
    #[arg(long)]
    rollbacks: bool,
}

/// End a freeze before its time
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl unfreeze prod
  imgctl unfreeze web/prod --reason \"the load test is over\"")]
pub struct Unfreeze {
    /// As it was frozen: an environment, or NAME/ENV
    #[arg(value_name = "ENV")]
    scope: Scope,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: Option<String>,
}

/// A freeze that covers nothing is a slip of the keyboard.
fn known(setup: &Setup, look: &Lookup<'_>, scope: &Scope) -> Result<(), Failure> {
    let channels: BTreeSet<Channel> = setup.config.channels.keys().cloned().chain(look.channels()?).collect();
    if channels.iter().any(|channel| scope.covers(channel)) {
        return Ok(());
    }
    let Scope::Env(env) = scope else {
        return match scope {
            Scope::Channel(channel) => setup.known_channel(look, channel),
            Scope::Env(_) => Ok(()),
        };
    };
    let words: Vec<String> = channels.iter().map(|channel| channel.env.to_string()).collect();
    let near = nearest(env.as_str(), &words).map(|near| format!("did you mean {near}?"));
    Err(Failure::usage(
        format!("no channel has the environment {env}"),
        near.unwrap_or_else(|| "imgctl status shows the channels".to_owned()),
    ))
}

pub fn freeze(args: &Freeze, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let until = args.until.after(setup.now())?;
    known(setup, &Lookup(&*store.view()?), &args.scope)?;
    let (scope, reason, rollbacks) = (args.scope.clone(), args.reason.clone(), args.rollbacks);
    let event = Event::FreezeSet { scope, until, reason, rollbacks };
    let entry = store.append(setup.now(), &setup.local_actor(), &event)?;
    let document = json!({ "scope": args.scope, "frozen": true, "until": until, "rollbacks": rollbacks, "changed": true, "entry": entry.seq });
    setup.screen.show("freeze/1", document, || {
        let also = if rollbacks { ", rollbacks as well" } else { "" };
        format!("{} is frozen until {}{also} (entry {})", args.scope, time::moment(until), entry.seq)
    })?;
    setup.screen.hint(&format!("imgctl unfreeze {} ends it before", args.scope));
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

pub fn unfreeze(args: &Unfreeze, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let (held, others) = {
        let view = store.view()?;
        let mut freezes = Lookup(&*view).freezes()?;
        freezes.retain(|freeze| freeze.holds(setup.now()));
        let held = freezes.iter().find(|freeze| freeze.scope == args.scope).cloned();
        (held, freezes)
    };
    let document =
        |changed: bool, entry| json!({ "scope": args.scope, "frozen": false, "changed": changed, "entry": entry });
    let Some(held) = held else {
        setup
            .screen
            .show("freeze/1", document(false, None), || format!("{} is not frozen; nothing to do", args.scope))?;
        for other in others {
            setup.screen.hint(&format!("{} is frozen until {}", other.scope, time::moment(other.until)));
        }
        return Ok(Exit::Done);
    };
    let event = Event::FreezeLifted { scope: args.scope.clone(), reason: args.reason.clone() };
    let entry = store.append(setup.now(), &setup.local_actor(), &event)?;
    setup.screen.show("freeze/1", document(true, Some(entry.seq)), || {
        let (scope, by, reason) = (&args.scope, &held.by, &held.reason);
        format!("{scope} is no longer frozen (entry {}); it was frozen by {by}: {reason}", entry.seq)
    })?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}
