//! A task definition as AWS tells it: immutable but for its status and tags, and read field by field from its own JSON.

use super::super::reference::Reference;
use crate::model::{Attribution, ImageRef, SlotName};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

/// What DescribeTaskDefinition tells and RegisterTaskDefinition does not take: AWS sets these itself.
const AWS_SETS: [&str; 9] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
];

/// One revision of a family.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Definition {
    pub(super) arn: String,
    pub(super) family: String,
    /// `taskDefinition`, whole: fields that came after this imgctl are kept as they are.
    fields: Map<String, Value>,
    tags: Vec<Value>,
}

impl Definition {
    /// Who registered it, and when (TaskDefinition: registeredBy, registeredAt in seconds).
    pub(super) fn author(&self) -> Option<Attribution> {
        let who = self.fields.get("registeredBy")?.as_str()?.to_owned();
        let seconds = self.fields.get("registeredAt").and_then(Value::as_f64);
        let span = seconds.and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok());
        let at = span.and_then(|span| Timestamp::from_duration(span).ok());
        Some(Attribution { who, at, source: "DescribeTaskDefinition".to_owned() })
    }

    /// Reads DescribeTaskDefinition's or RegisterTaskDefinition's answer.
    pub(super) fn new(answer: Value) -> Option<Self> {
        let Value::Object(mut answer) = answer else { return None };
        let Some(Value::Object(fields)) = answer.remove("taskDefinition") else { return None };
        let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
        let tags = match answer.remove("tags") {
            Some(Value::Array(tags)) => tags,
            _ => Vec::new(),
        };
        Some(Self { arn: text("taskDefinitionArn")?, family: text("family")?, fields, tags })
    }

    /// Services and tasks can be pointed at it: it was neither deregistered nor deleted.
    pub(super) fn is_active(&self) -> bool {
        self.status() == "ACTIVE"
    }

    pub(super) fn status(&self) -> &str {
        self.fields.get("status").and_then(Value::as_str).unwrap_or("unknown")
    }

    fn containers(&self) -> impl Iterator<Item = &Value> {
        self.fields.get("containerDefinitions").and_then(Value::as_array).into_iter().flatten()
    }

    /// Each container's name with its image, as they stand there.
    pub(super) fn container_images(&self) -> impl Iterator<Item = (&str, &str)> {
        self.containers().filter_map(|container| {
            let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
            Some((container.get("name")?.as_str()?, image))
        })
    }

    /// The image of one container, as it stands there.
    pub(super) fn image(&self, container: &SlotName) -> Option<&str> {
        self.container_images().find(|(name, _)| *name == container.as_str()).map(|(_, image)| image)
    }

    /// It pins this container to this very address.
    pub(super) fn holds(&self, container: &SlotName, wanted: &ImageRef) -> bool {
        self.image(container).and_then(Reference::read).and_then(|image| image.pinned()).as_ref() == Some(wanted)
    }

    /// OCI's word for the processor that its tasks are started on, where it says so (`runtimePlatform`).
    pub(super) fn architecture(&self) -> Option<&'static str> {
        match self.fields.get("runtimePlatform")?.get("cpuArchitecture")?.as_str()? {
            "ARM64" => Some("arm64"),
            "X86_64" => Some("amd64"),
            _ => None,
        }
    }

    /// What RegisterTaskDefinition is sent for one like it in everything, with this image in this container. Tags that
    /// begin with `aws:` are AWS's own and refused.
    pub(super) fn registration(&self, container: &SlotName, image: &str) -> Value {
        let kept = self.fields.iter().filter(|(key, _)| !AWS_SETS.contains(&key.as_str()));
        let mut request: Map<String, Value> = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
        for each in request.get_mut("containerDefinitions").and_then(Value::as_array_mut).into_iter().flatten() {
            if each.get("name").and_then(Value::as_str) == Some(container.as_str())
                && let Some(fields) = each.as_object_mut()
            {
                fields.insert("image".to_owned(), json!(image));
            }
        }
        let tags = self.own_tags();
        if !tags.is_empty() {
            request.insert("tags".to_owned(), json!(tags));
        }
        Value::Object(request)
    }

    fn own_tags(&self) -> Vec<&Value> {
        let key = |tag: &Value| tag.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut tags: Vec<&Value> = self.tags.iter().filter(|tag| !key(tag).starts_with("aws:")).collect();
        tags.sort_by_key(|tag| key(tag));
        tags
    }

    /// What would be registered is what this revision is: no second one is needed.
    pub(super) fn is_like(&self, request: &Value) -> bool {
        let Some(any) = self.container_images().next().and_then(|(name, _)| name.parse().ok()) else { return false };
        let image = self.image(&any).unwrap_or_default();
        self.registration(&any, image) == *request
    }

    /// What differs besides the image of one container, a line each. Environments, commands and the like are compared
    /// and never shown: they may hold secrets.
    pub(super) fn differences(&self, other: &Self, container: &SlotName) -> Vec<String> {
        let (one, two) = (self.registration(container, ""), other.registration(container, ""));
        let mut lines = Vec::new();
        for (key, left, right) in unequal(&one, &two) {
            if key == "containerDefinitions" {
                lines.extend(containers_differ(left, right));
            } else {
                lines.push(line("", &key, left, right));
            }
        }
        lines
    }
}

/// The keys at which two objects differ, with both values.
fn unequal<'a>(one: &'a Value, two: &'a Value) -> Vec<(String, Option<&'a Value>, Option<&'a Value>)> {
    let keys = |value: &'a Value| value.as_object().into_iter().flat_map(|fields| fields.keys());
    let all: std::collections::BTreeSet<&String> = keys(one).chain(keys(two)).collect();
    let pairs = all.into_iter().map(|key| (key.clone(), one.get(key), two.get(key)));
    pairs.filter(|(_, left, right)| left != right).collect()
}

/// Settings that are short, known by name, and no place for a secret.
const SHOWN: [&str; 11] = [
    "cpu",
    "memory",
    "memoryReservation",
    "networkMode",
    "taskRoleArn",
    "executionRoleArn",
    "pidMode",
    "ipcMode",
    "essential",
    "image",
    "family",
];

fn line(of: &str, key: &str, left: Option<&Value>, right: Option<&Value>) -> String {
    let said = |value: Option<&Value>| match value {
        None => "(none)".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    if SHOWN.contains(&key) {
        format!("{of}{key}: {} → {}", said(left), said(right))
    } else {
        format!("{of}{key} (not shown)")
    }
}

fn containers_differ(left: Option<&Value>, right: Option<&Value>) -> Vec<String> {
    let named = |value: Option<&Value>| -> std::collections::BTreeMap<String, Value> {
        let all = value.and_then(Value::as_array).into_iter().flatten();
        all.filter_map(|each| Some((each.get("name")?.as_str()?.to_owned(), each.clone()))).collect()
    };
    let (left, right) = (named(left), named(right));
    let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let mut lines = Vec::new();
    for name in names {
        match (left.get(name), right.get(name)) {
            (Some(one), Some(two)) => {
                let of = format!("container {name} ");
                lines.extend(unequal(one, two).into_iter().map(|(key, one, two)| line(&of, &key, one, two)));
            }
            (None, _) => lines.push(format!("container {name}: comes")),
            (_, None) => lines.push(format!("container {name}: goes")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(fields: Value) -> Definition {
        let mut all = json!({
            "taskDefinitionArn": "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:3", "family": "web", "revision": 3,
            "status": "ACTIVE", "requiresAttributes": [{"name": "x"}], "compatibilities": ["EC2"],
            "registeredAt": 1.5, "registeredBy": "arn:aws:iam::123456789012:user/ci",
            "containerDefinitions": [
                {"name": "log", "image": "r.test/log:1"},
                {"name": "app", "image": "r.test/web:1", "environment": [{"name": "TOKEN", "value": "s3cret"}], "memory": 64},
            ],
        });
        for (key, value) in fields.as_object().unwrap() {
            all[key] = value.clone();
        }
        let tags = json!([{"key": "team", "value": "core"}, {"key": "aws:cloudformation:stack-name", "value": "s"}]);
        Definition::new(json!({"taskDefinition": all, "tags": tags})).unwrap()
    }

    fn app() -> SlotName {
        "app".parse().unwrap()
    }

    #[test]
    fn only_the_image_of_one_container_is_replaced_and_nothing_is_lost() {
        let future = json!({"volumes": [{"name": "v", "host": {}}], "notYetInvented": {"deep": [1, {"x": null}]}});
        let request = definition(future).registration(&app(), "r.test/web@sha256:1");
        assert_eq!(
            request,
            json!({
                "family": "web", "volumes": [{"name": "v", "host": {}}], "notYetInvented": {"deep": [1, {"x": null}]},
                "containerDefinitions": [
                    {"name": "log", "image": "r.test/log:1"},
                    {"name": "app", "image": "r.test/web@sha256:1", "environment": [{"name": "TOKEN", "value": "s3cret"}], "memory": 64},
                ],
                "tags": [{"key": "team", "value": "core"}],
            })
        );
    }

    #[test]
    fn a_revision_is_known_again_by_what_it_says_and_by_nothing_else() {
        let made = definition(json!({"revision": 9, "status": "INACTIVE", "deregisteredAt": 2.5}));
        assert!(made.is_like(&definition(json!({})).registration(&app(), "r.test/web:1")));
        assert!(!made.is_like(&definition(json!({})).registration(&app(), "r.test/web:2")));
        assert!(!made.is_like(&definition(json!({"cpu": "256"})).registration(&app(), "r.test/web:1")));
    }

    #[test]
    fn differences_name_settings_and_hide_what_may_be_secret() {
        let other = json!({"cpu": "256", "containerDefinitions": [
            {"name": "app", "image": "r.test/web:2", "environment": [{"name": "TOKEN", "value": "0ther"}], "memory": 128},
        ]});
        let lines = definition(json!({})).differences(&definition(other), &app());
        assert_eq!(
            lines,
            [
                "container app environment (not shown)",
                "container app memory: 64 → 128",
                "container log: goes",
                "cpu: (none) → 256"
            ]
        );
        assert!(definition(json!({})).differences(&definition(json!({})), &app()).is_empty());
    }

    #[test]
    fn who_registered_it_is_known() {
        let author = definition(json!({})).author().unwrap();
        assert_eq!(author.who, "arn:aws:iam::123456789012:user/ci");
        assert_eq!(author.at.unwrap().to_string(), "1970-01-01T00:00:01.5Z");
    }
}
