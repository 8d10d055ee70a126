//! `ledger backup`: a copy of the ledger's files, taken while others write, that only grows by what is new.

use super::{entries, head_text};
use crate::cli::failure::{Exit, Failure};
use crate::cli::render::progress::{Counter, Unit};
use crate::cli::setup::Setup;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Copy the ledger into a directory; run again, only what is new is copied
///
/// Writers go on meanwhile: the copy ends at the entry that was the newest when it began. Sealed segments (64 MiB) never
/// change and are copied once. What comes back: imgctl ledger import DIR.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl ledger backup /backup/imgctl
  imgctl ledger verify --against /backup/imgctl/head
  imgctl --ledger restored ledger import /backup/imgctl")]
pub struct Backup {
    /// Made if need be; what is there must be an earlier backup of this ledger
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn run(args: &Backup, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let counter = Counter::of(&setup.screen, "copying", Unit::Bytes);
    let done = store.backup(&args.directory, &mut |done, total| counter.at(done, total))?;
    drop(counter);
    let shown = args.directory.display().to_string();
    let document = json!({
        "directory": shown,
        "head": { "entry": done.head.seq, "hash": done.head.hash },
        "bytes": done.bytes,
        "segments": { "copied": done.copied, "kept": done.kept },
    });
    setup.screen.show("ledger-backup/1", document, || {
        let kept = match done.kept {
            0 => String::new(),
            1 => ", 1 segment was there".to_owned(),
            many => format!(", {many} segments were there"),
        };
        format!(
            "backed up {} in {shown} ({} bytes copied{kept}); head {}\n",
            entries(done.head.seq.0),
            done.bytes,
            head_text(&done.head)
        )
    })?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}
