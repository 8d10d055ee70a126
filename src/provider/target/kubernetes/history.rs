//! The templates that the cluster still keeps: ReplicaSets of a Deployment, ControllerRevisions of the other kinds.

use super::super::TargetError;
use super::super::kubernetes_settings::WorkloadKind;
use super::KubernetesTarget;
use super::cluster::Resource;
use super::workload::{Workload, plain, revision_of};
use crate::model::Revision;
use serde_json::Value;

impl KubernetesTarget {
    /// The template that a revision means: the present one, or one of those that are kept (`revisionHistoryLimit`).
    pub(super) async fn template_at(&self, workload: &Workload, revision: &Revision) -> Result<Value, TargetError> {
        if workload.revision()? == *revision {
            return Ok(workload.template().clone());
        }
        for template in self.kept(workload).await? {
            if revision_of(&workload.workload, &template)? == *revision {
                return Ok(template);
            }
        }
        let what = format!("{} keeps no template {revision} any more", workload.label());
        Err(TargetError::Refused { what, hint: "roll back without --exact: only the image goes back".to_owned() })
    }

    async fn kept(&self, workload: &Workload) -> Result<Vec<Value>, TargetError> {
        let (resource, path) = match workload.kind() {
            WorkloadKind::Deployment => (Resource::ReplicaSet, "/spec/template"),
            WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => {
                (Resource::ControllerRevision, "/data/spec/template")
            }
            // A CronJob keeps none.
            WorkloadKind::CronJob => return Ok(Vec::new()),
        };
        let owner = workload.text("/metadata/uid").unwrap_or_default();
        let objects = self.cluster.list(resource, &workload.namespace, None).await?;
        let ours = objects.iter().filter(|object| is_owned_by(object, owner));
        Ok(ours.filter_map(|object| object.pointer(path)).map(plain).collect())
    }
}

fn is_owned_by(object: &Value, uid: &str) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|owner| owner.get("uid").and_then(Value::as_str) == Some(uid))
}
