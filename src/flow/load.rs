//! Load: everything a plan may look at, in one snapshot. A failed read is a value, not an error.

use super::known::recognise;
use super::{ChannelSpec, Ctx, FlowError};
use crate::model::{Accepts, Channel, Image, ImageKey, ImageRef, Lookup, Observed, RecordedTarget, TargetId};
use crate::plan::rules::Before;
use crate::plan::{Fitness, Grounds, Sight, Snapshot, TargetView};
use crate::provider::source::Availability;
use crate::provider::target::{Depth, TargetError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many releases underneath are looked at: more than any on-call goes back in one night.
const LINEAGE: u64 = 20;

/// What the ledger, the targets and the image sources say about one channel. `named` is an image of the intent.
pub async fn load(ctx: &Ctx<'_>, channel: &Channel, named: Option<&ImageKey>) -> Result<Snapshot, FlowError> {
    let spec = ctx.channel(channel)?;
    let mut snapshot = recorded(ctx, channel, spec, named)?;
    let mut seen = ctx.fleet.survey(&spec.targets, Depth::Deploying).await;
    recognise(ctx, &mut seen)?;
    // Read after the survey, and in one view: what another process has written meanwhile counts for every target.
    let mut held = targets(ctx, &spec.targets)?;
    for id in &spec.targets {
        let sight = match seen.remove(id) {
            Some(answer) => sight(answer),
            None => unasked("no provider knows it"),
        };
        snapshot.targets.insert(id.clone(), TargetView { wave: spec.wave(id), recorded: held.remove(id), sight });
    }
    let wanted = addresses(&snapshot);
    if !wanted.is_empty() {
        let answers = ctx.images.availability(&wanted).await;
        snapshot.fitness = answers.into_iter().map(|(address, answer)| (address, fitness(answer))).collect();
    }
    Ok(snapshot)
}

/// What the ledger says that these targets run.
fn targets(ctx: &Ctx<'_>, ids: &BTreeSet<TargetId>) -> Result<BTreeMap<TargetId, RecordedTarget>, FlowError> {
    let view = ctx.store.view()?;
    let look = Lookup(&*view);
    let mut held = BTreeMap::new();
    for id in ids {
        held.extend(look.target(id)?.map(|recorded| (id.clone(), recorded)));
    }
    Ok(held)
}

/// The ledger's part; the ledger is let go before any cloud is asked.
pub(super) fn recorded(
    ctx: &Ctx<'_>,
    channel: &Channel,
    spec: &ChannelSpec,
    named: Option<&ImageKey>,
) -> Result<Snapshot, FlowError> {
    let now = ctx.clock.now();
    let view = ctx.store.view()?;
    let look = Lookup(&*view);
    let state = look.channel(channel)?;
    let mut lineage = BTreeMap::new();
    for depth in state.depth.saturating_sub(LINEAGE - 1)..=state.depth {
        lineage.extend(look.release(channel, depth)?.map(|release| (depth, release)));
    }
    let open = state.open.map(|open| look.rollout(open)).transpose()?.flatten();
    let failed = state.failed.map(|failed| look.rollout(failed)).transpose()?.flatten();
    let keys = lineage.values().map(|release| &release.image).chain(named).chain(open.as_ref().map(|open| &open.image));
    let mut images = BTreeMap::new();
    let mut rejections = BTreeMap::new();
    for key in keys.cloned().collect::<BTreeSet<ImageKey>>() {
        rejections.extend(look.rejection(&key, channel, now)?.map(|rejection| (key.clone(), rejection)));
        images.extend(look.image(&key)?.map(|record| (key, record.image)));
    }
    Ok(Snapshot {
        now,
        base: view.head().seq,
        channel: channel.clone(),
        state,
        lineage,
        open,
        failed,
        images,
        rejections,
        grounds: grounds(ctx, look, channel, spec, named)?,
        targets: BTreeMap::new(),
        fitness: BTreeMap::new(),
    })
}

/// What the channel's rules are judged by. A rollback is asked none of them; an image that is named is.
fn grounds(
    ctx: &Ctx<'_>,
    look: Lookup<'_>,
    channel: &Channel,
    spec: &ChannelSpec,
    named: Option<&ImageKey>,
) -> Result<Grounds, FlowError> {
    let now = ctx.clock.now();
    let mut grounds = Grounds {
        rules: spec.rules.clone(),
        asker: ctx.actor.who.clone(),
        freezes: look.frozen(channel, now)?,
        ..Grounds::default()
    };
    let Some(image) = named else { return Ok(grounds) };
    grounds.approvals = look.approvals(channel, image)?;
    if let Some(env) = &spec.rules.after {
        let before = Channel { name: channel.name.clone(), env: env.clone() };
        let verified = look.verified(&before, image)?.map(|release| release.at);
        let rejected = look.rejection(image, &before, now)?;
        grounds.before = Some(Before { channel: before, verified, rejected });
    }
    Ok(grounds)
}

/// An answer about a target as a value a plan can look at.
pub(super) fn sight(answer: Result<Observed, TargetError>) -> Sight {
    match answer {
        Ok(observed) => Sight::Seen(Arc::new(observed)),
        Err(error @ TargetError::Gone { .. }) => {
            let fix = error.hint().unwrap_or_else(|| "imgctl drift shows what else is wrong with it".to_owned());
            Sight::Gone { why: error.to_string(), fix }
        }
        Err(TargetError::Dangling { what, hint }) => Sight::Dangling { why: what, fix: hint },
        Err(error) => {
            let fix = error.hint().unwrap_or_else(|| "run the same command again".to_owned());
            Sight::Unreachable { why: error.to_string(), fix }
        }
    }
}

/// A target that nobody could be asked about: our own doing.
pub(super) fn unasked(why: &str) -> Sight {
    Sight::Unreachable { why: why.to_owned(), fix: "run the same command again with -v".to_owned() }
}

/// The addresses that some slot could take: an image in ten regions is asked about only where a target is.
fn addresses(snapshot: &Snapshot) -> Vec<ImageRef> {
    let slots = snapshot.targets.values().filter_map(|view| match &view.sight {
        Sight::Seen(observed) => Some(observed.slots.values()),
        _ => None,
    });
    let accepts: Vec<&Accepts> = slots.flatten().map(|slot| &slot.accepts).collect();
    let takes = |address: &ImageRef| {
        accepts.iter().any(|accepts| match (address, accepts) {
            (ImageRef::Ami { region, .. }, Accepts::Ami { region: wanted, .. }) => region == wanted,
            (ImageRef::Oci { repository, .. }, Accepts::Oci { repository: wanted }) => repository == wanted,
            _ => false,
        })
    };
    let all: BTreeSet<ImageRef> = snapshot.images.values().flat_map(Image::addresses).filter(takes).collect();
    all.into_iter().collect()
}

pub(super) fn fitness(answer: Availability) -> Fitness {
    match answer {
        Availability::Available => Fitness::Fit,
        Availability::Deprecated { at } => Fitness::Deprecated { at },
        Availability::Gone { why } | Availability::Unusable { why } => Fitness::Unfit { why },
        Availability::Unknown { why } => Fitness::Unknown { why },
    }
}

/// Which of these targets run what, without the questions that only a deployment needs.
pub(super) async fn running(ctx: &Ctx<'_>, ids: &BTreeSet<TargetId>) -> Result<BTreeMap<TargetId, Sight>, FlowError> {
    let mut seen = ctx.fleet.survey(ids, Depth::Running).await;
    recognise(ctx, &mut seen)?;
    let missing = || unasked("no provider knows it");
    Ok(ids.iter().map(|id| (id.clone(), seen.remove(id).map_or_else(missing, sight))).collect())
}
