//! OCI and Docker manifests as documents: which kind they are, what they point to, and how platforms are named.

use crate::model::Digest;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// A registry must take manifests up to this size; larger ones are refused (distribution spec, "Pushing Manifests").
pub(super) const LARGEST: usize = 4 * 1024 * 1024;

/// What a manifest says of another blob (image spec, "Content Descriptors").
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default)]
    platform: Option<PlatformName>,
    #[serde(default)]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct PlatformName {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(rename = "os.version", default)]
    os_version: Option<String>,
}

impl PlatformName {
    /// `linux/amd64`, `linux/arm/v7`; a Windows version as containerd writes it: `windows(10.0.20348.2582)/amd64`.
    fn written(&self) -> String {
        let os = match self.os_version.as_deref().filter(|version| !version.is_empty()) {
            Some(version) => format!("{}({version})", self.os),
            None => self.os.clone(),
        };
        // v8 is the only arm64 there is, and builders write it or not: one platform must have one name.
        let variant = self
            .variant
            .as_deref()
            .filter(|variant| !variant.is_empty() && (self.architecture != "arm64" || *variant != "v8"));
        variant.map_or_else(
            || format!("{os}/{}", self.architecture),
            |variant| format!("{os}/{}/{variant}", self.architecture),
        )
    }

    fn is_known(&self) -> bool {
        !(self.os.is_empty() || self.architecture.is_empty() || self.os == "unknown" || self.architecture == "unknown")
    }
}

impl Descriptor {
    /// The platform the index gives it, where it gives a real one.
    pub(super) fn platform(&self) -> Option<String> {
        self.platform.as_ref().filter(|platform| platform.is_known()).map(PlatformName::written)
    }

    /// BuildKit puts provenance and SBOMs beside the images, for a platform that does not exist.
    pub(super) fn is_attestation(&self) -> bool {
        let marked = self.annotation("vnd.docker.reference.type").is_some();
        marked || self.platform.as_ref().is_some_and(|platform| !platform.is_known())
    }

    pub(super) fn is_index(&self) -> bool {
        [OCI_INDEX, DOCKER_LIST].contains(&self.media_type.as_str())
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

/// What a manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    Index { manifests: Vec<Descriptor> },
    Image { config: Descriptor, layers: Vec<Descriptor>, layer_bytes: u64 },
}

/// A manifest read from its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) media_type: String,
    pub(super) body: Body,
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaOnly {
    schema_version: u32,
    #[serde(default, rename = "fsLayers")]
    fs_layers: Option<IgnoredAny>,
}

impl Manifest {
    /// Reads a manifest; `announced` is the type it came with (Content-Type, or its descriptor's). The error says why not.
    pub(super) fn parse(bytes: &[u8], announced: Option<&str>) -> Result<Self, String> {
        if let Ok(SchemaOnly { schema_version: 1, fs_layers }) = serde_json::from_slice(bytes) {
            let docker = if fs_layers.is_some() {
                "Docker's old schema 1 (push it again with a current tool)"
            } else {
                "schema version 1"
            };
            return Err(format!("its manifest is of {docker}"));
        }
        let written: Written =
            serde_json::from_slice(bytes).map_err(|error| format!("its manifest cannot be read ({error})"))?;
        if written.schema_version != 2 {
            return Err(format!("its manifest is of schema version {}", written.schema_version));
        }
        // A document that is an image to one reader and an index to another would be two things under one digest.
        let (media_type, body) = match (written.manifests, written.config, written.layers) {
            (Some(manifests), None, None) => (OCI_INDEX, Body::Index { manifests }),
            (None, Some(config), layers) => {
                let layer_bytes = layers.iter().flatten().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
                (OCI_MANIFEST, Body::Image { config, layers: layers.unwrap_or_default(), layer_bytes })
            }
            (None, None, _) => return Err("its manifest names neither a config nor other manifests".to_owned()),
            (Some(_), _, _) => return Err("its manifest claims to be an index and an image at once".to_owned()),
        };
        let announced =
            announced.map(|text| text.split(';').next().unwrap_or(text).trim()).filter(|text| is_manifest(text));
        let media_type = written.media_type.as_deref().or(announced).unwrap_or(media_type).to_owned();
        let says_index = [OCI_INDEX, DOCKER_LIST].contains(&media_type.as_str());
        if !is_manifest(&media_type) || says_index != matches!(body, Body::Index { .. }) {
            return Err(format!("its manifest says that it is {media_type}"));
        }
        Ok(Self { media_type, body, annotations: written.annotations.unwrap_or_default() })
    }
}

pub(super) fn is_manifest(media_type: &str) -> bool {
    [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].contains(&media_type)
}

/// The `Accept` of every request for a manifest. Without the index types a registry may answer with one platform.
pub(super) fn accepted() -> String {
    [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", ")
}

/// What a config blob says of its image (image spec, "OCI Image Configuration").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImageConfig {
    pub(super) platform: String,
    pub(super) created: Option<Timestamp>,
    pub(super) labels: BTreeMap<String, String>,
}

impl ImageConfig {
    pub(super) fn parse(bytes: &[u8], descriptor: &Descriptor) -> Result<Self, String> {
        if !descriptor.media_type.is_empty() && !CONFIGS.contains(&descriptor.media_type.as_str()) {
            return Err(format!("it is no container image: its config is {}", descriptor.media_type));
        }
        #[derive(Deserialize, Default)]
        struct Inner {
            #[serde(default, rename = "Labels")]
            labels: Option<BTreeMap<String, String>>,
        }
        #[derive(Deserialize)]
        struct Config {
            #[serde(default)]
            created: Option<Timestamp>,
            #[serde(default)]
            config: Option<Inner>,
            #[serde(flatten)]
            platform: PlatformName,
        }
        let config: Config =
            serde_json::from_slice(bytes).map_err(|error| format!("its config cannot be read ({error})"))?;
        if !config.platform.is_known() {
            return Err("its config names no platform".to_owned());
        }
        let labels = config.config.unwrap_or_default().labels.unwrap_or_default();
        // Reproducible builds set the beginning of time; it says nothing.
        let created = config.created.filter(|created| *created > Timestamp::UNIX_EPOCH);
        Ok(Self { platform: config.platform.written(), created, labels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn descriptor(value: &serde_json::Value) -> Descriptor {
        let mut whole = json!({"digest": Digest::of(b"x"), "size": 3});
        whole.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    fn parse(value: serde_json::Value, announced: Option<&str>) -> Result<Manifest, String> {
        Manifest::parse(value.to_string().as_bytes(), announced)
    }

    #[test]
    fn one_platform_has_one_name() {
        let named = |value| descriptor(&json!({"platform": value})).platform();
        assert_eq!(named(json!({"os": "linux", "architecture": "amd64"})).as_deref(), Some("linux/amd64"));
        assert_eq!(
            named(json!({"os": "linux", "architecture": "arm", "variant": "v7"})).as_deref(),
            Some("linux/arm/v7")
        );
        assert_eq!(
            named(json!({"os": "linux", "architecture": "arm64", "variant": "v8"})).as_deref(),
            Some("linux/arm64")
        );
        let windows = json!({"os": "windows", "architecture": "amd64", "os.version": "10.0.20348.2582"});
        assert_eq!(named(windows).as_deref(), Some("windows(10.0.20348.2582)/amd64"));
        assert_eq!(named(json!({"os": "unknown", "architecture": "unknown"})), None);
    }

    #[test]
    fn attestations_are_told_from_images() {
        assert!(descriptor(&json!({"platform": {"os": "unknown", "architecture": "unknown"}})).is_attestation());
        assert!(
            descriptor(&json!({"annotations": {"vnd.docker.reference.type": "attestation-manifest"}})).is_attestation()
        );
        assert!(!descriptor(&json!({"platform": {"os": "linux", "architecture": "amd64"}})).is_attestation());
        assert!(!descriptor(&json!({})).is_attestation());
    }

    #[test]
    fn a_manifest_is_one_thing() {
        let config = json!({"digest": Digest::of(b"c"), "size": 1, "mediaType": CONFIGS[0]});
        let layers = json!([{"digest": Digest::of(b"l"), "size": 7}, {"digest": Digest::of(b"m"), "size": 5}]);
        let image = parse(json!({"schemaVersion": 2, "config": config, "layers": layers}), None).unwrap();
        assert!(matches!(image.body, Body::Image { layer_bytes: 12, .. }) && image.media_type == OCI_MANIFEST);
        let docker = parse(
            json!({"schemaVersion": 2, "manifests": []}),
            Some("application/vnd.docker.distribution.manifest.list.v2+json; x=1"),
        );
        assert_eq!(docker.unwrap().media_type, DOCKER_LIST);
        let both = parse(json!({"schemaVersion": 2, "config": config, "manifests": []}), None).unwrap_err();
        assert!(both.contains("at once"), "{both}");
        let lying = parse(json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "config": config}), None).unwrap_err();
        assert!(lying.contains("says that it is"), "{lying}");
    }

    #[test]
    fn old_and_broken_manifests_are_named() {
        let old = parse(json!({"schemaVersion": 1, "fsLayers": [], "name": "web"}), None).unwrap_err();
        assert!(old.contains("schema 1"), "{old}");
        assert!(parse(json!({"schemaVersion": 3}), None).unwrap_err().contains("version 3"));
        assert!(parse(json!({"schemaVersion": 2}), None).unwrap_err().contains("neither"));
        assert!(Manifest::parse(b"<html>", None).unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn a_config_tells_platform_creation_and_labels() {
        let text = json!({"os": "linux", "architecture": "arm64", "variant": "v8", "created": "2025-01-01T00:00:00Z",
            "config": {"Labels": {"a": "b"}}, "rootfs": {}});
        let read =
            ImageConfig::parse(text.to_string().as_bytes(), &descriptor(&json!({"mediaType": CONFIGS[1]}))).unwrap();
        assert_eq!((read.platform.as_str(), read.labels.get("a").map(String::as_str)), ("linux/arm64", Some("b")));
        assert_eq!(read.created.map(|at| at.to_string()).as_deref(), Some("2025-01-01T00:00:00Z"));
        let epoch = json!({"os": "linux", "architecture": "amd64", "created": "1970-01-01T00:00:00Z", "config": {"Labels": null}});
        assert_eq!(ImageConfig::parse(epoch.to_string().as_bytes(), &descriptor(&json!({}))).unwrap().created, None);
        let helm = descriptor(&json!({"mediaType": "application/vnd.cncf.helm.config.v1+json"}));
        assert!(ImageConfig::parse(b"{}", &helm).unwrap_err().contains("no container image"));
    }
}
