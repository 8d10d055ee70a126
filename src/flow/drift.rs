//! Drift: what the ledger, the code and the targets say, brought side by side. Reads only, and asks for no lock.

use super::audit::Looked;
use super::code::{self, Code, CodeSource};
use super::declared::{Declarations, declared, undeclared};
use super::known::address_of;
use super::limit::{Limit, limit, limited};
use super::load::running;
use super::rollouts::Rollouts;
use super::undone::look_back;
use super::{Ctx, FlowError};
use crate::iac::Passphrase;
use crate::model::{Channel, ImageRef, Lookup, TargetId};
use crate::plan::witnesses::{Declaration, Lost, Silence, Witnesses};
use crate::plan::{self, Finding, FindingKind, Sight};
use crate::provider::source::Availability;
use crate::provider::target::AT_A_TIME;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// How many declarations are looked up at the same time.
const SIDE_BY_SIDE: usize = 16;

/// The findings on every target of these channels (all of the config, when none is named), sorted. What has not answered
/// by the time limit, or when the person wants to stop, is unreachable or not found out, and the rest is told.
pub async fn drift(
    ctx: &Ctx<'_>,
    channels: &[Channel],
    sources: &[CodeSource],
    passphrase: &Passphrase,
    length: Option<Duration>,
) -> Result<Looked, FlowError> {
    let late = CancellationToken::new();
    let look = look(ctx, channels, sources, passphrase, limit(length, &late));
    limited(ctx, length, &late, look).await
}

async fn look(
    ctx: &Ctx<'_>,
    channels: &[Channel],
    sources: &[CodeSource],
    passphrase: &Passphrase,
    limit: Limit<'_>,
) -> Result<Looked, FlowError> {
    let mut named: BTreeSet<Channel> = channels.iter().cloned().collect();
    if named.is_empty() {
        named = ctx.channels.keys().cloned().collect();
    }
    let mut looked = Looked::new(ctx, ctx.clock.now(), named)?;
    let mut homes: BTreeMap<TargetId, Channel> = BTreeMap::new();
    for channel in &looked.channels {
        homes.extend(ctx.channel(channel)?.targets.iter().map(|id| (id.clone(), channel.clone())));
    }
    looked.targets = homes.len();
    if homes.is_empty() {
        looked.unasked.push("anything: the config names no target".to_owned());
    }
    let (at, channels) = (looked.at, &looked.channels);
    let code = OnceCell::new();
    let look = Look { ctx, homes: &homes, sources, passphrase, channels, code, limit, at };
    let ids: BTreeSet<TargetId> = homes.keys().cloned().collect();
    let mut places = ctx.fleet.places(&ids);
    let placed: BTreeSet<TargetId> = places.iter().flatten().cloned().collect();
    // What nobody knows is told as such.
    places.extend(Some(ids.difference(&placed).cloned().collect::<BTreeSet<_>>()).filter(|lost| !lost.is_empty()));
    let parts: Vec<_> = places.into_iter().map(|ids| look.place(ids)).collect();
    let parts = futures_util::future::join_all(parts).await.into_iter().collect::<Result<Vec<Part>, FlowError>>()?;
    // Where there is nothing to look at, what was named must be readable all the same.
    look.code.get_or_try_init(|| look.read_code()).await?;
    let code = look.code.into_inner().unwrap_or_default();
    let unread = looked.channels.iter().filter(|channel| code.of(channel).unread.is_some());
    looked.unread = unread.cloned().collect();
    let mut unasked: BTreeSet<String> =
        code.unread.iter().map(|why| format!("what the code declares: {why}")).collect();
    for mut part in parts {
        // The first list is kept as it is: of one place, it is all there is.
        if looked.findings.is_empty() {
            std::mem::swap(&mut looked.findings, &mut part.findings);
        }
        looked.findings.append(&mut part.findings);
        unasked.extend(part.unasked);
        looked.unproven.extend(part.unproven);
    }
    looked.findings.sort();
    looked.unasked.extend(unasked);
    Ok(looked)
}

/// What the targets are held against.
struct Look<'a, 'c> {
    ctx: &'a Ctx<'c>,
    homes: &'a BTreeMap<TargetId, Channel>,
    sources: &'a [CodeSource],
    passphrase: &'a Passphrase,
    channels: &'a BTreeSet<Channel>,
    /// Read once, while the first targets are asked.
    code: OnceCell<Code>,
    limit: Limit<'a>,
    at: Timestamp,
}

/// What was found in one place.
#[derive(Default)]
struct Part {
    findings: Vec<Finding>,
    unasked: BTreeSet<String>,
    /// Image → whether it can still be launched or pulled, as far as somebody answered.
    images: BTreeMap<ImageRef, Availability>,
    /// Targets of which nobody could tell whether there is such a finding.
    unproven: BTreeSet<(FindingKind, TargetId)>,
}

impl Look<'_, '_> {
    async fn read_code(&self) -> Result<Code, FlowError> {
        code::read(self.sources, self.passphrase, self.channels, self.limit).await
    }

    /// The targets of one place, batch after batch.
    async fn place(&self, ids: BTreeSet<TargetId>) -> Result<Part, FlowError> {
        let ids: Vec<TargetId> = ids.into_iter().collect();
        let mut part = Part { findings: Vec::with_capacity(ids.len()), ..Part::default() };
        for batch in ids.chunks(AT_A_TIME) {
            self.batch(&batch.iter().cloned().collect(), &mut part).await?;
        }
        Ok(part)
    }

    async fn batch(&self, ids: &BTreeSet<TargetId>, part: &mut Part) -> Result<(), FlowError> {
        let Self { ctx, limit, .. } = *self;
        let read = self.code.get_or_try_init(|| self.read_code());
        // Code that does not answer keeps nobody from asking for the images.
        let seen = async {
            let mut sights = sights(ctx, ids, limit).await?;
            for (id, why) in look_back(ctx, self.homes, &mut sights, limit).await? {
                part.unasked.insert(format!("whether the platform took a deployment of {id} back: {why}"));
                part.unproven.insert((FindingKind::Undone, id));
            }
            part.ask_for_images(ctx, &sights, limit).await;
            Ok::<_, FlowError>(sights)
        };
        let (code, sights) = futures_util::join!(read, seen);
        let (code, sights) = (code?, sights?);
        let dangling = part.images.iter().filter_map(|(image, answer)| Some((image.clone(), lost(answer)?))).collect();
        // What code declares by a number may have to be asked for.
        let lookups = sights.iter().filter_map(|(id, sight)| Some((id, sight, self.homes.get(id)?)));
        let lookups = lookups.map(async |(id, sight, channel)| {
            let declared = match (sight, ctx.fleet.target(id)) {
                (Sight::Seen(observed), Some(target)) => {
                    let said = code.of(channel);
                    let found = limit.within(declared(&said, target, observed)).await;
                    (found.unwrap_or_else(|| undeclared(observed, limit)), said.silence)
                }
                _ => (Declarations::new(), Silence::Natural),
            };
            (id.clone(), channel.clone(), sight.clone(), declared)
        });
        let looked_up: Vec<_> = stream::iter(lookups).buffered(SIDE_BY_SIDE).collect().await;
        let view = ctx.store.view()?;
        let look = Lookup(&*view);
        let mut rollouts = Rollouts::new(look);
        let witnesses = looked_up
            .into_iter()
            .map(|(id, channel, sight, declared)| witness(look, &mut rollouts, id, channel, sight, declared, &dangling))
            .collect::<Result<Vec<_>, FlowError>>()?;
        let acknowledgements = look.acknowledgements()?.into_iter().collect();
        drop(view);
        let mut findings = plan::drift(&witnesses, &acknowledgements, self.at);
        part.unasked.extend(attribute(ctx, &mut findings, &sights, limit).await);
        part.findings.extend(findings);
        Ok(())
    }
}

/// Asks who changed what neither the ledger nor the code wanted. Who does not know is not named; what could not be asked is
/// the answer.
async fn attribute(
    ctx: &Ctx<'_>,
    findings: &mut [Finding],
    sights: &BTreeMap<TargetId, Sight>,
    limit: Limit<'_>,
) -> BTreeSet<String> {
    let changed = findings.iter_mut().filter(|finding| finding.kind.is_somebodys_change() && finding.is_drift());
    let asks = changed.map(async |finding| {
        let (Some(Sight::Seen(observed)), Some(target)) =
            (sights.get(&finding.target), ctx.fleet.target(&finding.target))
        else {
            return Vec::new();
        };
        let slot = finding.slot.clone();
        let (made, moved) = futures_util::join!(
            limit.within(target.author(observed, slot.as_ref())),
            limit.within(target.mover(observed, slot.as_ref())),
        );
        let mut unknown = Vec::new();
        let told = [made, moved].into_iter().filter_map(|answer| match answer {
            Some(Ok(by)) => by,
            Some(Err(error)) => {
                unknown.push(format!("who changed it: {error}"));
                None
            }
            None => {
                unknown.push("who changed it".to_owned());
                None
            }
        });
        // What was made and then pointed to is as it is because of the last of them; CloudTrail tells whole seconds.
        finding.by = told.max_by_key(|by| by.at.map(|at| at.as_second())).map(Box::new);
        unknown
    });
    let asks: Vec<_> = asks.collect();
    stream::iter(asks).buffered(SIDE_BY_SIDE).flat_map(stream::iter).collect().await
}

/// The targets of one place; where it does not answer in time, all of them are unreachable.
async fn sights(
    ctx: &Ctx<'_>,
    ids: &BTreeSet<TargetId>,
    limit: Limit<'_>,
) -> Result<BTreeMap<TargetId, Sight>, FlowError> {
    match limit.within(running(ctx, ids)).await {
        Some(sights) => sights,
        None => {
            let late = Sight::Unreachable { why: limit.why(), fix: limit.fix() };
            Ok(ids.iter().map(|id| (id.clone(), late.clone())).collect())
        }
    }
}

fn witness(
    look: Lookup<'_>,
    rollouts: &mut Rollouts<'_>,
    target: TargetId,
    channel: Channel,
    sight: Sight,
    (code, silence): (Declarations, Silence),
    dangling: &BTreeMap<ImageRef, Lost>,
) -> Result<Witnesses, FlowError> {
    let state = look.channel(&channel)?;
    let known = look.target(&target)?;
    let (recorded, former) = match known {
        Some(known) if known.channel != channel => (None, Some(known)),
        known => (known, None),
    };
    let open = state.open.map(|rollout| rollouts.under_way(rollout, &target)).transpose()?;
    let is_foreign = recorded.is_some() && rollouts.is_foreign(&channel, &target, &sight)?;
    let (mut declared, mut places) = (BTreeMap::new(), BTreeMap::new());
    for (slot, (declaration, place)) in code {
        places.extend(place.map(|place| (slot.clone(), place)));
        declared.insert(slot, declaration);
    }
    let held = recorded.iter().flat_map(|recorded| recorded.slots.values()).collect();
    // The code, too, may name a platform of an image for its index.
    for declaration in declared.values_mut() {
        match declaration {
            Declaration::Image(image) => *image = address_of(look, &held, image)?,
            Declaration::Contradiction { images, .. } => {
                let same = images.iter().map(|image| address_of(look, &held, image));
                *images = same.collect::<Result<_, _>>()?;
                // In other words, and of one image after all.
                if let (1, Some(image)) = (images.len(), images.first()) {
                    *declaration = Declaration::Image(image.clone());
                }
            }
            Declaration::Unknown { .. } => {}
        }
    }
    Ok(Witnesses {
        target,
        channel,
        recorded,
        former,
        declared,
        silence,
        places,
        // A state does not keep `ignore_changes`; only the code itself would tell.
        ignores_image: false,
        sight,
        is_foreign,
        dangling: dangling.clone(),
        release: state.current.map(|release| release.image),
        hold: state.hold,
        open,
    })
}

/// Why an image cannot be launched or pulled; `None`: it can, or nobody said.
fn lost(answer: &Availability) -> Option<Lost> {
    match answer {
        Availability::Gone { .. } => Some(Lost::Gone),
        Availability::Unusable { why } => Some(Lost::Unusable { why: why.clone() }),
        Availability::Available | Availability::Deprecated { .. } | Availability::Unknown { .. } => None,
    }
}

impl Part {
    /// Finds out which images that targets are configured with can no longer be launched, before a scale-out does.
    async fn ask_for_images(&mut self, ctx: &Ctx<'_>, sights: &BTreeMap<TargetId, Sight>, limit: Limit<'_>) {
        let configured = |sight: &Sight| match sight {
            Sight::Seen(observed) => observed.slots.values().filter_map(|slot| slot.image.now().cloned()).collect(),
            _ => BTreeSet::new(),
        };
        let images: BTreeMap<&TargetId, BTreeSet<ImageRef>> =
            sights.iter().map(|(id, sight)| (id, configured(sight))).collect();
        let asked: BTreeSet<&ImageRef> =
            images.values().flatten().filter(|image| !self.images.contains_key(*image)).collect();
        let asked: Vec<ImageRef> = asked.into_iter().cloned().collect();
        if !asked.is_empty() {
            match limit.within(ctx.images.availability(&asked)).await {
                Some(answers) => self.images.extend(answers),
                None => drop(self.unasked.insert("whether the images can still be launched or pulled".to_owned())),
            }
        }
        for image in &asked {
            if let Some(Availability::Unknown { why }) = self.images.get(image) {
                self.unasked.insert(format!("whether {} can still be launched or pulled: {why}", image.short()));
            }
        }
        let told = |image: &ImageRef| {
            self.images.get(image).is_some_and(|answer| !matches!(answer, Availability::Unknown { .. }))
        };
        let unproven = images.into_iter().filter(|(_, images)| !images.iter().all(told)).map(|(id, _)| id.clone());
        let unproven: Vec<_> = unproven.map(|id| (FindingKind::Dangling, id)).collect();
        self.unproven.extend(unproven);
    }
}
