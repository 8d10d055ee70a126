//! Exact: the very revisions a release ran at, and what else would change on the way back to them.

use super::{Ctx, FlowError};
use crate::model::{ImageKey, Lookup, Revision, StepState, TargetId};
use crate::plan::Plan;
use crate::store::LedgerStore;
use std::collections::BTreeMap;

/// How far back in an image's deployments is looked.
const DEPLOYMENTS: usize = 10_000;

/// The revision at which each target last settled with this image.
pub fn recorded_revisions(
    store: &dyn LedgerStore,
    image: &ImageKey,
) -> Result<BTreeMap<TargetId, Revision>, FlowError> {
    let view = store.view()?;
    let look = Lookup(&*view);
    let mut revisions = BTreeMap::new();
    for deployment in look.deployments(image, DEPLOYMENTS)? {
        if revisions.contains_key(&deployment.target) {
            continue;
        }
        let Some(rollout) = look.rollout(deployment.rollout)? else { continue };
        let step = rollout.steps.iter().find(|step| step.target == deployment.target);
        if let Some(StepState::Succeeded { revision }) = step.map(|step| rollout.state(step.number)) {
            revisions.insert(deployment.target, revision);
        }
    }
    Ok(revisions)
}

/// Tells, with each step that returns to a revision itself, what that changes besides the image.
pub(super) async fn note_differences(ctx: &Ctx<'_>, plan: &mut Plan) {
    for step in &mut plan.steps {
        let (Some(exact), Some(target)) = (&step.exact, ctx.fleet.target(&step.target)) else { continue };
        match target.differences(&step.expect, exact).await {
            Ok(lines) => step.notes.extend(lines.into_iter().map(|line| format!("also changes {line}"))),
            Err(error) => step.notes.push(format!("what else changes could not be read: {error}")),
        }
    }
}
