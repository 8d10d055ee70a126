//! Drift: what the ledger, the code and the targets say, brought side by side. Reads only, and asks for no lock.

use super::known::address_of;
use super::load::{running, unasked};
use super::{Ctx, FlowError};
use crate::iac::{self, Claim, Declared, DeclaredFor, Group, Place, Pods, Service, TemplateRef};
use crate::model::{Channel, ImageRef, Lookup, Observed, SlotName, TargetId};
use crate::plan::drift::{Declaration, Witnesses};
use crate::plan::{self, Finding, Sight};
use crate::provider::source::Availability;
use crate::provider::state::StateSource;
use crate::provider::target::{Handle, Observe};
use futures_util::stream::{self, StreamExt};
use std::collections::{BTreeMap, BTreeSet};

/// How many declarations are looked up at the same time.
const SIDE_BY_SIDE: usize = 16;

/// Everything these states declare, in their order.
pub async fn read_code(sources: &[Box<dyn StateSource>]) -> Result<Vec<Declared>, FlowError> {
    let mut declared = Vec::new();
    for source in sources {
        let bytes = source.fetch().await?;
        declared.extend(iac::read(source.name(), &bytes)?);
    }
    Ok(declared)
}

/// The findings on every target of these channels (all of the config, when none is named), sorted.
pub async fn drift(ctx: &Ctx<'_>, channels: &[Channel], code: &[Declared]) -> Result<Vec<Finding>, FlowError> {
    let mut named: Vec<Channel> = channels.to_vec();
    if named.is_empty() {
        named = ctx.channels.keys().cloned().collect();
    }
    let mut homes: BTreeMap<TargetId, Channel> = BTreeMap::new();
    for channel in &named {
        homes.extend(ctx.channel(channel)?.targets.iter().map(|id| (id.clone(), channel.clone())));
    }
    let sights = running(ctx, &homes.keys().cloned().collect()).await?;
    let dangling = dangling(ctx, &sights).await;
    // What code declares by a number may have to be asked for.
    let lookups: Vec<_> = homes
        .into_iter()
        .map(async |(id, channel)| {
            let sight = sights.get(&id).cloned();
            let sight = sight.unwrap_or_else(|| unasked("it was not asked"));
            let declared = match (&sight, ctx.fleet.target(&id)) {
                (Sight::Seen(observed), Some(target)) => declared(code, target, observed).await,
                _ => BTreeMap::new(),
            };
            (id, channel, sight, declared)
        })
        .collect();
    let looked_up: Vec<_> = stream::iter(lookups).buffered(SIDE_BY_SIDE).collect().await;
    let witnesses = looked_up
        .into_iter()
        .map(|(id, channel, sight, declared)| witness(ctx, id, channel, sight, declared, &dangling))
        .collect::<Result<Vec<_>, FlowError>>()?;
    Ok(plan::drift(&witnesses))
}

fn witness(
    ctx: &Ctx<'_>,
    target: TargetId,
    channel: Channel,
    sight: Sight,
    mut declared: BTreeMap<SlotName, Declaration>,
    dangling: &BTreeSet<ImageRef>,
) -> Result<Witnesses, FlowError> {
    let view = ctx.store.view()?;
    let look = Lookup(&*view);
    let state = look.channel(&channel)?;
    let recorded = look.target(&target)?;
    let held = recorded.iter().flat_map(|recorded| recorded.slots.values()).collect();
    // The code, too, may name a platform of an image for its index.
    for declaration in declared.values_mut() {
        if let Declaration::Image(image) = declaration {
            *image = address_of(look, &held, image)?;
        }
    }
    Ok(Witnesses {
        target,
        channel,
        recorded,
        declared,
        // A state does not keep `ignore_changes`; only the code itself would tell.
        ignores_image: false,
        sight,
        dangling: dangling.clone(),
        hold: state.hold,
        open: state.open,
    })
}

/// Images that targets are configured with and that can no longer be launched: found before a scale-out finds them.
async fn dangling(ctx: &Ctx<'_>, sights: &BTreeMap<TargetId, Sight>) -> BTreeSet<ImageRef> {
    let slots = sights.values().filter_map(|sight| match sight {
        Sight::Seen(observed) => Some(observed.slots.values()),
        _ => None,
    });
    let images: BTreeSet<ImageRef> = slots.flatten().filter_map(|slot| slot.image.now().cloned()).collect();
    let images: Vec<ImageRef> = images.into_iter().collect();
    let answers = ctx.images.availability(&images).await;
    let gone = answers
        .into_iter()
        .filter(|(_, answer)| matches!(answer, Availability::Gone { .. } | Availability::Unusable { .. }));
    gone.map(|(image, _)| image).collect()
}

/// What the code declares for each slot of one target.
async fn declared(code: &[Declared], target: &dyn Observe, observed: &Observed) -> BTreeMap<SlotName, Declaration> {
    let mut found = BTreeMap::new();
    for (slot, declared) in found_in(code, target, observed) {
        let declaration = match declared {
            DeclaredFor::None => continue,
            DeclaredFor::Image { image, .. } => image_of(observed, &slot, &image),
            DeclaredFor::Template { template, version, claim, .. } => {
                look_up(target, observed, &slot, &template, &version, &claim).await
            }
            DeclaredFor::Unknown { claim, why } => Declaration::Unknown { why: format!("{}: {why}", claim.address) },
            DeclaredFor::Conflict { claims } => {
                let say: Vec<String> = claims
                    .iter()
                    .map(|(claim, what)| format!("{} ({}) says {what}", claim.address, claim.source))
                    .collect();
                Declaration::Unknown { why: format!("the code contradicts itself: {}", say.join("; ")) }
            }
        };
        found.insert(slot, declaration);
    }
    found
}

/// Where the code speaks of this target, by what the code calls it.
fn found_in(code: &[Declared], target: &dyn Observe, observed: &Observed) -> BTreeMap<SlotName, DeclaredFor> {
    match target.handle(observed) {
        Some(Handle::AutoScalingGroup { name, region, templates }) => {
            let place = Place { account: None, region: Some(region) };
            let templates: BTreeMap<SlotName, TemplateRef> =
                templates.into_iter().map(|(slot, id)| (slot, TemplateRef { id: Some(id), name: None })).collect();
            iac::declared_for(code, &Group { name: &name, place: &place, templates: &templates })
        }
        Some(Handle::EcsService { cluster, service, region, container, family }) => {
            let place = Place { account: None, region: Some(region) };
            let service =
                Service { cluster: &cluster, name: &service, container: &container, family: &family, place: &place };
            let declared = iac::declared_for_service(code, &service);
            [(container, declared)].into()
        }
        Some(Handle::LaunchTemplate { id, region, slot }) => {
            let place = Place { account: None, region: Some(region) };
            let template = TemplateRef { id: Some(id), name: None };
            [(slot, iac::declared_for_template(code, &place, &template))].into()
        }
        Some(Handle::Workload { kind, namespace, name, containers }) => {
            let pods = Pods { kind, namespace: &namespace, name: &name };
            let said = |slot: SlotName| (slot.clone(), iac::declared_for_workload(code, &pods, slot.as_str()));
            containers.into_iter().map(said).collect()
        }
        None => BTreeMap::new(),
    }
}

fn image_of(observed: &Observed, slot: &SlotName, text: &str) -> Declaration {
    let Some(state) = observed.slots.get(slot) else {
        return Declaration::Unknown { why: format!("the target has no slot {slot}") };
    };
    match iac::address(text, &state.accepts) {
        Ok(image) => Declaration::Image(image),
        Err(why) => Declaration::Unknown { why },
    }
}

/// A state keeps only the newest version's image; an older one is asked of AWS.
async fn look_up(
    target: &dyn Observe,
    observed: &Observed,
    slot: &SlotName,
    template: &TemplateRef,
    version: &str,
    claim: &Claim,
) -> Declaration {
    let Some(id) = &template.id else {
        return Declaration::Unknown { why: format!("{}: template {template} has no id in the state", claim.address) };
    };
    match target.image_at(id, version).await {
        Ok(Some(text)) => image_of(observed, slot, &text),
        Ok(None) => {
            Declaration::Unknown { why: format!("{}: version {version} of {template} has no image", claim.address) }
        }
        Err(error) => {
            Declaration::Unknown { why: format!("{}: version {version} of {template}: {error}", claim.address) }
        }
    }
}
