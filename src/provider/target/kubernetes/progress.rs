//! How far a rollout has come: our own condition over generation, updated, ready and available, per kind as
//! `kubectl rollout status` has it (kubectl, `pkg/polymorphichelpers/rollout_status.go`).

use super::super::kubernetes_settings::WorkloadKind;
use super::pods::{Trouble, partition};
use super::workload::{PAUSED, Workload};
use crate::model::Motion;
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// What the controller has made of the present template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// Every pod that is wanted is of this template, and available.
    Done,
    /// The controller is at it.
    Moving {
        phase: &'static str,
        note: Option<String>,
    },
    /// The controller has done what it does, and it is not whole: it waits for a person, a node or a probe.
    Waiting {
        phase: &'static str,
        note: Option<String>,
    },
    Failed {
        reason: String,
    },
    /// Stopped by imgctl itself.
    Stopped,
}

impl Progress {
    /// As one deployment that is followed to its end: what waits may still get there.
    pub(super) fn followed(self) -> Motion {
        match self {
            Self::Done => Motion::Succeeded,
            Self::Moving { phase, note } | Self::Waiting { phase, note } => {
                Motion::Moving { phase: phase.to_owned(), note }
            }
            Self::Failed { reason } => Motion::Failed { reason },
            Self::Stopped => Motion::Cancelled { reason: "paused by imgctl abort".to_owned() },
        }
    }

    /// As one that somebody may wait for: nobody should have to wait for what waits itself.
    pub(super) fn observed(self) -> Option<Motion> {
        match self {
            Self::Waiting { .. } => None,
            other => Some(other.followed()),
        }
    }
}

/// Pods by how far they are. `wanted` counts those that are to be of the present template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) wanted: u32,
    pub(super) updated: u32,
    pub(super) available: u32,
    /// Old and new.
    pub(super) total: u32,
}

impl Counts {
    pub(super) fn of(workload: &Workload) -> Self {
        let count = |field: &str| workload.count(&format!("/status/{field}"));
        match workload.kind() {
            WorkloadKind::Deployment => Self {
                wanted: workload.replicas(),
                updated: count("updatedReplicas"),
                available: count("availableReplicas"),
                total: count("replicas"),
            },
            // Below the partition pods keep what they run: they are not counted.
            WorkloadKind::StatefulSet => {
                let replicas = workload.replicas();
                let held = partition(workload).min(replicas);
                let available = count("availableReplicas").min(count("readyReplicas"));
                let (wanted, missing) = (replicas - held, replicas.saturating_sub(available));
                let updated = Self::updated_of_set(workload, wanted);
                let total = count("replicas").saturating_sub(held);
                Self { wanted, updated, available: wanted.saturating_sub(missing), total }
            }
            WorkloadKind::DaemonSet => Self {
                wanted: count("desiredNumberScheduled"),
                updated: count("updatedNumberScheduled"),
                available: count("numberAvailable"),
                total: count("currentNumberScheduled"),
            },
            WorkloadKind::CronJob => Self { wanted: 0, updated: 0, available: 0, total: 0 },
        }
    }

    /// Once its revisions are equal, a StatefulSet's `updatedReplicas` is no longer kept.
    fn updated_of_set(workload: &Workload, wanted: u32) -> u32 {
        let revision = |field: &str| workload.text(&format!("/status/{field}")).unwrap_or_default();
        let is_one = revision("updateRevision") == revision("currentRevision");
        if is_one { wanted } else { workload.count("/status/updatedReplicas").min(wanted) }
    }

    pub(super) fn left(&self) -> u32 {
        self.wanted.saturating_sub(self.updated.min(self.available))
    }

    pub(super) fn percent(&self) -> u32 {
        ((self.wanted - self.left().min(self.wanted)) * 100).checked_div(self.wanted).unwrap_or(100)
    }

    fn is_replaced(&self) -> bool {
        self.updated >= self.wanted && self.total <= self.wanted.max(self.updated)
    }

    fn note(&self) -> String {
        format!("{} of {} updated, {} available", self.updated, self.wanted, self.available)
    }
}

/// What is known besides the object's own status.
pub(super) struct Signs<'a> {
    /// What keeps pods of the present template from starting; empty where pods were not read.
    pub(super) troubles: &'a [Trouble],
    pub(super) now: Timestamp,
    /// How long a pod may be in trouble.
    pub(super) patience: Duration,
}

/// Judges the rollout of the present template.
pub(super) fn progress(workload: &Workload, signs: &Signs<'_>) -> Progress {
    if workload.kind() == WorkloadKind::CronJob {
        // Its template is all there is: the next run takes it.
        return Progress::Done;
    }
    if workload.flag("/spec/paused") {
        if workload.annotation(PAUSED).is_some() {
            return Progress::Stopped;
        }
        return Progress::Waiting { phase: "Paused", note: None };
    }
    if !workload.is_observed() {
        return Progress::Moving { phase: "Accepted", note: None };
    }
    if let Some(reason) = failed(workload, signs) {
        return Progress::Failed { reason };
    }
    let counts = Counts::of(workload);
    let note =
        Some(signs.troubles.first().map_or_else(|| refusal(workload).unwrap_or(counts.note()), |t| t.what.clone()));
    if counts.is_replaced() {
        if counts.available >= counts.wanted {
            return Progress::Done;
        }
        if is_past(workload) {
            return Progress::Waiting { phase: "Unavailable", note };
        }
    }
    if is_by_hand(workload) {
        return Progress::Waiting { phase: "OnDelete", note: Some(by_hand(&counts)) };
    }
    Progress::Moving { phase: "Progressing", note }
}

/// The controller gave up, or a new pod has been in trouble for too long.
fn failed(workload: &Workload, signs: &Signs<'_>) -> Option<String> {
    let stuck = signs.troubles.iter().find(|trouble| trouble.is_stuck(signs.now, signs.patience));
    let reason = condition(workload, "Progressing")
        .filter(|progressing| field(progressing, "reason") == "ProgressDeadlineExceeded")
        .filter(|progressing| !is_stale(workload, progressing))
        .map(|progressing| format!("ProgressDeadlineExceeded: {}", field(progressing, "message")));
    let why = signs.troubles.first().map(|trouble| trouble.what.clone()).or_else(|| refusal(workload));
    match (reason, stuck) {
        (Some(reason), _) => Some(why.map_or(reason.clone(), |why| format!("{reason} {why}"))),
        (None, Some(stuck)) => Some(stuck.what.clone()),
        (None, None) => None,
    }
}

/// The controller keeps the last rollout's verdict until this one makes progress: a rollback out of a failed rollout
/// begins under `ProgressDeadlineExceeded`. It counts only when it is newer than our own write.
fn is_stale(workload: &Workload, progressing: &Value) -> bool {
    let updated: Option<Timestamp> = field(progressing, "lastUpdateTime").parse().ok();
    matches!((workload.written(), updated), (Some(written), Some(updated)) if updated < written)
}

/// Nothing is rolled out any more; what is missing was lost afterwards. No deadline fires for that.
fn is_past(workload: &Workload) -> bool {
    match workload.kind() {
        WorkloadKind::Deployment => condition(workload, "Progressing")
            .is_some_and(|progressing| field(progressing, "reason") == "NewReplicaSetAvailable"),
        // They keep no record of having been whole: a node that is down must not make them look busy for ever.
        WorkloadKind::StatefulSet | WorkloadKind::DaemonSet | WorkloadKind::CronJob => true,
    }
}

/// Pods that are replaced only when somebody deletes them.
pub(super) fn is_by_hand(workload: &Workload) -> bool {
    workload.text("/spec/updateStrategy/type") == Some("OnDelete")
}

fn by_hand(counts: &Counts) -> String {
    let left = counts.wanted.saturating_sub(counts.updated);
    format!("updateStrategy is OnDelete: {left} of {} pods are to be deleted by hand", counts.wanted)
}

/// Why the controller could not make a pod: a quota, an admission rule.
fn refusal(workload: &Workload) -> Option<String> {
    let condition = condition(workload, "ReplicaFailure").filter(|condition| field(condition, "status") == "True")?;
    Some(format!("{}: {}", field(condition, "reason"), field(condition, "message")))
}

fn condition<'a>(workload: &'a Workload, kind: &str) -> Option<&'a Value> {
    let conditions = workload.at("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| field(condition, "type") == kind)
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
