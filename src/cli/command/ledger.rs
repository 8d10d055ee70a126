//! `ledger`: prove it, mend it, note its head down, keep a copy of it, take it elsewhere.

mod anchor;
mod backup;
mod transfer;
mod verify;

use crate::cli::failure::{Exit, Failure};
use crate::cli::render::progress::{Counter, Unit};
use crate::cli::render::witness::entries;
use crate::cli::setup::Setup;
use crate::model::Head;
use crate::model::noted::ledger_id;
use crate::store::LedgerStore;
use clap::{Args, Subcommand};
use serde_json::json;

/// Verify, anchor, repair, back up, export and import the ledger, or print its head
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
    Backup(backup::Backup),
    Export(transfer::Export),
    Import(transfer::Import),
    Head(HeadArgs),
}

/// Rebuild the damaged copy from the good one; what is replaced is kept beside it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl ledger repair")]
struct Repair {}

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
        Deed::Backup(args) => backup::run(args, setup),
        Deed::Export(args) => transfer::export(args, setup),
        Deed::Import(args) => transfer::import(args, setup),
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
