//! `record`: read what an image is, and write it down.

use crate::cli::failure::{Exit, Failure};
use crate::cli::setup::{Setup, actor};
use crate::flow::record::{self, Recorded, Wish, Writer};
use crate::model::{Artifact, ImageKey, ImageSelector, Provenance, SourceSelector};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Read what an image is from where it was published, and record it under a name and version
///
/// All sources together are one image: an AMI in several regions, a container image in several registries, or both.
/// Recording the same again does nothing. New places are added. The same name and version with something else in a
/// place that is taken is refused: images never change.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl record web@1.5.0 ami-0123456789abcdef0@eu-west-1 ami-0fedcba9876543210@us-east-1
  imgctl record web@1.5.0 registry.example.com/team/web:1.5.0 --parent base@2026.11
  imgctl record web@1.5.0 packer-manifest.json --commit \"$(git rev-parse HEAD)\" \\
    --commit-time \"$(git show -s --format=%cI HEAD)\"
  imgctl record web@1.5.0 oci:build/layout --label team=core")]
pub struct Record {
    /// What to call it: NAME@VERSION
    #[arg(value_name = "NAME@VERSION")]
    key: ImageKey,
    /// ami-…, ami-…@REGION, HOST/REPOSITORY:TAG, …@sha256:…, packer-manifest.json, oci:DIR
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<SourceSelector>,
    /// The commit it was built from
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// When that commit was made, as in 2026-11-20T10:00:00+01:00: lead times are counted from it
    #[arg(long, value_name = "TIME")]
    commit_time: Option<jiff::Timestamp>,
    /// Where that commit can be read
    #[arg(long, value_name = "URL")]
    source_url: Option<String>,
    /// The build that made it
    #[arg(long, value_name = "URL")]
    build_url: Option<String>,
    /// A label of your own; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// The recorded image it was built on
    #[arg(long, value_name = "IMAGE")]
    parent: Option<ImageSelector>,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is KEY=VALUE".to_owned()),
    }
}

pub fn run(args: &Record, setup: &Setup) -> Result<Exit, Failure> {
    let labels: BTreeMap<String, String> = args.labels.iter().cloned().collect();
    let wish = Wish {
        key: args.key.clone(),
        sources: args.sources.clone(),
        provenance: Provenance {
            commit: args.commit.clone(),
            commit_time: args.commit_time,
            source_url: args.source_url.clone(),
            build_url: args.build_url.clone(),
            labels,
            parent: None,
        },
        parent: args.parent.clone(),
    };
    let store = setup.store()?;
    let (recorded, notes) = setup.wait(async {
        let aws = setup.aws().await;
        let asks_aws = |source: &SourceSelector| {
            matches!(source, SourceSelector::Ami { .. } | SourceSelector::PackerManifest { .. })
        };
        let actor = match args.sources.iter().any(asks_aws) {
            true => actor::signed(&setup.surroundings, &aws).await,
            false => setup.local_actor(),
        };
        let writer = Writer { store: &store, clock: setup.clock(), actor: &actor };
        Ok(record::record(&writer, &setup.sources(&aws), wish).await?)
    })?;
    for note in &notes {
        setup.screen.warn(note);
    }
    setup.screen.show("record/1", document(&recorded, &notes), || text(&recorded))?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

fn document(recorded: &Recorded, notes: &[String]) -> Value {
    match recorded {
        Recorded::New { image, entry } => {
            json!({ "status": "recorded", "entry": entry.seq, "image": image, "notes": notes })
        }
        Recorded::Added { key, artifacts, entry } => {
            json!({ "status": "added", "entry": entry.seq, "key": key, "artifacts": artifacts, "notes": notes })
        }
        Recorded::Same(record) => {
            json!({ "status": "unchanged", "entry": record.seq, "image": record.image, "notes": notes })
        }
    }
}

fn text(recorded: &Recorded) -> String {
    let lines = |artifacts: &[Artifact]| {
        artifacts.iter().map(|artifact| format!("  + {}\n", artifact.address())).collect::<String>()
    };
    match recorded {
        Recorded::New { image, entry } => {
            format!("{} recorded (entry {})\n{}", image.key, entry.seq, lines(&image.artifacts))
        }
        Recorded::Added { key, artifacts, entry } => {
            format!("{key} is known, and has more addresses now (entry {})\n{}", entry.seq, lines(artifacts))
        }
        Recorded::Same(record) => {
            format!("{} is recorded just so already (entry {}); nothing to do\n", record.image.key, record.seq)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_a_key_and_a_value() {
        assert_eq!(label("team=a=b"), Ok(("team".into(), "a=b".into())));
        assert!(label("=x").is_err() && label("team").is_err());
    }
}
