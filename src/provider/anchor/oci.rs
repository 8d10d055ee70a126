//! An artifact in a container registry: a tag that is moved on, each manifest naming the one before by its digest.
//!
//! The manifest is OCI image-spec 1.1's for artifacts without content: an `artifactType`, the empty config and the empty
//! layer (<https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md#guidelines-for-artifact-usage>); the head
//! stands in its annotations. Registries know no conditional PUT: who is overtaken is still named by nobody, and finds
//! at the next check that the anchor has another history. A registry may clear manifests without a tag away: the memory
//! ends there.

use super::{Anchor, AnchorError};
use crate::model::{Digest, Noted, NotedError, Repository, selector};
use crate::provider::section::Section;
use crate::provider::source::RegistrySource;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use toml::Spanned;

/// The word for it in the config.
pub(super) const KIND: &str = "oci";
const DEFAULT_TAG: &str = "ledger-head";
const ARTIFACT: &str = "application/vnd.imgctl.anchor.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const HEAD: &str = "imgctl.anchor.head";
const PREVIOUS: &str = "imgctl.anchor.previous";
/// How many manifests are read, one call each.
const MEMORY: usize = 10;

/// A repository and a tag that nothing else is pushed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciSettings {
    pub repository: Repository,
    /// Default `ledger-head`. It moves: a registry with immutable tags must except it.
    pub tag: String,
}

pub(super) fn read(section: &Section<'_>) -> Option<OciSettings> {
    let repository = section.required("repository", "the repository, as in \"registry.example.com/team/ledger\"");
    let tag = section.text("tag");
    if let Some(tag) = tag.as_ref().filter(|tag| !selector::is_tag(tag.get_ref())) {
        section.fault(tag.span(), "`tag` is not valid", "expected a tag (letters, digits, `.`, `_`, `-`)");
        return None;
    }
    let tag = tag.map_or_else(|| DEFAULT_TAG.to_owned(), Spanned::into_inner);
    Some(OciSettings { repository: repository?.into_inner(), tag })
}

/// The written form of a manifest, with its members in this order.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: String,
    #[serde(default)]
    artifact_type: String,
    config: Descriptor,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
}

/// One tag of one repository.
pub(super) struct Artifacts {
    registries: Arc<RegistrySource>,
    settings: OciSettings,
}

impl Artifacts {
    pub(super) fn new(registries: Arc<RegistrySource>, settings: OciSettings) -> Self {
        Self { registries, settings }
    }

    fn strange(&self, reference: &str, source: NotedError) -> AnchorError {
        let mark = if reference.contains(':') { '@' } else { ':' };
        AnchorError::NotAnAnchor { what: format!("{}{mark}{reference}", self.settings.repository), source }
    }

    /// A manifest: its digest, its head, and the digest of the manifest before it.
    async fn at(&self, reference: &str) -> Result<Option<(Digest, Noted, Option<String>)>, AnchorError> {
        let Some(bytes) = self.registries.artifact(&self.settings.repository, reference).await? else {
            return Ok(None);
        };
        let strange = |why: String| self.strange(reference, NotedError::Malformed { why });
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| strange(error.to_string()))?;
        if manifest.artifact_type != ARTIFACT {
            return Err(strange(format!("it is no artifact of type {ARTIFACT}")));
        }
        let text = manifest.annotations.get(HEAD).ok_or_else(|| strange(format!("it has no annotation {HEAD}")))?;
        let noted = Noted::from_document(text).map_err(|source| self.strange(reference, source))?;
        Ok(Some((Digest::of(&bytes), noted, manifest.annotations.get(PREVIOUS).cloned())))
    }
}

fn manifest(noted: &Noted, previous: Option<&Digest>) -> Vec<u8> {
    let empty = Descriptor { media_type: EMPTY.to_owned(), digest: Digest::of(b"{}"), size: 2 };
    let mut annotations = BTreeMap::from([(HEAD.to_owned(), noted.to_document())]);
    annotations.extend(previous.map(|digest| (PREVIOUS.to_owned(), digest.to_string())));
    let created = noted.at.map(|at| ("org.opencontainers.image.created".to_owned(), at.to_string()));
    annotations.extend(created);
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST.to_owned(),
        artifact_type: ARTIFACT.to_owned(),
        config: empty.clone(),
        layers: vec![empty],
        annotations,
    };
    // Texts and numbers: serde_json cannot refuse them.
    serde_json::to_vec(&manifest).unwrap_or_default()
}

#[async_trait::async_trait]
impl Anchor for Artifacts {
    fn place(&self) -> String {
        format!("artifact {}:{}", self.settings.repository, self.settings.tag)
    }

    async fn read(&self) -> Result<Vec<Noted>, AnchorError> {
        let mut all = Vec::new();
        let mut next = Some(self.settings.tag.clone());
        while let Some(reference) = next.take().filter(|_| all.len() < MEMORY) {
            if let Some((_, noted, previous)) = self.at(&reference).await? {
                all.push(noted);
                next = previous.filter(|digest| digest.parse::<Digest>().is_ok());
            }
        }
        all.sort_by_key(|noted| noted.head.seq);
        Ok(all)
    }

    async fn write(&self, noted: &Noted, over: Option<&Noted>) -> Result<(), AnchorError> {
        let OciSettings { repository, tag } = &self.settings;
        let there = self.at(tag).await?;
        let known = over.map(|over| over.head.seq).unwrap_or_default();
        if there.as_ref().is_some_and(|(_, there, _)| there.head.seq > known) {
            return Err(AnchorError::Overtaken { place: self.place() });
        }
        let previous = there.map(|(digest, ..)| digest);
        Ok(self.registries.push_artifact(repository, tag, manifest(noted, previous.as_ref())).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Head, Seq};

    #[test]
    fn a_manifest_is_an_artifact_without_content_that_names_the_one_before() {
        let head = Head { seq: Seq(41), hash: Digest::of(b"x") };
        let at = Some("2026-11-20T10:00:00Z".parse().unwrap());
        let noted = Noted { head, ledger: Some(uuid::Uuid::from_u128(7)), at, by: Some("ana".to_owned()) };
        let before = Digest::of(b"before");
        let read: serde_json::Value = serde_json::from_slice(&manifest(&noted, Some(&before))).unwrap();
        assert_eq!((&read["schemaVersion"], &read["artifactType"]), (&2.into(), &ARTIFACT.into()));
        let empty = serde_json::json!({
            "mediaType": EMPTY, "size": 2,
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        });
        assert_eq!((&read["config"], &read["layers"][0]), (&empty, &empty));
        assert_eq!(read["annotations"][PREVIOUS], before.as_str());
        assert_eq!(read["annotations"]["org.opencontainers.image.created"], "2026-11-20T10:00:00Z");
        let text = read["annotations"][HEAD].as_str().unwrap();
        assert_eq!(Noted::from_document(text), Ok(noted));
    }
}
