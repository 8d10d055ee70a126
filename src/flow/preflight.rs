//! Preflight: before anything is written or moved, every target of the plan says what would make it fail.

use super::Ctx;
use super::load::fitness;
use crate::model::{Image, ImageRef, Outlook, Step, TargetId};
use crate::plan::{Foresight, Plan};
use futures_util::StreamExt;
use std::collections::{BTreeMap, BTreeSet};

/// How many targets are asked at the same time.
const SIDE_BY_SIDE: usize = 16;

/// The plan, with what its targets foresee: all of it at once, so that nobody mends one thing only to meet the next.
pub(super) async fn preflight(ctx: &Ctx<'_>, plan: Plan, image: Option<&Image>) -> Plan {
    let Some(image) = image else { return plan };
    let asks: Vec<_> = plan.questions().map(|step| ask(ctx, step.clone(), image)).collect();
    let answers = futures_util::stream::iter(asks).buffered(SIDE_BY_SIDE).collect::<BTreeMap<TargetId, Foresight>>();
    let addresses: BTreeSet<ImageRef> = plan.questions().flat_map(|step| step.wanted().into_values()).collect();
    let addresses: Vec<ImageRef> = addresses.into_iter().collect();
    let (answers, whole) = futures_util::join!(answers, ctx.images.whole(&addresses));
    let whole = whole.into_iter().map(|(address, answer)| (address, fitness(answer))).collect();
    plan.foreseen(answers).with_fitness(whole)
}

async fn ask(ctx: &Ctx<'_>, step: Step, image: &Image) -> (TargetId, Foresight) {
    let Some(target) = ctx.fleet.target(&step.target) else {
        // `apply` says so of each step of its own; there is nobody to ask.
        return (step.target, Foresight::Told(Outlook::default()));
    };
    let foresight = match target.check(image, &step).await {
        Ok(outlook) => Foresight::Told(outlook),
        Err(error) => {
            let fix = error.hint().unwrap_or_else(|| "run the same command again".to_owned());
            Foresight::Silent { why: error.to_string(), fix }
        }
    };
    (step.target, foresight)
}
