//! Packer's manifest (its `manifest` post-processor): the AMIs of the last run, in every region they were copied to.

use super::committed::committed;
use super::{Described, SourceError};
use crate::model::{Provenance, SourceSelector};
use serde::Deserialize;
use std::collections::BTreeMap;

/// `custom_data` keys that mean the commit, the first one wins.
const COMMIT_KEYS: [&str; 5] = ["git_sha", "git_commit", "commit", "revision", "sha"];
const LARGEST: u64 = 64 * 1024 * 1024;

/// What the file names, to be read where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PackerManifest {
    pub(super) selectors: Vec<SourceSelector>,
    /// Provenance and notes; no artifacts yet.
    pub(super) described: Described,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    builds: Vec<Build>,
    #[serde(default)]
    last_run_uuid: String,
}

#[derive(Deserialize)]
struct Build {
    #[serde(default)]
    name: String,
    #[serde(default)]
    builder_type: String,
    #[serde(default)]
    artifact_id: String,
    #[serde(default)]
    packer_run_uuid: String,
    #[serde(default)]
    custom_data: Option<BTreeMap<String, String>>,
}

pub(super) async fn read(path: &str) -> Result<PackerManifest, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.to_owned(), source };
    let size = tokio::fs::metadata(path).await.map_err(unreadable)?.len();
    if size > LARGEST {
        return Err(SourceError::packer(path, format!("it is {size} bytes")));
    }
    let bytes = tokio::fs::read(path).await.map_err(unreadable)?;
    parse(path, &bytes)
}

fn parse(path: &str, bytes: &[u8]) -> Result<PackerManifest, SourceError> {
    let written: Written =
        serde_json::from_slice(bytes).map_err(|error| SourceError::packer(path, error.to_string()))?;
    if written.builds.is_empty() {
        return Err(SourceError::packer(path, "it has no builds"));
    }
    // The file gathers every run; an image is what one run built.
    let of_last = |build: &Build| written.last_run_uuid.is_empty() || build.packer_run_uuid == written.last_run_uuid;
    let (last, before): (Vec<&Build>, Vec<&Build>) = written.builds.iter().partition(|build| of_last(build));
    let mut manifest = PackerManifest::default();
    if !before.is_empty() {
        manifest.described.notes.push(format!("{path}: {} builds of earlier runs are left out", before.len()));
    }
    for build in last {
        manifest.take(path, build)?;
    }
    if manifest.selectors.is_empty() {
        let why = manifest.described.notes.pop().unwrap_or_else(|| "its last run built nothing".to_owned());
        return Err(SourceError::packer(path, why));
    }
    Ok(manifest)
}

impl PackerManifest {
    fn take(&mut self, path: &str, build: &Build) -> Result<(), SourceError> {
        let ami = build.builder_type.starts_with("amazon") || build.artifact_id.contains(":ami-");
        if ami {
            for part in build.artifact_id.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                self.selectors.push(regional(part).ok_or_else(|| SourceError::packer(path, not_an_ami(build, part)))?);
            }
        } else if let Ok(found @ (SourceSelector::RegistryTag { .. } | SourceSelector::RegistryDigest { .. })) =
            build.artifact_id.parse()
        {
            self.selectors.push(found);
        } else {
            self.described.notes.push(format!(
                "build {} ({}) gave {}, which is not in a registry: push it, and record it by its tag",
                build.name, build.builder_type, build.artifact_id
            ));
            return Ok(());
        }
        self.provenance(build.custom_data.clone().unwrap_or_default());
        Ok(())
    }

    fn provenance(&mut self, data: BTreeMap<String, String>) {
        let find =
            |names: &[&str]| names.iter().find_map(|name| data.get(*name)).filter(|value| !value.is_empty()).cloned();
        let told = Provenance {
            commit: find(&COMMIT_KEYS),
            commit_time: committed(&data),
            source_url: find(&["source_url", "git_url", "repository"]),
            build_url: find(&["build_url", "ci_url"]),
            labels: data
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            parent: None,
        };
        self.described.join(Described { provenance: told, ..Described::default() });
    }
}

/// `us-east-1:ami-0123456789abcdef0`.
fn regional(part: &str) -> Option<SourceSelector> {
    let (region, id) = part.split_once(':')?;
    Some(SourceSelector::Ami { id: id.parse().ok()?, region: Some(region.parse().ok()?) })
}

fn not_an_ami(build: &Build, part: &str) -> String {
    format!("build {} gave `{part}`, which is not REGION:ami-…", build.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/fixtures/packer/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn the_last_run_is_one_image_in_every_region() {
        let read = parse("packer-manifest.json", &fixture("two-runs.json")).unwrap();
        let named: Vec<String> = read.selectors.iter().map(ToString::to_string).collect();
        assert_eq!(
            named,
            ["ami-0aaaaaaaaaaaaaaa1@eu-west-1", "ami-0aaaaaaaaaaaaaaa2@us-east-1", "ami-0aaaaaaaaaaaaaaa3@eu-west-1"]
        );
        let provenance = &read.described.provenance;
        assert_eq!(provenance.commit.as_deref(), Some("4f2d0c7e9b1a"));
        assert_eq!(provenance.labels["base"], "al2023");
        assert_eq!(read.described.notes, ["packer-manifest.json: 1 builds of earlier runs are left out"]);
    }

    #[test]
    fn a_docker_build_counts_where_it_was_pushed() {
        let read = parse("m.json", &fixture("docker.json")).unwrap();
        assert_eq!(
            read.selectors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["registry.example.com/team/web:1.4.2"]
        );
        assert!(read.described.notes[0].contains("not in a registry"), "{:?}", read.described.notes);
    }

    #[test]
    fn the_commit_and_its_time_are_read_from_custom_data() {
        let text = r#"{"builds": [{"builder_type": "amazon-ebs", "artifact_id": "eu-west-1:ami-0aaaaaaaaaaaaaaa1",
            "custom_data": {"git_sha": "4f2d0c7e9b1a", "git_commit_time": "1795165200"}}]}"#;
        let said = parse("m.json", text.as_bytes()).unwrap().described.provenance;
        assert_eq!(
            (said.commit.as_deref(), said.commit_time),
            (Some("4f2d0c7e9b1a"), "2026-11-20T09:00:00Z".parse().ok())
        );
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let why = |text: &str| parse("m.json", text.as_bytes()).unwrap_err().to_string();
        assert!(why("{").contains("line 1"), "{}", why("{"));
        assert!(why(r#"{"builds": []}"#).ends_with("it has no builds"));
        assert!(why(r#"{"builds": [{"packer_run_uuid": "a"}], "last_run_uuid": "b"}"#).contains("earlier runs"));
        let odd = r#"{"builds": [{"name": "web", "builder_type": "amazon-ebs", "artifact_id": "us-east-1:snap-1"}]}"#;
        assert!(why(odd).ends_with("build web gave `us-east-1:snap-1`, which is not REGION:ami-…"), "{}", why(odd));
    }
}
