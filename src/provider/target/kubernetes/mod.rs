//! Kubernetes workloads: one container's image replaced in the pod template, and followed until every pod runs it.

mod cluster;
mod deploy;
mod failure;
mod history;
mod pods;
mod progress;
mod proxy;
mod reconciler;
mod survey;
mod workload;

pub use cluster::Call;
pub use failure::KubeError;

use super::kubernetes_settings::{ClusterName, KubernetesSettings};
use super::{Deployed, Depth, Fleet, Handle, Observe, Order, Pace, Target, TargetError};
use crate::model::{Attribution, Deployment, Image, Observed, Outlook, Revision, SlotName, Step, TargetId};
use cluster::{Cluster, Resource};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use workload::Workload;

/// One workload as the config names it.
#[derive(Debug, Clone)]
pub struct KubernetesSpec {
    pub id: TargetId,
    pub settings: Arc<KubernetesSettings>,
}

/// Every Kubernetes workload of the config.
pub struct KubernetesFleet {
    targets: BTreeMap<TargetId, KubernetesTarget>,
}

/// One workload.
pub(super) struct KubernetesTarget {
    spec: KubernetesSpec,
    cluster: Arc<Cluster>,
}

impl KubernetesFleet {
    /// One client for each cluster, made when it is first needed. Sends nothing.
    pub fn new(specs: Vec<KubernetesSpec>) -> Self {
        let mut clusters: BTreeMap<ClusterName, Arc<Cluster>> = BTreeMap::new();
        let mut targets = BTreeMap::new();
        for spec in specs {
            let name = spec.settings.cluster.clone();
            let cluster = clusters.entry(name.clone()).or_insert_with(|| Arc::new(Cluster::new(name)));
            let target = KubernetesTarget { cluster: Arc::clone(cluster), spec };
            targets.insert(target.spec.id.clone(), target);
        }
        Self { targets }
    }
}

#[async_trait::async_trait]
impl Fleet for KubernetesFleet {
    fn target(&self, id: &TargetId) -> Option<&dyn Target> {
        self.targets.get(id).map(|target| target as &dyn Target)
    }

    fn places(&self, ids: &BTreeSet<TargetId>) -> Vec<BTreeSet<TargetId>> {
        super::by_place(ids, |id| self.targets.get(id).map(|target| target.cluster.key()))
    }

    async fn survey(
        &self,
        ids: &BTreeSet<TargetId>,
        depth: Depth,
    ) -> BTreeMap<TargetId, Result<Observed, TargetError>> {
        let mut clusters: BTreeMap<String, (&Cluster, Vec<&KubernetesSpec>)> = BTreeMap::new();
        for target in self.targets.values().filter(|target| ids.contains(&target.spec.id)) {
            let cluster = clusters.entry(target.cluster.key()).or_insert_with(|| (&target.cluster, Vec::new()));
            cluster.1.push(&target.spec);
        }
        let reads = clusters.values().map(|(cluster, specs)| survey::cluster(cluster, specs, depth));
        futures_util::future::join_all(reads).await.into_iter().flatten().collect()
    }
}

#[async_trait::async_trait]
impl Observe for KubernetesTarget {
    fn id(&self) -> &TargetId {
        &self.spec.id
    }

    async fn observe(&self) -> Result<Observed, TargetError> {
        let read = survey::cluster(&self.cluster, &[&self.spec], Depth::Deploying).await;
        let gone = || TargetError::Gone { what: self.spec.settings.workload.to_string(), keys: Some("workload") };
        read.into_values().next().unwrap_or_else(|| Err(gone()))
    }

    fn handle(&self, observed: Option<&Observed>) -> Option<Handle> {
        let KubernetesSettings { workload, namespace, containers, .. } = &*self.spec.settings;
        // Before the cluster was asked, the context's own is not known: empty, it may be any.
        let namespace = namespace.clone().or_else(|| self.cluster.known_namespace()).unwrap_or_default();
        let containers = match observed {
            Some(seen) => seen.slots.keys().cloned().collect(),
            None => containers.iter().cloned().collect(),
        };
        Some(Handle::Workload { kind: workload.kind.api_word(), namespace, name: workload.name.clone(), containers })
    }

    async fn image_at(&self, _template: &str, _version: &str) -> Result<Option<String>, TargetError> {
        Ok(None)
    }

    async fn author(&self, _: &Observed, slot: Option<&SlotName>) -> Result<Option<Attribution>, TargetError> {
        let namespace = self.namespace().await?;
        let workload = survey::read(&self.cluster, &self.spec, &namespace).await?;
        Ok(workload.author(slot.map(SlotName::as_str)))
    }
}

#[async_trait::async_trait]
impl Target for KubernetesTarget {
    async fn check(&self, _image: &Image, step: &Step) -> Result<Outlook, TargetError> {
        self.rehearse(step).await
    }

    async fn deploy(&self, order: &Order<'_>) -> Result<Deployed, TargetError> {
        self.carry_out(order).await
    }

    async fn follow(&self, deployment: &str) -> Result<Deployment, TargetError> {
        survey::follow(self, deployment).await
    }

    async fn cancel(&self, deployment: &str) -> Result<(), TargetError> {
        self.stop(deployment).await
    }

    fn pace(&self) -> Pace {
        Pace { poll: self.spec.settings.poll_interval, limit: self.spec.settings.time_limit }
    }

    async fn differences(&self, from: &Revision, to: &Revision) -> Result<Vec<String>, TargetError> {
        let workload = self.workload().await?;
        let (before, after) = (self.template_at(&workload, from).await?, self.template_at(&workload, to).await?);
        Ok(workload::differences(&before, &after))
    }
}

impl KubernetesTarget {
    /// The namespace it is in: its own, else the context's.
    async fn namespace(&self) -> Result<String, TargetError> {
        match &self.spec.settings.namespace {
            Some(namespace) => Ok(namespace.clone()),
            None => Ok(self.cluster.namespace().await?),
        }
    }

    /// The object as it is now: one GET.
    async fn workload(&self) -> Result<Workload, TargetError> {
        let namespace = self.namespace().await?;
        survey::read(&self.cluster, &self.spec, &namespace).await
    }

    fn resource(&self) -> Resource {
        Resource::Workload(self.spec.settings.workload.kind)
    }
}

#[cfg(test)]
mod tests;
