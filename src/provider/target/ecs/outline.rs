//! What observing needs of a task definition: the images, and never the environment, which may hold secrets.

use super::definition::Definition;
use crate::model::SlotName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What one revision says for ever. Its status and its tags may change, and are not in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outline {
    /// Each container with its image as it is written there, in the definition's order.
    containers: Vec<(String, String)>,
    /// OCI's word for the processor that its tasks are started on, where it says so.
    architecture: Option<String>,
    /// When AWS was asked.
    read: Timestamp,
}

impl Outline {
    pub(super) fn new(definition: &Definition, read: Timestamp) -> Self {
        let containers = definition.container_images();
        let containers = containers.map(|(name, image)| (name.to_owned(), image.to_owned())).collect();
        Self { containers, architecture: definition.architecture().map(str::to_owned), read }
    }

    /// The image of one container, as it stands there.
    pub(super) fn image(&self, container: &SlotName) -> Option<&str> {
        self.containers.iter().find(|(name, _)| name == container.as_str()).map(|(_, image)| image.as_str())
    }

    pub(super) fn container_names(&self) -> Vec<&str> {
        self.containers.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub(super) fn architecture(&self) -> Option<&str> {
        self.architecture.as_deref()
    }

    /// Whether it was read since then. AWS gives a revision's number only once, but an emulator that was begun anew gives
    /// it again: a service that is younger than what is remembered of its definition may live in another world.
    pub(super) fn is_since(&self, created: Option<Timestamp>) -> bool {
        created.is_none_or(|created| created <= self.read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outline(read: &str) -> Outline {
        let definition = json!({"taskDefinition": {
        "taskDefinitionArn": "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:3", "family": "web",
        "runtimePlatform": {"cpuArchitecture": "ARM64"}, "containerDefinitions": [
            {"name": "log", "image": "r.test/log:1", "secrets": [{"name": "KEY", "valueFrom": "arn:s3cret"}]},
            {"name": "app", "image": "r.test/web:1", "environment": [{"name": "TOKEN", "value": "s3cret"}]},
        ]}});
        Outline::new(&Definition::new(definition).unwrap(), read.parse().unwrap())
    }

    #[test]
    fn it_says_what_observing_needs_and_no_secret() {
        let outline = outline("2026-01-02T03:04:05Z");
        assert_eq!(outline.image(&"app".parse().unwrap()), Some("r.test/web:1"));
        assert_eq!((outline.container_names(), outline.architecture()), (vec!["log", "app"], Some("arm64")));
        let kept = serde_json::to_string(&outline).unwrap();
        assert!(!kept.contains("s3cret") && !kept.contains("TOKEN"), "{kept}");
        assert_eq!(serde_json::from_str::<Outline>(&kept).unwrap(), outline);
    }

    #[test]
    fn a_service_younger_than_what_is_remembered_is_not_believed_to_be_meant() {
        let outline = outline("2026-01-02T03:04:05Z");
        assert!(outline.is_since(None) && outline.is_since("2026-01-02T03:04:05Z".parse().ok()));
        assert!(!outline.is_since("2026-01-02T03:04:06Z".parse().ok()));
    }
}
