//! A CloudFormation stack as its API tells it: the template as it was processed, parameters as they were resolved, and the
//! resources that came of it.
//!
//! A document of the API's own words: what `DescribeStacks` says of the stack, `TemplateBody` of `GetTemplate`, the summaries of
//! `ListStackResources`, and the same of every nested stack. Templates hold secrets: only names and images leave.

use super::template_text;
use super::template_value::{Known, Scope};
use super::terraform_containers::revision;
use super::terraform_resource::{Found, holds_image, unknown};
use super::{Declared, DeclaredImage, Format, IacError, Place, Subject, TemplateRef, json_error};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) const FORMAT: Format = Format { name: "cloudformation-stack", detect, parse };

/// Both stand in every such document, and in none of another kind.
fn detect(bytes: &[u8]) -> bool {
    let contains = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    contains(b"\"StackId\"") && contains(b"\"TemplateBody\"")
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stack {
    stack_id: String,
    #[serde(default)]
    stack_name: String,
    #[serde(default)]
    stack_status: String,
    #[serde(default)]
    parameters: Vec<Parameter>,
    #[serde(default)]
    outputs: Vec<Output>,
    /// What other stacks of the region and account export, where the template imports something.
    #[serde(default)]
    exports: Vec<Export>,
    /// The text as it was handed in, or the JSON that it is.
    template_body: Value,
    #[serde(default)]
    stack_resources: Vec<Resource>,
    /// By the logical id that they have in this one.
    #[serde(default)]
    nested: BTreeMap<String, Stack>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    parameter_key: String,
    #[serde(default)]
    parameter_value: String,
    /// Of an SSM parameter's type: the value that was used.
    resolved_value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    output_key: String,
    #[serde(default)]
    output_value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Export {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    logical_resource_id: String,
    physical_resource_id: Option<String>,
    resource_type: String,
    #[serde(default)]
    resource_status: String,
}

fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Declared>, IacError> {
    let stack: Stack = serde_json::from_slice(bytes).map_err(|error| json_error(file, &error))?;
    let mut declared = Vec::new();
    read(file, "", &stack, &mut declared)?;
    declared.sort();
    Ok(declared)
}

/// Reads a stack and those within it; addresses begin with `path`.
fn read(file: &str, path: &str, stack: &Stack, declared: &mut Vec<Declared>) -> Result<(), IacError> {
    let parsed = match &stack.template_body {
        Value::String(text) => Some(template_text::parse(text).map_err(|at| {
            let stack = clean(&stack.stack_name).unwrap_or_default();
            IacError::Template { file: file.to_owned(), stack, at }
        })?),
        _ => None,
    };
    let template = parsed.as_ref().unwrap_or(&stack.template_body);
    let scope = stack.scope(template);
    let place = Place::from_arn(&stack.stack_id);
    for (logical, (kind, physical)) in &scope.resources {
        let properties = template.get("Resources").and_then(|all| all.get(logical)?.get("Properties"));
        let resource = Physical { scope: &scope, id: physical, properties: properties.unwrap_or(&Value::Null) };
        let Some(name) = clean(logical) else { continue };
        let address = format!("{path}{name}");
        for (subject, image) in resource.declares(kind) {
            let image = stack.unsettled().unwrap_or(image);
            declared.push(Found { place: place.clone(), subject, image }.declare(file, &address));
        }
    }
    for (logical, nested) in &stack.nested {
        read(file, &format!("{path}{}/", clean(logical).unwrap_or_default()), nested, declared)?;
    }
    Ok(())
}

impl Stack {
    /// Why its template does not say what was made: an update is under way, or stopped half way
    /// (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html>).
    fn unsettled(&self) -> Option<DeclaredImage> {
        let status = self.stack_status.as_str();
        let moves = status.ends_with("_IN_PROGRESS") && !status.ends_with("COMPLETE_CLEANUP_IN_PROGRESS");
        (moves || status.ends_with("_FAILED")).then(|| unknown(format!("its stack is in the state {status}")))
    }

    fn scope<'a>(&self, template: &'a Value) -> Scope<'a> {
        let value = |each: &Parameter| each.resolved_value.clone().unwrap_or_else(|| each.parameter_value.clone());
        let mut parameters = self.pseudo_parameters();
        parameters.extend(self.parameters.iter().map(|each| (each.parameter_key.clone(), value(each))));
        let output = |logical: &str, each: &Output| {
            (format!("{logical}.Outputs.{}", each.output_key), each.output_value.clone())
        };
        let outputs = self
            .nested
            .iter()
            .flat_map(|(logical, nested)| nested.outputs.iter().map(move |each| output(logical, each)));
        Scope {
            template: Some(template),
            parameters,
            resources: self.stack_resources.iter().filter_map(Resource::there).collect(),
            outputs: outputs.collect(),
            exports: self.exports.iter().map(|each| (each.name.clone(), each.value.clone())).collect(),
        }
    }

    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/pseudo-parameter-reference.html>
    fn pseudo_parameters(&self) -> BTreeMap<String, String> {
        // arn:PARTITION:cloudformation:REGION:ACCOUNT:stack/NAME/UUID
        let part = |at: usize| self.stack_id.split(':').nth(at).unwrap_or_default().to_owned();
        let partition = part(1);
        // Of other partitions it is not known.
        let suffix = match partition.as_str() {
            "aws" | "aws-us-gov" => Some("amazonaws.com"),
            "aws-cn" => Some("amazonaws.com.cn"),
            _ => None,
        };
        let suffix = suffix.map(|suffix| ("AWS::URLSuffix".to_owned(), suffix.to_owned()));
        let known = [
            ("AWS::Partition", partition),
            ("AWS::Region", part(3)),
            ("AWS::AccountId", part(4)),
            ("AWS::StackId", self.stack_id.clone()),
            ("AWS::StackName", self.stack_name.clone()),
        ];
        known.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(suffix).collect()
    }
}

impl Resource {
    /// Logical id → type, physical id; nothing where it was deleted or never made.
    fn there(&self) -> Option<(String, (String, String))> {
        let physical = self.physical_resource_id.clone().filter(|id| !id.is_empty())?;
        let is_gone = self.resource_status == "DELETE_COMPLETE";
        (!is_gone).then(|| (self.logical_resource_id.clone(), (self.resource_type.clone(), physical)))
    }
}

/// One resource: what it became, and what the template wants of it.
struct Physical<'a> {
    scope: &'a Scope<'a>,
    id: &'a str,
    properties: &'a Value,
}

impl<'a> Physical<'a> {
    fn declares(&self, kind: &str) -> Vec<(Subject, DeclaredImage)> {
        match kind {
            "AWS::EC2::LaunchTemplate" => self.launch_template(),
            "AWS::AutoScaling::AutoScalingGroup" => self.group(),
            "AWS::EC2::Instance" => self.instance(),
            "AWS::SSM::Parameter" => self.parameter(),
            "AWS::ECS::TaskDefinition" => self.task_definition(),
            "AWS::ECS::Service" => self.service(),
            _ => Vec::new(),
        }
    }

    /// The value at the end of this path; of each `Fn::If` on the way, the branch that holds.
    fn at(&self, path: &[&str]) -> Result<&'a Value, String> {
        path.iter().try_fold(self.scope.branch(self.properties)?, |value, key| {
            self.scope.branch(value.get(key).unwrap_or(&Value::Null))
        })
    }

    /// The members of the list at the end of this path; what is `AWS::NoValue` is none. `None`: it is no list.
    fn list(&self, path: &[&str]) -> Result<Option<Vec<Self>>, String> {
        let there = |each: &&'a Value| !self.scope.branch(each).is_ok_and(Value::is_null);
        let member = |properties| Self { properties, ..*self };
        Ok(self.at(path)?.as_array().map(|items| items.iter().filter(there).map(member).collect()))
    }

    fn text(&self, path: &[&str]) -> Known {
        self.scope.text(Some(self.at(path)?))
    }

    fn image(&self, path: &[&str]) -> DeclaredImage {
        image(path.last().copied().unwrap_or_default(), self.text(path))
    }

    fn launch_template(&self) -> Vec<(Subject, DeclaredImage)> {
        let name = self.text(&["LaunchTemplateName"]).ok().flatten().and_then(|name| clean(&name));
        let template = TemplateRef { id: clean(self.id), name };
        let subject = Subject::LaunchTemplate { template, newest: None, default: None, moves_default: false };
        vec![(subject, self.image(&["LaunchTemplateData", "ImageId"]))]
    }

    /// The group's own template, and those of overrides that have one.
    fn group(&self) -> Vec<(Subject, DeclaredImage)> {
        let mut slots = Vec::new();
        let mut take = |slot: &str, specification: Result<&Value, String>| match specification {
            Ok(Value::Null) => {}
            Ok(value) => slots.push((slot.to_owned(), self.version(value))),
            Err(why) => slots.push((slot.to_owned(), unknown(format!("its launch template is not known: {why}")))),
        };
        let mixed = &["MixedInstancesPolicy", "LaunchTemplate"][..];
        take("template", self.at(&["LaunchTemplate"]));
        take("template", self.at(&[mixed, &["LaunchTemplateSpecification"]].concat()));
        let overrides = self.list(&[mixed, &["Overrides"]].concat());
        if let Err(why) = &overrides {
            take("template", Err(why.clone()));
        }
        for (number, each) in (1..).zip(overrides.ok().flatten().into_iter().flatten()) {
            // Overrides by requirements have no instance type.
            let name = each.text(&["InstanceType"]).ok().flatten().unwrap_or_else(|| format!("override-{number}"));
            take(&name, each.at(&["LaunchTemplateSpecification"]));
        }
        if slots.is_empty() && self.text(&["LaunchConfigurationName"]).is_ok_and(|name| name.is_some()) {
            let why = "it uses a launch configuration, not a launch template";
            slots.push(("template".to_owned(), unknown(why)));
        }
        let Some(name) = clean(self.id) else { return Vec::new() };
        let subject = |slot: String| Some(Subject::AutoScalingGroup { name: name.clone(), slot: slot.parse().ok()? });
        slots.into_iter().filter_map(|(slot, image)| Some((subject(slot)?, image))).collect()
    }

    /// Which version of which template a specification names. CloudFormation wants one to be named.
    fn version(&self, specification: &Value) -> DeclaredImage {
        let of = Physical { properties: specification, ..*self };
        let named = |key: &str| of.text(&[key]).map(|text| text.and_then(|text| clean(&text)));
        let read = || Ok((named("LaunchTemplateId")?, named("LaunchTemplateName")?, named("Version")?));
        match read() {
            // Which version is the default is not the stack's to say, and CloudFormation takes no such word.
            Ok((_, _, None)) => unknown("its launch template is named without a version"),
            Ok((_, _, Some(version))) if version == "$Default" => {
                unknown("it follows `$Default`, which the stack does not tell")
            }
            Ok((id, name, Some(version))) => {
                DeclaredImage::TemplateVersion { template: TemplateRef { id, name }, version }
            }
            Err::<_, String>(why) => unknown(format!("its launch template is not known: {why}")),
        }
    }

    fn instance(&self) -> Vec<(Subject, DeclaredImage)> {
        clean(self.id).map(|id| (Subject::Instance { id }, self.image(&["ImageId"]))).into_iter().collect()
    }

    /// A parameter that holds an image; all others may be somebody's secrets.
    fn parameter(&self) -> Vec<(Subject, DeclaredImage)> {
        let is_ami = matches!(self.text(&["DataType"]), Ok(Some(kind)) if kind == "aws:ec2:image");
        let image = match self.text(&["Value"]) {
            Ok(Some(text)) if holds_image(&text) => DeclaredImage::Text(text),
            Err(why) if is_ami => unknown(format!("its `Value` is not known: {why}")),
            _ if is_ami => unknown("its `Value` is not an AMI id"),
            _ => return Vec::new(),
        };
        clean(self.id).map(|name| (Subject::Parameter { name }, image)).into_iter().collect()
    }

    /// Its id is the ARN of the revision that CloudFormation registered.
    fn task_definition(&self) -> Vec<(Subject, DeclaredImage)> {
        let last = self.id.rsplit('/').next().unwrap_or_default();
        let (family, revision) = last.rsplit_once(':').unwrap_or((last, ""));
        let (Some(family), revision) = (clean(family), revision.parse().ok()) else { return Vec::new() };
        let subject = |container| Subject::TaskDefinition { family: family.clone(), revision, container };
        match self.list(&["ContainerDefinitions"]) {
            Ok(Some(containers)) => {
                let read = |each: Self| {
                    let name = each.text(&["Name"]).ok().flatten().and_then(|name| clean(&name));
                    (subject(name), each.image(&["Image"]))
                };
                containers.into_iter().map(read).collect()
            }
            _ => vec![(subject(None), unknown("its `ContainerDefinitions` are not a list of containers"))],
        }
    }

    /// Its id is the service's ARN: `…:service/CLUSTER/NAME`; the older form has no cluster in it.
    fn service(&self) -> Vec<(Subject, DeclaredImage)> {
        let last = |text: &str| clean(text.rsplit('/').next().unwrap_or_default());
        let parts: Vec<&str> = self.id.split('/').collect();
        let cluster = match parts.as_slice() {
            [_, cluster, _] => clean(cluster),
            _ => match self.text(&["Cluster"]) {
                Ok(cluster) => cluster.map_or_else(|| Some("default".to_owned()), |cluster| last(&cluster)),
                Err(_) => None,
            },
        };
        let (Some(cluster), Some(name)) = (cluster, last(self.id)) else { return Vec::new() };
        let image = match self.text(&["TaskDefinition"]) {
            Ok(Some(text)) => revision("TaskDefinition", text.rsplit('/').next().unwrap_or_default()),
            Ok(None) => unknown("its `TaskDefinition` names none"),
            Err(why) => unknown(format!("its `TaskDefinition` is not known: {why}")),
        };
        vec![(Subject::Service { cluster, name }, image)]
    }
}

fn image(property: &str, known: Known) -> DeclaredImage {
    match known.map(|text| text.and_then(|text| clean(&text))) {
        Ok(Some(text)) => DeclaredImage::Text(text),
        Ok(None) => unknown(format!("its `{property}` names no image")),
        Err(why) => unknown(format!("its `{property}` is not known: {why}")),
    }
}

/// A name, an id or an image: one word. What runs on over spaces, lines or quotes may have swallowed a secret.
fn clean(text: &str) -> Option<String> {
    let is_word =
        !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"{},".contains(c));
    is_word.then(|| text.to_owned())
}
