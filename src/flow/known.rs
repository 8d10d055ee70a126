//! Known: a container image that is seen under another digest of its own is the image that the ledger knows.
//!
//! A runtime tells the digest of the index or that of the platform it runs on; a person pins either. An index equals its
//! children: what is compared from here on is the address under which the image was recorded.

use super::{Ctx, FlowError};
use crate::model::{Artifact, ImageRef, Lookup, Observed, RecordedTarget, SlotImage, TargetId, ViewError};
use crate::provider::target::TargetError;
use std::collections::{BTreeMap, BTreeSet};

/// Puts the ledger's own addresses into what was observed, in one view of the ledger.
pub(super) fn recognise(
    ctx: &Ctx<'_>,
    seen: &mut BTreeMap<TargetId, Result<Observed, TargetError>>,
) -> Result<(), FlowError> {
    let view = ctx.store.view()?;
    let look = Lookup(&*view);
    for (id, observed) in seen {
        if let Ok(observed) = observed.as_mut() {
            put_addresses(look, look.target(id)?.as_ref(), observed)?;
        }
    }
    Ok(())
}

fn put_addresses(
    look: Lookup<'_>,
    recorded: Option<&RecordedTarget>,
    observed: &mut Observed,
) -> Result<(), ViewError> {
    let held: BTreeSet<&ImageRef> = recorded.iter().flat_map(|recorded| recorded.slots.values()).collect();
    for state in observed.slots.values_mut() {
        let (SlotImage::Pinned { image } | SlotImage::Floating { now: Some(image), .. }) = &mut state.image else {
            continue;
        };
        *image = address_of(look, &held, image)?;
    }
    let mut running = BTreeMap::new();
    for (image, count) in &observed.running {
        *running.entry(address_of(look, &held, image)?).or_insert(0) += count;
    }
    observed.running = running;
    Ok(())
}

/// The address of the image that has this digest: the one that is recorded there, else the digest's own, else the first
/// in the order of addresses. Two indexes may share a platform.
pub(super) fn address_of(
    look: Lookup<'_>,
    held: &BTreeSet<&ImageRef>,
    image: &ImageRef,
) -> Result<ImageRef, ViewError> {
    let ImageRef::Oci { repository, digest } = image else { return Ok(image.clone()) };
    if held.contains(image) {
        return Ok(image.clone());
    }
    let mut same = BTreeSet::new();
    for key in look.at_address(digest.as_str())? {
        let artifacts = look.image(&key)?.map(|record| record.image.artifacts).unwrap_or_default();
        let is_it = |artifact: &&Artifact| {
            matches!(artifact, Artifact::Oci(oci) if oci.repository == *repository)
                && artifact.digests().contains(digest)
        };
        same.extend(artifacts.iter().filter(is_it).map(Artifact::address));
    }
    let found =
        same.iter().find(|address| held.contains(*address)).or_else(|| same.get(image)).or_else(|| same.first());
    Ok(found.unwrap_or(image).clone())
}
