//! Kubernetes manifests: what `kubectl apply`, Kustomize and Helm would put into a cluster.
//!
//! Multi-document YAML, `List`s and JSON. A `Secret` may stand between workloads: nothing but names and images leaves, and
//! what the parser says of a document is replaced by where it says it.

use super::planned::{Deed, PlanError, Planned};
use super::{Declared, DeclaredImage, Format, Place, Position, Subject};
use serde_json::Value;

/// For what compares with code: what it declares.
pub(super) const FORMAT: Format = Format {
    name: "kubernetes-manifest",
    detect,
    parse: |file, bytes| Ok(parse(file, bytes)?.into_iter().map(|planned| planned.declared).collect()),
};

/// Generous, so that the parser can say what is wrong with it.
fn detect(bytes: &[u8]) -> bool {
    let contains = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    contains(b"apiVersion") && contains(b"kind")
}

/// Every container of every workload that the documents describe.
pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Planned>, PlanError> {
    let text = String::from_utf8_lossy(bytes);
    let documents = serde_saphyr::from_multiple::<Value>(&text).map_err(|error| {
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let at = error.location().map(|at| Position { line: number(at.line()), column: number(at.column()) });
        PlanError::NotYaml { file: file.to_owned(), at: at.unwrap_or(Position::of(bytes, 0)) }
    })?;
    let objects: Vec<&Value> = documents.iter().flat_map(objects).collect();
    if !objects.iter().any(|object| is_object(object)) {
        return Err(PlanError::Unrecognised { file: file.to_owned() });
    }
    let mut planned: Vec<Planned> = objects.into_iter().flat_map(|object| workload(file, object)).collect();
    planned.sort();
    Ok(planned)
}

/// A document, or what a `List` (of whatever kind: `DeploymentList`) holds. Lists do not hold lists.
fn objects(document: &Value) -> Vec<&Value> {
    let is_list = text(document, &["kind"]).is_some_and(|kind| kind.ends_with("List"));
    match document.get("items").and_then(Value::as_array).filter(|_| is_list) {
        Some(items) => items.iter().collect(),
        None => vec![document],
    }
}

fn is_object(object: &Value) -> bool {
    text(object, &["apiVersion"]).is_some() && text(object, &["kind"]).is_some()
}

/// The way from an object to its pod's spec.
fn pod_path(object: &Value) -> Option<&'static [&'static str]> {
    let group = text(object, &["apiVersion"])?.split_once('/').map_or("", |(group, _)| group);
    match (group, text(object, &["kind"])?) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job") => {
            Some(&["spec", "template", "spec"])
        }
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template", "spec"]),
        ("", "Pod") => Some(&["spec"]),
        _ => None,
    }
}

fn workload(file: &str, object: &Value) -> Vec<Planned> {
    let (Some(path), Some(kind)) = (pod_path(object), text(object, &["kind"])) else { return Vec::new() };
    let Some(name) = word(object, &["metadata", "name"]) else { return Vec::new() };
    let namespace = word(object, &["metadata", "namespace"]).unwrap_or_default();
    let pod = path.iter().try_fold(object, |object, key| object.get(key));
    let lists = ["initContainers", "containers"].into_iter().filter_map(|key| pod?.get(key)?.as_array());
    let address = if namespace.is_empty() { format!("{kind}/{name}") } else { format!("{kind}/{namespace}/{name}") };
    let planned = |container: &Value| {
        let container_name = word(container, &["name"]).unwrap_or_default();
        let subject = Subject::Workload {
            kind: kind.to_owned(),
            namespace: namespace.clone(),
            name: name.clone(),
            container: container_name,
        };
        let image = match word(container, &["image"]) {
            Some(image) => DeclaredImage::Text(image),
            None => DeclaredImage::Unknown { why: "its `image` names no image".to_owned() },
        };
        let (source, address) = (file.to_owned(), address.clone());
        let declared = Declared { source, address, place: Place::default(), subject, image };
        Planned { declared, deed: Deed::Update, before: None }
    };
    lists.flatten().map(planned).collect()
}

/// The text at the end of this path.
fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(value, |value, key| value.get(key))?.as_str().filter(|text| !text.is_empty())
}

/// The same, where it can be a name or an image: one word. A text that runs on over lines may have swallowed a secret.
fn word(value: &Value, path: &[&str]) -> Option<String> {
    let is_word = |text: &&str| !text.contains(|c: char| c.is_whitespace() || c.is_control());
    text(value, path).filter(is_word).map(str::to_owned)
}
