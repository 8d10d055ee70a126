//! Memory: where entries are kept. The journal is the commit point, the index its second copy, the view what readers need.

mod records;
mod journal;
mod segments;
mod index;
mod packed;
mod view;
mod known;
mod live;
mod lock;
mod lease;
mod feed;
mod attach;
mod boot;
mod remake;
mod disk;
mod memory;
mod threads;
mod compare;
mod copies;
mod prove;
mod verify;
mod repair;
mod backup;
mod transfer;
mod fork;
mod files;
mod facts;
mod crash;

pub use backup::{BackedUp, read_backup};
pub use disk::{DiskStore, create, open};
pub use facts::FactFile;
pub use fork::{Fork, Side};
pub use memory::MemoryStore;
pub use repair::Repaired;
pub use transfer::{Imported, import};
pub use verify::Verified;

use crate::model::{Actor, Entry, Event, Head, IllegalEntry, LedgerView, Seq, ViewError};
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::Duration;

/// Keeps the ledger. All methods return only when what they wrote is durable.
pub trait LedgerStore: Send + Sync {
    /// What is known now. Never waits for a writer, never shows half an entry.
    fn view(&self) -> Result<Box<dyn LedgerView + '_>, StoreError>;

    /// Begins work: appends only if `base` is still the head, else `Moved`.
    fn claim(&self, base: Seq, at: Timestamp, by: &Actor, event: &Event) -> Result<Entry, StoreError>;

    /// Reports what happened: never refused for being late.
    fn append(&self, at: Timestamp, by: &Actor, event: &Event) -> Result<Entry, StoreError> {
        let mut entries = self.append_all(at, by, std::slice::from_ref(event))?;
        entries.pop().ok_or(StoreError::NothingToAppend)
    }

    /// Reports several things at once, with one fdatasync: when it fails, none was written. A machine that dies in
    /// the middle may keep the first of them, never a later one without those before it.
    fn append_all(&self, at: Timestamp, by: &Actor, events: &[Event]) -> Result<Vec<Entry>, StoreError>;

    /// The first entry that a newer imgctl wrote. Entries from there on can be listed, but the views end before it.
    /// A store that only this imgctl writes to has none.
    fn newer(&self) -> Result<Option<NewerEntry>, StoreError> {
        Ok(None)
    }
}

/// An entry of a format or kind that this imgctl does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NewerEntry {
    pub seq: Seq,
    /// The version of its written form.
    pub version: u32,
}

/// Why the ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the ledger has moved on from entry {base} to entry {}", head.seq)]
    Moved { base: Seq, head: Head },
    #[error("the ledger in {} is in use by {} (waited {} ms)", dir.display(), holder.as_deref().unwrap_or("another process"), waited.as_millis())]
    Busy { dir: PathBuf, holder: Option<String>, waited: Duration },
    #[error(
        "entry {seq} was written by a newer imgctl (format {version}): this one can read the ledger, but not write to it"
    )]
    Newer { seq: Seq, version: u32 },
    #[error("no ledger in {}; create one: imgctl init", dir.display())]
    Missing { dir: PathBuf },
    #[error("there is a ledger in {} already", dir.display())]
    Exists { dir: PathBuf },
    #[error("the ledger cannot hold this")]
    Illegal(#[source] IllegalEntry),
    /// `offset`: the byte in `file` where the damage begins, where that is known.
    #[error("the ledger is damaged: {what} ({}{}); repair it: imgctl ledger repair", file.display(), place(*offset))]
    Damaged { what: String, file: PathBuf, offset: Option<u64> },
    /// A backup has no second copy to be repaired from; nothing was changed.
    #[error("the backup is damaged: {what} ({}{})", file.display(), place(*offset))]
    BadBackup { what: String, file: PathBuf, offset: Option<u64> },
    /// Neither the journal nor the index has these entries; nothing was changed.
    #[error("{} cannot be repaired: {} in neither copy (the first is entry {})", dir.display(), count(lost.len()), lost.first().copied().unwrap_or_default())]
    Lost { dir: PathBuf, lost: Vec<Seq> },
    /// What stands in the directory for a backup is not an earlier state of this ledger; nothing was changed.
    #[error("{} holds a backup of another ledger: its entry {seq} is not in this one", dir.display())]
    OtherBackup { dir: PathBuf, seq: Seq },
    /// What was given for import is not a ledger's chain; nothing was changed.
    #[error("line {line} of the import is not the next entry: {why}")]
    NotAChain { line: u64, why: String },
    /// What was given for import is another history; nothing was changed.
    #[error("{fork}")]
    Fork { fork: Box<Fork> },
    /// What was given for import begins after the ledger's end; nothing was changed. `ends` is 0 where there is no ledger.
    #[error("the import begins at entry {begins}, and the ledger in {} ends at entry {ends}: {} missing between them", dir.display(), missing(*ends, *begins))]
    Gap { dir: PathBuf, ends: Seq, begins: Seq },
    #[error("the ledger ends at entry {ends}: it has no entry {since} to go on from")]
    Beyond { since: Seq, ends: Seq },
    #[error("cannot {doing} {}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the ledger's records could not be read")]
    View(#[from] ViewError),
    #[error("nothing was given to append")]
    NothingToAppend,
}

fn place(offset: Option<u64>) -> String {
    offset.map(|offset| format!(", byte {offset}")).unwrap_or_default()
}

fn missing(ends: Seq, begins: Seq) -> String {
    let (first, last) = (ends.next(), begins.0.saturating_sub(1));
    if first.0 == last { format!("entry {first} is") } else { format!("entries {first} to {last} are") }
}

fn count(entries: usize) -> String {
    if entries == 1 { "1 entry is".to_owned() } else { format!("{entries} entries are") }
}
