//! Readers of infrastructure code: bytes in, declared images out. Pure: nothing here opens a file.

use std::collections::BTreeSet;
use std::fmt;

/// What a resource's image is for, so that a declaration can be matched with a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An EC2 launch template: id and name, as far as they are known.
    LaunchTemplate { id: Option<String>, name: Option<String> },
    /// An Auto Scaling group, by name.
    AutoScalingGroup { name: String },
    /// One EC2 instance.
    Instance { id: String },
    /// An SSM parameter that holds an AMI id.
    Parameter { name: String },
    /// An ECS task definition and one of its containers.
    TaskDefinition { family: String, container: String },
    /// A Kubernetes workload and one of its containers.
    Workload { kind: String, namespace: String, name: String, container: String },
}

/// What a resource says its image is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeclaredImage {
    /// An AMI id or an image reference, as it stands in the code.
    Text(String),
    /// A version of a launch template: `7`, `$Latest`, `$Default`.
    TemplateVersion { template: Box<Subject>, version: String },
}

/// One image that code declares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declared {
    /// The state or plan it was read from, as the user named it.
    pub source: String,
    /// The resource address: `module.web["a"].aws_launch_template.this[0]`.
    pub address: String,
    pub subject: Subject,
    pub image: DeclaredImage,
}
