//! Auto Scaling groups with launch templates, one or a mixed policy of several: moved by instance refresh, never by updating the group first.

mod check;
mod deploy;
mod group;
mod mixed;
mod refresh;
mod stand;
mod survey;
mod versions;

use super::asg_settings::AsgSettings;
use super::template::Templates;
use super::template_facts::TemplateFacts;
use super::{Deployed, Depth, Fleet, Handle, Observe, Order, Pace, Target, TargetError};
use crate::model::{Attribution, Deployment, Image, Observed, Outlook, Region, Revision, SlotName, Step, TargetId};
use crate::provider::aws::{Aws, names, sets};
use serde_json::Value;
use stand::{Spot, Stand};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One group as the config names it.
#[derive(Debug, Clone)]
pub struct AsgSpec {
    pub id: TargetId,
    pub region: Region,
    /// The Auto Scaling group's name.
    pub group: String,
    pub settings: Arc<AsgSettings>,
}

/// Every Auto Scaling group of the config.
pub struct AsgFleet {
    aws: Arc<Aws>,
    facts: Arc<TemplateFacts>,
    targets: BTreeMap<TargetId, AsgTarget>,
}

/// One Auto Scaling group.
pub(super) struct AsgTarget {
    spec: AsgSpec,
    aws: Arc<Aws>,
    templates: Templates,
}

impl AsgFleet {
    pub fn new(specs: Vec<AsgSpec>, aws: &Arc<Aws>) -> Self {
        let facts = Arc::new(TemplateFacts::kept(aws));
        let target = |spec: AsgSpec| {
            let (aws, facts, region) = (Arc::clone(aws), Arc::clone(&facts), spec.region.clone());
            AsgTarget { spec, aws: Arc::clone(&aws), templates: Templates { aws, region, facts } }
        };
        let targets = specs.into_iter().map(|spec| (spec.id.clone(), target(spec))).collect();
        Self { aws: Arc::clone(aws), facts, targets }
    }
}

#[async_trait::async_trait]
impl Fleet for AsgFleet {
    fn target(&self, id: &TargetId) -> Option<&dyn Target> {
        self.targets.get(id).map(|target| target as &dyn Target)
    }

    fn places(&self, ids: &BTreeSet<TargetId>) -> Vec<BTreeSet<TargetId>> {
        super::by_place(ids, |id| self.targets.get(id).map(|target| &target.spec.region))
    }

    async fn survey(
        &self,
        ids: &BTreeSet<TargetId>,
        depth: Depth,
    ) -> BTreeMap<TargetId, Result<Observed, TargetError>> {
        let mut regions: BTreeMap<Region, Vec<&AsgSpec>> = BTreeMap::new();
        for target in self.targets.values().filter(|target| ids.contains(&target.spec.id)) {
            regions.entry(target.spec.region.clone()).or_default().push(&target.spec);
        }
        for region in regions.keys() {
            self.facts.forget(region);
        }
        let reads = regions.iter().map(|(region, specs)| survey::region(&self.aws, &self.facts, region, specs, depth));
        futures_util::future::join_all(reads).await.into_iter().flatten().collect()
    }
}

#[async_trait::async_trait]
impl Observe for AsgTarget {
    fn id(&self) -> &TargetId {
        &self.spec.id
    }

    async fn observe(&self) -> Result<Observed, TargetError> {
        let facts = &self.templates.facts;
        let read = survey::region(&self.aws, facts, &self.spec.region, &[&self.spec], Depth::Deploying).await;
        read.into_values().next().unwrap_or_else(|| Err(self.gone()))
    }

    fn handle(&self, observed: Option<&Observed>) -> Option<Handle> {
        let of = |spot| match spot {
            Spot::Version { template, .. } => Some(template),
            Spot::Image(_) => None,
        };
        let stand = observed.and_then(|observed| Stand::parse(&observed.revision));
        let spots = stand.map(|stand| stand.spots).unwrap_or_default();
        let templates = spots.into_iter().filter_map(|(slot, spot)| Some((slot, of(spot)?))).collect();
        let (name, region) = (self.spec.group.clone(), self.spec.region.clone());
        Some(Handle::AutoScalingGroup { name, region, templates })
    }

    async fn image_at(&self, template: &str, version: &str) -> Result<Option<String>, TargetError> {
        self.templates.image_of_version(template, version).await
    }

    async fn author(&self, observed: &Observed, slot: Option<&SlotName>) -> Result<Option<Attribution>, TargetError> {
        let Some(Spot::Version { template, number, .. }) = spot(observed, slot) else { return Ok(None) };
        self.templates.author_of(&template, number).await
    }

    fn overtaken(&self, observed: &Observed) -> Option<Revision> {
        let (facts, region) = (&self.templates.facts, &self.spec.region);
        let stand = Stand::parse(&observed.revision)?;
        let newer = stand.newest(|template| facts.heads(region, template)?.latest);
        if newer == stand { None } else { newer.revision() }
    }

    async fn newest_deployment(&self) -> Result<Option<Deployment>, TargetError> {
        refresh::newest(&self.aws, &self.spec.region, &self.spec.group).await
    }

    async fn mover(&self, observed: &Observed, slot: Option<&SlotName>) -> Result<Option<Attribution>, TargetError> {
        let Some(Spot::Version { template, number, through }) = spot(observed, slot) else { return Ok(None) };
        self.pointed(&template, number, through.as_deref()).await
    }
}

/// Where a slot stood when it was observed; where none is named, the first.
fn spot(observed: &Observed, slot: Option<&SlotName>) -> Option<Spot> {
    let stand = Stand::parse(&observed.revision)?;
    slot.and_then(|slot| stand.spots.get(slot)).or_else(|| stand.spots.values().next()).cloned()
}

impl AsgTarget {
    /// Who pointed the group to what it launches now, or moved the default that it follows, as CloudTrail has it.
    async fn pointed(
        &self,
        template: &str,
        number: i64,
        through: Option<&str>,
    ) -> Result<Option<Attribution>, TargetError> {
        let version = through.map_or_else(|| number.to_string(), str::to_owned);
        let is_own = |request: &Value| {
            request.get("autoScalingGroupName").and_then(Value::as_str) == Some(self.spec.group.as_str())
        };
        let images = ["launchTemplate", "mixedInstancesPolicy"];
        let points = |request: &Value| is_own(request) && sets(request, &images) && names(request, &[&version]);
        let events = ["UpdateAutoScalingGroup", "StartInstanceRefresh"];
        let pointed = self.aws.last_change(&self.spec.region, &events, points).await?;
        if through != Some("$Default") {
            return Ok(pointed);
        }
        let moved = self.templates.mover_of_default(template).await?;
        Ok(pointed.into_iter().chain(moved).max_by_key(|by| by.at))
    }
}

#[async_trait::async_trait]
impl Target for AsgTarget {
    async fn check(&self, image: &Image, step: &Step) -> Result<Outlook, TargetError> {
        self.foresee(image, step).await
    }

    async fn deploy(&self, order: &Order<'_>) -> Result<Deployed, TargetError> {
        self.carry_out(order).await
    }

    async fn follow(&self, deployment: &str) -> Result<Deployment, TargetError> {
        self.refresh(deployment).await
    }

    async fn cancel(&self, deployment: &str) -> Result<(), TargetError> {
        self.cancel_refresh(deployment).await
    }

    fn pace(&self) -> Pace {
        Pace { poll: self.spec.settings.poll_interval, limit: self.spec.settings.time_limit }
    }

    async fn differences(&self, from: &Revision, to: &Revision) -> Result<Vec<String>, TargetError> {
        let (Some(left), Some(right)) = (Stand::parse(from), Stand::parse(to)) else {
            return Ok(vec![format!("{from} and {to} are not versions of launch templates")]);
        };
        let mut lines = Vec::new();
        for (slot, spot) in &right.spots {
            let about = |line: String| if right.mixed { format!("{slot}: {line}") } else { line };
            match (left.spots.get(slot), spot) {
                (
                    Some(Spot::Version { template: one, number: left, .. }),
                    Spot::Version { template: two, number: right, .. },
                ) => {
                    let found = self.templates.compare((one, *left), (two, *right)).await?;
                    lines.extend(found.into_iter().map(about));
                }
                (Some(Spot::Image(_)), Spot::Image(_)) => {}
                _ => lines.push(about("another launch template".to_owned())),
            }
        }
        Ok(lines)
    }
}

impl AsgTarget {
    fn gone(&self) -> TargetError {
        TargetError::Gone { what: self.object(), keys: Some("name or region") }
    }

    /// The group's name with its region and whose it is, as errors name it.
    fn object(&self) -> String {
        format!("Auto Scaling group {} in {}", self.spec.group, self.aws.place(&self.spec.region))
    }
}
