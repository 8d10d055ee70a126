//! `ledger`: prove it, mend it, take it elsewhere.

use crate::cli::failure::{Exit, Failure};
use crate::cli::render::progress::Counter;
use crate::cli::render::time;
use crate::cli::setup::{PATIENCE, Setup};
use crate::model::{Digest, Head, Seq};
use crate::store::{self, LedgerStore};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

/// Verify, repair, export and import the ledger, or print its head
#[derive(Debug, Args)]
pub struct Ledger {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    Verify(Verify),
    Repair(Repair),
    Export(Export),
    Import(Import),
    Head(HeadArgs),
}

/// Prove that no entry was changed, and that both copies of the ledger say the same
///
/// A chain cannot tell that its end was cut off in both copies. Note the head down elsewhere (imgctl ledger head), and
/// give it here: then that is proved as well.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl ledger verify
  imgctl ledger verify --head 41:sha256:3f9a…")]
struct Verify {
    /// An entry's number and hash, as `imgctl ledger head` printed them: the ledger must still contain it
    #[arg(long, value_name = "ENTRY:HASH", value_parser = anchor)]
    head: Option<(Seq, Digest)>,
}

/// Rebuild the damaged copy from the good one; what is replaced is kept beside it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl ledger repair")]
struct Repair {}

/// Write every entry as a line of JSON, oldest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl ledger export ledger.jsonl
  imgctl ledger export | gzip > ledger.jsonl.gz")]
struct Export {
    /// A new file; without it, standard output
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Read exported entries into the ledger; the whole chain is proved before anything is written
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl ledger import ledger.jsonl
  zcat ledger.jsonl.gz | imgctl ledger import -")]
struct Import {
    /// `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Print the number and hash of the newest entry, to be noted down elsewhere
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl ledger head
  imgctl ledger verify --head \"$(cat noted-down)\"")]
struct HeadArgs {}

fn anchor(text: &str) -> Result<(Seq, Digest), String> {
    let wanted = || "an entry's number and hash, as in 41:sha256:…".to_owned();
    let (seq, hash) = text.trim().split_once(':').ok_or_else(wanted)?;
    Ok((Seq(seq.parse().map_err(|_| wanted())?), hash.parse().map_err(|_| wanted())?))
}

pub fn run(args: &Ledger, setup: &Setup) -> Result<Exit, Failure> {
    match &args.deed {
        Deed::Verify(args) => verify(args, setup),
        Deed::Repair(_) => repair(setup),
        Deed::Export(args) => export(args, setup),
        Deed::Import(args) => import(args, setup),
        Deed::Head(_) => head(setup),
    }
}

fn verify(args: &Verify, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let counter = Counter::new(&setup.screen, "verifying");
    let verified = store.verify(&mut |done, total| counter.at(done, total, "verified bytes"))?;
    drop(counter);
    if let Some((seq, hash)) = &args.head {
        let entry = store.view()?.entry(*seq)?;
        if entry.is_none_or(|entry| entry.hash != *hash) {
            return Err(Failure::refused(
                format!(
                    "the ledger does not contain entry {seq} with hash {hash}: it is not the one that was noted down"
                ),
                "imgctl ledger export keeps what there is; look for the copy that has this entry",
            ));
        }
    }
    let document = json!({
        "verified": true,
        "entries": verified.entries,
        "head": { "entry": verified.head.seq, "hash": verified.head.hash },
        "oldest": verified.oldest,
        "newest": verified.newest,
        "anchored": args.head.is_some(),
    });
    setup.screen.show("ledger-verify/1", document, || {
        let (first, last) = (time::moment(verified.oldest), time::moment(verified.newest));
        let anchored = args.head.as_ref().map(|(seq, _)| format!("entry {seq} is the one that was noted down\n"));
        format!(
            "{}, from {first} to {last}: the chain is whole, and both copies agree\n{}head {}\n",
            entries(verified.entries),
            anchored.unwrap_or_default(),
            head_text(&verified.head)
        )
    })?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

fn repair(setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let counter = Counter::new(&setup.screen, "repairing");
    let repaired = store.repair(&mut |done, total| counter.at(done, total, "entries read"))?;
    drop(counter);
    let document = json!({ "did": repaired.did, "head": { "entry": repaired.head.seq, "hash": repaired.head.hash } });
    setup.screen.show("ledger-repair/1", document, || match repaired.did.as_slice() {
        [] => "nothing to repair\n".to_owned(),
        did => did.iter().map(|sentence| format!("{sentence}\n")).collect(),
    })?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

fn export(args: &Export, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let Some(path) = &args.file else {
        // The lines are the document: JSON already, whatever --json says.
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let exported = store.export(&mut out);
        out.flush().map_err(Failure::Output)?;
        exported.map_err(broken_pipe)?;
        return Ok(Exit::Done);
    };
    let failed = |source| Failure::File { doing: "writing", path: path.clone(), source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Beside it first: half an export under the name that was asked for would pass for a whole one.
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    let mut out = std::io::BufWriter::new(file.as_file_mut());
    let head = store.export(&mut out)?;
    out.flush().map_err(failed)?;
    drop(out);
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path).map_err(|error| failed(error.error))?;
    let shown = path.display().to_string();
    let document = json!({ "file": shown, "head": { "entry": head.seq, "hash": head.hash } });
    setup.screen.show("ledger-export/1", document, || format!("wrote {} to {shown}\n", entries(head.seq.0)))?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

/// A reader that has seen enough is no failure of the ledger.
fn broken_pipe(error: store::StoreError) -> Failure {
    match error {
        store::StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe => {
            Failure::Output(source)
        }
        error => error.into(),
    }
}

fn import(args: &Import, setup: &Setup) -> Result<Exit, Failure> {
    let ledger = &setup.config.ledger;
    let (store, imported) = if args.file == Path::new("-") {
        store::import(ledger, PATIENCE, &mut std::io::stdin().lock())?
    } else {
        let failed = |source| Failure::File { doing: "reading", path: args.file.clone(), source };
        let file = std::fs::File::open(&args.file).map_err(failed)?;
        store::import(ledger, PATIENCE, &mut BufReader::new(file))?
    };
    let head = json!({ "entry": imported.head.seq, "hash": imported.head.hash });
    let document = json!({ "added": imported.added, "skipped": imported.skipped, "head": head });
    setup.screen.show("ledger-import/1", document, || match imported.added {
        0 => format!("nothing new: the ledger has {} of it\n", entries(imported.skipped)),
        added => format!(
            "{} imported, {} were there; head {}\n",
            entries(added),
            imported.skipped,
            head_text(&imported.head)
        ),
    })?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

fn head(setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let head = store.view()?.head();
    setup
        .screen
        .show("ledger-head/1", json!({ "entry": head.seq, "hash": head.hash }), || format!("{}\n", head_text(&head)))?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

fn entries(count: u64) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

fn head_text(head: &Head) -> String {
    format!("{}:{}", head.seq, head.hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_back_as_it_was_printed() {
        let head = Head { seq: Seq(41), hash: Digest::of(b"x") };
        assert_eq!(anchor(&format!("{}\n", head_text(&head))), Ok((head.seq, head.hash)));
        for bad in ["", "41", "x:sha256:00", "41:sha256:00"] {
            assert!(anchor(bad).is_err(), "{bad}");
        }
    }
}
