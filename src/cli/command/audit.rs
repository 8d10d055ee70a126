//! `audit`: what an auditor asks for.

use crate::cli::failure::{Exit, Failure};
use crate::cli::new_file;
use crate::cli::render::audit::{CsvSheet, Extent, JsonSheet, Sheet};
use crate::cli::setup::Setup;
use crate::cli::span::Span;
use crate::flow;
use crate::model::{Channel, Event, LedgerView, Lookup, Seq};
use crate::store::LedgerStore;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

/// Export what was changed, for an auditor
#[derive(Debug, Args)]
pub struct Audit {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    Export(Export),
}

/// Write every change as a row of CSV or an object of JSON: who, when, why, from what to what, and how it ended
///
/// A rollout is one change, from its first entry to its last; so is each recording, tag, hold and rejection. A change
/// lies in the range when it began there, and is written whole, also when it ended later. Each carries its entries'
/// numbers and the hashes of its first and last; the export ends with the ledger's head. Entries are proved by their
/// hashes while they are read, and without --channel the whole chain is: nothing is exported from a ledger that was
/// rewritten.
///
/// In CSV, a cell that a spreadsheet could run as a formula begins with a `'` that was put there, and so does one that
/// began with a `'`: take one away to have what the ledger says.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl audit export --from 2026-01-01 --to 2026-03-31 --out changes-2026-q1.csv
  imgctl audit export --channel web/prod --format json | jq '.changes[] | select(.emergency != [])'
  imgctl audit export --from 2026-11-20T18:00:00+01:00")]
struct Export {
    #[command(flatten)]
    span: Span,
    /// Only the rollouts and holds of this channel, and the rejections of its images
    #[arg(long, value_name = "NAME/ENV")]
    channel: Option<Channel>,
    /// `csv`, unless --json is given
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// A new file; without it, standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Json,
}

pub fn run(args: &Audit, setup: &Setup) -> Result<Exit, Failure> {
    match &args.deed {
        Deed::Export(args) => export(args, setup),
    }
}

fn export(args: &Export, setup: &Setup) -> Result<Exit, Failure> {
    let format = format(args, setup.screen.json)?;
    let range = args.span.range()?;
    let store = setup.store()?;
    let view = store.view()?;
    readable(&store)?;
    if let Some(channel) = &args.channel {
        setup.known_channel(&Lookup(&*view), channel)?;
    }
    let extent = Extent { ledger: id(&*view)?, head: view.head(), range, channel: args.channel.clone() };
    let Some(path) = &args.out else {
        // The export is the document, whatever --json says.
        write(&*view, &extent, format, &mut BufWriter::new(std::io::stdout().lock()))?;
        setup.tell_notices(&store);
        return Ok(Exit::Done);
    };
    let changes = new_file::write(path, |out| write(&*view, &extent, format, out))?;
    let shown = path.display().to_string();
    let head = json!({ "entry": extent.head.seq, "hash": extent.head.hash });
    setup.screen.show("audit-export/1", json!({ "file": shown, "changes": changes, "head": head }), || {
        let count = format!("{changes} {}", if changes == 1 { "change" } else { "changes" });
        format!("wrote {count} to {shown}, of a ledger with head {}:{}\n", extent.head.seq, extent.head.hash)
    })?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

fn format(args: &Export, json: bool) -> Result<Format, Failure> {
    match (args.format, json && args.out.is_none()) {
        (Some(Format::Csv), true) => Err(Failure::usage(
            "--json and --format csv ask for different things",
            "write the CSV to a file: --out FILE",
        )),
        (Some(format), _) => Ok(format),
        (None, true) => Ok(Format::Json),
        (None, false) => Ok(Format::Csv),
    }
}

/// What a newer imgctl wrote may change what everything after it means: nothing is counted that is not understood.
pub fn readable(store: &dyn LedgerStore) -> Result<(), Failure> {
    match store.newer()? {
        None => Ok(()),
        Some(newer) => Err(Failure::refused(
            format!(
                "entry {} was written by a newer imgctl (format {}): what is made without it would not be whole",
                newer.seq, newer.version
            ),
            "upgrade imgctl; until then imgctl log shows what can be read",
        )),
    }
}

fn id(view: &dyn LedgerView) -> Result<uuid::Uuid, Failure> {
    Ok(match view.entry(Seq(1))?.map(|entry| entry.event) {
        Some(Event::LedgerCreated { id }) => id,
        _ => uuid::Uuid::nil(),
    })
}

/// Writes one change after the other, and says how many.
fn write(view: &dyn LedgerView, extent: &Extent, format: Format, out: &mut dyn Write) -> Result<u64, Failure> {
    let mut sheet: Box<dyn Sheet + '_> = match format {
        Format::Csv => Box::new(CsvSheet::begin(out, extent).map_err(Failure::Output)?),
        Format::Json => Box::new(JsonSheet::begin(out, extent).map_err(Failure::Output)?),
    };
    let mut count = 0;
    for change in flow::changes(view, extent.channel.as_ref(), extent.range)? {
        sheet.add(&change?).map_err(Failure::Output)?;
        count += 1;
    }
    sheet.end(count).map_err(Failure::Output)?;
    Ok(count)
}
