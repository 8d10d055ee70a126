//! What a person types to mean an image. Selectors float; nothing stores one.

use super::{AmiId, Digest, ImageName, ParseError, Region, Repository, Version};
use std::fmt;
use std::str::FromStr;

/// A word that is looked up in the ledger. Versions, digests and AMI ids may be unique prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSelector {
    /// `web@1.4.2` or `web@1.4`.
    NameVersion { name: ImageName, version: String },
    /// `sha256:3f9a…`, of an index or a platform's manifest.
    Digest(String),
    /// `ami-0abc…`.
    Ami(String),
    /// `HOST/REPOSITORY@sha256:…`.
    Address { repository: Repository, digest: Digest },
    /// `HOST/REPOSITORY:TAG` as it was recorded.
    RepositoryTag { repository: Repository, tag: String },
    /// `web:stable`: a tag of the ledger.
    Tag { name: ImageName, tag: String },
}

impl FromStr for ImageSelector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wanted = "an image (NAME@VERSION, NAME:TAG, sha256:…, ami-… or HOST/REPOSITORY:TAG)";
        let hex =
            |digits: &str| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
        if let Some(digits) = text.strip_prefix("sha256:") {
            return if hex(digits) { Ok(Self::Digest(text.to_owned())) } else { Err(ParseError::new(text, wanted)) };
        }
        if let Some(digits) = text.strip_prefix("ami-")
            && hex(digits)
        {
            return Ok(Self::Ami(text.to_owned()));
        }
        if text.contains('/') {
            return match SourceSelector::registry(text)? {
                SourceSelector::RegistryTag { repository, tag } => Ok(Self::RepositoryTag { repository, tag }),
                SourceSelector::RegistryDigest { repository, digest } => Ok(Self::Address { repository, digest }),
                _ => Err(ParseError::new(text, wanted)),
            };
        }
        if let Some((name, version)) = text.split_once('@') {
            let name = name.parse()?;
            version.parse::<Version>()?;
            return Ok(Self::NameVersion { name, version: version.to_owned() });
        }
        match text.split_once(':') {
            Some((name, tag)) if is_tag(tag) => Ok(Self::Tag { name: name.parse()?, tag: tag.to_owned() }),
            _ => Err(ParseError::new(text, wanted)),
        }
    }
}

impl fmt::Display for ImageSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameVersion { name, version } => write!(f, "{name}@{version}"),
            Self::Digest(text) | Self::Ami(text) => f.write_str(text),
            Self::Address { repository, digest } => write!(f, "{repository}@{digest}"),
            Self::RepositoryTag { repository, tag } => write!(f, "{repository}:{tag}"),
            Self::Tag { name, tag } => write!(f, "{name}:{tag}"),
        }
    }
}

/// A tag as the OCI distribution spec allows it: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub fn is_tag(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.len() <= 128 && text.chars().all(inner) && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
}

/// Where `record` reads an image from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSelector {
    /// `ami-…` or `ami-…@REGION`; without a region, the configured one.
    Ami { id: AmiId, region: Option<Region> },
    /// `HOST/REPOSITORY:TAG`.
    RegistryTag { repository: Repository, tag: String },
    /// `HOST/REPOSITORY@sha256:…`.
    RegistryDigest { repository: Repository, digest: Digest },
    /// A file that Packer's manifest post-processor wrote.
    PackerManifest { path: String },
    /// `oci:DIR` or `oci:DIR:NAME`: an OCI image layout.
    OciLayout { dir: String, reference: Option<String> },
}

impl SourceSelector {
    fn registry(text: &str) -> Result<Self, ParseError> {
        if let Some((repository, digest)) = text.split_once('@') {
            // `repo:tag@sha256:…`: the digest decides, the tag is a remark.
            let repository = match repository.rsplit_once(':') {
                Some((before, tag)) if !tag.contains('/') && before.contains('/') => before,
                _ => repository,
            };
            return Ok(Self::RegistryDigest { repository: with_host(repository)?, digest: digest.parse()? });
        }
        match text.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => {
                if !is_tag(tag) {
                    return Err(ParseError::new(tag, "a tag (letters, digits, `.`, `_`, `-`; at most 128)"));
                }
                Ok(Self::RegistryTag { repository: with_host(repository)?, tag: tag.to_owned() })
            }
            // Docker's meaning of no tag is `latest`; recording should say what it means.
            _ => Err(ParseError::new(
                text,
                "an image in a registry (HOST/REPOSITORY:TAG or …@sha256:…; the tag must be given)",
            )),
        }
    }
}

/// `team/web` is Docker Hub's by convention; a host is needed to tell it from a typing mistake.
fn with_host(text: &str) -> Result<Repository, ParseError> {
    let host = text.split('/').next().unwrap_or_default();
    if host.contains('.') || host.contains(':') || host == "localhost" {
        return text.parse();
    }
    Err(ParseError::new(
        text,
        "a repository with its registry's host (as in docker.io/library/nginx or registry.example.com/team/web)",
    ))
}

impl FromStr for SourceSelector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some(layout) = text.strip_prefix("oci:") {
            let (dir, reference) =
                layout.rsplit_once(':').map_or((layout, None), |(dir, name)| (dir, Some(name.to_owned())));
            return if dir.is_empty() {
                Err(ParseError::new(text, "an OCI layout (oci:DIR or oci:DIR:NAME)"))
            } else {
                Ok(Self::OciLayout { dir: dir.to_owned(), reference })
            };
        }
        if text.starts_with("ami-") && !text.contains('/') {
            return match text.split_once('@') {
                Some((id, region)) => Ok(Self::Ami { id: id.parse()?, region: Some(region.parse()?) }),
                None => Ok(Self::Ami { id: text.parse()?, region: None }),
            };
        }
        if text.ends_with(".json") {
            return Ok(Self::PackerManifest { path: text.to_owned() });
        }
        if text.contains('/') {
            return Self::registry(text);
        }
        Err(ParseError::new(text, "a source (ami-…, HOST/REPOSITORY:TAG, …@sha256:…, packer-manifest.json or oci:DIR)"))
    }
}

impl fmt::Display for SourceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ami { id, region: Some(region) } => write!(f, "{id}@{region}"),
            Self::Ami { id, region: None } => write!(f, "{id}"),
            Self::RegistryTag { repository, tag } => write!(f, "{repository}:{tag}"),
            Self::RegistryDigest { repository, digest } => write!(f, "{repository}@{digest}"),
            Self::PackerManifest { path } => f.write_str(path),
            Self::OciLayout { dir, reference: Some(name) } => write!(f, "oci:{dir}:{name}"),
            Self::OciLayout { dir, reference: None } => write!(f, "oci:{dir}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_reads_back_as_it_was_typed() {
        let digest = Digest::of(b"x");
        let pinned = format!("127.0.0.1:5000/web@{digest}");
        for text in
            ["web@1.4.2", "web@1", "web:stable", "ami-0ab", "sha256:3f9a", "127.0.0.1:5000/team/web:1.0", &pinned]
        {
            assert_eq!(text.parse::<ImageSelector>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
        for bad in ["", "web", "web@", "Web@1", "sha256:", "sha256:XYZ", "web:", "web: x"] {
            assert!(bad.parse::<ImageSelector>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_source_says_where_to_read() {
        let pinned = format!("ghcr.io/a/b@{}", Digest::of(b"x"));
        for text in [
            "ami-0123456789abcdef0@us-west-2",
            "ami-0123456789abcdef0",
            "r.example.com/web:1",
            &pinned,
            "oci:out",
            "oci:out:web",
            "packer-manifest.json",
        ] {
            assert_eq!(text.parse::<SourceSelector>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
        for bad in ["web", "team/web:1", "ghcr.io/a/b", "ami-xyz", "ami-0123456789abcdef0@", "oci:", "ghcr.io/A/b:1"] {
            assert!(bad.parse::<SourceSelector>().is_err(), "{bad}");
        }
    }
}
