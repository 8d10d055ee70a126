//! A workload as the API server tells it: kept as it was written, so that nothing which is not known here is lost.

use super::super::kubernetes_settings::{WorkloadKind, WorkloadName};
use super::super::reference::Reference;
use super::super::{KubernetesSettings, TargetError};
use crate::model::{Attribution, Digest, Revision, SlotName};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The order that put the present template there: an order given twice is known again.
pub(super) const TOKEN: &str = "imgctl/token";
/// The rollout that it belonged to, for people.
pub(super) const ROLLOUT: &str = "imgctl/rollout";
/// Set with `spec.paused` by `imgctl abort`; the next order takes both away.
pub(super) const PAUSED: &str = "imgctl/paused";
/// What `kubectl rollout history` shows; the controller copies it to the ReplicaSet.
pub(super) const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
/// Put on every pod of a Deployment and of its ReplicaSets by the controller; no part of what a person wrote.
const HASH_LABEL: &str = "pod-template-hash";

/// One object of one of the four kinds.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    pub(super) workload: WorkloadName,
    pub(super) namespace: String,
    object: Value,
}

/// One container of the pod template that follows the channel.
#[derive(Debug, Clone)]
pub(super) struct Container {
    pub(super) slot: SlotName,
    /// Where it stands in the object, as a JSON pointer.
    pub(super) path: String,
    /// Its image as it is written there.
    pub(super) image: String,
    /// The same, completed as runtimes complete it.
    pub(super) reference: Reference,
}

impl Workload {
    pub(super) fn new(workload: WorkloadName, namespace: &str, object: Value) -> Self {
        Self { workload, namespace: namespace.to_owned(), object }
    }

    /// As errors and plans name it: `deployment shop/web`.
    pub(super) fn label(&self) -> String {
        label(&self.workload, &self.namespace)
    }

    pub(super) fn kind(&self) -> WorkloadKind {
        self.workload.kind
    }

    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        self.object.pointer(pointer)
    }

    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.at(pointer)?.as_str()
    }

    pub(super) fn flag(&self, pointer: &str) -> bool {
        self.at(pointer).and_then(Value::as_bool).unwrap_or_default()
    }

    /// A number that the server leaves out where it is nought.
    pub(super) fn count(&self, pointer: &str) -> u32 {
        self.at(pointer).and_then(Value::as_u64).and_then(|count| u32::try_from(count).ok()).unwrap_or(0)
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.at("/metadata/annotations")?.get(name)?.as_str()
    }

    pub(super) fn label_of(&self, name: &str) -> Option<&str> {
        self.at("/metadata/labels")?.get(name)?.as_str()
    }

    pub(super) fn resource_version(&self) -> &str {
        self.text("/metadata/resourceVersion").unwrap_or_default()
    }

    /// The controller has seen what the object says now. Until then, its status is about something else, and may well
    /// look complete.
    pub(super) fn is_observed(&self) -> bool {
        let number = |pointer| self.at(pointer).and_then(Value::as_i64).unwrap_or(0);
        number("/status/observedGeneration") >= number("/metadata/generation")
    }

    /// How many pods are wanted; one where nothing is said, as the API has it.
    pub(super) fn replicas(&self) -> u32 {
        if self.at("/spec/replicas").is_some() { self.count("/spec/replicas") } else { 1 }
    }

    /// Where the pod template stands.
    pub(super) fn template_path(&self) -> &'static str {
        match self.kind() {
            WorkloadKind::CronJob => "/spec/jobTemplate/spec/template",
            WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => "/spec/template",
        }
    }

    pub(super) fn template(&self) -> &Value {
        self.at(self.template_path()).unwrap_or(&Value::Null)
    }

    /// The stamp of what its pods are made from. Not the resourceVersion: that changes with every pod that dies, and a
    /// rollback of what crashes all the time could never be ordered. Nor the generation, which scaling raises.
    pub(super) fn revision(&self) -> Result<Revision, TargetError> {
        revision_of(&self.workload, self.template())
    }

    /// When imgctl last wrote to it, by the server's own clock.
    pub(super) fn written(&self) -> Option<Timestamp> {
        let entries = self.at("/metadata/managedFields")?.as_array()?;
        let ours = entries.iter().filter(|entry| {
            entry.get("manager").and_then(Value::as_str) == Some(super::cluster::FIELD_MANAGER)
                && entry.get("subresource").is_none()
        });
        ours.filter_map(|entry| entry.get("time")?.as_str()?.parse().ok()).max()
    }

    /// Who last wrote a container's image, by the fields that each manager owns
    /// (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>).
    pub(super) fn author(&self, container: Option<&str>) -> Option<Attribution> {
        let template: Vec<String> = self.template_path().split('/').skip(1).map(|key| format!("f:{key}")).collect();
        let owns = |entry: &Value| {
            let fields =
                template.iter().try_fold(entry.get("fieldsV1")?, |fields, key| fields.get(key))?.get("f:spec")?;
            let lists =
                ["f:containers", "f:initContainers"].into_iter().filter_map(|list| fields.get(list)?.as_object());
            let wanted = container.map(|name| format!("k:{{\"name\":\"{name}\"}}"));
            let is_it = |key: &str| key.starts_with("k:") && wanted.as_ref().is_none_or(|wanted| wanted == key);
            lists.flatten().any(|(key, fields)| is_it(key) && fields.get("f:image").is_some()).then_some(())
        };
        let entries = self.at("/metadata/managedFields")?.as_array()?.iter().filter(|entry| owns(entry).is_some());
        let said = entries.filter_map(|entry| {
            let at = entry.get("time").and_then(Value::as_str).and_then(|time| time.parse::<Timestamp>().ok());
            Some((at, entry.get("manager")?.as_str()?.to_owned()))
        });
        let (at, who) = said.max()?;
        Some(Attribution { who, at, source: "managedFields".to_owned() })
    }

    /// The containers that follow the channel. One that is not there must never be added: a strategic merge patch
    /// would do just that.
    pub(super) fn containers(&self, settings: &KubernetesSettings) -> Result<Vec<Container>, TargetError> {
        let found = self.all_containers();
        let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        let refused = |what: String, hint: &str| TargetError::Refused { what, hint: hint.to_owned() };
        if settings.containers.is_empty() {
            let plain: Vec<_> = found.iter().filter(|(_, path, _)| path.contains("/containers/")).collect();
            let [only] = plain.as_slice() else {
                let what = format!("{} has {} containers: {}", self.label(), plain.len(), names.join(", "));
                return Err(refused(what, "say which follows the channel: `container` in the config"));
            };
            return Ok(vec![self.container(only)?]);
        }
        let named = settings.containers.iter().map(|slot| {
            let Some(container) = found.iter().find(|(name, ..)| name == slot.as_str()) else {
                let what = format!("{} has no container {slot}; it has {}", self.label(), names.join(", "));
                return Err(refused(what, "mend `container` in the config"));
            };
            self.container(container)
        });
        named.collect()
    }

    /// Name, path and image of each. Names are unique among containers and init containers (PodSpec).
    fn all_containers(&self) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for list in ["containers", "initContainers"] {
            let path = format!("{}/spec/{list}", self.template_path());
            for (index, container) in self.at(&path).and_then(Value::as_array).into_iter().flatten().enumerate() {
                let text = |key| container.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                found.push((text("name"), format!("{path}/{index}"), text("image")));
            }
        }
        found
    }

    fn container(&self, (name, path, image): &(String, String, String)) -> Result<Container, TargetError> {
        let unreadable =
            |what: String| TargetError::Refused { what, hint: "mend the image in its manifest".to_owned() };
        let slot = name.parse().map_err(|_| unreadable(format!("{} has a container without a name", self.label())))?;
        let reference = Reference::read(image).ok_or_else(|| {
            unreadable(format!(
                "container {name} of {} has the image `{image}`, which no runtime can read",
                self.label()
            ))
        })?;
        Ok(Container { slot, path: path.clone(), image: image.clone(), reference })
    }
}

/// As errors and plans name it: `deployment shop/web`.
pub(super) fn label(workload: &WorkloadName, namespace: &str) -> String {
    format!("{} {namespace}/{}", workload.kind.word(), workload.name)
}

/// `deployment/web:3f9a1c2b4d5e`: kind, name, and a hash of what a template says.
pub(super) fn revision_of(workload: &WorkloadName, template: &Value) -> Result<Revision, TargetError> {
    let unreadable = || TargetError::Refused { what: format!("{workload} has no pod template"), hint: String::new() };
    let bytes = serde_json_canonicalizer::to_vec(&plain(template)).map_err(|_| unreadable())?;
    let digest = Digest::of(&bytes);
    let hash: String = digest.as_str().trim_start_matches("sha256:").chars().take(12).collect();
    format!("{workload}:{hash}").parse().map_err(|_| unreadable())
}

/// A template without what only its keepers add: ReplicaSets hold it with the hash as a label, ControllerRevisions
/// with a patch directive, and old servers with empty times.
pub(super) fn plain(template: &Value) -> Value {
    let mut plain = without_nulls(template);
    if let Some(template) = plain.as_object_mut() {
        template.remove("$patch");
    }
    if let Some(labels) = plain.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    plain
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// What differs between two templates, a line each. Values that may be secret, or are long, are not shown.
pub(super) fn differences(from: &Value, to: &Value) -> Vec<String> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    flatten(&plain(from), "", &mut before);
    flatten(&plain(to), "", &mut after);
    let paths: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = paths.into_iter().filter(|path| before.get(*path) != after.get(*path));
    changed.map(|path| format!("{path}: {}", change(path, before.get(path), after.get(path)))).collect()
}

fn change(path: &str, from: Option<&Value>, to: Option<&Value>) -> String {
    const SILENT: [&str; 4] = [".env", ".args", ".command", "annotations"];
    let show = |value: Option<&Value>| match value {
        None => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let (from_text, to_text) = (show(from), show(to));
    let secret = SILENT.iter().any(|word| path.contains(word)) || from_text.len().max(to_text.len()) > 120;
    match (from, to) {
        (None, _) if secret => "added".to_owned(),
        (_, None) if secret => "removed".to_owned(),
        _ if secret => "changed".to_owned(),
        _ => format!("{from_text} → {to_text}"),
    }
}

/// Every leaf by its path; items of a list by their `name`, where they have one.
fn flatten(value: &Value, path: &str, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                flatten(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, leaves);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let name = item.get("name").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned);
                flatten(item, &format!("{path}[{name}]"), leaves);
            }
        }
        leaf => drop(leaves.insert(path.to_owned(), leaf.clone())),
    }
}
