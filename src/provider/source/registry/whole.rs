//! Whether a container image is whole: every manifest, config and layer behind its digest is there to be pulled.

use super::super::Availability;
use super::super::manifest::{Body, Manifest};
use super::{ABREAST, Place, Question, RegistryError, RegistrySource};
use crate::model::{Digest, ImageRef, Repository};
use futures_util::{StreamExt, stream};
use reqwest::Method;
use std::collections::{BTreeMap, BTreeSet};

/// How deep indexes may stand in indexes (image spec, "OCI Image Index": an index may name another).
const DEEPEST: usize = 4;

impl RegistrySource {
    /// Whether a pull of each would find all that it needs: its manifests are read, every blob is asked for by HEAD.
    pub async fn whole(&self, wanted: &BTreeSet<(Repository, Digest)>) -> BTreeMap<ImageRef, Availability> {
        let mut answers = BTreeMap::new();
        for (repository, digest) in wanted {
            let address = ImageRef::Oci { repository: repository.clone(), digest: digest.clone() };
            let answer = match self.missing(repository, digest).await {
                Ok(missing) if missing.is_empty() => Availability::Available,
                Ok(missing) => Availability::Unusable { why: format!("the registry lacks {}", missing.join(", ")) },
                Err(error) if error.is_gone() => Availability::Gone { why: error.to_string() },
                Err(error) => Availability::Unknown { why: error.to_string() },
            };
            answers.insert(address, answer);
        }
        answers
    }

    /// The digests behind this one that the registry does not have.
    async fn missing(&self, repository: &Repository, digest: &Digest) -> Result<Vec<String>, RegistryError> {
        let place = self.place(repository).await?;
        let (mut blobs, mut missing) = (BTreeSet::new(), Vec::new());
        let mut manifests = BTreeSet::from([digest.clone()]);
        for depth in 0..DEEPEST {
            let mut children = BTreeSet::new();
            for manifest in &manifests {
                match place.behind(manifest, &mut blobs, &mut children).await {
                    Err(error) if error.is_gone() && depth > 0 => missing.push(format!("manifest {manifest}")),
                    answer => answer?,
                }
            }
            manifests = children;
        }
        let asks: Vec<_> = blobs.iter().map(|blob| place.has_blob(blob)).collect();
        let answers: Vec<_> = stream::iter(asks).buffered(ABREAST).collect().await;
        for (blob, answer) in blobs.iter().zip(answers) {
            if !answer? {
                missing.push(format!("blob {blob}"));
            }
        }
        Ok(missing)
    }
}

impl Place {
    /// What one manifest needs: the blobs of an image, the manifests of an index.
    async fn behind(
        &self,
        digest: &Digest,
        blobs: &mut BTreeSet<Digest>,
        manifests: &mut BTreeSet<Digest>,
    ) -> Result<(), RegistryError> {
        let (bytes, announced) = self.get(digest.as_str()).await?;
        self.check(digest.as_str(), &bytes, digest)?;
        let garbled =
            |why| RegistryError::Garbled { host: self.door.host.clone(), object: self.object(digest.as_str()), why };
        match Manifest::parse(&bytes, announced.as_deref()).map_err(garbled)?.body {
            // Attestations are not pulled to run an image.
            Body::Index { manifests: children } => {
                manifests.extend(children.into_iter().filter(|each| !each.is_attestation()).map(|each| each.digest));
            }
            Body::Image { config, layers, .. } => {
                blobs.insert(config.digest);
                // Layers that may not be distributed come from elsewhere (image spec, "Non-Distributable Layers").
                let elsewhere = |kind: &str| kind.contains("nondistributable") || kind.contains("foreign");
                blobs.extend(layers.into_iter().filter(|each| !elsewhere(&each.media_type)).map(|each| each.digest));
            }
        }
        Ok(())
    }

    async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let question = Question {
            path: format!("/v2/{}/blobs/{digest}", self.path),
            accept: None,
            ..self.manifest(Method::HEAD, digest.as_str())
        };
        match self.door.ask(&question).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_gone() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
