//! `ledger verify`: the proof that nothing was changed, and that what was noted down elsewhere is still there.

use super::{anchor, entries, head_text};
use crate::cli::failure::{Exit, Failure};
use crate::cli::render::progress::{Counter, Unit};
use crate::cli::render::{time, witness};
use crate::cli::setup::Setup;
use crate::flow::anchor::Witness;
use crate::model::{Noted, NotedError};
use crate::store::{DiskStore, Verified};
use clap::Args;
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Prove that no entry was changed, and that both copies of the ledger say the same
///
/// A chain cannot tell that its end was cut off in both copies, or that it was written anew from some entry on. What was
/// noted down elsewhere can: on paper (imgctl ledger head, --against) or in an anchor (imgctl ledger anchor, --anchored).
/// An anchor that does not answer, or holds nothing, is no proof: exit code 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl ledger verify
  imgctl ledger verify --against 41:sha256:3f9a…
  imgctl ledger verify --against noted-down.txt
  imgctl ledger verify --anchored")]
pub struct Verify {
    /// An entry's number and hash as `imgctl ledger head` printed them, or a file with it: the ledger must go on from there
    #[arg(long, value_name = "HEAD", alias = "head")]
    against: Option<Against>,
    /// Hold the ledger against every anchor of the config, too
    #[arg(long)]
    anchored: bool,
    /// Fold every entry again and compare all records with what comes of it; always done for ledgers up to 16 MiB
    #[arg(long)]
    replay: bool,
}

/// A head that was noted down.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Against {
    Typed(Noted),
    /// `-` is standard input.
    File(PathBuf),
}

impl FromStr for Against {
    type Err = NotedError;

    /// A number and a colon is no file's name, unless it is written as a path (`./41:…`).
    fn from_str(text: &str) -> Result<Self, NotedError> {
        let number = text.trim().split_once(':').map(|(number, _)| number).unwrap_or_default();
        if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit()) {
            return Ok(Self::File(text.into()));
        }
        text.parse().map(Self::Typed)
    }
}

impl Against {
    /// The head, and how to name where it comes from.
    fn read(&self) -> Result<(Noted, String), Failure> {
        let path = match self {
            Self::Typed(noted) => return Ok((noted.clone(), "what was noted down".to_owned())),
            Self::File(path) => path,
        };
        let failed = |source| Failure::File { doing: "reading", path: path.clone(), source };
        let mut text = String::new();
        if path == Path::new("-") {
            std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        } else {
            text = std::fs::read_to_string(path).map_err(failed)?;
        }
        let named = format!("what was noted down in {}", path.display());
        match text.parse() {
            Ok(noted) => Ok((noted, named)),
            Err(error) => {
                Err(Failure::refused(format!("{named} cannot be used: {error}"), "imgctl ledger head prints what can"))
            }
        }
    }
}

/// The chain, both copies and every view, proved while someone watches.
pub(super) fn prove(store: &DiskStore, setup: &Setup, replay: bool) -> Result<Verified, Failure> {
    let counter = Counter::of(&setup.screen, "verifying", Unit::Bytes);
    Ok(store.verify(replay, &mut |done, total| counter.at(done, total))?)
}

pub(super) fn run(args: &Verify, setup: &Setup) -> Result<Exit, Failure> {
    // Before the long work: what was typed, and what is configured.
    let against = args.against.as_ref().map(Against::read).transpose()?;
    if args.anchored {
        anchor::chosen(setup, None)?;
    }
    let store = setup.store()?;
    let verified = prove(&store, setup, args.replay)?;
    if let Some((noted, named)) = &against {
        anchor::hold_against(noted, named, &store)?;
    }
    let witnesses = if args.anchored { anchor::ask(setup, &store)? } else { Vec::new() };
    let against = against.map(|(noted, _)| noted.head);
    let document = json!({
        "verified": true,
        "ledger": verified.ledger,
        "entries": verified.entries,
        "head": { "entry": verified.head.seq, "hash": verified.head.hash },
        "oldest": verified.oldest,
        "newest": verified.newest,
        "segments": verified.segments,
        "replayed": verified.replayed,
        "journal_only": verified.is_alone,
        "against": against.as_ref().map(|head| json!({ "entry": head.seq, "hash": head.hash })),
        "anchored": args.anchored.then(|| witnesses.iter().all(Witness::is_good)),
        "anchors": witnesses.iter().map(witness::document).collect::<Vec<_>>(),
    });
    setup.screen.show("ledger-verify/1", document, || {
        let (first, last) = (time::moment(verified.oldest), time::moment(verified.newest));
        let against = against.as_ref().map(|head| format!("entry {} is as it was noted down\n", head.seq));
        let whole = if verified.is_alone { "the chain is whole" } else { "the chain is whole, and both copies agree" };
        format!(
            "{}, from {first} to {last}: {whole}\n{}{}{}head {}\n",
            entries(verified.entries),
            sealed(verified.segments),
            against.unwrap_or_default(),
            anchor::lines(&witnesses),
            head_text(&verified.head)
        )
    })?;
    Ok(anchor::told(setup, &store, &witnesses))
}

fn sealed(segments: u64) -> String {
    match segments {
        0 => String::new(),
        1 => "1 sealed segment is as it was sealed\n".to_owned(),
        many => format!("{many} sealed segments are as they were sealed\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Head, Seq};

    #[test]
    fn what_begins_as_a_head_is_no_file() {
        let head = Head { seq: Seq(41), hash: Digest::of(b"x") };
        let typed = Noted { head: head.clone(), ledger: None, at: None, by: None };
        assert_eq!(format!("{}\n", head_text(&head)).parse(), Ok(Against::Typed(typed)));
        assert!("41:sha256:00".parse::<Against>().is_err());
        for file in ["noted-down", "./41:sha256:00", "-", "C:head"] {
            assert_eq!(file.parse(), Ok(Against::File(file.into())));
        }
    }
}
