//! The resource types of a Terraform state that tell an image, and the few attributes of each that are read.

use super::terraform_containers::{EcsService, TaskDefinition};
use super::terraform_value::{Blocks, IndexKey, Sensitive, Text};
use super::terraform_workload::{CronJob, DaemonSet, Deployment, StatefulSet};
use super::{Declared, DeclaredImage, Place, Subject, TemplateRef};
use crate::model::{AmiId, ImageRef, SlotName};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess};

/// One declaration that a resource makes.
pub(super) struct Found {
    pub place: Place,
    pub subject: Subject,
    pub image: DeclaredImage,
}

impl Found {
    /// As the resource at this address of this file declares it.
    pub(super) fn declare(self, file: &str, address: &str) -> Declared {
        let Self { place, subject, image } = self;
        Declared { source: file.to_owned(), address: address.to_owned(), place, subject, image }
    }
}

/// One instance of a resource: `count` and `for_each` make several.
pub(super) struct Instance {
    /// As it stands in the address: empty, `[0]` or `["key"]`.
    pub index: String,
    /// It was replaced and waits to be destroyed.
    pub deposed: bool,
    /// Its attributes are in the flat form of Terraform 0.11.
    pub is_flat: bool,
    pub found: Vec<Found>,
}

/// Reads the value of `instances` as the type of the resource wants it; other types' values are skipped unread.
pub(super) fn instances<'de, M: MapAccess<'de>>(kind: &str, map: &mut M) -> Result<Vec<Instance>, M::Error> {
    match kind {
        "aws_launch_template" => read::<LaunchTemplate, M>(map),
        "aws_autoscaling_group" => read::<AutoScalingGroup, M>(map),
        "aws_instance" => read::<Ec2Instance, M>(map),
        "aws_ssm_parameter" => read::<Parameter, M>(map),
        "aws_ecs_service" => read::<EcsService, M>(map),
        "aws_ecs_task_definition" => read::<TaskDefinition, M>(map),
        "kubernetes_deployment" | "kubernetes_deployment_v1" => read::<Deployment, M>(map),
        "kubernetes_stateful_set" | "kubernetes_stateful_set_v1" => read::<StatefulSet, M>(map),
        "kubernetes_daemonset" | "kubernetes_daemon_set_v1" => read::<DaemonSet, M>(map),
        "kubernetes_cron_job" | "kubernetes_cron_job_v1" => read::<CronJob, M>(map),
        _ => map.next_value::<IgnoredAny>().map(|_| Vec::new()),
    }
}

/// The attributes of one resource as its type wants them, `null` being none; other types' are skipped unread.
pub(super) struct Values<'a> {
    pub kind: &'a str,
    pub sensitive: &'a Sensitive,
}

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = Vec<Found>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Found>, D::Error> {
        let marks = self.sensitive;
        match self.kind {
            "aws_launch_template" => values::<LaunchTemplate, D>(deserializer, marks),
            "aws_autoscaling_group" => values::<AutoScalingGroup, D>(deserializer, marks),
            "aws_instance" => values::<Ec2Instance, D>(deserializer, marks),
            "aws_ssm_parameter" => values::<Parameter, D>(deserializer, marks),
            "aws_ecs_service" => values::<EcsService, D>(deserializer, marks),
            "aws_ecs_task_definition" => values::<TaskDefinition, D>(deserializer, marks),
            "kubernetes_deployment" | "kubernetes_deployment_v1" => values::<Deployment, D>(deserializer, marks),
            "kubernetes_stateful_set" | "kubernetes_stateful_set_v1" => values::<StatefulSet, D>(deserializer, marks),
            "kubernetes_daemonset" | "kubernetes_daemon_set_v1" => values::<DaemonSet, D>(deserializer, marks),
            "kubernetes_cron_job" | "kubernetes_cron_job_v1" => values::<CronJob, D>(deserializer, marks),
            _ => IgnoredAny::deserialize(deserializer).map(|_| Vec::new()),
        }
    }
}

fn values<'de, A, D>(deserializer: D, sensitive: &Sensitive) -> Result<Vec<Found>, D::Error>
where
    A: Attributes + Deserialize<'de>,
    D: Deserializer<'de>,
{
    let attributes = Option::<A>::deserialize(deserializer)?;
    Ok(attributes.map(|attributes| attributes.declare(sensitive)).unwrap_or_default())
}

type Path = &'static [&'static str];
const POD: &[Path] =
    &[&["spec", "template", "spec", "container", "image"], &["spec", "template", "spec", "init_container", "image"]];
const CRON_JOB: &[Path] = &[&["spec", "job_template", "spec", "template", "spec", "container", "image"]];

/// The attributes of this type that tell the image, and the way to each.
pub(super) fn image_path(kind: &str) -> &'static [Path] {
    match kind {
        "aws_launch_template" => &[&["image_id"]],
        "aws_autoscaling_group" => &[&["launch_template"], &["mixed_instances_policy", "launch_template"]],
        "aws_instance" => &[&["ami"]],
        "aws_ssm_parameter" => &[&["value"], &["insecure_value"]],
        "aws_ecs_service" => &[&["task_definition"]],
        "aws_ecs_task_definition" => &[&["container_definitions"]],
        "kubernetes_cron_job" | "kubernetes_cron_job_v1" => CRON_JOB,
        kind if kind.starts_with("kubernetes_") => POD,
        _ => &[],
    }
}

fn read<'de, A: Attributes + Deserialize<'de>, M: MapAccess<'de>>(map: &mut M) -> Result<Vec<Instance>, M::Error> {
    let raw = map.next_value::<Blocks<Raw<A>>>()?;
    Ok(raw.into_iter().map(Raw::declare).collect())
}

/// An instance as it is written.
#[derive(Deserialize)]
struct Raw<A> {
    #[serde(default)]
    index_key: IndexKey,
    deposed: Option<IgnoredAny>,
    attributes: Option<A>,
    attributes_flat: Option<IgnoredAny>,
    #[serde(default)]
    sensitive_attributes: Sensitive,
}

impl<A: Attributes> Raw<A> {
    fn declare(self) -> Instance {
        let is_flat = self.attributes.is_none() && self.attributes_flat.is_some();
        let found =
            self.attributes.map(|attributes| attributes.declare(&self.sensitive_attributes)).unwrap_or_default();
        Instance { index: self.index_key.0, deposed: self.deposed.is_some(), is_flat, found }
    }
}

/// The attributes of one resource type.
pub(super) trait Attributes {
    /// What they declare. Nothing that is marked sensitive may leave through it.
    fn declare(self, sensitive: &Sensitive) -> Vec<Found>;
}

/// The image that an attribute holds, or why it is not known.
pub(super) fn image(sensitive: &Sensitive, path: &[&str], text: Text) -> DeclaredImage {
    let attribute = path.last().copied().unwrap_or_default();
    match text.get() {
        _ if sensitive.hides(path) => unknown(format!("its `{attribute}` is marked sensitive")),
        Some(text) => DeclaredImage::Text(text),
        None => unknown(format!("its `{attribute}` names no image")),
    }
}

pub(super) fn unknown(why: impl Into<String>) -> DeclaredImage {
    DeclaredImage::Unknown { why: why.into() }
}

pub(super) fn place(arn: Text) -> Place {
    arn.get().map(|arn| Place::from_arn(&arn)).unwrap_or_default()
}

/// `aws_launch_template`: the provider reads `image_id` from the newest version.
#[derive(Deserialize, Default)]
#[serde(default)]
struct LaunchTemplate {
    id: Text,
    name: Text,
    arn: Text,
    image_id: Text,
    latest_version: Text,
    default_version: Text,
    update_default_version: serde_json::Value,
}

impl Attributes for LaunchTemplate {
    fn declare(self, sensitive: &Sensitive) -> Vec<Found> {
        let template = TemplateRef { id: sensitive.open("id", self.id), name: sensitive.open("name", self.name) };
        let number = |text: Text| text.get().and_then(|digits| digits.parse().ok());
        let (newest, default) = (number(self.latest_version), number(self.default_version));
        let moves_default = self.update_default_version == true;
        let subject = Subject::LaunchTemplate { template, newest, default, moves_default };
        vec![Found { place: place(self.arn), subject, image: image(sensitive, &["image_id"], self.image_id) }]
    }
}

/// `aws_autoscaling_group`, with one launch template or a mixed instances policy.
#[derive(Deserialize, Default)]
#[serde(default)]
struct AutoScalingGroup {
    id: Text,
    name: Text,
    arn: Text,
    launch_configuration: Text,
    launch_template: Blocks<Template>,
    mixed_instances_policy: Blocks<MixedInstancesPolicy>,
}

/// `launch_template`, and `launch_template_specification` in a mixed instances policy.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Template {
    #[serde(alias = "launch_template_id")]
    id: Text,
    #[serde(alias = "launch_template_name")]
    name: Text,
    version: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MixedInstancesPolicy {
    launch_template: Blocks<MixedTemplate>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MixedTemplate {
    launch_template_specification: Blocks<Template>,
    r#override: Blocks<Override>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Override {
    instance_type: Text,
    launch_template_specification: Blocks<Template>,
}

impl AutoScalingGroup {
    /// Slot → the template that it launches from. An override without a template of its own follows the group's.
    fn slots(launch_template: Blocks<Template>, mixed: Blocks<MixedInstancesPolicy>) -> Vec<(String, Template)> {
        let base = |template| ("template".to_owned(), template);
        let mut slots: Vec<(String, Template)> = launch_template.into_iter().map(base).collect();
        for policy in mixed.into_iter().flat_map(|policy| policy.launch_template) {
            slots.extend(policy.launch_template_specification.into_iter().map(base));
            for (number, each) in (1..).zip(policy.r#override) {
                // Overrides by requirements have no instance type.
                let name = each.instance_type.get().unwrap_or_else(|| format!("override-{number}"));
                slots.extend(each.launch_template_specification.into_iter().map(|template| (name.clone(), template)));
            }
        }
        slots
    }
}

impl Attributes for AutoScalingGroup {
    fn declare(self, sensitive: &Sensitive) -> Vec<Found> {
        // The provider's id of a group is its name.
        let Some(name) = sensitive.open("name", self.name).or_else(|| sensitive.open("id", self.id)) else {
            return Vec::new();
        };
        let place = place(self.arn);
        let found = |slot: String, image| {
            let slot = slot.parse::<SlotName>().ok()?;
            Some(Found { place: place.clone(), subject: Subject::AutoScalingGroup { name: name.clone(), slot }, image })
        };
        let hidden = sensitive.touches(&["launch_template"])
            || sensitive.touches(&["mixed_instances_policy", "launch_template"]);
        let mut slots = Vec::new();
        for (slot, template) in Self::slots(self.launch_template, self.mixed_instances_policy) {
            let image = if hidden { unknown("its launch template is marked sensitive") } else { template.version() };
            slots.extend(found(slot, image));
        }
        if slots.is_empty() && self.launch_configuration.get().is_some() {
            slots
                .extend(found("template".to_owned(), unknown("it uses a launch configuration, not a launch template")));
        }
        slots
    }
}

impl Template {
    /// Without a version, AWS takes the default one.
    fn version(self) -> DeclaredImage {
        let version = self.version.get().unwrap_or_else(|| "$Default".to_owned());
        DeclaredImage::TemplateVersion { template: TemplateRef { id: self.id.get(), name: self.name.get() }, version }
    }
}

/// `aws_instance`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Ec2Instance {
    id: Text,
    arn: Text,
    ami: Text,
}

impl Attributes for Ec2Instance {
    fn declare(self, sensitive: &Sensitive) -> Vec<Found> {
        let Some(id) = sensitive.open("id", self.id) else { return Vec::new() };
        vec![Found {
            place: place(self.arn),
            subject: Subject::Instance { id },
            image: image(sensitive, &["ami"], self.ami),
        }]
    }
}

/// `aws_ssm_parameter` that holds an image; all others are somebody's secrets.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Parameter {
    name: Text,
    arn: Text,
    data_type: Text,
    value: ParameterValue,
    insecure_value: ParameterValue,
}

/// A parameter's value, kept only if it is an AMI id or a container image by digest.
#[derive(Default)]
struct ParameterValue(Option<String>);

impl<'de> Deserialize<'de> for ParameterValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(|text| Self(text.get().filter(|text| holds_image(text))))
    }
}

/// Whether a parameter's value is an AMI id or a container image by digest.
pub(super) fn holds_image(text: &str) -> bool {
    text.parse::<AmiId>().is_ok() || matches!(text.parse(), Ok(ImageRef::Oci { .. }))
}

impl Attributes for Parameter {
    fn declare(self, sensitive: &Sensitive) -> Vec<Found> {
        let Some(name) = sensitive.open("name", self.name) else { return Vec::new() };
        let is_ami = self.data_type.get().as_deref() == Some("aws:ec2:image");
        // The provider marks the value of every parameter, also where AWS itself has checked that it is an AMI id.
        let image = match self.value.0.or(self.insecure_value.0) {
            Some(text) => DeclaredImage::Text(text),
            None if is_ami => unknown("its `value` is not an AMI id"),
            None => return Vec::new(),
        };
        vec![Found { place: place(self.arn), subject: Subject::Parameter { name }, image }]
    }
}
