//! An artifact: one immutable address with what was true of it when it was recorded.

use super::{AmiId, Arch, Digest, ImageRef, Region, Repository};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One address an image was published at, with the facts read when it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Artifact {
    Ami(AmiArtifact),
    Oci(OciArtifact),
}

impl Artifact {
    /// Where it is: its identity.
    pub fn address(&self) -> ImageRef {
        match self {
            Self::Ami(ami) => ImageRef::Ami { region: ami.region.clone(), id: ami.id.clone() },
            Self::Oci(oci) => ImageRef::Oci { repository: oci.repository.clone(), digest: oci.digest.clone() },
        }
    }

    /// Every digest it can be found by: the index's and each platform's manifest. Empty for an AMI.
    pub fn digests(&self) -> BTreeSet<Digest> {
        match self {
            Self::Ami(_) => BTreeSet::new(),
            Self::Oci(oci) => {
                oci.platforms.values().map(|platform| platform.manifest.clone()).chain([oci.digest.clone()]).collect()
            }
        }
    }
}

/// An AMI in one region of one account (EC2 DescribeImages).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmiArtifact {
    /// The account that owns it, twelve digits.
    pub account: String,
    pub region: Region,
    pub arch: Arch,
    pub id: AmiId,
    #[serde(default)]
    pub facts: AmiFacts,
}

/// What DescribeImages, DescribeImageAttribute and DescribeSnapshots said when the AMI was recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmiFacts {
    #[serde(default)]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_device: Option<String>,
    /// Device name → what is mapped there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub devices: BTreeMap<String, Device>,
    /// Who besides the owner may launch it: account ids, organisation ARNs, or `all`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub launch_permissions: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ami: Option<AmiId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_region: Option<Region>,
    /// When AWS marks it deprecated, or did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecation: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// One block device of an AMI.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// Size in GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gib: Option<i32>,
    #[serde(default)]
    pub encrypted: bool,
    /// The ARN of the KMS key, where the snapshot is encrypted and readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
}

/// A container image: an OCI index (or Docker manifest list), or a single manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OciArtifact {
    pub repository: Repository,
    /// SHA-256 of the index's or manifest's own bytes, computed here and equal to what the registry said.
    pub digest: Digest,
    pub media_type: String,
    /// Platform (`linux/amd64`, `linux/arm/v7`) → its manifest.
    pub platforms: BTreeMap<String, Platform>,
    /// The tag it was recorded through, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// One platform of a container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    pub manifest: Digest,
    pub config: Digest,
    /// Bytes of all layers as stored, compressed.
    #[serde(default)]
    pub layer_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Labels of the image's config (`org.opencontainers.image.*` among them).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}
