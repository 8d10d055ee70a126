//! What a pointer says of an image: the AMI of its region and architecture, or the container image of its repository.

use crate::model::{Arch, Artifact, Image, ImageRef, Region, Repository};

/// Which of an image's artifacts a pointer stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    pub region: Option<Region>,
    pub arch: Option<Arch>,
    pub repository: Option<Repository>,
    /// Only a container image has what is written there.
    pub container: bool,
}

impl Wants {
    /// What stands where this address stood: its region and architecture, or its repository. `None`: `image` is not
    /// there.
    pub fn like(image: &Image, address: &ImageRef) -> Option<Self> {
        let artifact = image.artifacts.iter().find(|artifact| artifact.address() == *address)?;
        Some(match artifact {
            Artifact::Ami(ami) => {
                Self { region: Some(ami.region.clone()), arch: Some(ami.arch.clone()), ..Self::default() }
            }
            Artifact::Oci(oci) => Self { repository: Some(oci.repository.clone()), ..Self::default() },
        })
    }
}

/// The text that a pointer holds for this image: an AMI id, or `HOST/REPOSITORY@sha256:…`. The error says what there is
/// to choose from.
pub fn value(image: &Image, wants: &Wants) -> Result<String, String> {
    Ok(text(&artifact(image, wants)?.address()))
}

/// The one artifact of this image that is wanted.
pub fn artifact<'a>(image: &'a Image, wants: &Wants) -> Result<&'a Artifact, String> {
    let fits = |artifact: &&Artifact| match artifact {
        Artifact::Ami(ami) => {
            wants.repository.is_none()
                && !wants.container
                && wants.region.as_ref().is_none_or(|region| *region == ami.region)
                && wants.arch.as_ref().is_none_or(|arch| *arch == ami.arch)
        }
        // A region in the config is where a parameter is, and says nothing of a registry.
        Artifact::Oci(oci) => {
            wants.arch.is_none() && wants.repository.as_ref().is_none_or(|repository| *repository == oci.repository)
        }
    };
    let fitting: Vec<&Artifact> = image.artifacts.iter().filter(fits).collect();
    match fitting.as_slice() {
        [one] => Ok(one),
        [] => Err(format!("{} has nothing for it: {}", image.key, list(image.artifacts.iter()))),
        many => Err(format!(
            "{} has several for it, and region, arch or repository must say which: {}",
            image.key,
            list(many.iter().copied())
        )),
    }
}

/// As infrastructure code wants it: an AMI's id, or a container image by its digest.
pub fn text(address: &ImageRef) -> String {
    match address {
        ImageRef::Ami { id, .. } => id.to_string(),
        ImageRef::Oci { .. } => address.to_string(),
    }
}

fn list<'a>(artifacts: impl Iterator<Item = &'a Artifact>) -> String {
    let said = |artifact: &Artifact| match artifact {
        Artifact::Ami(ami) => format!("{} ({}, {})", ami.id, ami.region, ami.arch),
        Artifact::Oci(oci) => oci.repository.to_string(),
    };
    artifacts.map(said).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AmiArtifact, AmiFacts, Digest, OciArtifact, Provenance};
    use std::collections::BTreeMap;

    fn ami(number: u64, region: &str, arch: &str) -> Artifact {
        let (region, arch) = (region.parse().unwrap(), arch.parse().unwrap());
        let id = format!("ami-{number:08x}").parse().unwrap();
        Artifact::Ami(AmiArtifact { account: "1".into(), region, arch, id, facts: AmiFacts::default() })
    }

    fn oci(repository: &str) -> Artifact {
        let (repository, digest) = (repository.parse().unwrap(), Digest::of(b"x"));
        Artifact::Oci(OciArtifact { repository, digest, media_type: "m".into(), platforms: BTreeMap::new(), tag: None })
    }

    fn said(artifacts: Vec<Artifact>, region: &str, arch: &str, repository: &str) -> Result<String, String> {
        let image = Image::new("web@1".parse().unwrap(), artifacts, Provenance::default());
        let (region, arch, repository) = (region.parse().ok(), arch.parse().ok(), repository.parse().ok());
        value(&image, &Wants { region, arch, repository, container: false })
    }

    #[test]
    fn a_pointer_takes_the_one_artifact_that_fits() {
        let both = || vec![ami(1, "eu-west-1", "x86_64"), ami(2, "us-east-1", "x86_64"), ami(3, "eu-west-1", "arm64")];
        assert_eq!(said(both(), "us-east-1", "", ""), Ok("ami-00000002".into()));
        assert_eq!(said(both(), "eu-west-1", "arm64", ""), Ok("ami-00000003".into()));
        let several = said(both(), "eu-west-1", "", "").unwrap_err();
        assert!(several.contains("ami-00000001 (eu-west-1, x86_64), ami-00000003 (eu-west-1, arm64)"), "{several}");
        assert!(said(both(), "eu-north-1", "", "").unwrap_err().contains("has nothing for it"));
    }

    #[test]
    fn what_stood_in_a_slot_says_what_belongs_there() {
        let image = |artifacts| Image::new("web@1".parse().unwrap(), artifacts, Provenance::default());
        let old = image(vec![ami(1, "eu-west-1", "x86_64"), ami(2, "eu-west-1", "arm64")]);
        let new = image(vec![ami(3, "eu-west-1", "arm64"), ami(4, "eu-west-1", "x86_64"), oci("example.com/web")]);
        let like = |address: &str| Wants::like(&old, &address.parse().unwrap());
        assert_eq!(value(&new, &like("ami-00000002@eu-west-1").unwrap()), Ok("ami-00000003".into()));
        assert_eq!(value(&new, &like("ami-00000001@eu-west-1").unwrap()), Ok("ami-00000004".into()));
        assert_eq!(like("ami-00000001@us-east-1"), None);
    }

    #[test]
    fn a_container_image_is_named_by_its_digest() {
        let (repository, digest) = ("registry.example.com/web", Digest::of(b"x"));
        assert_eq!(said(vec![oci(repository)], "eu-west-1", "", ""), Ok(format!("{repository}@{digest}")));
        let mixed = || vec![oci(repository), oci("registry.example.com/side"), ami(1, "eu-west-1", "x86_64")];
        assert_eq!(said(mixed(), "", "", repository), Ok(format!("{repository}@{digest}")));
        assert!(said(mixed(), "", "", "").is_err());
        let both = Image::new(
            "web@1".parse().unwrap(),
            vec![oci(repository), ami(1, "eu-west-1", "x86_64")],
            Provenance::default(),
        );
        let container = Wants { container: true, ..Wants::default() };
        assert_eq!(value(&both, &container), Ok(format!("{repository}@{digest}")), "an AMI has no digest");
    }
}
