//! What infrastructure code reads to follow a channel: one text for each place, written and read back.

mod file;
mod helm;
mod json;
mod kustomize;
mod ssm;
mod yaml;

pub use helm::HelmSettings;
pub use json::JsonSettings;
pub use kustomize::KustomizeSettings;
pub use ssm::SsmSettings;

use crate::model::Region;
use crate::provider::aws::{Access, Aws, AwsError};
use crate::provider::section::Section;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One place that holds one text: an AMI id, or a container image by digest.
#[async_trait::async_trait]
pub trait Pointer: Send + Sync {
    /// As a person would name it: "SSM parameter /imgctl/web/prod in eu-west-1".
    fn place(&self) -> String;

    /// What stands there when it points to this address (an AMI's id, or `HOST/REPOSITORY@sha256:…`): the address itself,
    /// unless the place has a form of its own.
    fn text(&self, address: &str) -> String {
        address.to_owned()
    }

    /// The SSM parameter that it is, where it is one: code may want to manage that as well.
    fn parameter(&self) -> Option<&str> {
        None
    }

    /// What stands there now; `None`: nothing does.
    async fn read(&self) -> Result<Option<String>, PointerError>;

    /// Points it to this address and returns when it reads back; what stands there already is left alone.
    async fn write(&self, address: &str) -> Result<(), PointerError>;
}

/// A pointer as the config names it, before anything is asked of anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointerSpec {
    /// The user's own name for it, else its parameter or file: unique in its channel.
    pub id: String,
    pub access: Access,
    pub settings: PointerSettings,
}

/// What a kind of pointer needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PointerSettings {
    Ssm(SsmSettings),
    Json(JsonSettings),
    Kustomize(KustomizeSettings),
    Helm(HelmSettings),
}

impl PointerSettings {
    /// The parameter or the file: what it is called where it has no name of its own.
    pub fn object(&self) -> String {
        match self {
            Self::Ssm(ssm) => ssm.name.clone(),
            Self::Json(json) => json.object(),
            Self::Kustomize(kustomize) => kustomize.object(),
            Self::Helm(helm) => helm.object(),
        }
    }

    /// Whether AWS is asked, so that a role or a profile may be named.
    pub fn is_in_aws(&self) -> bool {
        matches!(self, Self::Ssm(_))
    }

    /// Whether only a container image has what is written.
    pub fn wants_container(&self) -> bool {
        match self {
            Self::Ssm(_) | Self::Json(_) => false,
            Self::Kustomize(_) => true,
            Self::Helm(helm) => helm.wants_container(),
        }
    }

    /// The same, with files that are named relative to the config's own folder.
    pub fn relative_to(self, directory: &Path) -> Self {
        match self {
            Self::Ssm(settings) => Self::Ssm(settings),
            Self::Json(settings) => Self::Json(settings.relative_to(directory)),
            Self::Kustomize(settings) => Self::Kustomize(settings.relative_to(directory)),
            Self::Helm(settings) => Self::Helm(settings.relative_to(directory)),
        }
    }
}

/// Reads the keys of one kind; `None` when a fault made it impossible.
pub type Reader = fn(&Section<'_>) -> Option<PointerSettings>;

/// Every kind of pointer, with the reader of its settings.
pub const KINDS: &[(&str, Reader)] = &[
    ("ssm", |section| ssm::read(section).map(PointerSettings::Ssm)),
    ("tfvars", |section| json::read_tfvars(section).map(PointerSettings::Json)),
    ("json", |section| json::read_json(section).map(PointerSettings::Json)),
    ("kustomize", |section| kustomize::read(section).map(PointerSettings::Kustomize)),
    ("helm", |section| helm::read(section).map(PointerSettings::Helm)),
];

/// Why a pointer could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PointerError {
    #[error("the pointer {id} has no region, and none is configured")]
    NoRegion { id: String },
    #[error("{} could not be {doing}: {why}", path.display())]
    File { path: PathBuf, doing: &'static str, why: String },
    #[error("{} is not there", path.display())]
    NoFile { path: PathBuf },
    /// `what` names the key, and what is wrong with it.
    #[error("{}{}: {what}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Yaml { path: PathBuf, line: Option<usize>, what: String },
    #[error("{} is not JSON: {why}", path.display())]
    NotJson { path: PathBuf, why: String },
    /// `what` names the key, and what is wrong with it.
    #[error("{}: {what}", path.display())]
    Ambiguous { path: PathBuf, what: String },
    /// It was taken, and is not there: AWS checks values of the type `aws:ec2:image` after it has answered.
    #[error("{place} does not show what was written to it, but {shows}")]
    NotTaken { place: String, shows: String },
    #[error(transparent)]
    Aws(Arc<AwsError>),
}

impl From<AwsError> for PointerError {
    fn from(error: AwsError) -> Self {
        Self::Aws(Arc::new(error))
    }
}

impl PointerError {
    /// What to do next, as a person would type it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoRegion { .. } => Some("set region for it or in [aws], or AWS_REGION".to_owned()),
            Self::Aws(error) => match error.code() {
                Some("ParameterMaxVersionLimitExceeded") => {
                    Some("its oldest version has a label: aws ssm unlabel-parameter-version takes it off".to_owned())
                }
                _ => Some(error.hint()),
            },
            Self::NotTaken { .. } => Some("see who else writes there, then: imgctl pointer sync".to_owned()),
            Self::NoFile { .. } => Some("write the file, or correct its path in the config".to_owned()),
            Self::File { .. } | Self::Yaml { .. } | Self::NotJson { .. } | Self::Ambiguous { .. } => None,
        }
    }
}

/// A pointer, ready to be asked. Sends nothing.
///
/// # Errors
/// One in AWS without a region, where none is configured either.
pub fn open(spec: &PointerSpec, region: Option<&Region>, aws: &Arc<Aws>) -> Result<Box<dyn Pointer>, PointerError> {
    match &spec.settings {
        PointerSettings::Json(settings) => Ok(Box::new(json::JsonFile::new(settings.clone()))),
        PointerSettings::Kustomize(settings) => Ok(Box::new(kustomize::Kustomization::new(settings.clone()))),
        PointerSettings::Helm(settings) => Ok(Box::new(helm::Values::new(settings.clone()))),
        PointerSettings::Ssm(settings) => {
            let aws = aws.under(&spec.access);
            let region = region.or(aws.region()).ok_or_else(|| PointerError::NoRegion { id: spec.id.clone() })?;
            Ok(Box::new(ssm::Parameter::new(aws.ssm(region), settings.clone(), aws.place(region))))
        }
    }
}
