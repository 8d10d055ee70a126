//! Auto Scaling groups with a launch template: moved by instance refresh, never by updating the group first.

mod deploy;
mod group;
mod refresh;
mod survey;
mod template;

use super::asg_settings::AsgSettings;
use super::{Deployed, Depth, Fleet, Handle, Observe, Order, Pace, Target, TargetError};
use crate::model::{Deployment, Observed, Region, Revision, SlotName, TargetId};
use crate::provider::aws::Aws;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use template::TemplateFacts;

/// One group as the config names it.
#[derive(Debug, Clone)]
pub struct AsgSpec {
    pub id: TargetId,
    pub region: Region,
    /// The Auto Scaling group's name.
    pub group: String,
    pub settings: AsgSettings,
}

/// The slot of a group's launch template.
pub(super) fn template_slot() -> Result<SlotName, TargetError> {
    "template".parse().map_err(|error| TargetError::Refused { what: format!("{error}"), hint: String::new() })
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
    facts: Arc<TemplateFacts>,
}

impl AsgFleet {
    pub fn new(specs: Vec<AsgSpec>, aws: &Arc<Aws>) -> Self {
        let facts = Arc::new(TemplateFacts::default());
        let target = |spec: AsgSpec| AsgTarget { spec, aws: Arc::clone(aws), facts: Arc::clone(&facts) };
        let targets = specs.into_iter().map(|spec| (spec.id.clone(), target(spec))).collect();
        Self { aws: Arc::clone(aws), facts, targets }
    }
}

#[async_trait::async_trait]
impl Fleet for AsgFleet {
    fn target(&self, id: &TargetId) -> Option<&dyn Target> {
        self.targets.get(id).map(|target| target as &dyn Target)
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
        let read = survey::region(&self.aws, &self.facts, &self.spec.region, &[&self.spec], Depth::Deploying).await;
        read.into_values().next().unwrap_or_else(|| Err(self.gone()))
    }

    fn handle(&self, observed: &Observed) -> Option<Handle> {
        let template = observed.revision.as_str().rsplit_once(':').map(|(template, _)| template.to_owned())?;
        let templates = observed.slots.keys().map(|slot| (slot.clone(), template.clone())).collect();
        let (name, region) = (self.spec.group.clone(), self.spec.region.clone());
        Some(Handle::AutoScalingGroup { name, region, templates })
    }

    async fn image_at(&self, template: &str, version: &str) -> Result<Option<String>, TargetError> {
        self.image_of_version(template, version).await
    }
}

#[async_trait::async_trait]
impl Target for AsgTarget {
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
        self.compare_versions(from, to).await
    }
}

impl AsgTarget {
    fn gone(&self) -> TargetError {
        TargetError::Gone { what: format!("Auto Scaling group {} in {}", self.spec.group, self.spec.region) }
    }

    /// The group's name with its region, as errors name it.
    fn object(&self) -> String {
        format!("Auto Scaling group {} in {}", self.spec.group, self.spec.region)
    }
}
