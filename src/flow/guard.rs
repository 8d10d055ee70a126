//! Guard: what an apply would do to our targets, held against the ledger. Asks the ledger only: no cloud, no cluster.

use super::load::recorded;
use super::{Ctx, FlowError};
use crate::iac::{self, After, Effect, Named, Object, Place, Planned};
use crate::model::lookup::LookupError;
use crate::model::{
    Accepts, Channel, Digest, ImageKey, ImageRef, ImageSelector, Lookup, Observed, RecordedTarget, Region, SlotImage,
    SlotState, TargetId, ViewError,
};
use crate::plan::guard::{Proposal, Proposed, Ruling};
use crate::plan::{self, Snapshot};
use crate::provider::state::StateSource;
use crate::provider::target::Handle;
use std::collections::BTreeMap;

/// Everything that these plans and manifests would do.
pub async fn read_plans(sources: &[Box<dyn StateSource>]) -> Result<Vec<Planned>, FlowError> {
    let mut planned = Vec::new();
    for source in sources {
        let bytes = source.fetch().await?;
        planned.extend(iac::read_planned(source.name(), &bytes)?);
    }
    Ok(planned)
}

/// What came of guarding.
#[derive(Debug, Clone, Default)]
pub struct Guarded {
    pub rulings: Vec<Ruling>,
    /// Targets that cannot be found in a plan, because neither the config nor the ledger tells what code calls them.
    pub unguarded: Vec<TargetId>,
}

/// The rulings on all that is planned for the targets of the config. `strict`: what cannot be known is refused.
pub fn guard(ctx: &Ctx<'_>, planned: &[Planned], strict: bool) -> Result<Guarded, FlowError> {
    let mut proposals = Vec::new();
    let mut unguarded = Vec::new();
    for (channel, spec) in ctx.channels {
        for target in &spec.targets {
            let recorded = Lookup(&*ctx.store.view()?).target(target)?;
            let observed = recorded.as_ref().map(as_recorded);
            let Some(handle) = ctx.fleet.target(target).and_then(|target| target.handle(observed.as_ref())) else {
                unguarded.push(target.clone());
                continue;
            };
            for Effect { claim, slot, after } in iac::planned_for(planned, &object(&handle)) {
                proposals.push(Proposal {
                    channel: channel.clone(),
                    target: target.to_string(),
                    slot,
                    source: claim.source,
                    address: claim.address,
                    after: proposed(ctx, channel, after)?,
                    recorded: recorded.clone(),
                    is_first: is_first(ctx, channel)?,
                });
            }
        }
    }
    for follower in ctx.pointers {
        let Some((name, place)) =
            follower.pointer.as_ref().ok().and_then(|each| Some((each.parameter()?, each.place())))
        else {
            continue;
        };
        let region = Place { account: None, region: follower.wants.region.clone() };
        let parameter = Object { place: region, named: Named::Parameter { name } };
        for Effect { claim, slot, after } in iac::planned_for(planned, &parameter) {
            proposals.push(Proposal {
                channel: follower.channel.clone(),
                target: place.clone(),
                slot,
                source: claim.source,
                address: claim.address,
                after: proposed(ctx, &follower.channel, after)?,
                recorded: None,
                is_first: is_first(ctx, &follower.channel)?,
            });
        }
    }
    Ok(Guarded { rulings: plan::guard(&proposals, strict), unguarded })
}

/// The target as the ledger left it: enough for it to say what code calls it, without asking anybody.
fn as_recorded(recorded: &RecordedTarget) -> Observed {
    let state = |image: &ImageRef| {
        let accepts = match image {
            ImageRef::Ami { region, .. } => Accepts::Ami { region: region.clone(), arch: None },
            ImageRef::Oci { repository, .. } => Accepts::Oci { repository: repository.clone() },
        };
        SlotState { image: SlotImage::Pinned { image: image.clone() }, accepts }
    };
    Observed {
        revision: recorded.revision.clone(),
        slots: recorded.slots.iter().map(|(slot, image)| (slot.clone(), state(image))).collect(),
        running: BTreeMap::new(),
        desired: 0,
        deployment: None,
        obstacles: Vec::new(),
        notes: Vec::new(),
    }
}

/// A target as it is looked for in the code.
fn object(handle: &Handle) -> Object<'_> {
    let place = |region: &Region| Place { account: None, region: Some(region.clone()) };
    match handle {
        Handle::AutoScalingGroup { name, region, templates } => {
            Object { place: place(region), named: Named::Group { name, templates } }
        }
        Handle::EcsService { cluster, service, region, container, family } => {
            Object { place: place(region), named: Named::Service { cluster, name: service, container, family } }
        }
        Handle::LaunchTemplate { id, region, slot } => {
            Object { place: place(region), named: Named::Template { id, slot } }
        }
        Handle::Workload { kind, namespace, name, containers } => {
            Object { place: Place::default(), named: Named::Workload { kind, namespace, name, containers } }
        }
    }
}

/// What the ledger knows of the image that a target would have.
fn proposed(ctx: &Ctx<'_>, channel: &Channel, after: After) -> Result<Proposed, FlowError> {
    let text = match after {
        After::Image(text) => text,
        After::Unknown { why } => return Ok(Proposed::Unknown { why }),
        After::Deleted => return Ok(Proposed::Deleted),
    };
    let keys = match versions(Lookup(&*ctx.store.view()?), &text)? {
        Some(keys) => keys,
        None => return Ok(Proposed::Unpinned { why: format!("`{text}` names no digest"), text }),
    };
    let mut versions: BTreeMap<ImageKey, Snapshot> = BTreeMap::new();
    for key in keys {
        let snapshot = recorded(ctx, channel, ctx.channel(channel)?, Some(&key))?;
        versions.insert(key, snapshot);
    }
    Ok(Proposed::Image { text, versions })
}

/// Whether nothing was ever released on the channel.
fn is_first(ctx: &Ctx<'_>, channel: &Channel) -> Result<bool, FlowError> {
    Ok(Lookup(&*ctx.store.view()?).channel(channel)?.current.is_none())
}

/// The images of the ledger that this text is an address of; `None`: it is a name that moves.
fn versions(look: Lookup<'_>, text: &str) -> Result<Option<Vec<ImageKey>>, ViewError> {
    if let Some((_, digest)) = text.split_once('@') {
        // The bytes decide: a copy in another repository is the same image.
        return digest.parse::<Digest>().ok().map(|digest| look.at_address(digest.as_str())).transpose();
    }
    let Ok(selector @ ImageSelector::Ami(_)) = text.parse() else { return Ok(None) };
    let wanted = |key: &ImageKey| -> Result<bool, ViewError> {
        let is_it = |address: ImageRef| matches!(address, ImageRef::Ami { id, .. } if id.as_str() == text);
        Ok(look.image(key)?.is_some_and(|record| record.image.addresses().any(is_it)))
    };
    let found = match look.resolve(&selector) {
        Ok(record) => vec![record.image.key],
        Err(LookupError::Ambiguous { matches, .. }) => matches,
        Err(LookupError::NotFound { .. }) => Vec::new(),
        Err(LookupError::View(error)) => return Err(error),
    };
    // A prefix of an id is an id for a person; code has to say the whole of it.
    let mut keys = Vec::new();
    for key in found {
        if wanted(&key)? {
            keys.push(key);
        }
    }
    Ok(Some(keys))
}
