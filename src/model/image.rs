//! An image: one build under one name and version, and the immutable addresses it was published at.

use super::{Artifact, Digest, ParseError, checked_text, serde_as_text};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

fn is_word(text: &str, longest: usize, extra: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || extra.contains(c);
    !text.is_empty()
        && text.len() <= longest
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(inner)
}

checked_text! {
    /// The name of an image family, as in `web@1.4.2` and `web/prod`.
    ImageName, "an image name (lower-case letters, digits, `.`, `_`, `-`; at most 128, first a letter or digit)",
    |text| is_word(text, 128, "._-") && !text.chars().any(|c| c.is_ascii_uppercase())
}
checked_text! {
    /// The version of an image: opaque to imgctl, never ordered by its text.
    Version, "a version (letters, digits, `.`, `_`, `-`, `+`; at most 128, first a letter or digit)",
    |text| is_word(text, 128, "._-+")
}
checked_text! {
    /// An AWS Region code, as in `eu-west-1`.
    Region, "a region (as in eu-west-1)",
    |text| text.len() >= 4 && text.len() <= 32 && text.contains('-') && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}
checked_text! {
    /// An AMI id, as in `ami-0123456789abcdef0`.
    AmiId, "an AMI id (ami- and 8 or 17 hex digits)",
    |text| text.strip_prefix("ami-").is_some_and(|id| (id.len() == 8 || id.len() == 17) && id.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)))
}
checked_text! {
    /// A processor architecture in AWS's words: `x86_64`, `arm64`, `i386`, `x86_64_mac`, `arm64_mac`.
    Arch, "an architecture (x86_64, arm64, i386, …)",
    |text| is_word(text, 32, "_-")
}
checked_text! {
    /// A repository with its registry host, without tag or digest: `registry.example.com/team/web`.
    Repository, "a repository (HOST/PATH, lower case, without tag or digest)",
    is_repository
}

impl Arch {
    /// AWS's word for what OCI calls `amd64`; other words are the same in both.
    pub fn from_oci(architecture: &str) -> Option<Self> {
        match architecture {
            "amd64" => "x86_64".parse().ok(),
            "386" => "i386".parse().ok(),
            other => other.parse().ok(),
        }
    }
}

fn is_repository(text: &str) -> bool {
    let Some((host, path)) = text.split_once('/') else { return false };
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let host_ok = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
        && port.is_none_or(|port| port.parse::<u16>().is_ok());
    let part_ok = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        !part.is_empty() && part.chars().all(inner) && part.starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    host_ok && text.len() <= 255 && path.split('/').all(part_ok)
}

impl Repository {
    /// The registry's host and port.
    pub fn registry(&self) -> &str {
        self.as_str().split_once('/').map_or(self.as_str(), |(host, _)| host)
    }

    /// The path under the registry.
    pub fn path(&self) -> &str {
        self.as_str().split_once('/').map_or("", |(_, path)| path)
    }
}

/// Name and version: `web@1.4.2`, the key of an image in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageKey {
    pub name: ImageName,
    pub version: Version,
}

impl fmt::Display for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}@{}", self.name, self.version))
    }
}

impl FromStr for ImageKey {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let Some((name, version)) = text.split_once('@') else {
            return Err(ParseError::new(text, "an image (NAME@VERSION, as in web@1.4.2)"));
        };
        Ok(Self { name: name.parse()?, version: version.parse()? })
    }
}

serde_as_text!(ImageKey);

/// One immutable address of an image. Never a tag: a tag is a selector, and only recording turns one into an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageRef {
    /// An AMI: ids are unique within a region.
    Ami { region: Region, id: AmiId },
    /// A container image, by the digest of its index or manifest.
    Oci { repository: Repository, digest: Digest },
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ami { region, id } => f.pad(&format!("{id}@{region}")),
            Self::Oci { repository, digest } => f.pad(&format!("{repository}@{digest}")),
        }
    }
}

impl FromStr for ImageRef {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wanted = "an image address (ami-…@REGION or HOST/REPOSITORY@sha256:…)";
        let Some((left, right)) = text.split_once('@') else { return Err(ParseError::new(text, wanted)) };
        if left.starts_with("ami-") && !left.contains('/') {
            return Ok(Self::Ami { region: right.parse()?, id: left.parse()? });
        }
        Ok(Self::Oci { repository: left.parse()?, digest: right.parse()? })
    }
}

serde_as_text!(ImageRef);

impl ImageRef {
    /// What a person compares: the AMI id, or the repository's last word with a short digest.
    pub fn short(&self) -> String {
        match self {
            Self::Ami { id, .. } => id.to_string(),
            Self::Oci { repository, digest } => {
                let last = repository.path().rsplit('/').next().unwrap_or_default();
                format!("{last}@{}", digest.short())
            }
        }
    }
}

/// Where an image came from. Given by the person or pipeline that records it; OCI labels fill what was not given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The commit it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// When that commit was made, where somebody said so: never guessed from when the image was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_time: Option<Timestamp>,
    /// Where that commit can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_url: Option<String>,
    /// The build that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_url: Option<String>,
    /// Free labels, `k=v`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The image it was built on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ImageKey>,
}

/// One build under one name and version, with every artifact it was published as, in address order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub key: ImageKey,
    pub artifacts: Vec<Artifact>,
    #[serde(default)]
    pub provenance: Provenance,
}

impl Image {
    /// An image with its artifacts in order and each address once.
    pub fn new(key: ImageKey, mut artifacts: Vec<Artifact>, provenance: Provenance) -> Self {
        artifacts.sort_by_key(Artifact::address);
        artifacts.dedup_by_key(|artifact| artifact.address());
        Self { key, artifacts, provenance }
    }

    /// What makes `artifact` impossible to add: the image has another artifact in the same place.
    /// One image is one AMI per region and architecture, and one digest per repository.
    pub fn clash(&self, artifact: &Artifact) -> Option<String> {
        let taken = self.artifacts.iter().find(|held| match (held, artifact) {
            (Artifact::Ami(held), Artifact::Ami(new)) => held.region == new.region && held.arch == new.arch,
            (Artifact::Oci(held), Artifact::Oci(new)) => held.repository == new.repository,
            _ => false,
        })?;
        Some(taken.address().to_string())
    }

    /// How a second recording under the same name relates to this one. Facts such as tags change; addresses do not.
    pub fn compare(&self, again: &Image) -> Comparison {
        let held: std::collections::BTreeSet<ImageRef> = self.addresses().collect();
        let new: Vec<Artifact> =
            again.artifacts.iter().filter(|artifact| !held.contains(&artifact.address())).cloned().collect();
        let clashes = new.iter().filter_map(|artifact| Some((self.clash(artifact)?, artifact.address().to_string())));
        let clashes: Vec<(String, String)> = clashes.collect();
        match (new.is_empty(), clashes.is_empty()) {
            (true, _) => Comparison::Same,
            (false, true) => Comparison::Adds(new),
            (false, false) => Comparison::Differs(clashes),
        }
    }

    pub fn addresses(&self) -> impl Iterator<Item = ImageRef> + '_ {
        self.artifacts.iter().map(Artifact::address)
    }
}

/// What a second recording would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    Same,
    /// The same image at more addresses.
    Adds(Vec<Artifact>),
    /// Another image: each pair is what is recorded, and what was given instead.
    Differs(Vec<(String, String)>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_from_the_moment_they_exist() {
        for good in ["web", "web-api", "0x", "a.b_c-d"] {
            assert!(good.parse::<ImageName>().is_ok(), "{good}");
        }
        for bad in ["", "Web", "-web", "web/prod", "web@1", "wéb", " web"] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
        }
        assert_eq!("WEB".parse::<ImageName>().unwrap_err().given, "WEB");
    }

    #[test]
    fn an_address_reads_back_as_it_was_written() {
        for text in ["ami-0123456789abcdef0@eu-west-1", &format!("127.0.0.1:5000/team/web@{}", Digest::of(b"x"))] {
            assert_eq!(text.parse::<ImageRef>().map(|address| address.to_string()), Ok(text.to_owned()));
        }
        for bad in
            ["web:1", "team/web:1@sha256:00", "ami-12@eu-west-1", "ami-0123456789abcdef0", "ami-0123456789abcdef0@moon"]
        {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
        }
    }
}
