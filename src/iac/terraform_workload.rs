//! The resource types of a Terraform state that run pods: the provider `hashicorp/kubernetes` and its workloads.

use super::terraform_containers::Container;
use super::terraform_resource::{Attributes, Found, image};
use super::terraform_value::{Blocks, Sensitive, Text};
use super::{Place, Subject};
use serde::Deserialize;

/// `kubernetes_deployment`, `kubernetes_deployment_v1`.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Deployment(Workload);

/// `kubernetes_stateful_set`, `kubernetes_stateful_set_v1`.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct StatefulSet(Workload);

/// `kubernetes_daemonset`, `kubernetes_daemon_set_v1`.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct DaemonSet(Workload);

/// `kubernetes_cron_job`, `kubernetes_cron_job_v1`.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct CronJob(Workload);

impl Attributes for Deployment {
    fn declare(self, sensitive: &Sensitive) -> Vec<Found> {
        self.0.declare_as("Deployment", sensitive)
    }
}

impl Attributes for StatefulSet {
    fn declare(self, sensitive: &Sensitive) -> Vec<Found> {
        self.0.declare_as("StatefulSet", sensitive)
    }
}

impl Attributes for DaemonSet {
    fn declare(self, sensitive: &Sensitive) -> Vec<Found> {
        self.0.declare_as("DaemonSet", sensitive)
    }
}

impl Attributes for CronJob {
    fn declare(self, sensitive: &Sensitive) -> Vec<Found> {
        self.0.declare_as("CronJob", sensitive)
    }
}

/// What all of them have in common.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Workload {
    /// `NAMESPACE/NAME`.
    id: Text,
    metadata: Blocks<Metadata>,
    spec: Blocks<Spec>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    name: Text,
    namespace: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec {
    template: Blocks<PodTemplate>,
    /// Of a CronJob alone.
    job_template: Blocks<JobTemplate>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct JobTemplate {
    spec: Blocks<JobSpec>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct JobSpec {
    template: Blocks<PodTemplate>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodTemplate {
    spec: Blocks<PodSpec>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodSpec {
    container: Blocks<Container>,
    init_container: Blocks<Container>,
}

impl Workload {
    fn declare_as(self, kind: &str, sensitive: &Sensitive) -> Vec<Found> {
        let Some((namespace, name)) = identity(self.id, self.metadata, sensitive) else { return Vec::new() };
        let declare = |path: &[&str], each: Container| {
            let path = |attribute| [path, &[attribute]].concat();
            let container = each.name.get().filter(|_| !sensitive.hides(&path("name"))).unwrap_or_default();
            let (kind, namespace, name) = (kind.to_owned(), namespace.clone(), name.clone());
            let subject = Subject::Workload { kind, namespace, name, container };
            // A state does not say which cluster its provider was pointed at.
            Found { place: Place::default(), subject, image: image(sensitive, &path("image"), each.image) }
        };
        let mut found = Vec::new();
        for (above, pod) in self.spec.into_iter().flat_map(Spec::pods) {
            let (own, init) = ([above, &["container"]].concat(), [above, &["init_container"]].concat());
            found.extend(pod.container.into_iter().map(|each| declare(&own, each)));
            found.extend(pod.init_container.into_iter().map(|each| declare(&init, each)));
        }
        found
    }
}

impl Spec {
    /// Every pod's spec, with the way to it.
    fn pods(self) -> Vec<(&'static [&'static str], PodSpec)> {
        let own = self.template.into_iter().flat_map(|template| template.spec);
        let jobs = self.job_template.into_iter().flat_map(|job| job.spec).flat_map(|spec| spec.template);
        let jobs = jobs.flat_map(|template| template.spec);
        let own = own.map(|pod| (&["spec", "template", "spec"][..], pod));
        own.chain(jobs.map(|pod| (&["spec", "job_template", "spec", "template", "spec"][..], pod))).collect()
    }
}

/// Namespace and name: from the provider's id, so that a mark on the metadata hides neither the one nor the image.
fn identity(id: Text, metadata: Blocks<Metadata>, sensitive: &Sensitive) -> Option<(String, String)> {
    if let Some((namespace, name)) = sensitive.open("id", id).as_deref().and_then(|id| id.split_once('/')) {
        return Some((namespace.to_owned(), name.to_owned()));
    }
    if sensitive.hides(&["metadata", "name"]) || sensitive.hides(&["metadata", "namespace"]) {
        return None;
    }
    let metadata = metadata.into_iter().next()?;
    Some((metadata.namespace.get().unwrap_or_else(|| "default".to_owned()), metadata.name.get()?))
}
