//! Where images come from: each source reads what an image *is*, and where it can still be had.

use crate::model::{Artifact, ImageRef, Provenance, SourceSelector};
use std::collections::BTreeMap;

/// What a source said an image is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    pub artifacts: Vec<Artifact>,
    /// What the image itself says of its origin (OCI labels, Packer's manifest); what the person says wins.
    pub provenance: Provenance,
    /// What the person should know ("Docker schema 1 is not supported by …").
    pub notes: Vec<String>,
}

/// Reads images from one kind of place.
#[async_trait::async_trait]
pub trait ImageSource: Send + Sync {
    /// Reads what is at `selector` now, and pins it.
    async fn resolve(&self, selector: &SourceSelector) -> Result<Described, SourceError>;

    /// Whether each address can still be launched or pulled. Every address asked for is in the answer.
    async fn availability(&self, addresses: &[ImageRef]) -> BTreeMap<ImageRef, Availability>;
}

/// Whether an address can be launched or pulled now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    Available,
    /// It is not there, or not for us: deregistered, deleted, not shared.
    Gone { why: String },
    /// It is there and cannot be used: `pending`, `failed`, `disabled`.
    Unusable { why: String },
    /// The question was not answered.
    Unknown { why: String },
}
