//! `ledger export` and `ledger import`: entries on their way, whole or from some entry on.

use super::{entries, head_text};
use crate::cli::failure::{Exit, Failure};
use crate::cli::render::progress::{Counter, Unit, Watched};
use crate::cli::setup::{PATIENCE, Setup};
use crate::model::Seq;
use crate::store::{self, DiskStore, StoreError};
use clap::Args;
use serde_json::json;
use std::io::{BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Write entries as lines of JSON, oldest first
///
/// The chain is proved on the way. With --since only what follows an entry is written: the next part of a backup, or
/// what another copy of this ledger does not have yet.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl ledger export ledger.jsonl
  imgctl ledger export | gzip > ledger.jsonl.gz
  imgctl ledger export --since 4000 from-4001.jsonl")]
pub struct Export {
    /// A new file; without it, or with `-`, standard output
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only the entries after this one
    #[arg(long, value_name = "ENTRY", default_value_t = 0, hide_default_value = true)]
    since: u64,
}

/// Read exported entries into the ledger; the whole chain is proved before anything is written
///
/// An export from the first entry on may become a ledger. A part (export --since) must go on from an entry that the
/// ledger has: nothing may be missing between, and another history is refused with the entry at which they part.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl ledger import ledger.jsonl
  imgctl ledger import /backup/imgctl
  zcat ledger.jsonl.gz | imgctl ledger import -
  ssh build imgctl ledger export --since 4000 | imgctl ledger import -")]
pub struct Import {
    /// An export, or the directory of a backup; `-` is standard input
    #[arg(value_name = "FILE|DIR")]
    file: PathBuf,
}

pub(super) fn export(args: &Export, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    match args.file.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => to_file(path, Seq(args.since), &store, setup),
        None => {
            // The lines are the document: JSON already, whatever --json says.
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            let exported = store.export_since(Seq(args.since), &mut out, &mut |_, _| ());
            out.flush().map_err(Failure::Output)?;
            exported.map_err(broken_pipe)?;
            Ok(Exit::Done)
        }
    }
}

fn to_file(path: &Path, since: Seq, store: &DiskStore, setup: &Setup) -> Result<Exit, Failure> {
    let failed = |source| Failure::File { doing: "writing", path: path.to_owned(), source };
    if path.exists() {
        let what = format!("{} exists already", path.display());
        return Err(Failure::refused(what, "nothing is overwritten: name another file"));
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Beside it first: half an export under the name that was asked for would pass for a whole one.
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    let mut out = std::io::BufWriter::new(file.as_file_mut());
    let counter = Counter::of(&setup.screen, "exporting", Unit::Bytes);
    let head = store.export_since(since, &mut out, &mut |done, total| counter.at(done, total))?;
    drop(counter);
    out.flush().map_err(failed)?;
    drop(out);
    let shown = path.display().to_string();
    let count = head.seq.0 - since.0;
    if count > 0 {
        file.as_file().sync_all().map_err(failed)?;
        file.persist_noclobber(path).map_err(|error| failed(error.error))?;
    }
    let document = json!({
        "file": (count > 0).then_some(&shown), "entries": count, "since": since,
        "head": { "entry": head.seq, "hash": head.hash },
    });
    setup.screen.show("ledger-export/1", document, || match count {
        0 => format!("nothing after entry {since}: no file was written\n"),
        _ => format!("wrote {} to {shown}\n", entries(count)),
    })?;
    setup.tell_notices(store);
    Ok(Exit::Done)
}

/// A reader that has seen enough is no failure of the ledger.
fn broken_pipe(error: StoreError) -> Failure {
    match error {
        StoreError::Io { source, .. } if source.kind() == ErrorKind::BrokenPipe => Failure::Output(source),
        error => error.into(),
    }
}

pub(super) fn import(args: &Import, setup: &Setup) -> Result<Exit, Failure> {
    let ledger = &setup.config.ledger;
    let (store, imported) = if args.file == Path::new("-") {
        store::import(ledger, PATIENCE, &mut std::io::stdin().lock())?
    } else if args.file.is_dir() {
        store::import(ledger, PATIENCE, &mut store::read_backup(&args.file)?)?
    } else {
        let failed = |source| Failure::File { doing: "reading", path: args.file.clone(), source };
        let file = std::fs::File::open(&args.file).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let watched = Watched::new(file, length, &setup.screen, "proving and writing");
        store::import(ledger, PATIENCE, &mut BufReader::with_capacity(1 << 16, watched))?
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
