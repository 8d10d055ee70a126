//! `ledger`: prove it, mend it, note its head down, take it elsewhere.

mod anchor;
mod verify;

use crate::cli::failure::{Exit, Failure};
use crate::cli::render::progress::{Counter, Unit};
use crate::cli::render::witness::entries;
use crate::cli::setup::{PATIENCE, Setup};
use crate::model::Head;
use crate::model::noted::ledger_id;
use crate::store::{self, LedgerStore};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

/// Verify, anchor, repair, export and import the ledger, or print its head
#[derive(Debug, Args)]
pub struct Ledger {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    Verify(verify::Verify),
    Anchor(anchor::Anchor),
    Repair(Repair),
    Export(Export),
    Import(Import),
    Head(HeadArgs),
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
  imgctl ledger head > noted-down
  imgctl ledger verify --against noted-down")]
struct HeadArgs {}

pub fn run(args: &Ledger, setup: &Setup) -> Result<Exit, Failure> {
    match &args.deed {
        Deed::Verify(args) => verify::run(args, setup),
        Deed::Anchor(args) => anchor::run(args, setup),
        Deed::Repair(_) => repair(setup),
        Deed::Export(args) => export(args, setup),
        Deed::Import(args) => import(args, setup),
        Deed::Head(_) => head(setup),
    }
}

fn repair(setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let counter = Counter::of(&setup.screen, "repairing", Unit::Entries);
    let repaired = store.repair(&mut |done, total| counter.at(done, total))?;
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
    let view = store.view()?;
    let head = view.head();
    let document = json!({ "ledger": ledger_id(&*view)?, "entry": head.seq, "hash": head.hash });
    setup.screen.show("ledger-head/1", document, || format!("{}\n", head_text(&head)))?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

fn head_text(head: &Head) -> String {
    format!("{}:{}", head.seq, head.hash)
}
