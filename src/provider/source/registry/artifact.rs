//! Artifacts without content (OCI image spec 1.1): their manifests as bytes, read, and pushed under a tag.

use super::wire::{Question, pushed};
use super::{Place, RegistryError, RegistrySource};
use crate::model::{Digest, Repository};
use reqwest::Method;

/// What an artifact without content has for its config and its only layer.
const EMPTY: &[u8] = b"{}";

impl RegistrySource {
    /// The manifest at a tag or a digest. `None`: there is no such thing, or no such repository.
    pub async fn artifact(&self, repository: &Repository, reference: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        let place = self.place(repository).await?;
        match place.get(reference).await {
            Ok((bytes, _)) => {
                if let Ok(digest) = reference.parse() {
                    place.check(reference, &bytes, &digest)?;
                }
                Ok(Some(bytes))
            }
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Pushes the manifest of an artifact without content, and reads its tag back.
    pub async fn push_artifact(
        &self,
        repository: &Repository,
        tag: &str,
        manifest: Vec<u8>,
    ) -> Result<(), RegistryError> {
        let place = self.place(repository).await?;
        place.put_empty(tag).await?;
        place.put(tag, manifest.clone(), None).await?;
        match place.get(tag).await {
            Ok((found, _)) if found == manifest => Ok(()),
            Ok((found, _)) => {
                Err(RegistryError::NotTaken { object: place.named_tag(tag), found: Some(Digest::of(&found)) })
            }
            Err(error) if error.is_gone() => Err(RegistryError::NotTaken { object: place.named_tag(tag), found: None }),
            Err(error) => Err(error),
        }
    }
}

impl Place {
    /// The empty blob, which registries want to have before a manifest names it.
    async fn put_empty(&self, tag: &str) -> Result<(), RegistryError> {
        let digest = Digest::of(EMPTY);
        let path = format!("/v2/{}/blobs/{digest}", self.path);
        let question = Question { path, accept: None, ..self.manifest(Method::HEAD, digest.as_str()) };
        match self.door.ask(&question).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error),
        }
        let reference = self.to_push(tag).await?;
        let written = self.door.oci.push_blob(&reference, EMPTY, digest.as_str()).await;
        written.map(drop).map_err(|error| pushed(self.asked_to_push(&self.named_tag(tag)), error))
    }
}
