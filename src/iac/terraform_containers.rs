//! The resource types of a Terraform state that run containers in ECS: services and task definitions.

use super::terraform_resource::{Attributes, Found, image, place, unknown};
use super::terraform_value::{Sensitive, Text};
use super::{DeclaredImage, Subject, TemplateRef};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::fmt;

/// `aws_ecs_task_definition`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct TaskDefinition {
    family: Text,
    arn: Text,
    revision: Text,
    container_definitions: ContainerDefinitions,
}

/// One container of a task definition or a pod. Its environment, where secrets stand, is not read.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Container {
    pub(super) name: Text,
    pub(super) image: Text,
}

/// JSON within JSON: read as it passes by, so that its text is never kept. `None`: it is not a list of containers.
#[derive(Default)]
struct ContainerDefinitions(Option<Vec<Container>>);

impl<'de> Deserialize<'de> for ContainerDefinitions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Inner;
        impl Visitor<'_> for Inner {
            type Value = ContainerDefinitions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON text")
            }
            fn visit_unit<E: Error>(self) -> Result<ContainerDefinitions, E> {
                Ok(ContainerDefinitions(None))
            }
            fn visit_str<E: Error>(self, json: &str) -> Result<ContainerDefinitions, E> {
                Ok(ContainerDefinitions(serde_json::from_str(json).ok()))
            }
        }
        deserializer.deserialize_any(Inner)
    }
}

impl Attributes for TaskDefinition {
    fn declare(self, sensitive: &Sensitive) -> Vec<Found> {
        let Some(family) = sensitive.open("family", self.family) else { return Vec::new() };
        let revision = self.revision.get().and_then(|digits| digits.parse().ok());
        let place = place(self.arn);
        let found = |container: Option<String>, image| {
            let subject = Subject::TaskDefinition { family: family.clone(), revision, container };
            Found { place: place.clone(), subject, image }
        };
        if sensitive.hides(&["container_definitions"]) {
            return vec![found(None, unknown("its `container_definitions` are marked sensitive"))];
        }
        match self.container_definitions.0 {
            Some(containers) => {
                // The whole text is marked or nothing in it is.
                let none = Sensitive::default();
                containers
                    .into_iter()
                    .map(|each| found(each.name.get(), image(&none, &["image"], each.image)))
                    .collect()
            }
            None => vec![found(None, unknown("its `container_definitions` are not a list of containers"))],
        }
    }
}

/// `aws_ecs_service`. Its circuit breaker, its network and its tags are not read.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct EcsService {
    /// The service's ARN.
    id: Text,
    name: Text,
    /// The cluster's ARN or name; `default` where there is none.
    cluster: Text,
    /// An ARN or `FAMILY:REVISION`.
    task_definition: Text,
}

impl Attributes for EcsService {
    fn declare(self, sensitive: &Sensitive) -> Vec<Found> {
        let last = |text: String| text.rsplit('/').next().unwrap_or_default().to_owned();
        let Some(name) = sensitive.open("name", self.name) else { return Vec::new() };
        if sensitive.hides(&["cluster"]) {
            return Vec::new();
        }
        let cluster = self.cluster.get().map_or_else(|| "default".to_owned(), last);
        let place = place(self.id);
        let image = match self.task_definition.get().map(last) {
            _ if sensitive.hides(&["task_definition"]) => unknown("its `task_definition` is marked sensitive"),
            Some(text) => revision("task_definition", &text),
            None => unknown("its `task_definition` names none"),
        };
        vec![Found { place, subject: Subject::Service { cluster, name }, image }]
    }
}

/// `web:7`; the family alone means whatever revision is the newest at that moment.
pub(super) fn revision(attribute: &str, text: &str) -> DeclaredImage {
    match text.rsplit_once(':') {
        Some((family, number)) if number.parse::<u64>().is_ok() => DeclaredImage::TemplateVersion {
            template: TemplateRef { id: Some(family.to_owned()), name: None },
            version: number.to_owned(),
        },
        _ => unknown(format!("its `{attribute}` names no revision")),
    }
}
