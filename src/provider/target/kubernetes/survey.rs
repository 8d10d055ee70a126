//! Observing many workloads in few calls: one list per kind and namespace, and one of its pods, 500 objects a page.

use super::super::kubernetes_settings::{OnReconciler, WorkloadKind};
use super::super::{Depth, TargetError};
use super::cluster::{Cluster, Resource};
use super::progress::{Counts, Progress, Signs, is_by_hand, progress};
use super::workload::{Container, PAUSED, Workload, label};
use super::{KubeError, KubernetesSpec, KubernetesTarget, pods, reconciler};
use crate::model::{Accepts, Deployment, ImageRef, Motion, Observed, Obstacle, SlotImage, SlotState, TargetId};
use crate::provider::clock::{Clock, SystemClock};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Up to this many workloads of a namespace are asked for by name, and their pods by label: cheaper than listing all
/// that a large namespace holds, and a Role may be narrowed to their names.
const FEW: usize = 3;

type Answers = BTreeMap<TargetId, Result<Observed, TargetError>>;

/// Observes workloads of one cluster.
pub(super) async fn cluster(cluster: &Cluster, specs: &[&KubernetesSpec], depth: Depth) -> Answers {
    let default = if specs.iter().all(|spec| spec.settings.namespace.is_some()) {
        Ok(String::new())
    } else {
        cluster.namespace().await.map_err(Arc::new)
    };
    let mut answers = Answers::new();
    let mut namespaces: BTreeMap<String, Vec<&KubernetesSpec>> = BTreeMap::new();
    for spec in specs {
        match (&spec.settings.namespace, &default) {
            (Some(namespace), _) => namespaces.entry(namespace.clone()).or_default().push(spec),
            (None, Ok(namespace)) => namespaces.entry(namespace.clone()).or_default().push(spec),
            (None, Err(error)) => {
                drop(answers.insert(spec.id.clone(), Err(TargetError::Kubernetes(Arc::clone(error)))))
            }
        }
    }
    let reads = namespaces.iter().map(|(namespace, specs)| in_namespace(cluster, namespace, specs, depth));
    answers.extend(futures_util::future::join_all(reads).await.into_iter().flatten());
    answers
}

async fn in_namespace(cluster: &Cluster, namespace: &str, specs: &[&KubernetesSpec], depth: Depth) -> Answers {
    let mut kinds: BTreeMap<WorkloadKind, Vec<&KubernetesSpec>> = BTreeMap::new();
    for spec in specs {
        kinds.entry(spec.settings.workload.kind).or_default().push(spec);
    }
    let reads = kinds.values().map(|specs| of_kind(cluster, namespace, specs));
    let found: Vec<(&KubernetesSpec, Result<Workload, TargetError>)> =
        futures_util::future::join_all(reads).await.into_iter().flatten().collect();
    let asks = |(_, workload): &(&KubernetesSpec, Result<Workload, TargetError>)| {
        workload.as_ref().ok().filter(|workload| has_pods(workload)).cloned()
    };
    let asked: Vec<Workload> = found.iter().filter_map(asks).collect();
    if depth == Depth::Deploying {
        found.iter().filter_map(|(_, workload)| workload.as_ref().ok()).for_each(|workload| cluster.leave(workload));
    }
    let pods = pods_of(cluster, namespace, &asked).await.map_err(Arc::new);
    let observe = |(spec, workload): (&KubernetesSpec, Result<Workload, TargetError>)| {
        let observed = workload.and_then(|workload| {
            let read = match &pods {
                _ if !has_pods(&workload) => None,
                Ok(pods) => Some(pods.as_slice()),
                Err(error) => return Err(TargetError::Kubernetes(Arc::clone(error))),
            };
            observed(&workload, spec, read, SystemClock.now())
        });
        (spec.id.clone(), observed)
    };
    found.into_iter().map(observe).collect()
}

/// The workloads of one kind in one namespace.
async fn of_kind<'a>(
    cluster: &Cluster,
    namespace: &str,
    specs: &[&'a KubernetesSpec],
) -> Vec<(&'a KubernetesSpec, Result<Workload, TargetError>)> {
    let Some(kind) = specs.first().map(|spec| spec.settings.workload.kind) else { return Vec::new() };
    if specs.len() <= FEW {
        let reads = specs.iter().map(async |spec| (*spec, read(cluster, spec, namespace).await));
        return futures_util::future::join_all(reads).await;
    }
    let listed = cluster.list(Resource::Workload(kind), namespace, None).await.map_err(Arc::new);
    let mut by_name: BTreeMap<String, Value> = BTreeMap::new();
    let objects = match listed {
        Ok(objects) => objects,
        // One refused list leaves every workload of it unknown: each says so.
        Err(error) => {
            let say = |spec: &&'a KubernetesSpec| (*spec, Err(TargetError::Kubernetes(Arc::clone(&error))));
            return specs.iter().map(say).collect();
        }
    };
    for object in objects {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        by_name.insert(name, object);
    }
    let find = |spec: &&'a KubernetesSpec| {
        let workload = &spec.settings.workload;
        let object = by_name.get(&workload.name).cloned().ok_or_else(|| gone(cluster, spec, namespace));
        (*spec, object.map(|object| Workload::new(workload.clone(), namespace, object)))
    };
    specs.iter().map(find).collect()
}

/// One workload by its name.
pub(super) async fn read(cluster: &Cluster, spec: &KubernetesSpec, namespace: &str) -> Result<Workload, TargetError> {
    let workload = &spec.settings.workload;
    match cluster.get(Resource::Workload(workload.kind), namespace, &workload.name).await {
        Ok(object) => Ok(Workload::new(workload.clone(), namespace, object)),
        Err(KubeError::NotFound { .. }) => Err(gone(cluster, spec, namespace)),
        Err(error) => Err(error.into()),
    }
}

fn gone(cluster: &Cluster, spec: &KubernetesSpec, namespace: &str) -> TargetError {
    let what = format!("{} in {}", label(&spec.settings.workload, namespace), cluster.name());
    TargetError::Gone { what, keys: Some("workload, namespace, kubeconfig or context") }
}

/// Whether there is anything that runs. A pod's image may be changed in the pod itself
/// (<https://kubernetes.io/docs/concepts/workloads/pods/#pod-update-and-replacement>), and its controller still counts it as one
/// of the template: the status does not tell what runs.
fn has_pods(workload: &Workload) -> bool {
    match workload.kind() {
        WorkloadKind::CronJob => false,
        WorkloadKind::DaemonSet => true,
        WorkloadKind::Deployment | WorkloadKind::StatefulSet => {
            workload.replicas() > 0 || workload.count("/status/replicas") > 0
        }
    }
}

/// Whether following a rollout takes a look at its pods: what keeps them from being ready is said by themselves.
fn is_unsettled(workload: &Workload, spec: &KubernetesSpec) -> bool {
    let floats = || {
        let containers = workload.containers(&spec.settings).unwrap_or_default();
        containers.iter().any(|container| container.reference.digest.is_none())
    };
    let signs = Signs { troubles: &[], now: SystemClock.now(), patience: spec.settings.stuck_after };
    workload.kind() != WorkloadKind::CronJob && (floats() || progress(workload, &signs) != Progress::Done)
}

/// The pods of these workloads, and perhaps others: whose they are is told by their owners.
async fn pods_of(cluster: &Cluster, namespace: &str, workloads: &[Workload]) -> Result<Vec<Pod>, KubeError> {
    let selectors: Option<BTreeSet<String>> = workloads.iter().map(selector).collect();
    match selectors.filter(|selectors| selectors.len() <= FEW) {
        Some(selectors) => {
            let reads = selectors.iter().map(|selector| cluster.pods(namespace, Some(selector)));
            let lists = futures_util::future::try_join_all(reads).await?;
            Ok(lists.into_iter().flatten().collect())
        }
        None => cluster.pods(namespace, None).await,
    }
}

/// The workload's selector as the API takes it in an address. `None`: it has parts that are not known here.
fn selector(workload: &Workload) -> Option<String> {
    let selector = workload.at("/spec/selector")?;
    if selector.get("matchExpressions").is_some() {
        return None;
    }
    let labels = selector.get("matchLabels")?.as_object()?;
    let pairs: Option<Vec<String>> =
        labels.iter().map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    pairs.filter(|pairs| !pairs.is_empty()).map(|pairs| pairs.join(","))
}

/// What the object and its pods say, as a plan takes it.
pub(super) fn observed(
    workload: &Workload,
    spec: &KubernetesSpec,
    read: Option<&[Pod]>,
    now: Timestamp,
) -> Result<Observed, TargetError> {
    let containers = workload.containers(&spec.settings)?;
    let counts = Counts::of(workload);
    let ours = read.map(|pods| pods::of_workload(pods, workload));
    let running = match &ours {
        Some(pods) => pods::running(pods, &containers),
        None => by_status(&containers, &counts),
    };
    let progress = judge(workload, spec, &containers, ours.as_deref().unwrap_or_default(), now);
    let slots = containers.iter().map(|container| {
        let accepts = Accepts::Oci { repository: container.reference.repository.clone() };
        (container.slot.clone(), SlotState { image: slot_image(container, &running), accepts })
    });
    Ok(Observed {
        revision: workload.revision()?,
        slots: slots.collect(),
        desired: counts.wanted,
        deployment: match progress.observed() {
            Some(motion) => Some(deployment(workload, &counts, motion)?),
            None => None,
        },
        obstacles: obstacles(workload, spec),
        notes: notes(workload, spec),
        running,
    })
}

/// What all pods run where the status says that all of them are of the template.
fn by_status(containers: &[Container], counts: &Counts) -> BTreeMap<ImageRef, u32> {
    let images: BTreeSet<ImageRef> = containers.iter().filter_map(|container| container.reference.pinned()).collect();
    images.into_iter().filter(|_| counts.wanted > 0).map(|image| (image, counts.wanted)).collect()
}

pub(super) fn judge(
    workload: &Workload,
    spec: &KubernetesSpec,
    containers: &[Container],
    pods: &[&Pod],
    now: Timestamp,
) -> Progress {
    // A broken pod of an older template stands in the way only of a StatefulSet, which waits for it for ever.
    let any = workload.kind() == WorkloadKind::StatefulSet;
    let matter: Vec<&Pod> = pods.iter().copied().filter(|pod| any || pods::is_current(pod, containers)).collect();
    let troubles = pods::troubles(&matter);
    progress(workload, &Signs { troubles: &troubles, now, patience: spec.settings.stuck_after })
}

/// Pinned by a digest, or floating: then what the ready pods pulled is where the name leads now, if they agree.
fn slot_image(container: &Container, running: &BTreeMap<ImageRef, u32>) -> SlotImage {
    if let Some(image) = container.reference.pinned() {
        return SlotImage::Pinned { image };
    }
    let own = |image: &&ImageRef| matches!(image, ImageRef::Oci { repository, .. } if *repository == container.reference.repository);
    let mut found = running.keys().filter(own);
    let now = found.next().filter(|_| found.next().is_none()).cloned();
    SlotImage::Floating { through: container.image.clone(), now }
}

fn deployment(workload: &Workload, counts: &Counts, motion: Motion) -> Result<Deployment, TargetError> {
    let revision = workload.revision()?;
    Ok(Deployment {
        id: revision.to_string(),
        motion,
        toward: Some(revision),
        started: None,
        percent: counts.percent(),
        left: counts.left(),
    })
}

/// What keeps the workload from being moved; kubectl does not undo a paused Deployment either.
pub(super) fn obstacles(workload: &Workload, spec: &KubernetesSpec) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    if workload.at("/metadata/deletionTimestamp").is_some() {
        let fix = "take it out of the channel, or create it anew".to_owned();
        obstacles.push(Obstacle { what: format!("{} is being deleted", workload.label()), fix });
    }
    if workload.flag("/spec/paused") && workload.annotation(PAUSED).is_none() {
        let what = format!("{} is paused: nothing is rolled out until it is resumed", workload.label());
        let fix = format!("kubectl rollout resume {} -n {}", workload.workload, workload.namespace);
        obstacles.push(Obstacle { what, fix });
    }
    if let Some(reconciler) = reconciler::of(workload).filter(|_| spec.settings.on_reconciler == OnReconciler::Block) {
        let what = format!("{} manages it, and would undo this {}", reconciler.name, reconciler.when);
        let fix = format!("change the image in {}, or set on_reconciler = \"warn\"", reconciler.place);
        obstacles.push(Obstacle { what, fix });
    }
    obstacles
}

/// What a person should know before it is moved.
fn notes(workload: &Workload, spec: &KubernetesSpec) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    if spec.settings.on_reconciler == OnReconciler::Warn {
        notes.extend(reconciler::of(workload).map(|reconciler| format!("warning: {}", reconciler.warning())));
    }
    if workload.annotation(PAUSED).is_some() {
        notes.push("is paused since its rollout was aborted: it goes on with this".to_owned());
    }
    if workload.kind() == WorkloadKind::CronJob {
        let when = workload.text("/spec/schedule").unwrap_or_default();
        notes.push(match workload.flag("/spec/suspend") {
            true => "is suspended: nothing runs the image until it is resumed".to_owned(),
            false => format!("the next run takes it (schedule {when}); what runs now ends as it began"),
        });
    } else if workload.kind() != WorkloadKind::DaemonSet && workload.replicas() == 0 {
        notes.push("is scaled to zero: nothing runs the image until it is scaled up".to_owned());
    }
    let held = pods::partition(workload);
    if held > 0 {
        notes.push(format!("has partition {held}: pods below that ordinal keep what they run"));
    }
    if is_by_hand(workload) {
        notes.push("has updateStrategy OnDelete: each pod takes the image when somebody deletes it".to_owned());
    }
    notes
}

/// How far the rollout to this revision has come: the object, and its pods while it is under way.
pub(super) async fn follow(target: &KubernetesTarget, id: &str) -> Result<Deployment, TargetError> {
    let workload = target.workload().await?;
    let counts = Counts::of(&workload);
    let now = workload.revision()?;
    if now.as_str() != id {
        let motion = Motion::Cancelled { reason: format!("another template took its place: {now}") };
        return Ok(Deployment { id: id.to_owned(), ..deployment(&workload, &counts, motion)? });
    }
    let containers = workload.containers(&target.spec.settings)?;
    let mut pods = Vec::new();
    if is_unsettled(&workload, &target.spec) {
        pods = pods_of(&target.cluster, &workload.namespace, std::slice::from_ref(&workload)).await?;
    }
    let ours = pods::of_workload(&pods, &workload);
    let motion = judge(&workload, &target.spec, &containers, &ours, SystemClock.now()).followed();
    deployment(&workload, &counts, motion)
}

/// The ready-made lists that `deploy` looks through: pods of this workload, with what troubles them.
pub(super) async fn pods_now(target: &KubernetesTarget, workload: &Workload) -> Result<Vec<Pod>, TargetError> {
    Ok(pods_of(&target.cluster, &workload.namespace, std::slice::from_ref(workload)).await?)
}
