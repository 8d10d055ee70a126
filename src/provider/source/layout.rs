//! OCI image layouts: a directory that holds images as a registry would, with every blob checked by its digest.

use super::contents::{Contents, Root, describe, matches};
use super::manifest::{Descriptor, LARGEST, is_manifest};
use super::{Described, SourceError};
use crate::model::selector::is_tag;
use crate::model::{Digest, Repository, SourceSelector};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The name a layout gives an image: often only a tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What containerd and buildx write beside it: the whole `HOST/REPOSITORY:TAG`.
const FULL_NAME: &str = "io.containerd.image.name";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

struct Layout {
    dir: String,
    path: PathBuf,
}

/// Reads the image `name` of the layout in `dir`, or its only one. The image is addressed as the layout names it; one
/// that names no registry is addressed as `localhost/DIRECTORY`, and a note says so.
pub(super) async fn read(dir: &str, name: Option<&str>) -> Result<Described, SourceError> {
    let layout = Layout { dir: dir.to_owned(), path: PathBuf::from(dir) };
    layout.check_version().await?;
    let index: Index = layout.json("index.json").await?;
    let chosen = choose(dir, index.manifests, name)?;
    let bytes = layout.bytes(&chosen, true).await?;
    if let Err(found) = matches(&bytes, &chosen.digest) {
        return Err(SourceError::Corrupt { object: layout.named(&chosen.digest), expected: chosen.digest, found });
    }
    let (repository, tag, note) = address(&layout, &chosen)?;
    let announced = Some(chosen.media_type.clone()).filter(|text| !text.is_empty());
    let root = Root { repository, tag, digest: chosen.digest, bytes, announced };
    let mut described = describe(root, &layout).await?;
    described.notes.extend(note);
    Ok(described)
}

impl Layout {
    fn wrong(&self, why: impl Into<String>) -> SourceError {
        SourceError::NotALayout { dir: self.dir.clone(), why: why.into() }
    }

    async fn check_version(&self) -> Result<(), SourceError> {
        let marker: Marker = self.json("oci-layout").await?;
        match marker.image_layout_version.split('.').next() {
            Some("1") => Ok(()),
            _ => {
                Err(self.wrong(format!("its layout version is {}, and 1.x is understood", marker.image_layout_version)))
            }
        }
    }

    async fn json<T: for<'de> Deserialize<'de>>(&self, file: &str) -> Result<T, SourceError> {
        let bytes = match tokio::fs::read(self.path.join(file)).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.path.exists() => {
                return Err(SourceError::Unreadable { path: self.dir.clone(), source: error });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(self.wrong(format!("it has no {file}")));
            }
            Err(error) => return Err(self.unreadable(file, error)),
        };
        serde_json::from_slice(&bytes).map_err(|error| self.wrong(format!("its {file} cannot be read ({error})")))
    }

    fn unreadable(&self, file: &str, source: std::io::Error) -> SourceError {
        SourceError::Unreadable { path: self.path.join(file).display().to_string(), source }
    }
}

#[async_trait::async_trait]
impl Contents for Layout {
    fn named(&self, digest: &Digest) -> String {
        format!("{digest} in oci:{}", self.dir)
    }

    async fn bytes(&self, descriptor: &Descriptor, _is_manifest: bool) -> Result<Vec<u8>, SourceError> {
        // A digest is checked when it is parsed: it cannot lead out of the directory.
        let file = format!("blobs/{}", descriptor.digest.as_str().replacen(':', "/", 1));
        let path = self.path.join(&file);
        match tokio::fs::metadata(&path).await {
            Ok(found) if found.len() > LARGEST as u64 => {
                return Err(self.wrong(format!("{file} is {} bytes, and the limit is {LARGEST}", found.len())));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(self.wrong(format!("{file} is missing")));
            }
            Err(error) => return Err(self.unreadable(&file, error)),
        }
        tokio::fs::read(&path).await.map_err(|error| self.unreadable(&file, error))
    }
}

/// Every name the layout has for an image.
fn names(descriptor: &Descriptor) -> Vec<&str> {
    [REF_NAME, FULL_NAME].iter().filter_map(|key| descriptor.annotation(key)).collect()
}

fn choose(dir: &str, manifests: Vec<Descriptor>, name: Option<&str>) -> Result<Descriptor, SourceError> {
    let images = manifests.into_iter().filter(|entry| !entry.is_attestation());
    // A layout may also hold other things; what says no type is looked at.
    let images: Vec<Descriptor> =
        images.filter(|entry| entry.media_type.is_empty() || is_manifest(&entry.media_type)).collect();
    let shown: Vec<String> = images
        .iter()
        .map(|entry| names(entry).first().map_or_else(|| entry.digest.to_string(), |name| (*name).to_owned()))
        .collect();
    let dir = dir.to_owned();
    let mut chosen: Vec<Descriptor> = match name {
        None => images,
        Some(name) => {
            images.into_iter().filter(|entry| names(entry).contains(&name) || entry.digest.as_str() == name).collect()
        }
    };
    let distinct: BTreeSet<&Digest> = chosen.iter().map(|entry| &entry.digest).collect();
    match (distinct.len(), name) {
        (1, _) => chosen.pop().ok_or(SourceError::WhichImage { dir, names: shown }),
        (0, Some(name)) => Err(SourceError::NoSuchName { dir, name: name.to_owned(), names: shown }),
        _ => Err(SourceError::WhichImage { dir, names: shown }),
    }
}

/// Where the image is at home, as far as the layout says it; else `localhost/DIRECTORY`.
fn address(layout: &Layout, chosen: &Descriptor) -> Result<(Repository, Option<String>, Option<String>), SourceError> {
    for name in [FULL_NAME, REF_NAME].iter().filter_map(|key| chosen.annotation(key)) {
        match name.parse() {
            Ok(SourceSelector::RegistryTag { repository, tag }) => return Ok((repository, Some(tag), None)),
            Ok(SourceSelector::RegistryDigest { repository, .. }) => return Ok((repository, None, None)),
            _ => {}
        }
    }
    let repository: Repository = format!("localhost/{}", directory_name(&layout.path))
        .parse()
        .map_err(|_| layout.wrong("it names no registry, and its directory's name cannot stand for a repository"))?;
    let note = format!(
        "oci:{} names no registry: the image is recorded as {repository}; push it, and record it there, to promote it",
        layout.dir
    );
    let tag = chosen.annotation(REF_NAME).filter(|name| is_tag(name)).map(str::to_owned);
    Ok((repository, tag, Some(note)))
}

fn directory_name(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let name = whole.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let kept: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    kept.trim_matches(['.', '-', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Artifact;
    use serde_json::json;

    /// A layout with one image per name.
    fn layout(names: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let blobs = directory.path().join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let put = |bytes: &[u8]| -> (Digest, usize) {
            let digest = Digest::of(bytes);
            std::fs::write(blobs.join(digest.as_str().replace("sha256:", "")), bytes).unwrap();
            (digest, bytes.len())
        };
        let entries = names.iter().map(|name| {
            let labels = json!({"org.opencontainers.image.revision": format!("commit-{name}")});
            let config = json!({"os": "linux", "architecture": "amd64", "config": {"Labels": labels}}).to_string();
            let (config, size) = put(config.as_bytes());
            let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": size});
            let manifest = json!({"schemaVersion": 2, "config": config, "layers": [{"digest": Digest::of(b"l"), "size": 40}]});
            let (digest, size) = put(manifest.to_string().as_bytes());
            json!({"mediaType": super::super::manifest::OCI_MANIFEST, "digest": digest, "size": size, "annotations": {REF_NAME: name}})
        });
        let index = json!({"schemaVersion": 2, "manifests": entries.collect::<Vec<_>>()});
        std::fs::write(directory.path().join("index.json"), index.to_string()).unwrap();
        std::fs::write(directory.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        directory
    }

    fn dir(layout: &tempfile::TempDir) -> String {
        layout.path().to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn an_image_is_read_with_its_provenance() {
        let layout = layout(&["registry.example.com/team/web:1.4.2"]);
        let read = read(&dir(&layout), None).await.unwrap();
        let [Artifact::Oci(oci)] = &read.artifacts[..] else { panic!("{read:?}") };
        assert_eq!((oci.repository.as_str(), oci.tag.as_deref()), ("registry.example.com/team/web", Some("1.4.2")));
        let platform = &oci.platforms["linux/amd64"];
        assert_eq!((&platform.manifest, platform.layer_bytes), (&oci.digest, 40));
        assert_eq!(read.provenance.commit.as_deref(), Some("commit-registry.example.com/team/web:1.4.2"));
        assert!(read.notes.is_empty());
    }

    #[tokio::test]
    async fn one_of_several_must_be_named() {
        let layout = layout(&["a", "b"]);
        let error = read(&dir(&layout), None).await.unwrap_err();
        assert!(error.to_string().ends_with("holds several images: a, b"), "{error}");
        assert!(matches!(read(&dir(&layout), Some("c")).await, Err(SourceError::NoSuchName { .. })));
        let chosen = read(&dir(&layout), Some("b")).await.unwrap();
        assert_eq!(chosen.provenance.commit.as_deref(), Some("commit-b"));
        assert!(
            chosen.notes[0].contains("names no registry: the image is recorded as localhost/"),
            "{:?}",
            chosen.notes
        );
    }

    #[tokio::test]
    async fn a_changed_blob_is_found() {
        let layout = layout(&["a"]);
        for blob in std::fs::read_dir(layout.path().join("blobs/sha256")).unwrap() {
            let blob = blob.unwrap().path();
            let before = std::fs::read(&blob).unwrap();
            std::fs::write(
                &blob,
                String::from_utf8_lossy(&before).replace("linux", "linuX").replace("schemaVersion", "schemaVersioN"),
            )
            .unwrap();
            assert!(matches!(read(&dir(&layout), None).await, Err(SourceError::Corrupt { .. })), "{}", blob.display());
            std::fs::remove_file(&blob).unwrap();
            let missing = read(&dir(&layout), None).await.unwrap_err();
            assert!(missing.to_string().contains("is missing"), "{missing}");
            std::fs::write(&blob, before).unwrap();
        }
    }

    #[tokio::test]
    async fn a_directory_that_is_no_layout_says_what_it_lacks() {
        let layout = layout(&["a"]);
        std::fs::write(layout.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0"}"#).unwrap();
        let version = read(&dir(&layout), None).await.unwrap_err();
        assert!(version.to_string().contains("version is 2.0"), "{version}");
        std::fs::remove_file(layout.path().join("oci-layout")).unwrap();
        let marker = read(&dir(&layout), None).await.unwrap_err();
        assert!(marker.to_string().ends_with("it has no oci-layout"), "{marker}");
        assert!(matches!(read("/nowhere/at/all", None).await, Err(SourceError::Unreadable { .. })));
    }

    #[test]
    fn a_directory_stands_for_a_repository() {
        assert_eq!(directory_name(Path::new("/tmp/My Image/")), "my-image");
        assert_eq!(directory_name(Path::new("/tmp/.out")), "out");
    }
}
