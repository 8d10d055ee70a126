//! Deployments that a platform took back by itself, where a look at many targets does not tell of them.

use super::limit::Limit;
use super::rollouts::Rollouts;
use super::{Ctx, FlowError};
use crate::model::{Channel, Lookup, Observed, RecordedTarget, TargetId};
use crate::plan::Sight;
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many targets are asked at the same time: each is a call of its own.
const SIDE_BY_SIDE: usize = 8;

/// Puts the newest deployment into what was seen of targets that are as the ledger has them, and for which somebody has
/// made something newer. Those that did not tell are the answer, each with why.
pub(super) async fn look_back(
    ctx: &Ctx<'_>,
    homes: &BTreeMap<TargetId, Channel>,
    sights: &mut BTreeMap<TargetId, Sight>,
    limit: Limit<'_>,
) -> Result<BTreeMap<TargetId, String>, FlowError> {
    let asked = overtaken(ctx, homes, sights)?;
    let asks = asked.into_iter().filter_map(|id| Some((ctx.fleet.target(&id)?, id)));
    let asks: Vec<_> = asks.map(async |(target, id)| (id, limit.within(target.newest_deployment()).await)).collect();
    let answers: Vec<_> = stream::iter(asks).buffered(SIDE_BY_SIDE).collect().await;
    let mut silent = BTreeMap::new();
    for (id, answer) in answers {
        match (answer, sights.get_mut(&id)) {
            (Some(Ok(newest)), Some(Sight::Seen(observed))) => Arc::make_mut(observed).deployment = newest,
            (Some(Ok(_)), _) => {}
            (Some(Err(error)), _) => drop(silent.insert(id, error.to_string())),
            (None, _) => drop(silent.insert(id, limit.why())),
        }
    }
    Ok(silent)
}

/// Those targets: what is newer is neither in use nor something that a rollback of the ledger's has left.
fn overtaken(
    ctx: &Ctx<'_>,
    homes: &BTreeMap<TargetId, Channel>,
    sights: &BTreeMap<TargetId, Sight>,
) -> Result<Vec<TargetId>, FlowError> {
    let view = ctx.store.view()?;
    let look = Lookup(&*view);
    let mut rollouts = Rollouts::new(look);
    let mut found = Vec::new();
    for (id, sight) in sights {
        let (Sight::Seen(observed), Some(target)) = (sight, ctx.fleet.target(id)) else { continue };
        let Some(newer) = target.overtaken(observed).filter(|_| observed.deployment.is_none()) else { continue };
        let recorded = look.target(id)?.filter(|recorded| homes.get(id) == Some(&recorded.channel));
        let Some(recorded) = recorded.filter(|recorded| is_as_recorded(recorded, observed)) else { continue };
        if !rollouts.left(&recorded, id, &newer)? {
            found.push(id.clone());
        }
    }
    Ok(found)
}

/// Where something was changed, that is told anyway.
fn is_as_recorded(recorded: &RecordedTarget, observed: &Observed) -> bool {
    observed.slots.iter().all(|(slot, state)| state.image.now() == recorded.slots.get(slot))
}
