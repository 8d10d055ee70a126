//! Guard: would this Terraform plan, or this manifest, undo what the ledger says?

use super::promote::forbidden;
use super::rules;
use super::{BlockerKind, Snapshot};
use crate::model::{Channel, ImageKey, ImageRef, RecordedTarget, SlotName};
use serde::Serialize;
use std::collections::BTreeMap;

/// One thing that an apply would do to a target of ours.
#[derive(Debug, Clone)]
pub struct Proposal {
    pub channel: Channel,
    /// A target's id, or a pointer's place.
    pub target: String,
    /// `None`: it concerns the whole target.
    pub slot: Option<SlotName>,
    /// The plan's file, and the resource's address in it.
    pub source: String,
    pub address: String,
    pub after: Proposed,
    /// What the ledger says runs there now.
    pub recorded: Option<RecordedTarget>,
}

/// What the target would have.
#[derive(Debug, Clone)]
pub enum Proposed {
    /// This image, in the code's words. `versions`: what it is in the ledger, each with all that the ledger says about it
    /// and the channel; empty: it was never recorded.
    Image {
        text: String,
        versions: BTreeMap<ImageKey, Snapshot>,
    },
    /// A name that moves: nobody can say which image it will be.
    Unpinned {
        text: String,
        why: String,
    },
    Unknown {
        why: String,
    },
    Deleted,
}

/// What is to be said about one proposal. Sorted by verdict, channel, target and slot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Ruling {
    pub verdict: Verdict,
    pub channel: Channel,
    /// A target's id, or a pointer's place.
    pub target: String,
    pub slot: Option<SlotName>,
    pub kind: RulingKind,
    /// The resource, as Terraform or kubectl names it.
    pub address: String,
    /// The plan's file.
    pub source: String,
    /// The image that the target would have, in the code's words.
    pub image: Option<String>,
    /// What that image is in the ledger.
    pub version: Option<ImageKey>,
    /// What would happen, and what the ledger says about it, in one sentence.
    pub detail: String,
    /// What to type next.
    pub remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Refused,
    Warning,
    Passed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RulingKind {
    /// The ledger keeps this image out.
    Rejected,
    /// The channel is held on another image.
    Held,
    /// Another rule of the channel keeps it from being promoted now.
    Barred,
    /// A rollout of the channel has not finished.
    Unfinished,
    /// The ledger has never seen this image.
    Unrecorded,
    /// It is in the ledger, and was not promoted here.
    Unpromoted,
    /// A tag or a name that moves.
    Unpinned,
    /// Known only after the apply.
    Unknown,
    /// The target, or the template that it launches from, would be taken away.
    Deleted,
    /// What the ledger has released there.
    Released,
}

/// What is to be said of these proposals. `strict`: what cannot be known is refused.
pub fn guard(proposals: &[Proposal], strict: bool) -> Vec<Ruling> {
    let mut rulings: Vec<Ruling> = proposals.iter().flat_map(|proposal| judge(proposal, strict)).collect();
    rulings.sort();
    rulings.dedup();
    rulings
}

fn judge(proposal: &Proposal, strict: bool) -> Vec<Ruling> {
    let unknown = if strict { Verdict::Refused } else { Verdict::Warning };
    let Proposal { channel, target, .. } = proposal;
    match &proposal.after {
        Proposed::Image { text, versions } if versions.is_empty() => {
            let detail = format!("{text} is not in the ledger");
            let remedy = format!(
                "imgctl record {0}@VERSION {text}, then: imgctl promote {0}@VERSION {1}",
                channel.name, channel.env
            );
            vec![ruling(proposal, Verdict::Refused, RulingKind::Unrecorded, detail, Some(remedy)).of(text, None)]
        }
        Proposed::Image { text, versions } => known(proposal, text, versions),
        Proposed::Unpinned { text, why } => {
            let detail = format!("{why}: nobody can say which image it will be");
            vec![ruling(proposal, Verdict::Refused, RulingKind::Unpinned, detail, restate(proposal)).of(text, None)]
        }
        Proposed::Unknown { why } => {
            let detail = format!("which image it would have cannot be said: {why}");
            let remedy = format!("after the apply: imgctl drift {channel}");
            vec![ruling(proposal, unknown, RulingKind::Unknown, detail, Some(remedy))]
        }
        Proposed::Deleted => {
            let detail = match &proposal.slot {
                Some(slot) => format!("what {slot} of {target} launches from would be deleted"),
                None => format!("{target} would be deleted, and imgctl.toml has it for {channel}"),
            };
            let remedy = format!("if that is meant: take `{target}` out of imgctl.toml");
            vec![ruling(proposal, Verdict::Warning, RulingKind::Deleted, detail, Some(remedy))]
        }
    }
}

/// An image of the ledger. One address may be several versions: if one of them may be there, it may.
fn known(proposal: &Proposal, text: &str, versions: &BTreeMap<ImageKey, Snapshot>) -> Vec<Ruling> {
    let mut against = Vec::new();
    for (key, snapshot) in versions {
        let rulings = against_version(proposal, key, snapshot);
        if rulings.is_empty() {
            let detail = format!("it is {key}, as released");
            return vec![ruling(proposal, Verdict::Passed, RulingKind::Released, detail, None).of(text, Some(key))];
        }
        against.push(rulings.into_iter().map(|ruling| ruling.of(text, Some(key))).collect());
    }
    against.into_iter().next().unwrap_or_default()
}

/// All that keeps this image out of the target.
fn against_version(proposal: &Proposal, key: &ImageKey, snapshot: &Snapshot) -> Vec<Ruling> {
    let current = snapshot.state.image();
    let here = proposal.recorded.as_ref().map(|recorded| &recorded.image);
    // While a rollout moves targets one by one, each is where it was put, and not yet where the channel is.
    let released = here == Some(key) || (current == Some(key) && snapshot.open.is_none());
    let mut blockers = forbidden(snapshot, key, released || current == Some(key));
    if !released {
        blockers.extend(rules::against(snapshot, key));
    }
    let mut rulings = Vec::new();
    for blocker in blockers {
        let kind = match blocker.kind {
            // Targets are not asked here.
            BlockerKind::NoTargets => continue,
            BlockerKind::Rejected => RulingKind::Rejected,
            _ if released => continue,
            BlockerKind::Held => RulingKind::Held,
            BlockerKind::Unfinished => RulingKind::Unfinished,
            _ => RulingKind::Barred,
        };
        let detail = format!("it is {key}; {} {}", blocker.subject, blocker.what);
        let remedy = restate(proposal).map_or_else(|| blocker.fix.clone(), |way| format!("{way}; or: {}", blocker.fix));
        rulings.push(ruling(proposal, Verdict::Refused, kind, detail, Some(remedy)));
    }
    if rulings.is_empty() && !released {
        let at = here.or(current).map_or_else(|| "has no release".to_owned(), |image| format!("is at {image}"));
        let detail = format!("it is {key}, which was not promoted to {}: that {at}", proposal.channel);
        let remedy = format!("imgctl promote {key} {}", proposal.channel.env);
        rulings.push(ruling(proposal, Verdict::Refused, RulingKind::Unpromoted, detail, Some(remedy)));
    }
    rulings
}

/// What the code would have to say to be right.
fn restate(proposal: &Proposal) -> Option<String> {
    let recorded = proposal.recorded.as_ref()?;
    let image = match &proposal.slot {
        Some(slot) => recorded.slots.get(slot),
        None => None,
    };
    let image = image.or_else(|| recorded.slots.values().next())?;
    // As code writes it: an AMI's id is enough where the region is known.
    let said = match image {
        ImageRef::Ami { id, .. } => id.to_string(),
        ImageRef::Oci { .. } => image.to_string(),
    };
    Some(format!("let the code say what {} is: {said}", recorded.image))
}

fn ruling(proposal: &Proposal, verdict: Verdict, kind: RulingKind, detail: String, remedy: Option<String>) -> Ruling {
    let Proposal { channel, target, slot, source, address, .. } = proposal.clone();
    Ruling { verdict, channel, target, slot, kind, address, source, image: None, version: None, detail, remedy }
}

impl Ruling {
    fn of(self, text: &str, version: Option<&ImageKey>) -> Self {
        Self { image: Some(text.to_owned()), version: version.cloned(), ..self }
    }
}
