//! From one manifest to everything it stands for: each platform's manifest and config, every byte checked by its digest.

use super::committed::committed;
use super::manifest::{Body, Descriptor, ImageConfig, LARGEST, Manifest};
use super::{Described, SourceError};
use crate::model::{Artifact, Digest, OciArtifact, Platform, Provenance, Repository};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use sha2::{Digest as _, Sha512};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Platforms read side by side.
const ABREAST: usize = 4;

/// A place that gives bytes by their digest: a repository of a registry, or a layout's `blobs`.
#[async_trait::async_trait]
pub(super) trait Contents: Sync {
    /// How a person names a blob of it.
    fn named(&self, digest: &Digest) -> String;

    /// At most `LARGEST` bytes; `is_manifest` says where a registry keeps it.
    async fn bytes(&self, descriptor: &Descriptor, is_manifest: bool) -> Result<Vec<u8>, SourceError>;
}

/// A manifest whose bytes were read and hashed, and how it is to be addressed.
pub(super) struct Root {
    pub(super) repository: Repository,
    pub(super) tag: Option<String>,
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
    /// Content-Type, or the descriptor's media type.
    pub(super) announced: Option<String>,
}

struct PlatformRead {
    name: String,
    platform: Platform,
    annotations: BTreeMap<String, String>,
}

/// Proves that bytes are what their digest says, in either algorithm of the image spec.
pub(super) fn matches(bytes: &[u8], digest: &Digest) -> Result<(), Digest> {
    let found = if digest.as_str().starts_with("sha512:") {
        format!("sha512:{}", hex::encode(Sha512::digest(bytes))).parse().unwrap_or_else(|_| Digest::of(bytes))
    } else {
        Digest::of(bytes)
    };
    if found == *digest { Ok(()) } else { Err(found) }
}

/// Reads the whole image under `root`.
pub(super) async fn describe(root: Root, contents: &dyn Contents) -> Result<Described, SourceError> {
    let object = contents.named(&root.digest);
    let manifest = Manifest::parse(&root.bytes, root.announced.as_deref()).map_err(|why| not_an_image(&object, why))?;
    let mut notes = Vec::new();
    let read = match manifest.body {
        Body::Image { config, layer_bytes, .. } => {
            let annotations = manifest.annotations.clone();
            vec![platform(contents, root.digest.clone(), config, layer_bytes, None, annotations).await?]
        }
        Body::Index { manifests } => {
            let images = images_of(&object, manifests, &mut notes);
            let reads = images.into_iter().map(|image| child(contents, image));
            stream::iter(reads).buffered(ABREAST).try_collect().await?
        }
    };
    let provenance = provenance(&read, &manifest.annotations, &mut notes);
    let platforms = by_name(&object, read, &mut notes);
    if platforms.is_empty() {
        return Err(not_an_image(&object, "its index names no platform's image".to_owned()));
    }
    let artifact = OciArtifact {
        repository: root.repository,
        digest: root.digest,
        media_type: manifest.media_type,
        platforms,
        tag: root.tag,
    };
    Ok(Described { artifacts: vec![Artifact::Oci(artifact)], provenance, notes })
}

/// The index's own images, without what lies beside them.
fn images_of(object: &str, manifests: Vec<Descriptor>, notes: &mut Vec<String>) -> Vec<Descriptor> {
    let (beside, images): (Vec<_>, Vec<_>) = manifests.into_iter().partition(Descriptor::is_attestation);
    let (nested, images): (Vec<_>, Vec<_>) = images.into_iter().partition(Descriptor::is_index);
    match beside.len() {
        0 => {}
        1 => notes.push(format!("1 attestation in {object} is not recorded")),
        count => notes.push(format!("{count} attestations in {object} are not recorded")),
    }
    for index in nested {
        notes.push(format!("the index {} inside {object} is not recorded", index.digest.short()));
    }
    images
}

async fn child(contents: &dyn Contents, descriptor: Descriptor) -> Result<PlatformRead, SourceError> {
    let object = contents.named(&descriptor.digest);
    let bytes = checked(contents, &descriptor, true).await?;
    let manifest = Manifest::parse(&bytes, Some(&descriptor.media_type)).map_err(|why| not_an_image(&object, why))?;
    let Body::Image { config, layer_bytes, .. } = manifest.body else {
        return Err(not_an_image(&object, "the index leads to another index, and says it is an image".to_owned()));
    };
    let name = descriptor.platform();
    platform(contents, descriptor.digest, config, layer_bytes, name, manifest.annotations).await
}

async fn platform(
    contents: &dyn Contents,
    manifest: Digest,
    config: Descriptor,
    layer_bytes: u64,
    name: Option<String>,
    annotations: BTreeMap<String, String>,
) -> Result<PlatformRead, SourceError> {
    let bytes = checked(contents, &config, false).await?;
    let read = ImageConfig::parse(&bytes, &config).map_err(|why| not_an_image(&contents.named(&manifest), why))?;
    let platform =
        Platform { manifest, config: config.digest, layer_bytes, created: read.created, labels: read.labels };
    Ok(PlatformRead { name: name.unwrap_or(read.platform), platform, annotations })
}

async fn checked(contents: &dyn Contents, descriptor: &Descriptor, is_manifest: bool) -> Result<Vec<u8>, SourceError> {
    let object = contents.named(&descriptor.digest);
    if descriptor.size > LARGEST as u64 {
        return Err(not_an_image(
            &object,
            format!("it is said to be {} bytes, and the limit is {LARGEST}", descriptor.size),
        ));
    }
    let bytes = contents.bytes(descriptor, is_manifest).await?;
    match matches(&bytes, &descriptor.digest) {
        Ok(()) => Ok(bytes),
        Err(found) => Err(SourceError::Corrupt { object, expected: descriptor.digest.clone(), found }),
    }
}

fn by_name(object: &str, read: Vec<PlatformRead>, notes: &mut Vec<String>) -> BTreeMap<String, Platform> {
    let mut platforms: BTreeMap<String, Platform> = BTreeMap::new();
    for PlatformRead { name, platform, .. } in read {
        match platforms.entry(name) {
            Entry::Occupied(first) => {
                notes.push(format!(
                    "{object} has {} twice; {} is not recorded",
                    first.key(),
                    platform.manifest.short()
                ));
            }
            Entry::Vacant(place) => drop(place.insert(platform)),
        }
    }
    platforms
}

/// What the platforms agree on; their labels first, then their annotations, then the index's.
fn provenance(read: &[PlatformRead], index: &BTreeMap<String, String>, notes: &mut Vec<String>) -> Provenance {
    let mut say = |key: &str| -> Option<String> {
        let own = |read: &PlatformRead| read.platform.labels.get(key).or_else(|| read.annotations.get(key)).cloned();
        let said: BTreeSet<String> = read.iter().filter_map(own).filter(|value| !value.is_empty()).collect();
        if said.len() > 1 {
            notes.push(format!(
                "its platforms disagree on {key}: {}",
                said.iter().cloned().collect::<Vec<_>>().join(", ")
            ));
            return None;
        }
        said.into_iter().next().or_else(|| index.get(key).filter(|value| !value.is_empty()).cloned())
    };
    let commit = say("org.opencontainers.image.revision");
    let source_url = say("org.opencontainers.image.source");
    let version = say("org.opencontainers.image.version");
    let times: BTreeSet<Timestamp> = read.iter().filter_map(commit_time).collect();
    // Platforms that were built from commits of different times say nothing, as with the commit itself.
    let commit_time = if times.len() > 1 { None } else { times.into_iter().next().or_else(|| committed(index)) };
    let labels = version.map(|version| ("org.opencontainers.image.version".to_owned(), version)).into_iter().collect();
    Provenance { commit, commit_time, source_url, labels, ..Provenance::default() }
}

fn commit_time(read: &PlatformRead) -> Option<Timestamp> {
    committed(&read.platform.labels).or_else(|| committed(&read.annotations))
}

pub(super) fn not_an_image(object: &str, why: String) -> SourceError {
    SourceError::NotAnImage { object: object.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{OCI_INDEX, OCI_MANIFEST};
    use super::*;
    use serde_json::{Value, json};

    /// Blobs by digest, in memory.
    #[derive(Default)]
    struct Shelf(BTreeMap<Digest, Vec<u8>>);

    #[async_trait::async_trait]
    impl Contents for Shelf {
        fn named(&self, digest: &Digest) -> String {
            format!("shelf@{}", digest.short())
        }

        async fn bytes(&self, descriptor: &Descriptor, _is_manifest: bool) -> Result<Vec<u8>, SourceError> {
            Ok(self.0[&descriptor.digest].clone())
        }
    }

    impl Shelf {
        fn put(&mut self, value: &Value) -> (Digest, usize) {
            let bytes = value.to_string().into_bytes();
            let (digest, size) = (Digest::of(&bytes), bytes.len());
            self.0.insert(digest.clone(), bytes);
            (digest, size)
        }

        /// An image's entry in an index, with its manifest and config on the shelf.
        fn image(&mut self, arch: &str, labels: &Value) -> Value {
            let (config, size) = self.put(&json!({"os": "linux", "architecture": arch, "config": {"Labels": labels}}));
            let (digest, size) = self.put(&json!({"schemaVersion": 2, "config": {"digest": config, "size": size}}));
            json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": arch}})
        }

        async fn describe(&mut self, index: &Value) -> Result<Described, SourceError> {
            let (digest, _) = self.put(index);
            let bytes = self.0[&digest].clone();
            let repository = "registry.example.com/web".parse().unwrap();
            describe(Root { repository, tag: None, digest, bytes, announced: None }, self).await
        }
    }

    fn index(manifests: &[Value]) -> Value {
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests, "annotations": {"org.opencontainers.image.source": "https://example.com"}})
    }

    #[tokio::test]
    async fn what_lies_beside_the_images_is_left_out_and_said() {
        let mut shelf = Shelf::default();
        let image = shelf.image(
            "amd64",
            &json!({"org.opencontainers.image.revision": "abc", "org.opencontainers.image.version": "1.4", "com.example.commit-time": "2026-11-20T10:00:00Z", "org.opencontainers.image.created": "2026-11-20T11:00:00Z"}),
        );
        let other = shelf.image("amd64", &json!({"x": "y"}));
        let attestation = json!({"digest": Digest::of(b"a"), "platform": {"os": "unknown", "architecture": "unknown"}});
        let nested = json!({"digest": Digest::of(b"n"), "mediaType": OCI_INDEX});
        let read = shelf.describe(&index(&[image, attestation, nested, other])).await.unwrap();
        let [Artifact::Oci(oci)] = &read.artifacts[..] else { panic!("{read:?}") };
        assert_eq!(oci.platforms.keys().collect::<Vec<_>>(), ["linux/amd64"]);
        let said = read.notes.join("; ");
        assert!(
            said.contains("1 attestation") && said.contains("the index") && said.contains("has linux/amd64 twice"),
            "{said}"
        );
        assert_eq!(read.provenance.commit.as_deref(), Some("abc"));
        assert_eq!(
            read.provenance.source_url.as_deref(),
            Some("https://example.com"),
            "the index's own word, where no platform says one"
        );
        assert_eq!(read.provenance.labels["org.opencontainers.image.version"], "1.4");
        assert_eq!(read.provenance.commit_time, "2026-11-20T10:00:00Z".parse().ok(), "the commit's, not the build's");
    }

    #[tokio::test]
    async fn platforms_that_disagree_say_nothing() {
        let mut shelf = Shelf::default();
        let key = "org.opencontainers.image.revision";
        let labels = |commit: &str, second| json!({key: commit, "commit_time": format!("2026-11-20T10:00:0{second}Z")});
        let entries = [shelf.image("amd64", &labels("abc", 1)), shelf.image("arm64", &labels("def", 2))];
        let read = shelf.describe(&index(&entries)).await.unwrap();
        assert_eq!(read.provenance.commit_time, None);
        assert_eq!(
            (read.provenance.commit, read.notes),
            (None, vec![format!("its platforms disagree on {key}: abc, def")])
        );
    }

    #[tokio::test]
    async fn an_index_without_images_is_no_image() {
        let read = Shelf::default().describe(&index(&[])).await.unwrap_err();
        assert!(read.to_string().ends_with("its index names no platform's image"), "{read}");
        let huge = json!({"mediaType": OCI_MANIFEST, "digest": Digest::of(b"h"), "size": LARGEST + 1});
        let read = Shelf::default().describe(&index(&[huge])).await.unwrap_err();
        assert!(read.to_string().contains("the limit is"), "{read}");
    }

    #[test]
    fn both_algorithms_of_the_specification_are_checked() {
        let long: Digest = format!("sha512:{}", hex::encode(Sha512::digest(b"x"))).parse().unwrap();
        assert!(matches(b"x", &long).is_ok() && matches(b"y", &long).is_err());
        assert_eq!(matches(b"x", &Digest::of(b"y")), Err(Digest::of(b"x")));
    }
}
