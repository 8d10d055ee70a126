//! Moving a tag: the same bytes under another tag, one PUT, read back.

use super::refusal::Asked;
use super::wire::pushed;
use super::{Place, RegistryError, RegistrySource};
use crate::model::{Digest, Repository};
use crate::provider::source::manifest::Manifest;
use backon::{ExponentialBuilder, Retryable};
use oci_client::{Reference, RegistryOperation};
use reqwest::header::HeaderValue;

/// What became of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagMove {
    /// It was there already.
    Already,
    /// It was written, and read back; `from` is where it pointed before.
    Moved { from: Option<Digest> },
}

impl RegistrySource {
    /// Points `tag` at what `digest` is, in the same repository.
    pub async fn move_tag(
        &self,
        repository: &Repository,
        digest: &Digest,
        tag: &str,
    ) -> Result<TagMove, RegistryError> {
        let place = self.place(repository).await?;
        let from = place.now(tag).await?;
        if from.as_ref() == Some(digest) {
            return Ok(TagMove::Already);
        }
        let (bytes, announced) = place.get(digest.as_str()).await?;
        place.check(digest.as_str(), &bytes, digest)?;
        place.put(tag, bytes.clone(), announced.as_deref()).await?;
        let found = place.now(tag).await?;
        if found.as_ref().is_none_or(|found| super::matches(&bytes, found).is_err()) {
            return Err(RegistryError::NotTaken { object: place.named_tag(tag), found });
        }
        Ok(TagMove::Moved { from })
    }
}

impl Place {
    /// Where a tag points now. A registry that names no digest is asked for the bytes.
    async fn now(&self, tag: &str) -> Result<Option<Digest>, RegistryError> {
        match self.head(tag).await {
            Ok(None) => Ok(Some(Digest::of(&self.get(tag).await?.0))),
            Ok(found) => Ok(found),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn put(&self, tag: &str, bytes: Vec<u8>, announced: Option<&str>) -> Result<(), RegistryError> {
        let object = self.named_tag(tag);
        let garbled =
            |why: String| RegistryError::Garbled { host: self.door.host.clone(), object: object.clone(), why };
        let media_type = Manifest::parse(&bytes, announced).map_err(garbled)?.media_type;
        let media_type = HeaderValue::from_str(&media_type).map_err(|error| garbled(error.to_string()))?;
        let reference = self.to_push(tag).await?;
        let push = || async {
            let written = self.door.oci.push_manifest_raw(&reference, bytes.clone(), media_type.clone()).await;
            written.map(drop).map_err(|error| pushed(self.asked_to_push(&object), error))
        };
        // The same bytes under the same tag twice are the same as once.
        let patience = self.door.patience();
        let tries = ExponentialBuilder::default()
            .with_min_delay(patience.backoff)
            .with_max_times(patience.retries)
            .with_jitter();
        push.retry(tries).when(RegistryError::is_passing).await
    }

    /// The reference that oci-client pushes to, once it may.
    pub(super) async fn to_push(&self, tag: &str) -> Result<Reference, RegistryError> {
        let object = self.named_tag(tag);
        // By tag alone: oci-client panics on a reference with a digest where a registry answers without Location.
        let reference = Reference::with_tag(self.door.host.clone(), self.path.clone(), tag.to_owned());
        let auth = self.door.push_auth(&self.path, self.asked_to_push(&object)).await?;
        let granted = self.door.oci.auth(&reference, &auth, RegistryOperation::Push).await;
        granted.map_err(|error| pushed(self.asked_to_push(&object), error))?;
        Ok(reference)
    }

    pub(super) fn asked_to_push<'a>(&'a self, object: &'a str) -> Asked<'a> {
        Asked { host: &self.door.host, object, tried: self.door.tried(), is_tag: true, is_write: true }
    }
}
