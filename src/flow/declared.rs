//! Declared: what the code of a channel says of each slot of one target, and what its words mean there.

use super::code::Said;
use super::limit::Limit;
use crate::iac::{self, Claim, Declared, DeclaredFor, Group, Place, Pods, Service, TemplateRef};
use crate::model::{ImageRef, Observed, SlotName};
use crate::plan::CodePlace;
use crate::plan::witnesses::Declaration;
use crate::provider::target::{Handle, Observe};
use std::collections::{BTreeMap, BTreeSet};

/// What the code says of each slot, and where.
pub(super) type Declarations = BTreeMap<SlotName, (Declaration, Option<CodePlace>)>;

/// What the code declares for each slot of one target.
pub(super) async fn declared(said: &Said, target: &dyn Observe, observed: &Observed) -> Declarations {
    let mut found = Declarations::new();
    // What could not be read may speak of any slot.
    if let Some(why) = &said.unread {
        let unread = || (Declaration::Unknown { why: why.clone() }, None);
        found.extend(observed.slots.keys().map(|slot| (slot.clone(), unread())));
    }
    for (slot, declared) in found_in(&said.declared, target, observed) {
        let place = match &declared {
            DeclaredFor::None => None,
            DeclaredFor::Image { claim, .. }
            | DeclaredFor::Template { claim, .. }
            | DeclaredFor::Unknown { claim, .. } => Some(claim),
            DeclaredFor::Conflict { claims } => claims.first().map(|(claim, _)| claim),
        };
        let place = place.cloned().map(|Claim { source, address }| CodePlace { source, address });
        let declaration = match declared {
            DeclaredFor::None => continue,
            DeclaredFor::Image { image, .. } => image_of(observed, &slot, &image),
            DeclaredFor::Template { template, version, claim, .. } => {
                look_up(target, observed, &slot, &template, &version, &claim).await
            }
            DeclaredFor::Unknown { claim, why } => Declaration::Unknown { why: format!("{}: {why}", claim.address) },
            DeclaredFor::Conflict { claims } => several(observed, &slot, &claims),
        };
        found.insert(slot, (declaration, place));
    }
    found
}

/// Where the code speaks of this target, by what the code calls it.
fn found_in(code: &[Declared], target: &dyn Observe, observed: &Observed) -> BTreeMap<SlotName, DeclaredFor> {
    match target.handle(Some(observed)) {
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

/// What several claims come to that are not in the same words.
fn several(observed: &Observed, slot: &SlotName, claims: &[(Claim, String)]) -> Declaration {
    let say = |(claim, what): &(Claim, String)| format!("{} ({}) says {what}", claim.address, claim.source);
    let why = claims.iter().map(say).collect::<Vec<_>>().join("; ");
    let read = claims.iter().map(|(_, what)| image_of(observed, slot, what));
    let images: Option<BTreeSet<ImageRef>> = read
        .map(|declaration| match declaration {
            Declaration::Image(image) => Some(image),
            _ => None,
        })
        .collect();
    match images {
        Some(images) => Declaration::Contradiction { why, images },
        // A version of a template, or what nobody may read, may still be the same image.
        None => Declaration::Unknown { why },
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

/// Nothing of what the code says could be looked up in time.
pub(super) fn undeclared(observed: &Observed, limit: Limit<'_>) -> Declarations {
    let why = || Declaration::Unknown { why: limit.why() };
    observed.slots.keys().map(|slot| (slot.clone(), (why(), None))).collect()
}
