//! `terraform`: the image of a channel, for Terraform's `data "external"`.

use crate::cli::failure::{Exit, Failure};
use crate::cli::setup::Setup;
use crate::model::lookup::nearest;
use crate::model::{Artifact, Channel, Image, Lookup, RecordedTarget, Release, SlotName, TargetId};
use crate::plan::pointer::{self, Wants};
use crate::store::LedgerStore;
use clap::{Args, Subcommand};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::str::FromStr;

/// Tell Terraform, or OpenTofu, which image a channel is at
#[derive(Debug, Args)]
pub struct TerraformCommand {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    External(External),
}

/// Answer `data "external"`: a JSON object of texts in, a JSON object of texts out
///
/// Reads the ledger and nothing else: no credentials are needed, nothing is written, and nobody is asked. In: `channel`,
/// and where its image has several artifacts which one is meant: `region` and `architecture` of an AMI, `repository` of a
/// container image, or `target` (and `slot`) for what belongs where that target was last put. An empty text is as good
/// as none.
///
/// Out: `image` (an AMI id, or HOST/REPOSITORY@sha256:…), `channel`, `name`, `version`, `seq` (the rollout that released
/// it), `released`, `commit`; of an AMI `region` and `architecture`, of a container image `repository` and `digest`.
///
/// The protocol: https://registry.terraform.io/providers/hashicorp/external/latest/docs/data-sources/external
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  echo '{\"channel\": \"web/prod\"}' | imgctl terraform external
  echo '{\"channel\": \"web/prod\", \"region\": \"us-east-1\"}' | imgctl terraform external
  data \"external\" \"web\" {
    program = [\"imgctl\", \"terraform\", \"external\"]
    query   = { channel = \"web/prod\" }
  }")]
struct External {}

pub fn run(args: &TerraformCommand, setup: &Setup) -> Result<Exit, Failure> {
    let Deed::External(_) = &args.deed;
    let query = Query::read()?;
    let store = setup.store()?;
    let view = store.view()?;
    let look = Lookup(&*view);
    setup.known_channel(&look, &query.channel)?;
    let Some(release) = look.channel(&query.channel)?.current else {
        let hint = format!("imgctl promote {}@VERSION {}", query.channel.name, query.channel.env);
        return Err(Failure::refused(format!("nothing was released to {} yet", query.channel), hint));
    };
    let Some(record) = look.image(&release.image)? else {
        let what = format!("{} is at {}, which the ledger does not hold", query.channel, release.image);
        return Err(Failure::refused(what, "imgctl ledger verify"));
    };
    let wants = query.wants(setup, &look)?;
    let artifact = pointer::artifact(&record.image, &wants);
    let artifact = artifact.map_err(|what| Failure::refused(what, CHOOSE))?;
    let answer = answer(&query.channel, &release, &record.image, artifact);
    setup.screen.print(&serde_json::Value::from_iter(answer).to_string())?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

/// How one of several artifacts is chosen.
const CHOOSE: &str =
    "query = { channel = \"…\", region = \"…\", architecture = \"…\" } (or repository, or target and slot)";
/// How it is tried by hand.
const BY_HAND: &str = "echo '{\"channel\": \"web/prod\"}' | imgctl terraform external";
/// The words of a query.
const WORDS: [&str; 6] = ["architecture", "channel", "region", "repository", "slot", "target"];
/// A query of six short texts; more is something else.
const LONGEST: u64 = 64 * 1024;

/// What Terraform asks.
struct Query {
    channel: Channel,
    wants: Wants,
    target: Option<TargetId>,
    slot: Option<SlotName>,
}

impl Query {
    fn read() -> Result<Self, Failure> {
        let input = std::io::stdin();
        if input.is_terminal() {
            return Err(Failure::refused("standard input is a terminal, and Terraform asks there", BY_HAND));
        }
        let failed = |source| Failure::File { doing: "reading", path: "standard input".into(), source };
        let mut text = String::new();
        input.lock().take(LONGEST).read_to_string(&mut text).map_err(failed)?;
        Self::parse(&text).map_err(|what| Failure::refused(what, BY_HAND))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let words: BTreeMap<String, String> = serde_json::from_str(text)
            .map_err(|error| format!("standard input is not a JSON object of texts: {error}"))?;
        if let Some(word) = words.keys().find(|word| !WORDS.contains(&word.as_str())) {
            let near = nearest(word, &WORDS).map(|near| format!(", `{near}` is")).unwrap_or_default();
            return Err(format!("`{word}` is no word of a query{near} (they are: {})", WORDS.join(", ")));
        }
        let channel = said(&words, "channel")?.ok_or("the query names no channel")?;
        let (target, slot) = (said(&words, "target")?, said(&words, "slot")?);
        let (region, arch) = (said(&words, "region")?, said(&words, "architecture")?);
        let wants = Wants { region, arch, repository: said(&words, "repository")?, container: false };
        if (target.is_some() || slot.is_some()) && wants != Wants::default() {
            return Err("target and slot say which image is meant; region, architecture and repository do, too".into());
        }
        Ok(Self { channel, wants, target, slot })
    }

    /// Which artifact is meant: as it was said, or what belongs where another image of the channel was put.
    fn wants(&self, setup: &Setup, look: &Lookup<'_>) -> Result<Wants, Failure> {
        let Some(target) = self.target(setup)? else { return Ok(self.wants.clone()) };
        let recorded = look.target(&target)?.filter(|recorded| recorded.channel == self.channel);
        let Some(recorded) = recorded else {
            let what = format!("{} has put nothing on a target {target} yet", self.channel);
            return Err(Failure::refused(what, format!("imgctl status {}", self.channel)));
        };
        let image = look.image(&recorded.image)?.map(|record| record.image);
        let like = image.and_then(|image| self.like(&recorded, &image));
        like.ok_or_else(|| {
            let slots: Vec<&str> = recorded.slots.keys().map(SlotName::as_str).collect();
            let what = format!("slot must say which image of {target} is meant: {}", slots.join(", "));
            Failure::refused(
                what,
                format!("query = {{ channel = \"{}\", target = \"{target}\", slot = \"…\" }}", self.channel),
            )
        })
    }

    /// The target that is named, or the only one there is.
    fn target(&self, setup: &Setup) -> Result<Option<TargetId>, Failure> {
        let Some(slot) = self.slot.as_ref().filter(|_| self.target.is_none()) else { return Ok(self.target.clone()) };
        let targets = setup.config.channels.get(&self.channel).map_or(&[][..], |channel| &channel.targets);
        match targets {
            [only] => Ok(Some(only.id.clone())),
            _ => {
                let what = format!("the config has {} targets for {}: whose slot {slot}?", targets.len(), self.channel);
                Err(Failure::refused(what, "add target = \"…\" to the query"))
            }
        }
    }

    /// What belongs into the slot; without a name, into all of them alike.
    fn like(&self, recorded: &RecordedTarget, image: &Image) -> Option<Wants> {
        let slots = recorded.slots.iter().filter(|(name, _)| self.slot.as_ref().is_none_or(|slot| slot == *name));
        let mut each = slots.map(|(_, address)| Wants::like(image, address));
        let first = each.next()??;
        each.all(|other| other.as_ref() == Some(&first)).then_some(first)
    }
}

/// A word of the query; empty is as good as none, for Terraform has no other way to leave one out.
fn said<T>(words: &BTreeMap<String, String>, word: &str) -> Result<Option<T>, String>
where
    T: FromStr,
    T::Err: ToString,
{
    let text = words.get(word).map(|text| text.trim()).filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(|error: T::Err| format!("{word}: {}", error.to_string()))).transpose()
}

/// All texts, for Terraform takes nothing else. Nothing here changes while the release does not.
fn answer(channel: &Channel, release: &Release, image: &Image, artifact: &Artifact) -> Vec<(String, String)> {
    let mut answer = vec![
        ("channel", channel.to_string()),
        ("image", pointer::text(&artifact.address())),
        ("name", image.key.name.to_string()),
        ("version", image.key.version.to_string()),
        ("seq", release.rollout.to_string()),
        ("released", release.at.to_string()),
        ("commit", image.provenance.commit.clone().unwrap_or_default()),
    ];
    match artifact {
        Artifact::Ami(ami) => {
            answer.extend([("region", ami.region.to_string()), ("architecture", ami.arch.to_string())]);
        }
        Artifact::Oci(oci) => {
            answer.extend([("repository", oci.repository.to_string()), ("digest", oci.digest.to_string())]);
        }
    }
    answer.into_iter().map(|(word, text)| (word.to_owned(), text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Query::parse(text).err().unwrap()
    }

    #[test]
    fn a_query_is_an_object_of_texts_with_words_that_are_known() {
        let query = Query::parse(r#"{"channel": "web/prod", "region": "eu-west-1", "architecture": "arm64"}"#).unwrap();
        assert_eq!(query.channel.to_string(), "web/prod");
        assert_eq!(query.wants.arch, "arm64".parse().ok());
        assert!(refused("").contains("not a JSON object of texts: EOF"));
        assert!(refused(r#"["web/prod"]"#).contains("invalid type: sequence, expected a map"));
        assert!(refused(r#"{"channel": 1}"#).contains("expected a string"));
        assert!(refused(r#"{"chanel": "web/prod"}"#).contains("`chanel` is no word of a query, `channel` is"));
        assert!(refused(r#"{"channel": "web"}"#).starts_with("channel: "));
    }

    #[test]
    fn an_empty_text_is_as_good_as_none() {
        let query = Query::parse(r#"{"channel": "web/prod", "region": "", "slot": " "}"#).unwrap();
        assert_eq!((query.wants, query.slot), (Wants::default(), None));
        assert_eq!(refused(r#"{"channel": ""}"#), "the query names no channel");
    }

    #[test]
    fn a_slot_and_a_region_are_two_answers_to_one_question() {
        assert!(refused(r#"{"channel": "web/prod", "slot": "template", "region": "eu-west-1"}"#).contains("do, too"));
    }
}
