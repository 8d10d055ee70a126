//! Pods: what really runs, and what keeps a new one from starting.

use super::super::kubernetes_settings::WorkloadKind;
use super::super::reference::Reference;
use super::workload::{Container, Workload};
use crate::model::{Digest, ImageRef};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Reasons of a waiting container that do not pass by waiting (kubelet, `pkg/kubelet/images` and `kuberuntime`).
const HARD: [&str; 8] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];
/// A message of a runtime can be a page long.
const LONGEST: usize = 240;

/// The pods that this workload's controller made, those on their way out left aside.
pub(super) fn of_workload<'a>(pods: &'a [Pod], workload: &Workload) -> Vec<&'a Pod> {
    let held = partition(workload);
    let ours = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none() && is_ours(pod, workload));
    ours.filter(|pod| ordinal(pod).is_none_or(|ordinal| ordinal >= held)).filter(|pod| !is_over(pod)).collect()
}

/// A Deployment owns its pods through a ReplicaSet, which its controller names after the pods' hash.
fn is_ours(pod: &Pod, workload: &Workload) -> bool {
    let Some(owner) = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
    else {
        return false;
    };
    match workload.kind() {
        WorkloadKind::Deployment => {
            let hash = pod.metadata.labels.as_ref().and_then(|labels| labels.get("pod-template-hash"));
            owner.kind == "ReplicaSet"
                && hash.is_some_and(|hash| owner.name == format!("{}-{hash}", workload.workload.name))
        }
        WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => {
            Some(owner.uid.as_str()) == workload.text("/metadata/uid")
        }
        // What a CronJob started runs to its end with what it was started with.
        WorkloadKind::CronJob => false,
    }
}

/// Pods of a StatefulSet below this ordinal are meant to keep what they run.
pub(super) fn partition(workload: &Workload) -> u32 {
    match workload.kind() {
        WorkloadKind::StatefulSet => workload.count("/spec/updateStrategy/rollingUpdate/partition"),
        WorkloadKind::Deployment | WorkloadKind::DaemonSet | WorkloadKind::CronJob => 0,
    }
}

/// Only a StatefulSet's pods have one.
fn ordinal(pod: &Pod) -> Option<u32> {
    let is_stateful = pod.metadata.owner_references.iter().flatten().any(|owner| owner.kind == "StatefulSet");
    let name = pod.metadata.name.as_deref().filter(|_| is_stateful)?;
    name.rsplit_once('-')?.1.parse().ok()
}

/// Evicted, or run to its end: its controller has put another in its place.
fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub(super) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// What the ready pods run: image → pods. A pod that does not answer its probe runs nothing that counts.
pub(super) fn running(pods: &[&Pod], containers: &[Container]) -> BTreeMap<ImageRef, u32> {
    let mut running = BTreeMap::new();
    for pod in pods.iter().filter(|pod| is_ready(pod)) {
        let images: BTreeSet<ImageRef> = containers.iter().filter_map(|container| image_of(pod, container)).collect();
        for image in images {
            *running.entry(image).or_insert(0) += 1;
        }
    }
    running
}

/// The image that a container of this pod runs. Where the pod names a digest, that is what the runtime was made to
/// check: `imageID` may be the index's digest or the platform's, by runtime, and may name another repository that
/// holds the same bytes. Where it names a tag, `imageID` is all that tells.
fn image_of(pod: &Pod, container: &Container) -> Option<ImageRef> {
    let written = Reference::read(spec_image(pod, container)?)?;
    if let Some(pinned) = written.pinned() {
        // An admission webhook may have put a mirror before it: the same digest is the same image.
        let same = written.digest == container.reference.digest;
        return if same { container.reference.pinned() } else { Some(pinned) };
    }
    let status = statuses(pod).find(|status| status.name == container.slot.as_str())?;
    let digest: Digest = status.image_id.rsplit_once('@')?.1.parse().ok()?;
    Some(ImageRef::Oci { repository: written.repository, digest })
}

fn spec_image<'a>(pod: &'a Pod, container: &Container) -> Option<&'a str> {
    let spec = pod.spec.as_ref()?;
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    all.into_iter().find(|own| own.name == container.slot.as_str())?.image.as_deref()
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| {
        status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten())
    })
}

/// The pod is made from the present template, as far as its images tell.
pub(super) fn is_current(pod: &Pod, containers: &[Container]) -> bool {
    containers.iter().all(|container| {
        let Some(image) = spec_image(pod, container) else { return false };
        let written = Reference::read(image);
        let same = |written: &Reference| match &container.reference.digest {
            Some(digest) => written.digest.as_ref() == Some(digest),
            // A webhook may have resolved the tag.
            None => written.repository == container.reference.repository && written.digest.is_some(),
        };
        image == container.image || written.as_ref().is_some_and(same)
    })
}

/// What keeps a pod from running, in one line.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) pod: String,
    pub(super) uid: String,
    /// `pod web-1: container app: ImagePullBackOff: …`.
    pub(super) what: String,
    since: Option<Timestamp>,
    /// It will not pass by itself.
    pub(super) is_hard: bool,
}

impl Trouble {
    /// It has lasted so long that waiting on makes no sense.
    pub(super) fn is_stuck(&self, now: Timestamp, patience: Duration) -> bool {
        let age = self.since.map(|since| Duration::try_from(now.duration_since(since)).unwrap_or_default());
        self.is_hard && age.is_some_and(|age| age >= patience)
    }
}

/// The troubles of these pods, the worst first.
pub(super) fn troubles(pods: &[&Pod]) -> Vec<Trouble> {
    let mut troubles: Vec<Trouble> = pods.iter().filter_map(|pod| trouble(pod)).collect();
    troubles.sort_by(|a, b| b.is_hard.cmp(&a.is_hard).then_with(|| a.pod.cmp(&b.pod)));
    troubles
}

fn trouble(pod: &Pod) -> Option<Trouble> {
    let (what, is_hard) = statuses(pod).find_map(waiting).or_else(|| unscheduled(pod).map(|what| (what, false)))?;
    Some(Trouble {
        pod: name(pod).to_owned(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        what: format!("pod {}: {what}", name(pod)),
        since: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
        is_hard,
    })
}

/// Why a container waits, and whether it waits for ever. One crash may be a dependency that was not there yet.
fn waiting(status: &ContainerStatus) -> Option<(String, bool)> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| HARD.contains(reason))?;
    let crash = reason == "CrashLoopBackOff";
    let exit = status.last_state.as_ref().and_then(|state| state.terminated.as_ref()).map(|end| end.exit_code);
    let detail = match exit.filter(|_| crash) {
        Some(code) => format!("exit code {code}, started {} times", status.restart_count + 1),
        None => shorten(waiting.message.as_deref().unwrap_or("it says nothing")),
    };
    Some((format!("container {}: {reason}: {detail}", status.name), !crash || status.restart_count >= 2))
}

fn unscheduled(pod: &Pod) -> Option<String> {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let condition =
        conditions.into_iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some(format!("not scheduled: {}", shorten(condition.message.as_deref().unwrap_or("the scheduler says nothing"))))
}

fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= LONGEST { line.to_owned() } else { line.chars().take(LONGEST).chain(['…']).collect() }
}
