//! Resume: what is left of a rollout that was cut short.

use super::slots::is_settled;
use super::{Sight, Snapshot};
use crate::model::{Deployment, Motion, Rollout, Step, StepState};

/// What to do about one step of an open rollout. The word is what is observed, not what was hoped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The target is there: to be confirmed in the ledger.
    Confirm(Step),
    /// The platform is on its way there, or gave it up while nobody looked: to be followed to its end.
    Follow { step: Step, deployment: String },
    /// To be ordered, with what the target is now as its precondition.
    Deploy(Step),
    /// The target cannot be seen: nothing is done blindly.
    Unseen { step: Step, why: String },
}

impl Left {
    pub fn step(&self) -> &Step {
        match self {
            Self::Confirm(step) | Self::Deploy(step) => step,
            Self::Follow { step, .. } | Self::Unseen { step, .. } => step,
        }
    }
}

/// What is left to do, in the order of the steps. Empty: only the end is missing.
pub fn resume(snapshot: &Snapshot, rollout: &Rollout) -> Vec<Left> {
    let pending = rollout
        .steps
        .iter()
        .filter(|step| matches!(rollout.state(step.number), StepState::Pending | StepState::Started { .. }));
    pending.map(|step| left(snapshot, rollout, step)).collect()
}

fn left(snapshot: &Snapshot, rollout: &Rollout, step: &Step) -> Left {
    let observed = match snapshot.targets.get(&step.target).map(|view| &view.sight) {
        Some(Sight::Seen(observed)) => observed,
        Some(Sight::Gone { why, .. } | Sight::Dangling { why, .. } | Sight::Unreachable { why, .. }) => {
            return Left::Unseen { step: step.clone(), why: why.clone() };
        }
        None => {
            return Left::Unseen { step: step.clone(), why: "it is no longer in the config".to_owned() };
        }
    };
    if is_settled(observed, &step.slots) {
        return Left::Confirm(step.clone());
    }
    let ordered = match rollout.state(step.number) {
        StepState::Started { revision, .. } => revision,
        _ => None,
    };
    let ours = |deployment: &&Deployment| ordered.is_some() && deployment.toward == ordered && tells(deployment);
    if let Some(deployment) = observed.deployment.as_ref().filter(ours) {
        return Left::Follow { step: step.clone(), deployment: deployment.id.clone() };
    }
    Left::Deploy(Step { expect: observed.revision.clone(), ..step.clone() })
}

/// Whether following it tells something: one that a person cancelled, or that was undone after it succeeded, is
/// ordered again, but an image that the platform gave up is not tried a second time.
fn tells(deployment: &Deployment) -> bool {
    deployment.is_active() || matches!(deployment.motion, Motion::Failed { .. } | Motion::RolledBack { .. })
}

#[cfg(test)]
mod tests {
    use super::super::world::World;
    use super::*;

    fn left_of(text: &str) -> Vec<Left> {
        let snapshot = World::parse(text).snapshot();
        let open = snapshot.open.clone().unwrap();
        resume(&snapshot, &open)
    }

    const OPEN: &str = "web@1 = ami-1; web@2 = ami-2; current web@1; open web@2;";

    #[test]
    fn what_is_there_is_confirmed() {
        assert!(matches!(left_of(&format!("{OPEN} target a: ami-2")).as_slice(), [Left::Confirm(_)]));
    }

    #[test]
    fn what_is_on_its_way_is_followed() {
        let left = left_of(&format!("{OPEN} started a; target a: ami-1 moving"));
        assert!(matches!(left.as_slice(), [Left::Follow { deployment, .. }] if deployment == "refresh-1"), "{left:?}");
    }

    #[test]
    fn what_the_platform_gave_up_while_nobody_looked_is_not_ordered_again() {
        let left = left_of(&format!("{OPEN} started a; target a: ami-1 returned"));
        assert!(matches!(left.as_slice(), [Left::Follow { deployment, .. }] if deployment == "refresh-1"), "{left:?}");
    }

    #[test]
    fn what_never_began_is_ordered_with_a_fresh_precondition() {
        let left = left_of(&format!("{OPEN} target a: ami-1"));
        assert!(matches!(left.as_slice(), [Left::Deploy(step)] if step.expect.as_str() == "lt-a:1"), "{left:?}");
    }

    #[test]
    fn what_cannot_be_seen_is_left_alone() {
        assert!(matches!(left_of(&format!("{OPEN} target a: unreachable")).as_slice(), [Left::Unseen { .. }]));
    }
}
