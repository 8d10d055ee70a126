//! Promote: put this image on every target of this channel.

use super::rules;
use super::slots::{Need, need, step};
use super::{Blocker, BlockerKind, Fitness, Plan, Sight, Snapshot, TargetView};
use crate::model::{Cause, ImageKey, ImageRef, StepState, TargetId};
use std::collections::BTreeSet;

/// The plan that brings every target of the channel to `image`.
pub fn promote(snapshot: &Snapshot, image: &ImageKey) -> Plan {
    let mut plan = Plan {
        base: snapshot.base,
        channel: snapshot.channel.clone(),
        image: Some(image.clone()),
        from: snapshot.state.current.as_ref().map(|release| release.image.clone()),
        cause: Cause::Promote,
        steps: Vec::new(),
        barred: Vec::new(),
        settled: Vec::new(),
        blockers: Vec::new(),
        overridden: Vec::new(),
        notes: Vec::new(),
        done: snapshot.state.current.as_ref().is_some_and(|release| release.image == *image),
    };
    plan.blockers.extend(forbidden(snapshot, image, plan.done));
    if !plan.done {
        plan.blockers.extend(rules::against(snapshot, image));
    }
    plan.overridden = rules::pass_over(&mut plan.blockers, &snapshot.grounds.overrides);
    let passed =
        plan.overridden.iter().map(|passed| format!("passes over the rule `{}`: {}", passed.rule, passed.what));
    plan.notes.extend(passed);
    add_steps(&mut plan, snapshot, image);
    for (id, view) in &snapshot.targets {
        let Sight::Seen(observed) = &view.sight else { continue };
        if let Some(deployment) = observed.deployment.as_ref().filter(|d| d.is_active())
            && snapshot.open.is_none()
        {
            let what = format!("{} is under way there, and this ledger did not start it", deployment.id);
            let fix = format!("wait for its end, or imgctl rollback {}", snapshot.channel);
            plan.blockers.push(Blocker::new(BlockerKind::Busy, id, what, fix));
        }
    }
    plan.sorted()
}

/// What the ledger says against it.
pub(super) fn forbidden(snapshot: &Snapshot, image: &ImageKey, current: bool) -> Vec<Blocker> {
    let channel = &snapshot.channel;
    let mut blockers = Vec::new();
    if let Some(rejection) = snapshot.rejections.get(image) {
        let place =
            rejection.channel.as_ref().map_or_else(|| "everywhere".to_owned(), |channel| format!("in {channel}"));
        let until = rejection.until.map(|until| format!(" until {until}")).unwrap_or_default();
        let parent = if rejection.image == *image {
            String::new()
        } else {
            format!("was built on {}, and what was built on that ", rejection.image)
        };
        let what = format!(
            "{parent}is rejected {place}{until} since entry {} ({}): {}",
            rejection.seq, rejection.by, rejection.reason
        );
        let scope = rejection.channel.as_ref().map(|channel| format!(" --channel {channel}")).unwrap_or_default();
        let fix = format!("imgctl restore {}{scope}", rejection.image);
        blockers.push(Blocker::new(BlockerKind::Rejected, image, what, fix));
    }
    // Promoting what the hold holds is no way round it: it brings strayed targets back.
    if let Some(hold) = snapshot.state.hold.as_ref().filter(|_| !current) {
        let what = format!("is held since entry {} ({}): {}", hold.seq, hold.by, hold.reason);
        blockers.push(Blocker::new(BlockerKind::Held, channel, what, format!("imgctl release {channel}")));
    }
    if let Some(open) = &snapshot.open {
        let started = open.states.values().any(|state| !matches!(state, StepState::Pending));
        let what = format!(
            "rollout {} of {} has not finished{}",
            open.id,
            open.image,
            if started { "" } else { ", and moved nothing yet" }
        );
        let fix = format!("imgctl resume {0}, imgctl rollback {channel} or imgctl abort {0}", open.id);
        blockers.push(Blocker::new(BlockerKind::Unfinished, channel, what, fix));
    }
    if snapshot.targets.is_empty() {
        let fix = format!("add [[channels.{}.{}.targets]] to imgctl.toml", channel.name, channel.env);
        blockers.push(Blocker::new(BlockerKind::NoTargets, channel, "no target follows it", fix));
    }
    blockers
}

/// A step for every target that is not there, and for every one that is there and not recorded so; wave by wave.
pub(super) fn add_steps(plan: &mut Plan, snapshot: &Snapshot, key: &ImageKey) {
    let Some(image) = snapshot.images.get(key) else { return };
    let mut targets: Vec<(&TargetId, &TargetView)> = snapshot.targets.iter().collect();
    if matches!(plan.cause, Cause::Promote) {
        targets.sort_by_key(|(_, view)| view.wave);
    }
    for (id, view) in targets {
        let number = plan.steps.len() + 1;
        match need(snapshot, id, view, image) {
            Need::Blocked { blockers, wanted } => {
                plan.blockers.extend(blockers);
                plan.barred.extend(
                    step(&plan.cause, number, id, view, wanted, Vec::new()).filter(|step| !step.slots.is_empty()),
                );
            }
            Need::Settled { unrecorded: false, .. } => plan.settled.push(id.clone()),
            Need::Settled { unrecorded: true, wanted } => {
                let notes = vec!["runs it already: only recorded".to_owned()];
                plan.settled.push(id.clone());
                plan.steps.extend(step(&plan.cause, number, id, view, wanted, notes));
            }
            Need::Step { wanted, notes } => plan.steps.extend(step(&plan.cause, number, id, view, wanted, notes)),
        }
    }
    let deprecated = deprecated(snapshot, plan);
    plan.notes.extend(deprecated);
}

/// AMIs that the plan moves to although their owner advises against it: they launch as before.
fn deprecated(snapshot: &Snapshot, plan: &Plan) -> Vec<String> {
    let wanted: BTreeSet<ImageRef> = plan.questions().flat_map(|step| step.wanted().into_values()).collect();
    let since = |address: &ImageRef| match snapshot.fitness.get(address)? {
        Fitness::Deprecated { at } if *at <= snapshot.now => Some(*at),
        _ => None,
    };
    let dated = wanted.iter().filter_map(|address| Some((address, since(address)?)));
    let said = dated.map(|(address, at)| {
        format!("{} is deprecated since {}: it launches still", address.short(), at.strftime("%Y-%m-%d"))
    });
    said.collect()
}

#[cfg(test)]
mod tests {
    use super::super::world::{World, check};
    use super::*;
    use crate::model::{AmiArtifact, Artifact, Image};

    fn plan(world: &World, image: &str) -> Plan {
        promote(&world.snapshot(), &image.parse().unwrap())
    }

    #[test]
    fn every_target_that_is_not_there_becomes_a_step() {
        let world = World::parse(
            "web@1 = ami-1; web@2 = ami-2; current web@1; target a: ami-1; target b: ami-2 recorded web@2",
        );
        check(&plan(&world, "web@2"), "~ a  ami-00000001 → ami-00000002\n= b");
    }

    #[test]
    fn a_deprecated_image_is_noted_from_its_moment_on_and_moves() {
        let world = World::parse("web@1 = ami-1; web@2 = ami-2; current web@1; target a: ami-1");
        let mut snapshot = world.snapshot();
        let notes = |at, snapshot: &mut Snapshot| {
            snapshot.fitness.insert("ami-00000002@eu-west-1".parse().unwrap(), Fitness::Deprecated { at });
            let plan = promote(snapshot, &"web@2".parse().unwrap());
            assert_eq!((plan.steps.len(), plan.blockers.len()), (1, 0));
            plan.notes
        };
        let now = snapshot.now;
        let said = format!("ami-00000002 is deprecated since {}: it launches still", now.strftime("%Y-%m-%d"));
        assert_eq!(notes(now, &mut snapshot), [said]);
        assert!(notes(now + jiff::SignedDuration::from_secs(1), &mut snapshot).is_empty());
    }

    #[test]
    fn steps_are_numbered_wave_by_wave() {
        let world = World::parse(
            "web@1 = ami-1; web@2 = ami-2; current web@1; target a: ami-1 wave 2; target b: ami-1; target c: ami-1 wave 2",
        );
        let steps = plan(&world, "web@2").steps;
        let order: Vec<(u32, &str, u32)> =
            steps.iter().map(|step| (step.number, step.target.as_str(), step.wave)).collect();
        assert_eq!(order, [(1, "b", 1), (2, "a", 2), (3, "c", 2)]);
    }

    #[test]
    fn what_is_there_and_was_not_recorded_is_recorded() {
        let world = World::parse("web@1 = ami-1; target a: ami-1");
        check(&plan(&world, "web@1"), "~ a  ami-00000001 → ami-00000001  (runs it already: only recorded)");
    }

    #[test]
    fn promoting_the_current_image_again_does_nothing() {
        let world = World::parse("web@1 = ami-1; current web@1; target a: ami-1 recorded web@1");
        assert!(plan(&world, "web@1").is_noop());
    }

    #[test]
    fn all_blockers_are_shown_at_once() {
        let world = World::parse(
            "web@1 = ami-1; web@2 = ami-2 unfit; current web@1; hold; reject web@2; target a: ami-1; target b: gone; target c: unreachable; target d: arm64",
        );
        check(
            &plan(&world, "web@2"),
            "! b gone: there is no such group
             ! c unknown: no answer
             ! d no-artifact: slot template takes an arm64 AMI in eu-west-1, and web@2 has only x86_64 in eu-west-1
             ! web/prod held: is held since entry 5 (ana): told so
             ! web@2 rejected: is rejected in web/prod since entry 6 (ana): told so
             ! web@2 unfit: ami-00000002: it was deregistered",
        );
    }

    #[test]
    fn an_architecture_is_never_guessed() {
        let world = World::parse("web@1 = ami-1; current web@1; target a: any-arch ami-9");
        check(&plan(&world, "web@1"), "~ a  ami-00000009 → ami-00000001");
        let mut both = world.snapshot();
        let image = both.images.values_mut().next().unwrap();
        let arm = AmiArtifact { arch: "arm64".parse().unwrap(), id: "ami-00000002".parse().unwrap(), ..ami(image) };
        image.artifacts.push(Artifact::Ami(arm));
        check(
            &promote(&both, &"web@1".parse().unwrap()),
            "! a no-artifact: slot template takes an AMI in eu-west-1 of an architecture that nothing tells, \
             and web@1 has x86_64 in eu-west-1, arm64 in eu-west-1",
        );
    }

    fn ami(image: &Image) -> AmiArtifact {
        let Some(Artifact::Ami(ami)) = image.artifacts.first() else { unreachable!() };
        ami.clone()
    }

    #[test]
    fn a_group_at_latest_is_pinned_and_the_plan_says_so() {
        let world = World::parse("web@1 = ami-1; web@2 = ami-2; current web@1; target a: $Latest ami-1");
        check(
            &plan(&world, "web@2"),
            "~ a  $Latest → ami-00000001 → ami-00000002  (is at $Latest: pinned to its current number first, so that it can be rolled back)",
        );
    }

    #[test]
    fn a_deployment_that_is_not_ours_is_not_trampled_on() {
        let world = World::parse("web@1 = ami-1; web@2 = ami-2; current web@1; target a: ami-1 moving");
        let shown = plan(&world, "web@2");
        assert_eq!(shown.blockers.first().map(|blocker| blocker.kind), Some(BlockerKind::Busy));
    }

    #[test]
    fn an_open_rollout_blocks_and_names_the_way_on() {
        let world = World::parse("web@1 = ami-1; web@2 = ami-2; current web@1; open web@2; target a: ami-1 moving");
        let shown = plan(&world, "web@2");
        assert_eq!(shown.blockers.len(), 1, "{:?}", shown.blockers);
        assert!(shown.blockers[0].fix.starts_with("imgctl resume 9"), "{}", shown.blockers[0].fix);
    }

    #[test]
    fn instances_that_run_something_else_need_a_step_though_the_template_is_right() {
        let world = World::parse("web@1 = ami-1; current web@1; target a: ami-1 recorded web@1 running ami-2");
        assert_eq!(plan(&world, "web@1").steps.len(), 1);
    }

    #[test]
    fn a_plan_rendered_ten_times_is_one_plan() {
        let world = World::parse(
            "web@1 = ami-1; web@2 = ami-2; current web@1; target b: ami-1; target a: ami-1; target c: gone",
        );
        let first = serde_json::to_string(&plan(&world, "web@2")).unwrap();
        for _ in 0..10 {
            assert_eq!(serde_json::to_string(&plan(&world, "web@2")).unwrap(), first);
        }
    }
}
