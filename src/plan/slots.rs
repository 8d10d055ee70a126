//! What a target needs so that it runs an image: which artifact for which slot, and what stands in the way.

use super::{Blocker, BlockerKind, Fitness, Sight, Snapshot, TargetView};
use crate::model::{
    Accepts, Artifact, Cause, Image, ImageKey, ImageRef, Observed, SlotChange, SlotImage, SlotName, SlotState, Step,
    TargetId,
};
use std::collections::BTreeMap;

/// The artifacts of `image` that this slot can take: more than one where its architecture is not known.
fn artifacts_for<'a>(image: &'a Image, accepts: &'a Accepts) -> impl Iterator<Item = &'a Artifact> {
    image.artifacts.iter().filter(move |artifact| match (artifact, accepts) {
        (Artifact::Ami(ami), Accepts::Ami { region, arch }) => {
            ami.region == *region && arch.as_ref().is_none_or(|arch| *arch == ami.arch)
        }
        (Artifact::Oci(oci), Accepts::Oci { repository }) => oci.repository == *repository,
        _ => false,
    })
}

/// What the image has instead: a wrong region and a wrong architecture need different cures.
fn has_instead(image: &Image) -> String {
    let words = image.artifacts.iter().map(|artifact| match artifact {
        Artifact::Ami(ami) => format!("{} in {}", ami.arch, ami.region),
        Artifact::Oci(oci) => oci.repository.to_string(),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// What to do about one target.
pub(super) enum Need {
    /// It runs the image, is configured with it, and nothing is under way. `unrecorded`: the ledger does not say so yet.
    Settled {
        unrecorded: bool,
        wanted: BTreeMap<SlotName, SlotChange>,
    },
    Step {
        wanted: BTreeMap<SlotName, SlotChange>,
        notes: Vec<String>,
    },
    /// `wanted`: what it would hold, for the slots where that can be said.
    Blocked {
        blockers: Vec<Blocker>,
        wanted: BTreeMap<SlotName, SlotChange>,
    },
}

/// Decides what one target needs to run `image`.
pub(super) fn need(snapshot: &Snapshot, id: &TargetId, view: &TargetView, image: &Image) -> Need {
    let observed = match &view.sight {
        Sight::Seen(observed) => observed,
        Sight::Gone { why, fix } => {
            return blocked(Blocker::new(BlockerKind::Gone, id, why, fix));
        }
        Sight::Dangling { why, fix } => {
            return blocked(Blocker::new(BlockerKind::Obstacle, id, why, fix));
        }
        Sight::Unreachable { why, fix } => {
            return blocked(Blocker::new(BlockerKind::Unknown, id, why, fix));
        }
    };
    let (wanted, mut blockers) = changes(snapshot, id, observed, image);
    if blockers.is_empty() && is_settled(observed, &wanted) {
        let recorded = view.recorded.as_ref();
        let unrecorded =
            recorded.is_none_or(|recorded| recorded.image != image.key || !agrees(&recorded.slots, &wanted));
        return Need::Settled { unrecorded, wanted };
    }
    for obstacle in &observed.obstacles {
        blockers.push(Blocker::new(BlockerKind::Obstacle, id, &obstacle.what, &obstacle.fix));
    }
    if blockers.is_empty() { Need::Step { wanted, notes: notes(observed) } } else { Need::Blocked { blockers, wanted } }
}

fn blocked(blocker: Blocker) -> Need {
    Need::Blocked { blockers: vec![blocker], wanted: BTreeMap::new() }
}

/// For every slot the artifact it shall hold, and a blocker for every slot that cannot have one.
fn changes(
    snapshot: &Snapshot,
    id: &TargetId,
    observed: &Observed,
    image: &Image,
) -> (BTreeMap<SlotName, SlotChange>, Vec<Blocker>) {
    let mut wanted = BTreeMap::new();
    let mut blockers = Vec::new();
    for (slot, state) in &observed.slots {
        let mut artifacts = artifacts_for(image, &state.accepts);
        let artifact = match (artifacts.next(), artifacts.next()) {
            (Some(artifact), None) => artifact,
            (Some(_), Some(_)) => {
                let takes = format!("slot {slot} takes {} of an architecture that nothing tells", state.accepts);
                let what = format!("{takes}, and {} has {}", image.key, has_instead(image));
                let fix = "give it an instance type, or an image that is still there, which tells the architecture";
                blockers.push(Blocker::new(BlockerKind::NoArtifact, id, what, fix));
                continue;
            }
            (None, _) => {
                let what =
                    format!("slot {slot} takes {}, and {} has only {}", state.accepts, image.key, has_instead(image));
                let fix = format!("imgctl record {} with an artifact for it", image.key);
                blockers.push(Blocker::new(BlockerKind::NoArtifact, id, what, fix));
                continue;
            }
        };
        let to = artifact.address();
        blockers.extend(snapshot.fitness.get(&to).and_then(|fitness| unfit(&image.key, &to, fitness)));
        wanted.insert(slot.clone(), SlotChange { from: Some(describe(state)), to });
    }
    (wanted, blockers)
}

/// Why nothing moves to this address.
pub(super) fn unfit(image: &ImageKey, address: &ImageRef, fitness: &Fitness) -> Option<Blocker> {
    match fitness {
        Fitness::Unfit { why } => {
            let fix = "promote an image that can be launched, or make this one available again";
            Some(Blocker::new(BlockerKind::Unfit, image, format!("{}: {why}", address.short()), fix))
        }
        Fitness::Unknown { why } => {
            let what = format!("{} could not be checked: {why}", address.short());
            let fix = "try again: nothing moves to an image that may not be there";
            Some(Blocker::new(BlockerKind::Unknown, image, what, fix))
        }
        Fitness::Fit | Fitness::Deprecated { .. } => None,
    }
}

/// The image of a slot in words a person compares.
fn describe(state: &SlotState) -> String {
    match &state.image {
        SlotImage::Pinned { image } => image.short(),
        SlotImage::Floating { through, now: Some(now) } => format!("{through} → {}", now.short()),
        SlotImage::Floating { through, now: None } => through.clone(),
    }
}

fn agrees(slots: &BTreeMap<SlotName, ImageRef>, wanted: &BTreeMap<SlotName, SlotChange>) -> bool {
    slots.len() == wanted.len() && wanted.iter().all(|(slot, change)| slots.get(slot) == Some(&change.to))
}

/// Configured, running and at rest.
pub fn is_settled(observed: &Observed, wanted: &BTreeMap<SlotName, SlotChange>) -> bool {
    let pinned = observed.slots.iter().all(|(slot, state)| match &state.image {
        SlotImage::Pinned { image } => wanted.get(slot).is_some_and(|change| change.to == *image),
        SlotImage::Floating { .. } => false,
    });
    pinned && runs_only(observed, wanted) && !observed.deployment.as_ref().is_some_and(|d| d.is_active())
}

/// Every instance the platform wants runs one of the wanted images.
fn runs_only(observed: &Observed, wanted: &BTreeMap<SlotName, SlotChange>) -> bool {
    let right = |image: &ImageRef| wanted.values().any(|change| change.to == *image);
    let count: u32 = observed.running.values().sum();
    observed.running.keys().all(right) && count >= observed.desired
}

fn notes(observed: &Observed) -> Vec<String> {
    let mut notes = observed.notes.clone();
    for state in observed.slots.values() {
        let SlotImage::Floating { through, .. } = &state.image else { continue };
        notes.push(match &state.accepts {
            Accepts::Ami { .. } => {
                format!("is at {through}: pinned to its current number first, so that it can be rolled back")
            }
            Accepts::Oci { .. } => format!("is at {through}, which can lead elsewhere: by its digest from here on"),
        });
    }
    notes.dedup();
    notes
}

/// A step of the plan for one target. A rollback goes everywhere at once: waves are for what is not trusted yet.
pub(super) fn step(
    cause: &Cause,
    number: usize,
    id: &TargetId,
    view: &TargetView,
    slots: BTreeMap<SlotName, SlotChange>,
    notes: Vec<String>,
) -> Option<Step> {
    let Sight::Seen(observed) = &view.sight else { return None };
    Some(Step {
        number: u32::try_from(number).ok()?,
        target: id.clone(),
        wave: if matches!(cause, Cause::Promote) { view.wave } else { 1 },
        slots,
        expect: observed.revision.clone(),
        exact: None,
        interrupts: observed.deployment.as_ref().filter(|d| d.is_active()).map(|d| d.id.clone()),
        notes,
    })
}
