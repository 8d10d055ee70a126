//! Where the ledger's head is noted down: places that this machine can add to and, with the right rights, never take from.

mod failure;
mod oci;
mod s3;
mod ssm;

pub use failure::AnchorError;
pub use oci::OciSettings;
pub use s3::S3Settings;
pub use ssm::SsmSettings;

use crate::model::{Noted, Region};
use crate::provider::aws::{Access, Aws};
use crate::provider::section::Section;
use crate::provider::source::RegistrySource;
use std::sync::Arc;

/// One place outside. What was noted there is told as it stands; whether it fits the ledger is decided elsewhere.
#[async_trait::async_trait]
pub trait Anchor: Send + Sync {
    /// As a person would name it: "SSM parameter /imgctl/ledger in eu-west-1".
    fn place(&self) -> String;

    /// Every head that can still be read there, as far back as the place remembers; in the order of their entries.
    /// Empty: none was ever noted, or all of them were taken away.
    async fn read(&self) -> Result<Vec<Noted>, AnchorError>;

    /// Notes one more head. `over` is the furthest one that was read just before. Returns when `read` shows it. Nothing
    /// is taken away; where the place can refuse a write that somebody else got ahead of, it is asked to.
    async fn write(&self, noted: &Noted, over: Option<&Noted>) -> Result<(), AnchorError>;
}

/// An anchor as the config names it, before anything is asked of the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorSpec {
    /// The user's own name for it, else its kind.
    pub id: String,
    /// Whose AWS it is in: best another account, which this machine may only add to.
    pub access: Access,
    pub settings: AnchorSettings,
}

/// What a kind of anchor needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnchorSettings {
    Ssm(SsmSettings),
    S3(S3Settings),
    Oci(OciSettings),
}

impl AnchorSettings {
    /// The word for it in the config.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ssm(_) => ssm::KIND,
            Self::S3(_) => s3::KIND,
            Self::Oci(_) => oci::KIND,
        }
    }

    /// Whether AWS is asked anyway, and can say who we are.
    pub fn is_in_aws(&self) -> bool {
        !matches!(self, Self::Oci(_))
    }
}

/// Reads the keys of one kind; `None` when a fault made it impossible.
pub type Reader = fn(&Section<'_>) -> Option<AnchorSettings>;

/// Every kind of anchor, with the reader of its settings.
pub const KINDS: &[(&str, Reader)] = &[
    (ssm::KIND, |section| ssm::read(section).map(AnchorSettings::Ssm)),
    (s3::KIND, |section| s3::read(section).map(AnchorSettings::S3)),
    (oci::KIND, |section| oci::read(section).map(AnchorSettings::Oci)),
];

/// An anchor, ready to be asked. Sends nothing.
///
/// # Errors
/// One in AWS without a region, where none is configured either.
pub fn open(
    spec: &AnchorSpec,
    aws: &Arc<Aws>,
    registries: &Arc<RegistrySource>,
) -> Result<Box<dyn Anchor>, AnchorError> {
    let aws = aws.under(&spec.access);
    let region = |own: &Option<Region>| {
        let region = own.as_ref().or(aws.region()).cloned();
        region.ok_or_else(|| AnchorError::NoRegion { id: spec.id.clone() })
    };
    Ok(match &spec.settings {
        AnchorSettings::Ssm(settings) => {
            let region = region(&settings.region)?;
            Box::new(ssm::Parameter::new(aws.ssm(&region), settings.name.clone(), aws.place(&region)))
        }
        AnchorSettings::S3(settings) => {
            let region = region(&settings.region)?;
            Box::new(s3::Objects::new(aws.s3(&region), settings, aws.place(&region), region))
        }
        AnchorSettings::Oci(settings) => Box::new(oci::Artifacts::new(Arc::clone(registries), settings.clone())),
    })
}
