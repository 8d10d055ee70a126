//! ECS services: a new task-definition revision with one image replaced, and a service deployment that is followed.

mod definition;
mod deploy;
mod deployments;
mod outline;
mod revisions;
mod rollout;
mod service;
mod survey;
mod tasks;
mod wire;

use super::ecs_settings::EcsSettings;
use super::{Deployed, Depth, Fleet, Handle, Observe, Order, Pace, Target, TargetError};
use crate::model::{Attribution, Deployment, Image, Observed, Outlook, Region, Revision, SlotName, Step, TargetId};
use crate::provider::aws::Aws;
use revisions::Facts;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One service as the config names it.
#[derive(Debug, Clone)]
pub struct EcsSpec {
    pub id: TargetId,
    pub region: Region,
    pub settings: Arc<EcsSettings>,
}

impl EcsSpec {
    /// The service's name with its cluster and region, and the role where there is one, as errors name it.
    fn object(&self, aws: &Aws) -> String {
        let EcsSettings { cluster, service, .. } = &*self.settings;
        format!("ECS service {service} of {cluster} in {}", aws.place(&self.region))
    }

    fn gone(&self, aws: &Aws) -> TargetError {
        TargetError::Gone { what: self.object(aws), keys: Some("cluster, service or region") }
    }
}

/// Every ECS service of the config.
pub struct EcsFleet {
    aws: Arc<Aws>,
    facts: Arc<Facts>,
    targets: BTreeMap<TargetId, EcsTarget>,
}

/// One container of one ECS service.
pub(super) struct EcsTarget {
    spec: EcsSpec,
    aws: Arc<Aws>,
    facts: Arc<Facts>,
}

impl EcsFleet {
    pub fn new(specs: Vec<EcsSpec>, aws: &Arc<Aws>) -> Self {
        let facts = Arc::new(Facts::default());
        let target = |spec: EcsSpec| EcsTarget { spec, aws: Arc::clone(aws), facts: Arc::clone(&facts) };
        let targets = specs.into_iter().map(|spec| (spec.id.clone(), target(spec))).collect();
        Self { aws: Arc::clone(aws), facts, targets }
    }
}

#[async_trait::async_trait]
impl Fleet for EcsFleet {
    fn target(&self, id: &TargetId) -> Option<&dyn Target> {
        self.targets.get(id).map(|target| target as &dyn Target)
    }

    fn places(&self, ids: &BTreeSet<TargetId>) -> Vec<BTreeSet<TargetId>> {
        super::by_place(ids, |id| {
            self.targets.get(id).map(|target| (&target.spec.region, &target.spec.settings.cluster))
        })
    }

    async fn survey(
        &self,
        ids: &BTreeSet<TargetId>,
        depth: Depth,
    ) -> BTreeMap<TargetId, Result<Observed, TargetError>> {
        let mut clusters: BTreeMap<(&Region, &str), Vec<&EcsSpec>> = BTreeMap::new();
        for EcsTarget { spec, .. } in self.targets.values().filter(|target| ids.contains(&target.spec.id)) {
            clusters.entry((&spec.region, &spec.settings.cluster)).or_default().push(spec);
        }
        let reads = clusters.values().map(|specs| survey::cluster(&self.aws, &self.facts, specs, depth));
        futures_util::future::join_all(reads).await.into_iter().flatten().collect()
    }
}

#[async_trait::async_trait]
impl Observe for EcsTarget {
    fn id(&self) -> &TargetId {
        &self.spec.id
    }

    async fn observe(&self) -> Result<Observed, TargetError> {
        let read = survey::cluster(&self.aws, &self.facts, &[&self.spec], Depth::Deploying).await;
        read.into_values().next().unwrap_or_else(|| Err(self.spec.gone(&self.aws)))
    }

    fn handle(&self, observed: Option<&Observed>) -> Option<Handle> {
        let EcsSettings { cluster, service, container, .. } = &*self.spec.settings;
        // An ARN's last word is the name.
        let cluster = cluster.rsplit('/').next().unwrap_or(cluster).to_owned();
        let (service, region, container) = (service.clone(), self.spec.region.clone(), container.clone());
        let revision = observed.and_then(|seen| revisions::short(seen.revision.as_str()).rsplit_once(':'));
        let family = revision.map(|(family, _)| family.to_owned()).unwrap_or_default();
        Some(Handle::EcsService { cluster, service, region, container, family })
    }

    async fn image_at(&self, family: &str, revision: &str) -> Result<Option<String>, TargetError> {
        let (name, container) = (format!("{family}:{revision}"), &self.spec.settings.container);
        // What code declares is what the service has, most of the time.
        if let Some(outline) = self.facts.outline_named(&self.spec.region, &name) {
            return Ok(outline.image(container).map(str::to_owned));
        }
        Ok(self.definition(&name).await?.image(container).map(str::to_owned))
    }

    async fn author(&self, observed: &Observed, _: Option<&SlotName>) -> Result<Option<Attribution>, TargetError> {
        Ok(self.fresh(observed.revision.as_str()).await?.author())
    }

    async fn mover(&self, observed: &Observed, _: Option<&SlotName>) -> Result<Option<Attribution>, TargetError> {
        let EcsSettings { service, cluster, .. } = &*self.spec.settings;
        let revision = observed.revision.as_str();
        let moves = |request: &Value| {
            let word = |key: &str| request.get(key).and_then(Value::as_str).map(revisions::short);
            word("service") == Some(service)
                && word("cluster").unwrap_or("default") == revisions::short(cluster)
                && word("taskDefinition") == Some(revisions::short(revision))
        };
        Ok(self.aws.last_change(&self.spec.region, &["UpdateService"], moves).await?)
    }
}

#[async_trait::async_trait]
impl Target for EcsTarget {
    async fn check(&self, image: &Image, step: &Step) -> Result<Outlook, TargetError> {
        self.foresee(image, step).await
    }

    async fn deploy(&self, order: &Order<'_>) -> Result<Deployed, TargetError> {
        self.carry_out(order).await
    }

    async fn follow(&self, deployment: &str) -> Result<Deployment, TargetError> {
        self.rollout(deployment).await
    }

    async fn cancel(&self, deployment: &str) -> Result<(), TargetError> {
        self.turn_back_and_wait(deployment).await
    }

    fn pace(&self) -> Pace {
        Pace { poll: self.spec.settings.poll_interval, limit: self.spec.settings.time_limit }
    }

    async fn differences(&self, from: &Revision, to: &Revision) -> Result<Vec<String>, TargetError> {
        self.compare(from, to).await
    }
}
