//! Images named by files: an OCI layout that another tool wrote, and Packer's manifest.

use super::{ctl, sources};
use crate::support::aws;
use crate::support::lab::{lab, scratch};
use imgctl::model::{Artifact, SourceSelector};
use imgctl::provider::source::ImageSource;
use serde_json::json;

#[tokio::test]
async fn a_layout_is_read_as_its_registry_would_be() {
    let folder = scratch();
    let dir = folder.path().join("out");
    let dir = dir.to_str().unwrap();
    let labels = [
        "--label",
        "org.opencontainers.image.revision=abc123",
        "--label",
        "org.opencontainers.image.source=https://example.com/web",
    ];
    let made = ctl(lab(), &[&["layout", dir, "--tag", "1.0", "--arch", "amd64,arm64"], &labels[..]].concat());
    ctl(lab(), &["layout", dir, "--tag", "2.0"]);
    let selector = SourceSelector::OciLayout { dir: dir.to_owned(), reference: Some("1.0".to_owned()) };
    let read = sources(aws(lab()).await).resolve(&[selector]).await.unwrap();
    let [Artifact::Oci(oci)] = &read.artifacts[..] else { panic!("{read:?}") };
    assert_eq!(
        (oci.digest.as_str(), oci.repository.as_str(), oci.tag.as_deref()),
        (made.as_str(), "localhost/out", Some("1.0"))
    );
    assert_eq!(oci.platforms.keys().collect::<Vec<_>>(), ["linux/amd64", "linux/arm64"]);
    assert_eq!(read.provenance.commit.as_deref(), Some("abc123"));
    assert_eq!(read.provenance.source_url.as_deref(), Some("https://example.com/web"));
    let either = SourceSelector::OciLayout { dir: dir.to_owned(), reference: None };
    let error = sources(aws(lab()).await).resolve(&[either]).await.unwrap_err();
    assert!(error.to_string().ends_with("holds several images: 1.0, 2.0"), "{error}");
}

#[tokio::test]
async fn packers_last_run_is_one_image_with_its_amis_everywhere() {
    let here = lab().ami("src-packer-1", &json!({}));
    let there = lab().ami("src-packer-2", &json!({"region": "us-west-2"}));
    let folder = scratch();
    let path = folder.path().join("packer-manifest.json");
    let manifest = json!({
        "builds": [{
            "name": "web", "builder_type": "amazon-ebs", "artifact_id": format!("eu-west-1:{here},us-west-2:{there}"),
            "packer_run_uuid": "r1", "custom_data": {"git_sha": "abc123"},
        }],
        "last_run_uuid": "r1",
    });
    std::fs::write(&path, manifest.to_string()).unwrap();
    let selector = SourceSelector::PackerManifest { path: path.to_str().unwrap().to_owned() };
    let read = sources(aws(lab()).await).resolve(&[selector]).await.unwrap();
    let mut found: Vec<String> = read.artifacts.iter().map(|artifact| artifact.address().to_string()).collect();
    found.sort();
    let mut wanted = [format!("{here}@eu-west-1"), format!("{there}@us-west-2")];
    wanted.sort();
    assert_eq!(found, wanted);
    assert_eq!(read.provenance.commit.as_deref(), Some("abc123"));
}
