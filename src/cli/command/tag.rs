//! `tag` and `untag`: names in the ledger, mirrored where people look.

use crate::cli::failure::{Exit, Failure};
use crate::cli::setup::{Setup, actor};
use crate::flow::record::Writer;
use crate::flow::tag::{self, Tagged};
use crate::model::{Artifact, ImageKey, ImageSelector, Lookup, selector};
use crate::provider::mirror::Mirror;
use crate::store::LedgerStore;
use clap::Args;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Put tags on an image: in the ledger, on its AMIs, and in its registries
///
/// A tag of one name sits on one version; put on another, it moves. In EC2 every AMI of the image gets imgctl:image,
/// imgctl:tags and imgctl:channel; in a registry the tag is pointed at the same bytes. Each is read back. A place that
/// refuses leaves the rest done, and exits with 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl tag web@1.4.2 stable
  imgctl show web:stable")]
pub struct Tag {
    #[command(flatten)]
    words: Words,
}

/// Take tags off an image; in a registry they stay where they point
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl untag web@1.4.2 stable")]
pub struct Untag {
    #[command(flatten)]
    words: Words,
}

#[derive(Debug, Args)]
struct Words {
    /// NAME@VERSION, or another selector
    #[arg(value_name = "IMAGE")]
    image: ImageSelector,
    /// Letters, digits, `.`, `_`, `-`; at most 128
    #[arg(value_name = "TAG", required = true, value_parser = a_tag)]
    tags: Vec<String>,
}

fn a_tag(text: &str) -> Result<String, String> {
    if selector::is_tag(text) {
        return Ok(text.to_owned());
    }
    Err("a tag has letters, digits, `.`, `_` and `-`, at most 128, and begins with a letter, a digit or `_`".to_owned())
}

pub fn tag(args: &Tag, setup: &Setup) -> Result<Exit, Failure> {
    write(&args.words, setup, true)
}

pub fn untag(args: &Untag, setup: &Setup) -> Result<Exit, Failure> {
    write(&args.words, setup, false)
}

fn write(words: &Words, setup: &Setup, on: bool) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let image = Lookup(&*store.view()?).resolve(&words.image)?.image;
    let tags: BTreeSet<String> = words.tags.iter().cloned().collect();
    let tagged = setup.wait(async {
        let aws = setup.aws().await;
        let mirror = Mirror::new(Arc::clone(&aws), Arc::clone(&setup.sources(&aws).registries));
        let has_ami = image.artifacts.iter().any(|artifact| matches!(artifact, Artifact::Ami(_)));
        let actor = match has_ami {
            true => actor::signed(&setup.surroundings, &aws).await,
            false => setup.local_actor(),
        };
        let writer = Writer { store: &store, clock: setup.clock(), actor: &actor };
        Ok(match on {
            true => tag::tag(&writer, &mirror, &image.key, &tags).await?,
            false => tag::untag(&writer, &mirror, &image.key, &tags).await?,
        })
    })?;
    let failed: BTreeMap<&String, String> =
        tagged.failed.iter().map(|(place, error)| (place, error.to_string())).collect();
    let document = json!({
        "image": image.key, "tags": tags, "on": on, "entry": tagged.entry,
        "taken_from": tagged.taken, "done": tagged.done, "failed": failed,
    });
    setup.screen.show("tag/1", document, || text(&image.key, &tags, &tagged, on))?;
    complain(setup, &tagged);
    setup.tell_notices(&store);
    Ok(if tagged.failed.is_empty() { Exit::Done } else { Exit::Failed })
}

fn text(key: &ImageKey, tags: &BTreeSet<String>, tagged: &Tagged, on: bool) -> String {
    let names = tags.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut text = match (on, tagged.entry) {
        (true, Some(seq)) => format!("{key} is tagged {names} (entry {seq})\n"),
        (true, None) => format!("{key} is tagged {names} already\n"),
        (false, Some(seq)) => format!("{key} is no longer tagged {names} (entry {seq})\n"),
        (false, None) => format!("{key} is not tagged {names}; nothing to do\n"),
    };
    for (tag, from) in &tagged.taken {
        text.push_str(&format!("  ~ {tag} was on {from}\n"));
    }
    for place in &tagged.done {
        text.push_str(&format!("  = {place}\n"));
    }
    text
}

fn complain(setup: &Setup, tagged: &Tagged) {
    let screen = &setup.screen;
    for (place, error) in &tagged.failed {
        let causes: String = crate::cli::failure::causes(error).iter().map(|cause| format!(": {cause}")).collect();
        screen.complain(&format!("{} {place} does not follow: {error}{causes}", screen.err.error("error:")));
        error.hint().iter().for_each(|hint| screen.hint(hint));
    }
}
