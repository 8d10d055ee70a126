//! Asides: what is said of a target beside the verdict, because it may be why.

use super::Sight;
use super::witnesses::Witnesses;
use crate::model::{Deployment, Hold, Motion};

/// The platform took the newest deployment back by itself. One that the ledger did not order is a finding of its own.
pub(super) fn undone(witnesses: &Witnesses) -> String {
    let Sight::Seen(observed) = &witnesses.sight else { return String::new() };
    observed
        .undone()
        .filter(|_| !witnesses.is_foreign)
        .map(|(Deployment { id, .. }, why)| format!("; {id} was rolled back by the platform: {why}"))
        .unwrap_or_default()
}

/// A rollout that was given up may have left it at another release than the channel's.
pub(super) fn behind(witnesses: &Witnesses) -> String {
    match (&witnesses.release, &witnesses.recorded) {
        (Some(release), Some(recorded)) if *release != recorded.image && witnesses.open.is_none() => {
            format!("; {} is at {release}: imgctl promote {release} {}", witnesses.channel, witnesses.channel.env)
        }
        _ => String::new(),
    }
}

pub(super) fn never(witnesses: &Witnesses) -> String {
    match &witnesses.former {
        Some(former) => {
            format!(
                "the ledger has put {} there for {}, and nothing for {}",
                former.image, former.channel, witnesses.channel
            )
        }
        None => "the ledger has never put an image there".to_owned(),
    }
}

pub(super) fn held(witnesses: &Witnesses) -> String {
    let said = |hold: &Hold| format!("; the channel is held by {} since {}: {}", hold.by, hold.at, hold.reason);
    witnesses.hold.as_ref().map(said).unwrap_or_default()
}

/// The platform's own deployment, which may be why.
pub(super) fn under_way(deployment: Option<&Deployment>) -> String {
    let Some(deployment) = deployment else { return String::new() };
    let Deployment { id, percent, left, .. } = deployment;
    match &deployment.motion {
        Motion::Moving { phase, .. } | Motion::Returning { phase, .. } => {
            format!("; {id} is {phase}, {percent} % done, {left} left")
        }
        Motion::Failed { reason } => format!("; {id} failed: {reason}"),
        Motion::RolledBack { reason } => format!("; {id} was rolled back by the platform: {reason}"),
        Motion::Cancelled { reason } => format!("; {id} was cancelled: {reason}"),
        Motion::Succeeded => String::new(),
    }
}
