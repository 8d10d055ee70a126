//! Where images come from: each source reads what an image *is*, and where it can still be had.

pub mod ami;
mod committed;
mod contents;
mod ecr;
mod failure;
mod layout;
pub mod listing;
mod manifest;
mod packer;
pub mod registry;

pub use ami::{AmiPage, AmiSource};
pub use failure::SourceError;
pub use registry::{Patience, RegistryError, RegistrySettings, RegistrySource};

use crate::model::{AmiArtifact, AmiId, Artifact, Digest, ImageRef, Provenance, Region, Repository, SourceSelector};
use crate::provider::aws::Aws;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a source said an image is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    pub artifacts: Vec<Artifact>,
    /// What the image itself says of its origin (OCI labels, Packer's manifest); what the person says wins.
    pub provenance: Provenance,
    /// What the person should know: "2 attestations of … are not recorded".
    pub notes: Vec<String>,
}

impl Described {
    /// Takes in another source's reading of the same image. What was said first stays.
    fn join(&mut self, other: Self) {
        self.artifacts.extend(other.artifacts);
        self.notes.extend(other.notes);
        let (mine, theirs) = (&mut self.provenance, other.provenance);
        mine.commit_time = mine.commit_time.take().or(theirs.commit_time);
        mine.commit = mine.commit.take().or(theirs.commit);
        mine.source_url = mine.source_url.take().or(theirs.source_url);
        mine.build_url = mine.build_url.take().or(theirs.build_url);
        mine.parent = mine.parent.take().or(theirs.parent);
        for (key, value) in theirs.labels {
            mine.labels.entry(key).or_insert(value);
        }
    }
}

/// Reads images.
#[async_trait::async_trait]
pub trait ImageSource: Send + Sync {
    /// Reads what is at these places now, and pins it: all of it is one image. The first that fails ends it.
    async fn resolve(&self, selectors: &[SourceSelector]) -> Result<Described, SourceError>;

    /// Whether each address can still be launched or pulled. Every address asked for is in the answer.
    async fn availability(&self, addresses: &[ImageRef]) -> BTreeMap<ImageRef, Availability>;

    /// The same, with everything behind each address that a pull would need: asked only of what is about to be moved to,
    /// since it costs a request for every layer. An AMI is whole or not there.
    async fn whole(&self, addresses: &[ImageRef]) -> BTreeMap<ImageRef, Availability> {
        addresses.iter().map(|address| (address.clone(), Availability::Available)).collect()
    }
}

/// Whether an address can be launched or pulled now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    Available,
    /// It can be launched; its owner says that it should not be any more, from this moment on.
    Deprecated {
        at: Timestamp,
    },
    /// It is not there, or not for us: deregistered, deleted, not shared.
    Gone {
        why: String,
    },
    /// It is there and cannot be used: `pending`, `failed`, `disabled`.
    Unusable {
        why: String,
    },
    /// The question was not answered.
    Unknown {
        why: String,
    },
}

/// Every source: EC2, registries, and files on this machine.
pub struct Sources {
    pub amis: AmiSource,
    pub registries: Arc<RegistrySource>,
    aws: Arc<Aws>,
}

impl Sources {
    pub fn new(aws: Arc<Aws>, registries: Arc<RegistrySource>) -> Self {
        Self { amis: AmiSource::new(Arc::clone(&aws)), registries, aws }
    }

    /// AMIs are read in one batch, whichever way they were named; everything else one after the other.
    async fn read(&self, selectors: &[SourceSelector]) -> Result<Described, SourceError> {
        let mut all = Described::default();
        let mut amis = BTreeSet::new();
        let mut named: Vec<SourceSelector> = Vec::new();
        for selector in selectors {
            if let SourceSelector::PackerManifest { path } = selector {
                let manifest = packer::read(path).await?;
                named.extend(manifest.selectors);
                all.join(manifest.described);
            } else {
                named.push(selector.clone());
            }
        }
        for selector in &named {
            match selector {
                SourceSelector::Ami { id, region } => drop(amis.insert(self.place(id, region.as_ref())?)),
                SourceSelector::RegistryTag { repository, tag } => {
                    all.join(self.registries.resolve_tag(repository, tag).await?)
                }
                SourceSelector::RegistryDigest { repository, digest } => {
                    all.join(self.registries.resolve_digest(repository, digest).await?);
                }
                SourceSelector::OciLayout { dir, reference } => {
                    all.join(layout::read(dir, reference.as_deref()).await?)
                }
                // A manifest names no manifest.
                SourceSelector::PackerManifest { path } => {
                    return Err(SourceError::packer(path, "it names another manifest"));
                }
            }
        }
        all.join(self.amis.describe(&amis).await?);
        one_per_place(&all.artifacts)?;
        Ok(all)
    }

    fn place(&self, id: &AmiId, region: Option<&Region>) -> Result<(Region, AmiId), SourceError> {
        let region = region.or(self.amis.region()).ok_or_else(|| SourceError::NoRegion { id: id.clone() })?;
        Ok((region.clone(), id.clone()))
    }
}

/// One image is one AMI per region and architecture, and one digest per repository.
fn one_per_place(artifacts: &[Artifact]) -> Result<(), SourceError> {
    let mut taken: BTreeMap<String, ImageRef> = BTreeMap::new();
    for artifact in artifacts {
        let place = match artifact {
            Artifact::Ami(AmiArtifact { region, arch, .. }) => format!("{arch} in {region}"),
            Artifact::Oci(oci) => oci.repository.to_string(),
        };
        let address = artifact.address();
        if let Some(first) = taken.insert(place.clone(), address.clone()).filter(|first| *first != address) {
            return Err(SourceError::Two { place, first: first.to_string(), second: address.to_string() });
        }
    }
    Ok(())
}

#[async_trait::async_trait]
impl ImageSource for Sources {
    async fn resolve(&self, selectors: &[SourceSelector]) -> Result<Described, SourceError> {
        self.read(selectors).await
    }

    async fn availability(&self, addresses: &[ImageRef]) -> BTreeMap<ImageRef, Availability> {
        let (mut amis, mut containers) = (BTreeSet::new(), BTreeSet::new());
        for address in addresses {
            match address {
                ImageRef::Ami { region, id } => drop(amis.insert((region.clone(), id.clone()))),
                ImageRef::Oci { repository, digest } => drop(containers.insert((repository.clone(), digest.clone()))),
            }
        }
        let (mut answers, more) =
            futures_util::join!(self.amis.availability(&amis), self.registries.availability(&containers));
        answers.extend(more);
        answers
    }

    async fn whole(&self, addresses: &[ImageRef]) -> BTreeMap<ImageRef, Availability> {
        let containers: BTreeSet<(Repository, Digest)> = addresses
            .iter()
            .filter_map(|address| match address {
                ImageRef::Oci { repository, digest } => Some((repository.clone(), digest.clone())),
                ImageRef::Ami { .. } => None,
            })
            .collect();
        let mut answers = self.registries.whole(&containers).await;
        for (repository, digest) in containers {
            if let Some(archived) = ecr::archived(&self.aws, &repository, &digest).await {
                answers.insert(ImageRef::Oci { repository, digest }, archived);
            }
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AmiFacts, Arch};

    fn ami(region: &str, arch: &str, id: &str) -> Artifact {
        let (region, arch) = (region.parse().unwrap(), arch.parse::<Arch>().unwrap());
        Artifact::Ami(AmiArtifact {
            account: "1".repeat(12),
            region,
            arch,
            id: id.parse().unwrap(),
            facts: AmiFacts::default(),
        })
    }

    #[test]
    fn an_image_has_one_ami_per_region_and_architecture() {
        let first = ami("eu-west-1", "x86_64", "ami-11111111");
        assert!(one_per_place(&[first.clone(), ami("eu-west-1", "arm64", "ami-22222222"), first.clone()]).is_ok());
        let error = one_per_place(&[first, ami("eu-west-1", "x86_64", "ami-33333333")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ami-11111111@eu-west-1 and ami-33333333@eu-west-1 are both given for x86_64 in eu-west-1"
        );
    }

    #[tokio::test]
    async fn an_ami_needs_a_region_from_somewhere() {
        let aws = Arc::new(Aws::from_config(aws_config::SdkConfig::builder().build()));
        let registries = Arc::new(RegistrySource::new(RegistrySettings::default(), Patience::default()));
        let error = Sources::new(aws, registries).resolve(&["ami-11111111".parse().unwrap()]).await.unwrap_err();
        assert!(
            matches!(&error, SourceError::NoRegion { .. }) && error.hint().unwrap().starts_with("ami-11111111@"),
            "{error}"
        );
    }

    #[test]
    fn what_was_said_first_stays() {
        let says = |commit: &str| Described {
            provenance: Provenance { commit: Some(commit.to_owned()), ..Provenance::default() },
            notes: vec![commit.to_owned()],
            ..Described::default()
        };
        let mut all = says("a");
        all.join(says("b"));
        assert_eq!((all.provenance.commit.as_deref(), all.notes.len()), (Some("a"), 2));
    }
}
