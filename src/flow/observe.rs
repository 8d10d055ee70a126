//! Observe: what each channel and target is recorded to run, and what it runs. Reads only.

use super::load::{running, unasked};
use super::pointers::lags;
use super::{Ctx, FlowError};
use crate::model::{Channel, ChannelState, Freeze, Lookup, RecordedTarget, Rollout, TargetId};
use crate::plan::Sight;
use std::collections::BTreeMap;

/// One channel as `status` shows it.
#[derive(Debug)]
pub struct Standing {
    pub channel: Channel,
    pub state: ChannelState,
    pub open: Option<Rollout>,
    /// Those that hold now.
    pub freezes: Vec<Freeze>,
    /// Pointers that have not followed, by their names, and why.
    pub pending: BTreeMap<String, String>,
    pub targets: BTreeMap<TargetId, (Option<RecordedTarget>, Sight)>,
}

/// Every named channel (all of the config, when none is named), with all its targets observed in batches.
pub async fn status(ctx: &Ctx<'_>, channels: &[Channel]) -> Result<Vec<Standing>, FlowError> {
    let mut named: Vec<Channel> = channels.to_vec();
    if named.is_empty() {
        named = ctx.channels.keys().cloned().collect();
    }
    let mut ids = std::collections::BTreeSet::new();
    for channel in &named {
        ids.extend(ctx.channel(channel)?.targets.iter().cloned());
    }
    let seen = running(ctx, &ids).await?;
    let view = ctx.store.view()?;
    let look = Lookup(&*view);
    let mut standings = Vec::new();
    for channel in named {
        let state = look.channel(&channel)?;
        let open = state.open.map(|open| look.rollout(open)).transpose()?.flatten();
        let freezes = look.frozen(&channel, ctx.clock.now())?;
        let mut targets = BTreeMap::new();
        for id in &ctx.channel(&channel)?.targets {
            let sight = seen.get(id).cloned();
            let sight = sight.unwrap_or_else(|| unasked("it was not asked"));
            targets.insert(id.clone(), (look.target(id)?, sight));
        }
        let mut pending = BTreeMap::new();
        for follower in ctx.pointers.iter().filter(|follower| follower.channel == channel) {
            pending.extend(lags(ctx, follower)?.map(|why| (follower.id.clone(), why)));
        }
        standings.push(Standing { channel, state, open, freezes, pending, targets });
    }
    Ok(standings)
}
