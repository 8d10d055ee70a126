//! Rollback: which release is underneath, and is it fit to return to.

use super::promote::add_steps;
use super::rules;
use super::slots::{Need, need};
use super::{Blocker, BlockerKind, Fitness, Plan, Sight, Snapshot};
use crate::model::{Cause, Image, ImageKey, Release, Revision, Seq, TargetId};
use std::collections::BTreeMap;

/// What the person asked for.
#[derive(Debug, Clone, Default)]
pub struct Back {
    /// This version, instead of the nearest fit release underneath.
    pub to: Option<ImageKey>,
    /// Below the release that an earlier rollback already returned to.
    pub further: bool,
    /// Target → the very revision that the release was recorded with.
    pub exact: Option<BTreeMap<TargetId, Revision>>,
    /// Begun by imgctl itself, because this rollout failed.
    pub automatic: bool,
}

/// Where to go, and what is left behind.
struct Way {
    depth: u64,
    image: ImageKey,
    leaves: Option<ImageKey>,
    of: Option<Seq>,
    skipped: Vec<String>,
}

/// The plan that returns every target of the channel to a release underneath.
pub fn rollback(snapshot: &Snapshot, back: &Back) -> Plan {
    let from = snapshot.state.current.as_ref().map(|release| release.image.clone());
    let mut plan = Plan {
        base: snapshot.base,
        channel: snapshot.channel.clone(),
        image: None,
        from,
        cause: Cause::Rollback { of: None, depth: 0, leaves: None, automatic: back.automatic },
        steps: Vec::new(),
        barred: Vec::new(),
        settled: Vec::new(),
        blockers: Vec::new(),
        overridden: Vec::new(),
        notes: Vec::new(),
        done: false,
    };
    match way(snapshot, back) {
        Err(blocker) => plan.blockers.push(blocker),
        Ok(way) => {
            plan.notes.extend(way.skipped);
            add_steps(&mut plan, snapshot, &way.image);
            plan.done =
                snapshot.open.is_none() && plan.from.as_ref() == Some(&way.image) && way.depth == snapshot.state.depth;
            plan.image = Some(way.image);
            plan.cause =
                Cause::Rollback { of: way.of, depth: way.depth, leaves: way.leaves, automatic: back.automatic };
            if !back.automatic && !plan.done {
                plan.blockers.extend(rules::against_rollback(snapshot));
            }
            make_exact(&mut plan, back);
            warn_of_strangers(&mut plan, snapshot);
        }
    }
    plan.sorted()
}

/// Which release to return to.
fn way(snapshot: &Snapshot, back: &Back) -> Result<Way, Blocker> {
    let state = &snapshot.state;
    let open = snapshot.open.as_ref();
    let leaves = open.map(|open| open.image.clone()).or_else(|| state.current.as_ref().map(|now| now.image.clone()));
    let of = open.map(|open| open.id).or_else(|| state.current.as_ref().map(|now| now.rollout));
    if let Some(open) = open.filter(|open| matches!(open.cause, Cause::Rollback { .. }) && back.to.is_none()) {
        let what = format!("rollback {} to {} has not finished", open.id, open.image);
        return Err(Blocker::new(
            BlockerKind::Unfinished,
            &snapshot.channel,
            what,
            format!("imgctl resume {}", open.id),
        ));
    }
    // Run again after a rollback, the word means the same as before: stay on the release it returned to.
    let stays = open.is_none() && !back.further && returned(snapshot);
    if let Some(wanted) = &back.to {
        return named(snapshot, wanted, leaves, of);
    }
    if let Some((deepest, leaves, of)) = undone(snapshot, back) {
        return nearest(snapshot, deepest, leaves, of);
    }
    if stays && let Some(current) = &state.current {
        return Ok(Way { depth: state.depth, image: current.image.clone(), leaves: None, of, skipped: Vec::new() });
    }
    // An open promotion has not moved the channel: what is underneath it is the channel's current release.
    let deepest = if open.is_some() { state.depth } else { state.depth.saturating_sub(1) };
    nearest(snapshot, deepest, leaves, of)
}

/// After a rollout that ended badly the word is about what that one left behind: a failed rollback is tried again, and
/// under a failed promotion that moved something lies the channel's current release, not the one below it.
fn undone(snapshot: &Snapshot, back: &Back) -> Option<(u64, Option<ImageKey>, Option<Seq>)> {
    let failed = snapshot.failed.as_ref().filter(|_| snapshot.open.is_none())?;
    match &failed.cause {
        Cause::Rollback { depth, .. } if back.further => {
            Some((depth.saturating_sub(1), Some(failed.image.clone()), Some(failed.id)))
        }
        Cause::Rollback { depth, leaves, .. } => Some((*depth, leaves.clone(), Some(failed.id))),
        Cause::Promote => {
            let current = snapshot.images.get(snapshot.state.image()?)?;
            let moved = !back.further && current.key != failed.image && astray(snapshot, current);
            moved.then(|| (snapshot.state.depth, Some(failed.image.clone()), Some(failed.id)))
        }
    }
}

/// Whether some target does not run this image, or cannot be seen to.
fn astray(snapshot: &Snapshot, image: &Image) -> bool {
    snapshot.targets.iter().any(|(id, view)| !matches!(need(snapshot, id, view, image), Need::Settled { .. }))
}

/// The hold that stands was set by the rollback that put the current release there.
fn returned(snapshot: &Snapshot) -> bool {
    let hold = snapshot.state.hold.as_ref().map(|hold| hold.seq);
    hold.is_some() && hold == snapshot.state.current.as_ref().map(|release| release.rollout)
}

fn named(snapshot: &Snapshot, wanted: &ImageKey, leaves: Option<ImageKey>, of: Option<Seq>) -> Result<Way, Blocker> {
    let found = snapshot.lineage.iter().rev().find(|(_, release)| release.image == *wanted);
    let Some((depth, release)) = found else {
        let what = format!("was never released on {}", snapshot.channel);
        let fix = format!("imgctl promote {wanted} {}", snapshot.channel.env);
        return Err(Blocker::new(BlockerKind::NothingBeneath, wanted, what, fix));
    };
    if let Some(why) = unfit(snapshot, release) {
        let fix = format!("imgctl show {wanted}");
        return Err(Blocker::new(BlockerKind::Unfit, wanted, why, fix));
    }
    let leaves = leaves.filter(|left| left != wanted);
    Ok(Way { depth: *depth, image: wanted.clone(), leaves, of, skipped: Vec::new() })
}

/// The nearest release at or above the bottom that is verified, not rejected, ready, and another image.
fn nearest(snapshot: &Snapshot, deepest: u64, leaves: Option<ImageKey>, of: Option<Seq>) -> Result<Way, Blocker> {
    let mut skipped = Vec::new();
    for (depth, release) in snapshot.lineage.range(..=deepest).rev() {
        if leaves.as_ref() == Some(&release.image) {
            continue;
        }
        match unfit(snapshot, release) {
            None => return Ok(Way { depth: *depth, image: release.image.clone(), leaves, of, skipped }),
            Some(why) => skipped.push(format!("passes over {}: {why}", release.image)),
        }
    }
    let what = match skipped.as_slice() {
        [] => "nothing was released before what it runs now".to_owned(),
        some => format!("no release underneath can be returned to: {}", some.join("; ")),
    };
    let fix = format!("imgctl promote NAME@VERSION {}", snapshot.channel.env);
    Err(Blocker::new(BlockerKind::NothingBeneath, &snapshot.channel, what, fix))
}

/// Why this release is not one to return to.
fn unfit(snapshot: &Snapshot, release: &Release) -> Option<String> {
    if !release.verified {
        return Some("its rollout was never verified".to_owned());
    }
    if let Some(rejection) = snapshot.rejections.get(&release.image) {
        return Some(format!("rejected: {}", rejection.reason));
    }
    let Some(image) = snapshot.images.get(&release.image) else { return Some("it is not in the ledger".to_owned()) };
    unavailable(snapshot, image)
}

/// An address that some target needs and that can no longer be launched.
fn unavailable(snapshot: &Snapshot, image: &Image) -> Option<String> {
    image.addresses().find_map(|address| match snapshot.fitness.get(&address) {
        Some(Fitness::Unfit { why }) => Some(format!("{}: {why}", address.short())),
        _ => None,
    })
}

/// Steps that return to the recorded revision itself, where there is one.
fn make_exact(plan: &mut Plan, back: &Back) {
    let Some(revisions) = &back.exact else { return };
    for step in &mut plan.steps {
        match revisions.get(&step.target) {
            Some(revision) => {
                step.exact = Some(revision.clone());
                step.notes.push(format!("returns to {revision} itself, with everything else it says"));
            }
            None => {
                step.notes.push("the ledger has no revision of that release here: only the image goes back".to_owned())
            }
        }
    }
}

fn warn_of_strangers(plan: &mut Plan, snapshot: &Snapshot) {
    for step in &plan.steps {
        let Some(Sight::Seen(observed)) = snapshot.targets.get(&step.target).map(|view| &view.sight) else { continue };
        if let Some(deployment) = observed.deployment.as_ref().filter(|d| d.is_active()) {
            let whose = if snapshot.open.is_some() { "" } else { ", which this ledger did not start" };
            plan.notes.push(format!("{}: interrupts {}{whose}", step.target, deployment.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::{World, check};
    use super::*;

    fn plan(text: &str, back: &Back) -> Plan {
        rollback(&World::parse(text).snapshot(), back)
    }

    const THREE: &str = "web@1 = ami-1; web@2 = ami-2; web@3 = ami-3; release web@1; release web@2; current web@3;";

    #[test]
    fn it_returns_to_the_release_underneath() {
        let plan = plan(&format!("{THREE} target a: ami-3 recorded web@3"), &Back::default());
        check(&plan, "~ a  ami-00000003 → ami-00000002");
        let Cause::Rollback { depth, leaves, .. } = plan.cause else { panic!("{:?}", plan.cause) };
        assert_eq!((depth, leaves.map(|l| l.to_string()).as_deref()), (2, Some("web@3")));
    }

    #[test]
    fn it_passes_over_what_is_rejected_or_gone() {
        let plan = plan(
            "web@1 = ami-1; web@2 = ami-2 unfit; web@3 = ami-3; web@4 = ami-4; release web@1; release web@2; release web@3; current web@4; reject web@3; target a: ami-4",
            &Back::default(),
        );
        assert_eq!(plan.image.unwrap().to_string(), "web@1");
        assert_eq!(
            plan.notes,
            ["passes over web@3: rejected: told so", "passes over web@2: ami-00000002: it was deregistered"]
        );
    }

    #[test]
    fn run_again_it_stays_and_brings_strayed_targets_back() {
        let back = "web@1 = ami-1; web@2 = ami-2; release web@1; current web@2 by rollback;";
        assert!(plan(&format!("{back} target a: ami-2 recorded web@2"), &Back::default()).is_noop());
        check(
            &plan(&format!("{back} target a: ami-1 recorded web@2"), &Back::default()),
            "~ a  ami-00000001 → ami-00000002",
        );
    }

    #[test]
    fn further_walks_back_and_never_back_and_forth() {
        let back = Back { further: true, ..Back::default() };
        let plan =
            plan("web@1 = ami-1; web@2 = ami-2; release web@1; current web@2 by rollback; target a: ami-2", &back);
        assert_eq!(plan.image.unwrap().to_string(), "web@1");
    }

    #[test]
    fn a_promotion_under_way_is_interrupted() {
        let plan =
            plan("web@1 = ami-1; web@2 = ami-2; current web@1; open web@2; target a: ami-1 moving", &Back::default());
        assert_eq!(plan.image.as_ref().unwrap().to_string(), "web@1");
        assert_eq!(plan.steps[0].interrupts.as_deref(), Some("refresh-1"));
        let Cause::Rollback { of, leaves, .. } = plan.cause else { panic!() };
        assert_eq!((of, leaves.unwrap().to_string().as_str()), (Some(Seq(9)), "web@2"));
    }

    /// Where it goes, and what it leaves.
    fn goes(text: &str, back: &Back) -> (String, Option<String>) {
        let plan = plan(text, back);
        let Cause::Rollback { leaves, .. } = plan.cause else { panic!("{:?}", plan.cause) };
        (plan.image.unwrap().to_string(), leaves.map(|left| left.to_string()))
    }

    #[test]
    fn a_rollback_that_failed_is_tried_again_and_not_further_down() {
        // Over a promotion of web@4 that never was released: the channel's current release is the destination.
        let four = "web@4 = ami-4; failed web@3 back to 3; target a: ami-4";
        assert_eq!(goes(&format!("{THREE} {four}"), &Back::default()).0, "web@3");
        let left = "failed web@2 back to 2; target a: ami-3";
        assert_eq!(goes(&format!("{THREE} {left}"), &Back::default()), ("web@2".into(), Some("web@3".into())));
        let further = Back { further: true, ..Back::default() };
        assert_eq!(goes(&format!("{THREE} {left}"), &further), ("web@1".into(), Some("web@2".into())));
    }

    #[test]
    fn after_a_promotion_that_failed_half_way_the_current_release_is_underneath() {
        let half = format!("{THREE} web@4 = ami-4; failed web@4; target a: ami-4; target b: ami-3 recorded web@3");
        assert_eq!(goes(&half, &Back::default()), ("web@3".into(), Some("web@4".into())));
        let untouched = format!("{THREE} web@4 = ami-4; failed web@4; target a: ami-3 recorded web@3");
        assert_eq!(goes(&untouched, &Back::default()), ("web@2".into(), Some("web@3".into())));
    }

    #[test]
    fn what_a_failed_promotion_left_is_brought_back_to_the_channels_own_release() {
        let world = "web@1 = ami-1; web@2 = ami-2; web@3 = ami-3; release web@1; current web@2; failed web@3;";
        let plan = |target: &str, back: &Back| plan(&format!("{world} target a: {target} recorded web@2"), back);
        let left = plan("ami-3", &Back::default());
        check(&left, "~ a  ami-00000003 → ami-00000002");
        let Cause::Rollback { of, depth, leaves, .. } = left.cause else { panic!() };
        assert_eq!((of, depth, leaves.unwrap().to_string().as_str()), (Some(Seq(9)), 2, "web@3"));
        // Where nothing of it is left, and where it is asked for, the word means the release below.
        check(&plan("ami-2", &Back::default()), "~ a  ami-00000002 → ami-00000001");
        let further = Back { further: true, ..Back::default() };
        check(&plan("ami-3", &further), "~ a  ami-00000003 → ami-00000001");
    }

    #[test]
    fn the_way_back_has_no_waves() {
        let waves = "target a: ami-3 recorded web@3 wave 2; target b: ami-3 recorded web@3";
        let plan = plan(&format!("{THREE} {waves}"), &Back::default());
        assert!(plan.steps.len() == 2 && plan.steps.iter().all(|step| step.wave == 1), "{:?}", plan.steps);
    }

    #[test]
    fn nothing_underneath_is_said() {
        check(
            &plan("web@1 = ami-1; current web@1; target a: ami-1", &Back::default()),
            "! web/prod nothing-beneath: nothing was released before what it runs now",
        );
    }

    #[test]
    fn to_a_version_that_was_never_here_is_refused() {
        let back = Back { to: Some("web@2".parse().unwrap()), ..Back::default() };
        let text = "web@1 = ami-1; web@2 = ami-2; current web@1; target a: ami-1";
        check(&plan(text, &back), "! web@2 nothing-beneath: was never released on web/prod");
    }

    #[test]
    fn exact_returns_to_the_recorded_revision() {
        let revisions = [("a".parse().unwrap(), "lt-1:4".parse().unwrap())].into();
        let plan = plan(&format!("{THREE} target a: ami-3"), &Back { exact: Some(revisions), ..Back::default() });
        assert_eq!(plan.steps[0].exact.as_ref().unwrap().as_str(), "lt-1:4");
    }
}
