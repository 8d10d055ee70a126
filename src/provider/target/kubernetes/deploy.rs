//! One step on one workload: a JSON patch under the resourceVersion that was read, and nothing done twice.

use super::super::kubernetes_settings::WorkloadKind;
use super::super::{Deployed, Order, TargetError};
use super::workload::{CHANGE_CAUSE, Container, PAUSED, ROLLOUT, TOKEN, Workload, label, revision_of};
use super::{KubeError, KubernetesTarget, pods, survey};
use crate::model::{ImageRef, Obstacle, Outlook, SlotName, Step};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How often the object may change between our read and our write without its template changing: a status is written
/// with every pod that starts or dies.
const RACES: usize = 10;
/// Put into the template where it is right already and pods are not, as `kubectl rollout restart` does.
const RESTARTED: &str = "imgctl/restarted";

/// One container and the image that it shall have.
struct Change<'a> {
    container: &'a Container,
    to: &'a ImageRef,
}

impl KubernetesTarget {
    pub(super) async fn carry_out(&self, order: &Order<'_>) -> Result<Deployed, TargetError> {
        for _ in 0..RACES {
            let workload = self.workload().await?;
            let containers = workload.containers(&self.spec.settings)?;
            let revision = workload.revision()?;
            let is_done = workload.annotation(TOKEN) == Some(&order.token) && holds(&containers, order.step)?;
            if is_done {
                return self.ordered(&workload);
            }
            if revision != order.step.expect {
                let expected = order.step.expect.clone();
                return Err(TargetError::Moved { target: self.spec.id.clone(), expected, found: revision });
            }
            if let Some(Obstacle { what, fix }) = survey::obstacles(&workload, &self.spec).into_iter().next() {
                return Err(TargetError::Refused { what, hint: fix });
            }
            let operations = self.operations(&workload, &containers, order).await?;
            match self.patch(&workload, &operations, false).await {
                Ok(changed) => {
                    self.clear_the_way(&changed).await?;
                    return self.ordered(&changed);
                }
                // Somebody wrote first: looked at again, it is known whether that matters.
                Err(KubeError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let what = format!("{} keeps changing while it is written to", self.spec.settings.workload);
        Err(TargetError::Refused {
            what,
            hint: "find out who writes to it: kubectl get --show-managed-fields".to_owned(),
        })
    }

    fn ordered(&self, workload: &Workload) -> Result<Deployed, TargetError> {
        let revision = workload.revision()?;
        let deployment = (workload.kind() != WorkloadKind::CronJob).then(|| revision.to_string());
        Ok(Deployed { revision, deployment })
    }

    async fn patch(&self, workload: &Workload, operations: &[Value], dry_run: bool) -> Result<Workload, KubeError> {
        let (namespace, name) = (&workload.namespace, &workload.workload.name);
        let object = self.cluster.patch(self.resource(), namespace, name, operations, dry_run).await?;
        Ok(Workload::new(workload.workload.clone(), namespace, object))
    }

    /// The whole patch. JSON patch, and no other kind: a strategic merge adds a container where the name is unknown, a
    /// merge patch replaces the list and drops the sidecars, and applying would take the field from who owns it.
    async fn operations(
        &self,
        workload: &Workload,
        containers: &[Container],
        order: &Order<'_>,
    ) -> Result<Vec<Value>, TargetError> {
        let changes = changes(containers, order.step)?;
        let mut operations = vec![precondition(workload)];
        match &order.step.exact {
            Some(exact) if *exact != order.step.expect => {
                // Where nothing else was changed since, the way back needs no kept template; a CronJob has none.
                let template = match with_images(workload, &changes) {
                    template if revision_of(&workload.workload, &template)? == *exact => template,
                    _ => self.template_at(workload, exact).await?,
                };
                check_template(workload, &template, &changes, exact.as_str())?;
                operations.push(json!({"op": "replace", "path": workload.template_path(), "value": template}));
            }
            _ => operations.extend(changes.iter().flat_map(replace)),
        }
        if order.step.exact.is_none() && self.is_mixed(workload, containers, order.step).await? {
            operations.extend(annotate(
                workload,
                &format!("{}/metadata", workload.template_path()),
                RESTARTED,
                &order.token,
            ));
        }
        operations.extend(remarks(workload, order));
        if workload.annotation(PAUSED).is_some() {
            operations.push(json!({"op": "remove", "path": format!("/metadata/annotations/{}", escape(PAUSED))}));
            operations.push(json!({"op": "remove", "path": "/spec/paused"}));
        }
        Ok(operations)
    }

    /// The template is right, and some pod was changed beside it: only a new template replaces it.
    async fn is_mixed(&self, workload: &Workload, containers: &[Container], step: &Step) -> Result<bool, TargetError> {
        if workload.kind() == WorkloadKind::CronJob || !holds(containers, step)? || !workload.is_observed() {
            return Ok(false);
        }
        let pods = survey::pods_now(self, workload).await?;
        let ours = pods::of_workload(&pods, workload);
        let strange = ours.iter().any(|pod| !pods::is_current(pod, containers));
        // While a rollout is under way old pods are no strangers.
        let counts = super::progress::Counts::of(workload);
        Ok(strange && counts.left() == 0 && counts.total <= counts.wanted)
    }

    /// A StatefulSet with ordered pods waits for a broken pod before it replaces it, for ever, also when its template
    /// is mended: it has to be deleted (kubernetes.io/docs/concepts/workloads/controllers/statefulset, "Forced
    /// rollback"). Without the right to do so the rollout says which pod it is.
    async fn clear_the_way(&self, workload: &Workload) -> Result<(), TargetError> {
        let ordered = workload.text("/spec/podManagementPolicy") != Some("Parallel");
        if workload.kind() != WorkloadKind::StatefulSet || !ordered {
            return Ok(());
        }
        let containers = workload.containers(&self.spec.settings)?;
        let pods = survey::pods_now(self, workload).await?;
        let ours = pods::of_workload(&pods, workload);
        let old: Vec<_> = ours.into_iter().filter(|pod| !pods::is_current(pod, &containers)).collect();
        for trouble in pods::troubles(&old).iter().filter(|trouble| trouble.is_hard) {
            match self.cluster.delete_pod(&workload.namespace, &trouble.pod, &trouble.uid).await {
                Ok(()) | Err(KubeError::NotFound { .. } | KubeError::Conflict { .. } | KubeError::Forbidden { .. }) => {
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The same patch, which the server takes through every check and does not store (`dryRun=All`).
    pub(super) async fn rehearse(&self, step: &Step) -> Result<Outlook, TargetError> {
        let label = label(&self.spec.settings.workload, &self.namespace().await?);
        let first = match self.cluster.take(&label) {
            Some(read) => Some(self.rehearse_with(&read, step).await?),
            None => None,
        };
        let rehearsed = match first {
            Some(Err(KubeError::Conflict { .. })) | None => self.rehearse_with(&self.workload().await?, step).await?,
            Some(answer) => answer,
        };
        let error = match rehearsed {
            // A conflict says that the write itself was allowed to be tried.
            Ok(_) | Err(KubeError::Conflict { .. }) => return Ok(Outlook::default()),
            Err(error) => error,
        };
        match &error {
            KubeError::Forbidden { .. } | KubeError::Admission { .. } | KubeError::Invalid { .. } => {
                let obstacle = Obstacle { what: format!("would not be moved: {error}"), fix: error.hint() };
                Ok(Outlook { obstacles: vec![obstacle], ..Outlook::default() })
            }
            _ => Err(error.into()),
        }
    }

    async fn rehearse_with(&self, read: &Workload, step: &Step) -> Result<Result<Workload, KubeError>, TargetError> {
        let containers = read.containers(&self.spec.settings)?;
        let mut operations = vec![precondition(read)];
        operations.extend(changes_of_some(&containers, step).iter().flat_map(replace));
        Ok(self.patch(read, &operations, true).await)
    }

    /// Stops a rollout where it is: a Deployment is paused, and goes on with the next order.
    pub(super) async fn stop(&self, deployment: &str) -> Result<(), TargetError> {
        for _ in 0..RACES {
            let workload = self.workload().await?;
            if workload.revision()?.as_str() != deployment || workload.flag("/spec/paused") {
                return Ok(());
            }
            if workload.kind() != WorkloadKind::Deployment {
                let what = format!("the rollout of {} cannot be stopped half way, only replaced", workload.label());
                return Err(TargetError::Refused { what, hint: "imgctl rollback puts the image back".to_owned() });
            }
            let mut operations =
                vec![precondition(&workload), json!({"op": "add", "path": "/spec/paused", "value": true})];
            operations.extend(annotate(&workload, "/metadata", PAUSED, deployment));
            match self.patch(&workload, &operations, false).await {
                Ok(_) => return Ok(()),
                Err(KubeError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let what = format!("{} keeps changing while it is written to", self.spec.settings.workload);
        Err(TargetError::Refused { what, hint: "run the same command again".to_owned() })
    }
}

/// Set to what was read, the resourceVersion makes the server compare before it writes, and answer 409 (a `test` of it
/// would be a 422 that says nothing).
fn precondition(workload: &Workload) -> Value {
    json!({"op": "replace", "path": "/metadata/resourceVersion", "value": workload.resource_version()})
}

/// Every container of the step with its image; the step must speak of all that follow the channel.
fn changes<'a>(containers: &'a [Container], step: &'a Step) -> Result<Vec<Change<'a>>, TargetError> {
    let missing = |slot: &SlotName| TargetError::Refused {
        what: format!("the step has no container image for {slot}"),
        hint: "plan again: the containers in the config have changed".to_owned(),
    };
    let found = changes_of_some(containers, step);
    match containers.iter().find(|container| !found.iter().any(|change| change.container.slot == container.slot)) {
        Some(container) => Err(missing(&container.slot)),
        None => Ok(found),
    }
}

fn changes_of_some<'a>(containers: &'a [Container], step: &'a Step) -> Vec<Change<'a>> {
    let change = |container: &'a Container| {
        let to = &step.slots.get(&container.slot)?.to;
        matches!(to, ImageRef::Oci { .. }).then_some(Change { container, to })
    };
    containers.iter().filter_map(change).collect()
}

/// Every container has the image of the step, as it would be written.
fn holds(containers: &[Container], step: &Step) -> Result<bool, TargetError> {
    Ok(changes(containers, step)?.iter().all(|change| change.container.image == change.to.to_string()))
}

/// The name is tested first: an index into a list that was read is only as good as the list.
fn replace(change: &Change<'_>) -> [Value; 2] {
    let path = &change.container.path;
    [
        json!({"op": "test", "path": format!("{path}/name"), "value": change.container.slot.as_str()}),
        json!({"op": "replace", "path": format!("{path}/image"), "value": change.to.to_string()}),
    ]
}

/// Who did it, for `kubectl rollout history`, and for a process that comes after a crash.
fn remarks(workload: &Workload, order: &Order<'_>) -> Vec<Value> {
    let remarks = BTreeMap::from([
        (CHANGE_CAUSE, format!("imgctl rollout {}: {}", order.rollout, order.image)),
        (ROLLOUT, order.rollout.to_string()),
        (TOKEN, order.token.clone()),
    ]);
    if workload.at("/metadata/annotations").is_none() {
        return vec![json!({"op": "add", "path": "/metadata/annotations", "value": remarks})];
    }
    remarks.iter().flat_map(|(name, value)| annotate(workload, "/metadata", name, value)).collect()
}

/// One annotation; the map is made where there is none.
fn annotate(workload: &Workload, metadata: &str, name: &str, value: &str) -> Vec<Value> {
    let path = format!("{metadata}/annotations");
    if workload.at(&path).is_some() {
        return vec![json!({"op": "add", "path": format!("{path}/{}", escape(name)), "value": value})];
    }
    vec![json!({"op": "add", "path": path, "value": {name: value}})]
}

/// A name as one part of a JSON pointer (RFC 6901).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The present template with these images.
fn with_images(workload: &Workload, changes: &[Change<'_>]) -> Value {
    let mut template = workload.template().clone();
    for change in changes {
        let inside = change.container.path.strip_prefix(workload.template_path()).unwrap_or_default();
        if let Some(image) = template.pointer_mut(&format!("{inside}/image")) {
            *image = json!(change.to.to_string());
        }
    }
    template
}

/// A kept template must hold the image that the step is about.
fn check_template(
    workload: &Workload,
    template: &Value,
    changes: &[Change<'_>],
    exact: &str,
) -> Result<(), TargetError> {
    for change in changes {
        let inside = change.container.path.strip_prefix(workload.template_path()).unwrap_or_default();
        let kind = inside.rsplit_once('/').map_or("", |(list, _)| list);
        let list = template.pointer(kind).and_then(Value::as_array);
        let text =
            |container: &Value, key: &str| container.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let found = list.into_iter().flatten().find(|own| text(own, "name") == change.container.slot.as_str());
        if found.map(|own| text(own, "image")) != Some(change.to.to_string()) {
            let what = format!("{exact} does not hold {} in container {}", change.to, change.container.slot);
            return Err(TargetError::Refused { what, hint: "roll back without --exact".to_owned() });
        }
    }
    Ok(())
}
