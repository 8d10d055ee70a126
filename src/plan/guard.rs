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
    /// Nothing was ever released on the channel: code puts the first image there, before imgctl takes over.
    pub is_first: bool,
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

/// What is to be said of these proposals. `strict`: what cannot be known is refused, and so is an image that comes before
/// the channel's first release.
pub fn guard(proposals: &[Proposal], strict: bool) -> Vec<Ruling> {
    let mut rulings: Vec<Ruling> = proposals.iter().flat_map(|proposal| judge(proposal, strict)).collect();
    rulings.sort();
    rulings.dedup();
    rulings
}

fn judge(proposal: &Proposal, strict: bool) -> Vec<Ruling> {
    let unless_strict = |lenient| if lenient && !strict { Verdict::Warning } else { Verdict::Refused };
    let (unknown, first) = (unless_strict(true), unless_strict(proposal.is_first));
    let Proposal { channel, target, .. } = proposal;
    match &proposal.after {
        Proposed::Image { text, versions } if versions.is_empty() => {
            let detail = format!("{text} is not in the ledger");
            let remedy = format!(
                "imgctl record {0}@VERSION {text}, then: imgctl promote {0}@VERSION {1}",
                channel.name, channel.env
            );
            vec![ruling(proposal, first, RulingKind::Unrecorded, detail, Some(remedy)).of(text, None)]
        }
        Proposed::Image { text, versions } => known(proposal, text, versions, first),
        Proposed::Unpinned { text, why } => {
            let detail = format!("{why}: nobody can say which image it will be");
            vec![ruling(proposal, first, RulingKind::Unpinned, detail, restate(proposal)).of(text, None)]
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
fn known(proposal: &Proposal, text: &str, versions: &BTreeMap<ImageKey, Snapshot>, first: Verdict) -> Vec<Ruling> {
    let mut against = Vec::new();
    for (key, snapshot) in versions {
        let rulings = against_version(proposal, key, snapshot, first);
        if rulings.is_empty() {
            let detail = format!("it is {key}, as released");
            return vec![ruling(proposal, Verdict::Passed, RulingKind::Released, detail, None).of(text, Some(key))];
        }
        against.push(rulings.into_iter().map(|ruling| ruling.of(text, Some(key))).collect());
    }
    against.into_iter().next().unwrap_or_default()
}

/// All that keeps this image out of the target.
fn against_version(proposal: &Proposal, key: &ImageKey, snapshot: &Snapshot, first: Verdict) -> Vec<Ruling> {
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
        rulings.push(ruling(proposal, first, RulingKind::Unpromoted, detail, Some(remedy)));
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

#[cfg(test)]
mod tests {
    use super::super::world::World;
    use super::*;

    fn key(text: &str) -> ImageKey {
        text.parse().unwrap()
    }

    /// What an apply would do to target a of this world, or to a pointer.
    fn proposal(world: &str, after: Proposed, target: &str) -> Proposal {
        let targets = World::parse(world).snapshot().targets;
        let recorded = targets.into_values().next().and_then(|target| target.recorded);
        let slot = (target == TARGET).then(|| "template".parse().unwrap());
        Proposal {
            channel: "web/prod".parse().unwrap(),
            recorded: recorded.filter(|_| slot.is_some()),
            target: target.to_owned(),
            slot,
            source: "plan.json".into(),
            address: "aws_launch_template.web".into(),
            after,
            is_first: !world.contains("current"),
        }
    }

    const TARGET: &str = "a";

    /// An image that is, by its address, these versions of the world.
    fn image(world: &str, versions: &[&str]) -> Proposed {
        let snapshot = World::parse(world).snapshot();
        let versions = versions.iter().map(|version| (key(version), snapshot.clone())).collect();
        Proposed::Image { text: "ami-2".into(), versions }
    }

    /// One line a ruling: what it is, and what is said.
    fn said(proposal: &Proposal, strict: bool) -> Vec<String> {
        let line = |ruling: Ruling| format!("{:?} {:?}: {}", ruling.verdict, ruling.kind, ruling.detail);
        guard(std::slice::from_ref(proposal), strict).into_iter().map(line).collect()
    }

    #[track_caller]
    fn check(world: &str, versions: &[&str], expected: &[&str]) {
        assert_eq!(said(&proposal(world, image(world, versions), TARGET), false), expected);
    }

    const WORLD: &str = "web@1 = ami-1; web@2 = ami-2; current web@1; target a: ami-1 recorded web@1";

    #[test]
    fn only_what_was_released_there_passes() {
        check(WORLD, &["web@1"], &["Passed Released: it is web@1, as released"]);
        check(WORLD, &[], &["Refused Unrecorded: ami-2 is not in the ledger"]);
        check(
            WORLD,
            &["web@2"],
            &["Refused Unpromoted: it is web@2, which was not promoted to web/prod: that is at web@1"],
        );
        check(
            "web@2 = ami-2; target a: ami-1",
            &["web@2"],
            &["Warning Unpromoted: it is web@2, which was not promoted to web/prod: that has no release"],
        );
    }

    #[test]
    fn the_first_image_of_a_channel_is_a_warning_unless_it_is_rejected() {
        let world = "web@2 = ami-2; target a: ami-1";
        let ruled = |world: &str, versions: &[&str], strict| {
            let rulings = guard(&[proposal(world, image(world, versions), TARGET)], strict);
            rulings.into_iter().map(|ruling| ruling.verdict).collect::<Vec<_>>()
        };
        assert_eq!(ruled(world, &["web@2"], false), [Verdict::Warning]);
        assert_eq!(ruled(world, &[], false), [Verdict::Warning]);
        assert_eq!(ruled(world, &["web@2"], true), [Verdict::Refused]);
        assert_eq!(ruled(&format!("{world}; reject web@2"), &["web@2"], false), [Verdict::Refused]);
    }

    #[test]
    fn a_rejected_image_is_refused_also_where_it_runs() {
        let rejected = "it is web@1; web@1 is rejected in web/prod since entry 6 (ana): told so";
        check(&format!("{WORLD}; reject web@1"), &["web@1"], &[&format!("Refused Rejected: {rejected}")]);
    }

    #[test]
    fn all_that_keeps_an_image_out_is_said_at_once() {
        check(
            &format!("{WORLD}; hold; reject web@2"),
            &["web@2"],
            &[
                "Refused Rejected: it is web@2; web@2 is rejected in web/prod since entry 6 (ana): told so",
                "Refused Held: it is web@2; web/prod is held since entry 5 (ana): told so",
            ],
        );
    }

    #[test]
    fn a_hold_and_an_open_rollout_do_not_keep_out_what_is_there() {
        check(&format!("{WORLD}; hold"), &["web@1"], &["Passed Released: it is web@1, as released"]);
        // Half way through, the first target has the new image, and the others the old one.
        let half = "web@1 = ami-1; web@2 = ami-2; current web@1; open web@2; target a: ami-2 recorded web@2";
        check(half, &["web@2"], &["Passed Released: it is web@2, as released"]);
        let kinds: Vec<RulingKind> = guard(&[proposal(half, image(half, &["web@1"]), TARGET)], false)
            .into_iter()
            .map(|ruling| ruling.kind)
            .collect();
        assert_eq!(kinds, [RulingKind::Unfinished]);
    }

    #[test]
    fn one_address_that_is_several_versions_passes_with_one_of_them() {
        let world = "web@1 = ami-1; web@2 = ami-1; current web@1; target a: ami-1 recorded web@1";
        check(world, &["web@1", "web@2"], &["Passed Released: it is web@1, as released"]);
        check(&format!("{world}; reject web@2"), &["web@1", "web@2"], &["Passed Released: it is web@1, as released"]);
    }

    #[test]
    fn what_cannot_be_known_warns_or_is_refused_and_what_moves_is_refused() {
        let unknown = || Proposed::Unknown { why: "its `image_id` is known only after the apply".into() };
        let why = "which image it would have cannot be said: its `image_id` is known only after the apply";
        assert_eq!(said(&proposal(WORLD, unknown(), TARGET), false), [format!("Warning Unknown: {why}")]);
        assert_eq!(said(&proposal(WORLD, unknown(), TARGET), true), [format!("Refused Unknown: {why}")]);
        let moving = Proposed::Unpinned { text: "web:1".into(), why: "`web:1` names no digest".into() };
        assert_eq!(
            said(&proposal(WORLD, moving, TARGET), false),
            ["Refused Unpinned: `web:1` names no digest: nobody can say which image it will be"]
        );
        assert_eq!(
            said(&proposal(WORLD, Proposed::Deleted, TARGET), true),
            ["Warning Deleted: what template of a launches from would be deleted"]
        );
    }

    #[test]
    fn a_pointer_is_where_its_channel_is() {
        let of =
            |version: &str| guard(&[proposal(WORLD, image(WORLD, &[version]), "SSM parameter /p")], false).remove(0);
        assert_eq!(of("web@1").kind, RulingKind::Released);
        let refused = of("web@2");
        assert_eq!((refused.verdict, refused.kind), (Verdict::Refused, RulingKind::Unpromoted));
    }

    #[test]
    fn each_ruling_is_said_once_and_refusals_first() {
        let warned = proposal(WORLD, Proposed::Deleted, TARGET);
        let refused = proposal(WORLD, image(WORLD, &[]), TARGET);
        let rulings = guard(&[warned.clone(), refused.clone(), warned, refused], false);
        let verdicts: Vec<Verdict> = rulings.iter().map(|ruling| ruling.verdict).collect();
        assert_eq!(verdicts, [Verdict::Refused, Verdict::Warning]);
    }

    #[test]
    fn what_to_type_next_is_always_said_of_a_refusal() {
        let refusals = [
            proposal(WORLD, image(WORLD, &[]), TARGET),
            proposal(WORLD, image(WORLD, &["web@2"]), TARGET),
            proposal(WORLD, Proposed::Unpinned { text: "x:1".into(), why: "it moves".into() }, TARGET),
        ];
        for ruling in guard(&refusals, true) {
            assert!(ruling.remedy.is_some(), "{ruling:?}");
        }
    }
}
